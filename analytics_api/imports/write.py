"""Converted rows into the database; those that it refuses are found by bisection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from ..database import BASE_TABLES, Database, OnConflict, Transaction
from ..errors import RowError
from .convert import KEEP, Cell
from .derive import EventCounts
from .event_ids import EventIds
from .rejects import Raw, RejectHandler
from .report import TableCounts

T = TypeVar("T")

BULK_SHARE = 0.2  # below this share of new rows the triggers cost less than rebuilding every rollup
MAX_CHEAP_REBUILD = 50_000  # rows; where the number of new ones is unknown, rebuilding so many costs next to nothing

ROWS = """
select sessions + events as total
from rollup_totals
"""


def load(
    db: Database, rows: int | None, work: Callable[[Transaction, bool], T], on_progress: Callable[[str], object]
) -> T:
    """Run `work` in the cheaper way for so many rows, and tell it whether that is the bulk way."""
    stored = db.rows(ROWS)[0]["total"]
    if (stored <= MAX_CHEAP_REBUILD) if rows is None else (rows > BULK_SHARE * stored):
        return db.bulk(lambda at: work(at, True), on_progress=on_progress)
    return db.write(lambda at: work(at, False))


class Rows:
    """Converted rows, the line of each, and the row as it came."""

    def __init__(
        self,
        values: list[Sequence[Cell]] | None = None,
        lines: list[int] | None = None,
        raws: list[Raw] | None = None,
    ) -> None:
        self.values = values or []
        self.lines = lines or []
        self.raws = raws or []

    def part(self, begin: int, end: int | None = None) -> Rows:
        return Rows(self.values[begin:end], self.lines[begin:end], self.raws[begin:end])


class Writer:
    """Writes the rows of one table."""

    def __init__(
        self,
        at: Transaction,
        table: str,
        on_conflict: OnConflict,
        counts: TableCounts,
        reject: RejectHandler,
        event_counts: EventCounts,
    ) -> None:
        self.at = at
        self.table = table
        self.on_conflict = on_conflict
        self.counts = counts
        self.reject = reject
        self.event_counts = event_counts
        self.event_ids = EventIds()

    def write(self, columns: Sequence[str], rows: Rows) -> None:
        """Write rows that have these columns."""
        if self.table == "events":
            self.reject.report.add_event_types(map(itemgetter(columns.index("event_type")), rows.values))
        if self.on_conflict == "update":
            for said_columns, said_rows in _without_kept(BASE_TABLES[self.table], columns, rows):
                self._insert(said_columns, said_rows)
        else:
            self._insert(columns, rows)
        if self.table == "sessions" and "event_count" not in columns:
            self.event_counts.add(columns, rows.values)

    def _insert(self, columns: Sequence[str], rows: Rows) -> None:
        values: Sequence[Sequence[Any]] = rows.values
        try:
            self.counts.written += self.at.insert(self.table, columns, values, on_conflict=self.on_conflict)
        except RowError as error:
            if len(values) == 1:
                self.reject(rows.lines[0], rows.raws[0], str(error))
                return
            half = len(values) // 2
            self._insert(columns, rows.part(0, half))
            self._insert(columns, rows.part(half))


def _without_kept(key: str, columns: Sequence[str], rows: Rows) -> Iterator[tuple[Sequence[str], Rows]]:
    """Yield the rows by the columns that they have a value for. Rows with one key become one, with the last values."""
    if not any(KEEP in row for row in rows.values):
        yield columns, rows
        return
    groups: dict[tuple[bool, ...], Rows] = {}
    for values, line, raw in _merged(columns.index(key), rows):
        said = tuple(value is not KEEP for value in values)
        group = groups.setdefault(said, Rows())
        group.values.append([value for value in values if value is not KEEP])
        group.lines.append(line)
        group.raws.append(raw)
    for said, group in groups.items():
        yield [column for column, is_said in zip(columns, said) if is_said], group


def _merged(key: int, rows: Rows) -> Iterable[tuple[list[Cell], int, Raw]]:
    """Return a row for each key: what the last row says, and what it does not say from those before."""
    merged: dict[Cell, tuple[list[Cell], int, Raw]] = {}
    for row, line, raw in zip(rows.values, rows.lines, rows.raws):
        values = list(row)
        if row[key] in merged:
            values = [old if new is KEEP else new for old, new in zip(merged[row[key]][0], row)]
        merged[row[key]] = values, line, raw
    return merged.values()
