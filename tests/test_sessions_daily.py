import pytest
from helpers.client import instant


def day(date, sessions=1, visitors=1, duration=0, engagement=0):
    return {
        "date": date,
        "total_sessions": sessions,
        "unique_visitors": visitors,
        "avg_duration": duration,
        "avg_engagement": engagement,
    }


@pytest.fixture
def visit(insert):
    """Return a function that inserts a session without an end and a score. Its visitor is new by default."""
    ids = iter(range(1000))

    def visit(started, **values):
        session_id = f"s{next(ids)}"
        insert(
            "sessions", **{"session_id": session_id, "visitor_id": session_id, "started_at": instant(started), **values}
        )

    return visit


def test_daily_of_empty_database_is_empty(get):
    days = get("/analytics/sessions/daily")

    assert days == []


def test_daily_is_ascending_without_empty_days(visit, get):
    visit("2026-02-24 09:00:00", visitor_id="ann", duration=120_000, engagement_score=50)
    visit("2026-02-24 11:00:00", visitor_id="ann", duration=121_000, engagement_score=60)
    visit("2026-02-24 12:00:00", visitor_id="bob")
    visit("2026-02-20 12:00:00", visitor_id="ann", duration=1_000, engagement_score=7)
    visit("2026-02-22 12:00:00", visitor_id="ann", duration=2_000, engagement_score=8)

    days = get("/analytics/sessions/daily")

    assert days == [
        {
            "date": "2026-02-20",
            "total_sessions": 1,
            "unique_visitors": 1,
            "avg_duration": 1.0,
            "avg_engagement": 7.0,
        },
        {
            "date": "2026-02-22",
            "total_sessions": 1,
            "unique_visitors": 1,
            "avg_duration": 2.0,
            "avg_engagement": 8.0,
        },
        {
            "date": "2026-02-24",
            "total_sessions": 3,
            "unique_visitors": 2,
            "avg_duration": 120.5,
            "avg_engagement": 55.0,
        },
    ]


def test_daily_uses_the_utc_day_of_the_start(visit, get):
    visit("2026-02-22 23:59:59.999")
    visit("2026-02-23 00:00:00")
    visit("2026-02-23 23:59:59.999", ended_at=instant("2026-02-24 00:30:00"), duration=1_800_001)
    visit("2026-02-24 00:00:00")

    days = get("/analytics/sessions/daily")

    assert days == [
        day("2026-02-22"),
        day("2026-02-23", sessions=2, visitors=2, duration=1800.0),
        day("2026-02-24"),
    ]


def test_daily_defaults_to_30_days_including_today(visit, get):
    visit("2026-01-25 23:59:59.999")
    visit("2026-01-26 00:00:00")
    visit("2026-02-24 00:00:00")

    days = get("/analytics/sessions/daily")

    assert days == [day("2026-01-26"), day("2026-02-24")]


def test_daily_with_one_day_is_today(visit, get):
    visit("2026-02-23 23:59:59.999")
    visit("2026-02-24 00:00:00")

    days = get("/analytics/sessions/daily?days=1")

    assert days == [day("2026-02-24")]


def test_daily_with_two_days_is_yesterday_and_today(visit, get):
    visit("2026-02-22 23:59:59.999")
    visit("2026-02-23 00:00:00")
    visit("2026-02-24 00:00:00")

    days = get("/analytics/sessions/daily?days=2")

    assert days == [day("2026-02-23"), day("2026-02-24")]


def test_daily_with_90_days_begins_89_days_ago(visit, get):
    visit("2025-11-26 23:59:59.999")
    visit("2025-11-27 00:00:00")

    days = get("/analytics/sessions/daily?days=90")

    assert days == [day("2025-11-27")]


def test_daily_includes_later_today_but_not_tomorrow(visit, get):
    visit("2026-02-24 23:59:59.999")
    visit("2026-02-25 00:00:00")
    visit("2031-01-01 00:00:00")

    days = get("/analytics/sessions/daily")

    assert days == [day("2026-02-24")]


def test_daily_today_is_the_utc_day_of_the_clock(visit, serve):
    for date in ("2024-02-28", "2024-02-29", "2024-03-01", "2026-02-23", "2026-02-24", "2026-12-31", "2027-01-01"):
        visit(f"{date} 12:00:00")
    expected = {
        "2026-02-23 23:59:59.999": [day("2026-02-23")],
        "2026-02-24 00:00:00": [day("2026-02-24")],
        "2024-02-29 00:00:00": [day("2024-02-29")],
        "2024-02-29 23:59:59.999": [day("2024-02-29")],
        "2024-03-01 00:00:00": [day("2024-03-01")],
        "2026-12-31 23:59:59.999": [day("2026-12-31")],
        "2030-01-01 00:00:00": [],
    }

    days = {now: serve(now=instant(now)).get("/analytics/sessions/daily?days=1").json for now in expected}

    assert days == expected


def test_daily_counts_a_visitor_once_on_each_day(visit, get):
    visit("2026-02-23 08:00:00", visitor_id="ann")
    visit("2026-02-23 09:00:00", visitor_id="ann")
    visit("2026-02-24 08:00:00", visitor_id="ann")

    days = get("/analytics/sessions/daily")

    assert days == [day("2026-02-23", sessions=2, visitors=1), day("2026-02-24")]


def test_daily_averages_ignore_nulls(visit, get):
    visit("2026-02-24 08:00:00", duration=10_000, engagement_score=None)
    visit("2026-02-24 09:00:00", duration=None, engagement_score=30)
    visit("2026-02-24 10:00:00", duration=None, engagement_score=None)

    days = get("/analytics/sessions/daily")

    assert days == [day("2026-02-24", sessions=3, visitors=3, duration=10.0, engagement=30.0)]


def test_daily_averages_are_rounded_to_one_decimal(visit, get):
    visit("2026-02-23 08:00:00", duration=1_250, engagement_score=-1)
    visit("2026-02-23 08:00:00", engagement_score=0)
    visit("2026-02-23 08:00:00", engagement_score=0)
    visit("2026-02-23 08:00:00", engagement_score=0)
    visit("2026-02-24 08:00:00", duration=1_349, engagement_score=1)
    visit("2026-02-24 08:00:00", duration=1_350, engagement_score=1)
    visit("2026-02-24 08:00:00", duration=1_351, engagement_score=0)

    days = get("/analytics/sessions/daily")

    assert days == [
        day("2026-02-23", sessions=4, visitors=4, duration=1.3, engagement=-0.3),
        day("2026-02-24", sessions=3, visitors=3, duration=1.4, engagement=0.7),
    ]
