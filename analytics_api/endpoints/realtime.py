"""Activity in the last hour and today."""

from __future__ import annotations

from typing import TypedDict, cast

from ..context import Context
from ..values.calendar import HOUR_MS, MINUTE_MS


class Realtime(TypedDict):
    active_sessions: int
    events_last_hour: int
    unique_visitors_today: int
    total_sessions_today: int


# The whole minutes of the hour are read from the counters in minute_counts. The partial minutes at both ends are
# counted from the sessions and events.
#
# The visitors and sessions of today are in day_counts, which has several rows for today on PostgreSQL, one for each
# shard. The join repeats the only row of `minutes` for each of them, so `max` returns the value of this row. If a
# subquery read day_counts instead, SQLite would fill a temporary table, and execute a fifth more instructions.
NOW = """
select
  max(minutes.open_sessions)
  + (select count(*) from sessions where ended_at is null and started_at >= :since and started_at < :whole_since)
  + (select count(*) from sessions where ended_at is null and started_at >= :whole_until and started_at <= :now)
    as active_sessions,
  max(minutes.events)
  + (select count(*) from events where occurred_at >= :since and occurred_at < :whole_since)
  + (select count(*) from events where occurred_at >= :whole_until and occurred_at <= :now)
    as events_last_hour,
  cast(coalesce(sum(day_counts.visitors), 0) as bigint) as unique_visitors_today,
  cast(coalesce(sum(day_counts.sessions), 0) as bigint) as total_sessions_today
from (
  select
    cast(coalesce(sum(open_sessions), 0) as bigint) as open_sessions,
    cast(coalesce(sum(events), 0) as bigint) as events
  from minute_counts
  where minute >= :first_minute and minute < :last_minute) as minutes
left join day_counts
  on day_counts.day = (
    select (cast(:now as bigint) + day_offset) / 86400000
    from site_offsets
    where begins_at <= :now
    order by begins_at desc
    limit 1)
"""


def realtime(ctx: Context) -> Realtime:
    """Return the numbers of open sessions and events in the last hour, and of visitors and sessions today.

    An open session has no end yet, and started within the last hour. Sessions and events with a timestamp in the future
    are not counted in the last hour.
    """
    since = ctx.now - HOUR_MS
    first_minute = -(-since // MINUTE_MS)  # the first minute that is wholly within the last hour
    last_minute = ctx.now // MINUTE_MS  # the current minute
    rows = ctx.db.rows(
        NOW,
        now=ctx.now,
        since=since,
        first_minute=first_minute,
        last_minute=last_minute,
        whole_since=first_minute * MINUTE_MS,
        whole_until=last_minute * MINUTE_MS,
    )
    return cast(Realtime, rows[0])
