import pytest
from helpers.client import NOW, instant
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analytics_api import Context
from analytics_api.endpoints.realtime import realtime

MINUTE = 60_000
HOUR = 60 * MINUTE

PLAIN = """
select
  (select count(*) from sessions where ended_at is null and started_at between :since and :now) as active_sessions,
  (select count(*) from events where occurred_at between :since and :now) as events_last_hour,
  count(distinct visitor_id) as unique_visitors_today,
  count(*) as total_sessions_today
from sessions
where started_at >= :midnight and started_at < :next_midnight
"""


def plain(database, now):
    """Return the expected numbers of `realtime`, computed from the base tables."""
    midnight = now - now % (24 * HOUR)
    return database.row(PLAIN, now=now, since=now - HOUR, midnight=midnight, next_midnight=midnight + 24 * HOUR)


def write(database, now, opened, ended, happened):
    """Replace all rows by open sessions, ended sessions and events, at these distances from `now` in ms."""

    def replace(at):
        at.execute("delete from sessions")
        at.execute("delete from events")
        at.insert(
            "sessions",
            ("session_id", "visitor_id", "started_at", "ended_at"),
            [
                (f"{kind}{number}", f"v{number % 3}", now + distance, end)
                for kind, distances, end in (("open", opened, None), ("ended", ended, now))
                for number, distance in enumerate(distances)
            ],
        )
        at.insert(
            "events",
            ("event_id", "session_id", "event_type", "occurred_at"),
            [(number, "s", "click", now + distance) for number, distance in enumerate(happened)],
        )

    database.write(replace)


def test_realtime_of_empty_database_is_zero(get):
    assert get("/analytics/realtime") == {
        "active_sessions": 0,
        "events_last_hour": 0,
        "unique_visitors_today": 0,
        "total_sessions_today": 0,
    }


def test_realtime_returns_the_four_numbers(insert, get):
    insert(
        "sessions",
        {"session_id": "s1", "visitor_id": "ann", "started_at": instant("2026-02-24 14:30:00")},
        {"session_id": "s2", "visitor_id": "ann", "started_at": instant("2026-02-24 09:00:00")},
        {
            "session_id": "s3",
            "visitor_id": "bob",
            "started_at": instant("2026-02-24 14:40:00"),
            "ended_at": instant("2026-02-24 14:45:00"),
        },
        {"session_id": "s4", "visitor_id": "cy", "started_at": instant("2026-02-23 23:59:59.999")},
    )
    insert(
        "events",
        {
            "event_id": 1,
            "session_id": "s1",
            "event_type": "page_view",
            "occurred_at": instant("2026-02-24 14:31:00"),
        },
        {"event_id": 2, "session_id": "s3", "event_type": "click", "occurred_at": instant("2026-02-24 14:41:00")},
        {"event_id": 3, "session_id": "s2", "event_type": "click", "occurred_at": instant("2026-02-24 09:01:00")},
    )

    assert get("/analytics/realtime") == {
        "active_sessions": 1,
        "events_last_hour": 2,
        "unique_visitors_today": 2,
        "total_sessions_today": 3,
    }


def test_realtime_session_is_active_for_an_hour(database, insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW)
    expected = {
        "2026-02-24 13:59:59.999": 0,
        "2026-02-24 14:00:00": 1,
        "2026-02-24 14:00:00.001": 1,
        "2026-02-24 14:59:59.999": 1,
        "2026-02-24 15:00:00": 1,
        "2026-02-24 15:00:00.001": 0,
        "2026-02-24 15:01:00": 0,
        "2026-02-24 16:30:00": 0,
    }

    results = {}
    for started in expected:
        begin = instant(started)
        database.write(lambda at, begin=begin: at.execute("update sessions set started_at = :begin", begin=begin))
        results[started] = get("/analytics/realtime")

    assert results == {
        started: {
            "active_sessions": active,
            "events_last_hour": 0,
            "unique_visitors_today": 1,
            "total_sessions_today": 1,
        }
        for started, active in expected.items()
    }


def test_realtime_event_counts_for_an_hour(database, insert, get):
    insert("events", event_id=1, session_id="s1", event_type="click", occurred_at=NOW)
    expected = {
        "2026-02-24 13:59:59.999": 0,
        "2026-02-24 14:00:00": 1,
        "2026-02-24 14:00:00.001": 1,
        "2026-02-24 15:00:00": 1,
        "2026-02-24 15:00:00.001": 0,
        "2026-02-24 15:00:59.999": 0,
        "2026-03-24 15:00:00": 0,
    }

    results = {}
    for occurred in expected:
        then = instant(occurred)
        database.write(lambda at, then=then: at.execute("update events set occurred_at = :then", then=then))
        results[occurred] = get("/analytics/realtime")

    assert results == {
        occurred: {
            "active_sessions": 0,
            "events_last_hour": counted,
            "unique_visitors_today": 0,
            "total_sessions_today": 0,
        }
        for occurred, counted in expected.items()
    }


def test_realtime_ended_session_is_not_active(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, ended_at=NOW)
    insert("sessions", session_id="s2", visitor_id="ann", started_at=NOW - 1, ended_at=NOW + HOUR)
    insert("sessions", session_id="s3", visitor_id="ann", started_at=NOW - 2, ended_at=0)

    assert get("/analytics/realtime") == {
        "active_sessions": 0,
        "events_last_hour": 0,
        "unique_visitors_today": 1,
        "total_sessions_today": 3,
    }


def test_realtime_session_older_than_an_hour_is_not_active(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW - HOUR - 1)
    insert("sessions", session_id="s2", visitor_id="bob", started_at=100_000_000_000)

    assert get("/analytics/realtime") == {
        "active_sessions": 0,
        "events_last_hour": 0,
        "unique_visitors_today": 1,
        "total_sessions_today": 1,
    }


def test_realtime_today_is_the_utc_day(insert, serve):
    insert("sessions", session_id="s1", visitor_id="a", started_at=instant("2026-02-23 23:59:59.999"), ended_at=NOW)
    insert("sessions", session_id="s2", visitor_id="b", started_at=instant("2026-02-24 00:00:00"), ended_at=NOW)
    insert("sessions", session_id="s3", visitor_id="c", started_at=instant("2026-02-24 23:59:59.999"), ended_at=NOW)
    expected = {
        "2026-02-23 23:59:59.999": 1,
        "2026-02-24 00:00:00": 2,
        "2026-02-24 23:59:59.999": 2,
        "2026-02-25 00:00:00": 0,
    }

    results = {now: serve(now=instant(now)).get("/analytics/realtime").json for now in expected}

    assert results == {
        now: {
            "active_sessions": 0,
            "events_last_hour": 0,
            "unique_visitors_today": today,
            "total_sessions_today": today,
        }
        for now, today in expected.items()
    }


def test_realtime_equals_plain_sql_at_every_boundary(database):
    for offset in (0, 1, 29_999, 30_000, 59_998, 59_999):
        now = NOW + offset
        minutes = [-61, -60, -59, -58, -31, -30, -2, -1, 0, 1, 2]
        edges = [minute * MINUTE - step + nudge for minute in minutes for step in (0, offset) for nudge in (-1, 0, 1)]
        write(database, now, opened=edges, ended=edges, happened=edges)

        assert realtime(Context(database, None, now)) == plain(database, now)


# Distances from `now` in ms, many of them at or near the limits of the counted times: an hour, a minute and 0.
distances = st.lists(
    st.one_of(
        st.integers(-2 * HOUR, HOUR),
        st.builds(int.__add__, st.sampled_from([-HOUR, -HOUR + MINUTE, -MINUTE, 0]), st.integers(-MINUTE, MINUTE)),
        st.sampled_from([-HOUR - 1, -HOUR, -HOUR + 1, -1, 0, 1]),
        st.integers(-26 * HOUR, 26 * HOUR),
    ),
    max_size=12,
)


@pytest.mark.slow
@given(
    now=st.one_of(
        st.integers(NOW, NOW + MINUTE),
        st.integers(instant("2026-02-23 00:00:00"), instant("2026-02-25 00:00:00")),
        st.sampled_from([instant("2026-02-24 00:00:00"), instant("2026-02-24 23:59:59.999")]),
    ),
    opened=distances,
    ended=distances,
    happened=distances,
)
@example(now=NOW, opened=[-HOUR, 0], ended=[-HOUR, 0], happened=[-HOUR, 0])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_realtime_equals_plain_sql_at_any_instant(database, now, opened, ended, happened):
    write(database, now, opened, ended, happened)

    assert realtime(Context(database, None, now)) == plain(database, now)
