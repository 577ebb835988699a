"""The days whose rows were purged but are still counted. An import must not count such rows again."""

from __future__ import annotations

from ..database import Transaction
from ..statistics.ranges import RAW_SINCE, load_offsets
from ..values.calendar import day_begins_at

INSTANT_COLUMNS = {"sessions": "started_at", "events": "occurred_at"}


def read_purged_before(at: Transaction) -> int | None:
    """Return the end of the days that were purged with `--keep-totals`, in milliseconds since the epoch.

    Return None if no day was purged with `--keep-totals`. Rows that were purged without this option are not counted, so
    an import may add them again.
    """
    day: int | None = at.rows(RAW_SINCE)[0]["raw_since"]
    return None if day is None else day_begins_at(day, load_offsets(at, day, day))
