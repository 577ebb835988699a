"""If files are imported again after their days were purged and archived, no row is counted twice."""

import sqlite3
from datetime import date

import pytest
from helpers.access_logs import line
from helpers.counters import read_totals
from helpers.importing import import_text, select

from analytics_api.imports import import_access_log, import_database
from analytics_api.maintenance import site
from analytics_api.maintenance.purge import purge

pytestmark = pytest.mark.writes

SESSIONS = """session_id,visitor_id,started_at,ended_at
old,v,2026-02-22T23:59:59.999Z,2026-02-23T00:10:00Z
new,v,2026-02-23T00:00:00Z,2026-02-23T00:10:00Z
"""
EVENTS = """event_id,session_id,event_type,page_url,occurred_at
1,old,page_view,/,2026-02-22T23:59:59.999Z
2,old,page_view,/b,2026-02-23T00:00:00Z
3,new,page_view,/b,2026-02-23T00:00:00Z
"""
SQL = """create table sessions (session_id text primary key, visitor_id text, started_at integer);
insert into sessions values ('old', 'v', 1771804799999), ('new', 'v', 1771804800000);
create table events (event_id integer primary key, session_id text, event_type text, occurred_at integer);
insert into events values (1, 'old', 'page_view', 1771804799999), (2, 'new', 'page_view', 1771804800000);
"""


def counters(database):
    return read_totals(database), sorted(select(database, "day, sessions, visitors", "day_counts where sessions <> 0"))


def purge_totals(database):
    purge(database, date(2026, 2, 23), keep_totals=True)


@pytest.mark.parametrize("on_conflict", ["ignore", "update"])
def test_csv_of_purged_days_is_skipped(database, on_conflict):
    import_text(database, SESSIONS, table="sessions")
    import_text(database, EVENTS, table="events")
    before = counters(database)
    purge_totals(database)

    sessions = import_text(database, SESSIONS, table="sessions", on_conflict=on_conflict)
    events = import_text(database, EVENTS, table="events", on_conflict=on_conflict)

    assert (sessions.tables["sessions"].purged, events.tables["events"].purged) == (1, 1)
    assert "1 of purged days left out" in sessions.lines()[0]
    assert counters(database) == before
    assert select(database, "session_id", "sessions") == [("new",)]
    assert select(database, "event_id", "events") == [(2,), (3,)]
    assert database.verify() == []


def test_sql_dump_of_purged_days_is_skipped(database):
    import_text(database, SQL)
    before = counters(database)
    purge_totals(database)

    report = import_text(database, SQL)

    assert [(counts.purged, counts.existing) for counts in report.tables.values()] == [(1, 1), (1, 1)]
    assert counters(database) == before
    assert database.verify() == []


def test_sqlite_file_of_purged_days_is_skipped(database, tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.executescript(SQL)
    other.close()
    import_database(database, path)
    before = counters(database)
    purge_totals(database)

    report = import_database(database, path)

    assert [counts.purged for counts in report.tables.values()] == [1, 1]
    assert counters(database) == before


def test_log_of_purged_days_is_skipped(database):
    log = [
        line("23:58:00", "/", day="22/Feb/2026"),
        line("00:05:00", "/b", day="23/Feb/2026"),
        line("12:00:00", "/c", day="23/Feb/2026"),
    ]
    import_access_log(database, log)
    before = counters(database)
    purge_totals(database)

    report = import_access_log(database, log)

    assert report.tables["events"].purged == 1
    assert report.tables["events"].existing == 2
    assert counters(database) == before
    assert database.verify() == []


def test_purged_days_are_in_the_time_zone_of_the_site(database):
    site.change_settings(database, time_zone="Asia/Kolkata")
    text = "session_id,visitor_id,started_at\nold,v,2026-02-22T18:29:59Z\nnew,v,2026-02-22T18:30:00Z\n"
    import_text(database, text, table="sessions")
    purge_totals(database)

    report = import_text(database, text, table="sessions")

    assert report.lines()[0] == "sessions: 0 of 2 rows written, 1 existing or repeated, 1 of purged days left out"


@pytest.mark.parametrize(
    ("zones", "raw_since"),
    [
        (("America/New_York", "Asia/Kolkata"), "2026-02-24"),
        (("Asia/Kolkata", "America/New_York"), "2026-02-23"),
        (("Pacific/Kiritimati", "Etc/GMT+12"), "2026-02-23"),
        (("America/New_York", "Asia/Kolkata", "America/New_York"), "2026-02-24"),
    ],
    ids=["east", "west", "far_west", "east_and_back"],
)
def test_purged_days_end_later_in_a_zone_further_east(database, get, zones, raw_since):
    site.change_settings(database, time_zone=zones[0])
    hours = "".join(f"{hour},v,2026-02-22T{hour:02}:30:00Z\n" for hour in range(24))
    text = f"session_id,visitor_id,started_at\n{hours}"
    text += "a,v,2026-02-23T04:59:59Z\nb,v,2026-02-23T05:00:00Z\nc,v,2026-02-24T12:00:00Z\n"
    import_text(database, text, table="sessions")
    purge_totals(database)
    for zone in zones[1:]:
        site.change_settings(database, time_zone=zone)

    import_text(database, text, table="sessions")

    assert read_totals(database)["sessions"] == 27
    assert get("/analytics/site")["raw_since"] == raw_since
    assert database.verify() == []


def test_purge_without_totals_does_not_limit_imports(database):
    import_text(database, SESSIONS, table="sessions")
    purge(database, date(2026, 2, 23))

    report = import_text(database, SESSIONS, table="sessions")

    assert (report.tables["sessions"].written, report.tables["sessions"].purged) == (1, 0)
