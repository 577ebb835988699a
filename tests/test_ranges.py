from datetime import date

import pytest
from helpers.client import NOW, instant
from helpers.random_rows import offsets_of

from analytics_api.context import Context
from analytics_api.endpoints import geo, overview, sessions
from analytics_api.values.calendar import Offset, to_day

RANGED = ["overview", "sessions/daily", "pages/top", "pages/entry", "pages/exit", "geo", "engagement", "sources"]


@pytest.fixture
def visit(insert):
    """Return a function that inserts a session for each start. By default, each session has a new visitor."""
    ids = iter(range(100_000))

    def visit(*started, **values):
        rows = []
        for text in started:
            session_id = f"s{next(ids)}"
            rows.append({"session_id": session_id, "visitor_id": session_id, "started_at": instant(text), **values})
        insert("sessions", *rows)

    return visit


@pytest.fixture
def in_zone(database):
    """Return a function that sets the site's time zone in an empty database."""

    def in_zone(name):
        def work(at):
            at.execute("update site set time_zone = :name", name=name)
            at.execute("delete from site_offsets")
            at.insert("site_offsets", Offset._fields, offsets_of(name))

        database.write(work)

    return in_zone


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2026-02-30", "from must be a date such as 2026-02-28"),
        ("from=2026-2-3", "from must be a date such as 2026-02-28"),
        ("from=20260203", "from must be a date such as 2026-02-28"),
        ("from=0000-01-01", "from must be a date such as 2026-02-28"),
        ("to=yesterday", "to must be a date such as 2026-02-28"),
        ("from=2026-03-01&to=2026-02-28", "from must not be after to"),
        ("days=7&from=2026-02-01", "days cannot be combined with from or to"),
        ("days=7&to=2026-02-01", "days cannot be combined with from or to"),
        ("days=week", "days must be an integer"),
    ],
    ids=["no such day", "short", "dense", "year 0", "word", "reversed", "days and from", "days and to", "days"],
)
@pytest.mark.any_engine
def test_range_that_cannot_be_parsed_is_rejected(client, query, message):
    for path in RANGED:
        response = client.get(f"/analytics/{path}?{query}")

        assert (response.status_code, response.json) == (400, {"error": message}), path
        assert "Analytics-Range" not in response.headers


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("from=2026-02-01&to=2026-03-02", "2026-02-01/2026-03-02"),
        ("from=2026-02-01", "2026-02-01/.."),
        ("to=2026-03-02", "../2026-03-02"),
        ("from=2026-02-24&to=2026-02-24", "2026-02-24/2026-02-24"),
        ("days=1", "2026-02-24/2026-02-24"),
        ("days=30", "2026-01-26/2026-02-24"),
        ("days=0", "2026-02-24/2026-02-24"),
        ("days=7&from=&to=", "2026-02-18/2026-02-24"),
        ("days=&from=2026-02-01", "2026-02-01/.."),
    ],
    ids=["both", "open end", "open start", "one day", "today", "30 days", "clamped", "empty ends", "empty days"],
)
@pytest.mark.any_engine
def test_responses_have_a_header_with_their_range(client, query, header):
    for path in RANGED:
        response = client.get(f"/analytics/{path}?{query}")
        again = client.get(f"/analytics/{path}?{query}", headers={"If-None-Match": response.headers["ETag"]})

        assert (response.status_code, response.headers["Analytics-Range"]) == (200, header), path
        assert (again.status_code, again.headers["Analytics-Range"]) == (304, header), path


@pytest.mark.parametrize(
    ("path", "first"), [("sessions/daily", "2025-11-27"), ("overview", "2016-02-18")], ids=["90", "3660"]
)
@pytest.mark.any_engine
def test_days_are_clamped(client, path, first):
    response = client.get(f"/analytics/{path}?days=999999")

    assert response.headers["Analytics-Range"] == f"{first}/2026-02-24"


@pytest.mark.shared_database
@pytest.mark.parametrize("path", [path for path in RANGED if path != "sessions/daily"])
@pytest.mark.any_engine
def test_all_time_has_no_range(client, path):
    response = client.get(f"/analytics/{path}")

    assert response.status_code == 200
    assert "Analytics-Range" not in response.headers


@pytest.mark.any_engine
def test_browsers_may_read_the_range(serve):
    client = serve(cors_origins=["https://dash.example"])

    response = client.get("/analytics/geo?days=1", headers={"Origin": "https://dash.example"})

    assert "Analytics-Range" in response.headers["Access-Control-Expose-Headers"].split(", ")


def test_range_counts_a_visitor_once(visit, get):
    visit("2026-02-10 10:00:00", "2026-02-20 10:00:00", "2026-02-21 10:00:00", visitor_id="ann", country="IN")

    assert get("/analytics/geo?from=2026-02-20") == [{"country": "IN", "sessions": 2, "unique_visitors": 1}]
    assert get("/analytics/geo?to=2026-02-20") == [{"country": "IN", "sessions": 2, "unique_visitors": 1}]
    assert get("/analytics/overview?from=2026-02-21")["unique_visitors"] == 1


def test_open_end_includes_the_future(visit, get):
    visit("2026-02-24 10:00:00", "2031-01-01 00:00:00", "9999-12-31 23:59:59")

    assert get("/analytics/overview?from=2026-02-24")["total_sessions"] == 3
    assert get("/analytics/overview?days=1")["total_sessions"] == 1


def test_days_are_in_the_time_zone_of_the_site(in_zone, visit, serve):
    in_zone("Asia/Kolkata")
    visit("2026-02-23 18:29:59", "2026-02-23 18:30:00", "2026-02-24 18:30:00")
    client = serve(now=instant("2026-02-24 18:29:59"))

    today = client.get("/analytics/sessions/daily?days=1")

    assert today.headers["Analytics-Range"] == "2026-02-24/2026-02-24"
    assert [row["total_sessions"] for row in today.json] == [1]


def test_cached_response_expires_at_the_sites_midnight(in_zone, visit, serve):
    in_zone("Asia/Kolkata")
    visit("2026-02-24 12:00:00")
    before = serve(now=instant("2026-02-24 18:29:59.999"))
    after = serve(now=instant("2026-02-24 18:30:00"))

    counts = [client.get("/analytics/overview?days=1").json["total_sessions"] for client in (before, after, before)]

    assert counts == [1, 0, 1]


def row(date, count=1, visitors=None):
    visitors = count if visitors is None else visitors
    return {
        "date": date,
        "total_sessions": count,
        "unique_visitors": visitors,
        "avg_duration": 0.0,
        "avg_engagement": 0.0,
    }


def test_weeks_begin_on_monday_and_count_only_the_range(visit, get):
    visit("2026-02-15 10:00:00", "2026-02-16 10:00:00", "2026-02-18 10:00:00", "2026-02-22 23:00:00", visitor_id="ann")
    visit("2026-02-23 10:00:00", visitor_id="ann")

    rows = get("/analytics/sessions/daily?from=2026-02-17&to=2026-02-23&interval=week")

    assert rows == [row("2026-02-16", 2, 1), row("2026-02-23")]


def test_months_begin_on_the_first(visit, get):
    visit("2025-12-31 10:00:00", "2026-01-01 10:00:00", "2026-01-31 10:00:00", "2026-02-01 10:00:00", visitor_id="ann")

    rows = get("/analytics/sessions/daily?from=2025-12-15&interval=month")

    assert rows == [row("2025-12-01"), row("2026-01-01", 2, 1), row("2026-02-01")]


def test_hours_show_the_offset(in_zone, visit, get):
    in_zone("Asia/Kolkata")
    visit("2026-02-22 07:30:00", "2026-02-22 08:29:59", "2026-02-22 08:30:00", visitor_id="ann")

    rows = get("/analytics/sessions/daily?from=2026-02-22&to=2026-02-22&interval=hour")

    assert rows == [row("2026-02-22T13:00+05:30", 2, 1), row("2026-02-22T14:00+05:30")]


def test_equal_hours_of_an_autumn_night_are_two_rows(in_zone, visit, get):
    in_zone("Europe/Berlin")
    visit("2025-10-26 00:30:00", "2025-10-26 01:30:00")

    rows = get("/analytics/sessions/daily?from=2025-10-26&to=2025-10-26&interval=hour")

    assert rows == [row("2025-10-26T02:00+02:00"), row("2025-10-26T02:00+01:00")]


@pytest.mark.parametrize(
    ("query", "dates"),
    [
        ("from=2026-02-22&to=2026-02-24", ["2026-02-22", "2026-02-23", "2026-02-24"]),
        ("from=2026-02-23", ["2026-02-23", "2026-02-24"]),
        ("to=2026-02-21", ["2026-02-20", "2026-02-21"]),
        ("from=2026-02-01&interval=week", ["2026-01-26", "2026-02-02", "2026-02-09", "2026-02-16", "2026-02-23"]),
        ("from=2025-12-31&to=2026-02-01&interval=month", ["2025-12-01", "2026-01-01", "2026-02-01"]),
        ("days=3", ["2026-02-22", "2026-02-23", "2026-02-24"]),
    ],
    ids=["days", "open end", "open start", "weeks", "months", "days=3"],
)
def test_fill_adds_rows_of_zeros(visit, get, query, dates):
    visit("2026-02-20 10:00:00")

    rows = get(f"/analytics/sessions/daily?{query}&fill=true")

    assert [rows["date"] for rows in rows] == dates
    assert rows[-1] == row(dates[-1], 0) or dates[-1] == "2026-02-20"


def test_fill_omits_a_skipped_day(in_zone, get):
    in_zone("Pacific/Apia")

    rows = get("/analytics/sessions/daily?from=2011-12-29&to=2011-12-31&fill=true")

    assert rows == [row("2011-12-29", 0), row("2011-12-31", 0)]


def test_fill_of_hours_has_25_in_autumn(in_zone, get):
    in_zone("Europe/Berlin")

    rows = get("/analytics/sessions/daily?from=2025-10-26&to=2025-10-26&interval=hour&fill=true")

    assert len(rows) == 25
    assert rows[2:4] == [row("2025-10-26T02:00+02:00", 0), row("2025-10-26T02:00+01:00", 0)]


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("query", "interval"),
    [
        ("from=2016-01-01&to=2026-02-24&fill=true", "week"),
        ("from=1950-01-01&to=2026-02-24&interval=week&fill=true", "month"),
        ("from=2025-09-01&to=2026-02-24&interval=hour&fill=true", "day"),
        ("from=2000-01-01&to=2026-02-24&interval=hour&fill=true", "week"),
    ],
    ids=["day", "week", "hour", "hours of years"],
)
@pytest.mark.any_engine
def test_too_many_rows_name_the_interval_that_fits(client, query, interval):
    response = client.get(f"/analytics/sessions/daily?{query}")

    assert response.status_code == 400
    assert response.json == {"error": f"interval must be {interval} or longer for these days: at most 3700 rows"}


@pytest.mark.any_engine
def test_daily_returns_at_most_3700_rows(client):
    most = client.get("/analytics/sessions/daily?from=2016-01-01&to=2026-02-16&fill=true")

    assert len(most.json) == 3700


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("interval=year", "interval must be one of hour, day, week, month"),
        ("fill=yes", "fill must be true or false"),
        ("from=0001-01-01&interval=month&fill=true", "from must be later, or to must be earlier: at most 3700 months"),
    ],
    ids=["interval", "fill", "months"],
)
@pytest.mark.any_engine
def test_daily_rejects_impossible_ranges(client, query, message):
    response = client.get(f"/analytics/sessions/daily?{query}")

    assert (response.status_code, response.json) == (400, {"error": message})


def test_hours_of_purged_days_are_rejected(database, client):
    database.write(lambda at: at.execute("update site set raw_since = 20508"))  # 2026-02-24

    refused = client.get("/analytics/sessions/daily?from=2026-02-23&interval=hour")
    allowed = client.get("/analytics/sessions/daily?from=2026-02-24&interval=hour")

    message = "interval=hour: the range must not begin before 2026-02-24: older sessions were purged"
    assert (refused.status_code, refused.json) == (400, {"error": message})
    assert allowed.status_code == 200


def test_entry_and_exit_pages_are_ranked(visit, get):
    visit("2026-02-24 10:00:00", "2026-02-24 11:00:00", entry_page="/b", exit_page="/z")
    visit("2026-02-23 10:00:00", entry_page="/a")
    visit("2026-02-24 10:00:00", entry_page="/a", exit_page="")

    assert get("/analytics/pages/entry") == [{"page": "/a", "sessions": 2}, {"page": "/b", "sessions": 2}]
    assert get("/analytics/pages/entry?days=1&limit=1") == [{"page": "/b", "sessions": 2}]
    assert get("/analytics/pages/exit?days=1") == [{"page": "/z", "sessions": 2}]


def test_site_describes_the_calendar(in_zone, visit, get):
    in_zone("Asia/Kolkata")
    empty = get("/analytics/site")
    visit("2025-01-02 18:30:00")

    assert empty == {
        "time_zone": "Asia/Kolkata",
        "today": "2026-02-24",
        "page_query": "keep",
        "first_day": None,
        "raw_since": None,
        "demo": False,
        "collect_hosts": [],
        "machines_today": 0,
    }
    assert get("/analytics/site")["first_day"] == "2025-01-03"


def test_site_returns_the_requests_of_machines_today(in_zone, insert, get):
    in_zone("Asia/Kolkata")
    today = to_day(date(2026, 2, 24))
    insert(
        "collector_machines",
        {"day": today - 1, "reason": "crawler", "hits": 100},
        {"day": today, "reason": "crawler", "hits": 2},
        {"day": today, "reason": "webdriver", "hits": 3},
    )

    assert get("/analytics/site")["machines_today"] == 5


def test_python_functions_accept_the_range(database, visit):
    visit("2026-02-24 10:00:00", country="IN")
    visit("2026-02-10 10:00:00", country="DE")
    ctx = Context(db=database, storage=None, now=NOW)

    assert geo.geo(ctx, days=1) == [{"country": "IN", "sessions": 1, "unique_visitors": 1}]
    assert overview.overview(ctx)["total_sessions"] == 2
    assert [rows["date"] for rows in sessions.daily(ctx, days=7)] == ["2026-02-24"]
    assert len(sessions.daily(ctx, days=7, interval="day", fill=True)) == 7
