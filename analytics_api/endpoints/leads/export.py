"""Export of all matching leads as CSV or NDJSON."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, Literal

from ...context import Context
from ...http.downloads import Stream
from ...http.parameters import MAX_INT64
from .formulas import escape_formula
from .search import COLUMNS, PAGES, prepare

Format = Literal["csv", "ndjson"]
FORMATS: Final[dict[Format, str]] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def export_leads(ctx: Context, *, format: Format, q: str | None, status: str | None, sort: str) -> Stream:
    """Return all leads that match, as CSV (RFC 4180) or as one JSON object per line, from one database snapshot.

    In CSV every field is quoted, except null, which is an empty field. Text that a spreadsheet would evaluate as a
    formula is escaped.
    """
    return Stream(FORMATS[format], f"leads.{format}", export_chunks(ctx, format=format, q=q, status=status, sort=sort))


def export_chunks(
    ctx: Context, *, format: Format, q: str | None, status: str | None, sort: str
) -> Generator[str, None, None]:
    """Generate the text of the export. The database snapshot stays open until the generator is exhausted or closed."""
    encode = _csv_lines if format == "csv" else _ndjson_lines
    with ctx.db.snapshot() as at:
        if format == "csv":
            yield _csv_lines([COLUMNS])
        filter_, params = prepare(at, q, status)
        for leads in at.batches(PAGES[filter_, sort], **params, limit=MAX_INT64, offset=0):
            yield encode(leads)


def _csv_lines(leads: Iterable[Sequence[Any]]) -> str:
    return "".join(",".join(map(_csv_field, lead)) + "\r\n" for lead in leads)


def _csv_field(value: object) -> str:
    """Return a CSV field. Every value except null is quoted, for programs that expect another separator."""
    if value is None:
        return ""
    text = escape_formula(value).replace('"', '""') if isinstance(value, str) else str(value)
    return f'"{text}"'


def _ndjson_lines(leads: Iterable[Sequence[Any]]) -> str:
    return "".join(json.dumps(dict(zip(COLUMNS, lead)), ensure_ascii=False) + "\n" for lead in leads)
