"""A purge with --keep-totals does not change the statistics, and later writes are counted correctly."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date

import pytest
from helpers import postgres, sqlite
from helpers.cli import isolated_cwd, run
from helpers.client import KEY, NOW, APIClient, instant
from helpers.counters import read_totals

from analytics_api import create_app, open_database
from analytics_api.database import SQLite
from analytics_api.maintenance.copy import copy
from analytics_api.maintenance.erase import erase
from analytics_api.maintenance.purge import purge

pytestmark = pytest.mark.writes

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
MIDNIGHT = instant("2026-02-10 00:00:00")
TENTH = date(2026, 2, 10)

STATISTICS = (
    "overview", "sessions/daily?days=90", "pages/top?limit=100", "geo", "engagement", "sources?limit=1000", "realtime",
    "overview?from=2026-02-09", "sessions/daily?to=2026-02-10&interval=week", "pages/top?to=2026-02-09&limit=100",
    "geo?from=2026-02-08&to=2026-02-09", "engagement?to=2026-02-09", "sources?from=2026-02-09",
)  # fmt: skip

SESSION = (
    "session_id", "visitor_id", "fingerprint", "started_at", "ended_at", "duration", "engagement_score", "country",
    "referrer_domain", "vpn_suspected",
)  # fmt: skip


def fill(database, count=144):
    """Insert sessions with two events each, evenly from 40 hours before February 10 to 8 hours after.

    Some sessions begin before midnight and have events after it. Visitors, fingerprints and pages occur before and
    after February 10.
    """
    sessions, events = [], []
    for number in range(-count * 5 // 6, count // 6):
        session, begun = f"s{number * 7919 % (count + 1)}", MIDNIGHT + number * 2_880 // count * MINUTE
        page = f"/{number % 40}"
        sessions.append(
            (
                session,
                f"v{number % 70 if number % 2 else number % 100}",
                f"f{number % 50}" if number % 3 else None,
                begun,
                begun + 5_000 if number % 4 else None,
                number % 90 * 1_000 if number % 7 else None,
                number % 120 - 10 if number % 5 else None,
                ("IN", "FR", None, "")[number % 4],
                f"site-{number % 9}.example" if number % 10 else None,
                int(number % 11 == 0),
            )
        )
        events += [
            (session, "page_view" if number % 3 else "click", page + "?old" * (number < -count // 2), begun),
            (session, "page_view", page, begun + 60 * MINUTE),
        ]

    def write(at):
        at.insert("sessions", SESSION, sessions)
        at.insert("events", ("session_id", "event_type", "page_url", "occurred_at"), events)

    database.bulk(write)


@pytest.fixture
def filled(database):
    fill(database)


@pytest.fixture
def many(database):
    """Insert so many rows that a purge deletes sessions and events in two transactions each."""
    fill(database, 720)


@pytest.fixture(scope="module")
def purged(tmp_path_factory):
    """Return the path of a database from which the rows before February 10 were purged."""
    folder = tmp_path_factory.mktemp("purged")
    with sqlite.new_database_in(folder) as database:
        fill(database)
        purge(database, TENTH, keep_totals=True)
    return folder / "analytics.db"


@pytest.fixture
def numbers(client):
    """Return a function that returns the bodies of all statistics endpoints."""

    def numbers():
        return {path: client.get(f"/analytics/{path}").data for path in STATISTICS}

    return numbers


def remaining(database):
    """Return the number of sessions before February 10 and from then on, then the same two numbers of events."""
    return tuple(
        database.rows(
            """
            select
              (select count(*) from sessions where started_at < :midnight) as old_sessions,
              (select count(*) from sessions where started_at >= :midnight) as young_sessions,
              (select count(*) from events where occurred_at < :midnight) as old_events,
              (select count(*) from events where occurred_at >= :midnight) as young_events
            """,
            midnight=MIDNIGHT,
        )[0].values()
    )


ARCHIVE = {
    "archived_session_counts": "select * from archived_session_counts order by dimension, day, key",
    "archived_event_counts": "select * from archived_event_counts order by day",
    "visitor_days": """
        select visitor_id, day, country_code, archived
        from visitor_days
        where archived <> 0
        order by visitor_id, day, country_code""",
    "fingerprint_days": """
        select fingerprint, day, archived
        from fingerprint_days
        where archived <> 0
        order by fingerprint, day""",
    "session_pages": """
        select session_id, page, day, archived
        from session_pages
        join pages using (page_id)
        where archived <> 0
        order by session_id, page, day""",
}


def archived(database):
    return {table: database.rows(sql) for table, sql in ARCHIVE.items()}


def test_each_transaction_keeps_every_number(database, many, numbers):
    before = numbers()
    calls, states, differences = [], [], []

    def deleted(rows, of):
        calls.append((rows, of))
        states.append(numbers())
        differences.extend(database.verify())

    counts = purge(database, TENTH, keep_totals=True, on_delete=deleted)

    assert calls == [(1_000, 1_785), (185, 1_785), (500, 1_785), (100, 1_785)]
    assert states == [before] * 4
    assert differences == []
    assert counts == {"events": 1_185, "sessions": 600}
    assert remaining(database) == (0, 120, 0, 255)
    assert numbers() == before
    assert database.verify() == []


def test_rebuild_after_purge_keeps_every_number(database, filled, numbers):
    before = numbers()
    purge(database, TENTH, keep_totals=True)

    database.rebuild()

    assert numbers() == before
    assert database.verify() == []


def test_purged_visitor_who_returns_is_not_new(database, insert, get):
    visit = {"visitor_id": "v", "fingerprint": "f", "country": "IN"}
    insert("sessions", session_id="old", started_at=MIDNIGHT - 1, **visit)
    purge(database, TENTH, keep_totals=True)

    insert("sessions", session_id="again", started_at=MIDNIGHT, **visit)
    insert("sessions", session_id="same day", started_at=MIDNIGHT - DAY, **visit)
    insert("sessions", session_id="abroad", started_at=MIDNIGHT, **{**visit, "country": "FR"})

    overview = get("/analytics/overview")
    assert (overview["total_sessions"], overview["unique_visitors"], overview["unique_fingerprints"]) == (4, 1, 1)
    assert get("/analytics/geo") == [
        {"country": "IN", "sessions": 3, "unique_visitors": 1},
        {"country": "FR", "sessions": 1, "unique_visitors": 1},
    ]
    assert [
        (day["date"], day["total_sessions"], day["unique_visitors"]) for day in get("/analytics/sessions/daily")
    ] == [
        ("2026-02-09", 2, 1),
        ("2026-02-10", 2, 1),
    ]
    assert database.verify() == []


def test_later_visits_count_as_without_a_purge(database, filled, tmp_path):
    """Later rows change the statistics in the same way, whether the old rows still exist or were archived."""
    more = [
        (f"more{number}", f"v{number % 400}", f"f{number % 70}", MIDNIGHT + number * 31 * MINUTE, None, 5, 50,
         ("IN", "US")[number % 2], f"site-{number % 12}.example", number % 2)
        for number in range(-90, 90)
    ]  # fmt: skip
    views = [(row[0], "page_view", f"/{number % 50}", row[3]) for number, row in enumerate(more)]

    def later(at):
        at.insert("sessions", SESSION, more)
        at.insert("events", ("session_id", "event_type", "page_url", "occurred_at"), views)
        at.execute("update sessions set visitor_id = 'v1', country = 'FR' where session_id = 'more7'")
        at.execute("delete from sessions where session_id = 'more8'")

    with SQLite(tmp_path / "twin.db").closing() as twin:
        copy(database, twin)
        twin.write(later)
        purge(database, TENTH, keep_totals=True)
        database.write(later)

        ours, theirs = (APIClient(create_app(one, api_keys=[KEY], clock=lambda: NOW)) for one in (database, twin))
        for path in STATISTICS:
            assert ours.get(f"/analytics/{path}").data == theirs.get(f"/analytics/{path}").data
    assert database.verify() == []


def test_late_row_is_counted_and_deleted_by_the_next_purge(database, insert, get):
    visit = {"visitor_id": "v", "country": "IN", "duration": 4_000}
    view = {"session_id": "s", "event_type": "page_view", "page_url": "/"}
    insert("sessions", session_id="s", started_at=MIDNIGHT - 2, **visit)
    insert("events", occurred_at=MIDNIGHT - 2, **view)
    purge(database, TENTH, keep_totals=True)
    insert("sessions", session_id="s", started_at=MIDNIGHT - 1, **visit)
    insert("events", occurred_at=MIDNIGHT - 1, **view)

    late = [get("/analytics/overview"), get("/analytics/pages/top"), get("/analytics/sessions/daily")]
    counts = purge(database, TENTH, keep_totals=True)

    assert counts == {"events": 1, "sessions": 1}
    assert late == [get("/analytics/overview"), get("/analytics/pages/top"), get("/analytics/sessions/daily")]
    assert late[0]["total_sessions"] == 2
    assert late[0]["unique_visitors"] == 1
    assert late[1] == [{"page": "/", "views": 2, "unique_sessions": 1}]
    assert database.verify() == []


def test_lead_of_a_purged_session_that_returns_without_visitor(database, insert):
    insert("sessions", session_id="s", visitor_id="v", started_at=MIDNIGHT - 1)
    insert("leads", session_id="s", enquiry_datetime="2026-02-10 12:00:00")
    purge(database, TENTH, keep_totals=True)

    insert("sessions", session_id="s", visitor_id="", started_at=MIDNIGHT)

    assert database.tuples("select first_started_at, last_started_at from lead_attributions") == [(MIDNIGHT, MIDNIGHT)]
    assert database.verify() == []


def test_session_on_both_sides_of_the_day_is_counted_once(database, insert, get):
    view = {"session_id": "s", "event_type": "page_view", "page_url": "/"}
    insert("events", {"occurred_at": MIDNIGHT - 1, **view}, {"occurred_at": MIDNIGHT, **view})

    purge(database, TENTH, keep_totals=True)

    assert get("/analytics/pages/top") == [{"page": "/", "views": 2, "unique_sessions": 1}]
    assert [row["archived"] for row in archived(database)["session_pages"]] == [1]
    purge(database, date(2026, 2, 11), keep_totals=True)
    assert get("/analytics/pages/top") == [{"page": "/", "views": 2, "unique_sessions": 1}]
    assert [row["archived"] for row in archived(database)["session_pages"]] == [1, 1]
    assert database.verify() == []


def test_purge_of_later_days_counts_remaining_rows(database, filled, numbers):
    before = numbers()
    totals = set()

    first = purge(database, date(2026, 2, 9), keep_totals=True)
    second = purge(database, TENTH, keep_totals=True, on_delete=lambda rows, of: totals.add(of))
    third = purge(database, TENTH, keep_totals=True)

    assert first == {"events": 93, "sessions": 48}
    assert second == {"events": 144, "sessions": 72}
    assert third == {"events": 0, "sessions": 0}
    assert totals == {216}
    assert numbers() == before
    assert database.verify() == []


def test_purge_without_keep_totals_leaves_the_archive(database, filled, get):
    purge(database, date(2026, 2, 9), keep_totals=True)
    archive = archived(database)

    counts = purge(database, TENTH)

    assert counts == {"events": 144, "sessions": 72}
    assert archived(database) == archive
    assert get("/analytics/overview")["total_sessions"] == 72
    assert database.verify() == []


def test_interrupted_purge_keeps_every_number(database, many, numbers):
    before = numbers()

    def stop(rows, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(database, TENTH, keep_totals=True, on_delete=stop)
    half, stopped = remaining(database), numbers()
    counts = purge(database, TENTH, keep_totals=True)

    assert half == (600, 120, 185, 255)
    assert counts == {"events": 185, "sessions": 600}
    assert stopped == numbers() == before
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
        if rows == 1_685:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return written(killed)

database = open_database(sys.argv[1])
written, database.write = database.write, write
purge(database, date(2026, 2, 10), keep_totals=True, on_delete=told)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_killed_purge_keeps_every_number(database, many, numbers):
    before = numbers()

    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_A_COMMIT, database.url], timeout=60)
    half, after = remaining(database), numbers()
    counts = purge(database, TENTH, keep_totals=True)

    assert killed.returncode == -signal.SIGKILL
    assert half == (100, 120, 0, 255)
    assert counts == {"events": 0, "sessions": 100}
    assert after == numbers() == before
    assert database.verify() == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_concurrent_purges_archive_every_row_once(database, many, get):
    def visits():
        with open_database(database.url).closing() as own:
            for number in range(60):
                row = [f"new{number}", f"v{number}", f"f{number % 50}", MIDNIGHT + number, None, 1, 1, "IN", None, 0]
                own.write(lambda at, row=row: at.insert("sessions", SESSION, [row]))

    def purged():
        with open_database(database.url).closing() as own:
            return purge(own, TENTH, keep_totals=True)

    before = get("/analytics/overview")
    with ThreadPoolExecutor() as pool:
        working = [pool.submit(purged), pool.submit(purged), pool.submit(visits)]
        first, second, _ = [work.result() for work in working]

    assert first["events"] + second["events"] == 1_185
    assert first["sessions"] + second["sessions"] == 600
    after = get("/analytics/overview")
    assert after["total_sessions"] == before["total_sessions"] + 60
    assert after["total_events"] == before["total_events"]
    assert (after["unique_visitors"], after["unique_fingerprints"]) == (
        before["unique_visitors"], before["unique_fingerprints"],
    )  # fmt: skip
    assert database.verify() == []


def test_erase_deletes_the_archive_of_a_person(database, insert, get):
    insert(
        "sessions",
        {
            "session_id": "a",
            "visitor_id": "zqx",
            "fingerprint": "print",
            "started_at": MIDNIGHT - DAY - 1,
            "country": "IN",
        },
        {"session_id": "b", "visitor_id": "zqx", "fingerprint": "print", "started_at": MIDNIGHT - 1, "country": "FR"},
        {"session_id": "c", "visitor_id": "zqx", "fingerprint": "print", "started_at": MIDNIGHT, "country": "FR"},
        {"session_id": "d", "visitor_id": "ann", "fingerprint": "ann's", "started_at": MIDNIGHT - 1, "country": "FR"},
    )
    purge(database, TENTH, keep_totals=True)

    receipt = erase(database, visitor="zqx")

    assert {table: rows for table, rows in receipt.items() if rows} == {
        "sessions": 1,
        "visitor_days": 2,
        "fingerprint_days": 2,
    }
    overview = get("/analytics/overview")
    assert (overview["total_sessions"], overview["unique_visitors"], overview["unique_fingerprints"]) == (1, 1, 1)
    assert get("/analytics/geo") == [{"country": "FR", "sessions": 1, "unique_visitors": 1}]
    assert "zqx" not in str(archived(database))
    assert database.verify() == []


def test_erase_of_a_purged_visitor_leaves_the_fingerprint(database, insert):
    insert("sessions", session_id="a", visitor_id="zqx", fingerprint="print", started_at=MIDNIGHT - 1, country="IN")
    purge(database, TENTH, keep_totals=True)

    receipt = erase(database, visitor="zqx")

    assert {table: rows for table, rows in receipt.items() if rows} == {"visitor_days": 1}
    assert [row["fingerprint"] for row in archived(database)["fingerprint_days"]] == ["print"]
    assert database.verify() == []


TARGETS = {"sqlite": lambda path: SQLite(path).closing(), "postgresql": lambda path: postgres.new_database()}


@pytest.mark.parametrize(
    ("database", "engine"), [("sqlite", "postgresql"), ("postgresql", "sqlite")], indirect=["database"]
)
def test_copy_includes_the_archive(database, filled, engine, tmp_path):
    purge(database, TENTH, keep_totals=True)

    with TARGETS[engine](tmp_path / "copy.db") as target:
        copy(database, target)
        archive = archived(target)
        totals = read_totals(target)

    assert archive == archived(database)
    assert totals == read_totals(database)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_backup_includes_the_archive(database, filled, tmp_path):
    purge(database, TENTH, keep_totals=True)

    database.backup(tmp_path / "backup.db")

    with SQLite(tmp_path / "backup.db").closing() as backup:
        assert archived(backup) == archived(database)
        assert backup.verify() == []


TAMPERED = {
    "day_counts": "update day_counts set sessions = sessions + 1 where day = -1",
    "key_counts": "update key_counts set visitors = visitors - 1 where dimension = 1 and key = 'FR'",
    "session_returns": "update session_returns set sessions = sessions + 1 where dimension = 6",
    "visitor_days": "update visitor_days set sessions = sessions + 1 where visitor_id = 'v1'",
    "fingerprint_days": "delete from fingerprint_days where fingerprint = 'f1'",
    "pages": "update pages set views = views + 1 where page = '/1?old'",
    "session_pages": "update session_pages set views = views + 1 where session_id = 's1'",
    "event_counts": "update event_counts set events = events + 1",
}


@pytest.mark.parametrize("counter", TAMPERED)
def test_verify_finds_a_wrong_counter_after_a_purge(purged, tmp_path, counter):
    path = shutil.copy(purged, tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        triggers = connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall()
        sql = "select sql from sqlite_schema where type = 'trigger'"
        definitions = connection.execute(sql).fetchall()
        for (name,) in triggers:
            connection.execute(f"drop trigger {name}")
        connection.execute(TAMPERED[counter])
        for (definition,) in definitions:
            connection.execute(definition)

    with SQLite(path).closing() as database:
        differences = database.verify()
        database.rebuild()

        assert counter in {difference.counter for difference in differences}
        assert database.verify() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        isolated_cwd(monkeypatch, tmp_path)

    def test_purge_prints_row_counts(self, database, filled, numbers):
        before = numbers()

        output = run("purge", "--before", "2026-02-10", "--keep-totals")

        # A purge that takes several seconds prints its progress before these lines.
        assert output.endswith("events: 237 deleted, still counted\nsessions: 120 deleted, still counted\n")
        assert remaining(database) == (0, 24, 0, 51)
        assert numbers() == before
        assert run("verify") == "all counters are correct\n"
