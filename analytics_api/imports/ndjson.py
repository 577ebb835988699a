"""Import NDJSON: one JSON object per line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, NoReturn

from ..database import Database
from .batch import Batch, Record
from .csv_file import LineCounts
from .report import Report
from .rows import RowOptions, import_records, make_options
from .source import MAX_LINE_BYTES, Source

if TYPE_CHECKING:
    from typing_extensions import Unpack

JSON_WHITESPACE = " \t\n\r"


def import_ndjson(
    db: Database, lines: Source | Iterable[bytes], *, table: str, **options: Unpack[RowOptions]
) -> Report:
    """Import the JSON object of each line into the table. Keys are matched with columns by name; see `import_rows`.

    With `on_conflict="update"`, only the columns whose keys are in the object are updated.
    """
    source = lines if isinstance(lines, Source) else Source(lines)
    counts = LineCounts()
    report = import_records(
        db,
        table,
        lambda: read_records(source.batches(), counts),
        source.estimated_lines,
        make_options(source.name, **options),
    )
    report.lines_read, report.empty_lines = counts.lines, counts.empty
    return report


def read_records(batches: Iterable[list[bytes]], counts: LineCounts) -> Iterator[Record | Batch]:
    """Yield the JSON objects. Consecutive objects with the same keys are yielded as one batch.

    A line that is not a JSON object is yielded as a record with a fault.
    """
    counts.lines = counts.empty = 0
    for lines in batches:
        end = 0
        for names, group in groupby(map(_plain_object, lines), key=_names):
            objects = list(group)
            begin, end = end, end + len(objects)
            first = counts.lines + begin + 1
            if names:
                yield Batch(first, lines[begin:end], names, list(zip(*map(dict.values, objects))))
                continue
            for number, line in enumerate(lines[begin:end], start=first):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield _record(number, line)
                else:
                    counts.empty += 1
        counts.lines += len(lines)


def _plain_object(line: bytes) -> dict[str, object]:
    """Parse a line that is a JSON object. Return an empty object if the line must be parsed by _record()."""
    try:
        text = line.decode()
        row, end = DECODE_OBJECT(text)
    except (ValueError, RecursionError):
        return {}
    is_plain = type(row) is dict and len(line) < MAX_LINE_BYTES and not text[end:].strip(JSON_WHITESPACE)
    return row if is_plain else {}


def _names(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(row)


def _record(number: int, line: bytes) -> Record:
    if len(line) >= MAX_LINE_BYTES:
        return Record(number, line, (), (), f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        row = json.loads(line.decode(), parse_constant=_reject_constant)
    except UnicodeDecodeError:
        return Record(number, line, (), (), "not UTF-8")
    except (ValueError, RecursionError) as error:
        return Record(number, line, (), (), f"not JSON: {error}")
    if isinstance(row, dict):
        return Record(number, line, tuple(row), list(row.values()))
    return Record(number, line, (), (), "not a JSON object")


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a value of JSON")


DECODE_OBJECT = json.JSONDecoder(parse_constant=_reject_constant).raw_decode
