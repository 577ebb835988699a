"""The source and the pages of each session of a lead. The endpoint `detail` does not return them."""

from __future__ import annotations

from typing import Final, TypedDict

from ...context import Context
from ...database import Reader
from .detail import SESSION_IDS
from .history import require_lead

MAX_PAGES: Final = 20  # per session


class ViewedPage(TypedDict):
    page: str
    views: int


class Visit(TypedDict):
    session_id: str
    referrer_domain: str
    pages: list[ViewedPage]


SOURCES = f"""
select session_id, source
from counted_sessions
where session_id in ({SESSION_IDS})
order by started_at desc, session_id
"""

# The pages of each session, those with the most views first.
VIEWED = f"""
select session_id, page, cast(sum(viewed.views) as bigint) as views
from session_pages as viewed
join pages using (page_id)
where (day, session_id) in (
  select day, session_id
  from days_of_sessions
  where session_id in ({SESSION_IDS}))
group by session_id, pages.page_id
order by session_id, views desc, page
"""


def visits(ctx: Context, lead_id: int) -> list[Visit]:
    """Return the referrer domain and the viewed pages of each session in the lead's detail, newest first.

    `pages` are the 20 pages with the most views; ties are sorted by page. Domains and pages have the same form as in
    the statistics: a session without a referrer has the domain `(direct)`, and pages have no query if the site drops
    queries.

    :raises NotFound: the lead does not exist.
    """

    def read(at: Reader) -> list[Visit]:
        require_lead(at, lead_id)
        sources = at.tuples(SOURCES, lead_id=lead_id)
        pages: dict[str, list[ViewedPage]] = {session_id: [] for session_id, _ in sources}
        # A window function, which could limit the pages in SQL, would take twice as long.
        for session_id, page, views in at.tuples(VIEWED, lead_id=lead_id):
            if session_id in pages and len(pages[session_id]) < MAX_PAGES:
                pages[session_id].append({"page": page, "views": views})
        return [
            {"session_id": session_id, "referrer_domain": source, "pages": pages[session_id]}
            for session_id, source in sources
        ]

    return ctx.db.read(read)
