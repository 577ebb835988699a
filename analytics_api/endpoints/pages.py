"""Pages by their views."""

from __future__ import annotations

from typing import TypedDict

from ..context import Context


class Page(TypedDict):
    page: str
    views: int
    unique_sessions: int


TOP = """
select page, views, unique_sessions
from rollup_pages
order by views desc, page
limit :limit
"""


def top(ctx: Context, limit: int) -> list[Page]:
    """The most viewed pages, ties by page: events of type `page_view` that name one, and the sessions they came in."""
    return [
        {"page": page, "views": views, "unique_sessions": sessions}
        for page, views, sessions in ctx.db.tuples(TOP, limit=limit)
    ]
