"""The rows of session_facts after sessions and events that are written late, moved or deleted."""

from datetime import date

import pytest
from helpers.client import NOW

from analytics_api.maintenance.purge import purge

DAY = 86_400_000
TODAY = 20_508  # the day of NOW, 2026-02-24
INSERT_SESSIONS = "insert into sessions (session_id, visitor_id, started_at) values"
INSERT_EVENTS = "insert into events (session_id, event_type, occurred_at) values"

# Statements after the visits, each with the expected rows of session_facts and of events_of_other_days.
CHANGES = {
    "no change": ([], {("a", 1, 1), ("b", 0, 2)}, {("a", TODAY, 1)}),
    "two late sessions": (
        [f"{INSERT_SESSIONS} ('d', 'v', {NOW - 3 * DAY}), ('c', 'v', {NOW - 3 * DAY})"],
        {("a", 0, 1), ("b", 0, 2), ("c", 1, 0), ("d", 0, 0)},
        {("a", TODAY, 1)},
    ),
    "earlier sessions inserted and updated by one statement": (
        [
            f"{INSERT_SESSIONS} ('b', 'v', {NOW - 3 * DAY}), ('c', 'v', {NOW - 2 * DAY})"
            " on conflict (session_id) do update set started_at = excluded.started_at"
        ],
        {("a", 0, 1), ("b", 1, 0), ("c", 0, 0)},
        {("a", TODAY, 1), ("b", TODAY, 2)},
    ),
    "event before its session": (
        [f"{INSERT_EVENTS} ('c', 'click', {NOW})", f"{INSERT_SESSIONS} ('c', 'w', {NOW + 1})"],
        {("a", 1, 1), ("b", 0, 2), ("c", 1, 1)},
        {("a", TODAY, 1)},
    ),
    "first session deleted": (
        ["delete from sessions where session_id = 'a'"],
        {("b", 1, 2)},
        {("a", TODAY - 1, 1), ("a", TODAY, 1)},
    ),
    "session written again": (
        [
            "delete from sessions where session_id = 'a'",
            f"{INSERT_SESSIONS} ('a', 'v', {NOW + 1})",
        ],
        {("a", 0, 1), ("b", 1, 2)},
        {("a", TODAY - 1, 1)},
    ),
    "session renamed": (
        ["update sessions set session_id = 'z' where session_id = 'a'"],
        {("z", 1, 0), ("b", 0, 2)},
        {("a", TODAY - 1, 1), ("a", TODAY, 1)},
    ),
    "session of another visitor": (
        ["update sessions set visitor_id = 'w' where session_id = 'a'"],
        {("a", 1, 1), ("b", 1, 2)},
        {("a", TODAY, 1)},
    ),
    "session of another day": (
        [f"update sessions set started_at = {NOW + 1} where session_id = 'a'"],
        {("a", 0, 1), ("b", 1, 2)},
        {("a", TODAY - 1, 1)},
    ),
    "events of another session": (
        ["update events set session_id = 'b' where session_id = 'a'"],
        {("a", 1, 0), ("b", 0, 3)},
        {("b", TODAY - 1, 1)},
    ),
    "events of another day": (
        [f"update events set occurred_at = occurred_at + {DAY} where session_id = 'a'"],
        {("a", 1, 0), ("b", 0, 2)},
        {("a", TODAY, 1), ("a", TODAY + 1, 1)},
    ),
    "events deleted": (["delete from events"], {("a", 1, 0), ("b", 0, 0)}, set()),
}


@pytest.fixture
def visits(database):
    """Insert two sessions of a visitor, yesterday and today. The first one also has an event today."""
    execute(
        database,
        f"{INSERT_SESSIONS} ('a', 'v', {NOW - DAY}), ('b', 'v', {NOW})",
        f"{INSERT_EVENTS} ('a', 'click', {NOW - DAY}), ('a', 'click', {NOW}), ('b', 'click', {NOW}), ('b', 'x', {NOW})",
    )


def execute(database, *statements):
    for sql in statements:
        database.write(lambda at, sql=sql: at.execute(sql))


def facts(database):
    """Return the id, `is_new` and `events_of_day` of each session."""
    return set(database.tuples("select session_id, is_new, events_of_day from session_facts"))


@pytest.mark.parametrize(("statements", "expected", "others"), CHANGES.values(), ids=CHANGES)
@pytest.mark.writes
def test_facts_after_a_change(database, visits, statements, expected, others):
    execute(database, *statements)

    assert facts(database) == expected
    assert set(database.tuples("select session_id, day, events from events_of_other_days")) == others
    assert database.verify() == []


@pytest.mark.writes
def test_session_is_new_after_earlier_ones_are_erased(database, visits):
    purge(database, date(2026, 2, 24), keep_totals=True)
    before = facts(database)

    execute(database, "update visitor_days set sessions = sessions - archived, archived = 0 where archived > 0")

    assert (before, facts(database)) == ({("b", 0, 2)}, {("b", 1, 2)})


@pytest.mark.writes
def test_sessions_of_a_purged_visitor_are_not_new(database, visits):
    purge(database, date(2026, 2, 24), keep_totals=True)

    execute(database, f"{INSERT_SESSIONS} ('c', 'v', {NOW + 1})", "delete from sessions where session_id = 'b'")
    before = facts(database)
    execute(database, f"{INSERT_SESSIONS} ('d', 'v', {NOW})")

    assert (before, facts(database)) == ({("c", 0, 0)}, {("c", 0, 0), ("d", 0, 0)})
