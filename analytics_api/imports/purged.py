"""The days whose rows were purged but are still counted. An import must not count such rows again."""

from __future__ import annotations

from ..database import Transaction
from ..statistics.ranges import load_offsets
from ..values.calendar import day_begins_at

INSTANT_COLUMNS = {"sessions": "started_at", "events": "occurred_at"}

RAW_SINCE = """
select raw_since
from site
"""


def read_purged_before(at: Transaction) -> int | None:
    """Return the end of the days that were purged with `--keep-totals`, in milliseconds since the epoch.

    Return None if no day was purged with `--keep-totals`. Rows that were purged without this option are not counted, so
    an import may add them again.
    """
    row = at.row(RAW_SINCE)
    day: int | None = None if row is None else row["raw_since"]
    return None if day is None else day_begins_at(day, load_offsets(at, day, day))
