"""Import the tables of an export of Cloudflare D1, or of an SQLite file. Tables and columns are matched by name."""

from __future__ import annotations

import marshal
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..database import BASE_TABLES, Column, Database, Transaction
from ..errors import IngestError
from .batch import MAX_BATCH_BYTES, MAX_BATCH_ROWS, Batch
from .columns import ColumnMatch, check_required, table_columns
from .derive import SessionsToCheck
from .rejects import RejectHandler
from .report import Report, TableCounts, list_names, printable
from .rows import Options, RowOptions, make_batcher, make_converters, make_options, unused_values, write_all
from .source import OnRead, ignore_read
from .sql_dump import is_housekeeping, open_scratch
from .write import load

if TYPE_CHECKING:
    from typing_extensions import Unpack

FETCH_ROWS = 4  # rows per fetch of a large database, because a row can have megabytes
MAX_SMALL_BYTES = 1 << 25  # from a database up to this size, MAX_BATCH_ROWS rows are fetched at once


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A table to import.

    :param table: the name of the table in this database.
    :param theirs: the name of the table in the file.
    :param columns: the columns in this database.
    :param names: the columns of the file to import.
    :param rows: the number of rows in the file.
    """

    table: str
    theirs: str
    columns: dict[str, Column]
    names: tuple[str, ...]
    rows: int


def import_database(
    db: Database,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    on_read: OnRead = ignore_read,
    **options: Unpack[RowOptions],
) -> Report:
    """Import the base tables in a D1 export or an SQLite file in one transaction; see `import_rows`.

    An invalid row is written to `rejects`, with the number of the row in the table as its line number.

    :param name: the name of the file in messages; None for its path.
    :param on_read: called with the number of bytes that were read from the file since the last call.
    :raises IngestError: the file cannot be read, or contains none of the base tables. Nothing was written then.
    """
    row_options = make_options(name or os.fspath(path), **options)
    try:
        with open_scratch(path, name=row_options.name, on_read=on_read) as source:
            return _copy_all(db, source, row_options)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise IngestError(
            f"{row_options.name}: SQLite cannot read the file ({' '.join(str(error).split())})"
        ) from error


def _copy_all(db: Database, source: sqlite3.Connection, options: Options) -> Report:
    copies, empty_report = _find_tables(db, source, options)
    total = sum(copy.rows for copy in copies)

    def work(at: Transaction, is_bulk: bool) -> Report:
        counts = {copy.table: TableCounts() for copy in copies}
        report = replace(empty_report, tables=counts, rejects=[], reject_counts={}, warnings=[])
        report.event_types.clear()
        sessions_to_check = SessionsToCheck() if options.sessions_to_check is None else options.sessions_to_check
        for copy in copies:
            reject = RejectHandler(report, copy.table, options.name, options.rejects, options.strict, copy.names)
            converters = make_converters(copy.table, copy.columns, options)
            table_options = replace(options, mapped=options.mapped.of_table(copy.theirs))
            batcher = make_batcher(at, copy.table, copy.columns, converters, table_options, reject, sessions_to_check)
            write_all(batcher, _read_batches(source, copy, options.name), options.on_write, total)
            report.warnings += unused_values(converters)
        if options.sessions_to_check is None:
            if "sessions" in report.tables:
                report.tables["sessions"].derived["event_count"] += sessions_to_check.count(at, is_bulk=is_bulk)
            report.warnings += sessions_to_check.warnings(at)
        return report

    return load(db, total, work, options.on_progress, options.rejects)


def _find_tables(db: Database, source: sqlite3.Connection, options: Options) -> tuple[list[TableCopy], Report]:
    report = Report()
    theirs = {
        name.lower(): name
        for (name,) in source.execute("select name from sqlite_master where type = 'table' order by rowid")
        if not is_housekeeping(name)
    }
    ours = {table: theirs.pop(table) for table in BASE_TABLES if table in theirs}
    columns = {table: table_columns(db, table) for table in ours}
    if ours:
        _check_map(columns, source, ours, options)
    copies = [_find_columns(columns[table], source, table, name, options, report) for table, name in ours.items()]
    if not copies:
        contents = f"its tables are {printable(list_names(list(theirs.values())))}" if theirs else "it has no tables"
        raise IngestError(
            f"{options.name}: the file has none of the tables {', '.join(BASE_TABLES)}; {contents}; views are not read"
        )
    if not any(name.startswith("rollup_") or name == "day_counts" for name in theirs):
        # A file that has such tables is a database of this project. Its counters are not reported as ignored tables.
        report.ignored_tables = list(theirs.values())
    return copies, report


def _check_map(
    columns: Mapping[str, dict[str, Column]], source: sqlite3.Connection, theirs: Mapping[str, str], options: Options
) -> None:
    """Raise IngestError if `--map` contains a column that no table has.

    :param columns: the columns of each table in this database.
    :param theirs: mapping of table names in this database to table names in the file.
    """
    all_columns = {name: column for of_table in columns.values() for name, column in of_table.items()}
    options.check_columns(" or ".join(theirs), all_columns)
    names = [
        (table, name)
        for table in theirs.values()
        for _, name, *_ in source.execute(f"pragma table_info({_quote(table)})")
    ]
    options.mapped.check_sources(
        [name for _, name in names], options.name, qualified=(f"{table}.{name}" for table, name in names)
    )


def _find_columns(
    columns: dict[str, Column],
    source: sqlite3.Connection,
    table: str,
    theirs: str,
    options: Options,
    report: Report,
) -> TableCopy:
    names, generated = [], set()
    for _, name, _, _, _, _, hidden in source.execute(f"pragma table_xinfo({_quote(theirs)})"):
        names.append(name)
        if hidden:
            generated.add(name)
    match = ColumnMatch(table, columns, names, options.mapped.of_table(theirs))
    check_required(table, match.missing, names, f"{options.name}: table {theirs}")
    for column, index in match.indexes.items():
        if names[index] in generated:
            raise IngestError(
                f"{options.name}: {theirs}.{names[index]} is a generated column, which is not evaluated; "
                f"store {column} as an ordinary column"
            )
    report.add_ignored_columns(table, [name for name in match.ignored if name not in generated])
    taken = tuple(names[index] for index in match.indexes.values())
    (rows,) = source.execute(f"select count(*) from {_quote(theirs)}").fetchone()
    return TableCopy(table, theirs, columns, taken, rows)


def _read_batches(source: sqlite3.Connection, copy: TableCopy, name: str) -> Iterator[Batch]:
    """Yield the rows in batches of at most MAX_BATCH_BYTES."""
    try:
        yield from _read(source, copy)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise IngestError(f"{name}: {' '.join(str(error).split())}") from error


def _read(source: sqlite3.Connection, copy: TableCopy) -> Iterator[Batch]:
    cursor = source.execute(f"select {', '.join(map(_quote, copy.names))} from {_quote(copy.theirs)}")
    line = 1
    (pages,), (page_size,) = (source.execute(f"pragma {name}").fetchone() for name in ("page_count", "page_size"))
    bytes_in_all = pages * page_size
    if bytes_in_all <= MAX_SMALL_BYTES:
        while rows := cursor.fetchmany(MAX_BATCH_ROWS):
            yield Batch(line, rows, copy.names, list(zip(*rows)), bytes_in_all, is_rows=True)
            line += len(rows)
        return
    rows = []
    size = 0
    while batch := cursor.fetchmany(FETCH_ROWS):
        rows += batch
        size += len(marshal.dumps(batch, 0))
        if size >= MAX_BATCH_BYTES or len(rows) >= MAX_BATCH_ROWS - FETCH_ROWS:
            yield Batch(line, rows, copy.names, list(zip(*rows)), size, is_rows=True)
            line += len(rows)
            rows, size = [], 0
    if rows:
        yield Batch(line, rows, copy.names, list(zip(*rows)), size, is_rows=True)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
