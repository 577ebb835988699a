"""Number of sessions by engagement score."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..statistics.earlier_range import find_earlier_range, read_earlier_keys
from ..statistics.filtered_sessions import read_keys
from ..statistics.matching import find_matching
from ..statistics.ranges import Days, resolve_range
from ..statistics.session_filters import BUCKETS, Filters, ScoreRange
from ..values.compared_days import Comparison


class BucketCount(TypedDict):
    count: int


class _Bucket(BucketCount):
    bucket: ScoreRange


class Bucket(_Bucket, total=False):
    previous: BucketCount


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
    compare: Comparison | None = None,
) -> list[Bucket]:
    """Return the number of ended sessions in each of five ranges of the engagement score.

    There are always five rows, in ascending order. The first range includes scores below 0, and the last range scores
    above 100. Sessions without a score are not counted. With `compare`, `previous` counts the sessions of the earlier
    range.
    """
    range_ = resolve_range(ctx, from_, to, days, filters, compare=compare)
    matching = find_matching(ctx.db, range_, filters)
    if matching:
        rows = read_keys(ctx.db, matching, "engagement")
    elif range_ is None:
        rows = ctx.db.tuples(COUNTS)
    else:
        rows = ctx.db.tuples(COUNTS_OF_RANGE, **range_.bounds)
    counts = dict(rows)
    result: list[Bucket] = [{"bucket": bucket, "count": counts.get(bucket, 0)} for bucket in BUCKETS]
    if earlier := find_earlier_range(ctx, range_, compare, filters):
        before = read_earlier_keys(ctx.db, earlier, matching, "engagement", BUCKETS)
        for row in result:
            row["previous"] = {"count": before.get(row["bucket"], 0)}
    return result
