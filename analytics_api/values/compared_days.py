"""Compute the earlier days of a comparison, and the instant at which a clock shows a time on a day.

`statistics/earlier_range.py` reads the statistics of the earlier days.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, get_args

from .calendar import DAY_MS, MINUTE_MS, Offset, to_date, to_day

Comparison = Literal["previous", "year"]
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)


def year_earlier(day: int) -> int:
    """Return the same date a year earlier. For February 29, return February 28."""
    date = to_date(day)
    if (date.month, date.day) == (2, 29):
        date = date.replace(day=28)
    return to_day(date.replace(year=date.year - 1))


def compared_days(first: int, last: int, comparison: Comparison) -> tuple[int, int]:
    """Return the first and the last day to compare with.

    `previous` compares with the same number of days just before, `year` with the same dates a year earlier.
    """
    if comparison == "year":
        return year_earlier(first), year_earlier(last)
    return 2 * first - last - 1, first - 1


def corresponding_day(day: int, first: int, last: int, comparison: Comparison) -> int:
    """Return the earlier day that a day of the range `first` to `last` is compared with."""
    return year_earlier(day) if comparison == "year" else day - (last - first + 1)


def first_instant(day: int, time_of_day: int, offsets: Sequence[Offset]) -> int:
    """Return the first instant of a day at which the clock shows a time of day.

    If the clock skips this time, return the first instant after the skip.

    :param time_of_day: milliseconds since midnight.
    :param offsets: the UTC offsets that apply to the day.
    """
    wall_time = day * DAY_MS + time_of_day
    for offset, following in pairwise(offsets):
        instant = max(wall_time - offset.utc_offset, offset.begins_at)
        if instant < following.begins_at:
            return instant
    return max(wall_time - offsets[-1].utc_offset, offsets[-1].begins_at)


def time_of_day(now: int, utc_offset: int) -> int:
    """Return the time of day in milliseconds since midnight, rounded down to a minute."""
    return (now + utc_offset) % DAY_MS // MINUTE_MS * MINUTE_MS
