"""`GET /analytics/dashboard` and `/analytics/current`."""

import pytest
from helpers.client import NOW, instant

from analytics_api.maintenance.site import change_settings

MINUTE = 60_000

SECTIONS = {
    "pages": "/pages/top?limit=10&",
    "entry_pages": "/pages/entry?limit=10&",
    "exit_pages": "/pages/exit?limit=10&",
    "countries": "/geo?",
    "sources": "/sources?limit=10&",
    "engagement": "/engagement?",
}


@pytest.fixture
def visits(insert):
    """Three sessions on two days, and one of January."""
    days = {1: "2026-02-24", 2: "2026-02-23", 3: "2026-02-23", 4: "2026-01-10"}
    for number, day in days.items():
        insert(
            "sessions",
            session_id=f"s{number}",
            visitor_id=f"v{number % 3}",
            started_at=instant(f"{day} 12:00:00"),
            ended_at=instant(f"{day} 12:01:00"),
            duration=MINUTE,
            engagement_score=20 * number,
            country="IN" if number % 2 else "US",
            referrer_domain="google.com",
            entry_page="/",
            exit_page=f"/{number}",
        )
        for page in ("/", f"/{number}"):
            insert(
                "events",
                session_id=f"s{number}",
                event_type="page_view",
                page_url=page,
                occurred_at=instant(f"{day} 12:00:30"),
            )


@pytest.mark.parametrize("days", ["days=30", "from=2026-02-23&to=2026-02-23", "from=2026-01-01&to=2026-02-24"])
def test_sections_are_those_of_their_endpoints(visits, get, days):
    dashboard = get(f"/analytics/dashboard?{days}")

    assert {name: dashboard[name] for name in SECTIONS} == {
        name: get(f"/analytics{path}{days}") for name, path in SECTIONS.items()
    }
    assert {
        **get(f"/analytics/overview?{days}"),
        "page_views": 2 * dashboard["overview"]["total_sessions"],
    } == dashboard["overview"]
    assert dashboard["site"] == get("/analytics/site")
    assert dashboard["realtime"] == get("/analytics/realtime")
    assert dashboard["current"] == get("/analytics/current")


@pytest.mark.parametrize("interval", ["day", "week", "month"])
def test_series_has_page_views(visits, get, interval):
    days = f"from=2026-01-01&to=2026-02-24&interval={interval}"

    series = get(f"/analytics/dashboard?{days}")["series"]

    assert [
        {**row, "page_views": 2 * row["total_sessions"]} for row in get(f"/analytics/sessions/daily?{days}")
    ] == series


@pytest.mark.parametrize(("zone", "hour"), [("UTC", "12:00"), ("Asia/Kolkata", "17:00"), ("America/St_Johns", "08:00")])
def test_series_by_the_hour_has_page_views(database, visits, insert, get, zone, hour):
    change_settings(database, time_zone=zone)
    insert("events", session_id="s1", event_type="page_view", page_url="/x", occurred_at=instant("2026-02-24 12:59:59"))
    insert("events", session_id="s1", event_type="page_view", page_url="", occurred_at=instant("2026-02-24 12:10:00"))
    insert("events", session_id="s1", event_type="click", page_url="/", occurred_at=instant("2026-02-24 12:10:00"))

    series = get("/analytics/dashboard?days=1&fill=true")["series"]

    views = {row["date"][11:16]: row["page_views"] for row in series if row["page_views"]}
    assert views == ({hour: 3} if zone == "UTC" else {hour: 2, f"{int(hour[:2]) + 1:02}:00": 1})


def test_hours_of_purged_days_are_days(database, visits, get):
    database.write(lambda at: at.execute("update site set raw_since = 20508"))  # 2026-02-24

    dashboard = get("/analytics/dashboard?from=2026-02-23&to=2026-02-24")

    assert dashboard["range"]["interval"] == "day"
    assert [row["page_views"] for row in dashboard["series"]] == [4, 2]


@pytest.mark.parametrize(
    ("query", "first", "last", "interval"),
    [
        ("", "2026-01-26", "2026-02-24", "day"),
        ("days=1", "2026-02-24", "2026-02-24", "hour"),
        ("days=2", "2026-02-23", "2026-02-24", "hour"),
        ("days=92", "2025-11-25", "2026-02-24", "day"),
        ("days=93", "2025-11-24", "2026-02-24", "week"),
        ("days=401", "2025-01-20", "2026-02-24", "month"),
        ("days=401&interval=week", "2025-01-20", "2026-02-24", "week"),
        ("to=2026-02-20", "2026-01-10", "2026-02-20", "day"),
        ("to=2026-01-01", "2026-01-01", "2026-01-01", "hour"),
        ("from=2026-02-20", "2026-02-20", "2026-02-24", "day"),
        ("from=2026-02-27", "2026-02-27", "2026-02-27", "hour"),
    ],
    ids=str,
)
def test_range_shows_what_was_resolved(visits, get, query, first, last, interval):
    assert get(f"/analytics/dashboard?{query}")["range"] == {"from": first, "to": last, "interval": interval}


def test_limit_cuts_lists(visits, get):
    dashboard = get("/analytics/dashboard?limit=1")

    assert [len(dashboard[name]) for name in ("pages", "entry_pages", "exit_pages", "sources")] == [1, 1, 1, 1]
    assert len(dashboard["countries"]) == 2


def test_fill_adds_rows_of_zeros(visits, get):
    series = get("/analytics/dashboard?days=30&fill=true")["series"]

    assert (len(series), sum(row["page_views"] for row in series)) == (30, 6)


def test_empty_database_has_every_section(get):
    dashboard = get("/analytics/dashboard?fill=true")

    assert set(dashboard) == {"site", "range", "overview", "series", "realtime", "current", *SECTIONS}
    assert (dashboard["overview"]["page_views"], len(dashboard["series"]), dashboard["pages"]) == (0, 30, [])


def test_current_counts_visitors_of_five_minutes(insert, get):
    starts = {"new": NOW - MINUTE, "old": NOW - 60 * MINUTE, "gone": NOW - 60 * MINUTE, "later": NOW + MINUTE}
    for session, started_at in starts.items():
        insert("sessions", session_id=session, visitor_id=f"v-{session}", started_at=started_at)
    event = {"event_type": "page_view"}
    insert(
        "events",
        {**event, "session_id": "old", "page_url": "/first", "occurred_at": NOW - 4 * MINUTE},
        {**event, "session_id": "old", "page_url": "/last", "occurred_at": NOW - 3 * MINUTE},
        {**event, "session_id": "gone", "page_url": "/gone", "occurred_at": NOW - 6 * MINUTE},
        {**event, "session_id": "none", "page_url": "/none", "occurred_at": NOW},
        {**event, "session_id": "gone", "page_url": "/future", "occurred_at": NOW + 1},
    )

    assert get("/analytics/current") == {"visitors": 2, "pages": [{"page": "/last", "visitors": 1}]}


def test_current_counts_other_events(insert, get):
    insert("sessions", session_id="old", visitor_id="v", started_at=NOW - 60 * MINUTE)
    insert("events", session_id="old", event_type="click", page_url="/x", occurred_at=NOW - MINUTE)

    assert get("/analytics/current") == {"visitors": 1, "pages": []}


def test_current_counts_pages_as_the_statistics_do(database, insert, get):
    database.write(lambda at: at.execute("update site set page_query = 'drop'"))
    for number, page in enumerate(("/a?x=1", "/a#top", "/b", "?")):
        insert("sessions", session_id=f"s{number}", visitor_id=f"v{number}", started_at=NOW)
        insert("events", session_id=f"s{number}", event_type="page_view", page_url=page, occurred_at=NOW)

    assert get("/analytics/current") == {
        "visitors": 4,
        "pages": [{"page": "/a", "visitors": 2}, {"page": "/b", "visitors": 1}],
    }
