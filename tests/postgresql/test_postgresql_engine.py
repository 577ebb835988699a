"""Features of the PostgreSQL engine: roles, schemas, placeholders, plans and several processes."""

import json
import subprocess
import sys
import threading

import psycopg
import pytest
from helpers import postgres

from analytics_api import Context, open_database
from analytics_api.database.base import (
    ARCHIVE_TABLES,
    ARCHIVING_COUNTERS,
    BASE_TABLES,
    INTERNAL_TABLES,
    SITE_TABLES,
    TRANSIENT_TABLES,
)
from analytics_api.database.postgresql import PostgreSQL
from analytics_api.database.postgresql.statements import number_placeholders
from analytics_api.endpoints.leads import list_leads
from analytics_api.endpoints.leads.filters import list_conditions
from analytics_api.endpoints.pages import EARLIER_VIEWS
from analytics_api.errors import DatabaseError, RowError, UnusableDatabase
from analytics_api.statistics.matching import find_matching

NOW = 1_771_945_200_123
EVENT = (
    "insert into events (session_id, event_type, page_url, occurred_at) values ('s', 'page_view', '/', 1771945200123)"
)


@pytest.fixture
def empty():
    """Return the URL of a database without tables."""
    postgres.require_binaries()
    name = f"empty_{next(postgres.NAMES)}"
    postgres.primary().execute(f"create database {name}")
    yield postgres.primary().url(name)
    postgres.primary().execute(f"drop database {name} with (force)")


def execute(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for sql in statements:
            cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else None


@pytest.mark.parametrize(
    ("sql", "numbered", "names"),
    [
        ("select :a, :b, :a", "select $1, $2, $1", ("a", "b")),
        ("select :a::text", "select $1::text", ("a",)),
        ("select ':a', 'it''s :a', \":a\"", "select ':a', 'it''s :a', \":a\"", ()),
        (r"like :pattern escape '\' and x = :x", r"like $1 escape '\' and x = $2", ("pattern", "x")),
        ("select 100 % :a -- of :b\n/* :c\n */", "select 100 % $1 -- of :b\n/* :c\n */", ("a",)),
    ],
)
def test_named_placeholders_become_numbers(sql, numbered, names):
    assert number_placeholders(sql) == (numbered.encode(), names)


def test_engines_have_the_same_tables_and_columns(database, tmp_path):
    with open_database(tmp_path / "analytics.db").closing() as file:
        for table in BASE_TABLES:
            assert database.columns(table) == file.columns(table), table
        for table in {**INTERNAL_TABLES, **TRANSIENT_TABLES, **SITE_TABLES, **ARCHIVE_TABLES, **ARCHIVING_COUNTERS}:
            names, expected = ([column.name for column in engine.columns(table)] for engine in (database, file))
            assert names == expected, table


def test_search_folds_accents_although_the_server_has_casefold(empty):
    # PostgreSQL 18 has the function casefold; in older versions, the test creates it. PostgreSQL searches pg_catalog
    # first, so it would call this function instead of a function casefold in our schema.
    casefold = 'create function pg_catalog.casefold(text) returns text immutable strict return lower($1 collate "C")'
    if execute(empty, "select to_regprocedure('pg_catalog.casefold(text)') is null") == [(True,)]:
        execute(empty, "set allow_system_table_mods = on", casefold)

    with PostgreSQL(empty).closing() as database:
        database.write(
            lambda at: at.insert("leads", ("enquiry_datetime", "contact_name"), [("2026-02-24 10:00:00", "Zoë Müller")])
        )
        page = list_leads(Context(database, None, NOW), limit=10, q="ZOE mu")

    assert [lead["contact_name"] for lead in page["leads"]] == ["Zoë Müller"]


def test_url_has_no_password_and_reopens_the_database(database):
    secret = database.url.replace("postgres@", "postgres:s3cret@")

    with PostgreSQL(f"{secret}?application_name=x").closing() as opened:
        url = opened.url

    assert url == f"{database.url}?application_name=x"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@127.0.0.1:1/x",
        "postgresql://u:s3cret@127.0.0.1:1,127.0.0.1:2/x",
        "postgresql://u:s3cret@/x?no=option",
        "postgresql://u:s3cret@127.0.0.1:port/x",
    ],
)
def test_unreachable_server_is_reported_without_password(url):
    with pytest.raises(DatabaseError) as error:
        open_database(url)

    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_sqlite_file_has_no_replicas(tmp_path):
    with pytest.raises(DatabaseError, match="read_url is only for PostgreSQL"):
        open_database(tmp_path / "analytics.db", read_url="postgresql://127.0.0.1/x")


def test_open_without_create_creates_nothing(empty):
    with pytest.raises(DatabaseError, match="analytics-api init"):
        open_database(empty, create=False)

    assert execute(empty, "select count(*) from pg_class where relname = 'sessions'") == [(0,)]


def test_concurrent_opens_create_one_schema(empty):
    failed = []

    def opened():
        try:
            open_database(empty).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=opened) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert execute(empty, "select version from analytics_meta") == [(3,)]


@pytest.mark.parametrize("table", ["sessions", "secrets", "analytics_meta"])
def test_open_leaves_foreign_tables_alone(empty, table):
    execute(empty, f"create table {table} (own text)")

    with pytest.raises(UnusableDatabase, match=f"another program's tables \\({table}\\)"):
        open_database(empty)


@pytest.mark.parametrize("table", ["sessions", "wares"])
def test_open_rejects_a_database_without_an_encoding(table):
    name = f"without_encoding_{next(postgres.NAMES)}"
    postgres.primary().execute(f"create database {name} encoding 'SQL_ASCII' locale 'C' template template0")
    postgres.primary().execute(f"create table {table} (own text)", name)

    with pytest.raises(UnusableDatabase, match="the encoding must be UTF8: create the database by createdb"):
        open_database(postgres.primary().url(name))
    postgres.primary().execute(f"drop database {name} with (force)")


@pytest.mark.parametrize(("version", "says"), [(1, "older than 3; run `analytics-api upgrade`"), (4, "newer than 3")])
def test_open_rejects_another_version(empty, version, says):
    open_database(empty).close()
    execute(empty, f"update analytics_meta set version = {version}")

    with pytest.raises(UnusableDatabase, match=says):
        open_database(empty)


def test_tables_are_in_first_schema_of_search_path(empty):
    execute(empty, "create schema one", "create schema two")
    urls = [f"{empty}?options=-csearch_path%3D{schema}" for schema in ("one", "two")]
    with open_database(urls[0]).closing() as one, open_database(urls[1]).closing() as two:
        execute(empty, EVENT.replace("events", "one.events"), "insert into one.leads (enquiry_datetime) values ('')")

        counts = [
            at.row("select coalesce(sum(events), 0)::integer as events from event_counts where day = -1")["events"]
            for at in (one, two)
        ]

        assert counts == [1, 0]
        assert one.rows("select rowid from lead_search('\x1f\x1f\x1f')") == [{"rowid": 1}]
        assert one.verify() == two.verify() == []
    assert execute(
        empty, "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    ) == [(0,)]


@pytest.mark.parametrize(
    "values", [("a\0b", "v", NOW), ("\ud800", "v", NOW), (b"a", "v", NOW), ("a", None, NOW), ("a", "v", -1),
               ("a", "v", "x"), ("a", "v", 2**70), ("x" * 9000 + "".join(map(chr, range(300, 3300))), "v", NOW)],
)  # fmt: skip
@pytest.mark.parametrize("on_conflict", ["error", "ignore", "update"])
def test_rejected_row_does_not_end_the_transaction(database, values, on_conflict):
    columns = ["session_id", "visitor_id", "started_at"]

    def work(at):
        at.insert("sessions", columns, [("first", "v", NOW)])
        with pytest.raises(RowError):
            at.insert("sessions", columns, [("second", "v", NOW), values], on_conflict=on_conflict)
        at.insert("sessions", columns, [("third", "v", NOW)])

    database.write(work)

    assert database.rows("select session_id from sessions order by 1") == [
        {"session_id": "first"},
        {"session_id": "third"},
    ]
    assert database.verify() == []


def test_duplicate_keys_use_the_first_or_update_to_the_last(database):
    columns = ["session_id", "visitor_id", "started_at"]
    rows = [("a", "v1", NOW), ("a", "v2", NOW), ("b", "v3", NOW)]

    written = database.write(lambda at: at.insert("sessions", columns, rows, on_conflict="ignore"))
    first = database.rows("select visitor_id from sessions order by session_id")
    updated = database.write(lambda at: at.insert("sessions", columns, rows, on_conflict="update"))

    assert (written, updated) == (2, 2)
    assert [row["visitor_id"] for row in first] == ["v1", "v3"]
    assert [row["visitor_id"] for row in database.rows("select visitor_id from sessions order by 1")] == ["v2", "v3"]
    assert database.verify() == []


def test_top_pages_are_read_from_an_index(database):
    execute(
        database.url,
        "insert into events (session_id, event_type, page_url, occurred_at) "
        "select 's' || n % 9, 'page_view', '/' || n % 8000, 1771945200123 + n from generate_series(1, 12000) as n",
        "analyze",
    )

    plan = database.rows("explain select page, views from all_time_pages order by views desc, page limit 20")

    lines = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "Merge Append" in lines
    assert "pages_by_views" in lines


def test_filters_do_not_search_events_for_each_session(database):
    matching = find_matching(database, None, {"event_type.not": ["page_view"]})

    plan = database.rows(f"explain select from session_facts as s where {matching.condition}", **matching.parameters)

    lines = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "Anti Join" in lines
    assert "SubPlan" not in lines


def test_earlier_views_of_pages_are_searched_by_session(database):
    execute(
        database.url,
        "insert into events (session_id, event_type, page_url, occurred_at) "
        "select 's' || n, 'page_view', '/' || n % 10, 1771945200123 + n * 1000000::bigint "
        "from generate_series(1, 12000) as n",
        "analyze",
    )
    whole_days = {"first": 20_000, "last": 21_000}
    cut_day = {"begins_at": 1771945200123, "until": 1771945200123 + 12_000_000_000}

    plan = database.rows(f"explain {EARLIER_VIEWS}", keys=json.dumps(["/1", "/2"]), **whole_days, **cut_day)

    lines = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "session_pages_pkey" in lines
    assert "Seq Scan on session_pages" not in lines


def test_leads_are_not_compared_with_each_match_of_a_search(database):
    [term] = database.read(lambda at: list_conditions(at, "example", {}))

    plan = database.rows(f"explain select from leads where {term.scanned}", **term.params)

    lines = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "hashed SubPlan" in lines
    assert "Join" not in lines


def test_statements_with_filters_are_planned_for_their_values(database):
    def prepared(at):
        for name in ("sessions", "session_facts", "facts_of_sessions"):
            for _ in range(10):
                at.tuples(f"select from {name} where started_at > :instant", instant=1)
                at.rows(f"select session_id from {name} where started_at > :instant", instant=1)
        return [statement for (statement,) in at.tuples("select statement from pg_prepared_statements")]

    database.close()  # an earlier test may have prepared statements in a connection of the pool

    assert sorted(statement for statement in database.read(prepared) if "started_at" in statement) == [
        "select from sessions where started_at > $1",
        "select session_id from sessions where started_at > $1",
    ]


SESSIONS = "select sessions from day_counts where day = -1 and sessions > 0"  # a rebuild also inserts shards of 0


def test_reads_continue_during_a_bulk_load(database):
    def work(at):
        at.insert("sessions", ["session_id", "visitor_id", "started_at"], [("a", "v", NOW)])

    def progress(counter):
        if counter == "leads":  # all other counters have been rebuilt by now
            sessions_seen.append(database.rows(SESSIONS))

    sessions_seen = []
    database.bulk(work, on_progress=progress)

    assert sessions_seen == [[]]
    assert database.rows(SESSIONS) == [{"sessions": 1}]


FORK = """
import os, sys
from analytics_api import Context, open_database
database = open_database(sys.argv[1])
asked = lambda: database.rows("select pg_backend_pid() as pid")[0]["pid"]
mine = asked()
child = os.fork()
if child == 0:
    os._exit(0 if asked() != mine and asked() != mine else 1)
status = os.waitpid(child, 0)[1]
assert asked() == mine
database.close()
sys.exit(status)
"""


def test_interrupted_verify_does_not_wait_for_its_thread(database):
    """The thread waits for a table that another connection has locked."""

    def broken_off(counter):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    with psycopg.connect(database.url) as locking:
        locking.execute("lock table sessions, events, leads, lead_submissions in access exclusive mode")

        with pytest.raises(KeyboardInterrupt):
            database.verify(on_progress=broken_off)

        locking.rollback()
    assert database.verify() == []


def test_verify_restarts_after_lost_connections(database):
    database.write(lambda at: at.execute(EVENT))
    execute(database.url, "delete from counter_page_counts")
    lost = []

    def lose(counter):
        if counter == "pages" and not lost:
            lost.append(counter)
            execute(
                database.url,
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()",
            )

    differences = database.verify(on_progress=lose)

    assert lost
    assert [difference.counter for difference in differences] == ["page_counts"]


def test_verify_needs_only_one_connection_of_the_pool(database):
    with PostgreSQL(database.url, pool_size=1, wait=0.5).closing() as small:
        assert small.verify() == []


def test_forked_process_opens_its_own_connections(database):
    threads = "ignore:This process:DeprecationWarning"  # since Python 3.12, forking a process with threads warns
    program = [sys.executable, "-W", threads, "-c", FORK, database.url]

    ran = subprocess.run(program, capture_output=True, text=True, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, "")


UPDATE = """
update sessions set exit_page = changes.exit_page
from changes
where sessions.session_id = changes.session_id
"""
ROWS_READ = """
select seq_tup_read + idx_tup_fetch as rows_read
from pg_stat_xact_user_tables
where relid = 'sessions'::regclass
"""


def test_updates_of_a_growing_table_do_not_read_the_whole_table(database):
    """The plan of a prepared statement is made while the table is small, and may still be used when it has grown."""
    rows_read = []

    def write(at, sessions):
        at.insert("sessions", ("session_id", "visitor_id", "started_at"), sessions)
        before = at.rows(ROWS_READ)[0]["rows_read"]
        with at.together():
            at.update("sessions", ("session_id", "exit_page"), [(sessions[0][0], "/")], UPDATE)
        rows_read.append(at.rows(ROWS_READ)[0]["rows_read"] - before)

    for number in range(20):
        sessions = [(f"s{number}-{index}", f"v{number}-{index}", NOW) for index in range(50)]
        database.write(lambda at, sessions=sessions: write(at, sessions), pipeline=True)

    assert max(rows_read) <= 5
