"""Export a table as text from which `analytics-api import` can restore the same rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from ..database import BASE_TABLES, REPLACED_TEXT_WARNING, Database
from ..errors import ExportError
from ..values.timestamps import (
    FIRST_TIMESTAMP,
    LAST_TIMESTAMP,
    MAX_PLAIN_TIMESTAMP,
    MIN_PLAIN_TIMESTAMP,
    TIMESTAMP_COLUMNS,
    format_timestamp,
)

log = logging.getLogger(__name__)

Format = Literal["ndjson", "csv"]

# Characters with a special meaning in some CSV dialects. A field that contains one of them is quoted.
SPECIAL = frozenset(",;|\t\r\n\"'")


def export(db: Database, table: str, format: Format = "ndjson") -> Iterator[str]:
    """Generate the text of a base table from one snapshot, in the order of the primary key.

    NDJSON has one object per line. CSV follows RFC 4180 and has a header; null is an empty field, and the empty string
    is `""`. Derived columns are omitted. A timestamp that `import` would interpret as seconds is written as ISO 8601.
    Formulas are not escaped.

    `import` does not accept every exported value: it rejects a lead with an id below 1 or an
    `enquiry_datetime` that is not a date, a row of more than 16 MB, and in CSV a row of more than 10,000 lines. Invalid
    UTF-8 is replaced by U+FFFD, and the log says how often.

    :raises ExportError: the table does not exist.
    """
    if table not in BASE_TABLES:
        raise ExportError(f"the table {table} does not exist; use one of {', '.join(BASE_TABLES)}")
    return _chunks(db, table, format)


def _chunks(db: Database, table: str, format: Format) -> Iterator[str]:
    columns = [column.name for column in db.columns(table)]
    encode = _csv_line if format == "csv" else partial(_json_line, [json.dumps(name) for name in columns])
    timestamps = [index for index, name in enumerate(columns) if name in TIMESTAMP_COLUMNS]
    if format == "csv":
        yield _csv_line(columns)
    with db.snapshot() as at:
        for rows in at.batches(f"select {', '.join(columns)} from {table} order by {BASE_TABLES[table]}"):
            lines = []
            for row in rows:
                values = list(row)
                for index in timestamps:
                    values[index] = _timestamp(values[index])
                lines.append(encode(values))
            yield "".join(lines)
        if at.replaced_text:
            log.warning(REPLACED_TEXT_WARNING, table, at.replaced_text)


def _timestamp(milliseconds: int | None) -> int | str | None:
    """Return the timestamp as ISO 8601 if `import` would not interpret the number as milliseconds.

    Otherwise, and outside the years 1 to 9999, return the number.
    """
    if milliseconds is None or MIN_PLAIN_TIMESTAMP <= milliseconds <= MAX_PLAIN_TIMESTAMP:
        return milliseconds
    return format_timestamp(milliseconds) if FIRST_TIMESTAMP <= milliseconds <= LAST_TIMESTAMP else milliseconds


def _json_line(names: Sequence[str], values: Sequence[object]) -> str:
    fields = (f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in zip(names, values))
    return "{" + ", ".join(fields) + "}\n"


def _csv_line(values: Sequence[object]) -> str:
    return ",".join(map(_csv_field, values)) + "\r\n"


def _csv_field(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    if text and SPECIAL.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'
