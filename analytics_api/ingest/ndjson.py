"""One JSON object a line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

from ..database import Database, Existing, unheard
from .rejects import Rejects
from .report import Report
from .rows import Record, import_records
from .source import LONGEST, Source


def import_ndjson(
    db: Database,
    lines: Source | Iterable[bytes],
    *,
    table: str,
    map: Mapping[str, str] | None = None,
    existing: Existing = "keep",
    strict: bool = False,
    rejects: Rejects | None = None,
    written: Callable[[int, int | None], object] = lambda rows, of: None,
    told: Callable[[str], object] = unheard,
) -> Report:
    """Write a JSON object of each line into the table, its keys by column name; see `import_rows`.

    With `existing="update"` a row takes the values of the keys that are given, and keeps the others.
    """
    source = lines if isinstance(lines, Source) else Source(lines)
    counted = Counted()
    report = import_records(
        db,
        table,
        lambda: records(source, counted),
        rows=source.rows,
        name=source.name,
        map=map,
        existing=existing,
        strict=strict,
        rejects=rejects,
        written=written,
        told=told,
    )
    report.lines_read, report.empty = counted.lines, counted.empty
    return report


class Counted:
    """How many lines there were, and how many with nothing in them."""

    lines = 0
    empty = 0


def records(lines: Iterable[bytes], counted: Counted) -> Iterator[Record]:
    """The objects; a line that is none is a record with a fault."""
    counted.lines = counted.empty = 0
    for number, line in enumerate(lines, start=1):
        counted.lines = number
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            counted.empty += 1
            continue
        if len(line) >= LONGEST:
            yield Record(number, line, (), (), f"longer than {LONGEST:,} bytes")
            continue
        try:
            row = json.loads(line.decode(), parse_constant=_refused)
        except UnicodeDecodeError:
            yield Record(number, line, (), (), "not UTF-8")
        except (ValueError, RecursionError) as error:
            yield Record(number, line, (), (), f"not JSON: {error}")
        else:
            if isinstance(row, dict):
                yield Record(number, line, tuple(row), list(row.values()))
            else:
                yield Record(number, line, (), (), "not a JSON object")


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is none of its values")
