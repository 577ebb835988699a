"""Statistics of the sessions that match filters, read from session_facts and session_pages.

A session is counted in the range in which it began. Events and page views are counted in the range in which they
occurred, even if their session began before it. Two parameters are for the earlier range of a comparison: `until` ends
the range at an instant within its last day, because today is not over either; `keys` limits a list to the keys of the
rows that it is compared with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from .calendar import DayRange, Span
from .database import Database
from .filter_conditions import DIMENSIONS as DIMENSIONS
from .filter_conditions import EXPRESSIONS, PAGES_BY_NAME, resolve_conditions
from .filtered_events import EVENTS_OF_DAY, other_events_statement, views_statement
from .http.parameters import MAX_INT64
from .periods import Period, find_period
from .session_filters import Filters, parse_filters

# SQLite searches the primary key of session_facts, which begins with the day. PostgreSQL searches the index of
# started_at.
SESSIONS_IN_RANGE = """s.day >= :first and s.day <= :last_day
  and s.started_at >= :begins_at and s.started_at < :ends_at"""
# The columns of a row of statistics. Averages are computed from the sums later.
COUNTS = """count(*) as sessions, count(distinct s.visitor_id) as visitors,
  cast(coalesce(sum(s.duration), 0) as bigint) as duration_sum, count(s.duration) as duration_count,
  cast(coalesce(sum(s.engagement_score), 0) as bigint) as score_sum, count(s.engagement_score) as score_count"""


TOTALS: Final = (
    "sessions",
    "visitors",
    "duration_sum",
    "duration_count",
    "score_sum",
    "score_count",
    "fingerprints",
    "vpn_suspected",
    "events",
)


class Matching(NamedTuple):
    """The sessions of a range that match filters.

    :param condition: an SQL condition on a row `s` of session_facts.
    :param values: the statement parameters of the condition.
    :param rows: rows that were already read for this range, by the section of the dashboard.
    """

    condition: str
    values: Mapping[str, str]
    period: Period
    rows: Mapping[str, list[tuple[Any, ...]]] = MappingProxyType({})

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.values, **self.period.parameters()}

    def within(self, db: Database, range_: DayRange | None, until: int | None = None) -> Matching:
        """Return the same sessions in another range.

        :param until: an exclusive end in milliseconds since the epoch, if it is before the end of the range.
        """
        return self._replace(period=find_period(db, range_, until), rows={})


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
    condition, values = resolve_conditions(db, parsed)
    return Matching(condition, values, find_period(db, range_, None))


def read_totals(db: Database, matching: Matching) -> dict[str, Any]:
    """Return one row with the totals of the sessions and the number of events. Its columns are TOTALS."""
    if "totals" in matching.rows:
        [counts] = matching.rows["totals"]
        [[events]] = db.tuples(_other_events(db, matching), **matching.parameters)
        return dict(zip(TOTALS, (*counts[:-1], counts[-1] + events)))
    sql = f"""
select {COUNTS}, count(distinct s.fingerprint) as fingerprints, count(nullif(s.is_vpn, 0)) as vpn_suspected,
  {EVENTS_OF_DAY} + ({_other_events(db, matching)}) as events
from session_facts as s
where {SESSIONS_IN_RANGE}
  and {matching.condition}
"""
    return db.rows(sql, **matching.parameters)[0]


def read_days(db: Database, matching: Matching, begins: str | None) -> list[tuple[Any, ...]]:
    """Return a row for each interval that has sessions, in ascending order. A row is the first day, then the COUNTS.

    :param begins: a common table expression `begins` that computes the first day of the interval of each day of
        `dates`; None for intervals of a day.
    """
    if "days" in matching.rows:
        return matching.rows["days"]
    day = first_day(begins)
    sql = f"""
{sessions_by_interval(matching.condition, begins)}
select {day}, {COUNTS}
from s
{join_interval(begins)}
group by {day}
order by {day}
"""
    return db.tuples(sql, **matching.parameters)


def first_day(begins: str | None) -> str:
    """Return the expression for the first day of the interval of a session `s`."""
    return "begins.first_day" if begins else "s.day"


def join_interval(begins: str | None) -> str:
    return "join begins on begins.day = s.day" if begins else ""


def sessions_by_interval(condition: str, begins: str | None, *, materialized: bool = False) -> str:
    """Return the common table expression `s` with the sessions that match, and `dates` and `begins` if needed.

    :param begins: as in read_days().
    :param materialized: whether to read the sessions only once, although the statement refers to `s` several times.
    """
    intervals = f""",
dates as (
  select day
  from s
  group by day),
{(begins or "").strip()}"""
    return f"""
with s as {"materialized " if materialized else ""}(
  select s.*
  from session_facts as s
  where {SESSIONS_IN_RANGE}
    and {condition}){intervals if begins else ""}
""".strip()


def read_hours(db: Database, matching: Matching, span: Span) -> list[tuple[Any, ...]]:
    """Return a row for each hour that has sessions: the hours since the epoch in local time, then the COUNTS."""
    sql = f"""
select (s.started_at + :utc_offset) / 3600000, {COUNTS}
from session_facts as s
where {SESSIONS_IN_RANGE}
  and {matching.condition}
group by 1
"""
    return _read_span(db, sql, matching, span)


def read_countries(db: Database, matching: Matching, keys: Iterable[str] | None = None) -> list[tuple[Any, ...]]:
    """Return rows of country, sessions and visitors, with the most sessions first. Ties are sorted by country."""
    if keys is None and "country" in matching.rows:
        return matching.rows["country"]
    visitors = ", count(distinct s.visitor_id)"
    sql = _list_sql(EXPRESSIONS["country"], matching.condition, keys is not None, more_columns=visitors)
    return _read_list(db, sql, matching, MAX_INT64, keys)


def read_keys(
    db: Database, matching: Matching, field: str, limit: int = MAX_INT64, keys: Iterable[str] | None = None
) -> list[tuple[Any, ...]]:
    """Return the values of a field with their numbers of sessions: most sessions first, ties by the value.

    :param field: source, entry_page, exit_page or engagement. Sessions without a value are not counted.
    """
    if keys is None and field in matching.rows:
        return matching.rows[field][:limit]
    sql = _list_sql(EXPRESSIONS[field], matching.condition, keys is not None)
    return _read_list(db, sql, matching, limit, keys)


def _list_sql(expression: str, condition: str, has_keys: bool, *, more_columns: str = "") -> str:
    return f"""
select {expression} as key, count(*) as sessions{more_columns}
from session_facts as s
where {SESSIONS_IN_RANGE}
  and {condition}
  and {expression} <> ''{_only_keys(expression, has_keys)}
group by {expression}
order by sessions desc, key
limit :limit
"""


def read_pages(
    db: Database, matching: Matching, limit: int, keys: Iterable[str] | None = None
) -> list[tuple[Any, ...]]:
    """Return rows of page, views and sessions: most views first, ties by the page."""
    if keys is None and "pages" in matching.rows:
        return matching.rows["pages"][:limit]
    only_keys = "" if keys is None else f"where page_id in ({PAGES_BY_NAME.strip()})"
    sql = f"""
with counts as (
  select page_id, sum(views) as views, sum(sessions) as sessions
  from ({_views(db, matching)}) as page_views
  {only_keys}
  group by page_id)
select page, cast(counts.views as bigint) as views, cast(counts.sessions as bigint)
from counts
join pages using (page_id)
order by counts.views desc, page
limit :limit
"""
    return _read_list(db, sql, matching, limit, keys)


def read_page_views(db: Database, matching: Matching) -> list[tuple[int, int]]:
    """Return a row for each day that has page views: the day and the number of page views."""
    if "page_views" in matching.rows:
        return matching.rows["page_views"]
    sql = f"""
select day, cast(sum(views) as bigint)
from ({_views(db, matching)}) as page_views
group by day
"""
    return db.tuples(sql, **matching.parameters)


def read_pages_and_views(db: Database, matching: Matching, limit: int) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of read_pages() and of read_page_views() by their section. The page views are read only once."""
    sql = f"""
with counts as materialized (
  select page_id, day, sum(views) as views, sum(sessions) as sessions
  from ({_views(db, matching)}) as page_views
  group by page_id, day)
select day, '' as page, cast(sum(views) as bigint), 0
from counts
group by day
union all
select *
from (
  select 0 as day, page, cast(sum(counts.views) as bigint) as views, cast(sum(counts.sessions) as bigint)
  from counts
  join pages using (page_id)
  group by page
  order by views desc, page
  limit :limit) as most_viewed
"""
    rows = db.tuples(sql, **matching.parameters, limit=limit)
    return {
        "pages": [tuple(counts) for _, *counts in rows if counts[0]],
        "page_views": [(day, views) for day, page, views, _ in rows if not page],
    }


def _views(db: Database, matching: Matching) -> str:
    return views_statement(db, matching.condition, is_cut=matching.period.cut_at is not None)


def _other_events(db: Database, matching: Matching) -> str:
    return other_events_statement(db, matching.condition, is_cut=matching.period.cut_at is not None)


def read_page_views_of_hours(db: Database, matching: Matching, span: Span) -> list[tuple[int, int]]:
    """Return a row for each hour that has page views: the hour as in read_hours(), and the number of page views."""
    sql = f"""
select (e.occurred_at + :utc_offset) / 3600000, count(*)
from counted_events as e
cross join facts_of_sessions as s
where e.occurred_at >= :begins_at and e.occurred_at < :ends_at and e.page is not null
  and s.session_id = e.session_id
  and {matching.condition}
group by 1
"""
    return _read_span(db, sql, matching, span)


def _only_keys(expression: str, has_keys: bool) -> str:
    return f"\n  and {expression} in (select value from json_each(cast(:keys as text)))" if has_keys else ""


def _read_list(
    db: Database, sql: str, matching: Matching, limit: int, keys: Iterable[str] | None
) -> list[tuple[Any, ...]]:
    listed = {} if keys is None else {"keys": json.dumps(list(keys))}
    return db.tuples(sql, **matching.parameters, **listed, limit=limit)


def _read_span(db: Database, sql: str, matching: Matching, span: Span) -> list[tuple[Any, ...]]:
    """Run a statement for the part of the range within a span. A span has a single UTC offset."""
    begins_at = max(matching.period.begins_at, span.begins_at)
    ends_at = min(matching.period.ends_at, span.ends_at)
    bounds = {**matching.parameters, "begins_at": begins_at, "ends_at": ends_at}
    return db.tuples(sql, **bounds, utc_offset=span.utc_offset)
