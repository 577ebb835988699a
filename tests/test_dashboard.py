"""The dashboard, which has several statistics in one response: its sections, its range and its snapshot."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path

import pytest
from helpers.client import NOW, instant

from analytics_api import Context
from analytics_api.endpoints.dashboard import SECTIONS, dashboard
from analytics_api.errors import InvalidRequest

DAY = 86_400_000
DOCUMENTED = re.findall(
    r"^GET (/analytics/\S+)$", Path(__file__).parents[1].joinpath("docs/querying.md").read_text(encoding="utf-8"), re.M
)
SESSION = (
    "session_id",
    "visitor_id",
    "started_at",
    "ended_at",
    "engagement_score",
    "entry_page",
    "exit_page",
    "country",
    "referrer_domain",
)
ENDPOINTS = {
    "pages": "pages/top?limit=10&",
    "entry_pages": "pages/entry?limit=10&",
    "exit_pages": "pages/exit?limit=10&",
    "countries": "geo?",
    "sources": "sources?limit=10&",
    "engagement": "engagement?",
}


@pytest.fixture
def filled(insert):
    """Insert a session on each of 40 days, and 12 more sessions today. Each has a page view."""
    starts = [NOW - number * DAY for number in range(40)] + [NOW - number * 600_000 for number in range(12)]
    insert(
        "sessions",
        *(
            {
                "session_id": f"s{number}",
                "visitor_id": f"v{number % 7}",
                "started_at": started_at,
                "ended_at": started_at + 1000,
                "duration": 1000 * number,
                "engagement_score": number,
                "entry_page": f"/entry{number % 12}",
                "exit_page": f"/exit{number % 12}",
                "country": "IN" if number % 3 else None,
                "referrer_domain": f"{number % 11}.example",
            }
            for number, started_at in enumerate(starts)
        ),
    )
    insert(
        "events",
        *(
            {
                "session_id": f"s{number}",
                "event_type": "page_view",
                "page_url": f"/page{number % 13}",
                "occurred_at": started_at,
            }
            for number, started_at in enumerate(starts)
        ),
    )


def test_sections_equal_their_endpoints(filled, get):
    days = "from=2026-02-10&to=2026-02-24"

    page = get(f"/analytics/dashboard?{days}")

    assert list(page) == ["site", "range", *SECTIONS]
    assert page["site"] == get("/analytics/site")
    assert {name: page[name] for name in ENDPOINTS} == {
        name: get(f"/analytics/{endpoint}{days}") for name, endpoint in ENDPOINTS.items()
    }
    assert page["overview"] == {**get(f"/analytics/overview?{days}"), "page_views": 27}
    assert page["realtime"] == get("/analytics/realtime")
    assert page["current"] == get("/analytics/current")


def test_compared_sections_equal_their_endpoints(filled, get):
    for compare in ("previous", "year"):
        query = f"from=2026-02-10&to=2026-02-24&country=IN&compare={compare}"

        page = get(f"/analytics/dashboard?limit=3&{query}")

        assert {name: page[name] for name in ENDPOINTS} == {
            name: get(f"/analytics/{endpoint.replace('limit=10', 'limit=3')}{query}")
            for name, endpoint in ENDPOINTS.items()
        }


def test_filtered_hours_have_views_of_sessions_of_other_days(insert, get):
    starts = {
        "a": ("IN", "2026-02-23 23:30:00"),
        "b": ("IN", "2026-02-24 00:20:00"),
        "c": ("DE", "2026-02-24 00:20:00"),
    }
    views = {"a": ["23 23:40", "24 00:10"], "b": ["23 23:50", "24 00:30", "24 02:00"], "c": ["24 00:30"]}
    for session_id, (country, start) in starts.items():
        session = {"session_id": session_id, "visitor_id": "v", "started_at": instant(start), "country": country}
        insert("sessions", session)
        for moment in views[session_id]:
            event = {
                "session_id": session_id,
                "event_type": "page_view",
                "occurred_at": instant(f"2026-02-{moment}:00"),
            }
            insert("events", {**event, "page_url": "/"}, {**event, "page_url": ""}, {**event, "event_type": "click"})

    for days, earlier in ((1, {}), (2, {"2026-02-23T23": 2})):
        series = get(f"/analytics/dashboard?days={days}&country=IN&interval=hour&fill=true&sections=series")["series"]
        counts = {row["date"][:13]: row["page_views"] for row in series if row["page_views"]}
        assert counts == {**earlier, "2026-02-24T00": 2, "2026-02-24T02": 1}


def test_chosen_section_equals_that_of_the_whole_page(filled, get):
    for query in ("days=1", "days=1&country=IN", "days=1&country=IN&compare=previous", "days=7&lead=false"):
        page = get(f"/analytics/dashboard?{query}")

        for name in SECTIONS:
            chosen = get(f"/analytics/dashboard?{query}&sections={name}")
            assert chosen == {section: page[section] for section in ("site", "range", name)}


def test_series_has_page_views(filled, get):
    for interval, first, rows in (
        ("hour", {"date": "2026-02-24T13:00+00:00", "page_views": 5}, 3),
        ("day", {"date": "2026-02-24", "page_views": 13}, 1),
        ("week", {"date": "2026-02-23", "page_views": 13}, 1),
        ("month", {"date": "2026-02-01", "page_views": 13}, 1),
    ):
        series = get(f"/analytics/dashboard?days=1&interval={interval}&sections=series")["series"]

        assert {name: series[0][name] for name in first} == first
        assert len(series) == rows
        assert sum(row["page_views"] for row in series) == 13
        assert [{**row, "page_views": None} for row in series] == [
            {**row, "page_views": None} for row in get(f"/analytics/sessions/daily?days=1&interval={interval}")
        ]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ("2026-01-26", "2026-02-24", "day")),
        ("days=2", ("2026-02-23", "2026-02-24", "hour")),
        ("days=3", ("2026-02-22", "2026-02-24", "day")),
        ("days=92", ("2025-11-25", "2026-02-24", "day")),
        ("days=93", ("2025-11-24", "2026-02-24", "week")),
        ("days=400", ("2025-01-21", "2026-02-24", "week")),
        ("days=401", ("2025-01-20", "2026-02-24", "month")),
        ("from=2026-02-20", ("2026-02-20", "2026-02-24", "day")),
        ("from=2026-03-01", ("2026-03-01", "2026-03-01", "hour")),
        ("to=2026-01-31", ("2026-01-16", "2026-01-31", "day")),
        ("to=2026-01-01", ("2026-01-01", "2026-01-01", "hour")),
        ("days=2&interval=month", ("2026-02-23", "2026-02-24", "month")),
        ("from=1950-01-01&to=1960-01-01", ("1950-01-01", "1960-01-01", "month")),
        ("to=1960-01-01", ("1960-01-01", "1960-01-01", "hour")),
    ],
)
def test_range_is_resolved(insert, client, query, expected):
    insert("sessions", session_id="first", visitor_id="ann", started_at=NOW - 39 * DAY)

    response = client.get(f"/analytics/dashboard?sections=overview&{query}")

    assert response.json["range"] == dict(zip(("from", "to", "interval", "filters"), (*expected, {}), strict=True))
    assert response.headers["Analytics-Range"] == "/".join(expected[:2])


def test_default_interval_of_purged_days_is_not_hours(filled, database, get):
    database.write(lambda at: at.execute("update site set raw_since = :day", day=NOW // DAY))

    assert get("/analytics/dashboard?days=2&sections=series")["range"]["interval"] == "day"
    assert get("/analytics/dashboard?days=1&sections=series")["range"]["interval"] == "hour"


def test_filters_are_not_resolved_for_sections_that_ignore_them(monkeypatch, filled, get):
    monkeypatch.setattr("analytics_api.statistics.matching.resolve_conditions", None)

    page = get("/analytics/dashboard?sections=realtime,current&event_type=click&compare=previous")

    assert (page["realtime"], page["current"]) == (get("/analytics/realtime"), get("/analytics/current"))


def test_sections_are_chosen(filled, get):
    assert list(get("/analytics/dashboard?sections=Series, overview,")) == ["site", "range", "overview", "series"]
    assert list(get("/analytics/dashboard?sections=,")) == ["site", "range", *SECTIONS]


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("sections=overview,map", f"sections must be one or more of {', '.join(SECTIONS)}, separated by commas"),
        ("days=7&from=2026-02-01", "days cannot be combined with from or to"),
        ("from=2026-02-02&to=2026-02-01", "from must not be after to"),
        ("interval=year", "interval must be one of hour, day, week, month"),
        ("sections=realtime&visitor=old", "visitor must be one of new, returning"),
    ],
)
def test_invalid_parameters_are_400(client, query, error):
    response = client.get(f"/analytics/dashboard?{query}")

    assert (response.status_code, response.json) == (400, {"error": error})


def test_documented_requests_succeed(filled, insert, client):
    insert(
        "sessions",
        session_id="priced",
        visitor_id="ann",
        started_at=NOW,
        ended_at=NOW,
        engagement_score=70,
        entry_page="/Caf\u00e9",
    )
    insert(
        "events", session_id="priced", event_type="page_view", page_url="https://example.com/pricing", occurred_at=NOW
    )

    assert {path: client.get(path).status_code for path in DOCUMENTED} == dict.fromkeys(DOCUMENTED, 200)


def test_dashboard_is_a_function(filled, database):
    ctx = Context(database, None, NOW)

    page = dashboard(ctx, from_=date(2026, 2, 20), sections=["overview"])

    assert page["overview"]["page_views"] == 17
    assert dashboard(replace(ctx, now=instant("2026-01-20 00:00:00")), 1, sections=["overview"])["range"] == {
        "from": "2026-01-20",
        "to": "2026-01-20",
        "interval": "hour",
        "filters": {},
    }


@pytest.mark.any_engine
def test_dashboard_function_rejects_a_text_of_sections(database):
    with pytest.raises(InvalidRequest) as error:
        dashboard(Context(database, None, NOW), sections="overview")

    assert str(error.value) == "sections must be a list such as ['overview', 'series'], not 'overview'"


@pytest.mark.writes
def test_sections_agree_while_rows_are_written(database):
    """Each transaction adds a session with a view today, and one a week ago. All sections count the same sessions."""
    stop = threading.Event()

    def write():
        for number in count():
            if stop.is_set():
                return
            database.write(lambda at, number=number: insert_visits(at, number))

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        counts, deadline = [], time.monotonic() + 60
        try:
            while len(set().union(*counts)) < 20 and time.monotonic() < deadline:
                counts.append(count_everywhere(dashboard(Context(database, None, NOW), 7, compare="previous")))
        finally:
            stop.set()
        writing.result()

    assert {len(numbers) for numbers in counts} == {1}
    assert len(set().union(*counts)) == 20


def insert_visits(at, number):
    for prefix, started_at in (("s", NOW), ("earlier", NOW - 7 * DAY - 60_000)):
        session_id = f"{prefix}{number}"
        session = (session_id, session_id, started_at, started_at, 50, "/in", "/out", "IN", "a.example")
        at.insert("sessions", SESSION, [session])
        view = (session_id, "page_view", "/", started_at)
        at.insert("events", ("session_id", "event_type", "page_url", "occurred_at"), [view])


def count_everywhere(page):
    """Return the set of all counts in the sections, of today and of a week ago. It has one number if all are equal."""
    measures = [(page["overview"], ("total_sessions", "page_views", "total_events"))]
    measures += [(row, ("total_sessions", "page_views")) for row in page["series"]]
    measures += [(row, ("views", "unique_sessions")) for row in page["pages"]]
    measures += [(row, ("sessions", "unique_visitors")) for row in page["countries"]]
    measures += [(row, ("sessions",)) for name in ("entry_pages", "exit_pages", "sources") for row in page[name]]
    measures.append((page["engagement"][2], ("count",)))
    numbers = {row[name] for row, names in measures for name in names}
    numbers |= {row["previous"][name] for row, names in measures for name in names}
    return numbers | {page["realtime"]["total_sessions_today"], page["current"]["visitors"]}
