"""Letting go of raw visits by their age."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from ..database import IN_LIST, Database, in_list_batches
from ..imports.timestamps import EPOCH

DAY = 86_400_000  # milliseconds
WINDOW = 5_000  # sessions looked at in one read
EVENTS = 1_000  # deleted in one transaction; of sessions it is what a list holds

TOTAL = """
select
  (select cast(coalesce(sum(sessions), 0) as bigint) from rollup_days where day < :day)
  - (select cast(coalesce(sum(sessions), 0) as bigint) from past_days where day < :day)
  + (select cast(coalesce(sum(events), 0) as bigint) from rollup_minutes where minute < :minute) as total
"""

# All that a transaction says of its events means the same ones: it sees one state of them.
OF_EVENTS = """
where event_id in (
  select event_id
  from events
  where occurred_at < :before
  order by occurred_at, event_id
  limit :rows)
"""

OLD_EVENTS = f"""
delete from events
{OF_EVENTS}
"""

# A session counts for a page by its events of it that are left, and by the number when these are the last.
ENDED = f"""
select coalesce(page, '') as page, sum(events) as events, sum(last) as unique_sessions
from (
  select page, count(*) as events,
    case
      when count(*) = (
        select views
        from session_pages as kept
        where kept.session_id = events.session_id and kept.page = events.page)
      then 1
      else 0
    end as last
  from events
  {OF_EVENTS}
  group by page, session_id) as pairs
group by page
"""

# First the pages that are there, then the others: one may be longer than what `on conflict (page)` finds it by.
PAST_EVENTS = (
    f"""
update past_events set
  events = past_events.events + more.events,
  unique_sessions = past_events.unique_sessions + more.unique_sessions
from ({ENDED}) as more
where past_events.page = more.page
""",
    f"""
insert into past_events (page, events, unique_sessions)
select page, events, unique_sessions
from ({ENDED}) as more
order by page
on conflict do nothing
""",
)

# No index has the sessions by their time. This goes over all of them once, with `>=` so that an empty id is not missed.
SESSIONS = """
select session_id, started_at
from sessions
where session_id >= :after
order by session_id
limit :rows
"""

OF_SESSIONS = f"""
where session_id in ({IN_LIST}) and started_at < :before
"""

OLD_SESSIONS = f"""
delete from sessions
{OF_SESSIONS}
"""

# Domains last: on PostgreSQL the row of one that is rare is locked until the commit.
PAST_SESSIONS = (
    f"""
insert into past_days (day, sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected)
select day, count(*), coalesce(sum(duration), 0), count(duration), coalesce(sum(engagement_score), 0),
  count(engagement_score), count(nullif(vpn_suspected, 0))
from sessions
{OF_SESSIONS}
group by day
order by day
on conflict (day) do update set
  sessions = past_days.sessions + excluded.sessions,
  duration_sum = past_days.duration_sum + excluded.duration_sum,
  duration_count = past_days.duration_count + excluded.duration_count,
  score_sum = past_days.score_sum + excluded.score_sum,
  score_count = past_days.score_count + excluded.score_count,
  vpn_suspected = past_days.vpn_suspected + excluded.vpn_suspected
""",
    f"""
insert into past_countries (country, sessions)
select geo, count(*)
from sessions
{OF_SESSIONS}
group by geo
order by geo
on conflict (country) do update set sessions = past_countries.sessions + excluded.sessions
""",
    f"""
insert into past_engagement (bucket, sessions)
select bucket, count(*)
from sessions
{OF_SESSIONS}
  and bucket is not null
group by bucket
order by bucket
on conflict (bucket) do update set sessions = past_engagement.sessions + excluded.sessions
""",
    f"""
insert into past_day_visitors (visitor_id, day)
select distinct visitor_id, day
from sessions
{OF_SESSIONS}
order by visitor_id, day
on conflict do nothing
""",
    f"""
insert into past_country_visitors (visitor_id, country)
select distinct visitor_id, geo
from sessions
{OF_SESSIONS}
order by visitor_id, geo
on conflict do nothing
""",
    f"""
insert into past_fingerprints (fingerprint)
select distinct fingerprint
from sessions
{OF_SESSIONS}
  and fingerprint is not null
order by fingerprint
on conflict do nothing
""",
    f"""
insert into past_sources (referrer_domain, sessions)
select source, count(*)
from sessions
{OF_SESSIONS}
group by source
order by source
on conflict (referrer_domain) do update set sessions = past_sources.sessions + excluded.sessions
""",
)


def purge(
    db: Database,
    before: date,
    *,
    keep_totals: bool = False,
    deleted: Callable[[int, int], object] = lambda rows, of: None,
) -> dict[str, int]:
    """Delete the sessions and the events dated before a UTC day, leads excepted; how many of each.

    Many small transactions, after each of which every rollup is exact, so that it can be stopped at any time and run
    again. Between two of them others get to write for as long as the first one took. An event goes by its own date,
    whatever its session's is. What comes with an older date while this runs may stay until the next time. `deleted`
    hears of so many more rows, and of how many there were in all.

    With `keep_totals` what the rows counted for goes into the past_* tables in the same transaction, so that no rollup
    moves but the minutes of realtime. A row that comes later counts as any other does: a visitor, and a fingerprint, of
    the past is known again, but a session or a session's page is a new one.
    """
    instant = (before.toordinal() - EPOCH.toordinal()) * DAY
    told = db.rows(TOTAL, day=before.isoformat(), minute=instant // 60_000)
    total: int = told[0]["total"]
    events = (*(PAST_EVENTS if keep_totals else ()), OLD_EVENTS)
    sessions = (*(PAST_SESSIONS if keep_totals else ()), OLD_SESSIONS)
    counts = {"events": 0, "sessions": 0}

    while rows := _unhurried(db, events, before=instant, rows=EVENTS):
        counts["events"] += rows
        deleted(rows, total)

    after, more = "", True
    while more:
        window = db.rows(SESSIONS, after=after, rows=WINDOW)
        for ids in in_list_batches(row["session_id"] for row in window if row["started_at"] < instant):
            rows = _unhurried(db, sessions, before=instant, **ids)
            counts["sessions"] += rows
            deleted(rows, total)
        more = len(window) == WINDOW
        after = window[-1]["session_id"] if more else after
    return counts


def _unhurried(db: Database, statements: Sequence[str], **params: Any) -> int:
    """Run the statements together, then wait as long as that took; how many rows the last one deleted.

    Who waits for SQLite's one lock only looks now and then whether it is free.
    """
    begun = time.monotonic()
    rows = db.write(lambda at: [at.execute(sql, **params) for sql in statements][-1])
    time.sleep(time.monotonic() - begun)
    return rows
