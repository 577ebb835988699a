"""Tables of another database, copied into ours by the names of their columns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..database import BASE_TABLES, DERIVED_COLUMNS, Column, Database, OnConflict, Transaction, ignore_progress
from ..errors import IngestError, RowError
from .rejects import Rejects
from .report import Report, Tally
from .sql_dump import Progress, housekeeping, open_scratch

BATCH = 10_000

# Below this share of new rows the triggers cost less than making every rollup anew.
BULK_SHARE = 0.2

# A value of theirs as a column of ours takes it; what it can't take goes through, to be refused there.
INTEGER = """
case typeof({0})
  when 'integer' then {0}
  when 'real' then iif(abs({0}) < 9e18, cast(round({0}) as integer), {0})
  when 'text' then iif(cast(cast({0} as integer) as text) = {0}, cast({0} as integer), {0})
  else {0}
end"""
# To JavaScript, and so to D1, a whole number has no point.
TEXT = """
case typeof({0})
  when 'text' then {0}
  when 'integer' then cast({0} as text)
  when 'real' then cast(iif({0} = cast({0} as integer), cast({0} as integer), {0}) as text)
  else {0}
end"""

ROWS = """
select sessions + events as total
from rollup_totals
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one table is copied: what is read of theirs, and into which of our columns."""

    table: str
    columns: Sequence[str]
    rows: int
    select: str


def import_database(
    db: Database,
    path: str | os.PathLike[str],
    *,
    on_conflict: OnConflict = "ignore",
    strict: bool = False,
    rejects: Rejects | None = None,
    read: Progress | None = None,
    written: Callable[[int, int], object] = lambda rows, of: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> Report:
    """Copy what a D1 export or an SQLite file has of our tables, in one transaction; what was done.

    A null where the column has a default takes the default; a fraction in an integer column is rounded. A row whose
    key is there already stays as it is, or takes the file's values with `on_conflict="update"`. A row that breaks a
    rule of its table is left out and given to `rejects` under its number in that table; `strict` refuses the file.
    `read` hears of bytes of the file, `written` of rows and of how many there are in all, `on_progress` of each rollup
    that is made anew.

    Raises IngestError when the file can't be read or has none of our tables; then nothing was written.
    """
    name = os.fspath(path)
    with open_scratch(path, progress=read) as source:
        plans, found = _plans(db, source, name)
        incoming = sum(plan.rows for plan in plans)

        def copy(at: Transaction) -> Report:
            report = replace(found, tables={plan.table: Tally() for plan in plans}, rejects=[])
            for plan in plans:
                tally = report.tables[plan.table]

                def refuse(row: Sequence[Any], number: int, reason: str, plan: Plan = plan) -> None:
                    which = f"{plan.columns[0]} {row[0]!r}"
                    if strict:
                        raise IngestError(f"{name}: {plan.table} {which}: {reason}; nothing was written")
                    report.reject(plan.table, which, reason)
                    if rejects is not None:
                        rejects.add(name, number, f"{plan.table}: {reason}", dict(zip(plan.columns, row)))

                for batch in _batches(source, name, plan.select):
                    tally.written += insert(at, plan, batch, tally.read + 1, on_conflict, refuse)
                    tally.read += len(batch)
                    written(len(batch), incoming)
            return report

        if incoming > BULK_SHARE * db.rows(ROWS)[0]["total"]:
            return db.bulk(copy, on_progress=on_progress)
        return db.write(copy)


def insert(
    at: Transaction,
    plan: Plan,
    rows: Sequence[Sequence[Any]],
    first: int,
    on_conflict: OnConflict,
    refuse: Callable[[Sequence[Any], int, str], None],
) -> int:
    """Write the rows, which are numbered from `first` on; those that can't be taken are refused, each by itself.

    Returns how many were written.
    """
    try:
        if any(row[0] is None for row in rows):  # the key; an integer would be made up, another one each time
            raise RowError(f"{plan.columns[0]} is null")
        return at.insert(plan.table, plan.columns, rows, on_conflict=on_conflict)
    except RowError as error:
        if len(rows) == 1:
            refuse(rows[0], first, str(error))
            return 0
    half = len(rows) // 2
    return insert(at, plan, rows[:half], first, on_conflict, refuse) + insert(
        at, plan, rows[half:], first + half, on_conflict, refuse
    )


def _batches(source: sqlite3.Connection, path: str, select: str) -> Iterator[list[Any]]:
    try:
        rows = source.execute(select)
        while batch := rows.fetchmany(BATCH):
            yield batch
    except sqlite3.Error as error:
        raise IngestError(f"{path}: {' '.join(str(error).split())}") from error


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
    there = {
        name.lower(): (name, declared)
        for _, name, declared, *_ in source.execute(f"pragma table_info({_quoted(theirs)})")
    }
    columns = []
    for column in db.columns(table):
        if column.name in there:
            columns.append((column, *there.pop(column.name)))
        elif column.name == BASE_TABLES[table] or (column.required and column.default is None):
            raise IngestError(f"{path}: the table {theirs} has no column {column.name}, which a row can't be without")
    values = ", ".join(_value_of(column, _quoted(name), declared) for column, name, declared in columns)
    plan = Plan(
        table,
        [column.name for column, *_ in columns],
        next(row[0] for row in next(_batches(source, path, f"select count(*) from {_quoted(theirs)}"))),
        f"select {values} from {_quoted(theirs)}",
    )
    return plan, [name for key, (name, _) in there.items() if key not in DERIVED_COLUMNS]


def _value_of(column: Column, name: str, declared: str) -> str:
    """SQL for the value of their column `name`, of the type that they declare, as ours takes it."""
    if column.type == "integer":
        value = INTEGER.format(name)
    elif "TEXT" in declared.upper() and "INT" not in declared.upper():
        value = name  # there are no numbers in it (https://sqlite.org/datatype3.html#determination_of_column_affinity)
    else:
        value = TEXT.format(name)
    if column.name == "status":
        value = f"nullif(lower(trim({value})), '')"
    if column.default is None:
        return value
    default = column.default if isinstance(column.default, int) else "'" + column.default.replace("'", "''") + "'"
    return f"coalesce({value}, {default})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
