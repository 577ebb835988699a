import pytest
from helpers.client import NOW, instant


def test_overview_of_empty_database_is_zero(get):
    overview = get("/analytics/overview")

    assert overview == {
        "total_sessions": 0,
        "total_events": 0,
        "unique_visitors": 0,
        "unique_fingerprints": 0,
        "avg_engagement_score": 0,
        "avg_session_duration_s": 0,
        "vpn_suspected_count": 0,
    }


def test_overview_counts_everything_and_averages_non_nulls(insert, get):
    insert(
        "sessions",
        {
            "session_id": "s1",
            "visitor_id": "ann",
            "fingerprint": "f1",
            "started_at": instant("2026-02-24 14:00:00"),
            "ended_at": instant("2026-02-24 14:03:00"),
            "duration": 180_000,
            "engagement_score": 40,
            "vpn_suspected": 1,
        },
        {
            "session_id": "s2",
            "visitor_id": "ann",
            "fingerprint": "f2",
            "started_at": instant("2026-02-23 10:00:00"),
            "ended_at": instant("2026-02-23 10:03:10"),
            "duration": 190_000,
            "engagement_score": 45,
        },
        {"session_id": "s3", "visitor_id": "bob", "fingerprint": "f2", "started_at": instant("2026-02-24 14:59:00")},
        {"session_id": "s4", "visitor_id": "cy", "started_at": instant("2026-02-24 14:59:30"), "vpn_suspected": 1},
    )
    insert(
        "events",
        {"event_id": 1, "session_id": "s1", "event_type": "page_view", "occurred_at": NOW},
        {"event_id": 2, "session_id": "s1", "event_type": "click", "occurred_at": NOW},
        {"event_id": 3, "session_id": "not-yet-written", "event_type": "scroll", "occurred_at": NOW},
    )

    overview = get("/analytics/overview")

    assert overview == {
        "total_sessions": 4,
        "total_events": 3,
        "unique_visitors": 3,
        "unique_fingerprints": 2,
        "avg_engagement_score": 42.5,
        "avg_session_duration_s": 185,
        "vpn_suspected_count": 2,
    }


def test_overview_includes_oldest_and_future(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=100_000_000_000)
    insert("sessions", session_id="s2", visitor_id="bob", started_at=instant("9999-12-31 23:59:59.999"))
    insert("events", event_id=1, session_id="s2", event_type="click", occurred_at=instant("9999-12-31 23:59:59.999"))

    overview = get("/analytics/overview")

    assert overview == {
        "total_sessions": 2,
        "total_events": 1,
        "unique_visitors": 2,
        "unique_fingerprints": 0,
        "avg_engagement_score": 0,
        "avg_session_duration_s": 0,
        "vpn_suspected_count": 0,
    }


@pytest.fixture
def overview_of(database, insert, get):
    """Replace all sessions by sessions with these values in one column, and return the overview."""

    def overview_of(column, values):
        database.write(lambda at: at.execute("delete from sessions"))
        for number, value in enumerate(values):
            insert("sessions", **{"session_id": f"s{number}", "visitor_id": "ann", "started_at": NOW, column: value})
        return get("/analytics/overview")

    return overview_of


def test_overview_score_is_rounded_to_one_decimal(overview_of):
    expected = {
        (0, 0, 0, 1): 0.3,  # 0.25
        (0, 0, 0, 3): 0.8,  # 0.75
        (0, 0, 0, -1): -0.3,  # -0.25
        (1, 0, 0): 0.3,  # 0.333…
        (1, 1, 0): 0.7,  # 0.666…
        (100, 100, 99): 99.7,
        (100,): 100,
        (0, None): 0,
        (None, None): 0,
        (-3, 150): 73.5,
    }

    averages = {scores: overview_of("engagement_score", scores)["avg_engagement_score"] for scores in expected}

    assert averages == expected


def test_overview_duration_is_rounded_to_seconds(overview_of):
    expected = {
        (499,): 0,
        (500,): 1,
        (1500,): 2,
        (2500,): 3,
        (2000, 2999): 2,  # 2499.5
        (2000, 3000): 3,  # 2500
        (0, None, None): 0,
        (None,): 0,
        (86_400_000,): 86_400,
    }

    averages = {durations: overview_of("duration", durations)["avg_session_duration_s"] for durations in expected}

    assert averages == expected
    assert {type(average) for average in averages.values()} == {int}
