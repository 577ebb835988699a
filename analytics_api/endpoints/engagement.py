"""Number of sessions by engagement score."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..statistics.earlier_range import find_earlier_range, read_earlier_keys
from ..statistics.matching import find_matching
from ..statistics.ranges import Days, resolve_range
from ..statistics.session_filters import BUCKETS, Filters, ScoreRange
from ..statistics.top_keys import read_top_keys
from ..values.compared_days import Comparison


class BucketCount(TypedDict):
    count: int


class _Bucket(BucketCount):
    bucket: ScoreRange


class Bucket(_Bucket, total=False):
    previous: BucketCount


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
    counts = dict(read_top_keys(ctx.db, range_, matching, "engagement", len(BUCKETS)))
    result: list[Bucket] = [{"bucket": bucket, "count": counts.get(bucket, 0)} for bucket in BUCKETS]
    if earlier := find_earlier_range(ctx, range_, compare, filters):
        before = read_earlier_keys(ctx.db, earlier, matching, "engagement", BUCKETS)
        for row in result:
            row["previous"] = {"count": before.get(row["bucket"], 0)}
    return result
