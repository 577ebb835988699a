"""Tables of another database, copied into ours by the names of their columns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ..database import BASE_TABLES, KEPT_COLUMNS, Column, Database, Existing, Transaction
from ..errors import IngestError, RowError
from .d1 import Progress, housekeeping, open_scratch
from .report import Report, Tally

BATCH = 10_000

# Below this share of new rows the triggers cost less than making every rollup anew.
BULK_SHARE = 0.2

# A value of theirs as a column of ours takes it; what it can't take goes through, to be refused there.
INTEGER = """
case
  when typeof({0}) = 'real' then cast(round({0}) as integer)
  when cast(cast({0} as integer) as text) = {0} then cast({0} as integer)
  else {0}
end"""
TEXT = "iif(typeof({0}) in ('integer', 'real'), cast({0} as text), {0})"

ROWS = """
select sessions + events as total
from rollup_totals
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one table is copied: what is read of theirs, and into which of our columns."""

    table: str
    columns: Sequence[str]
    count: str
    select: str


def import_database(
    db: Database,
    path: str | os.PathLike[str],
    *,
    existing: Existing = "keep",
    read: Progress | None = None,
    written: Callable[[int], object] = lambda rows: None,
) -> Report:
    """Copy what a D1 export or an SQLite file has of our tables, in one transaction; what was done.

    A null where the column has a default takes the default; a fraction in an integer column is rounded. A row whose
    key is there already stays as it is, or takes the file's values with `existing="update"`. A row that breaks a rule
    of its table is left out and told. `read` hears of bytes of the file, `written` of rows.

    Raises IngestError when the file can't be read or has none of our tables; then nothing was written.
    """
    with open_scratch(path, progress=read) as source:
        plans, found = _plans(db, source, os.fspath(path))

        def copy(at: Transaction) -> Report:
            report = replace(found, tables={plan.table: Tally() for plan in plans}, rejects=[])
            for plan in plans:
                rows = source.execute(plan.select)
                while batch := list(islice(rows, BATCH)):
                    report.tables[plan.table].read += len(batch)
                    insert(at, plan.table, plan.columns, batch, existing, report)
                    written(len(batch))
            return report

        try:
            incoming = sum(source.execute(plan.count).fetchone()[0] for plan in plans)
            if incoming > BULK_SHARE * db.rows(ROWS)[0]["total"]:
                return db.bulk(copy)
            return db.write(copy)
        except sqlite3.Error as error:
            raise IngestError(f"{path}: {error}") from error


def insert(
    at: Transaction,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    existing: Existing,
    report: Report,
) -> None:
    """Write the rows; those that can't be taken are told to the report, the others are written all the same."""
    try:
        report.tables[table].written += at.insert(table, columns, rows, existing=existing)
    except RowError as error:
        if len(rows) == 1:
            report.reject(table, f"{columns[0]} {rows[0][0]!r}", str(error))
        else:
            half = len(rows) // 2
            insert(at, table, columns, rows[:half], existing, report)
            insert(at, table, columns, rows[half:], existing, report)


def _plans(db: Database, source: sqlite3.Connection, path: str) -> tuple[list[Plan], Report]:
    report = Report()
    theirs = {
        name.lower(): name
        for (name,) in source.execute("select name from sqlite_master where type = 'table' order by rowid")
        if not housekeeping(name)
    }
    plans = []
    for table in BASE_TABLES:
        if table in theirs:
            plan, unplaced = _plan(db, source, path, table, theirs.pop(table))
            plans.append(plan)
            if unplaced:
                report.ignored_columns[table] = unplaced
    if not plans:
        raise IngestError(f"{path}: none of the tables {', '.join(BASE_TABLES)} is in it")
    if "rollup_totals" not in theirs:  # a database of ours has tables that are made anew
        report.ignored_tables = list(theirs.values())
    return plans, report


def _plan(db: Database, source: sqlite3.Connection, path: str, table: str, theirs: str) -> tuple[Plan, list[str]]:
    """How `theirs` goes into `table`, and the columns that find no place there."""
    there = {name.lower(): name for _, name, *_ in source.execute(f"pragma table_info({_quoted(theirs)})")}
    columns = []
    for column in db.columns(table):
        if column.name in there:
            columns.append((column, there.pop(column.name)))
        elif column.name == BASE_TABLES[table] or (column.required and column.default is None):
            raise IngestError(f"{path}: the table {theirs} has no column {column.name}, which a row can't be without")
    values = ", ".join(_value_of(column, _quoted(name)) for column, name in columns)
    plan = Plan(
        table,
        [column.name for column, _ in columns],
        f"select count(*) from {_quoted(theirs)}",
        f"select {values} from {_quoted(theirs)}",
    )
    return plan, [there[name] for name in there if name not in KEPT_COLUMNS]


def _value_of(column: Column, name: str) -> str:
    """SQL for the value of their column `name` as ours takes it."""
    value = (INTEGER if column.type == "integer" else TEXT).format(name)
    if column.name == "status":
        value = f"lower(trim({value}))"
    if column.default is None:
        return value
    default = column.default if isinstance(column.default, int) else "'" + column.default.replace("'", "''") + "'"
    return f"coalesce({value}, {default})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
