"""Rows of days that were purged and are still counted: an import must not count them again."""

from __future__ import annotations

from ..calendar import day_begins_at
from ..database import Transaction
from ..ranges import load_offsets

INSTANT_COLUMNS = {"sessions": "started_at", "events": "occurred_at"}

RAW_SINCE = """
select raw_since
from site
"""


def read_purged_before(at: Transaction) -> int | None:
    """Return the first instant of which rows exist; None if nothing was purged with its totals archived."""
    row = at.row(RAW_SINCE)
    day: int | None = None if row is None else row["raw_since"]
    return None if day is None else day_begins_at(day, load_offsets(at, day, day))
