"""Concurrent writers on PostgreSQL do not deadlock, and the counters are correct afterwards."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import date

import psycopg
import pytest
from helpers import postgres
from helpers.expected_counters import DAY, START
from helpers.server import wait_for

from analytics_api import open_database
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings

WRITERS = 6

UPSERT_SESSION = """
insert into sessions (session_id, visitor_id, fingerprint, started_at, country, referrer_domain, duration,
  engagement_score, ended_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (session_id) do update set
  visitor_id = excluded.visitor_id,
  country = excluded.country,
  duration = excluded.duration,
  ended_at = excluded.ended_at
"""
INSERT_SESSION = """
insert into sessions (session_id, visitor_id, fingerprint, started_at)
values (%s, %s, %s, %s)
"""
INSERT_SESSION_ON_PAGE = """
insert into sessions (session_id, visitor_id, started_at, entry_page)
values (%s, %s, %s, %s)
"""
INSERT_VIEW = """
insert into events (session_id, event_type, page_url, occurred_at)
values (%s, 'page_view', %s, %s)
"""
IS_WAITING = """
select count(*) > 0
from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""
FIRST_OF_VISITOR = f"""
insert into sessions (session_id, visitor_id, started_at)
values ('first', 'lead', {START - 2 * DAY})
"""
COPY_EVENTS = "copy events (session_id, event_type, page_url, occurred_at) from stdin"


def run_at_once(work, arguments):
    """Run `work` with each argument in a separate thread, and return the errors."""
    failed = []

    def run(argument):
        try:
            work(argument)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=[argument]) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def write_like_a_tracker(connection, draw, turn):
    visitor, session = f"v{draw.randrange(4)}", f"s{draw.randrange(12)}"
    with connection.transaction():
        connection.execute(
            UPSERT_SESSION,
            [
                session, visitor, f"f{visitor}", START + draw.randrange(3) * DAY, draw.choice("AB"),
                draw.choice(("t.co", None)), draw.randrange(100), draw.randrange(100), draw.choice((None, 5)),
            ],
        )  # fmt: skip
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(COPY_EVENTS) as copy:
        for _ in range(20):
            happened = START + draw.randrange(3) * DAY + draw.randrange(10) * 60_000
            copy.write_row((session, "page_view", f"/{draw.randrange(5)}", happened))
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
            [draw.randrange(5), f"2026-01-{turn + 1:02}"],
        )
    if turn % 5 == 0:
        with connection.transaction():
            connection.execute("delete from leads where lead_id = %s", [draw.randrange(5)])
        with connection.transaction():
            connection.execute("delete from sessions where session_id = %s", [f"s{draw.randrange(12)}"])


def test_trackers_with_the_same_keys_leave_exact_counters(database):
    """Six trackers write the same keys, with default connection settings."""

    def write(number):
        draw = random.Random(number)
        with psycopg.connect(database.url) as connection:
            for turn in range(15):
                write_like_a_tracker(connection, draw, turn)

    failed = run_at_once(write, range(WRITERS))

    assert failed == []
    assert database.verify() == []


def test_trackers_with_unsharded_pages_do_not_deadlock(database):
    """Other pages have reached the limit of sharded pages, so eight trackers write views of unsharded pages."""

    def view(connection, session, *pages):
        connection.execute(
            "insert into events (session_id, event_type, page_url, occurred_at) "
            "select %s, 'page_view', page, %s from unnest(%s::text[]) as page",
            [session, START, list(pages)],
        )

    def write(number):
        draw = random.Random(number)
        with psycopg.connect(database.url, autocommit=True) as connection:
            for _ in range(50):
                view(connection, f"s{number}", *draw.sample(["/a", "/b", "/c"], 2))

    with psycopg.connect(database.url, autocommit=True) as connection:
        view(connection, "s", "/a", "/b", "/c", *(f"/{number}" for number in range(500)))
        connection.execute("update pages set is_sharded = true where page not in ('/a', '/b', '/c')")
    failed = run_at_once(write, range(8))

    assert failed == []
    assert sum(row["views"] for row in database.rows("select views from all_time_pages")) == 503 + 8 * 50 * 2
    assert database.verify() == []


@contextmanager
def blocked(database, write):
    """Call `write` in a thread. Run the block while the thread waits for a lock that the block releases."""
    name = database.url.rpartition("/")[2]
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write)
        postgres.primary().wait_for(
            "select count(*) > 0 from pg_locks join pg_stat_activity using (pid) "
            f"where not granted and datname = '{name}'"
        )
        yield
        writing.result()


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_writers_of_two_days_of_one_visitor_see_each_other(database, isolation):
    """The second transaction begins, and at repeatable read takes its snapshot, before the first one commits."""
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        for connection in (first, second):
            connection.execute(f"set transaction isolation level {isolation}")
            connection.execute("select 1 from visitor_days")
        first.execute(INSERT_SESSION, ["a", "v", "f", START])
        first.execute(INSERT_VIEW, ["s", "/", START])

        def write_second():
            with suppress(psycopg.errors.SerializationFailure):
                second.execute(INSERT_SESSION, ["b", "v", "f", START + DAY])
                second.execute(INSERT_VIEW, ["s", "/", START + DAY])
                second.commit()

        with blocked(database, write_second):
            first.commit()

    assert database.verify() == []
    assert database.rows("select sum(sessions)::integer as returns from session_returns where dimension = 0") == [
        {"returns": 1 if isolation == "read committed" else None}
    ]


INSERT_CLICK = """
insert into events (session_id, event_type, occurred_at)
values (%s, 'click', %s)
"""


@pytest.mark.parametrize("is_session_first", [True, False], ids=["session first", "event first"])
def test_session_and_event_written_at_once_are_counted_together(database, is_session_first):
    session, click = (INSERT_SESSION, ["a", "v", "f", START]), (INSERT_CLICK, ["a", START + 1000])
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        first.execute(*(session if is_session_first else click))

        def write_second():
            second.execute(*(click if is_session_first else session))
            second.commit()

        with blocked(database, write_second):
            first.commit()

    assert database.verify() == []
    assert database.rows("select events_of_day from session_facts") == [{"events_of_day": 1}]
    assert database.rows("select from events_of_other_days") == []


@pytest.mark.parametrize(
    ("first_write", "second_write"),
    [
        ("update sessions set country = 'IN' where session_id = 'named'", FIRST_OF_VISITOR),
        (FIRST_OF_VISITOR, "update sessions set country = 'IN' where session_id = 'named'"),
        ("update sessions set visitor_id = 'w' where session_id = 'named'", "update leads set visitor_id = ''"),
        ("update leads set visitor_id = 'x'", "update sessions set visitor_id = 'x' where session_id = 'early'"),
    ],
    ids=["session of the lead", "session of its visitor", "visitor of the session", "visitor of the lead"],
)
def test_writers_of_two_sessions_of_a_lead_see_each_other(database, first_write, second_write):
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        first.execute(INSERT_SESSION, ["named", "v", None, START])
        first.execute(INSERT_SESSION, ["early", "e", None, START - DAY])
        first.execute(
            "insert into leads (lead_id, enquiry_datetime, session_id, visitor_id) "
            "values (1, '2026-02-24 09:00:00', 'named', 'lead')"
        )
        first.commit()
        first.execute(first_write)

        def write_second():
            second.execute(second_write)
            second.commit()

        with blocked(database, write_second):
            first.commit()

    assert database.verify() == []


def test_lead_waits_for_its_session_and_locks_its_visitor(database):
    with (
        psycopg.connect(database.url) as first,
        psycopg.connect(database.url) as second,
        psycopg.connect(database.url) as third,
    ):
        first.execute(INSERT_SESSION, ["early", "v", None, START - DAY])
        first.commit()
        first.execute(INSERT_SESSION, ["named", "v", None, START])

        def write_lead():
            second.execute(
                "insert into leads (lead_id, enquiry_datetime, session_id) values (1, '2026-02-24 09:00:00', 'named')"
            )

        def delete_session():
            third.execute("delete from sessions where session_id = 'early'")
            third.commit()

        with blocked(database, write_lead):
            first.commit()
        with blocked(database, delete_session):
            second.commit()

    assert database.verify() == []


def test_event_and_heartbeats_of_its_session_do_not_deadlock(database):
    """The first transaction writes an event, and then the session, which the second transaction updates meanwhile."""
    update = "update sessions set duration = duration + 1 where session_id = 'a'"
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        first.execute(INSERT_SESSION, ["a", "v", "f", START])
        first.execute("update sessions set duration = 0")
        first.commit()
        first.execute(INSERT_CLICK, ["a", START + 1000])

        def write_second():
            second.execute(update)
            second.commit()

        with blocked(database, write_second):
            first.execute(update)
            first.commit()

    assert database.verify() == []
    assert database.rows("select duration, events_of_day from session_facts") == [{"duration": 2, "events_of_day": 1}]


def test_more_writers_of_one_session_than_shards_do_not_deadlock(database):
    """Sixteen writers of one session compete for eight shards."""
    heartbeat = "update sessions set duration = coalesce(duration, 0) + 1"

    def write(number):
        with psycopg.connect(database.url, autocommit=True) as connection:
            for turn in range(20):
                if number % 2:
                    connection.execute(heartbeat)
                else:
                    connection.execute(INSERT_CLICK, ["a", START + turn])

    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(INSERT_SESSION, ["a", "v", "f", START])
    failed = run_at_once(write, range(16))

    assert failed == []
    assert database.verify() == []
    assert database.rows("select duration, events_of_day from session_facts") == [
        {"duration": 160, "events_of_day": 160}
    ]


def test_more_writers_than_shards_wait_and_do_not_deadlock(database):
    """Twelve writers compete for eight shards. Each transaction keeps its shard for three inserts, on random days."""

    def write(number):
        draw = random.Random(number)
        with psycopg.connect(database.url) as connection:
            for turn in range(8):
                with connection.transaction():
                    for part in range(3):
                        row = [f"{number} {turn} {part}", f"w{number}", None, START + draw.randrange(4) * DAY]
                        connection.execute(INSERT_SESSION, row)

    failed = run_at_once(write, range(12))

    assert failed == []
    assert database.verify() == []


def test_writes_that_conflict_are_retried(database):
    """Four writers increment the scores of two leads, in opposite orders. `write` uses repeatable read."""
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], [[1, ""], [2, ""]]))

    def count_up(leads):
        def work(at):
            for lead in leads:
                score = at.row("select suspicion_score as score from leads where lead_id = :lead", lead=lead)["score"]
                at.execute(
                    "update leads set suspicion_score = :score where lead_id = :lead", score=score + 1, lead=lead
                )

        for _ in range(5):
            database.write(work)

    failed = run_at_once(count_up, ([1, 2], [2, 1], [1, 2], [2, 1]))

    assert failed == []
    assert database.rows("select suspicion_score as score from leads") == [{"score": 20}, {"score": 20}]


def test_bulk_and_single_writers_leave_exact_counters(database):
    columns = ["session_id", "visitor_id", "started_at"]
    done = threading.Event()

    def trickle():
        with open_database(database.url).closing() as own:
            number = 0
            while not done.is_set():
                number += 1
                row = [f"trickle {number}", "v", START + number]
                own.write(lambda at, row=row: at.insert("sessions", columns, [row]))

    def load():
        try:
            for batch in range(3):
                rows = [[f"bulk {batch} {n}", f"v{n % 9}", START + n] for n in range(500)]
                database.bulk(lambda at, rows=rows: at.insert("sessions", columns, rows))
        finally:
            done.set()

    failed = run_at_once(lambda work: work(), [trickle, load])

    assert failed == []
    assert database.verify() == []


def test_opening_is_repeated_after_a_deadlock_with_a_rebuild(database):
    is_waiting = "select count(*) > 0 from pg_locks where relation = 'session_pages'::regclass and not granted"
    with ThreadPoolExecutor(1) as thread, psycopg.connect(database.url) as rebuild:
        rebuild.execute("set deadlock_timeout = '60s'")  # so that the rebuild does not end the deadlock
        rebuild.execute("lock table session_pages in access exclusive mode")
        opening = thread.submit(open_database, database.url)
        wait_for(lambda: database.tuples(is_waiting) == [(True,)])
        rebuild.execute("lock table visitor_days in access exclusive mode")
        rebuild.rollback()

        with opening.result().closing() as opened:
            assert opened.schema_differences() == []


def connect_with_equal_remainders(database, stack):
    """Return two connections whose process ids are equal modulo the number of shards."""
    by_remainder = {}
    while True:
        connection = stack.enter_context(psycopg.connect(database.url, autocommit=True))
        first = by_remainder.setdefault(connection.info.backend_pid % 8, connection)
        if first is not connection:
            return first, connection


RESERVED_SHARDS = """
select count(*)
from pg_locks
join pg_database on pg_database.oid = pg_locks.database
where locktype = 'advisory' and datname = current_database()
"""


def test_transactions_with_snapshots_use_shards_of_their_own(database):
    database.close()  # an earlier test may have used all shards in connections of the pool
    wait_for(lambda: database.rows(RESERVED_SHARDS) == [{"count": 0}])
    with ExitStack() as stack:
        connections = connect_with_equal_remainders(database, stack)
        for number, connection in enumerate(connections):
            connection.execute(INSERT_SESSION, [f"first {number}", f"v{number}", None, START])
            connection.execute("begin isolation level repeatable read")
            connection.execute(INSERT_SESSION, [f"second {number}", f"v{number}", None, START])
            connection.execute("commit")
        for connection in connections:
            connection.execute("begin isolation level repeatable read")
            connection.execute("select")  # the transaction takes its snapshot here
        for number, connection in enumerate(connections):
            connection.execute(INSERT_SESSION, [f"third {number}", f"w{number}", None, START])
            connection.execute("commit")

    assert database.rows("select count(*) from sessions") == [{"count": 6}]
    assert database.verify() == []


def test_purge_that_began_during_a_rebuild_keeps_the_totals(database):
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(INSERT_SESSION, ["s1", "ann", "f1", START])
        connection.execute(INSERT_VIEW, ["s1", "/a", START])
        failed = []

        def purge_all():
            failed.extend(run_at_once(lambda before: purge(database, before, keep_totals=True), [date(2100, 1, 1)]))

        purging = threading.Thread(target=purge_all)

        def work(at):
            purging.start()
            wait_for(lambda: connection.execute(IS_WAITING).fetchone()[0])

        database.rebuild(work)
        purging.join()

    assert failed == []
    assert database.rows("select page, views, sessions from all_time_pages") == [
        {"page": "/a", "views": 1, "sessions": 1}
    ]
    assert database.rows("select views, archived from session_pages") == [{"views": 1, "archived": 1}]
    assert database.verify() == []


def test_purge_during_a_site_change_archives_by_the_new_day(database):
    def purge_meanwhile(counter):
        if not purging.ident:
            purging.start()
            wait_for(lambda: connection.execute(IS_WAITING).fetchone()[0])

    purging = threading.Thread(target=lambda: purge(other, date(2100, 1, 1), keep_totals=True))
    purge(database, date(2100, 1, 1), keep_totals=True)  # so that the next purge does not update the row of `site`
    with (
        psycopg.connect(database.url, autocommit=True) as connection,
        open_database(database.url).closing() as other,
    ):
        connection.execute(
            "insert into events (session_id, event_type, occurred_at) values ('s1', 'click', %s)", [START + DAY // 2]
        )
        change_settings(database, time_zone="Pacific/Kiritimati", on_progress=purge_meanwhile)
        purging.join()

    assert database.rows("select count(*) from events") == [{"count": 0}]
    assert database.rows("select day, events from archived_event_counts") == [{"day": START // DAY + 1, "events": 1}]
    assert database.verify() == []


@pytest.mark.parametrize(
    "sql",
    [
        f"insert into sessions (session_id, visitor_id, started_at) values ('s2', 'eve', {START})",
        f"insert into events (session_id, event_type, occurred_at) values ('s1', 'click', {START})",
        "update sessions set ended_at = started_at, duration = 0",
        "delete from sessions",
    ],
    ids=["session", "event", "end", "deletion"],
)
@pytest.mark.parametrize("change", ["site", "import"])
def test_write_that_began_before_a_rebuild_is_tried_again(database, sql, change):
    def load(at):
        at.execute(f"insert into sessions (session_id, visitor_id, started_at) values ('s0', 'eve', {START - DAY})")

    def write(at):
        attempts.append(at.rows("select count(*) from sessions"))
        if len(attempts) == 1 and change == "site":
            change_settings(other, time_zone="Pacific/Kiritimati")
        elif len(attempts) == 1:
            other.bulk(load)
        at.execute(sql)

    attempts = []
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(INSERT_SESSION, ["s1", "ann", "f1", START])
    with open_database(database.url).closing() as other:
        database.write(write)

    assert len(attempts) == 2
    assert database.verify() == []


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize(
    ("sql", "arguments"),
    [
        (INSERT_SESSION_ON_PAGE, ["b", "v", START, "/a"]),
        ("update sessions set exit_page = %s where session_id = %s", ["/a", "rest"]),
        (INSERT_VIEW, ["b", "/a", START]),
    ],
    ids=["session", "exit page", "event"],
)
def test_older_snapshot_cannot_use_erased_pages(database, isolation, sql, arguments):
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        first.execute(INSERT_SESSION, ["rest", "v", None, START])
        first.execute(INSERT_SESSION_ON_PAGE, ["a", "w", START, "/a"])
        first.execute("delete from sessions where session_id = 'a'")
        first.commit()
        second.execute(f"set transaction isolation level {isolation}")
        second.execute("select from site")

        database.scrub()

        with pytest.raises(psycopg.errors.SerializationFailure):
            second.execute(sql, arguments)
    assert database.verify() == []
