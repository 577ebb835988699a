"""All sessions and events in one row."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..ranges import Days, resolve_range
from ..rounding import mean


class Overview(TypedDict):
    total_sessions: int
    total_events: int
    unique_visitors: int
    unique_fingerprints: int
    avg_engagement_score: float
    avg_session_duration_s: int
    vpn_suspected_count: int


# All time could be read as the range of day -1, but that takes 16 us, and this 12.
TOTALS = """
select
  cast(coalesce(sum(sessions), 0) as bigint) as sessions,
  cast(coalesce(sum(visitors), 0) as bigint) as unique_visitors,
  cast(coalesce(sum(fingerprints), 0) as bigint) as unique_fingerprints,
  cast(coalesce(sum(duration_sum), 0) as bigint) as duration_sum,
  cast(coalesce(sum(duration_count), 0) as bigint) as duration_count,
  cast(coalesce(sum(score_sum), 0) as bigint) as score_sum,
  cast(coalesce(sum(score_count), 0) as bigint) as score_count,
  cast(coalesce(sum(vpn_suspected), 0) as bigint) as vpn_suspected,
  (
    select cast(coalesce(sum(events), 0) as bigint)
    from event_counts
    where day = -1) as events
from day_counts
where day = -1
"""

# A visitor is new to a range unless the visit before is in the range, too. SQLite reads the tables of a
# cross join in their order, and so only returns within the range.
TOTALS_OF_RANGE = """
with days as (
  select day
  from day_counts
  where day between :first and :last
  group by day)
select
  cast(coalesce(sum(sessions), 0) as bigint) as sessions,
  cast(coalesce(sum(visitors), 0) - (
    select coalesce(sum(r.sessions), 0)
    from days
    cross join session_returns as r
    where r.dimension = 0 and r.day = days.day and r.previous_day >= :first) as bigint)
    as unique_visitors,
  cast(coalesce(sum(fingerprints), 0) - (
    select coalesce(sum(r.sessions), 0)
    from days
    cross join session_returns as r
    where r.dimension = 6 and r.day = days.day and r.previous_day >= :first) as bigint)
    as unique_fingerprints,
  cast(coalesce(sum(duration_sum), 0) as bigint) as duration_sum,
  cast(coalesce(sum(duration_count), 0) as bigint) as duration_count,
  cast(coalesce(sum(score_sum), 0) as bigint) as score_sum,
  cast(coalesce(sum(score_count), 0) as bigint) as score_count,
  cast(coalesce(sum(vpn_suspected), 0) as bigint) as vpn_suspected,
  (
    select cast(coalesce(sum(events), 0) as bigint)
    from event_counts
    where day between :first and :last) as events
from day_counts
where day between :first and :last
"""


def overview(ctx: Context, days: Days = None, *, from_: date | None = None, to: date | None = None) -> Overview:
    """Return the totals of all time or of a range, with averages over the sessions that have a value.

    `avg_engagement_score` is rounded to one decimal, `avg_session_duration_s` to whole seconds; 0 when no session has
    one.
    """
    range_ = resolve_range(ctx, from_, to, days)
    totals = (ctx.db.rows(TOTALS) if range_ is None else ctx.db.rows(TOTALS_OF_RANGE, **range_.bounds))[0]
    return {
        "total_sessions": totals["sessions"],
        "total_events": totals["events"],
        "unique_visitors": totals["unique_visitors"],
        "unique_fingerprints": totals["unique_fingerprints"],
        "avg_engagement_score": mean(totals["score_sum"], totals["score_count"]),
        "avg_session_duration_s": int(mean(totals["duration_sum"], totals["duration_count"], per=1000, parts=1)),
        "vpn_suspected_count": totals["vpn_suspected"],
    }
