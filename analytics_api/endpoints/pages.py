"""Pages by their views."""

from __future__ import annotations

from ..context import Context
from ..database import Row

TOP = """
select page, views, unique_sessions
from rollup_pages
order by views desc, page
limit :limit
"""


def top(ctx: Context, limit: int) -> list[Row]:
    """The most viewed pages, ties by page: events of type `page_view` that name one, and the sessions they came in."""
    return ctx.db.rows(TOP, limit=limit)
