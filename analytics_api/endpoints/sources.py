"""Sessions by where they came from."""

from __future__ import annotations

from ..context import Context
from ..database import Row

TOP = """
select referrer_domain, sessions
from rollup_sources
order by sessions desc, referrer_domain
limit :limit
"""


def sources(ctx: Context, limit: int) -> list[Row]:
    """The referrer domains with the most sessions, ties by domain; `(direct)` is a visit without one."""
    return ctx.db.rows(TOP, limit=limit)
