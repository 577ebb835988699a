"""Bringing a database file of an older version to this one."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ...errors import DatabaseError
from ..base import BASE_TABLES, INTERNAL_TABLES, PRIMARY_KEYS, Row, ignore_progress
from .counters import rebuild
from .past import PAST_TABLES, archive_past
from .schema import (
    APPLICATION_ID,
    DERIVED_PREFIXES,
    EMPTY_FILE,
    VERSION,
    is_managed,
    is_ours,
    managed_names,
    quote,
    read_identity,
    schema_statements,
)
from .schema_check import find_schema_differences
from .statements import Statements

log = logging.getLogger(__name__)

OLD_SUFFIX = "_of_the_older_version"

# Tables and views that versions before 5 have, too. Another program's may have the other names of this version.
NAMES_BEFORE_5 = frozenset(
    {
        *BASE_TABLES,
        *INTERNAL_TABLES,
        "case_folds",
        "event_changes",
        "follow_up_changes",
        "frequent_projects",
        "lead_text_changes",
        "session_changes",
        "session_pages",
    }
)

OBJECTS = """
select type, name, tbl_name, sql
from sqlite_schema
where sql is not null
order by rowid
"""

SHARED_COLUMNS = """
select name
from pragma_table_info(:new)
where name in (
  select name
  from pragma_table_info(:old))
"""

# Older versions took any integer from 0 on: those of trackers that write seconds, too.
MIN_INSTANT = 100_000_000_000
MIN_SECONDS = 100_000_000
INSTANT = f"""
case
  when {{column}} < {MIN_SECONDS} then {MIN_INSTANT}
  when {{column}} < {MIN_INSTANT} then {{column}} * 1000
  else {{column}}
end"""

# As the CHECK of the schema has it.
IS_DATE = """(
  {column} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
  and date(substr({column}, 1, 10), '+0 days') = substr({column}, 1, 10)
  and datetime({column}) is not null)"""
DATE = f"iif({IS_DATE} or {{column}} is null, datetime({{column}}), '')"

# Columns that have stricter rules now, and what their values become; then what is logged of values by a condition.
CONVERSIONS = {
    ("sessions", "started_at"): INSTANT,
    ("events", "occurred_at"): INSTANT,
    ("leads", "enquiry_datetime"): DATE,
    ("lead_submissions", "submitted_at"): DATE,
}
CONVERTED = {
    INSTANT: (
        (f"{{column}} < {MIN_SECONDS}", "before 1973 are 1973-03-03 now"),
        (f"{{column}} >= {MIN_SECONDS} and {{column}} < {MIN_INSTANT}", "in seconds are in milliseconds now"),
    ),
    DATE: (
        (f"{{column}} <> '' and not {IS_DATE}", "that are not dates are empty now"),
        (f"{IS_DATE} and {{column}} <> datetime({{column}})", "in other forms are YYYY-MM-DD HH:MM:SS now"),
    ),
}


def upgrade(
    path: str | os.PathLike[str],
    *,
    busy_timeout: float = 5.0,
    on_progress: Callable[[str], object] = ignore_progress,
) -> int:
    """Bring an older file to this version and return the version that it was of; no row is lost.

    One transaction: a file that cannot be upgraded, or is locked for `busy_timeout` seconds, stays as it was. The
    counters are rebuilt, and what other programs store in the file stays. The log says how many values were converted
    for the stricter rules of this version. `on_progress` is called with the name of each table.
    """
    path = Path(path).absolute()
    if not path.exists():
        raise DatabaseError(f"{path}: there is no such database; `analytics-api init` makes one")
    failing = str(path)
    try:
        # closing it undoes what is not committed
        with closing(sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)) as connection:
            # the views and triggers of others are not to follow a table to its old name
            connection.execute("pragma legacy_alter_table = on")
            connection.execute("begin exclusive")
            application_id, version, _ = read_identity(connection)
            if application_id != APPLICATION_ID or version >= VERSION:
                if not is_managed(connection, path):
                    raise DatabaseError(f"{path}: {EMPTY_FILE}")
                if not find_schema_differences(connection, schema_statements()):
                    return version
            failing = f"{path}: it stays as it was, of the older version"
            lines = _migrate(Statements(connection), version, on_progress)
            connection.execute("commit")
            for line in lines:
                log.warning("%s: %s", path, line)
            return version
    except sqlite3.Error as error:
        raise DatabaseError(f"{failing}: {error}") from error


def _migrate(statements: Statements, version: int, on_progress: Callable[[str], object]) -> list[str]:
    """Create the schema again below the rows that are not derived; return what was converted."""
    objects = statements.rows(OBJECTS)
    if version < 5:
        _check_names(objects)
    foreign = [  # they go with the tables that they are on
        item["sql"]
        for item in objects
        if item["type"] in ("trigger", "index") and item["tbl_name"] in PRIMARY_KEYS and not is_ours(item["name"])
    ]
    old = _set_aside(statements, objects)
    schema = schema_statements()
    triggers = [statement for statement in schema if statement.startswith("create trigger")]
    for statement in schema:
        if statement not in triggers:
            statements.execute(statement)
    lines: list[str] = []
    for table in PRIMARY_KEYS:
        if table in old:
            on_progress(table)
            lines += _copy_back(statements, table)
    archive_past(statements, old)
    for table in old:
        statements.execute(f"drop table {table}{OLD_SUFFIX}")
    rebuild(statements, on_progress)
    for statement in (*triggers, *foreign):
        statements.execute(statement)
    return lines


def _check_names(objects: list[Row]) -> None:
    """Raise sqlite3.Error if another program's table or view has a name that this version needs."""
    for item in objects:
        name = item["name"]
        if (
            item["type"] in ("table", "view")
            and name in managed_names()
            and not (name in NAMES_BEFORE_5 or name.startswith(("lead_search", *DERIVED_PREFIXES)))
        ):
            raise sqlite3.DatabaseError(f"another program's {item['type']} {name} is in the way; rename it")


def _set_aside(statements: Statements, objects: list[Row]) -> list[str]:
    """Rename the tables that hold rows of their own, drop all else that is ours; return the names of these tables."""
    old: list[str] = []
    statements.execute("drop table if exists lead_search")  # and with it the tables behind it
    for item in objects:
        kind, name = item["type"], item["name"]
        if kind == "table" and (name in PRIMARY_KEYS or name in PAST_TABLES):
            statements.execute(f"alter table {name} rename to {name}{OLD_SUFFIX}")
            old.append(name)
        elif kind in ("table", "view") and is_ours(name):
            statements.execute(f"drop {kind} if exists {quote(name)}")
    for item in objects:
        if item["type"] in ("trigger", "index") and (item["tbl_name"] in old or is_ours(item["name"])):
            statements.execute(f"drop {item['type']} if exists {quote(item['name'])}")
    return old


def _copy_back(statements: Statements, table: str) -> list[str]:
    """Copy the rows of a table that was set aside; return a line for each kind of value that was converted."""
    old = table + OLD_SUFFIX
    columns = [row["name"] for row in statements.rows(SHARED_COLUMNS, new=table, old=old)]
    values = [CONVERSIONS.get((table, column), "{column}").format(column=column) for column in columns]
    where = "where archived <> 0" if "archived" in columns else ""
    statements.execute(f"delete from {table}")  # a new database has rows of the site
    statements.execute(f"insert into {table} ({', '.join(columns)}) select {', '.join(values)} from {old} {where}")
    lines: list[str] = []
    for column in columns:
        for condition, change in CONVERTED.get(CONVERSIONS.get((table, column), ""), ()):
            [[count]] = statements.tuples(f"select count(*) from {old} where {condition.format(column=column)}")
            if count:
                lines.append(f"{table}.{column}: {count} values {change}")
    return lines
