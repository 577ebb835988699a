"""The most frequent values of a property of sessions, such as their referrer domains."""

from __future__ import annotations

from typing import Final

from ..database import Database
from ..values.calendar import DayRange
from .filter_conditions import DIMENSIONS
from .filtered_sessions import read_keys
from .matching import Matching


def _top(dimension: int) -> str:
    return f"""
select key, sessions
from all_time_keys
where dimension = {dimension} and key <> ''
order by sessions desc, key
limit :limit
"""


def _top_of_range(dimension: int) -> str:
    return f"""
select key, cast(sum(sessions) as bigint) as sessions
from key_counts
where dimension = {dimension} and day between :first and :last and key <> ''
group by key
having sum(sessions) <> 0
order by sessions desc, key
limit :limit
"""


# The dimension is a constant in each statement, so that SQLite can use the partial index sources_by_sessions.
TOP: Final[dict[str, str]] = {field: _top(dimension) for field, dimension in DIMENSIONS.items()}
TOP_OF_RANGE: Final[dict[str, str]] = {field: _top_of_range(dimension) for field, dimension in DIMENSIONS.items()}


def read_top_keys(
    db: Database, range_: DayRange | None, matching: Matching | None, field: str, limit: int
) -> list[tuple[str, int]]:
    """Return the values of a field with the most sessions, and their numbers of sessions. Ties are sorted by value.

    :param range_: the days; None for all time.
    :param field: a key of DIMENSIONS. Sessions without a value are not counted.
    """
    if matching:
        return read_keys(db, matching, field, limit)
    if range_ is None:
        return db.tuples(TOP[field], limit=limit)
    return db.tuples(TOP_OF_RANGE[field], limit=limit, **range_.bounds)
