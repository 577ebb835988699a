"""Sessions by where they came from."""

from __future__ import annotations

from typing import TypedDict

from ..context import Context


class Source(TypedDict):
    referrer_domain: str
    sessions: int


TOP = """
select referrer_domain, sessions
from rollup_sources
order by sessions desc, referrer_domain
limit :limit
"""


def sources(ctx: Context, limit: int) -> list[Source]:
    """The referrer domains with the most sessions, ties by domain; `(direct)` is a visit without one."""
    return [{"referrer_domain": domain, "sessions": sessions} for domain, sessions in ctx.db.tuples(TOP, limit=limit)]
