"""The visitors of the last five minutes and their pages."""

import gc
import sys
import threading

import pytest
from helpers.client import NOW, instant
from helpers.server import wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api import Context
from analytics_api.endpoints.current import current
from analytics_api.http.responses import JSONResponse

MINUTE = 60_000
WINDOW = 5 * MINUTE


def session(session_id, visitor_id, started_at):
    return {"session_id": session_id, "visitor_id": visitor_id, "started_at": started_at}


def view(session_id, page, occurred_at, event_type="page_view"):
    return {"session_id": session_id, "event_type": event_type, "page_url": page, "occurred_at": occurred_at}


def plain(sessions, events, now):
    """Return the expected response of /analytics/current, computed in Python.

    :param sessions: the visitor and the start by session id.
    :param events: the events in the order of ids.
    """
    visitors = {visitor for visitor, started_at in sessions.values() if now - WINDOW <= started_at <= now}
    last = {}
    for occurred_at, _, session_id, page in sorted(
        (occurred_at, number, session_id, page) for number, (session_id, page, occurred_at) in enumerate(events)
    ):
        if session_id in sessions and now - WINDOW <= occurred_at <= now:
            visitors.add(sessions[session_id][0])
            if page is not None:
                last[sessions[session_id][0]] = page
    counts = {page: list(last.values()).count(page) for page in last.values()}
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {"visitors": len(visitors), "pages": [{"page": page, "visitors": count} for page, count in top]}


def test_current_of_empty_database_has_no_visitors(get):
    assert get("/analytics/current") == {"visitors": 0, "pages": []}


def test_current_counts_visitors_once_on_their_last_page(insert, get):
    insert(
        "sessions",
        session("a1", "ann", NOW - 4 * MINUTE),
        session("a2", "ann", NOW - 3 * MINUTE),
        session("b", "ben", NOW - 90 * MINUTE),
        session("c", "cy", NOW - MINUTE),
        session("d", "di", NOW - 6 * MINUTE),
    )
    insert(
        "events",
        view("a1", "/first", NOW - 4 * MINUTE),
        view("a2", "/second", NOW - 2 * MINUTE),
        view("a1", None, NOW - MINUTE, "click"),
        view("b", "/second", NOW - 5 * MINUTE),
        view("d", "/first", NOW - 5 * MINUTE - 1),
    )

    assert get("/analytics/current") == {"visitors": 3, "pages": [{"page": "/second", "visitors": 2}]}


def test_current_ignores_the_future_and_unknown_sessions(insert, get):
    insert("sessions", session("a", "ann", NOW + 1), session("b", "ben", NOW))
    insert("events", view("a", "/later", NOW + 1), view("nobody", "/home", NOW - MINUTE))

    assert get("/analytics/current") == {"visitors": 1, "pages": []}


def test_later_event_of_the_same_instant_is_the_last(insert, get):
    insert("sessions", session("a", "ann", NOW))
    insert("events", view("a", "/b", NOW), view("a", "/a", NOW))

    assert get("/analytics/current")["pages"] == [{"page": "/a", "visitors": 1}]


def test_current_counts_pages_without_query_after_drop(insert, database, get):
    database.write(lambda at: at.execute("update site set page_query = 'drop'"))
    insert("sessions", session("a", "ann", NOW))
    insert("events", view("a", "/home?q=1#top", NOW))

    assert get("/analytics/current")["pages"] == [{"page": "/home", "visitors": 1}]


def test_current_returns_ten_pages(insert, get):
    insert("sessions", *(session(f"s{number}", f"v{number}", NOW) for number in range(12)))
    insert("events", *(view(f"s{number}", f"/{number % 11:02}", NOW) for number in range(12)))

    pages = get("/analytics/current")["pages"]

    assert pages == [{"page": "/00", "visitors": 2}] + [
        {"page": f"/{number:02}", "visitors": 1} for number in range(1, 10)
    ]


@pytest.mark.writes
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.sampled_from(["ann", "ben", "cy"]), st.integers(-7, 1))),
    st.lists(st.tuples(st.sampled_from("abcdefx"), st.sampled_from([None, "/a", "/b", "/c"]), st.integers(-7, 1))),
)
def test_current_agrees_with_plain_counting(database, sessions, events):
    sessions = {key: (visitor, NOW + minutes * MINUTE) for key, (visitor, minutes) in sessions.items()}
    events = [(session_id, page, NOW + minutes * MINUTE) for session_id, page, minutes in events]

    def replace(at):
        at.execute("delete from sessions")
        at.execute("delete from events")
        at.insert(
            "sessions",
            ("session_id", "visitor_id", "started_at"),
            [(key, visitor, started_at) for key, (visitor, started_at) in sessions.items()],
        )
        at.insert(
            "events",
            ("event_id", "session_id", "event_type", "page_url", "occurred_at"),
            [(number, key, "page_view", page, occurred_at) for number, (key, page, occurred_at) in enumerate(events)],
        )

    database.write(replace)

    assert current(Context(database, None, NOW)) == plain(sessions, events, NOW)


def test_response_is_reused_for_one_second(insert, database, serve):
    clock = [instant("2026-02-24 15:00:00")]
    client = serve(clock=lambda: clock[0])
    visitors = []

    for later in (0, 999, 1000):
        insert("sessions", session(f"s{later}", f"v{later}", clock[0]))
        clock[0] = instant("2026-02-24 15:00:00") + later
        visitors.append(client.get("/analytics/current").json["visitors"])

    assert visitors == [1, 1, 3]


@pytest.mark.slow
def test_reused_response_does_not_remain_in_memory(insert, serve):
    insert("sessions", session("a", "ann", NOW))
    insert("events", view("a", "https://shop.example/thanks?email=zebra@mail.example", NOW))
    client = serve()
    assert client.get("/analytics/current").json["visitors"] == 1

    wait_for(lambda: not any(b"zebra" in body for body in response_bodies()))


@pytest.mark.any_engine
def test_response_stored_when_the_timer_ends_is_forgotten(insert, serve):
    insert("sessions", session("a", "ann", NOW))
    insert("events", view("a", "https://shop.example/thanks?email=zebra@mail.example", NOW))
    client = serve()
    ended = set()

    def end_timers_before_each_line(frame, event, _):
        for timer in {*threading.enumerate()} - ended if event == "line" else ():
            if isinstance(timer, threading.Timer):
                ended.add(timer)
                timer.cancel()
                timer.function()
        return end_timers_before_each_line if frame.f_code.co_name == "recent_response" else None

    former = sys.gettrace()
    sys.settrace(end_timers_before_each_line)
    try:
        client.get("/analytics/current")
    finally:
        sys.settrace(former)

    wait_for(lambda: not any(b"zebra" in body for body in response_bodies()))


def response_bodies():
    """Return the bodies of all responses in memory."""
    # isinstance() would evaluate lazy objects of other libraries.
    return [thing.body for thing in gc.get_objects() if type(thing) is JSONResponse]
