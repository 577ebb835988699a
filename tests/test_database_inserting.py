"""Inserting rows with existing keys, in one or several batches."""

import pytest

from analytics_api.errors import RowError

pytestmark = pytest.mark.writes

NOW = 1_771_945_200_123
COLUMNS = ("session_id", "visitor_id", "started_at")


def insert(at, *rows, on_conflict):
    return at.insert("sessions", COLUMNS, iter(rows), on_conflict=on_conflict)


def visitors(database):
    return {row["session_id"]: row["visitor_id"] for row in database.rows("select * from sessions")}


@pytest.fixture(params=["write", "bulk"])
def transaction(database, request):
    return getattr(database, request.param)


def test_insert_ignores_existing_rows(database, transaction):
    def work(at):
        return [
            insert(at, ("a", "v1", NOW), ("b", "v2", NOW), on_conflict="ignore"),
            insert(at, ("c", "v3", NOW), ("a", "v4", NOW), ("d", "v5", NOW), on_conflict="ignore"),
            insert(at, ("e", "v6", NOW), on_conflict="ignore"),
        ]

    assert transaction(work) == [2, 2, 1]
    assert visitors(database) == {"a": "v1", "b": "v2", "c": "v3", "d": "v5", "e": "v6"}
    assert database.verify() == []


def test_insert_update_overwrites_existing_rows(database, transaction):
    def work(at):
        return [
            insert(at, ("a", "v1", NOW), ("b", "v2", NOW), on_conflict="update"),
            insert(at, ("c", "v3", NOW), ("a", "v4", NOW), on_conflict="update"),
            insert(at, ("e", "v6", NOW), on_conflict="update"),
        ]

    assert transaction(work) == [2, 2, 1]
    assert visitors(database) == {"a": "v4", "b": "v2", "c": "v3", "e": "v6"}
    assert database.verify() == []


def test_insert_keeps_the_first_of_duplicate_rows(database, transaction):
    transaction(lambda at: insert(at, ("a", "v1", NOW), ("a", "v2", NOW), on_conflict="ignore"))

    assert visitors(database) == {"a": "v1"}


def test_insert_update_keeps_the_last_of_duplicate_rows(database, transaction):
    transaction(lambda at: insert(at, ("a", "v1", NOW), ("a", "v2", NOW), on_conflict="update"))

    assert visitors(database) == {"a": "v2"}


@pytest.mark.parametrize("on_conflict", ["ignore", "update"])
def test_insert_batch_fails_as_a_whole(database, transaction, on_conflict):
    def work(at):
        insert(at, ("a", "v1", NOW), on_conflict=on_conflict)
        for rows in ([("b", "v2", NOW), ("c", None, NOW)], [("a", "v3", NOW), ("d", "v4", -1)]):
            with pytest.raises(RowError):
                insert(at, *rows, on_conflict=on_conflict)
        return insert(at, ("e", "v5", NOW), on_conflict=on_conflict)

    assert transaction(work) == 1
    assert visitors(database) == {"a": "v1", "e": "v5"}


def test_pipeline_writes_every_row(database):
    texts = [("a", "ü €\u2028'\"\\", NOW), ("b", "", NOW + 1), ("c", "v" * 1000, NOW + 2)]

    def work(at):
        at.insert("sessions", COLUMNS, texts)
        at.execute("update sessions set visitor_id = 'v2' where session_id = :session_id", session_id="b")
        at.insert("events", ("session_id", "event_type", "occurred_at"), [("a", "page_view", NOW)])
        return at.rows("select count(*) as events from events")

    assert database.write(work, pipeline=True) == [{"events": 1}]
    assert visitors(database) == {"a": "ü €\u2028'\"\\", "b": "v2", "c": "v" * 1000}
    assert database.verify() == []


@pytest.mark.parametrize(("on_conflict", "visitor"), [("ignore", "v1"), ("update", "v2")])
def test_pipeline_keeps_or_overwrites_existing_rows(database, on_conflict, visitor):
    def work(at):
        at.insert("sessions", COLUMNS, [("a", "v1", NOW)])
        at.insert("sessions", COLUMNS, [("a", "v2", NOW), ("b", "v3", NOW)], on_conflict=on_conflict)

    database.write(work, pipeline=True)

    assert visitors(database) == {"a": visitor, "b": "v3"}
    assert database.verify() == []


ROWS = {
    "number": ("b", "v2", "today"),
    "null": ("b", None, NOW),
    "key": ("a", "v2", NOW),
    "surrogate": ("b", "v\ud800", NOW),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_pipeline_fails_as_a_whole(database, row):
    def work(at):
        at.insert("sessions", COLUMNS, [("a", "v1", NOW)])
        at.insert("sessions", COLUMNS, [row])

    with pytest.raises(RowError):
        database.write(work, pipeline=True)

    assert visitors(database) == {}
    assert database.write(lambda at: insert(at, ("a", "v3", NOW), on_conflict="error")) == 1


UPDATE = """
update sessions set event_count = sessions.event_count + changes.event_count, exit_page = changes.exit_page
from changes
where sessions.session_id = changes.session_id
"""


@pytest.mark.parametrize("pipeline", [False, True])
def test_writes_together_count_as_separate_writes(database, pipeline):
    def work(at):
        with at.together():
            at.insert("sessions", COLUMNS, [("c", "v3", NOW)])
            at.update("sessions", ("session_id", "event_count", "exit_page"), [("a", 2, "/é"), ("b", 1, None)], UPDATE)
            at.insert("events", ("session_id", "event_type", "occurred_at"), [("a", "page_view", NOW)] * 2)
        with at.together():
            pass
        return list(at.query("select event_count, exit_page from sessions where session_id < :last", last="c"))

    database.write(lambda at: at.insert("sessions", COLUMNS, [("a", "v1", NOW), ("b", "v2", NOW)]))

    rows = database.write(work, pipeline=pipeline)

    assert sorted(rows, key=lambda row: row["event_count"]) == [
        {"event_count": 1, "exit_page": None},
        {"event_count": 2, "exit_page": "/é"},
    ]
    assert visitors(database) == {"a": "v1", "b": "v2", "c": "v3"}
    assert database.verify() == []


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_writes_together_fail_as_a_whole(database, row):
    def work(at):
        with at.together():
            at.insert("sessions", COLUMNS, [("a", "v1", NOW)])
            at.insert("events", ("session_id", "event_type", "occurred_at"), [("a", "page_view", NOW)])
            at.insert("sessions", COLUMNS, [row])

    with pytest.raises(RowError):
        database.write(work, pipeline=True)

    assert visitors(database) == {}
    assert database.rows("select * from events") == []
