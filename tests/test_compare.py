"""Comparisons with an earlier range: its days, the instant at which it is cut, and requests that are rejected."""

from datetime import date

import pytest
from helpers.client import NOW, instant

from analytics_api.context import Context
from analytics_api.endpoints.overview import overview

DAY = 86_400_000
COMPARED = ["overview", "sessions/daily", "pages/top", "pages/entry", "pages/exit", "geo", "engagement", "sources"]

TOTALS = {
    "total_events": 0,
    "unique_fingerprints": 0,
    "avg_engagement_score": 0,
    "avg_session_duration_s": 0,
    "vpn_suspected_count": 0,
}


@pytest.fixture
def visit(insert):
    """Return a function that inserts a visitor's sessions, one for each start."""
    ids = iter(range(1000))

    def visit(visitor_id, *starts, **values):
        rows = [
            {"session_id": f"s{next(ids)}", "visitor_id": visitor_id, "started_at": instant(start)} for start in starts
        ]
        insert("sessions", *({**row, **values} for row in rows))

    return visit


def test_visitors_of_the_cut_day_count_once(visit, get):
    visit("ann", "2026-02-16 09:00:00", "2026-02-17 09:00:00", "2026-02-17 14:59:59.999")
    visit("bob", "2026-02-17 14:00:00", "2026-02-17 15:00:00")
    visit("eve", "2026-02-17 15:00:00")

    reply = get("/analytics/overview?days=7&compare=previous")

    assert reply == {
        "total_sessions": 0,
        "unique_visitors": 0,
        **TOTALS,
        "previous": {
            "total_sessions": 4,
            "unique_visitors": 2,
            **TOTALS,
            "from": "2026-02-11",
            "to": "2026-02-17",
            "until": instant("2026-02-17 15:00:00"),
        },
    }


@pytest.mark.parametrize(
    ("query", "range_", "expected"),
    [
        ("days=1", "2026-02-24/2026-02-24", ("2026-02-23", "2026-02-23", "2026-02-23 15:00:00")),
        ("from=2026-02-20", "2026-02-20/2026-02-24", ("2026-02-15", "2026-02-19", "2026-02-19 15:00:00")),
        ("from=2026-02-20&to=2026-03-01", "2026-02-20/2026-03-01", ("2026-02-10", "2026-02-19", "2026-02-14 15:00:00")),
        ("from=2026-02-01&to=2026-02-23", "2026-02-01/2026-02-23", ("2026-01-09", "2026-01-31", None)),
        ("from=2026-03-01", "2026-03-01/2026-03-01", ("2026-02-28", "2026-02-28", "2026-02-23 15:00:00")),
    ],
    ids=["today", "from", "beyond today", "past", "future"],
)
@pytest.mark.any_engine
def test_previous_range_has_as_many_days(client, query, range_, expected):
    response = client.get(f"/analytics/overview?compare=previous&{query}")

    first, last, until = expected
    assert response.headers["Analytics-Range"] == range_
    previous = response.json["previous"]
    assert (previous["from"], previous["to"]) == (first, last)
    assert previous["until"] == (until and instant(until))


@pytest.mark.parametrize(
    ("now", "query", "expected"),
    [
        ("2024-02-29 10:00:30", "days=1", ("2023-02-28", "2023-02-28", "2023-02-28 10:00:00")),
        ("2024-03-01 10:00:30", "days=2", ("2023-02-28", "2023-03-01", "2023-03-01 10:00:00")),
        ("2025-03-01 10:00:30", "from=2025-02-01&to=2025-02-28", ("2024-02-01", "2024-02-28", None)),
    ],
    ids=["leap day", "after it", "past"],
)
@pytest.mark.any_engine
def test_year_compares_the_same_dates(serve, now, query, expected):
    first, last, until = expected

    previous = serve(now=instant(now)).get(f"/analytics/overview?compare=year&{query}").json["previous"]

    assert (previous["from"], previous["to"]) == (first, last)
    assert previous["until"] == (until and instant(until))


@pytest.mark.parametrize("path", COMPARED)
@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("compare=previous&to=2026-02-20", "compare needs a first day: add from or days"),
        ("compare=week&days=7", "compare must be one of previous, year"),
        (
            "compare=year&from=0001-01-01",
            "from must be later to compare: the earlier range would begin before the year 1",
        ),
        (
            "compare=previous&from=0500-01-01",
            "from must be later to compare: the earlier range would begin before the year 1",
        ),
    ],
    ids=["no beginning", "unknown", "year 0", "year below 0"],
)
@pytest.mark.any_engine
def test_impossible_comparison_is_400(client, path, query, error):
    response = client.get(f"/analytics/{path}?{query}")

    assert (response.status_code, response.json) == (400, {"error": error})


@pytest.mark.any_engine
def test_comparison_of_all_time_is_400(client):
    response = client.get("/analytics/overview?compare=year")

    assert (response.status_code, response.json) == (400, {"error": "compare needs a first day: add from or days"})


def test_purged_day_counts_as_a_whole(visit, database, get):
    visit("ann", "2026-02-17 09:00:00", "2026-02-17 20:00:00")
    database.write(lambda at: at.execute("update site set raw_since = :day", day=NOW // DAY - 6))

    previous = get("/analytics/overview?days=7&compare=previous")["previous"]

    assert (previous["total_sessions"], previous["until"]) == (2, None)


@pytest.mark.any_engine
def test_filtered_comparison_needs_unpurged_days(database, client):
    database.write(lambda at: at.execute("update site set raw_since = :day", day=NOW // DAY - 12))

    response = client.get("/analytics/overview?days=7&compare=previous&country=IN")
    shorter = client.get("/analytics/overview?days=6&compare=previous&country=IN")

    message = "compare: with filters, the earlier range must not begin before 2026-02-12: older sessions were purged"
    assert (response.status_code, response.json) == (400, {"error": message})
    assert shorter.status_code == 200


def test_filters_apply_to_the_earlier_range(visit, get):
    visit("ann", "2026-02-17 09:00:00", country="IN")
    visit("bob", "2026-02-17 09:00:00", "2026-02-24 09:00:00", country="DE")

    reply = get("/analytics/overview?days=7&compare=previous&country=IN")

    assert (reply["total_sessions"], reply["previous"]["total_sessions"]) == (0, 1)


@pytest.mark.any_engine
def test_cached_comparison_lasts_until_the_next_minute(visit, serve):
    visit("ann", "2026-02-23 15:00:30")
    clock = iter(instant(f"2026-02-24 15:0{time}") for time in ("0:00", "0:00", "0:59.999", "1:00"))
    client = serve(clock=lambda: next(clock))  # create_app reads the clock, too

    replies = [client.get("/analytics/overview?days=1&compare=previous") for _ in range(3)]

    assert [reply.json["previous"]["total_sessions"] for reply in replies] == [0, 0, 1]
    assert [reply.headers["ETag"] == replies[0].headers["ETag"] for reply in replies] == [True, True, False]


def test_comparison_is_an_argument_in_python(visit, database):
    visit("ann", "2026-02-19 09:00:00")

    reply = overview(Context(database, None, NOW), from_=date(2026, 2, 20), compare="previous")

    assert reply["previous"]["total_sessions"] == 1


def test_rows_are_compared_by_their_keys(visit, insert, get):
    visit(
        "ann", "2026-02-17 09:00:00", "2026-02-17 16:00:00", entry_page="/", country="IN", referrer_domain="a.example"
    )
    visit("ann", "2026-02-16 09:00:00", entry_page="/old", country="IN")
    visit("bob", "2026-02-24 09:00:00", entry_page="/", exit_page="/new", country="IN", referrer_domain="a.example")
    insert(
        "events",
        *(
            {"session_id": "s0", "event_type": "page_view", "page_url": "/", "occurred_at": instant(moment)}
            for moment in ("2026-02-16 09:00:00", "2026-02-17 09:00:00", "2026-02-17 16:00:00", "2026-02-24 09:00:00")
        ),
    )

    def rows(path):
        return get(f"/analytics/{path}?days=7&compare=previous")

    assert rows("pages/top") == [
        {"page": "/", "views": 1, "unique_sessions": 1, "previous": {"views": 2, "unique_sessions": 1}}
    ]
    assert rows("pages/entry") == [{"page": "/", "sessions": 1, "previous": {"sessions": 1}}]
    assert rows("pages/exit") == [{"page": "/new", "sessions": 1, "previous": {"sessions": 0}}]
    assert rows("geo") == [
        {"country": "IN", "sessions": 1, "unique_visitors": 1, "previous": {"sessions": 2, "unique_visitors": 1}}
    ]
    assert rows("sources") == [{"referrer_domain": "a.example", "sessions": 1, "previous": {"sessions": 1}}]
    assert rows("engagement")[0] == {"bucket": "0-19", "count": 0, "previous": {"count": 0}}


def test_filtered_views_of_the_cut_day_count_a_session_once(visit, insert, get):
    starts = ["2026-02-16 09:00:00", "2026-02-17 09:00:00", "2026-02-17 09:00:00", "2026-02-24 09:00:00"]
    visit("ann", *starts, country="IN")
    views = [("s0", 16), ("s0", 17), ("s1", 16), ("s1", 17), ("s2", 17), ("s3", 24)]
    insert(
        "events",
        *(
            {
                "session_id": session_id,
                "event_type": "page_view",
                "page_url": "/",
                "occurred_at": instant(f"2026-02-{day} 10:00:00"),
            }
            for session_id, day in views
        ),
    )

    assert get("/analytics/pages/top?days=7&compare=previous&country=IN") == [
        {"page": "/", "views": 1, "unique_sessions": 1, "previous": {"views": 5, "unique_sessions": 3}}
    ]


def test_intervals_are_compared_by_their_number(visit, get):
    visit("ann", "2026-02-16 09:00:00", "2026-02-17 09:00:00", "2026-02-17 16:00:00")
    visit("bob", "2026-02-23 09:00:00", "2026-02-24 09:00:00", "2026-02-25 09:00:00")

    rows = get("/analytics/sessions/daily?from=2026-02-18&to=2026-02-25&compare=previous")

    # The earlier range is February 10 to 17. Its day that corresponds to today is the 16th.
    assert [
        (row["date"], row["previous"].get("date"), row["total_sessions"], row["previous"]["total_sessions"])
        for row in rows
    ] == [("2026-02-23", "2026-02-15", 1, 0), ("2026-02-24", "2026-02-16", 1, 1), ("2026-02-25", None, 1, 0)]


def test_hours_are_compared_until_the_cut(visit, get):
    visit("ann", "2026-02-23 14:30:00", "2026-02-23 15:30:00")

    rows = get("/analytics/sessions/daily?days=1&interval=hour&fill=true&compare=previous")

    assert [row["previous"]["total_sessions"] for row in rows] == [0] * 14 + [1] + [0] * 9
    assert [row["previous"].get("date") for row in rows[14:16]] == ["2026-02-23T14:00+00:00", None]


def test_visitors_of_a_cut_week_count_once(visit, get):
    visit("ann", "2026-02-16 09:00:00", "2026-02-17 09:00:00")

    [_, row] = get("/analytics/sessions/daily?days=9&interval=week&fill=true&compare=previous")

    assert row["previous"] == {
        "date": "2026-02-09",
        "total_sessions": 0,
        "unique_visitors": 0,
        "avg_duration": 0,
        "avg_engagement": 0,
    }


@pytest.mark.any_engine
def test_dashboard_shows_days_if_earlier_hours_are_purged(database, get):
    database.write(lambda at: at.execute("update site set raw_since = :day", day=NOW // DAY))

    assert get("/analytics/dashboard?days=1")["range"]["interval"] == "hour"
    assert get("/analytics/dashboard?days=1&compare=previous")["range"]["interval"] == "day"


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
@pytest.mark.any_engine
def test_future_earlier_days_are_zeros(get, interval):
    rows = get(
        f"/analytics/sessions/daily?from=2026-03-02&to=2026-03-03&compare=previous&fill=true&interval={interval}"
    )

    assert [row["previous"] for row in rows] == [
        {"total_sessions": 0, "unique_visitors": 0, "avg_duration": 0, "avg_engagement": 0} for _ in rows
    ]
    assert rows != []
