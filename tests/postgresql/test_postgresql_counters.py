"""PostgreSQL: counters of long and of frequent keys, truncated tables, and ids."""

import json
import random
from datetime import date

import psycopg
import pytest
from helpers import postgres
from helpers.expected_counters import DAY, START

from analytics_api import open_database
from analytics_api.maintenance.erase import erase
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings
from analytics_api.statistics.top_keys import read_top_keys

LONG = "/" + "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9_000))
INSERT_VIEWS = """
insert into events (session_id, event_type, page_url, occurred_at)
select 's' || mod(n, 7), 'page_view', %s, %s::bigint + n
from generate_series(1, 120) as n
"""
INSERT_SESSIONS = """
insert into sessions (session_id, visitor_id, fingerprint, started_at, country, referrer_domain, entry_page, exit_page)
select gen_random_uuid(), 'v' || mod(n, 5), 'f' || mod(n, 3), %s::bigint + n, 'IN', 't.co', %s, %s
from generate_series(1, 120) as n
"""
INSERT_SESSIONS_OF_ANN = """
insert into sessions (session_id, visitor_id, started_at)
select n, 'ann', %s::bigint + n
from generate_series(1, %s) as n
"""


WRITES = (
    "insert into events (session_id, event_type, page_url, occurred_at) "
    "select 's' || n, 'page_view', '/' || n, %(start)s::bigint + 86400000 from unnest(%(numbers)s::int[]) as n",
    "insert into sessions (session_id, visitor_id, fingerprint, started_at) "
    "select 's' || n, 'v' || n, 'f' || n, %(start)s::bigint from unnest(%(numbers)s::int[]) as n",
    "insert into events (session_id, event_type, page_url, occurred_at) "
    "select 's' || n, 'page_view', '/' || n, %(start)s::bigint from unnest(%(numbers)s::int[]) as n",
    "insert into leads (lead_id, enquiry_datetime, visitor_id, session_id, status) "
    "select n, '2026-02-25', 'v' || n, 's' || n, 'new' from unnest(%(numbers)s::int[]) as n",
    "insert into lead_submissions (lead_id, submitted_at, is_primary_lead) "
    "select n, '2026-02-25', 0 from unnest(%(numbers)s::int[]) as n",
    "update leads set status = 'won' where lead_id = any(%(numbers)s)",
    "update leads set visitor_id = 'w' || lead_id where lead_id = any(%(numbers)s)",
    "update sessions set duration = 1 where session_id = any(select 's' || unnest(%(numbers)s::int[]))",
    "update sessions set country = 'DE' where session_id = any(select 's' || unnest(%(numbers)s::int[]))",
    "update sessions set started_at = started_at - 86400000 "
    "where session_id = any(select 's' || unnest(%(numbers)s::int[]))",
    "update events set occurred_at = occurred_at + 1 where session_id = any(select 's' || unnest(%(numbers)s::int[]))",
)
DELETIONS = (
    "delete from events where session_id = any(select 's' || unnest(%(numbers)s::int[]))",
    "delete from sessions where session_id = any(select 's' || unnest(%(numbers)s::int[]))",
    "delete from lead_submissions where lead_id = any(%(numbers)s)",
    "delete from leads where lead_id = any(%(numbers)s)",
)


@pytest.fixture
def connection(database):
    with psycopg.connect(database.url, autocommit=True) as connection:
        yield connection


def totals(connection):
    """Return the numbers of sessions, visitors, fingerprints and events of all time."""
    return connection.execute(
        "select sum(sessions), sum(visitors), sum(fingerprints), "
        "(select coalesce(sum(events), 0) from event_counts where day = -1) from day_counts where day = -1"
    ).fetchone()


def explain_statements(connection):
    """Return a list to which the plan of each later statement of the connection and its triggers is added."""
    plans = []
    connection.add_notice_handler(lambda notice: plans.append(json.loads(notice.message_primary.partition("plan:")[2])))
    connection.execute("load 'auto_explain'")
    for setting in ("level = notice", "nested_statements = on", "analyze = on", "format = json", "min_duration = 0"):
        connection.execute(f"set auto_explain.log_{setting}")
    return plans


def rows_read(connection, tables="%"):
    """Return the number of rows that the transaction has read from the tables whose names match a pattern."""
    sql = f"select sum(seq_tup_read + idx_tup_fetch) from pg_stat_xact_user_tables where relname like '{tables}'"
    [count] = connection.cursor(row_factory=psycopg.rows.tuple_row).execute(sql).fetchone()
    return count


def most_rows(plan):
    """Return the largest number of rows that a step of an executed plan returned."""
    rows = [plan["Actual Rows"] * plan["Actual Loops"], *map(most_rows, plan.get("Plans", ()))]
    return max(rows)


def discarded_rows(plan):
    """Yield the number of rows that each join of an executed plan read and discarded."""
    yield plan["Actual Loops"] * plan.get("Rows Removed by Join Filter", 0)
    for part in plan.get("Plans", ()):
        yield from discarded_rows(part)


def used_indexes(plan):
    """Yield the names of the indexes that an executed plan searched."""
    if plan["Actual Loops"] and "Index Name" in plan:
        yield plan["Index Name"]
    for part in plan.get("Plans", ()):
        yield from used_indexes(part)


def test_frequent_and_long_keys_are_counted(database, connection):
    for _ in range(3):
        for page in ("/a", "/b", LONG):
            connection.execute(INSERT_VIEWS, [page, START])
        connection.execute(INSERT_SESSIONS, [START, LONG, LONG + "x"])

        assert database.verify() == []
    sharded = connection.execute("select page from pages where is_sharded order by page").fetchall()
    top = connection.execute("select page, views from all_time_pages order by views desc, page limit 3").fetchall()
    sources = connection.execute("select key, sessions from all_time_keys where dimension = 2").fetchall()
    exits = read_top_keys(database, None, None, "exit_page", 10)
    connection.execute("delete from events where page_url = '/a' and occurred_at > %s", [START + 100])
    connection.execute("delete from sessions where started_at > %s", [START + 100])

    assert database.verify() == []
    assert sharded == [("/a",), ("/b",), (LONG,)]
    assert top == [("/a", 360), ("/b", 360), (LONG, 360)]
    assert sources == [("t.co", 360)]
    assert exits == [(LONG + "x", 360)]


def test_expected_counts_of_many_pages_read_each_page_once(database, connection):
    connection.execute(
        "insert into sessions (session_id, visitor_id, started_at, entry_page, exit_page) "
        "select 's' || n, 'v', %s, '/in/' || n, '/out/' || n from generate_series(1, 500) as numbers (n)",
        [START],
    )
    before = rows_read(connection, "pages")

    connection.execute("select count(*) from expected_key_counts")

    assert rows_read(connection, "pages") - before < 5 * 1000


def test_long_page_is_rebuilt_and_archived(database):
    view = ["s", "page_view", LONG, START]
    database.write(lambda at: at.insert("events", ["session_id", "event_type", "page_url", "occurred_at"], [view]))

    database.rebuild()
    purge(database, date(2026, 1, 1), keep_totals=True)
    database.rebuild()

    assert database.rows("select * from all_time_pages") == [{"page": LONG, "views": 1, "sessions": 1}]
    assert database.verify() == []


def test_truncate_leaves_the_archive(database, connection):
    for _ in range(2):
        connection.execute(INSERT_VIEWS, ["/a", START])
        connection.execute(INSERT_SESSIONS, [START, "/", "/"])
        if not database.rows("select 1 from archived_event_counts"):
            purge(database, date(2026, 1, 1), keep_totals=True)
    before = totals(connection)

    connection.execute("truncate sessions")
    connection.execute("truncate events, leads, lead_submissions")

    assert before == (240, 5, 3, 240)
    assert totals(connection) == (120, 5, 3, 120)
    assert database.verify() == []


def test_rows_of_days_without_sessions_are_deleted(database, connection):
    connection.execute(INSERT_SESSIONS, [START, "/", "/"])
    connection.execute(INSERT_VIEWS, ["/a", START])

    connection.execute("delete from sessions")
    connection.execute("delete from events")

    for table in ("visitor_days", "fingerprint_days", "session_pages"):
        assert connection.execute(f"select * from {table}").fetchall() == []


def test_generated_ids_follow_given_ids(connection):
    insert = "insert into events (event_id, session_id, event_type, occurred_at) values"
    connection.execute(f"{insert} (7, 's', 'x', {START})")
    connection.execute(f"insert into events (session_id, event_type, occurred_at) values ('s', 'x', {START})")

    assert connection.execute("select event_id from events order by 1").fetchall() == [(7,), (8,)]


def test_pausing_takes_the_right_to_archive(database, connection):
    connection.execute(INSERT_SESSIONS, [START, "/", "/"])
    connection.execute("create role visitor")
    try:
        connection.execute("grant select, delete on sessions to visitor")
        connection.execute("set session authorization visitor")
        with connection.transaction():
            connection.execute("select set_config('analytics.paused', 'on', true)")
            connection.execute("delete from sessions where visitor_id = 'v1'")
    finally:
        connection.execute("reset session authorization")
        connection.execute("drop owned by visitor")
        connection.execute("drop role visitor")

    assert totals(connection)[:2] == (96, 4)
    assert database.verify() == []


@pytest.mark.parametrize("earlier", [0, 50])
def test_large_deletes_are_linear(database, connection, earlier):
    """Delete 5,000 sessions of 2,500 visitors on two days.

    A plan that compares each session with each visitor would read 12 million rows. A plan that searches the first
    session of each of 500 visitors by time, because all earlier sessions were of one visitor, would read 2 million.
    """
    if earlier:
        connection.execute(INSERT_SESSIONS_OF_ANN, [START, earlier])
        connection.execute("analyze")
        connection.execute("truncate sessions")
    connection.execute(
        "insert into sessions (session_id, visitor_id, fingerprint, started_at) "
        "select n, 'v' || n / 2, 'f' || n / 2, %s::bigint + n %% 2 * %s::bigint from generate_series(1, 5000) as n",
        [START, DAY],
    )
    with connection.transaction():
        connection.execute("delete from sessions where session_id like '%1'")
        connection.execute("delete from sessions")
        read = rows_read(connection)

    assert read < 50 * 5_000
    assert database.verify() == []
    assert totals(connection)[:3] == (0, 0, 0)


def test_large_deletes_are_linear_with_earlier_statistics(database, connection):
    """Delete 1,000 sessions. A plan that compares each session with each visitor would discard a million pairs."""
    insert = (
        "insert into sessions (session_id, visitor_id, fingerprint, started_at) "
        "select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), %s from generate_series(1, %s)"
    )
    connection.execute(insert, [START, 100])
    connection.execute("analyze")  # each visitor has a session, so the planner expects one visitor without sessions
    connection.execute(insert, [START, 900])
    plans = explain_statements(connection)

    connection.execute("delete from sessions where visitor_id < '2'")  # PostgreSQL caches the plans of this delete
    connection.execute("delete from sessions")

    assert any("delete from visitor_days" in plan["Query Text"] for plan in plans)
    assert sum(sum(discarded_rows(plan["Plan"])) for plan in plans) < 50 * 1_000


def test_large_writes_are_linear_with_plans_of_small_ones(database, connection):
    """Write a session and its click, then 1,000. A plan that compares each with each would discard a million pairs."""

    def write(first, last):
        numbers = f"from generate_series({first}, {last}) as n"
        click = f"insert into events (session_id, event_type, occurred_at) select n, 'click', {START} {numbers}"
        connection.execute(click)
        connection.execute(f"insert into sessions (session_id, visitor_id, started_at) select n, n, {START} {numbers}")
        connection.execute(click)
        connection.execute("update sessions set duration = coalesce(duration, 0) + 1")
        connection.execute("update sessions set country = concat(country, 'A')")
        connection.execute("update events set event_type = 'download'")

    write(0, 0)
    plans = explain_statements(connection)
    write(1, 1000)

    assert any("session_facts" in plan["Query Text"] for plan in plans)
    assert sum(sum(discarded_rows(plan["Plan"])) for plan in plans) < 50 * 1_000
    assert database.verify() == []


def test_sessions_of_a_visitor_are_searched_in_their_order(database, connection):
    """Write 500 of the 1,000 sessions of a visitor. A search of all in each of them would read a million rows."""
    connection.execute(INSERT_SESSIONS_OF_ANN, [START, 1000])
    with connection.transaction():
        connection.execute("update sessions set started_at = started_at - 1 where session_id like '%1'")
        connection.execute("delete from sessions where session_id < '5'")
        read = rows_read(connection, "sessions")

    assert read < 50 * 1_000
    assert database.verify() == []


def test_visitors_of_later_archived_sessions_are_not_new(database, connection):
    columns = ["session_id", "visitor_id", "started_at"]
    database.write(lambda at: at.insert("sessions", columns, [("a", "ann", START), ("b", "ann", START + DAY)]))
    with connection.transaction():
        connection.execute("select set_config('analytics.paused', 'on', true)")
        connection.execute("update visitor_days set archived = 1 where day = %s", [(START + DAY) // DAY])
        connection.execute("delete from sessions where session_id = 'b'")

    assert database.rows("select session_id, is_new from session_facts") == [{"session_id": "a", "is_new": 0}]


def test_new_visitors_are_searched_by_id_with_earlier_statistics(connection):
    """Insert 1,000 sessions. A plan that searches earlier sessions by time would read half a million rows."""
    insert = "insert into sessions (session_id, visitor_id, started_at) select %s || n, %s || n %% %s, %s"
    numbers = "from generate_series(1, 1000) as n"
    connection.execute(f"{insert} {numbers}", ["a", "a", 8, START])
    connection.execute("analyze")  # a visitor has 125 sessions
    connection.execute("select pg_stat_force_next_flush()")  # so that the rows that were read before are not counted
    with connection.transaction():
        connection.execute(f"{insert} {numbers}", ["b", "b", 1000, START + 1])
        read = rows_read(connection, "sessions")

    assert read < 50 * 1_000


def test_attribution_is_linear_with_statistics_of_empty_tables(database, connection):
    """Insert 101 leads beside 1,001 sessions.

    A plan that searches the sessions again for each pair of a lead and a session would read 100 million rows.
    """
    database.write(lambda at: at.insert("sessions", ("session_id", "visitor_id", "started_at"), [("s", "ann", START)]))
    connection.execute("delete from sessions")
    connection.execute("analyze")  # the tables have pages, but no rows, so the planner expects one row of each

    def write(at):
        at.insert(
            "sessions", ("session_id", "visitor_id", "started_at"), [(str(n), "ann", START + n) for n in range(1001)]
        )
        at.insert("leads", ("lead_id", "enquiry_datetime"), [(n, "2026-02-23 11:00:00") for n in range(101)])
        return rows_read(at.connection, "sessions")

    assert database.write(write) < 10 * 101 * 1001
    assert database.verify() == []


def test_pages_after_a_purge_are_linear_with_earlier_statistics(database, connection):
    """Purge half of the views of 1,000 sessions.

    A plan that compares each archived row with each remaining view discards half a million rows.
    """
    connection.execute(
        "insert into events (session_id, event_type, page_url, occurred_at) "
        "select n / 2, 'page_view', '/', %s::bigint + n %% 2 * %s::bigint from generate_series(0, 1999) as n",
        [START, DAY],
    )
    connection.execute("analyze")  # nothing is archived yet, so the planner expects one archived row
    purge(database, date(2025, 10, 10), keep_totals=True)

    [[[explained]]] = connection.execute("explain (analyze, format json) select * from expected_pages").fetchall()
    archived = connection.execute("select count(*) from session_pages where archived <> 0").fetchone()

    assert archived == (1000,)
    assert sum(discarded_rows(explained["Plan"])) < 10 * 2_000
    assert database.verify() == []


def test_erasure_in_a_new_connection_reduces_the_archive(database, connection):
    sessions = [("a", "ann", START), ("b", "bob", START)]
    database.write(lambda at: at.insert("sessions", ("session_id", "visitor_id", "started_at"), sessions))
    purge(database, date.fromtimestamp((START + 2 * DAY) / 1000), keep_totals=True)
    database.close()  # the erasure opens a connection in which no purge has set analytics.paused

    erase(database, visitor="ann")

    assert totals(connection)[:2] == (1, 1)


def test_triggers_planned_for_empty_tables_search_sessions_by_id(database, connection):
    """In a plan for an empty table, an index of days is as cheap as one of ids. Later, it has all sessions of a day."""
    connection.execute("set random_page_cost = 1.1")  # as in the connections of the collector
    plans = explain_statements(connection)
    for turn in "abcdefghijkl":
        connection.execute(
            "insert into events (session_id, event_type, page_url, occurred_at) "
            "select %s || n, 'page_view', '/', %s from generate_series(1, 8) as n",
            [turn, START],
        )
        connection.execute(
            "insert into sessions (session_id, visitor_id, started_at) "
            "select %s || n, n, %s from generate_series(1, 8) as n",
            [turn, START],
        )
        connection.execute("update sessions set duration = 1 where session_id like %s", [turn + "%"])
        connection.execute("update events set occurred_at = occurred_at + 1 where session_id like %s", [turn + "%"])

    used = {index for plan in plans for index in used_indexes(plan["Plan"])}
    assert "session_facts_pkey" in used
    assert [index for index in used if index.endswith(("_by_day", "_by_country", "_by_source"))] == []
    assert database.verify() == []


@pytest.mark.parametrize("rows", [1, 40, 1000])
def test_triggers_planned_for_few_rows_do_not_read_all_later(rows):
    """A plan that was cached in an empty database is used for all later statements of the connection."""
    planned, later, written = range(-rows, 0), range(500), range(9000, 9002)
    postgres.primary().execute(f"create database planned_for_{rows}")
    url = postgres.primary().url(f"planned_for_{rows}")
    with open_database(url).closing() as database, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set random_page_cost = 1.1")  # as in the connections of the collector
        for statement in (*WRITES, *DELETIONS):
            connection.execute(statement, {"numbers": [*planned], "start": START})
        with psycopg.connect(url) as other:
            for statement in WRITES:
                other.execute(statement, {"numbers": [*later], "start": START})
        plans = explain_statements(connection)

        for statement in (*WRITES, *DELETIONS):
            connection.execute(statement, {"numbers": [*written], "start": START})

        texts = [plan["Query Text"] for plan in plans if most_rows(plan["Plan"]) > 200]
        assert [text for text in texts if "from added" in text or "from removed" in text] == []
        assert database.verify() == []


def test_rows_of_a_statement_have_the_days_of_their_own_offsets(database, connection):
    """Clocks in Berlin were set forward on 2026-03-29. Midnight was at 23:00 UTC before, and at 22:00 UTC after."""
    change_settings(database, time_zone="Europe/Berlin")
    instants = [f"2026-03-{instant}+00" for instant in ("28 22:30", "28 23:30", "29 21:30", "29 22:30")]

    connection.execute(
        "insert into sessions (session_id, visitor_id, started_at) select n, n, 1000 * extract(epoch from instant) "
        "from unnest(%s::timestamptz[]) with ordinality as instants (instant, n)",
        [instants],
    )
    connection.execute(
        "insert into events (session_id, event_type, occurred_at) select session_id, 'click', started_at from sessions"
    )

    assert connection.execute("select session_id, day, events_of_day from session_facts order by 1").fetchall() == [
        ("1", 20540, 1),
        ("2", 20541, 1),
        ("3", 20541, 1),
        ("4", 20542, 1),
    ]
    assert database.verify() == []
