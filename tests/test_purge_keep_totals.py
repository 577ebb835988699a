"""Old visits go and every number stays what it was, whatever comes, goes and is asked afterwards."""

import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from helpers import postgres
from helpers.cli import isolated_cwd, run
from helpers.client import instant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_rollups import DAY, MINUTE, READS, expected

from analytics_api import open_database
from analytics_api.database import SQLite
from analytics_api.database.base import PAST_TABLES
from analytics_api.maintenance.copy import copy
from analytics_api.maintenance.erase import erase
from analytics_api.maintenance.purge import purge

pytestmark = pytest.mark.writes

EXAMPLES = int(os.environ.get("PURGE_EXAMPLES", "20"))
MIDNIGHT = instant("2026-02-10 00:00:00")
TENTH = date(2026, 2, 10)

STATISTICS = (
    "overview", "sessions/daily?days=90", "pages/top?limit=100", "geo", "engagement", "sources?limit=1000", "realtime",
)  # fmt: skip

SESSION = (
    "session_id", "visitor_id", "fingerprint", "started_at", "ended_at", "duration", "engagement_score", "country",
    "referrer_domain", "vpn_suspected",
)  # fmt: skip


@pytest.fixture
def filled(database):
    """A session every three minutes, and two events of it, for two days before the tenth of February and one from then.

    Sessions begin before midnight and have events after it; visitors, fingerprints and pages are on both sides of it.
    """
    sessions, events = [], []
    for number in range(-960, 480):
        session, begun = f"s{number * 7919 % 1441}", MIDNIGHT + 3 * number * MINUTE
        sessions.append(
            (
                session,
                f"v{number % 70 if number % 2 else number % 300}",
                f"f{number % 50}" if number % 3 else None,
                begun,
                begun + 5_000 if number % 4 else None,
                number % 90 * 1_000 if number % 7 else None,
                number % 120 - 10 if number % 5 else None,
                ("IN", "FR", None, "")[number % 4],
                f"site-{number % 9}.example" if number % 10 else None,
                int(number % 11 == 0),
            )
        )
        events += [
            (session, "page_view", f"/{number % 40}" + ("?old" if number < -500 else ""), begun),
            (session, "page_view" if number % 3 else "click", f"/{number % 40}", begun + 2 * MINUTE),
            (session, "page_view", f"/{number % 40}", begun + 60 * MINUTE),
        ]

    def write(at):
        at.insert("sessions", SESSION, sessions)
        at.insert("events", ("session_id", "event_type", "page_url", "occurred_at"), events)

    database.write(write)


@pytest.fixture
def numbers(client):
    """What every endpoint says of visits, byte for byte."""

    def numbers():
        return {path: client.get(f"/analytics/{path}").data for path in STATISTICS}

    return numbers


def remaining(database):
    """The sessions and events that there are before the tenth of February, and from then on."""
    return tuple(
        database.rows(
            """
            select
              (select count(*) from sessions where started_at < :midnight) as old_sessions,
              (select count(*) from sessions where started_at >= :midnight) as young_sessions,
              (select count(*) from events where occurred_at < :midnight) as old_events,
              (select count(*) from events where occurred_at >= :midnight) as young_events
            """,
            midnight=MIDNIGHT,
        )[0].values()
    )


def past(database):
    return {table: database.rows(f"select * from {table} order by {key}") for table, key in PAST_TABLES.items()}


def test_every_number_stays_as_it_was_while_the_visits_go(database, filled, numbers):
    before = numbers()
    told = []

    counts = purge(database, TENTH, keep_totals=True, deleted=lambda rows, of: told.append((rows, of)))

    assert counts == {"events": 2_860, "sessions": 960}
    assert remaining(database) == (0, 480, 0, 1_460)
    assert numbers() == before
    assert database.verify() == []
    assert sum(rows for rows, _ in told) == 3_820
    assert {of for _, of in told} == {3_820}


def test_every_number_stays_as_it_was_after_each_of_its_transactions(database, filled, numbers):
    before = numbers()
    seen, differences = [], []

    def deleted(rows, of):
        seen.append(numbers())
        differences.extend(database.verify())

    purge(database, TENTH, keep_totals=True, deleted=deleted)

    assert len(seen) == 5
    assert all(each == before for each in seen)
    assert differences == []


def test_rebuilding_makes_the_same_numbers_of_what_is_left(database, filled, numbers):
    before = numbers()
    purge(database, TENTH, keep_totals=True)

    database.rebuild()

    assert numbers() == before
    assert database.verify() == []


def test_a_visitor_of_the_past_who_comes_again_is_not_counted_as_a_new_one(database, insert, get):
    visit = {"visitor_id": "v", "fingerprint": "f", "country": "IN"}
    insert("sessions", session_id="old", started_at=MIDNIGHT - 1, **visit)
    purge(database, TENTH, keep_totals=True)

    insert("sessions", session_id="again", started_at=MIDNIGHT, **visit)
    insert("sessions", session_id="same day", started_at=MIDNIGHT - DAY, **visit)
    insert("sessions", session_id="abroad", started_at=MIDNIGHT, **{**visit, "country": "FR"})

    overview = get("/analytics/overview")
    assert (overview["total_sessions"], overview["unique_visitors"], overview["unique_fingerprints"]) == (4, 1, 1)
    assert get("/analytics/geo") == [
        {"country": "IN", "sessions": 3, "unique_visitors": 1},
        {"country": "FR", "sessions": 1, "unique_visitors": 1},
    ]
    assert [
        (day["date"], day["total_sessions"], day["unique_visitors"]) for day in get("/analytics/sessions/daily")
    ] == [
        ("2026-02-09", 2, 1),
        ("2026-02-10", 2, 1),
    ]
    assert database.verify() == []


def test_with_and_without_a_purge_the_same_visits_make_the_same_numbers(database, filled, tmp_path):
    """What comes after it counts the same beside the rows and beside what is kept of them."""
    more = [
        (f"more{number}", f"v{number % 400}", f"f{number % 70}", MIDNIGHT + number * 31 * MINUTE, None, 5, 50,
         ("IN", "US")[number % 2], f"site-{number % 12}.example", number % 2)
        for number in range(-90, 90)
    ]  # fmt: skip
    views = [(row[0], "page_view", f"/{number % 50}", row[3]) for number, row in enumerate(more)]

    def later(at):
        at.insert("sessions", SESSION, more)
        at.insert("events", ("session_id", "event_type", "page_url", "occurred_at"), views)
        at.execute("update sessions set visitor_id = 'v1', country = 'FR' where session_id = 'more7'")
        at.execute("delete from sessions where session_id = 'more8'")

    with SQLite(tmp_path / "twin.db").closing() as twin:
        copy(database, twin)
        twin.write(later)
        purge(database, TENTH, keep_totals=True)
        database.write(later)

        for table in ("totals", "days", "countries", "sources", "engagement"):
            key = next(iter(twin.row(f"select * from rollup_{table}")))
            names = ", ".join(twin.row(f"select * from rollup_{table}"))
            sql = f"select {names} from rollup_{table} order by {key}"
            assert database.rows(sql) == twin.rows(sql)
        sql = "select page, views, unique_sessions from rollup_pages order by page"
        assert database.rows(sql) == twin.rows(sql)
    assert database.verify() == []


def test_a_row_that_comes_late_counts_and_goes_with_the_next_purge(database, insert, get):
    visit = {"visitor_id": "v", "country": "IN", "duration": 4_000}
    view = {"session_id": "s", "event_type": "page_view", "page_url": "/"}
    insert("sessions", session_id="s", started_at=MIDNIGHT - 2, **visit)
    insert("events", occurred_at=MIDNIGHT - 2, **view)
    purge(database, TENTH, keep_totals=True)
    insert("sessions", session_id="s", started_at=MIDNIGHT - 1, **visit)
    insert("events", occurred_at=MIDNIGHT - 1, **view)

    late = [get("/analytics/overview"), get("/analytics/pages/top"), get("/analytics/sessions/daily")]
    counts = purge(database, TENTH, keep_totals=True)

    assert counts == {"events": 1, "sessions": 1}
    assert late == [get("/analytics/overview"), get("/analytics/pages/top"), get("/analytics/sessions/daily")]
    assert late[0]["total_sessions"] == 2
    assert late[0]["unique_visitors"] == 1
    assert late[1] == [{"page": "/", "views": 2, "unique_sessions": 2}]  # who it was is not known any more
    assert database.verify() == []


def test_a_session_with_events_of_a_page_on_both_sides_is_counted_once_and_by_those_that_are_left(
    database, insert, get
):
    view = {"session_id": "s", "event_type": "page_view", "page_url": "/"}
    insert("events", {"occurred_at": MIDNIGHT - 1, **view}, {"occurred_at": MIDNIGHT, **view})

    purge(database, TENTH, keep_totals=True)

    assert get("/analytics/pages/top") == [{"page": "/", "views": 2, "unique_sessions": 1}]
    assert database.rows("select * from past_events") == [{"page": "/", "events": 1, "unique_sessions": 0}]
    purge(database, date(2026, 2, 11), keep_totals=True)
    assert get("/analytics/pages/top") == [{"page": "/", "views": 2, "unique_sessions": 1}]
    assert database.rows("select * from past_events") == [{"page": "/", "events": 2, "unique_sessions": 1}]
    assert database.verify() == []


def test_it_goes_on_with_later_days_and_counts_only_the_rows_that_are_there(database, filled, numbers):
    before = numbers()
    told = set()

    first = purge(database, date(2026, 2, 9), keep_totals=True)
    second = purge(database, TENTH, keep_totals=True, deleted=lambda rows, of: told.add(of))
    third = purge(database, TENTH, keep_totals=True)

    assert first == {"events": 1_420, "sessions": 480}
    assert second == {"events": 1_440, "sessions": 480}
    assert third == {"events": 0, "sessions": 0}
    assert told == {1_920}
    assert numbers() == before
    assert database.verify() == []


def test_a_purge_without_it_takes_rows_alone_and_leaves_what_is_past(database, filled, get):
    purge(database, date(2026, 2, 9), keep_totals=True)
    kept = past(database)

    counts = purge(database, TENTH)

    assert counts == {"events": 1_440, "sessions": 480}
    assert past(database) == kept
    assert get("/analytics/overview")["total_sessions"] == 960
    assert database.verify() == []


def test_what_stops_it_leaves_every_number_and_the_next_run_does_the_rest(database, filled, numbers):
    before = numbers()

    def stop(rows, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(database, TENTH, keep_totals=True, deleted=stop)
    half, stopped = remaining(database), numbers()
    counts = purge(database, TENTH, keep_totals=True)

    assert half == (960, 480, 1_860, 1_460)
    assert counts == {"events": 1_860, "sessions": 960}
    assert stopped == numbers() == before
    assert database.verify() == []


KILLED_BEFORE_A_COMMIT = """
import os, signal, sys
from datetime import date
from analytics_api import open_database
from analytics_api.maintenance.purge import purge

rows = 0

def told(more, of):
    global rows
    rows += more

def write(work):
    def killed(at):
        done = work(at)
        if rows == 3_360:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return written(killed)

database = open_database(sys.argv[1])
written, database.write = database.write, write
purge(database, date(2026, 2, 10), keep_totals=True, deleted=told)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_kill_moves_no_number_and_the_next_run_does_the_rest(database, filled, numbers):
    before = numbers()

    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_A_COMMIT, database.url], timeout=60)
    half, after = remaining(database), numbers()
    counts = purge(database, TENTH, keep_totals=True)

    assert killed.returncode == -signal.SIGKILL
    assert half == (460, 480, 0, 1_460)
    assert counts == {"events": 0, "sessions": 460}
    assert after == numbers() == before
    assert database.verify() == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_two_at_once_and_a_tracker_beside_them_take_every_row_once(database, filled, get):
    def visits():
        with open_database(database.url).closing() as own:
            for number in range(60):
                row = [f"new{number}", f"v{number}", f"f{number % 50}", MIDNIGHT + number, None, 1, 1, "IN", None, 0]
                own.write(lambda at, row=row: at.insert("sessions", SESSION, [row]))

    def purged():
        with open_database(database.url).closing() as own:
            return purge(own, TENTH, keep_totals=True)

    before = get("/analytics/overview")
    with ThreadPoolExecutor() as pool:
        working = [pool.submit(purged), pool.submit(purged), pool.submit(visits)]
        first, second, _ = [work.result() for work in working]

    assert first["events"] + second["events"] == 2_860
    assert first["sessions"] + second["sessions"] == 960
    after = get("/analytics/overview")
    assert after["total_sessions"] == before["total_sessions"] + 60
    assert after["total_events"] == before["total_events"]
    assert (after["unique_visitors"], after["unique_fingerprints"]) == (
        before["unique_visitors"], before["unique_fingerprints"],
    )  # fmt: skip
    assert database.verify() == []


def test_erasing_a_person_takes_what_is_remembered_of_them(database, insert, get):
    insert(
        "sessions",
        {
            "session_id": "a",
            "visitor_id": "zqx",
            "fingerprint": "print",
            "started_at": MIDNIGHT - DAY - 1,
            "country": "IN",
        },
        {"session_id": "b", "visitor_id": "zqx", "fingerprint": "print", "started_at": MIDNIGHT - 1, "country": "FR"},
        {"session_id": "c", "visitor_id": "zqx", "fingerprint": "print", "started_at": MIDNIGHT, "country": "FR"},
        {"session_id": "d", "visitor_id": "ann", "fingerprint": "ann's", "started_at": MIDNIGHT - 1, "country": "FR"},
    )
    purge(database, TENTH, keep_totals=True)

    receipt = erase(database, visitor="zqx")

    assert {table: rows for table, rows in receipt.items() if rows} == {
        "sessions": 1,
        "past_day_visitors": 2,
        "past_country_visitors": 2,
        "past_fingerprints": 1,
    }
    overview = get("/analytics/overview")
    assert (overview["total_sessions"], overview["unique_visitors"], overview["unique_fingerprints"]) == (3, 1, 1)
    assert get("/analytics/geo") == [
        {"country": "FR", "sessions": 2, "unique_visitors": 1},
        {"country": "IN", "sessions": 1, "unique_visitors": 0},
    ]
    assert "zqx" not in str(past(database))
    assert database.verify() == []


def test_erasing_a_visitor_of_whom_only_the_past_is_left_leaves_the_fingerprint(database, insert):
    insert("sessions", session_id="a", visitor_id="zqx", fingerprint="print", started_at=MIDNIGHT - 1, country="IN")
    purge(database, TENTH, keep_totals=True)

    receipt = erase(database, visitor="zqx")

    assert {table: rows for table, rows in receipt.items() if rows} == {
        "past_day_visitors": 1,
        "past_country_visitors": 1,
    }
    assert database.rows("select * from past_fingerprints") == [{"fingerprint": "print"}]
    assert database.verify() == []


TARGETS = {"sqlite": lambda path: SQLite(path).closing(), "postgresql": lambda path: postgres.new_database()}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_copy_carries_what_is_past(database, filled, engine, tmp_path):
    purge(database, TENTH, keep_totals=True)

    with TARGETS[engine](tmp_path / "copy.db") as target:
        counts = copy(database, target)
        held = past(target)
        totals = target.rows("select * from rollup_totals")

    assert counts["past_days"] == 2
    assert held == past(database)
    assert totals == database.rows("select * from rollup_totals")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_backup_carries_what_is_past(database, filled, tmp_path):
    purge(database, TENTH, keep_totals=True)

    database.backup(tmp_path / "backup.db")

    with SQLite(tmp_path / "backup.db").closing() as backup:
        assert past(backup) == past(database)
        assert backup.verify() == []


@pytest.mark.parametrize("table", PAST_TABLES)
def test_rows_of_the_past_that_somebody_deletes_count_no_more(database, filled, table):
    purge(database, TENTH, keep_totals=True)

    database.write(lambda at: at.execute(f"delete from {table}"))

    assert database.verify() == []
    database.write(lambda at: at.execute("delete from sessions"))
    assert database.verify() == []


@pytest.mark.parametrize(
    "statement",
    [
        "update past_days set sessions = sessions + 1, score_sum = score_sum - 7",
        "update past_countries set sessions = sessions + 1",
        "update past_sources set sessions = sessions + 1",
        "update past_engagement set sessions = sessions + 1",
        "update past_events set events = events + 1, unique_sessions = unique_sessions + 2",
    ],
)
def test_counts_of_the_past_that_somebody_changes_count_as_they_are(database, filled, statement):
    purge(database, TENTH, keep_totals=True)

    database.write(lambda at: at.execute(statement))

    assert database.verify() == []


TAMPERED = {
    "days": "update {rollup} set sessions = sessions + 1 where day = '2026-02-09'",
    "countries": "update {rollup} set unique_visitors = unique_visitors - 1 where country = 'FR'",
    "sources": "update {rollup} set sessions = sessions - 1 where referrer_domain = 'site-1.example'",
    "engagement": "update {rollup} set sessions = sessions - 1 where bucket = '20-39'",
    "pages": "update {rollup} set views = views + 1 where page = '/1?old'",
    "totals": "update {rollup} set events = events + 1",
}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("rollup", TAMPERED)
def test_verify_tells_a_number_that_is_not_what_is_there_and_what_is_past(database, filled, rollup):
    purge(database, TENTH, keep_totals=True)
    table = f"rollup_{rollup}" if isinstance(database, SQLite) else f"kept_{rollup}"
    database.write(lambda at: at.execute(TAMPERED[rollup].format(rollup=table)))

    differences = database.verify()
    database.rebuild()

    assert {difference.rollup for difference in differences} == {f"rollup_{rollup}"}
    assert database.verify() == []


# any sequence

VALUES = {
    "sessions": {
        "session_id": ("a", "b", "c", "d", ""),
        "visitor_id": ("v", "w", ""),
        "fingerprint": (None, "", "f", "g"),
        "started_at": (0, DAY - 1, DAY, 2 * DAY, 3 * DAY + MINUTE),
        "ended_at": (None, 0),
        "duration": (None, -5, 7, 10**12),
        "engagement_score": (None, -1, 19, 20, 100),
        "country": (None, "", "XX", "IN"),
        "referrer_domain": (None, "", "t.co"),
        "vpn_suspected": (0, 1, 2),
    },
    "events": {
        "event_id": (1, 2, 3, 4, 5),
        "session_id": ("a", "b", ""),
        "event_type": ("page_view", "page_view", "scroll"),
        "page_url": ("/a", "/b", "", None, "/" + "long" * 1_000),
        "occurred_at": (0, DAY - 1, DAY, 2 * DAY, 3 * DAY + MINUTE),
    },
}
KEYS = {table: next(iter(columns)) for table, columns in VALUES.items()}


def rows_of(table):
    return st.fixed_dictionaries({column: st.sampled_from(values) for column, values in VALUES[table].items()})


def changes_of(table):
    columns = st.sampled_from(list(VALUES[table])[1:])
    return columns.flatmap(lambda column: st.tuples(st.just(column), st.sampled_from(VALUES[table][column])))


TABLES = st.sampled_from(list(VALUES))
STEPS = st.one_of(
    TABLES.flatmap(lambda table: st.tuples(st.just("put"), st.just(table), st.lists(rows_of(table), max_size=4))),
    TABLES.flatmap(lambda table: st.tuples(st.just("set"), st.just(table), changes_of(table))),
    TABLES.flatmap(
        lambda table: st.tuples(st.just("delete"), st.just(table), st.sampled_from(VALUES[table][KEYS[table]]))
    ),
    st.tuples(st.just("purge"), st.just(None), st.sampled_from((1, 2, 3))),
    st.tuples(st.just("keep"), st.just(None), st.sampled_from((1, 2, 3))),
    st.tuples(st.just("keep"), st.just(None), st.sampled_from((1, 2, 3))),
    st.tuples(st.just("rebuild"), st.just(None), st.just(None)),
)


def base(database):
    return [
        database.rows(f"select {', '.join(columns)} from {table} order by {KEYS[table]}")
        for table, columns in VALUES.items()
    ]


def read_rollups(database):
    return {
        rollup: {tuple(row.values()) for row in database.rows(f"select {READS.get(rollup, '*')} from {rollup}")}
        for rollup in expected([], [], [], [])
    }


class Past:
    """All that ever went by a purge that kept the totals, row by row: what a database is not to need any more."""

    def __init__(self):
        self.sessions = []
        self.events = []
        self.ended = Counter()  # sessions of a page whose last event of it went so

    def take(self, before, sessions, events):
        went = [event for event in events if event["occurred_at"] < before]
        stay = [event for event in events if event["occurred_at"] >= before]
        self.sessions += [session for session in sessions if session["started_at"] < before]
        self.events += went
        self.ended.update(page for page, _ in pairs(went) - pairs(stay))

    def expected(self, sessions, events):
        """Every number: of all rows there ever were, but for the minutes, and sessions of a page that came again."""
        numbers = expected(sessions + self.sessions, events + self.events, [], [])
        numbers["rollup_minutes"] = expected(sessions, events, [], [])["rollup_minutes"]
        left = Counter(page for page, _ in pairs(events))
        numbers["rollup_pages"] = {
            (page, count, left[page] + self.ended[page]) for page, count, _ in numbers["rollup_pages"]
        }
        return numbers


def pairs(events):
    """Which sessions viewed which pages."""
    return {
        (event["page_url"], event["session_id"])
        for event in events
        if event["event_type"] == "page_view" and event["page_url"]
    }


def step(database, past, kind, table, what):
    if kind == "put":
        rows = [[row[column] for column in VALUES[table]] for row in what]
        database.write(lambda at: at.insert(table, list(VALUES[table]), rows, on_conflict="update"))
    elif kind == "set":
        column, value = what
        if value is not None or column in ("ended_at", "country", "fingerprint", "page_url"):
            database.write(lambda at: at.execute(f"update {table} set {column} = :value", value=value))
    elif kind == "delete":
        database.write(lambda at: at.execute(f"delete from {table} where {KEYS[table]} = :key", key=what))
    elif kind == "rebuild":
        database.rebuild()
    else:
        if kind == "keep":
            past.take(what * DAY, *base(database))
        purge(database, date(1970, 1, 1 + what), keep_totals=kind == "keep")


def emptied(database):
    def work(at):
        for table in (*PAST_TABLES, "sessions", "events"):
            at.execute(f"delete from {table}")

    database.write(work)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=2, max_size=12))
def test_any_writes_and_purges_leave_the_numbers_of_all_that_was_counted(database, steps):
    emptied(database)
    assert read_rollups(database) == expected([], [], [], [])
    past = Past()

    for kind, table, what in steps:
        step(database, past, kind, table, what)

        assert read_rollups(database) == past.expected(*base(database))

    assert database.verify() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        isolated_cwd(monkeypatch, tmp_path)

    def test_purge_tells_how_many_rows_went_and_that_they_count(self, database, filled, numbers):
        before = numbers()

        output = run("purge", "--before", "2026-02-10", "--keep-totals")

        assert output == "events: 2,860 deleted, still counted\nsessions: 960 deleted, still counted\n"
        assert remaining(database) == (0, 480, 0, 1_460)
        assert numbers() == before
        assert run("verify") == "all rollups are consistent\n"
