"""Delete old sessions and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from ..calendar import day_begins_at, to_day
from ..database import Database, Transaction
from ..ranges import load_offsets

# Rows deleted in one transaction; a session changes more counters than an event.
ROWS = {"events": 1_000, "sessions": 500}

TOTAL = """
select
  (
    select cast(coalesce(sum(sessions), 0) as bigint)
    from day_counts
    where day between 0 and :day - 1)
  - (
    select cast(coalesce(sum(sessions), 0) as bigint)
    from archived_session_counts
    where dimension = 0 and day < :day)
  + (
    select cast(coalesce(sum(events), 0) as bigint)
    from minute_counts
    where minute < :minute) as total
"""

RAISE_RAW_SINCE = """
update site set raw_since = :day
where raw_since is null or raw_since < :day
"""

# All statements of a transaction see the same snapshot, so they select the same rows.
WHERE_OLD_EVENTS = """
where event_id in (
  select event_id
  from events
  where occurred_at < :before
  order by occurred_at, event_id
  limit :rows)
"""

DELETE_EVENTS = f"""
delete from events
{WHERE_OLD_EVENTS.strip()}
"""

ARCHIVE_EVENTS = (
    f"""
update session_pages set archived = archived + old.views
from (
  select session_id, page_id, day, count(*) as views
  from counted_events
  join pages using (page)
  {WHERE_OLD_EVENTS.strip()}
  group by session_id, page_id, day) as old
where session_pages.session_id = old.session_id
  and session_pages.page_id = old.page_id
  and session_pages.day = old.day
""",
    f"""
insert into archived_event_counts (day, events)
select day, count(*)
from counted_events
{WHERE_OLD_EVENTS.strip()}
group by day
order by day
on conflict (day) do update set events = archived_event_counts.events + excluded.events
""",
)

WHERE_OLD_SESSIONS = """
where session_id in (
  select session_id
  from sessions
  where started_at < :before
  order by started_at, session_id
  limit :rows)
"""

DELETE_SESSIONS = f"""
delete from sessions
{WHERE_OLD_SESSIONS.strip()}
"""

OLD_COUNTS = f"""
select dimension, day, key, count(*) as sessions,
  coalesce(sum(duration), 0) as duration_sum, count(duration) as duration_count,
  coalesce(sum(engagement_score), 0) as score_sum, count(engagement_score) as score_count,
  count(nullif(vpn_suspected, 0)) as vpn_suspected
from session_keys
{WHERE_OLD_SESSIONS.strip()}
group by dimension, day, key
"""

# First the rows that exist: on PostgreSQL a key may be longer than a unique index takes, so that no `on conflict` could
# name it.
ARCHIVE_SESSIONS = (
    f"""
update archived_session_counts set
  sessions = archived_session_counts.sessions + old.sessions,
  duration_sum = archived_session_counts.duration_sum + old.duration_sum,
  duration_count = archived_session_counts.duration_count + old.duration_count,
  score_sum = archived_session_counts.score_sum + old.score_sum,
  score_count = archived_session_counts.score_count + old.score_count,
  vpn_suspected = archived_session_counts.vpn_suspected + old.vpn_suspected
from ({OLD_COUNTS}) as old
where archived_session_counts.dimension = old.dimension
  and archived_session_counts.day = old.day
  and archived_session_counts.key = old.key
""",
    f"""
insert into archived_session_counts (
  dimension, day, key, sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected)
select dimension, day, key, sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected
from ({OLD_COUNTS}) as old
where true
order by dimension, day, key
on conflict do nothing
""",
    # By day first: else SQLite reads all sessions in the order of an index, by visitor.
    f"""
update visitor_days set archived = archived + old.sessions
from (
  select visitor_id, day, country_code, count(*) as sessions
  from counted_sessions
  {WHERE_OLD_SESSIONS.strip()}
  group by day, visitor_id, country_code) as old
where visitor_days.visitor_id = old.visitor_id
  and visitor_days.day = old.day
  and visitor_days.country_code = old.country_code
""",
    f"""
update fingerprint_days set archived = archived + old.sessions
from (
  select fingerprint, day, count(*) as sessions
  from counted_sessions
  {WHERE_OLD_SESSIONS.strip()}
    and fingerprint is not null
  group by fingerprint, day) as old
where fingerprint_days.fingerprint = old.fingerprint
  and fingerprint_days.day = old.day
""",
)


def purge(
    db: Database,
    before: date,
    *,
    keep_totals: bool = False,
    deleted: Callable[[int, int], object] = lambda rows, of: None,
) -> dict[str, int]:
    """Delete the sessions and the events dated before a day of the site, and return how many of each.

    Leads stay. The work is done in many small transactions, after each of which every counter is exact, so it can be
    stopped at any time and run again. Between two of them other writers have as long as the first one took. An event
    goes by its own date, not by its session's. A row that is written with an older date meanwhile may stay.

    :param keep_totals: keep what the rows counted for in the archive, so that no counter changes except the minutes of
        realtime. Sessions and events that are written later, with whatever date, are counted exactly.
    :param deleted: is called with the number of rows after each transaction, and with the number of all.
    """
    day = to_day(before)
    instant = day_begins_at(day, load_offsets(db, day, day))
    total: int = db.rows(TOTAL, day=day, minute=instant // 60_000)[0]["total"]
    if keep_totals:
        db.write(lambda at: at.execute(RAISE_RAW_SINCE, day=day))
    counts = {}
    for table, archive, delete in (
        ("events", ARCHIVE_EVENTS, DELETE_EVENTS),
        ("sessions", ARCHIVE_SESSIONS, DELETE_SESSIONS),
    ):
        counts[table] = 0
        while rows := _run_throttled(db, archive if keep_totals else (), delete, before=instant, rows=ROWS[table]):
            counts[table] += rows
            deleted(rows, total)
    return counts


def _run_throttled(db: Database, archive: Sequence[str], delete: str, **params: Any) -> int:
    """Archive and delete in one transaction, then wait as long as it took; return how many rows were deleted.

    A writer that waits for SQLite's write lock only polls it, so it needs a pause to get the lock.
    """

    def work(at: Transaction) -> int:
        if not archive:
            return at.execute(delete, **params)
        with at.archiving():
            for sql in archive:
                at.execute(sql, **params)
            return at.execute(delete, **params)

    started = time.monotonic()
    rows = db.write(work)
    time.sleep(time.monotonic() - started)
    return rows
