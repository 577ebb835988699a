"""The number of SQLite instructions for a read or a write does not depend on the size of the database."""

import sqlite3
from contextlib import ExitStack, closing
from functools import partial

import pytest

from analytics_api import Context, open_database
from analytics_api.endpoints import engagement, geo, overview, pages, realtime, sessions, sources
from analytics_api.maintenance import demo

NOW = 1_771_945_200_000  # 2026-02-24 15:00:00
DAY = 86_400_000
BEGIN = 20_000 * DAY

READS = {
    "overview": overview.overview,
    "daily": lambda ctx: sessions.daily(ctx, 90),
    "top": lambda ctx: pages.top(ctx, 100),
    "geo": geo.geo,
    "engagement": engagement.engagement,
    "sources": lambda ctx: sources.sources(ctx, 100),
    "realtime": realtime.realtime,
}

WRITES = {
    "a session": """
        insert into sessions (session_id, visitor_id, fingerprint, started_at, country, referrer_domain)
        values ('of this test', 'new here', 'f', 1771900000000, 'IN', 'google.com')""",
    "a visit that goes on": """
        update sessions
        set duration = 5000, ended_at = started_at + 5000, engagement_score = 50
        where session_id = 'of this test'""",
    "a page view": """
        insert into events (session_id, event_type, page_url, occurred_at)
        values ('of this test', 'page_view', 'https://example.com/', 1771900000000)""",
    "a visit that goes to another page": """
        update sessions
        set duration = 6000, exit_page = 'https://example.com/b'
        where session_id = 'of this test'""",
    "a page view on an earlier day": """
        insert into events (session_id, event_type, page_url, occurred_at)
        values ('of this test', 'page_view', 'https://example.com/', 1771700000000)""",
    "an event taken back": "delete from events where event_id = (select max(event_id) from events)",
    "a session taken back": "delete from sessions where session_id = 'of this test'",
}


def filled(folder, count):
    database = open_database(folder / f"{count}.db")
    plan = demo.Plan(NOW, sessions=count)
    database.bulk(
        lambda at: [at.insert(table, demo.COLUMNS[table], rows) for table, rows in demo.batches(plan)] and None
    )
    return database


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("costs")
    with filled(folder, 500).closing() as small, filled(folder, 2_500).closing() as large:
        yield small, large


def steps_of(connection, work):
    """Return the number of instructions that SQLite's virtual machine runs during `work`."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    connection.set_progress_handler(count, 1)
    try:
        work()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("name", READS)
def test_read_cost_does_not_grow_with_rows(sizes, name):
    costs = []
    for database in sizes:
        READS[name](Context(database, None, NOW))  # open the connection before measuring
        (handle,) = database._handles
        connection = handle.statements.connection
        costs.append(steps_of(connection, partial(READS[name], Context(database, None, NOW))))

    small, large = costs
    # The large database may cost a little more: it has more countries, and `realtime` reads the events of the
    # incomplete minutes at both ends of the last hour.
    assert 0 < large <= 1.3 * small + 200


def test_write_cost_does_not_grow_with_rows(sizes):
    costs = []
    for database in sizes:
        connection = sqlite3.connect(database.path, isolation_level=None)
        connection.execute("begin")
        costs.append([steps_of(connection, partial(connection.execute, sql)) for sql in WRITES.values()])
        connection.execute("rollback")
        connection.close()

    for name, small, large in zip(WRITES, *costs):
        assert 0 < large <= 1.1 * small, name


@pytest.mark.parametrize(
    "sql",
    [
        "delete from sessions where session_id = 's14'",
        f"insert into sessions (session_id, visitor_id, started_at) values ('x', 'v7', {BEGIN - DAY})",
        f"update sessions set started_at = {BEGIN + 2 * DAY} where session_id = 's14'",
    ],
    ids=["delete", "earlier", "move"],
)
def test_write_cost_does_not_grow_with_sessions_of_the_day(tmp_path, sql):
    costs = []
    for count in (100, 1_000):
        with open_database(tmp_path / f"{count}.db").closing() as database:
            rows = [(f"s{n}", f"v{n // 2}", BEGIN + n % 2 * DAY + n) for n in range(2 * count)]
            database.bulk(lambda at, rows=rows: at.insert("sessions", ["session_id", "visitor_id", "started_at"], rows))
        with closing(sqlite3.connect(database.path)) as connection:
            costs.append(steps_of(connection, partial(connection.execute, sql)))

    small, large = costs
    assert 0 < large <= 1.1 * small


@pytest.fixture(scope="module")
def regulars(tmp_path_factory):
    """Return two databases: one with some sessions of a visitor, one with ten times as many."""
    folder = tmp_path_factory.mktemp("regulars")
    with ExitStack() as opened:
        databases = []
        for count in (200, 2_000):
            database = opened.enter_context(open_database(folder / f"{count}.db").closing())
            rows = [(f"s{n}", "the same", BEGIN + n % 100 * DAY + n, "US" if n else "DE") for n in range(count)]
            columns = ("session_id", "visitor_id", "started_at", "country")
            database.bulk(lambda at, rows=rows, columns=columns: at.insert("sessions", columns, rows))
            databases.append(database)
        yield databases


@pytest.mark.parametrize(
    "sql",
    [
        *(
            "insert into sessions (session_id, visitor_id, country, started_at) "
            f"values ('x', 'the same', '{country}', {at})"
            for country, at in (
                ("DE", BEGIN + 50 * DAY),
                ("IN", BEGIN + 50 * DAY),
                ("DE", BEGIN + 300 * DAY),
                ("ZM", BEGIN - 300 * DAY),
            )
        ),
        "delete from sessions where session_id = 's0'",
        f"update sessions set started_at = {BEGIN + 500 * DAY} where session_id = 's0'",
    ],
)
def test_write_cost_does_not_grow_with_a_visitors_sessions(regulars, sql):
    costs = []
    for database in regulars:
        connection = sqlite3.connect(database.path, isolation_level=None)
        connection.execute("begin")
        costs.append(steps_of(connection, partial(connection.execute, sql)))
        connection.execute("rollback")
        connection.close()

    small, large = costs
    assert 0 < large <= 1.1 * small
