"""The list of leads, with search, filters and paging."""

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
    """A Listing payload with the query string of the next page, which is None on the last page."""

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
    """Return a page of leads, and the `total` number of leads that match.

    `q` is a substring of the name, e-mail, phone, project or visitor id; case is ignored. Nulls come last in every
    order. Every page but the last has a `Link` header with a `cursor` to the next page. The next page begins after this
    page's last lead, even if that lead has been deleted or has moved in the order. With a cursor, deep pages are as
    fast as the first page. A cursor is valid for one `sort`, and replaces `offset`.

    :raises InvalidRequest: the cursor belongs to another `sort`.
    """
    order = cursor_order(cursor) if cursor else sort or DEFAULT_ORDER
    if sort not in (None, order):
        raise InvalidRequest(f"cursor belongs to sort={order}; send the same sort, or omit it")

    def read_page(at: Reader) -> Listing:
        filter_, params = prepare(at, q, status)
        params |= {"limit": limit + 1, "offset": offset}  # one more row shows whether there is a next page
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
    """Return the query string of the next page, or None if this is the last page."""
    return payload.next_query if isinstance(payload, LeadPage) else None
