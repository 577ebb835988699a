"""The list of leads, with search, filters and paging."""

from __future__ import annotations

from typing import Any, TypedDict, cast
from urllib.parse import urlencode

from ...context import Context
from ...database import Reader
from ...http.parameters import check_limit
from ...statistics.session_filters import Filters
from .filtered_search import FilteredSearch, find_filtered_page
from .filters import FilterValues, is_simple, list_conditions, parse, to_query
from .orders import DEFAULT_ORDER, decode_cursor, encode_cursor, resolve_order
from .search import Lead, Page, Search, find_page, prepare


class Listing(TypedDict):
    leads: list[Lead]
    total: int


class LeadPage(dict[str, object]):
    """A Listing payload. `next_query` is the query string of the next page, and None on the last page."""

    next_query: str | None = None


def list_leads(
    ctx: Context,
    *,
    limit: int,
    offset: int = 0,
    q: str | None = None,
    status: str | None = None,
    sort: str | None = None,
    cursor: str | None = None,
    filters: Filters | None = None,
) -> Listing:
    """Return a page of leads, and the `total` number of leads that match.

    `q` is a substring of the name, e-mail, phone, project or visitor id; case is ignored. A lead must match all
    filters. If a filter has several values, the lead must be equal to one of them, including case. A lead without a
    score matches no bound of the score, and a lead without a follow-up matches no bound of the follow-up. `source` and
    `country` are columns of the lead, not of its visits. Nulls come last in every order.

    Every page except the last has a `Link` header, whose URL has a `cursor` for the next page. The next page begins
    after the last lead of this page, even if that lead is deleted or gets another position in the meantime. With a
    cursor, later pages are as fast as the first page. A cursor is valid for one `sort`, and replaces `offset`.

    :param filters: strings by the names of filters, such as `{"project": ["Sky Towers"], "score_min": "50"}`.
    :raises InvalidRequest: the cursor belongs to another `sort`, or a filter is invalid.
    """
    check_limit(limit)
    order = resolve_order(sort, cursor, DEFAULT_ORDER)
    values = parse(filters, status)

    def read_page(at: Reader) -> Listing:
        params: dict[str, Any] = {"limit": limit + 1, "offset": offset}  # one more row shows whether a page follows
        if cursor:
            params |= decode_cursor(at, cursor)
        rows, total = find_leads(at, q, values, order, params)
        page = LeadPage(leads=rows[:limit], total=total)
        if len(rows) > limit:
            position = {"sort": order, "cursor": encode_cursor(at, order, rows[limit - 1])}
            query = {"limit": limit, **({"q": q} if q else {}), **to_query(values), **position}
            page.next_query = urlencode(query, doseq=True)
        return cast(Listing, page)

    return ctx.db.read(read_page)


def find_leads(at: Reader, q: str | None, values: FilterValues, sort: str, params: dict[str, Any]) -> Page:
    """Return the rows of a page, and the number of leads that match.

    :param params: `limit` and `offset`; with a cursor also the result of decode_cursor().
    """
    if is_simple(values):
        filter_, needed = prepare(at, q, *values.get("status", (None,)))
        return find_page(Search(at, filter_, sort, {**params, **needed}))
    return find_filtered_page(FilteredSearch(at, list_conditions(at, q, values), sort, params))


def next_query(payload: object) -> str | None:
    """Return the query string of the next page, or None if this is the last page."""
    return payload.next_query if isinstance(payload, LeadPage) else None
