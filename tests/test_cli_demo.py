import json
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from helpers.cli import isolated_cwd, query, read_tables, run

from analytics_api import open_database
from analytics_api.maintenance.demo_marker import DemoMark, count_base_rows, find_mark, set_mark
from analytics_api.values.timestamps import now

HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return tmp_path


def count(table):
    return query("analytics.db", f"select count(*) from {table}")[0][0]


def test_demo_fills_a_new_database_consistently(folder):
    output = run("demo")
    rows = (
        count("sessions") + count("events") + count("leads") + count("lead_submissions") + count("lead_status_changes")
    )

    assert output == f"{folder}/analytics.db has {rows:,} generated rows up to now\n"
    assert count("sessions") == 2000
    assert count("leads") == 100
    assert 18_000 < count("events") < 22_000
    assert run("verify") == "all counters are correct\n"


@pytest.mark.parametrize(
    ("options", "sessions", "leads"),
    [
        (["--sessions", 1], 1, 0),
        (["--sessions", 60], 60, 3),
        (["--sessions", 60, "--leads", 0], 60, 0),
        (["--sessions", 5, "--leads", 12], 5, 12),
    ],
)
def test_demo_creates_the_requested_numbers(options, sessions, leads):
    run("demo", *options)

    assert (count("sessions"), count("leads")) == (sessions, leads)
    assert run("verify") == "all counters are correct\n"


def test_demo_covers_the_requested_days_and_pages():
    run("demo", "--sessions", 300, "--days", 3, "--pages", 7)
    now = time.time_ns() // 1_000_000

    ((first, last),) = query("analytics.db", "select min(started_at), max(started_at) from sessions")

    assert now - 3 * DAY - HOUR < first < now - DAY
    assert last <= now
    without_query = "substr(page, 1, instr(page || '?', '?') - 1)"
    assert query("analytics.db", f"select count(distinct {without_query}) from pages") == [(7,)]


def test_demo_ends_now_and_every_endpoint_has_data():
    run("demo", "--sessions", 400)
    now = time.time_ns() // 1_000_000

    last_hour = query("analytics.db", "select count(*) from events where occurred_at > ?", now - HOUR)
    open_sessions = query(
        "analytics.db", "select count(*) from sessions where ended_at is null and started_at > ?", now - HOUR
    )
    stages = query("analytics.db", "select distinct status from leads order by status")
    follow_ups = query("analytics.db", "select count(*) from leads where follow_ups_count > 0")

    assert last_hour > [(0,)]
    assert open_sessions > [(0,)]
    assert stages == [("contacted",), ("lost",), ("new",), ("proposal",), ("qualified",), ("won",)]
    assert follow_ups > [(0,)]


def test_demo_depends_only_on_the_seed():
    for name, options in (("one.db", []), ("same.db", ["--seed", 1]), ("other.db", ["--seed", 2])):
        run("demo", "-d", name, "--sessions", 50, *options)

    one, same, other = (
        query(name, "select visitor_id from sessions order by 1") for name in ("one.db", "same.db", "other.db")
    )

    assert one == same
    assert not set(one) & set(other)


@pytest.mark.parametrize(
    "row",
    [
        "into sessions (session_id, visitor_id, started_at) values ('s', 'v', 100000000000)",
        "into events (session_id, event_type, occurred_at) values ('s', 'click', 100000000000)",
        "into leads (enquiry_datetime) values ('2026-02-23 11:15:00')",
        "into lead_submissions (lead_id, submitted_at) values (1, '2026-02-23 11:15:00')",
    ],
)
def test_demo_rejects_a_database_with_rows(row, folder):
    run("init")
    query("analytics.db", f"insert {row}")
    before = read_tables("analytics.db")

    refused = run("demo", status=1)
    quiet = run("demo", "--if-empty", "--recordings", "recordings")

    assert refused == f"Error: {folder}/analytics.db is not empty; use another database for the demo\n"
    assert quiet == (f"{folder}/analytics.db is not changed: it has rows that `demo` did not generate\n")
    assert read_tables("analytics.db") == before
    assert [path.name for path in folder.iterdir()] == ["analytics.db"]


def test_demo_if_empty_fills_an_empty_database():
    run("init")

    run("demo", "--if-empty", "--sessions", 10)

    assert count("sessions") == 10


def test_demo_writes_recordings_of_its_sessions():
    output = run("demo", "--sessions", 20, "--recordings", "recordings")
    files = sorted(Path("recordings").rglob("*.json"))

    recorded = {path.parent.name for path in files}
    sessions = {session for (session,) in query("analytics.db", "select session_id from sessions")}

    assert output.splitlines()[1] == f"recordings has {len(files):,} recordings"
    assert recorded == sessions
    assert json.loads(files[0].read_text())["session_id"] == files[0].parent.name
    assert Path("recordings/sessions") == files[0].parent.parent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sessions", "0"], "Invalid value for '--sessions': 0 is not in the range x>=1."),
        (["--sessions", "many"], "Invalid value for '--sessions': 'many' is not a valid integer range."),
        (["--leads", "-1"], "Invalid value for '--leads': -1 is not in the range x>=0."),
        (["--pages", "0"], "Invalid value for '--pages': 0 is not in the range x>=1."),
        (["--days", "0"], "Invalid value for '--days': 0 is not in the range 1<=x<=19000."),
        (["--days", "19001"], "Invalid value for '--days': 19001 is not in the range 1<=x<=19000."),
        (["--recordings", "file"], "Invalid value for '--recordings': Directory 'file' is a file."),
    ],
)
def test_demo_rejects_impossible_options_without_a_database(options, message, folder):
    Path("file").touch()

    output = run("demo", *options, status=2)

    assert output.splitlines()[-1] == f"Error: {message}"
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_demo_of_the_longest_past_is_consistent():
    run("demo", "--sessions", 20, "--days", 19_000)

    assert run("verify") == "all counters are correct\n"


def test_demo_with_unwritable_recordings_fails_in_one_line():
    Path("file").touch()

    output = run("demo", "--sessions", 5, "--recordings", "file/recordings", status=1)

    assert output.splitlines()[-1] == "Error: file/recordings: Not a directory"
    assert count("sessions") == 5


@pytest.fixture
def yesterdays_demo(folder):
    """Load demo data into `analytics.db`, and mark it as loaded yesterday."""
    run("demo", "--sessions", 40)
    with open_database("analytics.db").closing() as database:
        database.write(lambda at: at.execute("delete from events where occurred_at > :day", day=now() - DAY))
        database.write(lambda at: set_mark(at, DemoMark(now() - DAY, count_base_rows(at))))


def test_demo_of_an_earlier_day_is_replaced(yesterdays_demo):
    run("demo", "--if-empty", "--sessions", 50)

    assert count("sessions") == 50
    assert query("analytics.db", "select count(*) from events where occurred_at > ?", now() - HOUR) > [(0,)]
    assert run("verify") == "all counters are correct\n"


def test_demo_of_today_is_not_replaced(folder):
    run("demo", "--sessions", 40)
    before = read_tables("analytics.db")

    assert run("demo", "--if-empty", "--sessions", 50) == ""
    assert read_tables("analytics.db") == before


def test_demo_with_other_rows_is_not_replaced(yesterdays_demo, folder):
    query("analytics.db", "insert into leads (enquiry_datetime) values ('2026-02-23 11:15:00')")
    before = read_tables("analytics.db")

    output = run("demo", "--if-empty")

    assert output.startswith(f"{folder}/analytics.db is not changed: it has generated rows up to ")
    assert output.endswith(", and other rows; delete the file for a new demo\n")
    assert read_tables("analytics.db") == before


def test_import_rejects_a_demo(folder):
    run("demo", "--sessions", 5)
    Path("leads.csv").write_text("lead_id,enquiry_datetime\n900,2026-02-23 11:15:00\n")

    refused = run("import", "leads.csv", status=1)
    leads = count("leads")
    run("import", "--into-demo", "leads.csv")

    assert refused == (
        f"Error: {folder}/analytics.db has rows that `demo` generated; import into another database, "
        "or pass --into-demo\n"
    )
    assert count("leads") == leads + 1


def test_copy_of_a_demo_is_a_demo(folder):
    run("demo", "--sessions", 5)
    run("copy", "analytics.db", "copy.db")

    with open_database("copy.db").closing() as copy, open_database("analytics.db").closing() as database:
        assert find_mark(copy) == find_mark(database) is not None


def test_other_databases_are_not_marked_as_demo(folder):
    run("init")

    with open_database("analytics.db").closing() as database:
        assert find_mark(database) is None


def test_init_reports_demo_rows(folder):
    run("demo", "--sessions", 5)

    output = run("init")

    assert output.startswith(f"{folder}/analytics.db: 5 sessions, ")
    assert output.endswith(f" leads (generated rows up to {datetime.now(timezone.utc).date()})\n")
