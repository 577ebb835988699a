"""CSV and its relatives, with `,` `;` `|` or a tab between the fields and a header of names."""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from operator import methodcaller

from ..database import BASE_TABLES, Database, OnConflict, ignore_progress
from ..errors import IngestError
from .ndjson import Counted
from .rejects import Rejects
from .report import Report
from .rows import FEW, Batch, Record, columns_of, import_records, needed
from .source import LONGEST, Source

DELIMITERS = ",;\t|"
MANY = 4_096  # lines, read at once where each is a row
MOST_LINES = 10_000  # of one row; a quote that nobody closed goes on to the end


def import_csv(
    db: Database,
    lines: Source | Iterable[bytes],
    *,
    table: str | None = None,
    map: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    on_conflict: OnConflict = "ignore",
    strict: bool = False,
    rejects: Rejects | None = None,
    written: Callable[[int, int | None], object] = lambda rows, of: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> Report:
    """Write the rows of a CSV file, its header's names by column name, into a table; see `import_rows`.

    The table, left out, is the one whose columns the header has; the delimiter the one that makes most of the header.
    A field with nothing in it is null. Where the header is not in quotes, `""` is the empty text (so writes PostgreSQL
    too); a file that quotes even its header quotes everything, and there it is null as well.

    A row with more or fewer fields than the header, or that is not of the encoding, is refused; and so is a line with a
    quote that never ends, while those behind it are read. Raises IngestError for a header without a column that a row
    can't be without.
    """
    source = lines if isinstance(lines, Source) else Source(lines)
    head = header(source.sample(), encoding, delimiter)
    if head is None:
        return Report(lines_read=0)
    table = table or table_of(db, head.names, map, source.name)
    ours = {theirs.strip().lower(): column for theirs, column in (map or {}).items()}
    found = {name.strip().lower() for name in head.names}
    for theirs in ours:
        if theirs not in found:
            raise IngestError(f"{source.name}: there is no column {theirs}; there are {', '.join(head.names)}")
    found |= set(ours.values())
    for column in needed(table, columns_of(db, table)):
        if column not in found:
            raise IngestError(
                f"{source.name}: there is no column {column}, which a row of {table} can't be without; "
                "if it goes by another name, say so"
            )
    counted = Counted()
    report = import_records(
        db,
        table,
        lambda: records(source.batches(), head, encoding, counted),
        rows=source.rows,
        name=source.name,
        map=map,
        on_conflict=on_conflict,
        strict=strict,
        rejects=rejects,
        written=written,
        on_progress=on_progress,
    )
    report.lines_read, report.empty = counted.lines, counted.empty
    return report


class Header:
    """The names in the first row that is one, how many lines are before its end, and how its file is written."""

    def __init__(self, names: tuple[str, ...], lines: int, delimiter: str, quoted: bool) -> None:
        self.names = names
        self.lines = lines
        self.delimiter = delimiter
        self.quoted = quoted
        mark = re.escape(delimiter)
        self.field = re.compile(rf'("(?:[^"]|"")*"|[^{mark}]*?)(?:{mark}|\r?\n?\Z)')

    def empty_texts(self, row: str) -> list[int]:
        """Where in a row there is the empty text, and not nothing."""
        fields = zip(range(len(self.names)), self.field.finditer(row))
        return [] if self.quoted else [place for place, found in fields if found.group(1) == '""']


def header(sample: list[bytes], encoding: str = "utf-8", delimiter: str | None = None) -> Header | None:
    """What the first lines say of the file; None when there is nothing in them."""
    lines = 0
    while lines < len(sample) and not sample[lines].removeprefix(codecs.BOM_UTF8).strip():
        lines += 1
    if lines == len(sample):
        return None
    first = sample[lines].removeprefix(codecs.BOM_UTF8)
    text = [line.decode(encoding, "replace") for line in [first, *sample[lines + 1 : lines + 10]]]
    rows = {}
    for mark in delimiter or DELIMITERS:
        reader = csv.reader(text, delimiter=mark)
        try:
            rows[mark] = next(reader), reader.line_num
        except csv.Error:
            continue
    if not rows:
        return None
    mark = max(rows, key=lambda mark: len(rows[mark][0]))
    names, length = rows[mark]
    return Header(tuple(name.strip() for name in names), lines + length, mark, first.startswith(b'"'))


def table_of(db: Database, names: Iterable[str], map: Mapping[str, str] | None, file: str) -> str:
    """The table that has these columns; IngestError when none has, or more than one."""
    given = {name.strip().lower() for name in names}
    given |= {column.strip().lower() for theirs, column in (map or {}).items() if theirs.strip().lower() in given}
    tables = [table for table in BASE_TABLES if given.issuperset(needed(table, columns_of(db, table)))]
    if len(tables) != 1:
        raise IngestError(f"{file}: its columns are not those of one table; say which of {', '.join(BASE_TABLES)}")
    return tables[0]


class _Lines:
    """Lines as text, counted. Those of the row that is being read are remembered, and can be given back."""

    def __init__(self, batches: Iterator[list[bytes]], encoding: str) -> None:
        self.batches = batches
        self.encoding = encoding
        self.coming: deque[bytes] = deque()
        self.number = 0  # of the one that was given last
        self.begin()

    def begin(self) -> None:
        """What comes is a new row."""
        self.row: list[bytes] = []
        self.size = 0
        self.unreadable = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.coming:
            self.coming.extend(next(self.batches))
        line = self.coming.popleft()
        self.number += 1
        self.row.append(line)
        self.size += len(line)
        if self.size >= LONGEST:
            raise csv.Error(f"longer than {LONGEST:,} bytes")
        if len(self.row) > MOST_LINES:
            raise csv.Error("a quote is never closed")
        try:
            return line.decode(self.encoding)
        except UnicodeDecodeError:
            self.unreadable = True  # to be said of the row as a whole
            return line.decode(self.encoding, "replace")

    def give_back(self) -> None:
        """The lines of the row but the first will come again."""
        self.coming.extendleft(reversed(self.row[1:]))
        self.number -= len(self.row) - 1

    def ahead(self, most: int) -> list[bytes]:
        """Up to so many of the lines that come; none at the end."""
        if not self.coming:
            self.coming.extend(next(self.batches, ()))
        return list(islice(self.coming, most))

    def skip(self, lines: int) -> None:
        """So many that come are done with."""
        self.number += lines
        if lines == len(self.coming):
            self.coming.clear()
        else:
            for _ in range(lines):
                self.coming.popleft()


def records(batches: Iterator[list[bytes]], head: Header, encoding: str, counted: Counted) -> Iterator[Record | Batch]:
    """The rows behind the header; what is none is a record with a fault."""
    counted.empty = 0
    # there is one for the whole process, and a page of JSON in a field is over what it begins with
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    given = _Lines(batches, encoding)
    for _ in range(head.lines):
        next(given, None)
    most = MANY
    while lines := given.ahead(most):
        columns = _columns(lines, head, encoding)
        if columns is not None:
            yield Batch(given.number + 1, lines, head.names, columns)
            given.skip(len(lines))
            most = min(most * 4, MANY)
        elif len(lines) > FEW:
            most = len(lines) // 4  # what is odd about one of them shall not slow down the others
        else:
            last = given.number + len(lines)
            while given.number < last:
                record = _record(given, head)
                if record is None:
                    counted.empty += 1
                else:
                    yield record
    counted.lines = given.number


def _columns(lines: list[bytes], head: Header, encoding: str) -> list[list[str | None]] | None:
    """The values by column, when every line is a row, as it mostly is, and nothing is wrong with any of them."""
    if sum(map(len, lines)) >= LONGEST:
        return None
    text = map(methodcaller("decode", encoding), lines)
    try:
        rows = list(csv.reader(text, delimiter=head.delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    if len(rows) != len(lines) or set(map(len, rows)) != {len(head.names)}:
        return None
    columns = [[value or None for value in column] if "" in column else [*column] for column in zip(*rows)]
    for place, line in enumerate(lines):
        if b'""' in line and "" in rows[place]:
            for column in head.empty_texts(line.decode(encoding)):
                columns[column][place] = ""
    return columns


def _record(given: _Lines, head: Header) -> Record | None:
    """The row that comes, maybe on several lines; None for a line with nothing in it."""
    given.begin()
    fields: list[str] = []
    fault = None
    try:
        fields = next(csv.reader(given, delimiter=head.delimiter, strict=True))
    except csv.Error as error:
        fault = str(error)
    number, first = given.number - len(given.row) + 1, given.row[0]
    if fault is None and len(fields) != len(head.names):
        if len(fields) < 2 and not "".join(fields).strip():
            return None
        fault = f"{len(fields)} fields instead of {len(head.names)}"
    if fault is not None:
        given.give_back()  # a quote went on over lines that may be rows of their own
        return Record(number, first, (), (), fault)
    raw = first if len(given.row) == 1 else given.row
    if given.unreadable:
        return Record(number, raw, (), (), f"not {given.encoding.upper()}")
    values: list[str | None] = [value or None for value in fields]
    if "" in fields and any(b'""' in line for line in given.row):
        for place in head.empty_texts(b"".join(given.row).decode(given.encoding)):
            values[place] = ""
    return Record(number, raw, head.names, values)
