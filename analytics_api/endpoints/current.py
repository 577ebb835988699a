"""Visitors of the last five minutes, and the pages that they view."""

from __future__ import annotations

from typing import TypedDict

from ..context import Context
from ..values.calendar import MINUTE_MS

WINDOW = 5 * MINUTE_MS
MAX_PAGES = 10


class CurrentPage(TypedDict):
    page: str
    visitors: int


class Current(TypedDict):
    visitors: int
    pages: list[CurrentPage]


# The first row has no page and counts all visitors. `cross join` makes SQLite read the events of the time range first.
CURRENT = """
with recent_events as (
  select events.event_id, events.occurred_at, events.page, sessions.visitor_id
  from counted_events as events
  cross join sessions
  where events.occurred_at between :since and :now
    and sessions.session_id = events.session_id),
views as (
  select visitor_id, page, row_number() over (partition by visitor_id order by occurred_at desc, event_id desc) as rank
  from recent_events
  where page is not null),
visitors as (
  select visitor_id
  from recent_events
  union
  select visitor_id
  from sessions
  where started_at between :since and :now),
pages as (
  select page, count(*) as visitors
  from views
  where rank = 1
  group by page
  order by visitors desc, page
  limit :limit)
select page, visitors
from (
  select null as page, count(*) as visitors, 0 as part
  from visitors
  union all
  select page, visitors, 1
  from pages) as parts
order by part, visitors desc, page
"""


def current(ctx: Context) -> Current:
    """Return the number of visitors of the last five minutes, and the pages that they viewed last.

    A visitor is counted if a session of theirs began, or had an event, in these minutes. Timestamps in the future are
    ignored. Each visitor is counted for one page: that of the last page view in these minutes. At most 10 pages are
    returned, those with the most visitors first. Ties are sorted by page. The response can be up to one second old.
    """
    (_, visitors), *pages = ctx.db.tuples(CURRENT, since=ctx.now - WINDOW, now=ctx.now, limit=MAX_PAGES)
    return {"visitors": visitors, "pages": [{"page": page, "visitors": count} for page, count in pages]}
