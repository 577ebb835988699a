"""The sessions of a range that match filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ..database import Database
from ..http.parameters import MAX_INT64
from ..values.calendar import DAY_MS, DayRange
from .filter_conditions import JOINED_MEMBERS, MEMBERS, SEPARATOR, Conditions, resolve_conditions
from .periods import Period, find_period
from .session_filters import Filters, parse_filters

# A statement compares started_at only if the range ends within a day. On SQLite, this comparison takes a quarter of the
# time of a query with a rare filter.
IN_DAYS: Final = "s.day >= :first and s.day <= :last_day"
# The same condition for a range that includes the newest day. Because of the sign `+`, `last_day` does not end SQLite's
# search in the primary key, so SQLite reads to the end of the table. Comparing `s.day` in each row takes half the time
# of comparing each key with the end of the search. It is for SQLite only. PostgreSQL would expect that it is true for a
# third of the rows.
IN_LATEST_DAYS: Final = "s.day >= :first and +s.day <= :last_day"

# If the range has more sessions, SQL counts them, because Python would need more than about 60 MB to count distinct
# visitors.
MAX_SESSIONS: Final = 200_000
MAX_IDS: Final = 500_000  # one string of more ids would need more than about 100 MB
# The `event_period` of a Matching without a range.
ALL_EVENTS: Final = {
    "events_begin_at": 0,
    "events_end_at": MAX_INT64,
    "first_event_day": 0,
    "last_event_day": MAX_INT64,
}
# Reads the sessions that began in the range or have events in the range, but only those that have events on another day
# than the day on which they began. Returns the first and the last day of these events, and of the beginnings of these
# sessions, or nulls if there are no such sessions.
EVENT_DAYS = """
with others as materialized (
  select e.session_id, e.day, s.day as first_day
  from events_of_other_days as e
  cross join facts_of_sessions as s
  where s.session_id = e.session_id)
select min(day), min(first_day), max(day), max(first_day)
from others
where session_id in (
  select session_id
  from others
  where day between :first and :last_day or first_day between :first and :last_day)
"""
SESSION_NUMBERS = """
select (select coalesce(max(day), 0) from session_facts), coalesce(sum(sessions), 0)
from day_counts
where day between :first and :last_day
"""


class Matching(NamedTuple):
    """The sessions of a range that match filters.

    :param conditions: the conditions of the filters.
    :param condition: an SQL condition on a row `s` of session_facts for statements with `parameters`.
    :param condition_of_few: the same condition, for statements that test only a few sessions.
    :param period: the range.
    :param in_range: an SQL condition that the session `s` began in the range.
    :param by_columns: whether filtered_columns.py counts the sessions.
    :param event_period: the period that includes all events of the sessions, if the conditions need it: its first day
        and instant, its last day, and the instant after it.
    :param members: the ids of the sessions with an event that matches, if the condition calls `is_member`.
    :param rows: rows that were already read for this range, by the section of the dashboard.
    :param earlier: the same filters in the earlier range of a comparison, if its rows were already read. Its lists with
        a limit have only rows whose key is also in the lists of `rows`.
    """

    conditions: Conditions
    condition: str
    condition_of_few: str
    period: Period
    in_range: str
    by_columns: bool
    event_period: Mapping[str, int] = MappingProxyType({})
    members: frozenset[bytes] = frozenset()
    rows: Mapping[str, list[tuple[Any, ...]]] = MappingProxyType({})
    earlier: Matching | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        members = {"members": self.members} if self.members else {}
        return {**self.conditions.values, **self.event_period, **self.period.parameters(), **members}

    @property
    def is_cut(self) -> bool:
        """Whether the range ends within a day."""
        return self.period.cut_begins_at is not None

    def within(self, db: Database, range_: DayRange | None, until: int | None = None) -> Matching:
        """Return the same sessions in another range.

        :param until: an exclusive end in milliseconds since the epoch, if it is before the end of the range.
        """
        return _create(db, self.conditions, find_period(db, range_, until))


class ResolvedFilters(dict[str, Sequence[str]]):
    """Filters with the Matching for one range, so that find_matching() need not compute it again."""

    def __init__(self, filters: Filters, range_: DayRange, matching: Matching) -> None:
        super().__init__(filters)
        self.range = range_
        self.matching = matching


def find_matching(db: Database, range_: DayRange | None, filters: Filters | None) -> Matching | None:
    """Return the sessions of a range that match filters, or None without filters.

    :param range_: the days; None for all time.
    :raises InvalidRequest: a filter is invalid.
    """
    if isinstance(filters, ResolvedFilters) and range_ == filters.range:
        return filters.matching
    parsed = parse_filters(filters)
    if not parsed:
        return None
    return _create(db, resolve_conditions(db, parsed), find_period(db, range_, None))


def _create(db: Database, conditions: Conditions, period: Period) -> Matching:
    event_period = _find_event_period(db, period) if conditions.events or conditions.views else {}
    condition, of_few = conditions.to_sql(), conditions.to_sql(of_few=True)
    until = "" if period.cut_begins_at is None else " and s.started_at < :ends_at"
    [[newest_day, sessions]] = db.tuples(SESSION_NUMBERS, **period.parameters())
    in_days = IN_DAYS if newest_day > period.last_day or conditions.is_joined else IN_LATEST_DAYS
    by_columns = sessions <= MAX_SESSIONS
    matching = Matching(conditions, condition, of_few, period, in_days + until, by_columns, event_period)
    has_members = by_columns and len(conditions.events) == 1 and not conditions.is_joined
    return _find_members(db, matching) if has_members else matching


def _find_members(db: Database, matching: Matching) -> Matching:
    """Read the ids of the sessions with an event that matches into a set, once for all statements.

    Otherwise, SQLite would build a tree of the ids for each statement. SQLite calls Python to search the set, which
    takes as long as searching the tree.
    """
    [(name, condition)] = matching.conditions.events.items()
    sql = JOINED_MEMBERS.format(condition=condition)
    [[text, number]] = db.tuples(sql, **matching.parameters, max_ids=MAX_IDS)
    ids = text.split(SEPARATOR) if number else []
    if number == MAX_IDS or number != len(ids):  # there may be more ids, or an id contains the separator
        rows = db.tuples(MEMBERS.format(condition=condition), **matching.parameters)
        ids = [session_id for (session_id,) in rows]
    to_sql = partial(matching.conditions.to_sql, members_of=name)
    return matching._replace(condition=to_sql(), condition_of_few=to_sql(of_few=True), members=frozenset(ids))


def _find_event_period(db: Database, period: Period) -> dict[str, int]:
    [others] = db.tuples(EVENT_DAYS, **period.parameters())
    days = [period.first, period.last_day, *(day for day in others if day is not None)]
    first, last = min(days), max(days)
    # Day n of the site's calendar begins less than a day before or after day n in UTC, which begins at n * DAY_MS.
    in_instants = {"events_begin_at": (first - 1) * DAY_MS, "events_end_at": (last + 2) * DAY_MS}
    return {**in_instants, "first_event_day": first, "last_event_day": last}
