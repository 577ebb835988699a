"""Number of sessions by engagement score."""

from __future__ import annotations

from datetime import date
from typing import Final, Literal, TypedDict

from ..context import Context
from ..ranges import Days, resolve_range

Range = Literal["0-19", "20-39", "40-59", "60-79", "80-100"]


class Bucket(TypedDict):
    bucket: Range
    count: int


BUCKETS: Final[tuple[Range, ...]] = ("0-19", "20-39", "40-59", "60-79", "80-100")

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


def engagement(ctx: Context, days: Days = None, *, from_: date | None = None, to: date | None = None) -> list[Bucket]:
    """Return the number of ended sessions in each of five ranges of the engagement score.

    There are always five rows, in ascending order. Scores below 0 count in the first range and scores above 100 in the
    last. Sessions without a score are not counted.
    """
    range_ = resolve_range(ctx, from_, to, days)
    counts = dict(ctx.db.tuples(COUNTS) if range_ is None else ctx.db.tuples(COUNTS_OF_RANGE, **range_.bounds))
    return [{"bucket": bucket, "count": counts.get(bucket, 0)} for bucket in BUCKETS]
