"""A purge deletes old sessions and events in small transactions, and updates the counters."""

import os
import pty
import queue
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from helpers.cli import COMMAND, clean_environment, isolated_cwd, run
from helpers.client import instant

from analytics_api.maintenance.purge import purge

pytestmark = pytest.mark.writes

MIDNIGHT = instant("2026-02-10 00:00:00")
MINUTE = 60_000


SESSION = (
    "session_id", "visitor_id", "fingerprint", "started_at", "ended_at", "duration", "engagement_score", "country",
    "referrer_domain",
)  # fmt: skip


@pytest.fixture
def filled(database, insert):
    """Insert sessions four minutes apart, with two events each: 600 before February 10, and 60 from then on."""
    sessions, events = [], []
    for number in range(-600, 60):
        session, begun = f"s{number * 7919 % 661}", MIDNIGHT + 4 * number * MINUTE
        sessions.append(
            (
                session,
                f"v{number % 70}",
                f"f{number % 50}" if number % 3 else None,
                begun,
                begun + 5_000 if number % 4 else None,
                number % 90 * 1_000,
                number % 100,
                ("IN", "FR", None)[number % 3],
                f"site-{number % 9}.example",
            )
        )
        events += [(session, "page_view", f"/{number % 40}", begun + later) for later in (0, MINUTE - 1)]

    def write(at):
        at.insert("sessions", SESSION, sessions)
        at.insert("events", ("session_id", "event_type", "page_url", "occurred_at"), events)

    database.bulk(write)
    insert("leads", lead_id=1, enquiry_datetime="2026-01-01 10:00:00", visitor_id="v1")
    insert("lead_submissions", submission_id=1, lead_id=1, submitted_at="2026-01-01 10:00:00")


VISIT = """
insert into sessions (session_id, visitor_id, started_at)
values (:session, 'v1', :instant)
"""

OLD_AND_YOUNG = """
select
  (select count(*) from sessions where started_at < :midnight) as old_sessions,
  (select count(*) from sessions where started_at >= :midnight) as young_sessions,
  (select count(*) from events where occurred_at < :midnight) as old_events,
  (select count(*) from events where occurred_at >= :midnight) as young_events
"""


def remaining(database):
    return tuple(database.rows(OLD_AND_YOUNG, midnight=MIDNIGHT)[0].values())


def test_purge_deletes_only_older_sessions_and_events(database, filled, get):
    calls = []

    counts = purge(database, date(2026, 2, 10), on_delete=lambda rows, of: calls.append((rows, of)))

    assert counts == {"events": 1_200, "sessions": 600}
    assert remaining(database) == (0, 60, 0, 120)
    assert sum(rows for rows, _ in calls) == 1_800
    assert {of for _, of in calls} == {1_800}
    assert database.verify() == []
    assert get("/analytics/overview")["total_sessions"] == 60
    assert get("/analytics/leads")["total"] == 1
    assert database.rows("select count(*) as submissions from lead_submissions") == [{"submissions": 1}]


def test_counters_are_exact_after_each_purge_transaction(database, filled):
    differences = []

    purge(database, date(2026, 2, 10), on_delete=lambda rows, of: differences.extend(database.verify()))

    assert differences == []


def test_purge_deletes_sessions_without_an_id(database, insert):
    insert("sessions", session_id="", visitor_id="v", started_at=MIDNIGHT - 1)
    insert("sessions", session_id="s", visitor_id="v", started_at=MIDNIGHT)

    assert purge(database, date(2026, 2, 10)) == {"events": 0, "sessions": 1}
    assert database.rows("select session_id from sessions") == [{"session_id": "s"}]


def test_interrupted_purge_is_completed_by_the_next(database, filled):
    def stop(rows, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(database, date(2026, 2, 10), on_delete=stop)
    half = remaining(database)
    second, third = purge(database, date(2026, 2, 10)), purge(database, date(2026, 2, 10))

    assert half == (600, 60, 200, 120)
    assert second == {"events": 200, "sessions": 600}
    assert third == {"events": 0, "sessions": 0}
    assert remaining(database) == (0, 60, 0, 120)
    assert database.verify() == []


def test_rows_written_during_a_purge_are_counted(database, filled):
    turns = queue.SimpleQueue()
    written = []

    def visits():
        while turns.get():
            instant = MIDNIGHT + len(written)
            database.write(lambda at, instant=instant: at.execute(VISIT, session=f"new-{instant}", instant=instant))
            written.append(instant)

    with ThreadPoolExecutor() as pool:
        writer = pool.submit(visits)
        purge(database, date(2026, 2, 10), on_delete=lambda rows, of: turns.put(True))
        turns.put(False)
        writer.result()

    assert len(written) >= 4
    assert remaining(database) == (0, 60 + len(written), 0, 120)
    assert database.verify() == []


KILLED_BEFORE_A_COMMIT = """
import os, signal, sys
from datetime import date
from analytics_api import open_database
from analytics_api.maintenance.purge import purge

rows = 0

def told(more, of):
    global rows
    rows += more

def write(work):
    def killed(at):
        done = work(at)
        if rows == 1_700:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return written(killed)

database = open_database(sys.argv[1])
written, database.write = database.write, write
purge(database, date(2026, 2, 10), on_delete=told)
"""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.slow
def test_killed_purge_loses_at_most_one_transaction(database, filled):
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_A_COMMIT, database.path], timeout=60)
    half = remaining(database)
    differences = database.verify()

    counts = purge(database, date(2026, 2, 10))

    assert killed.returncode == -signal.SIGKILL
    assert half == (100, 60, 0, 120)
    assert differences == []
    assert counts == {"events": 0, "sessions": 100}
    assert remaining(database) == (0, 60, 0, 120)
    assert database.verify() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        isolated_cwd(monkeypatch, tmp_path)

    def test_purge_prints_row_counts(self, database, filled):
        output = run("purge", "--before", "2026-02-10")

        assert output.endswith("events: 1,200 deleted\nsessions: 600 deleted\n")  # after the progress, if it is slow
        assert remaining(database) == (0, 60, 0, 120)

    @pytest.mark.parametrize("day", ["9998-01-01", "2026-02-30", "yesterday"])
    def test_purge_rejects_invalid_and_future_days(self, database, insert, day):
        insert("sessions", session_id="s", visitor_id="v", started_at=MIDNIGHT - 1)

        output = run("purge", "--before", day, status=2)

        assert "--before" in output
        assert remaining(database) == (1, 0, 0, 0)

    @pytest.mark.parametrize(
        ("option", "answer", "status", "rows"),
        [
            ([], b"n\n", 1, (600, 60, 1_200, 120)),
            ([], b"y\n", 0, (0, 60, 0, 120)),
            (["--yes"], b"", 0, (0, 60, 0, 120)),
        ],
        ids=["no", "yes", "option"],
    )
    def test_purge_asks_only_in_a_terminal(self, database, filled, option, answer, status, rows):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        command = [COMMAND, "purge", "--before", "2026-02-10", *option]
        purged = subprocess.run(command, env=clean_environment(), stdin=theirs, capture_output=True, timeout=60)
        os.close(theirs)
        os.close(ours)

        question = f"events: 1,200, sessions: 600. Delete them from {database.url}, and no longer count them?"
        assert (question.encode() in purged.stdout + purged.stderr) == (option == [])
        assert purged.returncode == status
        assert remaining(database) == rows
