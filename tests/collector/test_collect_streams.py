"""Random streams of events of several visitors give the same sessions as a computation in Python.

Each request is sent to one of two collectors, as with two processes. Some requests are sent again.
"""

import os

from helpers.client import NOW
from helpers.collecting import MINUTE, Site
from helpers.sqlite import new_database_in
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("COLLECT_EXAMPLES", "25"))
PAGES = ("https://shop.example/", "https://shop.example/a", "https://shop.example/b")
TIMEOUT = 30 * MINUTE

STEPS = st.lists(
    st.fixed_dictionaries(
        {
            "pause": st.sampled_from([0, 1, 1_000, 5 * MINUTE, TIMEOUT, TIMEOUT + 1]),
            "kind": st.sampled_from(["page_view", "page_view", "page_end", "event", "again"]),
            "visitor": st.sampled_from(["a" * 16, "b" * 16]),
            "page": st.sampled_from(PAGES),
            "view": st.integers(0, 3),
            "visible": st.sampled_from([0, 500, 10**7]),
            "scroll": st.sampled_from([0, 40, 100]),
            "process": st.sampled_from([0, 1]),
            "tidy": st.booleans(),
        }
    ),
    max_size=25,
)


def expected_sessions(events, now):
    """Return the sessions of a list of (instant, event), as tuples of columns in the order of their start."""
    sessions, views, ids = [], {}, set()
    for instant, event in events:
        if event["id"] in ids:
            continue
        if event["type"] == "page_end":
            view = views.get(event["view"])
            if view is None or instant - view["session"]["last"] > TIMEOUT:
                continue
            session = view["session"]
            view["ends"].append((min(event["visible"], instant - view["at"]), event["scroll"]))
        else:
            own = [session for session in sessions if session["visitor"] == event["visitor"]]
            session = own[-1] if own and instant - own[-1]["last"] <= TIMEOUT else None
            if session is None:
                session = {"visitor": event["visitor"], "first": instant, "views": [], "events": 0}
                sessions.append(session)
            if event["type"] == "page_view":
                views[event["id"]] = {"at": instant, "session": session, "ends": [], "page": event["url"]}
                session["views"].append(views[event["id"]])
            else:
                session["events"] += 1
        session["last"] = instant
        ids.add(event["id"])
    return [expected_columns(session, now) for session in sessions]


def expected_columns(session, now):
    ends = [end for view in session["views"] for end in view["ends"]]
    is_over = all(view["ends"] for view in session["views"]) or now - session["last"] > TIMEOUT
    visible = sum(max((end[0] for end in view["ends"]), default=0) for view in session["views"])
    score = (
        40 * min(visible, 180_000) // 180_000
        + 20 * max((end[1] for end in ends), default=0) // 100
        + 20 * min(max(len(session["views"]) - 1, 0), 4) // 4
        + 20 * min(session["events"], 2) // 2
    )
    pages = [view["page"] for view in session["views"]]
    return (
        *(session["first"] - NOW, session["last"] - NOW if is_over else None),
        *(len(pages) + session["events"], pages[0] if pages else None, pages[-1] if pages else None, score),
    )


def stored_sessions(database):
    return database.tuples(f"""
select started_at - {NOW}, ended_at - {NOW}, event_count, entry_page, exit_page, engagement_score
from sessions
order by rowid
""")


@settings(max_examples=EXAMPLES)
@given(STEPS)
def test_sessions_equal_a_plain_computation(tmp_path_factory, steps):
    with new_database_in(tmp_path_factory.mktemp("stream")) as database:
        sites = [Site(database), Site(database)]
        sites[1].ids = sites[0].ids
        requests = []
        for step in steps:
            sites[0].now = sites[1].now = sites[0].now + step["pause"]
            event = make_event(sites[0], step, [event for _, event in requests])
            requests.append((sites[0].now, event))
            sites[step["process"]].collector._write([arrival(sites[step["process"]], event)])
            if step["tidy"]:
                sites[0].collector._tidy()
        sites[0].collector._tidy()

        assert sorted(stored_sessions(database), key=repr) == sorted(
            expected_sessions(requests, sites[0].now), key=repr
        )
        assert database.verify() == []


def make_event(site, step, before):
    if step["kind"] == "again" and before:
        return before[-1 - step["view"] % len(before)]
    if step["kind"] == "page_end":
        views = [event["id"] for event in before if event["type"] == "page_view"]
        view = views[-1 - step["view"]] if step["view"] < len(views) else "unknown-view"
        return site.event("page_end", view=view, visible=step["visible"], scroll=step["scroll"])
    if step["kind"] == "event":
        return site.event("event", step["page"], visitor=step["visitor"], name="signup")
    return site.event("page_view", step["page"], visitor=step["visitor"])


def arrival(site, event):
    """Send an event, and return the arrival that the collector passes to its writer.

    The writer's thread is not used, because without it an example is ten times as fast.
    """
    arrivals = []
    site.collector.writer.submit = arrivals.append
    site.send(event)
    return arrivals[0]
