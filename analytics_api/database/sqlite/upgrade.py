"""Upgrade a database file of an older version."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ...errors import DatabaseError
from ...values.timestamps import MIN_SECONDS, MIN_TIMESTAMP
from ..base import BASE_TABLES, INTERNAL_TABLES, PRIMARY_KEYS, TRANSIENT_TABLES, Row, ignore_progress
from ..campaigns import archive_campaigns
from .counters import rebuild
from .files import permission_hint, require_file
from .past import PAST_TABLES, archive_past
from .schema import (
    APPLICATION_ID,
    DERIVED_PREFIXES,
    EMPTY_FILE,
    VERSION,
    fill_case_folds,
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

DATA_TABLES = PRIMARY_KEYS | TRANSIENT_TABLES

OLD_SUFFIX = "_of_the_older_version"

# Tables and views that exist in versions before 5. All other names of the current schema are newer. If a file of such a
# version has an object with a newer name, the object belongs to another program.
NAMES_BEFORE_5 = frozenset(
    {
        *BASE_TABLES,
        *(INTERNAL_TABLES.keys() - {"collector_machines"}),
        "case_folds",
        "event_changes",
        "follow_up_changes",
        "frequent_projects",
        "lead_text_changes",
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

# Older versions accepted any integer from 0 as a timestamp. Trackers may have written seconds, which are converted to
# milliseconds. Numbers below MIN_SECONDS are replaced by the minimum timestamp.
INSTANT = f"""
case
  when {{column}} < {MIN_SECONDS} then {MIN_TIMESTAMP}
  when {{column}} < {MIN_TIMESTAMP} then {{column}} * 1000
  else {{column}}
end"""

# The condition of the CHECK constraints of the date columns in CONVERSIONS, except that "" is not a date here.
IS_DATE = """(
  {column} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
  and date(substr({column}, 1, 10), '+0 days') = substr({column}, 1, 10)
  and datetime({column}) is not null)"""
DATE = f"iif({IS_DATE} or {{column}} is null, datetime({{column}}), '')"

# For each column with a new constraint: the expression that converts a value.
CONVERSIONS = {
    ("sessions", "started_at"): INSTANT,
    ("events", "occurred_at"): INSTANT,
    ("leads", "enquiry_datetime"): DATE,
    ("lead_submissions", "submitted_at"): DATE,
}
# For each expression: pairs of a condition and the log message about the values for which the condition is true.
CONVERTED = {
    INSTANT: (
        (f"{{column}} < {MIN_SECONDS}", "before 1973-03-03 were changed to 1973-03-03"),
        (f"{{column}} >= {MIN_SECONDS} and {{column}} < {MIN_TIMESTAMP}", "in seconds were converted to milliseconds"),
    ),
    DATE: (
        (f"{{column}} <> '' and not {IS_DATE}", "that are not dates were changed to empty strings"),
        (f"{IS_DATE} and {{column}} <> datetime({{column}})", "in other formats were converted to YYYY-MM-DD HH:MM:SS"),
    ),
}


def upgrade(
    path: str | os.PathLike[str],
    *,
    busy_timeout: float = 5.0,
    on_progress: Callable[[str], object] = ignore_progress,
) -> int:
    """Upgrade a file to this version, and return its former version.

    No row is lost. The upgrade is one transaction, so after an error the file is unchanged. The counters are rebuilt.
    Tables, views and triggers of other programs remain. The log says how many values were converted to satisfy new
    constraints.

    :param busy_timeout: maximum time in seconds to wait for a lock.
    :param on_progress: called with the name of each table.
    :raises DatabaseError: the file cannot be upgraded.
    """
    path = Path(path).absolute()
    require_file(path)
    failing = str(path)
    try:
        # Closing the connection rolls back an uncommitted transaction.
        with closing(sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)) as connection:
            # With this setting, renaming a table does not change its name in the views and triggers of other programs.
            connection.execute("pragma legacy_alter_table = on")
            connection.execute("begin exclusive")
            application_id, version, _ = read_identity(connection)
            if application_id != APPLICATION_ID or version >= VERSION:
                if not is_managed(connection, path):
                    raise DatabaseError(f"{path}: {EMPTY_FILE}")
                if not find_schema_differences(connection, schema_statements()):
                    return version
            failing = f"{path}: not upgraded, nothing was changed"
            lines = _migrate(Statements(connection), version, on_progress)
            connection.execute("commit")
            for line in lines:
                log.warning("%s: %s", path, line)
            return version
    except sqlite3.Error as error:
        raise DatabaseError(f"{failing}: {error}{permission_hint(path, error)}") from error


def _migrate(statements: Statements, version: int, on_progress: Callable[[str], object]) -> list[str]:
    """Create the current schema, and copy the old rows into it. Return a message for each kind of converted value."""
    objects = statements.rows(OBJECTS)
    if version < 5:
        _check_names(objects)
    foreign = [  # dropping a table also drops the triggers and indexes that other programs have created on it
        item["sql"]
        for item in objects
        if item["type"] in ("trigger", "index") and item["tbl_name"] in DATA_TABLES and not is_ours(item["name"])
    ]
    old = _set_aside(statements, objects)
    schema = schema_statements()
    triggers = [statement for statement in schema if statement.startswith("create trigger")]
    for statement in schema:
        if statement not in triggers:
            statements.execute(statement)
    fill_case_folds(statements.connection)
    lines: list[str] = []
    for table in DATA_TABLES:
        if table in old:
            on_progress(table)
            lines += _copy_back(statements, table)
    archive_past(statements, old)
    archive_campaigns(statements)
    for table in old:
        statements.execute(f"drop table {table}{OLD_SUFFIX}")
    rebuild(statements, on_progress)
    for statement in (*triggers, *foreign):
        statements.execute(statement)
    return lines


def _check_names(objects: list[Row]) -> None:
    """Raise sqlite3.Error if a table or view of another program has a name that the current schema needs."""
    for item in objects:
        kind, name = item["type"], item["name"]
        if (
            kind in ("table", "view")
            and name in managed_names()
            and not (name in NAMES_BEFORE_5 or name.startswith(("lead_search", *DERIVED_PREFIXES)))
        ):
            raise sqlite3.DatabaseError(f"rename the {kind} {name} of another program: this version needs its name")


def _set_aside(statements: Statements, objects: list[Row]) -> list[str]:
    """Rename the tables with data, and drop all other objects of the schema. Return the former names of the tables."""
    old: list[str] = []
    statements.execute("drop table if exists lead_search")  # this also drops the tables of FTS5
    for item in objects:
        kind, name = item["type"], item["name"]
        if kind == "table" and (name in DATA_TABLES or name in PAST_TABLES):
            statements.execute(f"alter table {name} rename to {name}{OLD_SUFFIX}")
            old.append(name)
        elif kind in ("table", "view") and is_ours(name):
            statements.execute(f"drop {kind} if exists {quote(name)}")
    for item in objects:
        if item["type"] in ("trigger", "index") and (item["tbl_name"] in old or is_ours(item["name"])):
            statements.execute(f"drop {item['type']} if exists {quote(item['name'])}")
    return old


def _copy_back(statements: Statements, table: str) -> list[str]:
    """Copy the rows of a renamed table. Return a message for each kind of converted value."""
    old = table + OLD_SUFFIX
    columns = [row["name"] for row in statements.rows(SHARED_COLUMNS, new=table, old=old)]
    values = [CONVERSIONS.get((table, column), "{column}").format(column=column) for column in columns]
    where = "where archived <> 0" if "archived" in columns else ""
    statements.execute(f"delete from {table}")  # the SITE_TABLES of a new database have rows
    statements.execute(f"insert into {table} ({', '.join(columns)}) select {', '.join(values)} from {old} {where}")
    lines: list[str] = []
    for column in columns:
        for condition, change in CONVERTED.get(CONVERSIONS.get((table, column), ""), ()):
            [[count]] = statements.tuples(f"select count(*) from {old} where {condition.format(column=column)}")
            if count:
                lines.append(f"{table}.{column}: {count} values {change}")
    return lines
