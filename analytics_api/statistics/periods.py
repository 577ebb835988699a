"""The instants at which a range of days begins and ends, and the weeks and months of days."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..database import Database, Reader
from ..http.parameters import MAX_INT64
from ..values.calendar import ALL_TIME, DAY_MS, DayRange, Interval, day_begins_at, day_of
from .ranges import load_offsets

# Common table expressions that compute, for each day in `dates`, the first day of its week or month. SQLite and
# PostgreSQL have different date functions, but the same integer arithmetic. Day 0 is a Thursday.
WEEKS = """
intervals as (
  select day, day - (day + 3) % 7 as first_day
  from dates)
"""
# The calendar repeats after 400 years, which have 146,097 days. In this calculation, years begin on March 1. So a leap
# day is the last day of its year, and the first n months of each year have `(153 * n + 2) / 5` days.
MONTHS = """
intervals as (
  select day, day - (day_of_year - (153 * ((5 * day_of_year + 2) / 153) + 2) / 5) as first_day
  from (
    select day, day_of_cycle - (365 * years + years / 4 - years / 100) as day_of_year
    from (
      select day, day_of_cycle,
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 - day_of_cycle / 146096) / 365 as years
      from (
        select day, (day + 719468) % 146097 as day_of_cycle
        from dates) as cycles) as years_of_cycles) as days_of_years)
"""

INTERVAL_EXPRESSIONS: Final[dict[Interval, str]] = {"week": WEEKS, "month": MONTHS}


class Period(NamedTuple):
    """A range of days and its instants. `begins_at` is inclusive, `ends_at` is exclusive.

    :param first: the first whole day.
    :param last: the last whole day.
    :param cut_begins_at: None if all days are whole. Otherwise, the range ends within the day after `last`, the cut
        day. `cut_begins_at` is the instant at which the cut day begins, and `ends_at` is an instant within it.
    """

    begins_at: int
    ends_at: int
    first: int
    last: int
    cut_begins_at: int | None = None

    @property
    def last_day(self) -> int:
        """The last day, even if it is not whole."""
        return self.last if self.cut_begins_at is None else self.last + 1

    def parameters(self) -> dict[str, int | None]:
        """Return the fields and `last_day` as statement parameters."""
        return {**self._asdict(), "last_day": self.last_day}


def find_period(db: Database, range_: DayRange | None, until: int | None) -> Period:
    """Return the period of a range of days.

    :param until: an exclusive end in milliseconds since the epoch, if it is before the end of the range.
    """
    days = range_ or ALL_TIME
    first, last = days.bounds["first"], days.bounds["last"]
    begins_at = 0 if days.first is None else day_begins_at(first, load_offsets(db, first, first))
    ends_at = MAX_INT64 if days.last is None else day_begins_at(last + 1, load_offsets(db, last + 1, last + 1))
    if until is None or until >= ends_at:
        return Period(begins_at, ends_at, first, last)
    utc_day = until // DAY_MS
    offsets = load_offsets(db, utc_day - 1, utc_day + 1)
    cut_day = day_of(until, offsets)
    return Period(begins_at, until, first, cut_day - 1, max(begins_at, day_begins_at(cut_day, offsets)))


def find_bounds(at: Reader | Database, range_: DayRange | None, until: int | None) -> tuple[int | None, int | None]:
    """Return the instants at which a range begins (inclusive) and ends (exclusive). None means no bound.

    :param until: an exclusive end in milliseconds since the epoch, if it is before the end of the range.
    """
    if range_ is None:
        return None, None
    first, last = range_.first, range_.last
    since = None if first is None else day_begins_at(first, load_offsets(at, first, first))
    before = None if last is None else day_begins_at(last + 1, load_offsets(at, last + 1, last + 1))
    if until is not None:
        before = until if before is None else min(before, until)
    return since, before
