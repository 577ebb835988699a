"""The list of leads, page by page."""

from __future__ import annotations

from typing import Final, TypedDict, cast, get_args
from urllib.parse import urlencode

from ...context import Context
from ...database import Reader
from ...errors import InvalidRequest
from .orders import DEFAULT_ORDER, cursor_order, decode_cursor, encode_cursor
from .search import Lead, Search, Status, find_page, prepare

STATUSES: Final[tuple[Status, ...]] = get_args(Status)


class Listing(TypedDict):
    leads: list[Lead]
    total: int


class LeadPage(dict[str, object]):
    """A Listing with the query string of the page after it; None on the last page."""

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
) -> Listing:
    """Return a page of the leads, and the `total` that match.

    `q` is a substring of the name, e-mail, phone, project or visitor id, without regard to case. Nulls come last in
    every order. Unless it is the last, a page has a `Link` header with a `cursor`, which continues after the last lead
    of this page, even if that lead has moved or gone since; deep pages are then as fast as the first. A cursor belongs
    to one `sort`, and takes the place of `offset`.

    :raises InvalidRequest: when the cursor belongs to another `sort`.
    """
    order = cursor_order(cursor) if cursor else sort or DEFAULT_ORDER
    if sort not in (None, order):
        raise InvalidRequest(f"cursor belongs to sort={order}; send that sort, or none")

    def read_page(at: Reader) -> Listing:
        filter_, params = prepare(at, q, status)
        params |= {"limit": limit + 1, "offset": offset}  # one more row tells whether a page follows
        if cursor:
            params |= decode_cursor(at, cursor)
        rows, total = find_page(Search(at, filter_, order, params))
        page = LeadPage(leads=rows[:limit], total=total)
        if len(rows) > limit:
            after = encode_cursor(at, order, rows[limit - 1])
            query = {"limit": limit, "q": q, "status": status, "sort": order, "cursor": after}
            page.next_query = urlencode({name: value for name, value in query.items() if value})
        return cast(Listing, page)

    return ctx.db.read(read_page)


def next_query(payload: object) -> str | None:
    """Return the query string of the page after this one; None after the last."""
    return payload.next_query if isinstance(payload, LeadPage) else None
