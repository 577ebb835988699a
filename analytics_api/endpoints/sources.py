"""Number of sessions by referrer domain."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..http.parameters import check_limit
from ..statistics.earlier_range import find_earlier_range, read_earlier_keys
from ..statistics.matching import find_matching
from ..statistics.ranges import Days, resolve_range
from ..statistics.session_filters import Filters
from ..statistics.top_keys import read_top_keys
from ..values.compared_days import Comparison


class SourceSessions(TypedDict):
    sessions: int


class _Source(SourceSessions):
    referrer_domain: str


class Source(_Source, total=False):
    previous: SourceSessions


def sources(
    ctx: Context,
    limit: int = 100,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> list[Source]:
    """Return the referrer domains with the most sessions. Ties are sorted by domain.

    `(direct)` stands for sessions without a referrer domain. With `compare`, `previous` counts the same domain in the
    earlier range.
    """
    check_limit(limit)
    range_ = resolve_range(ctx, from_, to, days, filters, compare=compare)
    matching = find_matching(ctx.db, range_, filters)
    rows = read_top_keys(ctx.db, range_, matching, "source", limit)
    result: list[Source] = [{"referrer_domain": domain, "sessions": sessions} for domain, sessions in rows]
    if earlier := find_earlier_range(ctx, range_, compare, filters):
        before = read_earlier_keys(ctx.db, earlier, matching, "source", [domain for domain, _ in rows])
        for row in result:
            row["previous"] = {"sessions": before.get(row["referrer_domain"], 0)}
    return result
