"""Opening a database whose schema was changed by another program logs a warning, and `upgrade` restores the schema."""

import logging
import subprocess

import psycopg
import pytest
from helpers import postgres
from helpers.cli import run

from analytics_api import open_database
from analytics_api.database import upgrade

SESSION = "insert into sessions (session_id, visitor_id, started_at) values (%s, 'v', 1771844400000)"
CHANGED_FUNCTION = """
create or replace function sessions_insert() returns trigger language plpgsql as 'begin return null; end'
"""
CHANGED_INDEX = "drop index sessions_by_time; create index sessions_by_time on sessions (ended_at)"
DEFINITIONS = "select kind, name, definition, server_version from schema_objects order by kind, name"


@pytest.fixture(scope="module")
def template():
    """Create a database with one session, and yield its name."""
    postgres.require_binaries()
    name = f"checked_{next(postgres.NAMES)}"
    postgres.primary().execute(f"create database {name}")
    url = postgres.primary().url(name)
    open_database(url).close()
    execute(url, SESSION, "s")
    yield name
    postgres.primary().execute(f"drop database {name}")


@pytest.fixture
def url(template):
    """Yield the URL of a copy of the database."""
    name = f"checked_{next(postgres.NAMES)}"
    postgres.primary().execute(f"create database {name} template {template} strategy file_copy")
    yield postgres.primary().url(name)
    postgres.primary().execute(f"drop database {name} with (force)")


def execute(url, sql, *params):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql, params or None)
        return cursor.fetchall() if cursor.description else None


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("drop trigger sessions_insert on sessions", "the trigger sessions_insert is missing"),
        ("alter table sessions disable trigger sessions_insert", "the trigger sessions_insert was changed"),
        (CHANGED_FUNCTION, "the function sessions_insert() was changed"),
        ("drop index events_by_time", "the index events_by_time is missing"),
        ("alter table leads drop column stage_since cascade", "the column leads.stage_since is missing"),
        ("drop view facts_of_sessions", "the view facts_of_sessions is missing"),
        ("drop table status_counts cascade", "the table status_counts is missing"),
    ],
    ids=["trigger", "disabled", "function", "index", "column", "view", "table"],
)
def test_opening_logs_changed_definitions(url, caplog, sql, line):
    execute(url, sql)

    with caplog.at_level(logging.WARNING), open_database(url).closing() as database:
        assert line in database.schema_differences()

    assert any(message.endswith(f": {line}; `analytics-api upgrade` restores it") for message in caplog.messages)


def test_untouched_database_has_no_differences(url, caplog):
    with open_database(url).closing() as database:
        assert database.schema_differences() == []

    assert caplog.messages == []


def test_restored_dump_has_no_differences(url):
    name = f"restored_{next(postgres.NAMES)}"
    postgres.primary().execute(f"create database {name} template template0")
    restored = postgres.primary().url(name)
    programs = postgres.require_binaries()
    dump = subprocess.run([programs / "pg_dump", "-d", url], capture_output=True, check=True).stdout
    subprocess.run([programs / "psql", "-qXv", "ON_ERROR_STOP=1", "-d", restored], input=dump, check=True)

    with open_database(restored).closing() as database:
        assert database.schema_differences() == []
        assert database.verify() == []
        assert database.rows("select session_id from sessions") == [{"session_id": "s"}]

    postgres.primary().execute(f"drop database {name}")


def test_objects_of_other_programs_are_not_differences(url):
    execute(url, "alter table sessions add column note text")
    execute(url, "create index own on sessions (duration)")
    execute(url, "create view own_view as select count(*) from sessions")

    with open_database(url).closing() as database:
        assert database.schema_differences() == []


@pytest.mark.parametrize(
    "sql",
    [
        "drop trigger sessions_insert on sessions",
        CHANGED_FUNCTION,
        CHANGED_INDEX,
        "alter table leads drop column stage_since cascade",
        "drop table status_counts cascade",
    ],
    ids=["trigger", "function", "index", "column", "table"],
)
@pytest.mark.slow
def test_upgrade_restores_schema_and_numbers(url, sql):
    definitions = execute(url, DEFINITIONS)
    execute(url, sql)
    execute(url, SESSION, "t")

    assert "the schema was changed" in run("verify", "-d", url, status=1)
    upgrade(url)
    execute(url, SESSION, "u")

    with open_database(url).closing() as database:
        assert database.schema_differences() == []
        assert database.verify() == []
        assert execute(url, "select sum(sessions) from day_counts where day = -1") == [(3,)]
        assert database.read(lambda at: at.rows("select count(*) as n from sessions")) == [{"n": 3}]
    assert execute(url, DEFINITIONS) == definitions


@pytest.mark.parametrize(
    "sql",
    [
        "update schema_objects set server_version = server_version - 1",
        "delete from schema_objects",
        "drop table schema_objects",
    ],
    ids=["another_major_version", "deleted", "dropped"],
)
@pytest.mark.slow
def test_upgrade_records_definitions_that_could_not_be_compared(url, sql):
    definitions = execute(url, DEFINITIONS)
    execute(url, sql)
    execute(url, CHANGED_FUNCTION)

    upgrade(url)

    assert execute(url, DEFINITIONS) == definitions


def test_upgrade_after_another_major_version_restores_indexes(url):
    definitions = execute(url, DEFINITIONS)
    execute(url, "update schema_objects set server_version = server_version - 1")
    execute(url, CHANGED_INDEX)

    with open_database(url).closing() as database:
        assert database.schema_differences() == []
    upgrade(url)

    assert execute(url, DEFINITIONS) == definitions


def test_reader_without_the_privilege_opens_the_database(url, caplog):
    execute(url, "drop role if exists without_check")
    execute(url, "create role without_check login")
    execute(url, "grant select on all tables in schema public to without_check")
    execute(url, "revoke select on schema_objects from without_check")
    execute(url, "drop trigger sessions_insert on sessions")

    with open_database(url.replace("//postgres@", "//without_check@")).closing() as database:
        assert database.schema_differences() == []

    assert caplog.messages == []
