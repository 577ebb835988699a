"""Number of sessions by engagement score."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..filters import BUCKETS, Filters, ScoreRange
from ..matching import find_matching, read_keys
from ..ranges import Days, resolve_range


class Bucket(TypedDict):
    bucket: ScoreRange
    count: int


COUNTS = """
select key, sessions
from all_time_keys
where dimension = 3
"""

COUNTS_OF_RANGE = """
select key, cast(sum(sessions) as bigint)
from key_counts
where dimension = 3 and day between :first and :last
group by key
"""


def engagement(
    ctx: Context,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
) -> list[Bucket]:
    """Return the number of ended sessions in each of five ranges of the engagement score.

    There are always five rows, in ascending order. Scores below 0 count in the first range and scores above 100 in the
    last. Sessions without a score are not counted.
    """
    range_ = resolve_range(ctx, from_, to, days, filters)
    if matching := find_matching(ctx.db, range_, filters):
        rows = read_keys(ctx.db, matching, "engagement")
    elif range_ is None:
        rows = ctx.db.tuples(COUNTS)
    else:
        rows = ctx.db.tuples(COUNTS_OF_RANGE, **range_.bounds)
    counts = dict(rows)
    return [{"bucket": bucket, "count": counts.get(bucket, 0)} for bucket in BUCKETS]
