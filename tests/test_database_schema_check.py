"""Opening a database whose schema was changed by another program logs a warning, and `upgrade` restores the schema."""

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from helpers.cli import demo_file, isolated_cwd, query, run

from analytics_api import open_database
from analytics_api.database import upgrade
from analytics_api.database.expected import read_expected
from analytics_api.database.sqlite.schema import schema_statements

COPY_EVENTS = """
create table copy (event_id integer primary key, session_id text, event_type text, page_url text, occurred_at integer, data text);
insert into copy select event_id, session_id, event_type, page_url, occurred_at, data from events;
drop table events;
alter table copy rename to events;
"""  # noqa: E501 as `sqlite-utils transform` does

PAGE_VIEW = (
    "insert into events (session_id, event_type, page_url, occurred_at) values ('s', 'page_view', '/', 1771844400000)"
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return Path(shutil.copy(demo_file(50), tmp_path / "a.db"))


def execute(path, script):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma legacy_alter_table = on")
        connection.executescript(script)


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("drop trigger events_insert", "the trigger events_insert is missing"),
        ("drop index events_by_time", "the index events_by_time is missing"),
        ("drop view all_time_pages", "the view all_time_pages is missing"),
        (
            "drop trigger events_insert; create trigger events_insert after insert on events begin select 1; end",
            "the trigger events_insert was changed",
        ),
    ],
    ids=["trigger", "index", "view", "changed"],
)
def test_opening_logs_changed_definitions(path, caplog, script, line):
    execute(path, script)

    with open_database(path).closing() as database:
        assert database.schema_differences() == [line]

    assert f"{path}: {line}; `analytics-api upgrade` restores it" in caplog.messages


def test_untouched_database_has_no_differences(path, caplog):
    with open_database(path).closing() as database:
        assert database.schema_differences() == []

    assert caplog.messages == []


def test_objects_of_other_programs_are_not_differences(path):
    execute(path, "create table notes (text); create trigger own after insert on events begin select 1; end")

    with open_database(path).closing() as database:
        assert database.schema_differences() == []


def test_upgrade_restores_schema_and_numbers(path):
    execute(path, COPY_EVENTS)
    query(path, PAGE_VIEW)
    ((events,),) = query(path, "select count(*) from events")

    assert "the schema was changed" in run("verify", "-d", path, status=1)
    upgrade(path)

    with open_database(path).closing() as database:
        assert database.schema_differences() == []
        assert database.verify() == []
        assert database.rows("select events from event_counts where day = -1") == [{"events": events}]
        query(path, PAGE_VIEW)
        assert database.rows("select events from event_counts where day = -1") == [{"events": events + 1}]


def test_rebuild_without_a_column_names_upgrade(path):
    execute(path, COPY_EVENTS)

    output = run("rebuild", "-d", path, status=1)

    assert output.splitlines()[-1] == "Error: the schema was changed; `analytics-api upgrade` restores it"


def test_database_without_wal_gets_it(path):
    query(path, "vacuum into 'copy.db'")
    assert query("copy.db", "pragma journal_mode") == [("delete",)]

    open_database("copy.db").close()

    assert query("copy.db", "pragma journal_mode") == [("wal",)]


def test_database_without_wal_that_is_read_is_opened(path, caplog):
    query(path, "vacuum into 'copy.db'")
    with closing(sqlite3.connect("copy.db", isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from leads").fetchone()

        with open_database("copy.db").closing() as database:
            assert database.rows("select sessions from day_counts where day = -1") == [{"sessions": 50}]

    assert "the journal mode remains delete: database is locked" in caplog.text


# SQLite 3.37, the oldest supported version, does not have these functions and operators.
NEWER = (
    r"\b(unixepoch|format|unhex|octet_length|timediff|concat|concat_ws|string_agg|jsonb\w*)\s*\(|->"
    r"|\bis (not )?distinct from\b|\b(right|full) (outer )?join\b"
)


def test_schema_needs_no_newer_version_of_sqlite():
    statements = re.sub("--.*", "", "".join(schema_statements()) + read_expected())

    assert re.search(NEWER, statements) is None
