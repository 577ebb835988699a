"""The most frequent values of a property of sessions, such as their referrer domains."""

from __future__ import annotations

from ..database import Database
from ..values.calendar import DayRange
from .filtered_sessions import read_keys
from .matching import Matching
from .stored_keys import DIMENSIONS, replace_keys

COUNTS = """
select key, sessions
from all_time_keys
where dimension = :dimension
"""

TOP_SOURCES = """
select key, sessions
from all_time_sources
order by sessions desc, key
limit :limit
"""

# The primary key of key_counts begins with the day. `cross join` makes SQLite search it once for each day.
COUNTS_OF_RANGE = """
with days as (
  select day
  from day_counts
  where day between :first and :last
  group by day)
select c.key, cast(sum(c.sessions) as bigint) as sessions
from days
cross join key_counts as c
where c.dimension = :dimension and c.day = days.day
group by c.key
having sum(c.sessions) <> 0
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
    dimension = DIMENSIONS[field]
    if range_ is None:
        return db.tuples(top_statement(field, COUNTS), dimension=dimension, limit=limit)
    return db.tuples(top_statement(field, COUNTS_OF_RANGE), dimension=dimension, limit=limit, **range_.bounds)


def top_statement(field: str, counts: str) -> str:
    """Return the statement that reads the values of a field with the most sessions.

    :param counts: COUNTS or COUNTS_OF_RANGE.
    """
    return f"""
select key, sessions
from ({replace_keys(field, counts).strip()}) as counts
where key <> ''
order by sessions desc, key
limit :limit
"""
