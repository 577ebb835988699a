"""Malicious dumps and SQLite files that need much memory or time, or contain code, are rejected with one line."""

import sqlite3
from contextlib import closing

import pytest
from helpers.importing import import_text, select

from analytics_api import IngestError
from analytics_api.imports import import_file

LEADS = "CREATE TABLE leads(lead_id INTEGER PRIMARY KEY, enquiry_datetime TEXT, contact_name TEXT);\n"

pytestmark = pytest.mark.any_engine


def insert_lead(value):
    return f"{LEADS}INSERT INTO leads VALUES(1,'2026-01-01 00:00:00',{value});\n"


SWELLING = {
    "printf": "printf('%.*c',60000000,'x')",
    "format": "format('%.*c',60000000,'x')",
    "instr": "instr(printf('%.*c',60000000,'a'),printf('%.*c',30000000,'a')||'b')",
    "zeroblob": "hex(zeroblob(60000000))",
    "randomblob": "hex(randomblob(60000000))",
    "replace": "replace(" * 8 + "'a'" + ",'a','aaaaaaaaaa')" * 8,
    "like": "'a' like '%a%a%a%a%a%b'",
    "select": "(with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n)",
    "load_extension": "load_extension('/tmp/x')",
    "readfile": "readfile('/etc/passwd')",
}


@pytest.mark.parametrize("name", SWELLING)
def test_value_that_takes_memory_or_time_is_rejected(database, name):
    with pytest.raises(IngestError) as caught:
        import_text(database, insert_lead(SWELLING[name]))

    assert "line 2: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert select(database, "lead_id", "leads") == []


def test_value_of_over_4_million_characters_is_rejected(database):
    report = import_text(
        database, f"lead_id,enquiry_datetime,contact_name\n1,2026-01-01,{'x' * 4_000_001}\n2,2026-01-01,y\n"
    )

    assert select(database, "lead_id, contact_name", "leads") == [(2, "y")]
    assert report.rejects == ["leads line 2: contact_name: the text is longer than 4,000,000 characters"]


def make_file(path, *statements):
    """Create an SQLite file, possibly with a schema that SQLite itself would not accept."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma writable_schema = on")
        for statement in statements:
            connection.execute(statement)
    return path


GENERATED = {
    "taken": "contact_name text generated always as (printf('%.*c',900000000,'x')) virtual",
    "json": "contact_name text generated always as (json_extract('{\"a\":1}', '$.a')) virtual",
}


@pytest.mark.parametrize("name", GENERATED)
def test_generated_column_is_rejected(database, tmp_path, name):
    path = make_file(
        tmp_path / "gen.db",
        f"create table leads (lead_id integer primary key, enquiry_datetime text, {GENERATED[name]})",
        "pragma ignore_check_constraints = on",
        "insert into leads (lead_id, enquiry_datetime) values (1, '2026-01-01')"
        if name == "json"
        else "create table empty (a)",
    )
    if name != "json":
        insert_a_lead_by_other_schema(path, GENERATED[name])

    with pytest.raises(IngestError) as caught:
        import_file(database, path)

    assert "\n" not in str(caught.value)
    assert select(database, "lead_id", "leads") == []


def test_generated_column_is_checked_without_slow_functions(database, tmp_path):
    column = "g not null generated always as (instr(printf('%.*c',900000000,'a'),'b')) virtual"
    path = make_file(
        tmp_path / "gen.db", f"create table leads (lead_id integer primary key, enquiry_datetime text, {column})"
    )
    insert_a_lead_by_other_schema(path, column)

    import_file(database, path)

    assert select(database, "lead_id, enquiry_datetime", "leads") == [(1, "2026-01-01 00:00:00")]


def insert_a_lead_by_other_schema(path, column):
    """Insert a row before the table has the generated column, so that the insert does not evaluate it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (sql,) = connection.execute("select sql from sqlite_master where name = 'leads'").fetchone()
        connection.execute("drop table leads")
        connection.execute("create table leads (lead_id integer primary key, enquiry_datetime text)")
        connection.execute("insert into leads values (1, '2026-01-01')")
        connection.execute("pragma writable_schema = on")
        connection.execute("update sqlite_master set sql = ? where name = 'leads'", (sql,))


@pytest.mark.parametrize(
    "sql",
    ["create virtual table leads using fts5 (lead_id, enquiry_datetime)", "create virtual table leads using csv (a)"],
    ids=["fts5", "unknown"],
)
def test_virtual_table_is_rejected(database, tmp_path, sql):
    path = make_file(
        tmp_path / "virtual.db",
        "create table sessions (session_id text, visitor_id text, started_at integer)",
        "create table leads (lead_id integer primary key, enquiry_datetime text)",
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma writable_schema = on")
        connection.execute("update sqlite_master set sql = ?, rootpage = 0 where name = 'leads'", (sql,))

    with pytest.raises(IngestError) as caught:
        import_file(database, path)

    assert "\n" not in str(caught.value)


def test_view_is_not_read(database, tmp_path):
    path = make_file(
        tmp_path / "view.db",
        "create table t (a)",
        "create view leads as select 1 as lead_id, '2026-01-01' as enquiry_datetime",
    )

    with pytest.raises(IngestError, match="none of the tables"):
        import_file(database, path)
