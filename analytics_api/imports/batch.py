"""Convert the rows of a source, and collect them until there are enough to write."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, count, repeat
from operator import is_not
from typing import Any, NamedTuple

from ..database import Column
from ..errors import IngestError
from .columns import ColumnMatch, NameMap
from .convert import Cell, Converter
from .derive import Derivation
from .rejects import Raw, RejectHandler
from .report import TableCounts
from .write import Rows, Writer

MAX_BATCH_ROWS = 10_000
MAX_BATCH_BYTES = 1 << 24
MIN_COLUMNAR = 16  # larger batches are converted by column; for other batches, this is not faster
MAX_LAYOUTS = 1_000  # different lists of column names; only a malicious file has more
CONVERSION_ERRORS = (ValueError, OverflowError, RecursionError)


class Record(NamedTuple):
    """A row from a source. `values` are in the order of `names`. `fault` is the reason why the row is invalid."""

    line: int
    raw: Raw
    names: tuple[str, ...]
    values: Sequence[object]
    fault: str | None = None


class Batch(NamedTuple):
    """Consecutive valid rows with the same column names."""

    line: int  # line number of the first row
    raws: Sequence[Raw]
    names: tuple[str, ...]
    columns: Sequence[Sequence[Any]]  # the values by column, in the order of `names`
    size: int | None = None  # bytes; None for the total size of `raws`
    is_rows: bool = False  # whether each item of `raws` is a tuple with the values of the row

    def part(self, begin: int, end: int | None = None) -> Batch:
        columns = [column[begin:end] for column in self.columns]
        raws = self.raws[begin:end]
        size = None if self.size is None else self.size * len(raws) // len(self.raws)
        return Batch(self.line + begin, raws, self.names, columns, size, self.is_rows)

    def records(self) -> Iterator[Record]:
        return map(Record, count(self.line), self.raws, repeat(self.names), zip(*self.columns))


class Layout:
    """The conversion of rows with the same column names, and the converted rows that are not written yet."""

    def __init__(self, match: ColumnMatch, converters: Mapping[str, Converter], derivation: Derivation) -> None:
        self.match = match
        self.converters = [(index, converters[column]) for column, index in match.indexes.items()]
        self.derivation = derivation
        self.columns = [*match.indexes, *derivation.columns]
        self.waiting = Rows()

    def convert_row(self, values: Sequence[object]) -> Sequence[Cell]:
        """Convert the values to a row of the table.

        :raises ValueError: a value is invalid. The message has the column and the reason.
        """
        row: list[Cell] = []
        for column, (index, converter) in zip(self.columns, self.converters):
            try:
                row.append(converter.convert(values[index]))
            except CONVERSION_ERRORS as error:
                raise ValueError(f"{column}: {error}") from None
        return self.derivation.extend([row])[0]

    def convert_batch(self, batch: Batch, size: int) -> Sequence[Sequence[Cell]] | None:
        """Convert a batch to rows of the table, or return None if a row cannot be converted.

        :param size: size of the batch in bytes. No string in the batch is longer, so in a small batch, the lengths of
            the strings are not checked.
        """
        raw_columns = [batch.columns[index] for index, _ in self.converters]
        try:
            columns = [
                converter.convert_all(values, size) for values, (_, converter) in zip(raw_columns, self.converters)
            ]
        except CONVERSION_ERRORS:
            return None
        rows: Any = batch.raws
        if not batch.is_rows or len(raw_columns) != len(batch.columns) or any(map(is_not, columns, raw_columns)):
            rows = list(zip(*columns))
        return self.derivation.extend(rows)


class Batcher:
    """Convert rows, and collect them until there are enough to write.

    Rows with different column names are collected separately, because an insert statement has one list of columns.
    """

    def __init__(
        self,
        table: str,
        columns: Mapping[str, Column],
        mapped: NameMap,
        converters: Mapping[str, Converter],
        writer: Writer,
        counts: TableCounts,
        reject: RejectHandler,
    ) -> None:
        self.table = table
        self.columns = columns
        self.mapped = mapped
        self.converters = converters
        self.writer = writer
        self.counts = counts
        self.reject = reject
        self.layouts: dict[tuple[str, ...], Layout] = {}
        self.rows = 0
        self.size = 0

    def is_full(self) -> bool:
        return self.rows >= MAX_BATCH_ROWS or self.size >= MAX_BATCH_BYTES

    def add(self, item: Record | Batch) -> Batch | None:
        """Add a row or a batch. If only a part of the batch fits, return the rest."""
        if isinstance(item, Record):
            self._add_record(item)
            return None
        room = MAX_BATCH_ROWS - self.rows
        if item.size is None:
            sizes = list(accumulate(map(len, item.raws), initial=self.size))
            room = max(min(room, bisect_left(sizes, MAX_BATCH_BYTES)), 1)
        if room >= len(item.raws):
            self._add_batch(item)
            return None
        self._add_batch(item.part(0, room))
        return item.part(room)

    def flush(self) -> None:
        """Write the collected rows."""
        for layout in self.layouts.values():
            if layout.waiting.values:
                self.writer.write(layout.columns, layout.waiting)
                layout.waiting = Rows()
        if len(self.layouts) > MAX_LAYOUTS:
            self.layouts.clear()
        self.rows = self.size = 0

    def _add_record(self, record: Record) -> None:
        line, raw, names, values, fault = record
        self.rows += 1
        self.counts.read += 1
        self.size += size_of(raw)
        if fault is None:
            layout = self.layouts.get(names) or self._layout(names)
            missing = layout.match.missing
            if not missing:
                try:
                    layout.waiting.values.append(layout.convert_row(values))
                    layout.waiting.lines.append(line)
                    layout.waiting.raws.append(raw)
                    return
                except ValueError as error:
                    fault = str(error)
            else:
                fault = f"{missing[0]} is missing"
        self.reject(line, raw, fault)

    def _add_batch(self, batch: Batch) -> None:
        """Add each row of a batch. If the batch has invalid rows, find them by bisection."""
        if len(batch.raws) <= MIN_COLUMNAR:
            for record in batch.records():
                self._add_record(record)
            return
        layout = self.layouts.get(batch.names) or self._layout(batch.names)
        size = sum(map(len, batch.raws)) if batch.size is None else batch.size
        rows = None if layout.match.missing else layout.convert_batch(batch, size)
        if rows is None:
            half = len(batch.raws) // 2
            self._add_batch(batch.part(0, half))
            self._add_batch(batch.part(half))
            return
        self.rows += len(rows)
        self.counts.read += len(rows)
        self.size += size
        layout.waiting.values += rows
        layout.waiting.lines += range(batch.line, batch.line + len(rows))
        layout.waiting.raws += batch.raws

    def _layout(self, names: tuple[str, ...]) -> Layout:
        try:
            match = ColumnMatch(self.table, self.columns, names, self.mapped)
        except IngestError as error:
            raise IngestError(f"{self.reject.name}: {error}") from None
        derivation = Derivation(self.table, list(match.indexes), self.counts, self.writer.event_ids)
        layout = self.layouts[names] = Layout(match, self.converters, derivation)
        self.reject.report.add_ignored_columns(self.table, match.ignored)
        return layout


def size_of(raw: Raw) -> int:
    """Return the approximate size of a row in bytes."""
    if isinstance(raw, bytes):
        return len(raw)
    parts = raw.values() if isinstance(raw, Mapping) else raw
    return sum(len(part) if isinstance(part, (str, bytes)) else 8 for part in parts)
