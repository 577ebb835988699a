"""Top pages by views, by entries and by exits."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..filters import Filters
from ..matching import DIMENSIONS, find_matching, read_keys, read_pages
from ..ranges import Days, resolve_range


class Page(TypedDict):
    page: str
    views: int
    unique_sessions: int


class SessionPage(TypedDict):
    page: str
    sessions: int


TOP = """
select page, views, sessions
from all_time_pages
order by views desc, page
limit :limit
"""

# A return is a session that views a page on a later day than its previous view of the page.
TOP_OF_RANGE = """
select page, parts.views, parts.sessions
from (
  select page_id, cast(sum(viewed) as bigint) as views, cast(sum(added - returned) as bigint) as sessions
  from (
    select page_id, views as viewed, sessions as added, 0 as returned
    from page_counts
    where day between :first and :last
    union all
    select page_id, 0, 0, sessions
    from page_returns
    where day between :first and :last and previous_day >= :first) as changes
  group by page_id
  having sum(viewed) <> 0) as parts
join pages using (page_id)
order by parts.views desc, page
limit :limit
"""

TOP_OF_SESSIONS = """
select key, sessions
from all_time_keys
where dimension = :dimension and key <> ''
order by sessions desc, key
limit :limit
"""

TOP_OF_SESSIONS_OF_RANGE = """
select key, cast(sum(sessions) as bigint) as sessions
from key_counts
where dimension = :dimension and day between :first and :last and key <> ''
group by key
having sum(sessions) <> 0
order by sessions desc, key
limit :limit
"""


def top(
    ctx: Context,
    limit: int = 20,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
) -> list[Page]:
    """Return the pages with the most views, ties in the order of the pages.

    A view is an event of type `page_view` that has a page. `unique_sessions` is the number of sessions with a view of
    the page.
    """
    range_ = resolve_range(ctx, from_, to, days, filters)
    if matching := find_matching(ctx.db, range_, filters):
        rows = read_pages(ctx.db, matching, limit)
    elif range_ is None:
        rows = ctx.db.tuples(TOP, limit=limit)
    else:
        rows = ctx.db.tuples(TOP_OF_RANGE, limit=limit, **range_.bounds)
    return [{"page": page, "views": views, "unique_sessions": sessions} for page, views, sessions in rows]


def entry(
    ctx: Context,
    limit: int = 20,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
) -> list[SessionPage]:
    """Return the most frequent entry pages, ties in the order of the pages. Sessions without one are not counted."""
    return _top_of_sessions(ctx, "entry_page", limit, days, from_, to, filters)


def exit_(
    ctx: Context,
    limit: int = 20,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
) -> list[SessionPage]:
    """Return the most frequent exit pages, ties in the order of the pages. Sessions without one are not counted."""
    return _top_of_sessions(ctx, "exit_page", limit, days, from_, to, filters)


def _top_of_sessions(
    ctx: Context, field: str, limit: int, days: Days, from_: date | None, to: date | None, filters: Filters | None
) -> list[SessionPage]:
    range_ = resolve_range(ctx, from_, to, days, filters)
    if matching := find_matching(ctx.db, range_, filters):
        rows = read_keys(ctx.db, matching, field, limit)
    elif range_ is None:
        rows = ctx.db.tuples(TOP_OF_SESSIONS, dimension=DIMENSIONS[field], limit=limit)
    else:
        rows = ctx.db.tuples(TOP_OF_SESSIONS_OF_RANGE, dimension=DIMENSIONS[field], limit=limit, **range_.bounds)
    return [{"page": page, "sessions": sessions} for page, sessions in rows]
