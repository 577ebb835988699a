"""Read the number of sessions and events from the counters."""

from __future__ import annotations

from .base import Database

# Day -1 stands for all time.
ROW_COUNTS = """
select
  (
    select cast(coalesce(sum(sessions), 0) as bigint)
    from day_counts
    where day = -1) as sessions,
  (
    select cast(coalesce(sum(events), 0) as bigint)
    from event_counts
    where day = -1) as events
"""


def count_rows(database: Database) -> dict[str, int]:
    """Return the number of sessions and of events, by table name. Archived rows, which were purged, are included."""
    return database.rows(ROW_COUNTS)[0]
