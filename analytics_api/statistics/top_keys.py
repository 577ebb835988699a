"""The most frequent values of a property of sessions, such as their referrer domains."""

from __future__ import annotations

from ..database import Database
from ..values.calendar import DayRange
from .filter_conditions import DIMENSIONS
from .filtered_sessions import read_keys
from .matching import Matching

TOP = """
select key, sessions
from all_time_keys
where dimension = :dimension and key <> ''
order by sessions desc, key
limit :limit
"""

TOP_SOURCES = """
select key, sessions
from all_time_sources
order by sessions desc, key
limit :limit
"""

TOP_OF_RANGE = """
select key, cast(sum(sessions) as bigint) as sessions
from key_counts
where dimension = :dimension and day between :first and :last and key <> ''
group by key
having sum(sessions) <> 0
order by sessions desc, key
limit :limit
"""


def read_top_keys(
    db: Database, range_: DayRange | None, matching: Matching | None, field: str, limit: int
) -> list[tuple[str, int]]:
    """Return the values of a field with the most sessions, and their numbers of sessions. Ties are sorted by value.

    :param range_: the days; None for all time.
    :param field: a key of DIMENSIONS. Sessions without a value are not counted.
    """
    if matching:
        return read_keys(db, matching, field, limit)
    if range_ is None and field == "source":
        return db.tuples(TOP_SOURCES, limit=limit)
    if range_ is None:
        return db.tuples(TOP, dimension=DIMENSIONS[field], limit=limit)
    return db.tuples(TOP_OF_RANGE, dimension=DIMENSIONS[field], limit=limit, **range_.bounds)
