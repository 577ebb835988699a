"""The rollups on PostgreSQL under any statements of any writer, and under many writers at once."""

import os
import random
import threading
from contextlib import contextmanager, suppress
from datetime import date

import psycopg
import pytest
from helpers import postgres
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_rollups import KEYS, MEDDLED, READS, VALUES, expected

from analytics_api import open_database
from analytics_api.database.base import PAST_TABLES
from analytics_api.maintenance.purge import purge

EXAMPLES = int(os.environ.get("POSTGRESQL_EXAMPLES", "20"))

INTEGERS = {
    "started_at", "ended_at", "duration", "engagement_score", "event_count", "vpn_suspected", "event_id", "occurred_at",
    "lead_id", "submission_id", "is_primary_lead", "follow_ups_count",
}  # fmt: skip

SEARCHED = ("contact_name", "contact_email", "contact_phone", "project_name", "visitor_id")
EXPRESSIONS = {
    "sessions": ("session_id = session_id || 'x'", "started_at = started_at + 1"),
    "events": ("event_id = event_id + 1", "event_id = -event_id", "session_id = page_url", "page_url = session_id"),
    "leads": ("lead_id = lead_id + 1", "lead_id = -lead_id", "contact_name = contact_email"),
    "lead_submissions": ("submission_id = submission_id + 1", "lead_id = -lead_id", "lead_id = submission_id"),
}


def spelled(column, value):
    """The value as a literal: `default` for a key that is to come of itself."""
    if value is None:
        return "default" if column in KEYS.values() else "null"
    return str(int(value)) if column in INTEGERS else "'" + str(value).replace("'", "''") + "'"


def value_of(draw, table, column, values=None):
    return spelled(column, draw(st.sampled_from(values or VALUES[table][column])))


@st.composite
def inserts(draw, table):
    columns = list(VALUES[table])
    rows = draw(st.lists(st.just(None), min_size=1, max_size=5))
    values = ", ".join(f"({', '.join(value_of(draw, table, column) for column in columns)})" for _ in rows)
    sql = f"insert into {table} ({', '.join(columns)}) values {values}"
    conflict = draw(st.sampled_from(("", "nothing", "update", "rename")))
    if conflict == "nothing":
        return f"{sql} on conflict do nothing"
    if conflict == "rename":
        named = draw(st.sampled_from(EXPRESSIONS[table])).replace(" = ", f" = {table}.", 1)
        return f"{sql} on conflict ({KEYS[table]}) do update set {named}" if "-" not in named else sql
    if conflict == "update":
        changed = draw(st.lists(st.sampled_from(columns[1:]), min_size=1, max_size=4, unique=True))
        setting = ", ".join(f"{column} = excluded.{column}" for column in changed)
        return f"{sql} on conflict ({KEYS[table]}) do update set {setting}"
    return sql


@st.composite
def copies(draw, table):
    key, *others = VALUES[table]
    moved = "session_id || 'x'" if table == "sessions" else f"{key} + {draw(st.integers(1, 3))}"
    columns = ", ".join(others)
    return f"insert into {table} ({key}, {columns}) select {moved}, {columns} from {table} on conflict do nothing"


@st.composite
def wheres(draw, table):
    if draw(st.integers(0, 3)) == 0:
        return ""
    column = draw(st.sampled_from(list(VALUES[table])))
    value = value_of(draw, table, column)
    value = "null" if value == "default" else value
    return f" where {column} is {draw(st.sampled_from(('', 'not ')))}distinct from {value}"


@st.composite
def updates(draw, table):
    where = draw(wheres(table))
    if draw(st.integers(0, 3)) == 0:
        return f"update {table} set {draw(st.sampled_from(EXPRESSIONS[table]))}{where}"
    settable = {**VALUES[table], **MEDDLED.get(table, {})}
    settable.pop("search_code", None)  # which only SQLite has
    columns = draw(st.lists(st.sampled_from(list(settable)[1:]), min_size=1, max_size=4, unique=True))
    setting = ", ".join(f"{column} = {value_of(draw, table, column, settable[column])}" for column in columns)
    return f"update {table} set {setting}{where}"


@st.composite
def deletes(draw, table):
    return f"delete from {table}{draw(wheres(table))}"


def writes(*tables):
    return st.one_of(
        *(kind(table) for table in tables for kind in (inserts, inserts, copies, updates, updates, deletes)),
        st.sampled_from(tables).map(lambda table: f"truncate {table}"),
        st.sampled_from(("savepoint", "rollback to")),
    )


@contextmanager
def connected(database, **options):
    connection = psycopg.connect(database.url, **options)
    with connection:
        yield connection
        connection.rollback()


@pytest.fixture
def database():
    with postgres.new_database() as database:
        yield database


def base(connection):
    return [
        [
            dict(zip(VALUES[table], row))
            for row in connection.execute(f"select {', '.join(VALUES[table])} from {table} order by 1").fetchall()
        ]
        for table in VALUES
    ]


def check(connection):
    """Every number is what DESIGN tells of the base tables, and what the plain questions say."""
    for rollup, rows in expected(*base(connection), SEARCHED).items():
        assert set(connection.execute(f"select {READS.get(rollup, '*')} from {rollup}").fetchall()) == rows, rollup
    for (view,) in connection.execute("select relname from pg_class where relname ~ '^plain_'").fetchall():
        rollup = "leads" if view == "plain_leads" else view.replace("plain_", "rollup_")
        cursor = connection.execute(f"select * from {view}")
        columns = ", ".join(column.name for column in cursor.description)
        kept = connection.execute(f"select {columns} from {rollup}").fetchall()
        assert sorted(map(repr, kept)) == sorted(map(repr, cursor.fetchall())), rollup


def play(database, statements):
    with connected(database) as connection:
        savepoints = 0
        for sql in statements:
            if sql == "savepoint":
                savepoints += 1
                connection.execute(f"savepoint s{savepoints}")
            elif sql == "rollback to":
                if savepoints:
                    connection.execute(f"rollback to s{savepoints}")
            else:
                refused = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.CardinalityViolation)
                with suppress(*refused), connection.transaction():
                    connection.execute(sql)
            check(connection)


ANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@ANY
@given(statements=st.lists(writes("sessions", "events"), min_size=1, max_size=10))
def test_session_rollups_are_exact_after_any_statements(database, statements):
    play(database, statements)


@ANY
@given(statements=st.lists(writes("leads", "lead_submissions"), min_size=1, max_size=10))
def test_lead_rollups_are_exact_after_any_statements(database, statements):
    play(database, statements)


def test_sharded_counters_and_long_pages_are_exact(database):
    long = "/" + "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9_000))
    with connected(database) as connection:
        for _ in range(3):
            for page in ("/a", "/b", long):
                connection.execute(
                    "insert into events (session_id, event_type, page_url, occurred_at) "
                    "select 's' || mod(n, 7), 'page_view', %s, n from generate_series(1, 600) as n",
                    [page],
                )
            connection.execute(
                "insert into sessions (session_id, visitor_id, started_at, referrer_domain) "
                "select gen_random_uuid(), 'v' || n % 5, n, 't.co' from generate_series(1, 600) as n"
            )
            check(connection)
        [(split,)] = connection.execute("select count(*) from kept_pages where split").fetchall()

        top = connection.execute("select page, views from rollup_pages order by views desc, page limit 3").fetchall()
        connection.execute("delete from events where page_url = '/a' and occurred_at > 100")
        connection.execute("delete from sessions where started_at > 100")

        check(connection)
        assert split == 3
        assert top == [("/a", 1800), ("/b", 1800), (long, 1800)]


def test_rebuild_counts_pages_longer_than_an_index_entry(database):
    page = "/" + "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9_000))
    view = ["s", "page_view", page, 0]
    database.write(lambda at: at.insert("events", ["session_id", "event_type", "page_url", "occurred_at"], [view]))

    database.rebuild()
    purge(database, date(1970, 1, 2), keep_totals=True)
    database.rebuild()

    assert database.rows("select * from rollup_pages") == [{"page": page, "views": 1, "unique_sessions": 1}]
    assert database.verify() == []


def test_truncate_leaves_past_tables_unless_named(database):
    def fill():
        with connected(database) as connection:
            connection.execute(
                "insert into events (session_id, event_type, page_url, occurred_at) "
                "select 's' || mod(n, 7), 'page_view', '/' || mod(n, 3), n from generate_series(1, 300) as n"
            )
            connection.execute(
                "insert into sessions (session_id, visitor_id, fingerprint, started_at, country, referrer_domain) "
                "select gen_random_uuid(), 'v' || n % 5, 'f' || n % 3, n, 'IN', 't.co' "
                "from generate_series(1, 300) as n"
            )
            connection.commit()

    names = "sessions, events, unique_visitors, unique_fingerprints"
    fill()
    purge(database, date(1970, 1, 2), keep_totals=True)
    fill()
    seen = []
    with connected(database, autocommit=True) as connection:
        for truncated in ("sessions", "events", *PAST_TABLES):
            connection.execute(f"truncate {truncated}")
            seen.append(connection.execute(f"select {names} from rollup_totals").fetchone())

            assert database.verify() == []

    assert seen[:2] == [(300, 600, 5, 3), (300, 300, 5, 3)]
    assert seen[-1] == (0, 0, 0, 0)


def test_generated_ids_continue_after_explicit_ones(database):
    with connected(database) as connection:
        connection.execute("insert into events (event_id, session_id, event_type, occurred_at) values (7, 's', 'x', 0)")
        connection.execute("insert into events (session_id, event_type, occurred_at) values ('s', 'x', 0)")

        assert connection.execute("select event_id from events order by 1").fetchall() == [(7,), (8,)]


WRITERS = 6


def test_rollups_are_exact_after_concurrent_writers(database):
    """Six trackers with the defaults of their connections."""
    failed = []

    def write(number):
        draw = random.Random(number)
        connection = psycopg.connect(database.url)
        try:
            for turn in range(25):
                visitor = f"v{draw.randrange(4)}"
                session = f"s{draw.randrange(12)}"
                with connection.transaction():
                    connection.execute(
                        "insert into sessions (session_id, visitor_id, fingerprint, started_at, country, "
                        "referrer_domain, duration, engagement_score, ended_at) "
                        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
                        "on conflict (session_id) do update set visitor_id = excluded.visitor_id, "
                        "country = excluded.country, duration = excluded.duration, ended_at = excluded.ended_at",
                        [
                            session, visitor, f"f{visitor}", draw.randrange(3) * 86_400_000, draw.choice("AB"),
                            draw.choice(("t.co", None)), draw.randrange(100), draw.randrange(100),
                            draw.choice((None, 5)),
                        ],
                    )  # fmt: skip
                pages = [f"/{draw.randrange(5)}" for _ in range(20)]
                into = "copy events (session_id, event_type, page_url, occurred_at) from stdin"
                with connection.transaction(), connection.cursor() as cursor, cursor.copy(into) as copy:
                    for page in pages:
                        copy.write_row((session, "page_view", page, draw.randrange(10) * 60_000))
                with connection.transaction():
                    connection.execute("delete from events where mod(event_id, %s) = %s", [40, draw.randrange(40)])
                with connection.transaction():
                    connection.execute(
                        "insert into leads (lead_id, enquiry_datetime, contact_name) values (%s, '2026-01-01', 'x') "
                        "on conflict (lead_id) do update set contact_name = excluded.contact_name",
                        [draw.randrange(5)],
                    )
                with connection.transaction():
                    connection.execute(
                        "insert into lead_submissions (lead_id, submitted_at) values (%s, %s)",
                        [draw.randrange(5), f"2026-01-{turn:02}"],
                    )
                if turn % 5 == 0:
                    with connection.transaction():
                        connection.execute("delete from leads where lead_id = %s", [draw.randrange(5)])
                    with connection.transaction():
                        connection.execute("delete from sessions where session_id = %s", [f"s{draw.randrange(12)}"])
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=[number]) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert database.verify() == []
    with connected(database) as connection:
        check(connection)


def test_concurrent_trackers_do_not_conflict_on_rare_pages(database):
    """There are as many with slots as there can be; eight trackers count up the rest."""
    failed = []

    def view(connection, session, *pages):
        connection.execute(
            "insert into events (session_id, event_type, page_url, occurred_at) "
            "select %s, 'page_view', page, 0 from unnest(%s::text[]) as page",
            [session, list(pages)],
        )

    def write(number):
        draw = random.Random(number)
        try:
            with connected(database, autocommit=True) as connection:
                for _ in range(300):
                    view(connection, f"s{number}", *draw.sample(["/a", "/b", "/c"], 2))
        except Exception as error:
            failed.append(error)

    with connected(database, autocommit=True) as connection:
        view(connection, "s", "/a", "/b", "/c", *(f"/{number}" for number in range(500)))
        connection.execute("update kept_pages set split = true where page not in ('/a', '/b', '/c')")
    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert sum(row["views"] for row in database.rows("select views from rollup_pages")) == 503 + 8 * 300 * 2
    assert database.verify() == []


def test_conflicting_writers_are_retried(database):
    """Through `write`, at repeatable read: each counts up what it has read, in an order of its own."""
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], [[1, "2026"], [2, "2026"]]))

    def count_up(leads):
        def work(at):
            for lead in leads:
                score = at.row("select suspicion_score as score from leads where lead_id = :lead", lead=lead)["score"]
                at.execute(
                    "update leads set suspicion_score = :score where lead_id = :lead", score=score + 1, lead=lead
                )

        for _ in range(10):
            database.write(work)

    threads = [threading.Thread(target=count_up, args=[order]) for order in ([1, 2], [2, 1], [1, 2], [2, 1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert database.rows("select suspicion_score as score from leads") == [{"score": 40}, {"score": 40}]


def test_bulk_and_single_writers_leave_exact_rollups(database):
    done = threading.Event()
    failed = []

    def trickle():
        with open_database(database.url).closing() as own:
            number = 0
            while not done.is_set():
                number += 1
                row = [f"trickle {number}", "v", number]
                try:
                    own.write(
                        lambda at, row=row: at.insert("sessions", ["session_id", "visitor_id", "started_at"], [row])
                    )
                except Exception as error:
                    failed.append(error)

    thread = threading.Thread(target=trickle)
    thread.start()
    for batch in range(3):
        rows = [[f"bulk {batch} {n}", f"v{n % 9}", n] for n in range(500)]
        database.bulk(lambda at, rows=rows: at.insert("sessions", ["session_id", "visitor_id", "started_at"], rows))
    done.set()
    thread.join()

    assert failed == []
    assert database.verify() == []
