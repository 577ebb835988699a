"""Sessions by the day."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TypedDict

from ..context import Context
from ..rounding import mean


class Day(TypedDict):
    date: str
    total_sessions: int
    unique_visitors: int
    avg_duration: float
    avg_engagement: float


DAYS = """
select day, sessions, unique_visitors, duration_sum, duration_count, score_sum, score_count
from rollup_days
where day between :first and :last
order by day
"""


def daily(ctx: Context, days: int) -> list[Day]:
    """One row a UTC day, ascending, for today and the `days - 1` before it; days without sessions are left out.

    `avg_duration` in seconds and `avg_engagement`, both to one decimal, over the sessions that have a value.
    """
    today = datetime.fromtimestamp(ctx.now / 1000, timezone.utc).date()
    return [
        {
            "date": day,
            "total_sessions": sessions,
            "unique_visitors": visitors,
            "avg_duration": mean(duration, with_duration, per=1000),
            "avg_engagement": mean(score, with_score),
        }
        for day, sessions, visitors, duration, with_duration, score, with_score in ctx.db.tuples(
            DAYS, first=(today - timedelta(days=days - 1)).isoformat(), last=today.isoformat()
        )
    ]
