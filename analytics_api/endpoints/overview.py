"""Totals of all sessions and events."""

from __future__ import annotations

from datetime import date
from typing import TypedDict, cast

from ..context import Context
from ..database import Row
from ..statistics.earlier_range import ComparedRange, EarlierRange, add_cut_day, find_earlier_range
from ..statistics.filtered_sessions import read_totals
from ..statistics.matching import Matching, find_matching
from ..statistics.ranges import Days, resolve_range
from ..statistics.session_filters import Filters
from ..values.compared_days import Comparison
from ..values.rounding import mean


class Totals(TypedDict):
    total_sessions: int
    total_events: int
    unique_visitors: int
    unique_fingerprints: int
    avg_engagement_score: float
    avg_session_duration_s: int
    vpn_suspected_count: int


class EarlierTotals(Totals, ComparedRange):
    pass


class Overview(Totals, total=False):
    previous: EarlierTotals


# Totals of all time: the rows of day -1. TOTALS_OF_RANGE could read them, too, but takes 16 us instead of 12.
TOTALS = """
select
  cast(coalesce(sum(sessions), 0) as bigint) as sessions,
  cast(coalesce(sum(visitors), 0) as bigint) as visitors,
  cast(coalesce(sum(fingerprints), 0) as bigint) as fingerprints,
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

# A return is a visit of a visitor whose previous visit was on an earlier day, `previous_day`. Unique visitors are the
# sum of the visitors of each day, minus the returns whose previous day is in the range, because these visitors are
# counted on the previous day already. Fingerprints are counted in the same way. `cross join` makes SQLite read `days`
# first, so that it reads only the returns on days of the range. Without `not materialized`, SQLite 3.40 would read all
# returns into a Bloom filter after ANALYZE.
TOTALS_OF_RANGE = """
with days as not materialized (
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
    as visitors,
  cast(coalesce(sum(fingerprints), 0) - (
    select coalesce(sum(r.sessions), 0)
    from days
    cross join session_returns as r
    where r.dimension = 6 and r.day = days.day and r.previous_day >= :first) as bigint)
    as fingerprints,
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


def overview(
    ctx: Context,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> Overview:
    """Return the totals of all time or of a range of days.

    `avg_engagement_score` is rounded to one decimal, and `avg_session_duration_s` to whole seconds. An average ignores
    sessions without a value. If no session has a value, the average is 0.

    With `compare`, `previous` has the totals of the same number of days just before the range, or of the same dates a
    year earlier. If the range includes today, the earlier range ends before the instant `until`, which corresponds to
    now.
    """
    range_ = resolve_range(ctx, from_, to, days, filters, compare=compare)
    earlier = find_earlier_range(ctx, range_, compare, filters)
    matching = find_matching(ctx.db, range_, filters)
    if matching:
        totals = read_totals(ctx.db, matching)
    elif range_ is None:
        totals = ctx.db.rows(TOTALS)[0]
    else:
        totals = ctx.db.rows(TOTALS_OF_RANGE, **range_.bounds)[0]
    result = cast(Overview, _to_totals(totals))
    if earlier is not None:
        result["previous"] = {**_to_totals(_read_earlier(ctx, earlier, matching)), **earlier.describe()}
    return result


def _read_earlier(ctx: Context, earlier: EarlierRange, matching: Matching | None) -> Row:
    if matching:
        return read_totals(ctx.db, earlier.match(ctx.db, matching))
    return add_cut_day(ctx.db, earlier, ctx.db.rows(TOTALS_OF_RANGE, **earlier.whole_days)[0])


def _to_totals(totals: Row) -> Totals:
    return {
        "total_sessions": totals["sessions"],
        "total_events": totals["events"],
        "unique_visitors": totals["visitors"],
        "unique_fingerprints": totals["fingerprints"],
        "avg_engagement_score": mean(totals["score_sum"], totals["score_count"]),
        "avg_session_duration_s": int(mean(totals["duration_sum"], totals["duration_count"], per=1000, parts=1)),
        "vpn_suspected_count": totals["vpn_suspected"],
    }
