"""Sessions by their engagement score."""

from __future__ import annotations

from typing import Final, Literal, TypedDict

from ..context import Context

Range = Literal["0-19", "20-39", "40-59", "60-79", "80-100"]


class Bucket(TypedDict):
    bucket: Range
    count: int


BUCKETS: Final[tuple[Range, ...]] = ("0-19", "20-39", "40-59", "60-79", "80-100")

COUNTS = """
select bucket, sessions
from rollup_engagement
order by bucket
"""


def engagement(ctx: Context) -> list[Bucket]:
    """How many ended sessions with a score fall in each of the five buckets, always five rows in order.

    Scores outside 0..100 are in the first and the last.
    """
    counts = dict(ctx.db.tuples(COUNTS))
    return [{"bucket": bucket, "count": counts.get(bucket, 0)} for bucket in BUCKETS]
