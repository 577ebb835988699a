import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from helpers.sqlite import empty_file

from analytics_api.database import sqlite
from analytics_api.database.sqlite import SQLite, upgrade
from analytics_api.errors import DatabaseError
from analytics_api.maintenance import demo
from analytics_api.maintenance.purge import purge

NOW = 1_771_945_200_123  # 2026-02-24 15:00:00.123
PLAN = demo.Plan(NOW, sessions=60)
BASE = (
    "sessions",
    "events",
    "leads",
    "lead_submissions",
    "lead_status_changes",
    "secrets",
    "api_keys",
)


def changed(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def structure(path):
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("select type, name, tbl_name, sql from sqlite_schema"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return the path of a database with rows in every table."""
    path = tmp_path_factory.mktemp("filled") / "analytics.db"
    with SQLite(path).closing() as database:
        fill(path)
        assert database.verify() == []
    return path


@pytest.fixture
def path(filled, tmp_path):
    copy = tmp_path / "analytics.db"
    copy.write_bytes(filled.read_bytes())
    return copy


VERSIONS = (1, 2, 3, 4)


def create_old(path, version):
    """Create a database with the schema of an older version."""
    script = (Path(__file__).parent / "data" / "schemas" / f"sqlite-{version}.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(script)


def fill(path):
    """Insert demo rows, and one row into each of lead_status_changes, secrets and api_keys."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin")
        for table, rows in demo.batches(PLAN):
            columns = demo.COLUMNS[table]
            connection.executemany(
                f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})", rows
            )
        connection.execute("insert into lead_status_changes values (7, 1, 'new', 'won', 5, 'someone')")
        connection.execute("insert into secrets values ('salt', 'of the earth')")
        connection.execute(
            "insert into api_keys (name, prefix, digest, scopes, created_at) values ('k', 'p', 'd', ' read ', 1)"
        )
        connection.execute("commit")


@pytest.fixture(scope="module")
def filled_old(tmp_path_factory):
    """Return a folder with a database of each version. The databases have rows in every table."""
    folder = tmp_path_factory.mktemp("old")
    for version in VERSIONS:
        create_old(folder / f"{version}.db", version)
        fill(folder / f"{version}.db")
    return folder


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def old(filled_old, version, tmp_path):
    path = tmp_path / "old.db"
    path.write_bytes((filled_old / f"{version}.db").read_bytes())
    return path


def base_contents(path):
    """Return the rows of the tables in BASE, without generated columns and columns that differ between versions."""
    later = {"search_text", "search_code", "project_code", "stage_since", "has_visits"}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        columns = {table: connection.execute(f"select name from pragma_table_info('{table}')") for table in BASE}
        selects = {
            table: f"select {', '.join(name for (name,) in names if name not in later)} from {table}"
            for table, names in columns.items()
        }
        return {table: [dict(row) for row in connection.execute(select)] for table, select in selects.items()}


def test_upgrade_of_each_version_keeps_every_row(old, version):
    before = base_contents(old)
    steps = []

    assert upgrade(old, on_progress=steps.append) == version

    assert base_contents(old) == before
    assert structure(old) == structure(empty_file())
    assert {"sessions", "events", "day_counts", "lead_search"} < set(steps)
    with SQLite(old).closing() as database:
        assert database.verify() == []
        purge(database, date(2026, 2, 1), keep_totals=True)
        assert database.verify() == []


PAST = """
insert into past_days values ('2025-12-30', 2, 60, 2, 50, 1, 1), ('2026-01-02', 3, 5, 1, 0, 0, 0);
insert into past_countries values ('IN', 3), ('DE', 2);
insert into past_sources values ('(direct)', 5);
insert into past_engagement values ('40-59', 1);
insert into past_events values ('', 4, 0), ('/past', 5, 2);
insert into past_day_visitors values ('p', '2025-12-30'), ('p', '2026-01-02'), ('q', '2026-01-02');
insert into past_country_visitors values ('p', 'DE'), ('p', 'IN'), ('q', 'IN');
insert into past_fingerprints values ('f');
"""


@pytest.mark.parametrize("version", [2, 4], indirect=True)
def test_upgrade_archives_the_counts_of_purged_rows(old):
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(PAST)
        totals = connection.execute(
            "select sessions, unique_visitors, unique_fingerprints, duration_sum, duration_count, score_sum, "
            "score_count, vpn_suspected from rollup_totals"
        ).fetchone()
        [events] = connection.execute("select events from rollup_totals").fetchone()
        days = connection.execute("select strftime('%s', day) / 86400, sessions, unique_visitors from rollup_days")
        expected_days = {-1: totals[:2]} | {day: rest for day, *rest in days}
        countries = dict(connection.execute("select country, unique_visitors from rollup_countries"))
        pages = connection.execute("select page, views, unique_sessions from rollup_pages order by page").fetchall()

    upgrade(old)

    with SQLite(old).closing() as database:
        assert database.verify() == []
        assert database.tuples("select * from day_counts where day = -1") == [(-1, *totals)]
        counts = database.tuples("select day, sessions, visitors from day_counts where sessions <> 0")
        assert {day: tuple(rest) for day, *rest in counts} == {day: tuple(of) for day, of in expected_days.items()}
        assert database.tuples("select events from event_counts where day = -1") == [(events,)]
        counts = database.tuples("select key, visitors from key_counts where dimension = 1 and day = -1")
        assert dict(counts) == countries
        assert database.tuples("select page, views, sessions from pages order by page") == pages
        assert database.row("select raw_since from site") == {"raw_since": 20_456}  # the day after 2026-01-02


@pytest.mark.parametrize("version", [1, 4], indirect=True)
def test_upgrade_normalises_dates_and_instants(old, caplog):
    changed(
        old,
        "delete from leads",
        "insert into leads (lead_id, enquiry_datetime) values "
        "(1, '2026-01-02T03:04:05.678Z'), (2, 'yesterday'), (3, ''), (4, '2026-01-02 03:04:05')",
        "insert into lead_submissions (lead_id, submitted_at, is_primary_lead) values (1, '2026-01-02T05:00+01:00', 0)",
        "insert into sessions (session_id, visitor_id, started_at) "
        "values ('seconds', 'v', 1771945200), ('zero', 'v', 0)",
    )

    upgrade(old)

    with SQLite(old).closing() as database:
        assert database.verify() == []
        assert database.tuples("select enquiry_datetime from leads order by lead_id") == [
            ("2026-01-02 03:04:05",),
            ("",),
            ("",),
            ("2026-01-02 03:04:05",),
        ]
        assert database.row("select last_follow_up_at from leads where lead_id = 1") == {
            "last_follow_up_at": "2026-01-02 04:00:00"
        }
        assert database.tuples(
            "select session_id, started_at from sessions where session_id in ('seconds', 'zero') order by 1"
        ) == [("seconds", 1_771_945_200_000), ("zero", 100_000_000_000)]
    assert [record.getMessage().removeprefix(f"{old}: ") for record in caplog.records] == [
        "sessions.started_at: 1 values before 1973-03-03 were changed to 1973-03-03",
        "sessions.started_at: 1 values in seconds were converted to milliseconds",
        "leads.enquiry_datetime: 1 values that are not dates were changed to empty strings",
        "leads.enquiry_datetime: 1 values in other formats were converted to YYYY-MM-DD HH:MM:SS",
        "lead_submissions.submitted_at: 1 values in other formats were converted to YYYY-MM-DD HH:MM:SS",
    ]


@pytest.mark.parametrize("version", [4], indirect=True)
def test_upgrade_of_a_damaged_file_creates_the_schema(old):
    before = base_contents(old)
    changed(
        old,
        "update rollup_totals set sessions = 7",
        "delete from rollup_pages",
        "drop table rollup_days",
        "create table rollup_moons (moon text)",  # no version has this counter
        "drop trigger sessions_insert",
        "drop trigger leads_delete",
        "drop view plain_days",
        "drop index events_by_time",
        "drop table lead_search",
    )

    upgrade(old)

    assert base_contents(old) == before
    assert structure(old) == structure(empty_file())
    with SQLite(old).closing() as database:
        assert database.verify() == []


@pytest.mark.parametrize("version", [4], indirect=True)
@pytest.mark.parametrize(
    "sql", ["create table site (name text)", "create table pages (title text)", "create view day_counts as select 1"]
)
def test_upgrade_rejects_the_name_of_a_foreign_table(old, sql):
    changed(old, sql)
    before = structure(old)
    _, kind, name, *_ = sql.split()
    message = f"rename the {kind} {name} of another program: this version needs its name"

    with pytest.raises(DatabaseError, match=message):
        upgrade(old)

    assert structure(old) == before


def test_upgrade_of_this_version_restores_what_was_removed(path):
    with SQLite(path).closing() as database:
        purge(database, date(2026, 2, 1), keep_totals=True)
        before = [database.rows(f"select * from {table}") for table in ("day_counts", "visitor_days", "site")]
    changed(path, "drop trigger sessions_insert", "drop table key_counts")

    assert upgrade(path) == 5

    assert structure(path) == structure(empty_file())
    with SQLite(path).closing() as database:
        assert [database.rows(f"select * from {table}") for table in ("day_counts", "visitor_days", "site")] == before
        assert database.verify() == []


def test_upgrade_removes_the_objects_of_an_unreleased_schema(path):
    changed(
        path,
        "drop trigger leads_insert",
        "create view late_visit_changes as select 0 as sign, '' as visitor_id",
        "create trigger late_visit_change instead of insert on late_visit_changes begin delete from day_counts; end",
        "create trigger leads_attribute after insert on leads begin insert into late_visit_changes values (1, ''); end",
        "create index collector_sessions_by_time on collector_sessions (last_at)",
    )

    upgrade(path)

    assert structure(path) == structure(empty_file())


@pytest.mark.parametrize("version", [1], indirect=True)
def test_upgrade_gives_missing_columns_their_defaults(old):
    before = base_contents(old)
    changed(
        old,
        *(f"drop trigger {name}" for kind, name, *_ in structure(old) if kind == "trigger"),
        *(f"drop view {name}" for kind, name, *_ in structure(old) if kind == "view"),
        "alter table sessions drop column vpn_suspected",
        "alter table sessions drop column entry_page",
    )

    upgrade(old)

    for session in before["sessions"]:
        session |= {"vpn_suspected": 0, "entry_page": None}
    assert base_contents(old) == before
    with SQLite(old).closing() as database:
        assert database.verify() == []
        assert database.row("select vpn_suspected from day_counts where day = -1") == {"vpn_suspected": 0}


def test_upgrade_accepts_base_tables_alone(tmp_path):
    path = tmp_path / "early.db"
    changed(
        path,
        "create table sessions (session_id text primary key, visitor_id text, started_at integer, country text)",
        "create table events (event_id integer primary key, session_id text, event_type text, page_url text, "
        "occurred_at integer)",
        "create table leads (lead_id integer primary key, enquiry_datetime text, contact_name text)",
        "insert into sessions values ('a', 'v', 1759968000000, 'IN'), ('b', 'v', 1760054400000, null)",
        "insert into events values (5, 'a', 'page_view', '/', 1759968000000)",
        "insert into leads values (9, '2026-02-24 15:00:00', 'Zoë')",
        f"pragma application_id = {sqlite.APPLICATION_ID}",
    )

    version = upgrade(path)

    assert version == 0
    with SQLite(path).closing() as database:
        assert database.verify() == []
        assert database.tuples("select day, sessions from day_counts order by day") == [
            (-1, 2),
            (20_370, 1),
            (20_371, 1),
        ]
        assert database.tuples("select page, views from all_time_pages") == [("/", 1)]
        assert database.rows("select lead_id, status, name_folded from leads") == [
            {"lead_id": 9, "status": "new", "name_folded": "zoe"}
        ]


@pytest.mark.parametrize("version", [4], indirect=True)
def test_upgrade_leaves_the_objects_of_other_programs(old):
    path = old
    others = (
        "create table old_orders (number integer primary key, session_id text)",
        "insert into old_orders values (1, 'a')",
        'create table "odd name; drop" (x)',
        "create table rollups (x)",
        "create table past_orders (x)",
        "create view expected_revenue as select 1 as sessions",
        "create view visits as select session_id, started_at from sessions",
        "create index visits_by_exit on sessions (exit_page)",
        "create trigger ordered after insert on old_orders begin select 1; end",
        "create trigger audited after insert on sessions begin insert into old_orders (session_id) "
        "values (new.session_id); end",
    )
    before = structure(path)
    changed(path, *others)
    foreign_objects, rows = structure(path) - before, base_contents(path)

    upgrade(path)

    assert structure(path) == structure(empty_file()) | foreign_objects
    assert base_contents(path) == rows
    changed(path, "insert into sessions (session_id, visitor_id, started_at) values ('new', 'v', 1771945200123)")
    with SQLite(path).closing() as database:
        assert database.verify() == []
        assert database.rows("select session_id from old_orders order by number") == [
            {"session_id": "a"},
            {"session_id": "new"},
        ]
        assert len(database.rows("select * from visits")) == len(rows["sessions"]) + 1


def test_upgrade_of_current_version_changes_nothing(path):
    before = path.read_bytes()

    assert upgrade(path) == sqlite.VERSION

    assert path.read_bytes() == before


def test_upgrade_with_invalid_row_changes_nothing(tmp_path):
    path = tmp_path / "early.db"
    changed(
        path,
        "create table events (event_id integer primary key, session_id text, event_type text, occurred_at integer)",
        "insert into events values (1, 'a', 'page_view', 0), (2, null, 'page_view', 0)",
        f"pragma application_id = {sqlite.APPLICATION_ID}",
    )
    before = structure(path)

    with pytest.raises(DatabaseError) as refused:
        upgrade(path)

    assert str(refused.value) == (
        f"{path}: not upgraded, nothing was changed: NOT NULL constraint failed: events.session_id"
    )
    assert structure(path) == before


def foreign(path):
    changed(path, "create table t (id)")


def newer(path):
    SQLite(path)
    changed(path, "pragma user_version = 6")


REFUSED = {
    "missing": (lambda path: None, "this database does not exist; `analytics-api init` creates it"),
    "empty": (Path.touch, "this file is empty; `analytics-api init` creates a database in it"),
    "foreign": (
        foreign,
        "this is another program's database; `analytics-api import` can import its tables",
    ),
    "newer": (newer, "this database has version 6, newer than 5; use a newer analytics_api"),
    "text": (lambda path: path.write_text("not a page of SQLite\n" * 50), "file is not a database"),
    "short": (lambda path: path.write_text("KEY=1"), "file is not a database"),
    "directory": (
        Path.mkdir,
        "unable to open database file; it is a folder: use the path of a file, such as {path}/analytics.db",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_upgrade_of_unknown_file_fails_in_one_line(tmp_path, kind):
    path = tmp_path / "analytics.db"
    make, reason = REFUSED[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(DatabaseError) as refused:
        upgrade(path)

    assert str(refused.value) == f"{path}: {reason.format(path=path)}"
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("version", [4], indirect=True)
def test_upgrade_of_a_locked_file_fails(old):
    path = old
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")

        with pytest.raises(DatabaseError, match="database is locked"):
            upgrade(path, busy_timeout=0.05)

    assert upgrade(path) == 4


KILLED = """
import resource, signal, sys
from analytics_api.database.sqlite import upgrade
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # kill this process when it writes a byte beyond the limit
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
upgrade(sys.argv[1])
"""


@pytest.mark.parametrize("version", [4], indirect=True)
def test_killed_upgrade_leaves_the_file_as_it_was(old):
    path = old
    before, structured = base_contents(path), structure(path)
    log = Path(f"{path}-wal")

    killed = subprocess.run([sys.executable, "-c", KILLED, path], timeout=60)

    assert killed.returncode == -signal.SIGXFSZ
    assert log.stat().st_size == 100_000
    assert base_contents(path) == before
    assert structure(path) == structured
    with pytest.raises(DatabaseError, match="analytics-api upgrade"):
        SQLite(path)
    assert upgrade(path) == 4
    with SQLite(path).closing() as database:
        assert database.verify() == []
    assert base_contents(path) == before
    assert not os.path.exists(log)
