"""Import CSV files with a header, separated by `,`, `;`, `|` or tabs."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import methodcaller
from typing import TYPE_CHECKING

from ..database import DERIVED_COLUMNS, Database
from .batch import MIN_COLUMNAR, Batch, Record
from .columns import ColumnMatch, check_repeated, check_required, find_table, table_columns
from .csv_header import Header, check_delimiter, check_encoding, read_header
from .report import Report
from .rows import RowOptions, import_records, make_options
from .source import MAX_LINE_BYTES, Source

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_COLUMNAR_LINES = 4_096  # maximum number of lines that are parsed together
MAX_ROW_LINES = 10_000  # maximum number of lines of a row, in case a quote is never closed


csv.field_size_limit(MAX_LINE_BYTES)  # a field can be as long as a line


def import_csv(
    db: Database,
    lines: Source | Iterable[bytes],
    *,
    table: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    **options: Unpack[RowOptions],
) -> Report:
    """Import a CSV file into a table. Columns are matched by name; see `import_rows`.

    An empty field is null. With `on_conflict="update"`, an empty field leaves the stored value unchanged. The field
    `""` is the empty string, as in PostgreSQL's COPY. But if the header begins with a quote, the program that wrote the
    file quotes every field, so `""` is null.

    A row is rejected if it has more or fewer fields than the header, or another encoding. A line with a quote that is
    never closed is rejected, and parsing continues with the next line.

    :param table: the table; None for the table whose columns match the header.
    :param delimiter: one character; None for the delimiter that splits the header into the most fields.
    :raises IngestError: the header lacks a required column, or repeats a column of the table.
    """
    delimiter, encoding = check_delimiter(delimiter), check_encoding(encoding)
    source = lines if isinstance(lines, Source) else Source(lines)
    if source.encoding is not None:
        encoding = "utf-8"  # the source converts the text to UTF-8
    header = read_header(source.sample(), encoding, delimiter)
    row_options = make_options(source.name, **options)
    if header is None:
        return Report(lines_read=0)
    mapped = row_options.mapped
    table = table or find_table(db, header.names, mapped, source.name)
    columns = table_columns(db, table)
    row_options.check_columns(table, columns)
    mapped.check_sources(header.names, source.name)
    check_required(table, ColumnMatch(table, columns, header.names, mapped).missing, header.names, source.name)
    check_repeated(columns, header.names, mapped, source.name)
    counts = LineCounts()
    report = import_records(
        db,
        table,
        lambda: read_records(source.batches(), header, encoding, counts),
        source.estimated_lines,
        row_options,
        empty_means_absent=True,
        is_escaped=table == "leads" and not DERIVED_COLUMNS.isdisjoint(header.names),
    )
    report.lines_read, report.empty_lines = counts.lines, counts.empty
    if any(reject.endswith(f"not {encoding.upper()}") for reject in report.rejects):
        report.warnings.append("use --encoding (cp1252 for files of Excel)")
    return report


class LineCounts:
    """The number of lines that were read after the header, and the number of empty lines among them."""

    lines = 0
    empty = 0


class _Lines:
    """An iterator over decoded lines. It stores the lines of the current row, so that they can be read again."""

    def __init__(self, batches: Iterator[list[bytes]], encoding: str) -> None:
        self.batches = batches
        self.encoding = encoding
        self.waiting: deque[bytes] = deque()
        self.number = 0  # line number of the line that was read last
        self.start_row()

    def start_row(self) -> None:
        self.row: list[bytes] = []
        self.size = 0
        self.is_undecodable = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.waiting:
            self.waiting.extend(next(self.batches))
        line = self.waiting.popleft()
        self.number += 1
        self.row.append(line)
        self.size += len(line)
        if self.size >= MAX_LINE_BYTES:
            raise csv.Error(f"longer than {MAX_LINE_BYTES:,} bytes")
        if len(self.row) > MAX_ROW_LINES:
            raise csv.Error(f"the row has more than {MAX_ROW_LINES:,} lines: a quote is probably not closed")
        try:
            return line.decode(self.encoding)
        except UnicodeDecodeError:
            self.is_undecodable = True  # the whole row is rejected
            return line.decode(self.encoding, "replace")

    def put_back(self) -> None:
        """Put back all lines of the row except the first, so that they are read again."""
        self.waiting.extendleft(reversed(self.row[1:]))
        self.number -= len(self.row) - 1

    def peek(self, maximum: int) -> list[bytes]:
        """Return at most `maximum` of the next lines without consuming them. Return an empty list at the end."""
        if not self.waiting:
            self.waiting.extend(next(self.batches, ()))
        return list(islice(self.waiting, maximum))

    def skip(self, lines: int) -> None:
        self.number += lines
        if lines == len(self.waiting):
            self.waiting.clear()
        else:
            for _ in range(lines):
                self.waiting.popleft()


def read_records(
    batches: Iterator[list[bytes]], header: Header, encoding: str, counts: LineCounts
) -> Iterator[Record | Batch]:
    """Yield the rows after the header. Consecutive lines that are each a complete row are yielded as batches."""
    counts.lines = counts.empty = 0
    lines = _Lines(batches, encoding)
    for _ in range(header.lines):
        next(lines, None)
    maximum = MAX_COLUMNAR_LINES
    while ahead := lines.peek(maximum):
        columns = _columns(ahead, header, encoding)
        if columns is not None:
            yield Batch(lines.number + 1, ahead, header.names, columns)
            lines.skip(len(ahead))
            maximum = min(maximum * 4, MAX_COLUMNAR_LINES)
        elif len(ahead) > MIN_COLUMNAR:
            # Try fewer lines, so that one unusual line does not cause many lines to be parsed one by one.
            maximum = len(ahead) // 4
        else:
            last = lines.number + len(ahead)
            while lines.number < last:
                record = _record(lines, header)
                if record is None:
                    counts.empty += 1
                else:
                    yield record
    counts.lines = max(lines.number - header.lines, 0)


def _columns(lines: list[bytes], header: Header, encoding: str) -> list[list[str | None]] | None:
    """Return the values by column if every line is a complete and valid row, otherwise None."""
    if sum(map(len, lines)) >= MAX_LINE_BYTES:
        return None
    text = map(methodcaller("decode", encoding), lines)
    try:
        rows = list(header.read(text))
    except (csv.Error, UnicodeDecodeError):
        return None
    if len(rows) != len(lines) or set(map(len, rows)) != {len(header.names)}:
        return None
    columns = [[value or None for value in column] if "" in column else [*column] for column in zip(*rows)]
    for index, line in enumerate(lines):
        if b'""' in line and "" in rows[index]:
            for column in header.empty_texts(line.decode(encoding)):
                columns[column][index] = ""
    return columns


def _record(lines: _Lines, header: Header) -> Record | None:
    """Return the next row, which can span several lines, or None for an empty line."""
    lines.start_row()
    fields: list[str] = []
    fault = None
    try:
        fields = next(header.read(lines))
    except csv.Error as error:
        # Python's message for a lone carriage return is replaced, because it is about the arguments of open().
        is_lone_cr = str(error).startswith("new-line character")
        fault = "a carriage return outside quotes" if is_lone_cr else str(error)
    number, first = lines.number - len(lines.row) + 1, lines.row[0]
    if fault is None and len(fields) != len(header.names):
        if len(fields) < 2 and not "".join(fields).strip():
            return None
        fault = f"{len(fields)} fields instead of {len(header.names)}"
    if fault is not None:
        lines.put_back()  # an unclosed quote may have consumed valid rows
        return Record(number, first, (), (), fault)
    raw = first if len(lines.row) == 1 else lines.row
    if lines.is_undecodable:
        return Record(number, raw, (), (), f"not {lines.encoding.upper()}")
    values: list[str | None] = [value or None for value in fields]
    if "" in fields and any(b'""' in line for line in lines.row):
        for index in header.empty_texts(b"".join(lines.row).decode(lines.encoding)):
            values[index] = ""
    return Record(number, raw, header.names, values)
