"""Number of sessions by referrer domain."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..filters import Filters
from ..matching import find_matching, read_keys
from ..ranges import Days, resolve_range


class Source(TypedDict):
    referrer_domain: str
    sessions: int


TOP = """
select key, sessions
from all_time_keys
where dimension = 2
order by sessions desc, key
limit :limit
"""

TOP_OF_RANGE = """
select key, cast(sum(sessions) as bigint) as sessions
from key_counts
where dimension = 2 and day between :first and :last
group by key
having sum(sessions) <> 0
order by sessions desc, key
limit :limit
"""


def sources(
    ctx: Context,
    limit: int = 100,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
) -> list[Source]:
    """Return the referrer domains with the most sessions, ties in the order of the domains.

    `(direct)` stands for sessions without a referrer domain.
    """
    range_ = resolve_range(ctx, from_, to, days, filters)
    if matching := find_matching(ctx.db, range_, filters):
        rows = read_keys(ctx.db, matching, "source", limit)
    elif range_ is None:
        rows = ctx.db.tuples(TOP, limit=limit)
    else:
        rows = ctx.db.tuples(TOP_OF_RANGE, limit=limit, **range_.bounds)
    return [{"referrer_domain": domain, "sessions": sessions} for domain, sessions in rows]
