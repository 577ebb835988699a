"""Import rows into a base table (sessions, events, leads and so on): convert, collect and write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import length_hint
from typing import TYPE_CHECKING, Any, TypedDict

from ..database import Column, Database, OnConflict, Transaction, ignore_progress
from ..errors import IngestError
from ..values.timestamps import check_date_format
from .batch import Batch, Batcher, Record
from .columns import NameMap, check_column, required_columns, table_columns
from .convert import Converter
from .derive import SessionsToCheck
from .rejects import RejectHandler, Rejects
from .report import Report, TableCounts
from .source import NOT_REPEATABLE
from .write import Writer, load

if TYPE_CHECKING:
    from typing_extensions import Unpack

OnWrite = Callable[[int, int | None], object]


def ignore_write(rows: int, total: int | None) -> None:
    """Do nothing. This is the default `on_write` callback."""


@dataclass(frozen=True)
class Options:
    """The options of an import. They are the same for all formats.

    :param name: the name of the file in messages.
    :param mapped: mapping of column names in the file to column names of the table.
    :param map_values: for each column of the table, a mapping of values in the file to values of the column.
    :param date_format: the format of dates for `datetime.strptime`; None for the formats of `to_timestamp`.
    :param on_conflict: what to do if a row's key exists: "ignore" the row, "update" the existing row, or raise an
        "error".
    :param strict: whether to raise IngestError at the first invalid row, and write nothing.
    :param rejects: the file for invalid rows.
    :param sessions_to_check: collects the sessions whose events are counted after the last file; None to count them at
        the end of each file.
    :param on_write: called with the number of rows since the last call, and the total number if it is known.
    :param on_progress: called with the name of each counter that is rebuilt.
    """

    name: str = "the input"
    mapped: NameMap = field(default_factory=NameMap)
    map_values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    date_format: str | None = None
    on_conflict: OnConflict = "ignore"
    strict: bool = False
    rejects: Rejects = field(default_factory=Rejects)
    sessions_to_check: SessionsToCheck | None = None
    on_write: OnWrite = ignore_write
    on_progress: Callable[[str], object] = ignore_progress

    def __post_init__(self) -> None:
        if self.date_format is not None:
            check_date_format(self.date_format)

    def check_columns(self, table: str, columns: Mapping[str, Column]) -> None:
        """Raise IngestError if `mapped` or `map_values` has a column that the table does not have."""
        self.mapped.check_targets(table, columns)
        for name, values in self.map_values.items():
            check_column(f"--map-value {name}:{next(iter(values))}", name, table, columns)


class RowOptions(TypedDict, total=False):
    """Keyword arguments of the functions that import: the fields of Options, but `map` instead of `mapped`."""

    map: Mapping[str, str] | None
    map_values: Mapping[str, Mapping[str, str]]
    date_format: str | None
    on_conflict: OnConflict
    strict: bool
    rejects: Rejects | None
    sessions_to_check: SessionsToCheck | None
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
    """Import rows into a base table in one transaction, and return a report.

    Values are converted as in `imports.convert`. None becomes the column's default if there is one. An event without
    `event_id` gets an id computed from its content, so that importing it again does not insert it twice.

    :param rows: mappings of column names to values.
    :param map: mapping of column names in the rows to columns of the table, such as `{"session": "session_id"}`. An
        empty string ignores the column.
    :param map_values: for each column of the table, a mapping of values in the rows to values of the column, such as
        `{"status": {"Negotiation": "qualified"}}`.
    :param date_format: the format of dates that are text, for `datetime.strptime`. Without `%z`, the dates are in UTC.
    :param on_conflict: what to do if a row with the same key exists. If a new value is None and the column cannot be
        null, an update does not change the column.
    :param strict: whether to raise IngestError for the first invalid row. Otherwise, invalid rows are written to
        `rejects`.
    :param on_write: called with the number of rows since the last call, and the total number if it is known.
    :param on_progress: called with the name of each counter that is rebuilt.
    :raises IngestError: an error occurred, and nothing was written. If `rows` is an iterator, a conflict with another
        transaction is an error, because the rows cannot be read again to repeat the transaction.
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
    empty_means_absent: bool = False,
    is_escaped: bool = False,
) -> Report:
    """Import the records of a source into one table.

    :param records: returns an iterable of the records. The function is called again to repeat the transaction.
    :param total: approximate number of rows; None if it is unknown.
    """
    columns = table_columns(db, table)
    options.check_columns(table, columns)
    converters = make_converters(table, columns, options, empty_means_absent=empty_means_absent, is_escaped=is_escaped)

    def work(at: Transaction, is_bulk: bool) -> Report:
        report = Report(tables={table: TableCounts()})
        reject = RejectHandler(report, table, options.name, options.rejects, options.strict)
        sessions_to_check = SessionsToCheck() if options.sessions_to_check is None else options.sessions_to_check
        batcher = make_batcher(at, table, columns, converters, options, reject, sessions_to_check)
        write_all(batcher, records(), options.on_write, total)
        report.warnings += [*options.mapped.unused(), *unused_values(converters)]
        if options.sessions_to_check is None:
            report.tables[table].derived["event_count"] += sessions_to_check.count(at, is_bulk=is_bulk)
            report.warnings += sessions_to_check.warnings(at)
        return report

    return load(db, total, work, options.on_progress, options.rejects)


def make_converters(
    table: str,
    columns: Mapping[str, Column],
    options: Options,
    *,
    empty_means_absent: bool = False,
    is_escaped: bool = False,
) -> dict[str, Converter]:
    """Return the converter of each column.

    :raises IngestError: `options.map_values` maps to a value that is invalid for its column.
    """
    converters = {}
    for name, column in columns.items():
        try:
            converters[name] = Converter(
                table,
                column,
                is_update=options.on_conflict == "update",
                empty_means_absent=empty_means_absent,
                is_escaped=is_escaped,
                date_format=options.date_format,
                value_map=options.map_values.get(name),
            )
        except ValueError as error:
            raise IngestError(f"--map-value {name}:{error}") from None
    return converters


def unused_values(converters: Mapping[str, Converter]) -> list[str]:
    """Return a warning for each value of `map_values` that no valid row has.

    The conversion of an invalid row ends at its first invalid value, so its other values are unknown.
    """
    return [
        f"--map-value {name}:{value}: no valid row has this value"
        for name, converter in converters.items()
        for value in sorted(converter.unused_values)
    ]


def make_batcher(
    at: Transaction,
    table: str,
    columns: Mapping[str, Column],
    converters: Mapping[str, Converter],
    options: Options,
    reject: RejectHandler,
    sessions_to_check: SessionsToCheck,
) -> Batcher:
    counts = reject.report.tables[table]
    writer = Writer(at, table, options.on_conflict, counts, reject, sessions_to_check, required_columns(table, columns))
    return Batcher(table, columns, options.mapped, converters, writer, counts, reject)


def write_all(batcher: Batcher, records: Iterable[Record | Batch], on_write: OnWrite, total: int | None) -> None:
    """Write all rows of a source."""
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
