"""The site's calendar: which instants a day has, and how a range divides into intervals. Needs no database.

A day is an integer, days since 1970-01-01. It begins at the first instant that has its date on the site's clock, and
lasts until the next day begins. Instants and offsets are milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Literal, NamedTuple

HOUR_MS = 3_600_000
DAY_MS = 86_400_000

ALL_TIME = -1  # the day of the counters that stands for all time
LAST_DAY = 2_932_896  # 9999-12-31, the last one that `date` knows

EPOCH = date(1970, 1, 1).toordinal()

Interval = Literal["hour", "day", "week", "month"]


class Offset(NamedTuple):
    """What holds from an instant until the next row.

    An instant's day is `(instant + day_offset) // DAY_MS`; the clock shows `instant + utc_offset`. The two differ only
    where a clock was set back over midnight, until it has passed midnight again.
    """

    begins_at: int
    day_offset: int
    utc_offset: int


class DayRange(NamedTuple):
    """The days `first` to `last`, both inclusive; None is an open end."""

    first: int | None
    last: int | None

    def __str__(self) -> str:
        first, last = ("" if day is None else to_date(day).isoformat() for day in self)
        return f"{first or '..'}/{last or '..'}"


def to_day(value: date) -> int:
    return value.toordinal() - EPOCH


def to_date(day: int) -> date:
    return date.fromordinal(day + EPOCH)


def day_of(instant: int, offsets: Sequence[Offset]) -> int:
    """Return the day that an instant lies on."""
    place = bisect_right(offsets, instant, key=_begins_at) - 1
    return (instant + offsets[max(place, 0)].day_offset) // DAY_MS


def day_begins_at(day: int, offsets: Sequence[Offset]) -> int:
    """Return the first instant of a day; of a day that was skipped, the first one after it."""
    place = max(bisect_left(offsets, day, key=_first_day) - 1, 0)
    begins_at = day * DAY_MS - offsets[place].day_offset
    if place + 1 < len(offsets):
        return min(begins_at, offsets[place + 1].begins_at)
    return begins_at


def _begins_at(offset: Offset) -> int:
    return offset.begins_at


def _first_day(offset: Offset) -> int:
    return (offset.begins_at + offset.day_offset) // DAY_MS


def interval_first(day: int, interval: Interval) -> int:
    """Return the first day of the interval that a day lies in: itself, a Monday, or the 1st of a month."""
    if interval == "week":
        return day - (day + 3) % 7  # 1970-01-01 was a Thursday
    if interval == "month":
        return day - to_date(day).day + 1
    return day


def interval_next(first: int, interval: Interval) -> int:
    """Return the first day of the interval after the one that begins on `first`."""
    if interval == "week":
        return first + 7
    if interval == "month":
        return interval_first(first + 31, "month")
    return first + 1


def interval_count(first: int, last: int, interval: Interval) -> int:
    """Return how many intervals the days `first` to `last` touch; of hours, 24 a day."""
    days = max(last - first + 1, 0)
    if interval == "hour":
        return days * 24
    if days == 0 or interval == "day":
        return days
    if interval == "week":
        return (interval_first(last, "week") - interval_first(first, "week")) // 7 + 1
    begin, end = to_date(first), to_date(last)
    return (end.year - begin.year) * 12 + end.month - begin.month + 1


def intervals(first: int, last: int, interval: Interval) -> Iterator[int]:
    """Yield the first day of every interval that the days `first` to `last` touch, ascending."""
    begin = interval_first(first, interval)
    while begin <= last:
        yield begin
        begin = interval_next(begin, interval)


def hours(begins_at: int, ends_at: int, offsets: Sequence[Offset]) -> Iterator[int]:
    """Yield the instants within [begins_at, ends_at) at which a row of an hour begins, ascending.

    A row begins at each whole hour of the clock, and wherever the clock is set, so each has one offset.
    """
    for place, offset in enumerate(offsets):
        end = offsets[place + 1].begins_at if place + 1 < len(offsets) else ends_at
        begin = max(begins_at, offset.begins_at)
        end = min(end, ends_at)
        while begin < end:
            yield begin
            begin = ((begin + offset.utc_offset) // HOUR_MS + 1) * HOUR_MS - offset.utc_offset


def local_time(instant: int, utc_offset: int) -> str:
    """Return what the clock shows at an instant, with its offset: `2026-02-22T13:00+05:30`."""
    zone = timezone(timedelta(milliseconds=utc_offset))
    return datetime.fromtimestamp(instant / 1000, zone).isoformat(timespec="minutes")
