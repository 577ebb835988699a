"""Letting go of raw visits by their age."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Any

from .database import LIST, Database, lists
from .ingest.rows import EPOCH

DAY = 86_400_000  # milliseconds
WINDOW = 5_000  # sessions looked at in one read
EVENTS = 1_000  # deleted in one transaction; of sessions it is what a list holds

TOTAL = """
select
  (select cast(coalesce(sum(sessions), 0) as bigint) from rollup_days where day < :day)
  + (select cast(coalesce(sum(events), 0) as bigint) from rollup_minutes where minute < :minute) as total
"""

OLD_EVENTS = """
delete from events
where event_id in (
  select event_id
  from events
  where occurred_at < :before
  order by occurred_at, event_id
  limit :rows)
"""

# No index has the sessions by their time. This goes over all of them once, with `>=` so that an empty id is not missed.
SESSIONS = """
select session_id, started_at
from sessions
where session_id >= :after
order by session_id
limit :rows
"""

OLD_SESSIONS = f"""
delete from sessions
where session_id in ({LIST}) and started_at < :before
"""


def purge(
    db: Database, before: date, *, deleted: Callable[[int, int], object] = lambda rows, of: None
) -> dict[str, int]:
    """Delete the sessions and the events dated before a UTC day, leads excepted; how many of each.

    Many small transactions, after each of which every rollup is exact, so that it can be stopped at any time and run
    again. Between two of them others get to write for as long as the first one took. An event goes by its own date,
    whatever its session's is. What comes with an older date while this runs may stay until the next time. `deleted`
    hears of so many more rows, and of how many there were in all.
    """
    instant = (before.toordinal() - EPOCH.toordinal()) * DAY
    told = db.rows(TOTAL, day=before.isoformat(), minute=instant // 60_000)
    total: int = told[0]["total"]
    counts = {"events": 0, "sessions": 0}

    while rows := _unhurried(db, OLD_EVENTS, before=instant, rows=EVENTS):
        counts["events"] += rows
        deleted(rows, total)

    after, more = "", True
    while more:
        window = db.rows(SESSIONS, after=after, rows=WINDOW)
        for ids in lists(row["session_id"] for row in window if row["started_at"] < instant):
            rows = _unhurried(db, OLD_SESSIONS, before=instant, **ids)
            counts["sessions"] += rows
            deleted(rows, total)
        more = len(window) == WINDOW
        after = window[-1]["session_id"] if more else after
    return counts


def _unhurried(db: Database, sql: str, **params: Any) -> int:
    """Run the statement, then wait as long as that took; how many rows it deleted.

    Who waits for SQLite's one lock only looks now and then whether it is free.
    """
    begun = time.monotonic()
    rows = db.write(lambda at: at.execute(sql, **params))
    time.sleep(time.monotonic() - begun)
    return rows
