"""Number of sessions by hour, day, week or month."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final, NamedTuple, TypedDict, cast

from ..context import Context
from ..database import Database
from ..errors import InvalidRequest
from ..http.parameters import check_choice
from ..statistics.earlier_range import EarlierRange, add_cut_day, find_earlier_range
from ..statistics.filtered_sessions import read_days, read_hours
from ..statistics.matching import Matching, find_matching
from ..statistics.periods import INTERVAL_EXPRESSIONS
from ..statistics.ranges import (
    MAX_INTERVALS,
    RAW_SINCE,
    Days,
    check_interval_count,
    find_first_day,
    find_last_day,
    list_intervals,
    load_offsets,
    resolve_range,
)
from ..statistics.session_filters import Filters
from ..values.calendar import (
    END_DAY,
    INTERVALS,
    DayRange,
    Interval,
    Span,
    day_begins_at,
    hour_begins_at,
    hours,
    interval_first,
    iso_date,
    local_time,
    spans,
)
from ..values.compared_days import Comparison
from ..values.rounding import mean

DEFAULT_DAYS = 30


class IntervalCounts(TypedDict):
    total_sessions: int
    unique_visitors: int
    avg_duration: float
    avg_engagement: float


class EarlierDay(IntervalCounts, total=False):
    date: str


class DayRow(IntervalCounts):
    date: str


class Day(DayRow, total=False):
    previous: EarlierDay


class Counts(NamedTuple):
    """The counts of one interval. Durations are in milliseconds.

    A field `…_sum` is the sum of the values of sessions, and `…_count` the number of sessions whose value is not null.
    """

    sessions: int
    visitors: int
    duration_sum: int
    duration_count: int
    score_sum: int
    score_count: int


NOTHING = Counts(0, 0, 0, 0, 0, 0)

DAYS = """
select day, cast(sum(sessions) as bigint), cast(sum(visitors) as bigint),
  cast(sum(duration_sum) as bigint), cast(sum(duration_count) as bigint),
  cast(sum(score_sum) as bigint), cast(sum(score_count) as bigint)
from day_counts
where day between :first and :last
group by day
having sum(sessions) <> 0
order by day
"""


def _build_statement(intervals: str) -> str:
    """Return the statement that counts the sessions of each interval.

    A visitor is counted once in an interval. The statement adds the numbers of visitors of all days, and subtracts the
    returns. The returns of a day are the visitors who also had sessions on an earlier day of the same interval,
    within the range.

    :param intervals: the common table expression `intervals`: WEEKS or MONTHS.
    """
    return f"""
with days as (
  select day, sum(sessions) as sessions, sum(visitors) as visitors, sum(duration_sum) as duration_sum,
    sum(duration_count) as duration_count, sum(score_sum) as score_sum, sum(score_count) as score_count
  from day_counts
  where day between :first and :last
  group by day),
dates as (
  select day
  from days),
{intervals.strip()},
parts as (
  select first_day, days.*, (
      select coalesce(sum(r.sessions), 0)
      from session_returns as r
      where r.dimension = 0 and r.day = days.day
        and r.previous_day >= first_day and r.previous_day >= :first) as returns
  from days
  join intervals using (day))
select first_day, cast(sum(sessions) as bigint), cast(sum(visitors - returns) as bigint),
  cast(sum(duration_sum) as bigint), cast(sum(duration_count) as bigint),
  cast(sum(score_sum) as bigint), cast(sum(score_count) as bigint)
from parts
group by first_day
having sum(sessions) <> 0
order by first_day
"""


STATEMENTS: Final[dict[Interval, str]] = {
    "day": DAYS,
    **{interval: _build_statement(intervals) for interval, intervals in INTERVAL_EXPRESSIONS.items()},
}

# The counts of each hour of a period with one UTC offset. A subquery for each hour reads the index in order. This takes
# 44 ms for 31 days with 76,000 sessions. A `group by` would sort all sessions, which takes 77 ms. A subquery can return
# only one column, so it returns the fields of Counts as text, separated by spaces.
HOURS = """
with recursive hours (begins_at, next_at) as (
  select cast(:begins_at as bigint), (:begins_at + :utc_offset) / 3600000 * 3600000 + 3600000 - :utc_offset
  union all
  select next_at, next_at + 3600000
  from hours
  where next_at < :ends_at)
select begins_at, (
  select cast(count(*) as text)
    || ' ' || cast(count(distinct visitor_id) as text)
    || ' ' || cast(coalesce(sum(duration), 0) as text)
    || ' ' || cast(count(duration) as text)
    || ' ' || cast(coalesce(sum(engagement_score), 0) as text)
    || ' ' || cast(count(engagement_score) as text)
  from sessions
  where started_at >= hours.begins_at
    and started_at < case when hours.next_at < :ends_at then hours.next_at else :ends_at end)
from hours
"""


def daily(
    ctx: Context,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    interval: Interval = "day",
    fill: bool = False,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> list[Day]:
    """Return the sessions of each interval, in ascending order. The default range is the last 30 days.

    `date` is the first day of the interval; a week begins on Monday. For an hour, `date` is the local time at which the
    hour begins, with the UTC offset. The first and the last interval count only their days within the range.

    Intervals without sessions are omitted. With `fill`, they have a row of zeros. With `fill`, a range without `from`
    begins on the first day with sessions, and a range without `to` ends today or on the last day with sessions,
    whichever is later.

    `avg_duration` (in seconds) and `avg_engagement` are rounded to one decimal. An average ignores sessions without a
    value.

    With `compare`, each row has `previous`, with the same numbers of an interval of the earlier range. The n-th
    interval of the range is compared with the n-th interval of the earlier range. Intervals that are omitted from the
    response are counted, too. If the earlier range has fewer intervals, `previous` has zeros and no `date`.

    :raises InvalidRequest: there would be more than 3,700 rows, or the interval is an hour and sessions of the range
        were purged. For hours, all hours from the first to the last day with sessions count as rows. With `compare`,
        all intervals of the range do.
    """
    check_choice("interval", interval, INTERVALS)
    range_ = resolve_range(ctx, from_, to, days, filters, default=DEFAULT_DAYS, compare=compare)
    assert range_ is not None
    matching = find_matching(ctx.db, range_, filters)
    if interval == "hour":
        rows = _hour_rows(ctx, range_, fill, matching)
    else:
        rows = _day_rows(ctx, range_, interval, fill, matching)
    result = [cast(Day, {"date": label, **_to_interval_counts(counts)}) for label, counts in rows]
    if earlier := find_earlier_range(ctx, range_, compare, filters):
        _add_previous(ctx, result, range_, interval, earlier, matching)
    return result


def _to_interval_counts(counts: Counts) -> IntervalCounts:
    return {
        "total_sessions": counts.sessions,
        "unique_visitors": counts.visitors,
        "avg_duration": mean(counts.duration_sum, counts.duration_count, per=1000),
        "avg_engagement": mean(counts.score_sum, counts.score_count),
    }


def _add_previous(
    ctx: Context,
    rows: list[Day],
    range_: DayRange,
    interval: Interval,
    earlier: EarlierRange,
    matching: Matching | None,
) -> None:
    """Add `previous` to each row: the counts of the interval with the same position in the earlier range."""
    first, last = range_.first, range_.last
    assert first is not None
    assert last is not None
    check_interval_count(first, last, interval)
    indexes = {label: index for index, label in enumerate(_labels(ctx, first, last, interval))}
    labels = _labels(ctx, earlier.first, earlier.last_counted, interval, earlier.until)
    counts = _count_earlier_intervals(ctx, earlier, interval, matching)
    for row in rows:
        index = indexes[row["date"]]
        if index < len(labels):
            row["previous"] = {"date": labels[index], **_to_interval_counts(counts.get(labels[index], NOTHING))}
        else:
            row["previous"] = cast(EarlierDay, _to_interval_counts(NOTHING))


def _labels(ctx: Context, first: int, last: int, interval: Interval, until: int | None = None) -> list[str]:
    """Return the `date` of every interval, in ascending order; none if `last` is before `first`."""
    if interval == "hour":
        parts = hour_spans(ctx.db, first, last, until)
        return [local_time(begin, span.utc_offset) for span in parts for begin in hours(span)]
    return [iso_date(begin) for begin in list_intervals(ctx.db, first, last, interval)]


def _count_earlier_intervals(
    ctx: Context, earlier: EarlierRange, interval: Interval, matching: Matching | None
) -> dict[str, Counts]:
    """Return the counts of the intervals of the earlier range that have sessions, by their `date`."""
    earlier_matching = matching and earlier.match(ctx.db, matching)
    if interval == "hour":
        _check_hours(ctx, earlier.first, "compare: for interval=hour, the earlier range must not begin before {}")
        return {
            local_time(begin, span.utc_offset): counts
            for span in hour_spans(ctx.db, earlier.first, earlier.last_counted, earlier.until)
            for begin, counts in _count_hours(ctx.db, span, earlier_matching)
        }
    counts = _count_intervals(ctx.db, earlier.whole_days, interval, earlier_matching)
    if earlier.has_cut_day and matching is None:
        begin = interval_first(earlier.last_counted, interval)
        totals = counts.get(begin, NOTHING)._asdict()
        counts[begin] = Counts(**add_cut_day(ctx.db, earlier, totals, first=max(earlier.first, begin)))
    return {iso_date(begin): numbers for begin, numbers in counts.items()}


def _day_rows(
    ctx: Context, range_: DayRange, interval: Interval, fill: bool, matching: Matching | None
) -> list[tuple[str, Counts]]:
    counts = _count_intervals(ctx.db, range_.bounds, interval, matching)
    begins: Iterable[int] = counts
    if fill or len(counts) > MAX_INTERVALS:
        first, last = _days_to_list(ctx, range_, fill)
        check_interval_count(first, last, interval)
        begins = list_intervals(ctx.db, first, last, interval)
    return [(iso_date(begin), counts.get(begin, NOTHING)) for begin in begins]


def _count_intervals(
    db: Database, bounds: Mapping[str, int], interval: Interval, matching: Matching | None
) -> dict[int, Counts]:
    """Return the counts of the intervals that have sessions, by their first days."""
    rows = db.tuples(STATEMENTS[interval], **bounds) if matching is None else read_days(db, matching, interval)
    return {row[0]: Counts(*row[1:]) for row in rows}


def _hour_rows(ctx: Context, range_: DayRange, fill: bool, matching: Matching | None) -> list[tuple[str, Counts]]:
    _check_hours(ctx, range_.first, "interval=hour: the range must not begin before {}")
    first, last = _days_to_list(ctx, range_, fill)
    check_interval_count(first, last, "hour")
    parts = hour_spans(ctx.db, first, last)
    begins = [(begin, span.utc_offset) for span in parts for begin in hours(span)]
    counts = dict(row for span in parts for row in _count_hours(ctx.db, span, matching))
    return [
        (local_time(begin, utc_offset), counts.get(begin, NOTHING))
        for begin, utc_offset in begins
        if fill or begin in counts
    ]


def _check_hours(ctx: Context, first: int | None, message: str) -> None:
    """Raise an error if sessions on or after the day `first` were purged.

    :param first: the first day of a range; None for no lower bound.
    :param message: the beginning of the error message. Its `{}` is replaced by the first day that was not purged.
    """
    raw_since = ctx.db.rows(RAW_SINCE)[0]["raw_since"]
    if raw_since is not None and (first is None or first < raw_since):
        raise InvalidRequest(f"{message.format(iso_date(raw_since))}: older sessions were purged")


def hour_spans(db: Database, first: int, last: int, until: int | None = None) -> list[Span]:
    """Split the days `first` to `last` into spans that have one UTC offset.

    The list is empty if `last` is before `first`.

    :param until: an exclusive end in milliseconds since the epoch, if it is before the end of `last`.
    """
    if last < first:
        return []
    offsets = load_offsets(db, first, last)
    ends_at = day_begins_at(last + 1, offsets)
    return list(spans(day_begins_at(first, offsets), ends_at if until is None else min(until, ends_at), offsets))


def _count_hours(db: Database, span: Span, matching: Matching | None) -> Iterator[tuple[int, Counts]]:
    """Yield the beginning and the counts of each hour that has sessions."""
    if matching is None:
        for begins_at, numbers in db.tuples(HOURS, **span._asdict()):
            if not numbers.startswith("0 "):
                yield begins_at, Counts(*map(int, numbers.split()))
    else:
        for hour, *counts in read_hours(db, matching, span):
            yield hour_begins_at(hour, span), Counts(*counts)


def _days_to_list(ctx: Context, range_: DayRange, fill: bool) -> tuple[int, int]:
    """Return the first and the last day to list.

    Without `fill`, these are the first and the last day with sessions. With `fill`, they are the bounds of the range.
    If the range has no first day, the first day with sessions is used. If it has no last day, today is used, or the
    last day with sessions if that is later.
    """
    first, last = (range_.first, range_.last) if fill else (None, None)
    if first is None:
        first_day = find_first_day(ctx.db, range_)
        first = END_DAY if first_day is None else first_day
    if last is None:
        last_day = find_last_day(ctx.db, range_)
        last = first - 1 if last_day is None else last_day
        if fill and range_.last is None:
            assert range_.today is not None
            last = max(last, range_.today.day)
    return first, last
