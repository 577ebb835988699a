"""Rows into a base table: convert, gather, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import length_hint
from typing import TYPE_CHECKING, Any, TypedDict

from ..database import Column, Database, OnConflict, Transaction, ignore_progress
from ..errors import IngestError
from .batch import Batch, Batcher, Record
from .columns import NameMap, required_columns, table_columns
from .convert import Converter
from .derive import UncountedSessions
from .rejects import RejectHandler, Rejects
from .report import Report, TableCounts
from .source import NOT_REPEATABLE
from .write import Writer, load, warn_of_no_sessions

if TYPE_CHECKING:
    from typing_extensions import Unpack

OnWrite = Callable[[int, int | None], object]


def ignore_write(rows: int, total: int | None) -> None:
    """Ignore how many rows are written."""


@dataclass(frozen=True)
class Options:
    """How rows are imported, whatever they come from.

    mapped          names of the file's columns for ours
    on_conflict     a row whose key is there stays ("ignore"), takes the file's values ("update"), or is an error
    strict          raise IngestError at the first row that cannot be taken, and write nothing
    rejects         where rows go that cannot be taken
    uncounted       where sessions without `event_count` go; None: their events are counted at the end of the file
    on_write        called with so many more rows, and how many there are when that is known
    on_progress     called with each rollup that is rebuilt
    """

    name: str = "the input"
    mapped: NameMap = field(default_factory=NameMap)
    on_conflict: OnConflict = "ignore"
    strict: bool = False
    rejects: Rejects = field(default_factory=Rejects)
    uncounted: UncountedSessions | None = None
    on_write: OnWrite = ignore_write
    on_progress: Callable[[str], object] = ignore_progress


class RowOptions(TypedDict, total=False):
    """The options of every format, as keywords: those of Options, and `map`, their columns' names for ours."""

    map: Mapping[str, str] | None
    on_conflict: OnConflict
    strict: bool
    rejects: Rejects | None
    uncounted: UncountedSessions | None
    on_write: OnWrite
    on_progress: Callable[[str], object]


def make_options(
    name: str, map: Mapping[str, str] | None = None, rejects: Rejects | None = None, **others: Any
) -> Options:
    return Options(name, NameMap(map), rejects=rejects or Rejects(), **others)


def import_rows(
    db: Database,
    table: str,
    rows: Iterable[Mapping[str, object]],
    *,
    name: str = "the input",
    **options: Unpack[RowOptions],
) -> Report:
    """Write rows, each a dict by column name, into a base table, in one transaction; return what was done.

    Every value becomes what its column stores, as `imports.convert` says. None, where the column has a default, is
    the default. Events without an `event_id` get one made of their content, so a second import knows them.

    :param map: our columns for theirs, `{"session": "session_id"}`; an empty one leaves theirs out.
    :param on_conflict: what becomes of a row whose key is there already; an update leaves what the row has where the
        new value is None and the column cannot be null.
    :param strict: raise IngestError for the first row that cannot be taken; it otherwise goes to `rejects`.
    :param on_write: called with so many more rows, and how many there are when that is known.
    :param on_progress: called with the name of each rollup that is rebuilt.
    :raises IngestError: nothing was written. An iterator cannot be read again when the database asks for that.
    """
    is_started = False

    def records() -> Iterator[Record]:
        nonlocal is_started
        if is_started and iter(rows) is rows:
            raise IngestError(f"{name}: {NOT_REPEATABLE}")
        is_started = True
        for number, row in enumerate(rows, start=1):
            yield Record(number, row, tuple(row), list(row.values()))

    return import_records(db, table, records, length_hint(rows) or None, make_options(name, **options))


def import_records(
    db: Database,
    table: str,
    records: Callable[[], Iterable[Record | Batch]],
    total: int | None,
    options: Options,
    *,
    empty_is_unsaid: bool = False,
    is_escaped: bool = False,
) -> Report:
    """Write what a source yields into one table.

    :param records: starts to read the source; called again when the database asks to begin again.
    :param total: about how many rows there are, None when that is unknown.
    """
    columns = table_columns(db, table)
    options.mapped.check_targets(table, columns)
    converters = make_converters(
        table, columns, options.on_conflict == "update", empty_is_unsaid=empty_is_unsaid, is_escaped=is_escaped
    )

    def work(at: Transaction, is_bulk: bool) -> Report:
        report = Report(tables={table: TableCounts()})
        reject = RejectHandler(report, table, options.name, options.rejects, options.strict)
        uncounted = UncountedSessions() if options.uncounted is None else options.uncounted
        batcher = make_batcher(at, table, columns, converters, options, reject, uncounted)
        write_all(batcher, records(), options.on_write, total)
        if options.uncounted is None:
            report.tables[table].derived["event_count"] += uncounted.count(at, is_bulk=is_bulk)
        warn_of_no_sessions(at, report)
        return report

    return load(db, total, work, options.on_progress)


def make_converters(
    table: str,
    columns: Mapping[str, Column],
    is_update: bool,
    *,
    empty_is_unsaid: bool = False,
    is_escaped: bool = False,
) -> dict[str, Converter]:
    return {
        name: Converter(table, column, is_update=is_update, empty_is_unsaid=empty_is_unsaid, is_escaped=is_escaped)
        for name, column in columns.items()
    }


def make_batcher(
    at: Transaction,
    table: str,
    columns: Mapping[str, Column],
    converters: Mapping[str, Converter],
    options: Options,
    reject: RejectHandler,
    uncounted: UncountedSessions,
) -> Batcher:
    counts = reject.report.tables[table]
    writer = Writer(at, table, options.on_conflict, counts, reject, uncounted, required_columns(table, columns))
    return Batcher(table, columns, options.mapped, converters, writer, counts, reject)


def write_all(batcher: Batcher, records: Iterable[Record | Batch], on_write: OnWrite, total: int | None) -> None:
    """Write every row of a source."""
    for record in records:
        rest: Record | Batch | None = record
        while rest is not None:
            rest = batcher.add(rest)
            if batcher.is_full():
                on_write(batcher.rows, total)
                batcher.flush()
    if batcher.rows:
        on_write(batcher.rows, total)
    batcher.flush()
