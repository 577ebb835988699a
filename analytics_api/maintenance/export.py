"""A whole table as text that `analytics-api import` reads back to the same rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from ..database import BASE_TABLES, REPLACED_TEXT_WARNING, Database
from ..errors import ExportError
from ..imports.convert import TIMESTAMP_COLUMNS
from ..imports.timestamps import (
    FIRST_TIMESTAMP,
    LAST_TIMESTAMP,
    MAX_PLAIN_TIMESTAMP,
    MIN_PLAIN_TIMESTAMP,
    format_timestamp,
)

log = logging.getLogger(__name__)

Format = Literal["ndjson", "csv"]

# What a field may hold bare: nothing that a reader of whichever dialect might stop or stumble at.
QUOTED = frozenset(",;|\t\r\n\"'")


def export(db: Database, table: str, format: Format = "ndjson") -> Iterator[str]:
    """Every row of a base table by its key, all as they are at one instant, in pieces of text; little memory is needed.

    NDJSON is an object a line. CSV is of RFC 4180 with a bare header of names; there null is nothing and the empty text
    is `""`. An instant that `import` would take for seconds, being nearer to 1970 than a number can tell, is ISO 8601.
    Columns that triggers keep are left out, since they are made anew. Nothing is defused for a spreadsheet.

    What `import` would not take as it is (an `enquiry_datetime` that is no date, a row of more than 16 MB, in CSV one
    of more than 10,000 lines) is written all the same; text that is no UTF-8 has U+FFFD, and the log counts it.
    Raises ExportError when there is no such table.
    """
    if table not in BASE_TABLES:
        raise ExportError(f"there is no table {table}; there are {', '.join(BASE_TABLES)}")
    columns = [column.name for column in db.columns(table)]
    write: Callable[[Sequence[Any]], str]
    if format == "csv":
        write = _csv
    else:
        names = [json.dumps(name) for name in columns]

        def write(row: Sequence[Any]) -> str:
            return "{" + ", ".join(f"{name}: {_json(value)}" for name, value in zip(names, row)) + "}\n"

    def pieces() -> Iterator[str]:
        instants = [place for place, name in enumerate(columns) if name in TIMESTAMP_COLUMNS]
        if format == "csv":
            yield _csv(columns)
        with db.snapshot() as at:
            for rows in at.batches(f"select {', '.join(columns)} from {table} order by {BASE_TABLES[table]}"):
                lines = []
                for row in rows:
                    values = list(row)
                    for place in instants:
                        values[place] = _instant(values[place])
                    lines.append(write(values))
                yield "".join(lines)
            if at.replaced_text:
                log.warning(REPLACED_TEXT_WARNING, table, at.replaced_text)

    return pieces()


def _instant(milliseconds: int | None) -> int | str | None:
    """Return the number where `import` takes it for milliseconds, else ISO 8601."""
    if milliseconds is None or MIN_PLAIN_TIMESTAMP <= milliseconds <= MAX_PLAIN_TIMESTAMP:
        return milliseconds
    return format_timestamp(milliseconds) if FIRST_TIMESTAMP <= milliseconds <= LAST_TIMESTAMP else milliseconds


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _csv(values: Sequence[object]) -> str:
    return ",".join(map(_field, values)) + "\r\n"


def _field(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    if text and QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'
