"""Leads and won customers by a property of their sessions, by project and by day."""

import sqlite3
from contextlib import closing
from datetime import date

import pytest
from helpers.client import instant

from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings

COUNTS = ("sessions", "leads", "won", "lost", "open", "lead_rate", "win_rate")
MEDIANS = ("median_days_to_lead", "median_days_to_won")


@pytest.fixture
def visits(insert):
    """Insert sessions of three visitors, leads of two of them, and a lead without a date and without sessions."""
    session = {"visitor_id": "ann", "country": "IN"}
    insert(
        "sessions",
        {**session, "session_id": "a1", "started_at": instant("2026-02-20 10:00:00"), "referrer_domain": "google.com",
         "entry_page": "/?utm_campaign=Spring"},
        {**session, "session_id": "a2", "started_at": instant("2026-02-22 10:00:00"), "entry_page": "/b"},
        {**session, "session_id": "b1", "visitor_id": "bob", "started_at": instant("2026-02-23 10:00:00"),
         "country": "DE", "referrer_domain": "t.co", "entry_page": ""},
        {**session, "session_id": "c1", "visitor_id": "cyd", "started_at": instant("2026-02-23 11:00:00"),
         "referrer_domain": "t.co"},
    )  # fmt: skip
    insert(
        "leads",
        {"lead_id": 1, "enquiry_datetime": "2026-02-22 10:00:00", "visitor_id": "ann", "project_name": "Sky"},
        {"lead_id": 2, "enquiry_datetime": "2026-02-23 22:00:00", "session_id": "b1", "project_name": "Sky",
         "status": "lost"},
        {"lead_id": 3, "enquiry_datetime": "", "visitor_id": "nobody"},
    )  # fmt: skip


INSERT_LEAD_OF_SESSION = """
begin;
insert into sessions (session_id, visitor_id, started_at)
select 'n' || count(*), 'new', 1771920000000
from sessions;
insert into leads (enquiry_datetime, session_id)
select '2026-02-24 08:00:00', max(session_id)
from sessions;
commit;
"""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_response_is_read_from_one_snapshot(database, get):
    """Before each statement of the request, another connection writes a session with a lead."""
    connection = database._handle().statements.connection
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        connection.set_trace_callback(lambda sql: other.executescript(INSERT_LEAD_OF_SESSION))
        try:
            [row] = get("/analytics/conversions?by=total")
        finally:
            connection.set_trace_callback(None)

    assert row["leads"] == row["sessions"] > 0


def move(database, lead_id, status, moment):
    database.write(
        lambda at: at.execute("update leads set status = :status where lead_id = :key", status=status, key=lead_id)
    )
    database.write(
        lambda at: at.execute(
            "update lead_status_changes set changed_at = :moment where lead_id = :key and new_status = :status",
            moment=instant(moment), key=lead_id, status=status,
        )
    )  # fmt: skip


def pick(rows, key, names=COUNTS):
    return [(row[key], *(row[name] for name in names)) for row in rows]


def test_conversions_by_source_count_the_last_session(get, visits):
    rows = get("/analytics/conversions")

    assert pick(rows, "source") == [
        ("t.co", 2, 1, 0, 1, 0, 0.5, 0.0),
        ("(direct)", 1, 1, 0, 0, 1, 1.0, None),
        ("(unknown)", 0, 1, 0, 0, 1, None, None),
        ("google.com", 1, 0, 0, 0, 0, 0.0, None),
    ]


def test_conversions_by_source_count_the_first_session(get, visits):
    rows = get("/analytics/conversions?attribution=first&limit=2")

    assert pick(rows, "source", ("sessions", "leads")) == [("t.co", 2, 1), ("google.com", 1, 1)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("country", [("IN", 3, 1), ("DE", 1, 1), ("(unknown)", 0, 1)]),
        ("entry_page", [("(none)", 2, 1), ("/b", 1, 1), ("(unknown)", 0, 1), ("/?utm_campaign=Spring", 1, 0)]),
        ("campaign", [("(none)", 3, 2), ("(unknown)", 0, 1), ("Spring", 1, 0)]),
        ("project", [("Sky", None, 2), ("(none)", None, 1)]),
        ("day", [("2026-02-20", 1, 0), ("2026-02-22", 1, 1), ("2026-02-23", 2, 1)]),
        ("week", [("2026-02-16", 2, 1), ("2026-02-23", 2, 1)]),
        ("month", [("2026-02-01", 4, 2)]),
    ],
)
def test_conversions_are_grouped_by_each_property(get, visits, by, expected):
    rows = get(f"/analytics/conversions?by={by}")

    assert pick(rows, by, ("sessions", "leads")) == expected


def test_conversions_count_days_of_the_zone(get, visits, database):
    change_settings(database, time_zone="Asia/Kolkata")

    rows = get("/analytics/conversions?by=day&from=2026-02-23&to=2026-02-24")

    assert pick(rows, "day", ("sessions", "leads")) == [("2026-02-23", 2, 0), ("2026-02-24", 0, 1)]


def test_medians_are_linear_between_neighbours(get, visits, database, insert):
    insert(
        "leads", {"lead_id": 4, "enquiry_datetime": "2026-02-24 10:00:00", "visitor_id": "ann", "project_name": "Sky"}
    )
    move(database, 1, "won", "2026-02-25 10:00:00")
    move(database, 4, "won", "2026-02-24 22:00:00")

    rows = get("/analytics/conversions?by=project&to=2026-03-01")

    assert pick(rows, "project", ("won", "win_rate", *MEDIANS)) == [("Sky", 2, 0.6667, 2.0, 1.75)]


def test_filters_choose_sessions_and_their_leads(get, visits):
    rows = get("/analytics/conversions?country=IN")

    assert pick(rows, "source", ("sessions", "leads")) == [("(direct)", 1, 1), ("google.com", 1, 0), ("t.co", 1, 0)]
    assert pick(get("/analytics/conversions?by=day&source=t.co"), "day", ("sessions", "leads")) == [
        ("2026-02-23", 2, 1)
    ]


def test_previous_is_cut_at_this_time_of_day(get, visits, insert):
    insert(
        "leads",
        {"lead_id": 5, "enquiry_datetime": "2026-02-24 09:00:00", "session_id": "c1"},
        {"lead_id": 6, "enquiry_datetime": "2026-02-23 14:59:59", "session_id": "c1"},
    )

    rows = get("/analytics/conversions?days=1&compare=previous")

    [row] = rows
    assert (row["source"], row["sessions"], row["leads"], row["lead_rate"]) == ("t.co", 0, 1, None)
    assert (row["previous"]["sessions"], row["previous"]["leads"], row["previous"]["lead_rate"]) == (2, 1, 0.5)


def test_previous_ends_with_a_day_that_was_purged(get, visits, database):
    purge(database, date(2026, 2, 23), keep_totals=True)

    rows = get("/analytics/conversions?by=project&from=2026-02-23&to=2026-02-26&compare=previous")

    assert [(row["project"], row["leads"], row["previous"]["leads"]) for row in rows] == [("Sky", 1, 0)]


def test_previous_of_a_missing_key_is_zeros(get, visits):
    rows = get("/analytics/conversions?from=2026-02-22&to=2026-02-22&compare=previous")

    assert [row["previous"] for row in rows] == [
        {name: None if "rate" in name or "median" in name else 0 for name in (*COUNTS, *MEDIANS)}
    ]


def test_total_has_all_sessions_and_leads(get, visits):
    days = get("/analytics/conversions?by=total&from=2026-02-22&to=2026-02-23&compare=previous")
    filtered = get("/analytics/conversions?by=total&country=DE")
    nothing = get("/analytics/conversions?by=total&days=1&compare=previous")

    assert pick(get("/analytics/conversions?by=total"), "total") == [("(all)", 4, 3, 0, 1, 2, 0.75, 0.0)]
    assert pick(days, "total") == [("(all)", 3, 2, 0, 1, 1, 0.6667, 0.0)]
    assert [(row["previous"]["sessions"], row["previous"]["leads"]) for row in days] == [(1, 0)]
    assert pick(filtered, "total") == [("(all)", 1, 1, 0, 1, 0, 1.0, 0.0)]
    assert [(row["leads"], row["previous"]["sessions"], row["previous"]["leads"]) for row in nothing] == [(0, 2, 0)]


def test_previous_by_day_is_the_interval_of_the_same_number(get, visits):
    rows = get("/analytics/conversions?by=day&from=2026-02-22&to=2026-02-23&compare=previous")

    assert [(row["day"], row["previous"]["day"], row["previous"]["sessions"]) for row in rows] == [
        ("2026-02-22", "2026-02-20", 1),
        ("2026-02-23", "2026-02-21", 0),
    ]


def test_conversions_after_a_purge_are_the_same(get, visits, database):
    before = [get(f"/analytics/conversions?by={by}&attribution=first") for by in ("source", "campaign", "day")]

    purge(database, date(2026, 2, 23), keep_totals=True)

    assert [get(f"/analytics/conversions?by={by}&attribution=first") for by in ("source", "campaign", "day")] == before
    assert database.verify() == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("by=city", "by must be one of"),
        ("attribution=middle", "attribution must be"),
        ("compare=previous", "compare needs a first day"),
        ("by=day&from=2016-01-01&compare=year", "by must be week or longer for these days: at most 3700 rows"),
        ("by=month&from=0002-01-01&compare=year", "from must be later, or to must be earlier: at most 3700 months"),
    ],
)
def test_conversions_reject_impossible_parameters(client, query, message):
    response = client.get(f"/analytics/conversions?{query}")

    assert response.status_code == 400
    assert message in response.json["error"]
