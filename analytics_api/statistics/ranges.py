"""Convert the parameters `from`, `to` and `days` to a range of days in the site's time zone."""

from __future__ import annotations

from datetime import date
from typing import Final

from ..context import Context
from ..database import Database, Reader
from ..errors import InvalidRequest
from ..values.calendar import (
    ALL_TIME,
    DAY_MS,
    INTERVALS,
    MINUTE_MS,
    DayRange,
    Interval,
    Offset,
    Today,
    day_begins_at,
    interval_count,
    interval_next,
    intervals,
    iso_date,
    to_day,
)
from ..values.compared_days import Comparison
from .session_filters import Filters, parse_filters

# The `days` argument of an endpoint: a number of days up to and including today, or a range.
Days = int | DayRange | None

MAX_INTERVALS: Final = 3_700

TODAY = """
select begins_at, day_offset, (
    select min(begins_at)
    from site_offsets
    where begins_at > :now) as ends_at
from site_offsets
where begins_at <= :now
order by begins_at desc
limit 1
"""

OFFSETS = """
select begins_at, day_offset, utc_offset
from site_offsets
where begins_at <= :until and begins_at >= (
  select coalesce(max(begins_at), 0)
  from site_offsets
  where begins_at <= :since)
order by begins_at
"""

# The first day whose sessions were not purged; null if no sessions were purged.
RAW_SINCE = """
select raw_since
from site
"""

FIRST_DAY, LAST_DAY = (
    f"""
select day
from day_counts
where day between :first and :last
group by day
having sum(sessions) <> 0
order by day {order}
limit 1
"""
    for order in ("asc", "desc")
)


def find_first_day(db: Database, range_: DayRange = ALL_TIME) -> int | None:
    """Return the first day of a range that has sessions, or None if there is none. Purged sessions are included."""
    rows = db.tuples(FIRST_DAY, **range_.bounds)
    return rows[0][0] if rows else None


def find_last_day(db: Database, range_: DayRange) -> int | None:
    """Return the last day of a range that has sessions, or None if there is none. Purged sessions are included."""
    rows = db.tuples(LAST_DAY, **range_.bounds)
    return rows[0][0] if rows else None


def find_today(db: Database, now: int) -> Today:
    """Return the current day of the site.

    :param now: the current time in milliseconds since the epoch.
    """
    row = db.rows(TODAY, now=now)[0]
    day = (now + row["day_offset"]) // DAY_MS
    begins_at = day * DAY_MS - row["day_offset"]
    ends_at = begins_at + DAY_MS
    # If the offset changes on this day, the row applies only to a part of the day. The result is then this part.
    return Today(day, max(begins_at, row["begins_at"]), min(ends_at, row["ends_at"] or ends_at))


def load_offsets(db: Reader | Database, first: int, last: int) -> list[Offset]:
    """Return the rows of `site_offsets` that apply to the days `first` to `last`."""
    # An offset is less than two days, so `since` is before the day `first`, and `until` after the day `last`. The row
    # that begins at 0 also applies to earlier days, so `until` is at least 0.
    rows = db.tuples(OFFSETS, since=(first - 2) * DAY_MS, until=max(last + 3, 0) * DAY_MS)
    return [Offset(*row) for row in rows]


def list_intervals(db: Reader | Database, first: int, last: int, interval: Interval) -> list[int]:
    """Return the first day of each interval in the range. Omit an interval whose days the clock skipped entirely."""
    offsets = load_offsets(db, first, last)
    return [
        begin
        for begin in intervals(first, last, interval)
        if len(offsets) == 1
        or day_begins_at(max(begin, first), offsets)
        < day_begins_at(min(interval_next(begin, interval), last + 1), offsets)
    ]


def check_interval_count(first: int, last: int, interval: Interval, parameter: str = "interval") -> None:
    """Raise InvalidRequest if more than MAX_INTERVALS intervals overlap the days `first` to `last`.

    :param parameter: the parameter that chooses the interval.
    """
    if interval_count(first, last, interval) <= MAX_INTERVALS:
        return
    for longer in INTERVALS[INTERVALS.index(interval) + 1 :]:
        if interval_count(first, last, longer) <= MAX_INTERVALS:
            raise InvalidRequest(f"{parameter} must be {longer} or longer for these days: at most {MAX_INTERVALS} rows")
    raise InvalidRequest(f"from must be later, or to must be earlier: at most {MAX_INTERVALS} months")


def resolve_range(
    ctx: Context,
    from_: date | None,
    to: date | None,
    days: Days,
    filters: Filters | None = None,
    *,
    default: int | None = None,
    compare: Comparison | None = None,
) -> DayRange | None:
    """Return the range of days that the parameters describe, or None for all time.

    Filters need the sessions themselves, which may have been purged. Therefore, with filters, days whose sessions were
    purged are left out of the default range and of a range that has only a last day. For a comparison, a range without
    a last day ends today.

    :param from_: the first day; None for no lower bound.
    :param to: the last day; None for no upper bound.
    :param days: the number of days up to and including today, or a resolved range.
    :param default: the number of days if there is no other argument; None for all time.
    :raises InvalidRequest: `days` is combined with `from_` or `to`; `from_` is after `to`; there are filters, and
        sessions of the range or of all time were purged; or a range to compare has no first day.
    """
    if isinstance(days, DayRange) and from_ is None and to is None:
        range_: DayRange | None = days
    else:
        has_range = from_ is not None or to is not None or days is not None
        range_ = _resolve(ctx, from_, to, days if has_range else default)
        if parse_filters(filters):
            range_ = _limit_to_sessions(ctx, range_, from_, days)
    return range_ if compare is None else close_to_compare(ctx, range_)


def close_to_compare(ctx: Context, range_: DayRange | None) -> DayRange:
    """Return the range of a comparison. If the range has no last day, the last day is today.

    If the range includes today, the end of the earlier range moves every minute, so the response can be cached only
    until the next minute. Therefore `today` of the result ends with the current minute.

    :raises InvalidRequest: the range has no first day.
    """
    if range_ is None or range_.first is None:
        raise InvalidRequest("compare needs a first day: add from or days")
    today = range_.today or find_today(ctx.db, ctx.now)
    last = max(range_.first, today.day) if range_.last is None else range_.last
    if last >= today.day:
        minute = ctx.now // MINUTE_MS * MINUTE_MS
        begins_at, ends_at = max(today.begins_at, minute), min(today.ends_at, minute + MINUTE_MS)
        today = Today(today.day, begins_at, ends_at)
    return DayRange(range_.first, last, today)


def _resolve(ctx: Context, from_: date | None, to: date | None, days: Days) -> DayRange | None:
    if days is not None:
        if from_ is not None or to is not None:
            raise InvalidRequest("days cannot be combined with from or to")
        if not isinstance(days, int) or days < 1:
            raise InvalidRequest(f"days must be an integer of 1 or more, not {days!r}")
        today = find_today(ctx.db, ctx.now)
        return DayRange(today.day - days + 1, today.day, today)
    if from_ is None and to is None:
        return None
    for name, day in ("from", from_), ("to", to):
        if not isinstance(day, (date, type(None))):
            raise InvalidRequest(f"{name} must be a datetime.date, not {day!r}")
    if from_ is not None and to is not None and from_ > to:
        raise InvalidRequest("from must not be after to")
    first = None if from_ is None else to_day(from_)
    if to is None:
        return DayRange(first, None, find_today(ctx.db, ctx.now))
    return DayRange(first, to_day(to))


def _limit_to_sessions(ctx: Context, range_: DayRange | None, from_: date | None, days: Days) -> DayRange | None:
    """Return the range without the days whose sessions were purged.

    :raises InvalidRequest: `from_` or `days` includes such days, the range is all time, or no other day is left.
    """
    raw_since = ctx.db.rows(RAW_SINCE)[0]["raw_since"]
    if raw_since is None or (range_ is not None and range_.first is not None and range_.first >= raw_since):
        return range_
    day = iso_date(raw_since)
    if days is not None:
        raise InvalidRequest(f"days: with filters, the range must not begin before {day}: older sessions were purged")
    if range_ is None:
        raise InvalidRequest(f"from is required with filters: pass from={day}, because older sessions were purged")
    if from_ is not None:
        raise InvalidRequest(f"from must be {day} or later with filters: older sessions were purged")
    if range_.last is not None and range_.last < raw_since:
        raise InvalidRequest(f"to must be {day} or later with filters: older sessions were purged")
    return range_._replace(first=raw_since)


def resolve_closed_range(
    ctx: Context,
    from_: date | None,
    to: date | None,
    days: Days,
    filters: Filters | None = None,
    *,
    default: int,
) -> DayRange:
    """Return the range of days that the parameters describe, with a first and a last day.

    Without parameters, the range is the last `default` days. With only `to`, the range begins on the first day with
    sessions; if this day is after `to`, the range is the day `to`. With only `from_`, the range ends today; if `from_`
    is after today, the range is the day `from_`.

    :raises InvalidRequest: as in `resolve_range`.
    """
    range_ = resolve_range(ctx, from_, to, days, filters, default=default)
    assert range_ is not None
    first, last, today = range_
    if last is None:
        assert first is not None
        assert today is not None
        return DayRange(first, max(first, today.day), today)
    if first is None:
        first_day = find_first_day(ctx.db)
        return DayRange(last if first_day is None else min(first_day, last), last, today)
    return range_
