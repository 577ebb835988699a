import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import date
from itertools import islice
from pathlib import Path

import pytest

from analytics_api.database import sqlite
from analytics_api.database.base import PAST_TABLES
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


def contents(path):
    """Every row of the tables that are not made from others, and whatever else is in the file by name."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {table: [dict(row) for row in connection.execute(f"select * from {table}")] for table in BASE}


def structure(path):
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("select type, name, tbl_name, sql from sqlite_schema"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A database with a little of everything."""
    path = tmp_path_factory.mktemp("filled") / "analytics.db"
    with SQLite(path).closing() as database, closing(sqlite3.connect(path)) as connection:
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
        connection.commit()
        assert database.verify() == []
    return path


@pytest.fixture
def path(filled, tmp_path):
    copy = tmp_path / "analytics.db"
    copy.write_bytes(filled.read_bytes())
    return copy


OLDER = {
    "the same but for its number": (),
    "without a rollup": ("drop table rollup_days",),
    "with a rollup that is gone since": (
        "create table rollup_moons (moon text)",
        "insert into rollup_moons values (1)",
    ),
    "without some triggers": ("drop trigger sessions_insert", "drop trigger leads_delete"),
    "without some views and indexes": ("drop view plain_days", "drop index events_by_time"),
    "with two indexes where there is one since": (
        "drop index sessions_by_visitor",
        "create index sessions_by_visitor on sessions (visitor_id, started_at)",
        "create index sessions_by_visitor_and_country on sessions (visitor_id, geo)",
    ),
    "without the search index": ("drop table lead_search",),
    "with wrong numbers": ("update rollup_totals set sessions = 7", "delete from rollup_pages"),
}


@pytest.mark.parametrize("older", OLDER)
def test_upgrade_equals_a_new_database_with_all_rows(path, tmp_path, older):
    before = contents(path)
    changed(path, *OLDER[older], "pragma user_version = 0")
    fresh = tmp_path / "fresh.db"
    SQLite(fresh)

    version = upgrade(path)

    assert version == 0
    assert contents(path) == before
    assert structure(path) == structure(fresh)
    with SQLite(path).closing() as database:
        assert database.verify() == []


def test_upgrade_of_version_1_adds_empty_past_tables(path, tmp_path):
    before = contents(path)
    changed(path, *(f"drop table {table}" for table in PAST_TABLES), "pragma user_version = 1")
    fresh = tmp_path / "fresh.db"
    SQLite(fresh)

    version = upgrade(path)

    assert version == 1
    assert contents(path) == before
    assert structure(path) == structure(fresh)
    with SQLite(path).closing() as database:
        assert database.verify() == []
        purge(database, date(2026, 2, 1), keep_totals=True)
        assert database.verify() == []


def test_upgrade_preserves_past_tables(path):
    with SQLite(path).closing() as database:
        purge(database, date(2026, 2, 1), keep_totals=True)
        past = [database.rows(f"select * from {table}") for table in PAST_TABLES]
        totals = database.row("select * from rollup_totals")
    changed(path, "pragma user_version = 1")

    upgrade(path)

    with SQLite(path).closing() as database:
        assert all(past)
        assert [database.rows(f"select * from {table}") for table in PAST_TABLES] == past
        assert database.row("select * from rollup_totals") == totals
        assert database.verify() == []


def test_upgrade_fills_new_columns_with_defaults(path):
    before = contents(path)
    changed(
        path,
        "drop view plain_totals",
        *(f"drop trigger {name}" for kind, name, *_ in structure(path) if kind == "trigger"),
        *(f"drop view {name}" for kind, name, *_ in structure(path) if kind == "view" and name != "plain_totals"),
        "alter table sessions drop column vpn_suspected",
        "alter table sessions drop column entry_page",
        "pragma user_version = 0",
    )

    upgrade(path)

    for session in before["sessions"]:
        session |= {"vpn_suspected": 0, "entry_page": None}
    assert contents(path) == before
    with SQLite(path).closing() as database:
        assert database.verify() == []
        assert database.row("select vpn_suspected from rollup_totals") == {"vpn_suspected": 0}


def test_upgrade_accepts_base_tables_alone(tmp_path):
    path = tmp_path / "early.db"
    changed(
        path,
        "create table sessions (session_id text primary key, visitor_id text, started_at integer, country text)",
        "create table events (event_id integer primary key, session_id text, event_type text, page_url text, "
        "occurred_at integer)",
        "create table leads (lead_id integer primary key, enquiry_datetime text, contact_name text)",
        "insert into sessions values ('a', 'v', 0, 'IN'), ('b', 'v', 86400000, null)",
        "insert into events values (5, 'a', 'page_view', '/', 0)",
        "insert into leads values (9, '2026-02-24 15:00:00', 'Zoë')",
        f"pragma application_id = {sqlite.APPLICATION_ID}",
    )

    version = upgrade(path)

    assert version == 0
    with SQLite(path).closing() as database:
        assert database.verify() == []
        assert database.rows("select day, sessions from rollup_days order by day") == [
            {"day": "1970-01-01", "sessions": 1},
            {"day": "1970-01-02", "sessions": 1},
        ]
        assert database.rows("select page, views from rollup_pages") == [{"page": "/", "views": 1}]
        assert database.rows("select lead_id, status, name_folded from leads") == [
            {"lead_id": 9, "status": "new", "name_folded": "zoë"}
        ]


def test_upgrade_leaves_foreign_objects(path):
    others = (
        "create table old_orders (number integer primary key, session_id text)",
        "insert into old_orders values (1, 'a')",
        'create table "odd name; drop" (x)',
        "create table rollups (x)",
        "create view visits as select session_id, started_at from sessions",
        "create index visits_by_exit on sessions (exit_page)",
        "create trigger ordered after insert on old_orders begin select 1; end",
        "create trigger audited after insert on sessions begin insert into old_orders (session_id) "
        "values (new.session_id); end",
    )
    changed(path, *others, "pragma user_version = 0")
    structured, before = structure(path), contents(path)

    upgrade(path)

    assert structure(path) == structured
    assert contents(path) == before
    changed(path, "insert into sessions (session_id, visitor_id, started_at) values ('new', 'v', 0)")
    with SQLite(path).closing() as database:
        assert database.verify() == []
        assert database.rows("select session_id from old_orders order by number") == [
            {"session_id": "a"},
            {"session_id": "new"},
        ]
        assert len(database.rows("select * from visits")) == len(before["sessions"]) + 1


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
        f"{path}: it stays as it was, of the older version: NOT NULL constraint failed: events.session_id"
    )
    assert structure(path) == before


def foreign(path):
    changed(path, "create table t (id)")


def newer(path):
    SQLite(path)
    changed(path, "pragma user_version = 5")


REFUSED = {
    "missing": (lambda path: None, "there is no such database; `analytics-api init` makes one"),
    "empty": (Path.touch, "this file is empty; `analytics-api init` makes a database of it"),
    "foreign": (
        foreign,
        "this is another program's database; `analytics-api import` copies one into a database of ours",
    ),
    "newer": (newer, "this database is of version 5, newer than 4; use a newer analytics_api"),
    "text": (lambda path: path.write_text("not a page of SQLite\n" * 50), "file is not a database"),
    "short": (lambda path: path.write_text("KEY=1"), "file is not a database"),
    "directory": (Path.mkdir, "unable to open database file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_upgrade_of_unknown_file_is_one_line(tmp_path, kind):
    path = tmp_path / "analytics.db"
    make, reason = REFUSED[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(DatabaseError) as refused:
        upgrade(path)

    assert str(refused.value) == f"{path}: {reason}"
    assert (path.read_bytes() if path.is_file() else None) == before


def test_upgrade_rejects_a_database_in_use(path):
    changed(path, "pragma user_version = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")

        with pytest.raises(DatabaseError, match="database is locked"):
            upgrade(path, busy_timeout=0.05)

    assert upgrade(path) == 0


UPGRADING = """
import sys
from analytics_api.database.sqlite import upgrade
upgrade(sys.argv[1])
print("done")
"""


def test_killed_upgrade_changes_nothing(tmp_path):
    path = tmp_path / "large.db"
    SQLite(path)
    plan = demo.Plan(NOW, sessions=20_000, leads=0)
    with SQLite(path).closing() as database:
        database.bulk(
            lambda at: at.insert("sessions", demo.COLUMNS["sessions"], islice(demo.sessions(plan), plan.sessions))
        )
    changed(path, "pragma user_version = 0", "pragma wal_checkpoint(truncate)")
    before, structured = contents(path), structure(path)
    log = Path(f"{path}-wal")

    upgrading = subprocess.Popen([sys.executable, "-c", UPGRADING, path], stdout=subprocess.PIPE)
    while upgrading.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.001)
    upgrading.send_signal(signal.SIGKILL)
    told, _ = upgrading.communicate()

    assert (upgrading.returncode, told) == (-signal.SIGKILL, b"")
    assert log.stat().st_size, "it was killed before it had written anything"
    assert contents(path) == before
    assert structure(path) == structured
    with pytest.raises(DatabaseError, match="analytics-api upgrade"):
        SQLite(path)
    assert upgrade(path) == 0
    with SQLite(path).closing() as database:
        assert database.verify() == []
    assert contents(path) == before
    assert not os.path.exists(log)
