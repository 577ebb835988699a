"""Calendar arithmetic in the site's time zone: days, intervals and UTC offsets.

A day is an integer, the number of days since 1970-01-01. A day begins at the first instant at which the site's
clock shows its date, and ends when the next day begins. Instants and offsets are in milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final, Literal, NamedTuple, get_args

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

END_DAY = 2_932_897  # the day after 9999-12-31, which is the maximum of `datetime.date`

EPOCH = date(1970, 1, 1).toordinal()

CYCLE = 146_097  # days of 400 years, after which the calendar repeats

Interval = Literal["hour", "day", "week", "month"]
INTERVALS: Final[tuple[Interval, ...]] = get_args(Interval)


class Offset(NamedTuple):
    """A row of `site_offsets`, which applies from `begins_at` until the next row's `begins_at`.

    The day of an instant is `(instant + day_offset) // DAY_MS`. The local time is `instant + utc_offset`. The two
    offsets differ only after a clock was set back across midnight, until the clock passes midnight again.
    """

    begins_at: int
    day_offset: int
    utc_offset: int


class Today(NamedTuple):
    """The site's current day. `begins_at` is inclusive, `ends_at` is exclusive."""

    day: int
    begins_at: int
    ends_at: int


class DayRange(NamedTuple):
    """The days from `first` to `last`, both inclusive. None means no bound.

    `today` is set if the result depends on the current day, because the range is a number of days or has no last day.
    """

    first: int | None
    last: int | None
    today: Today | None = None

    def __str__(self) -> str:
        first, last = (".." if day is None else iso_date(day) for day in (self.first, self.last))
        return f"{first}/{last}"

    @property
    def bounds(self) -> dict[str, int]:
        """Return `first` and `last` as statement parameters.

        Both are integers. The range never includes -1, which is the day of the counters for all time.
        """
        return {
            "first": max(self.first or 0, 0),
            "last": END_DAY if self.last is None else self.last,
        }


ALL_TIME = DayRange(None, None)


def to_day(value: date) -> int:
    return value.toordinal() - EPOCH


def to_date(day: int) -> date:
    return date.fromordinal(day + EPOCH)


def iso_date(day: int) -> str:
    """Return a day as `YYYY-MM-DD`.

    END_DAY is `10000-01-01`: in time zones east of Greenwich, the last hours of the year 9999 in UTC are on that day.
    """
    return "10000-01-01" if day == END_DAY else to_date(day).isoformat()


def utc_date(instant: int) -> str:
    """Return the UTC date of an instant as `YYYY-MM-DD`."""
    return iso_date(instant // DAY_MS)


def find_offset(instant: int, offsets: Sequence[Offset]) -> Offset:
    """Return the row that applies to an instant. The first row also applies before its `begins_at`."""
    return offsets[max(bisect_right(offsets, instant, key=_begins_at) - 1, 0)]


def day_of(instant: int, offsets: Sequence[Offset]) -> int:
    """Return the day of an instant."""
    return (instant + find_offset(instant, offsets).day_offset) // DAY_MS


def day_begins_at(day: int, offsets: Sequence[Offset]) -> int:
    """Return the first instant of a day. If the clock skipped the day, return the first instant after the skip."""
    index = max(bisect_left(offsets, day, key=_first_day) - 1, 0)
    begins_at = day * DAY_MS - offsets[index].day_offset
    if index + 1 < len(offsets):
        return min(begins_at, offsets[index + 1].begins_at)
    return begins_at


def _begins_at(offset: Offset) -> int:
    return offset.begins_at


def _first_day(offset: Offset) -> int:
    return (offset.begins_at + offset.day_offset) // DAY_MS


def interval_first(day: int, interval: Interval) -> int:
    """Return the first day of the interval that contains a day: the day itself, a Monday, or the 1st of a month."""
    if interval == "week":
        return day - (day + 3) % 7  # 1970-01-01 was a Thursday
    if interval == "month":
        return day - to_date(day % CYCLE).day + 1  # also for days after 9999, which are not dates
    return day


def interval_next(first: int, interval: Interval) -> int:
    """Return the first day of the interval after the one that begins on `first`."""
    if interval == "week":
        return first + 7
    if interval == "month":
        return interval_first(first + 31, "month")
    return first + 1


def interval_count(first: int, last: int, interval: Interval) -> int:
    """Return the number of intervals that overlap the days `first` to `last`. Every day is counted as 24 hours."""
    if last < first:
        return 0
    if interval == "hour":
        return (last - first + 1) * 24
    if interval == "month":
        begin, end = (to_date(min(day, END_DAY - 1)) for day in (first, last))
        return (end.year - begin.year) * 12 + end.month - begin.month + 1
    days = 7 if interval == "week" else 1
    return (interval_first(last, interval) - interval_first(first, interval)) // days + 1


def intervals(first: int, last: int, interval: Interval) -> Iterator[int]:
    """Yield the first day of every interval that overlaps the days `first` to `last`, in ascending order."""
    if last < first:
        return
    begin = interval_first(first, interval)
    while begin <= last:
        yield begin
        begin = interval_next(begin, interval)


class Span(NamedTuple):
    """A period with one UTC offset. `begins_at` is inclusive, `ends_at` is exclusive."""

    begins_at: int
    ends_at: int
    utc_offset: int


def spans(begins_at: int, ends_at: int, offsets: Sequence[Offset]) -> Iterator[Span]:
    """Split the period [begins_at, ends_at) at each change of the UTC offset. Yield the parts in ascending order."""
    for index, offset in enumerate(offsets):
        next_begins_at = offsets[index + 1].begins_at if index + 1 < len(offsets) else ends_at
        # The first offset also applies before its `begins_at`.
        span_begins_at = max(begins_at, offset.begins_at) if index else begins_at
        span = Span(span_begins_at, min(ends_at, next_begins_at), offset.utc_offset)
        if span.begins_at < span.ends_at:
            yield span


def hours(span: Span) -> Iterator[int]:
    """Yield the instants at which hours begin within a span, in ascending order.

    The first is the beginning of the span; the others are whole hours of local time.
    """
    first, last = ((instant + span.utc_offset) // HOUR_MS for instant in (span.begins_at, span.ends_at - 1))
    for hour in range(first, last + 1):
        yield hour_begins_at(hour, span)


def hour_begins_at(hour: int, span: Span) -> int:
    """Return the first instant of an hour within a span. Hours are numbered since the epoch, in local time."""
    return max(hour * HOUR_MS - span.utc_offset, span.begins_at)


def local_time(instant: int, utc_offset: int) -> str:
    """Return the local time of an instant with its offset, such as `2026-02-22T13:00+05:30`."""
    day, of_day = divmod(instant + utc_offset, DAY_MS)
    sign = "-" if utc_offset < 0 else "+"
    return f"{iso_date(day)}T{_hours_and_minutes(of_day)}{sign}{_hours_and_minutes(abs(utc_offset))}"


def _hours_and_minutes(milliseconds: int) -> str:
    hours, rest = divmod(milliseconds, HOUR_MS)
    return f"{hours:02}:{rest // MINUTE_MS:02}"
