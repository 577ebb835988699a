"""Read the counters."""

from analytics_api.database.base import COUNT_COLUMNS

TOTALS = """
select
  cast(coalesce(sum(sessions), 0) as bigint) as sessions,
  cast(coalesce(sum(visitors), 0) as bigint) as visitors,
  cast(coalesce(sum(fingerprints), 0) as bigint) as fingerprints,
  (select cast(coalesce(sum(events), 0) as bigint) from event_counts where day = -1) as events
from day_counts
where day = -1
"""


def read_totals(database):
    """Return the numbers of sessions, visitors, fingerprints and events of all time."""
    return database.rows(TOTALS)[0]


def counts_something(row):
    """Return whether a row is compared. It is not if all its counts are 0, which means the same as no row."""
    counts = [value for column, value in row.items() if column in COUNT_COLUMNS]
    return any(counts) or not counts
