"""One JSON object a line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import NoReturn

from ..database import Database, OnConflict, ignore_progress
from .rejects import Rejects
from .report import Report
from .rows import Batch, Record, import_records
from .source import LONGEST, Source


def import_ndjson(
    db: Database,
    lines: Source | Iterable[bytes],
    *,
    table: str,
    map: Mapping[str, str] | None = None,
    on_conflict: OnConflict = "ignore",
    strict: bool = False,
    rejects: Rejects | None = None,
    written: Callable[[int, int | None], object] = lambda rows, of: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> Report:
    """Write a JSON object of each line into the table, its keys by column name; see `import_rows`.

    With `on_conflict="update"` a row takes the values of the keys that are given, and keeps the others.
    """
    source = lines if isinstance(lines, Source) else Source(lines)
    counted = Counted()
    report = import_records(
        db,
        table,
        lambda: records(source.batches(), counted),
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


class Counted:
    """How many lines there were, and how many with nothing in them."""

    lines = 0
    empty = 0


def records(batches: Iterable[list[bytes]], counted: Counted) -> Iterator[Record | Batch]:
    """The objects; a line that is none is a record with a fault."""
    counted.lines = counted.empty = 0
    for lines in batches:
        end = 0
        for names, group in groupby(map(_plain, lines), key=_names):
            objects = list(group)
            begin, end = end, end + len(objects)
            first = counted.lines + begin + 1
            if names:
                yield Batch(first, lines[begin:end], names, list(zip(*map(dict.values, objects))))
                continue
            for number, line in enumerate(lines[begin:end], start=first):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield _record(number, line)
                else:
                    counted.empty += 1
        counted.lines += len(lines)


def _plain(line: bytes) -> dict[str, object]:
    """The object of a line that is nothing but one, as nearly every line is; an empty one for others."""
    try:
        text = line.decode()
        row, end = OBJECT(text)
    except (ValueError, RecursionError):
        return {}
    plain = type(row) is dict and len(line) < LONGEST and not text[end:].strip(BLANKS)
    return row if plain else {}


def _names(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(row)


def _record(number: int, line: bytes) -> Record:
    if len(line) >= LONGEST:
        return Record(number, line, (), (), f"longer than {LONGEST:,} bytes")
    try:
        row = json.loads(line.decode(), parse_constant=_refused)
    except UnicodeDecodeError:
        return Record(number, line, (), (), "not UTF-8")
    except (ValueError, RecursionError) as error:
        return Record(number, line, (), (), f"not JSON: {error}")
    if isinstance(row, dict):
        return Record(number, line, tuple(row), list(row.values()))
    return Record(number, line, (), (), "not a JSON object")


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is none of its values")


OBJECT = json.JSONDecoder(parse_constant=_refused).raw_decode
BLANKS = " \t\n\r"  # what JSON takes for none of its own
