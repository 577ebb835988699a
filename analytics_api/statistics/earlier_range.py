"""The earlier range of days that a range is compared with, and statistics of its last day.

If a range includes today, only a part of today has passed. So the earlier range ends at the instant that corresponds
to now. The day of this instant is called the cut day. Whole days are read from the counters. The part of the cut day
before the instant is read from the base tables, because the counters count whole days.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypedDict

from ..context import Context
from ..database import Database, Row
from ..errors import InvalidRequest
from ..http.parameters import check_choice
from ..values.calendar import DayRange, day_begins_at, find_offset, iso_date, to_date
from ..values.compared_days import COMPARISONS, Comparison, compared_days, corresponding_day, first_instant, time_of_day
from .filtered_sessions import read_keys
from .matching import Matching
from .ranges import RAW_SINCE, close_to_compare, load_offsets
from .session_filters import Filters, parse_filters
from .stored_keys import COUNTED_VALUES, DIMENSIONS, VALUES, keys_of_values, replace_keys

ComparedRange = TypedDict("ComparedRange", {"from": str, "to": str, "until": int | None})


class EarlierRange(NamedTuple):
    """The days `first` to `last`. The days up to `last_whole` are counted as whole days.

    :param until: an exclusive end in milliseconds since the epoch; None if there is no cut day.
    :param cut_begins_at: the instant at which the cut day begins. If the cut day is before `first`, this is `until`, so
        that no part of the cut day is counted.
    """

    first: int
    last: int
    last_whole: int
    until: int | None = None
    cut_begins_at: int = 0

    @property
    def whole_days(self) -> dict[str, int]:
        """Return the whole days as statement parameters. `last` is smaller than `first` if there are no whole days."""
        return {"first": max(self.first, 0), "last": self.last_whole}

    @property
    def cut(self) -> dict[str, int]:
        """Return the part of the cut day before `until` as statement parameters. They are equal for an empty part."""
        return {"begins_at": self.cut_begins_at, "until": self.until or 0}

    @property
    def has_cut_day(self) -> bool:
        """Whether a part of the cut day is counted."""
        return self.until is not None and self.cut_begins_at < self.until

    @property
    def last_counted(self) -> int:
        """The last day that is counted, whole or in part. If no day is counted, this day is before `first`."""
        return self.last_whole + self.has_cut_day

    def describe(self) -> ComparedRange:
        return {"from": iso_date(self.first), "to": iso_date(self.last), "until": self.until}

    def match(self, db: Database, matching: Matching) -> Matching:
        """Return the sessions of this range that match the filters of `matching`."""
        return matching.earlier or matching.within(db, DayRange(self.first, self.last), self.until)


# `visitors` counts only those visitors of the cut day who have no session on the whole days `first` to `last`, because
# the counters already count the others. The same applies to `fingerprints`. Without `materialized`, SQLite 3.53 reads
# a whole index to count distinct visitors.
CUT_DAY = """
with cut_sessions as materialized (
  select visitor_id, fingerprint, duration, engagement_score, vpn_suspected
  from sessions
  where started_at >= :begins_at and started_at < :until)
select count(*) as sessions,
  (
    select count(distinct visitor_id)
    from cut_sessions as s
    where not exists (
      select 1
      from visitor_days as d
      where d.visitor_id = s.visitor_id and d.day between :first and :last and d.sessions > 0)) as visitors,
  (
    select count(distinct fingerprint)
    from cut_sessions as s
    where not exists (
      select 1
      from fingerprint_days as d
      where d.fingerprint = s.fingerprint and d.day between :first and :last and d.sessions > 0)) as fingerprints,
  cast(coalesce(sum(duration), 0) as bigint) as duration_sum, count(duration) as duration_count,
  cast(coalesce(sum(engagement_score), 0) as bigint) as score_sum, count(engagement_score) as score_count,
  count(nullif(vpn_suspected, 0)) as vpn_suspected,
  (
    select count(*)
    from events
    where occurred_at >= :begins_at and occurred_at < :until) as events
from cut_sessions
"""


def _counts_of_values(field: str) -> str:
    """Return the statement that counts sessions by the value of a field, on the whole days and on the cut day."""
    value = COUNTED_VALUES[field]
    counts_of_days = f"""select c.key, c.sessions
  from days
  cross join ({keys_of_values(field, "select value as key from shown")}) as shown_keys
  cross join key_counts as c
  where c.dimension = {DIMENSIONS[field]} and c.day = days.day and c.key = shown_keys.key"""
    return f"""
with shown as (
  {VALUES}),
days as (
  select day
  from day_counts
  where day between :first and :last
  group by day)
select key, cast(sum(sessions) as bigint)
from (
  {replace_keys(field, counts_of_days)}
  union all
  select {value}, count(*)
  from counted_sessions as s
  where s.started_at >= :begins_at and s.started_at < :until and {value} in (select value from shown)
  group by {value}) as counts
group by key
"""


COUNTS_OF_VALUES: Final[dict[str, str]] = {field: _counts_of_values(field) for field in DIMENSIONS}


def find_earlier_range(
    ctx: Context, range_: DayRange | None, compare: Comparison | None, filters: Filters | None
) -> EarlierRange | None:
    """Return the range to compare with, or None without a comparison.

    If the sessions of the cut day were purged, the day is counted as a whole day, because only its counters are left.

    :raises InvalidRequest: `compare` is unknown; the range has no first day; the earlier range would begin before the
        year 1; or there are filters, and sessions of the earlier range were purged.
    """
    if compare is None:
        return None
    check_choice("compare", compare, COMPARISONS)
    first, last, today = close_to_compare(ctx, range_)
    assert first is not None
    assert last is not None
    assert today is not None
    try:
        earlier_first, earlier_last = compared_days(first, last, compare)
        to_date(earlier_first)
    except ValueError:
        raise InvalidRequest("from must be later to compare: the earlier range would begin before the year 1") from None
    raw_since = ctx.db.rows(RAW_SINCE)[0]["raw_since"]
    if raw_since is not None and earlier_first < raw_since and parse_filters(filters):
        day = iso_date(raw_since)
        raise InvalidRequest(
            f"compare: with filters, the earlier range must not begin before {day}: older sessions were purged"
        )
    whole = EarlierRange(earlier_first, earlier_last, earlier_last)
    if last < today.day:
        return whole
    cut_day = corresponding_day(today.day, first, last, compare)
    if raw_since is not None and earlier_first <= cut_day < raw_since:
        return whole._replace(last_whole=cut_day)
    offset = find_offset(ctx.now, load_offsets(ctx.db, today.day, today.day))
    return _cut(ctx, whole, cut_day, time_of_day(ctx.now, offset.utc_offset))


def _cut(ctx: Context, whole: EarlierRange, cut_day: int, time: int) -> EarlierRange:
    """End a range on `cut_day`, at the first instant at which the site's clock shows `time`."""
    offsets = load_offsets(ctx.db, cut_day, cut_day)
    begins_at = day_begins_at(cut_day, offsets)
    until = min(max(first_instant(cut_day, time, offsets), begins_at), day_begins_at(cut_day + 1, offsets))
    if cut_day < whole.first:
        begins_at = until
    return whole._replace(last_whole=cut_day - 1, until=until, cut_begins_at=begins_at)


def add_cut_day(db: Database, earlier: EarlierRange, totals: Mapping[str, Any], first: int | None = None) -> Row:
    """Add the totals of the cut day, if there is one, to the totals of whole days, and return the sums.

    :param totals: the totals of the whole days.
    :param first: the first of these days; None for the first day of the range.
    """
    if not earlier.has_cut_day:
        return dict(totals)
    days = {**earlier.whole_days, **({} if first is None else {"first": first})}
    part = db.rows(CUT_DAY, **days, **earlier.cut)[0]
    return {name: count + part[name] for name, count in totals.items()}


def read_earlier_keys(
    db: Database, earlier: EarlierRange, matching: Matching | None, field: str, keys: Sequence[str]
) -> dict[str, int]:
    """Return the number of sessions of each key in the earlier range. Keys without sessions are omitted.

    :param field: a key of DIMENSIONS.
    """
    if not keys:
        return {}
    if matching:
        return dict(read_keys(db, earlier.match(db, matching), field, keys=keys))
    return dict(db.tuples(COUNTS_OF_VALUES[field], **earlier.whole_days, **earlier.cut, keys=json.dumps(keys)))
