"""Delete old sessions and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from ..database import Database, Transaction
from ..statistics.ranges import load_offsets
from ..statistics.stored_keys import COUNTED_VALUES, DIMENSIONS
from ..values.calendar import MINUTE_MS, day_begins_at, to_day

# Maximum number of rows that one transaction deletes. Deleting a session changes more counters than deleting an event.
ROWS = {"events": 1_000, "sessions": 500}

OLD_ROWS = """
select
  (
    select cast(coalesce(sum(events), 0) as bigint)
    from minute_counts
    where minute < :minute) as events,
  (
    select cast(coalesce(sum(sessions), 0) as bigint)
    from day_counts
    where day between 0 and :day - 1)
  - (
    select cast(coalesce(sum(sessions), 0) as bigint)
    from archived_session_counts
    where dimension = 0 and day < :day) as sessions
"""

RAISE_RAW_SINCE = """
update site set raw_since = :day
where raw_since is null or raw_since < :day
"""

# All statements of a transaction use the same snapshot, so this condition selects the same rows in each of them. The
# transaction deletes exactly the events that it has archived.
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

OLD_SESSIONS = """
  select session_id
  from sessions
  where started_at < :before
  order by started_at, session_id
  limit :rows"""

WHERE_OLD_SESSIONS = f"""
where session_id in ({OLD_SESSIONS})
"""

DELETE_SESSIONS = f"""
delete from sessions
{WHERE_OLD_SESSIONS.strip()}
"""

# SESSION_KEYS has a row for each session and dimension, with the session's key. Dimension 0 counts all sessions.
_KEYS = "\n      ".join(f"when {dimension} then {COUNTED_VALUES[field]}" for field, dimension in DIMENSIONS.items())
_DIMENSIONS = ", ".join(f"({dimension})" for dimension in (0, *DIMENSIONS.values()))
SESSION_KEYS = f"""
  select session_id, dimension, day,
    case dimension
      when 0 then ''
      {_KEYS}
    end as key,
    case dimension when 0 then duration end as duration,
    case dimension when 0 then engagement_score end as engagement_score,
    case dimension when 0 then vpn_suspected else 0 end as vpn_suspected
  from counted_sessions as s
  cross join (select column1 as dimension from (values {_DIMENSIONS}) as numbers) as dimensions"""

OLD_COUNTS = f"""
select dimension, day, key, count(*) as sessions,
  coalesce(sum(duration), 0) as duration_sum, count(duration) as duration_count,
  coalesce(sum(engagement_score), 0) as score_sum, count(engagement_score) as score_count,
  count(nullif(vpn_suspected, 0)) as vpn_suspected
from ({SESSION_KEYS}) as session_keys
{WHERE_OLD_SESSIONS.strip()}
group by dimension, day, key
"""

# Update existing rows first, then insert the others. `on conflict do update` would need a unique index of the columns,
# but in PostgreSQL a key can be too long for an index.
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
    # `group by` begins with `day`. If it began with `visitor_id`, SQLite would read all sessions in the order of an
    # index.
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
    # `archived` is 1 if the first session of a lead was purged, 2 if the last session was purged, and 3 for both.
    f"""
update lead_attributions set archived =
  case when archived in (1, 3) or first_session_id in ({OLD_SESSIONS}) then 1 else 0 end
  + case when archived in (2, 3) or last_session_id in ({OLD_SESSIONS}) then 2 else 0 end
where lead_id in (
  select lead_id
  from leads
  where session_id in ({OLD_SESSIONS})
  union
  select lead_id
  from sessions
  join lead_attributions using (visitor_id)
  where session_id in ({OLD_SESSIONS}))
""",
)

PURGE_COLLECTOR = (
    """
delete from collector_events
where received_at < :before
""",
    """
delete from collector_sessions
where started_at < :before
""",
    """
delete from collector_leads
where received_at < :before
""",
    """
delete from collector_machines
where day < :day
""",
)
PURGE_SALTS = """
delete from collector_salts
where day < :day
"""


def count_old_rows(db: Database, before: date) -> dict[str, int]:
    """Return the numbers of events and sessions that `purge` would delete. The numbers are read from the counters."""
    day, instant = _begin(db, before)
    return db.rows(OLD_ROWS, day=day, minute=instant // MINUTE_MS)[0]


def purge(
    db: Database,
    before: date,
    *,
    keep_totals: bool = False,
    on_delete: Callable[[int, int], object] = lambda rows, of: None,
) -> dict[str, int]:
    """Delete the sessions and events before a day in the site's time zone, and return the number of rows of each table.

    Leads are not deleted. An event is deleted by its own date, not by the date of its session. Rows with an old date
    that are written during the purge may remain.

    The rows are deleted in many small transactions. All counters are correct after each of them, so the purge can be
    interrupted at any time and run again. After each transaction, the purge sleeps as long as the transaction took, so
    that other writers can proceed.

    :param keep_totals: whether to keep counting the deleted rows in all statistics except realtime. The counts of these
        rows are archived. Rows that are written later are counted correctly, whatever their date.
    :param on_delete: called after each transaction with the number of deleted rows, and the total number of rows to
        delete.
    """
    day, instant = _begin(db, before)
    total = sum(count_old_rows(db, before).values())
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
            on_delete(rows, total)
    db.write(lambda at: _purge_collector(at, day, instant))
    db.delete_empty_counters()
    return counts


def _begin(db: Database, before: date) -> tuple[int, int]:
    """Return a day as a number, and its first instant in the site's time zone."""
    day = to_day(before)
    return day, day_begins_at(day, load_offsets(db, day, day))


def _purge_collector(at: Transaction, day: int, instant: int) -> None:
    for sql in PURGE_COLLECTOR:
        at.execute(sql, **{"day": day} if ":day" in sql else {"before": instant})
    with at.secure_delete():
        at.execute(PURGE_SALTS, day=day)


def _run_throttled(db: Database, archive: Sequence[str], delete: str, **params: Any) -> int:
    """Archive and delete rows in one transaction, sleep as long as it took, and return the number of deleted rows.

    Other writers poll for SQLite's write lock, so they need a pause to acquire it.
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
