"""Export of all matching leads as CSV or NDJSON."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, Literal

from ...context import Context
from ...database import Reader
from ...http.parameters import MAX_INT64
from ...http.streams import Stream
from ...statistics.session_filters import Filters
from ...values.formulas import escape_formula
from .filtered_search import FilteredSearch, select_sorted
from .filters import FilterValues, is_simple, join_params, list_conditions, parse
from .orders import DEFAULT_ORDER
from .search import COLUMNS, PAGES, prepare

Format = Literal["csv", "ndjson"]
FORMATS: Final[dict[Format, str]] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def export_leads(
    ctx: Context,
    *,
    format: Format,
    q: str | None = None,
    status: str | None = None,
    sort: str = DEFAULT_ORDER,
    filters: Filters | None = None,
) -> Stream:
    """Return all leads that match, as CSV (RFC 4180) or as one JSON object per line, from one database snapshot.

    In CSV, null is an empty field, and all other fields are quoted. Text that a spreadsheet would evaluate as a formula
    is escaped. The search term and the filters work as in the list.

    :param filters: as in the list.
    :raises InvalidRequest: a filter is invalid.
    """
    values = parse(filters, status)
    return Stream(FORMATS[format], f"leads.{format}", export_chunks(ctx, format, q, values, sort))


def export_chunks(
    ctx: Context, format: Format, q: str | None, values: FilterValues, sort: str
) -> Generator[str, None, None]:
    """Generate the text of the export. The database snapshot stays open until the generator is exhausted or closed."""
    encode = _csv_lines if format == "csv" else _ndjson_lines
    with ctx.db.snapshot() as at:
        if format == "csv":
            yield _csv_lines([COLUMNS])
        statement, params = _select(at, q, values, sort)
        for leads in at.batches(statement, **params):
            yield encode(leads)


def _select(at: Reader, q: str | None, values: FilterValues, sort: str) -> tuple[str, dict[str, Any]]:
    """Return the statement of all leads that match, and its parameters."""
    if is_simple(values):
        filter_, params = prepare(at, q, *values.get("status", (None,)))
        return PAGES[filter_, sort], {**params, "limit": MAX_INT64, "offset": 0}
    search = FilteredSearch(at, list_conditions(at, q, values), sort, {})
    return select_sorted(search), join_params(search.conditions)


def _csv_lines(leads: Iterable[Sequence[Any]]) -> str:
    return "".join(",".join(map(_csv_field, lead)) + "\r\n" for lead in leads)


def _csv_field(value: object) -> str:
    """Return a CSV field. All values except null are quoted.

    Some programs expect another separator than the comma. Quotes prevent them from splitting a value.
    """
    if value is None:
        return ""
    text = escape_formula(value).replace('"', '""') if isinstance(value, str) else str(value)
    return f'"{text}"'


def _ndjson_lines(leads: Iterable[Sequence[Any]]) -> str:
    return "".join(json.dumps(dict(zip(COLUMNS, lead)), ensure_ascii=False) + "\n" for lead in leads)
