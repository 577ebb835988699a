"""Number of sessions by country."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from ..context import Context
from ..filters import Filters
from ..matching import find_matching, read_countries
from ..ranges import Days, resolve_range


class Country(TypedDict):
    country: str
    sessions: int
    unique_visitors: int


COUNTRIES = """
select key as country, sessions, visitors as unique_visitors
from all_time_keys
where dimension = 1
order by sessions desc, country
"""

# A return is a session whose visitor's previous session was on an earlier day. Unique visitors are the visitors of each
# day, minus the returns whose previous day is in the range. `cross join` makes SQLite read `days` first, so it reads
# only the returns within the range: 1.7 ms instead of 3.0 for 30 of 120 days.
COUNTRIES_OF_RANGE = """
with days as (
  select day
  from day_counts
  where day between :first and :last
  group by day),
counts as (
  select key, sum(sessions) as sessions, sum(visitors) as visitors
  from key_counts
  where dimension = 1 and day between :first and :last
  group by key
  having sum(sessions) <> 0),
returns as (
  select r.key, sum(r.sessions) as visitors
  from days
  cross join session_returns as r
  where r.dimension = 1 and r.day = days.day and r.previous_day >= :first
  group by r.key)
select key as country, cast(counts.sessions as bigint) as sessions,
  cast(counts.visitors - coalesce(returns.visitors, 0) as bigint) as unique_visitors
from counts
left join returns using (key)
order by sessions desc, country
"""


def geo(
    ctx: Context,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
) -> list[Country]:
    """Return the number of sessions and unique visitors of every country, for all time or a range of days.

    Countries with more sessions come first, ties in the order of the country codes. `XX` means unknown.
    """
    range_ = resolve_range(ctx, from_, to, days, filters)
    if matching := find_matching(ctx.db, range_, filters):
        rows = read_countries(ctx.db, matching)
    elif range_ is None:
        rows = ctx.db.tuples(COUNTRIES)
    else:
        rows = ctx.db.tuples(COUNTRIES_OF_RANGE, **range_.bounds)
    return [
        {"country": country, "sessions": sessions, "unique_visitors": visitors} for country, sessions, visitors in rows
    ]
