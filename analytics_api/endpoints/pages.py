"""Top pages by views, by entries and by exits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import TypedDict

from ..context import Context
from ..http.parameters import check_limit
from ..statistics.earlier_range import EarlierRange, find_earlier_range, read_earlier_keys
from ..statistics.filtered_sessions import read_pages
from ..statistics.matching import Matching, find_matching
from ..statistics.ranges import Days, resolve_range
from ..statistics.session_filters import Filters
from ..statistics.top_keys import read_top_keys
from ..values.calendar import DayRange
from ..values.compared_days import Comparison


class PageCounts(TypedDict):
    views: int
    unique_sessions: int


class _Page(PageCounts):
    page: str


class Page(_Page, total=False):
    previous: PageCounts


class PageSessions(TypedDict):
    sessions: int


class _SessionPage(PageSessions):
    page: str


class SessionPage(_SessionPage, total=False):
    previous: PageSessions


TOP = """
select page, views, sessions
from all_time_pages
order by views desc, page
limit :limit
"""

# A return is a session that views a page on a later day than its previous view of the page. Returns whose previous
# view is in the range are subtracted, so that a session is counted once for each page.
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

# The views and sessions of the pages `keys` in the earlier range. A session that viewed the page on the whole days is
# not counted again on the cut day, because page_counts counts it already. With `exists` instead of `coalesce`,
# PostgreSQL could read all rows of session_pages into a hash table.
EARLIER_VIEWS = """
with shown as (
  select page_id, page
  from pages
  where page in (select value from json_each(cast(:keys as text)))),
days as (
  select day
  from event_counts
  where day between :first and :last
  group by day),
visits as (
  select session_id, shown.page_id, count(*) as views
  from counted_events as e
  cross join shown
  where occurred_at >= :begins_at and occurred_at < :until and shown.page = e.page
  group by session_id, shown.page_id)
select page, cast(sum(views) as bigint), cast(sum(sessions) as bigint)
from (
  select c.page_id, c.views, c.sessions
  from days
  cross join shown
  cross join page_counts as c
  where c.day = days.day and c.page_id = shown.page_id
  union all
  select r.page_id, 0, -r.sessions
  from days
  cross join shown
  cross join page_returns as r
  where r.day = days.day and r.page_id = shown.page_id and r.previous_day >= :first
  union all
  select page_id, views, coalesce((
      select 0
      from session_pages as p
      where p.day in (
          select day
          from days_of_sessions as d
          where d.session_id = visits.session_id and d.day between :first and :last)
        and p.session_id = visits.session_id and p.page_id = visits.page_id and p.views > 0
      limit 1), 1)
  from visits) as counts
join shown using (page_id)
group by page
"""


def top(
    ctx: Context,
    limit: int = 20,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> list[Page]:
    """Return the pages with the most views. Ties are sorted by page.

    A view is an event of type `page_view` that has a page. `unique_sessions` is the number of sessions with a view of
    the page. With `compare`, `previous` counts the same page in the earlier range.
    """
    check_limit(limit)
    range_ = resolve_range(ctx, from_, to, days, filters, compare=compare)
    matching = find_matching(ctx.db, range_, filters)
    if matching:
        rows = read_pages(ctx.db, matching, limit)
    elif range_ is None:
        rows = ctx.db.tuples(TOP, limit=limit)
    else:
        rows = ctx.db.tuples(TOP_OF_RANGE, limit=limit, **range_.bounds)
    result: list[Page] = [{"page": page, "views": views, "unique_sessions": sessions} for page, views, sessions in rows]
    if earlier := find_earlier_range(ctx, range_, compare, filters):
        before = _read_earlier_views(ctx, earlier, matching, [row["page"] for row in result])
        for row in result:
            views, sessions = before.get(row["page"], (0, 0))
            row["previous"] = {"views": views, "unique_sessions": sessions}
    return result


def _read_earlier_views(
    ctx: Context, earlier: EarlierRange, matching: Matching | None, pages: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Return the views and sessions of each page in the earlier range. Pages without views are omitted."""
    if not pages:
        return {}
    if matching:
        rows = read_pages(ctx.db, earlier.match(ctx.db, matching), len(pages), pages)
    else:
        rows = ctx.db.tuples(EARLIER_VIEWS, **earlier.whole_days, **earlier.cut, keys=json.dumps(pages))
    return {page: (views, sessions) for page, views, sessions in rows}


def entry(
    ctx: Context,
    limit: int = 20,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> list[SessionPage]:
    """Return the most frequent entry pages. Ties are sorted by page. Sessions without an entry page are not counted.

    With `compare`, `previous` counts the same page in the earlier range.
    """
    range_ = resolve_range(ctx, from_, to, days, filters, compare=compare)
    return _top_of_sessions(ctx, "entry_page", limit, range_, filters, compare)


def exit_(
    ctx: Context,
    limit: int = 20,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> list[SessionPage]:
    """Return the most frequent exit pages. Ties are sorted by page. Sessions without an exit page are not counted.

    With `compare`, `previous` counts the same page in the earlier range.
    """
    range_ = resolve_range(ctx, from_, to, days, filters, compare=compare)
    return _top_of_sessions(ctx, "exit_page", limit, range_, filters, compare)


def _top_of_sessions(
    ctx: Context, field: str, limit: int, range_: DayRange | None, filters: Filters | None, compare: Comparison | None
) -> list[SessionPage]:
    check_limit(limit)
    matching = find_matching(ctx.db, range_, filters)
    rows = read_top_keys(ctx.db, range_, matching, field, limit)
    result: list[SessionPage] = [{"page": page, "sessions": sessions} for page, sessions in rows]
    if earlier := find_earlier_range(ctx, range_, compare, filters):
        before = read_earlier_keys(ctx.db, earlier, matching, field, [page for page, _ in rows])
        for row in result:
            row["previous"] = {"sessions": before.get(row["page"], 0)}
    return result
