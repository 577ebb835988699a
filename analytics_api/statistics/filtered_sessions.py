"""Statistics of the sessions that match filters, read from session_facts and session_pages.

A session is counted in the range in which it began. Events and page views are counted in the range in which they
occurred, even if their session began before it. The parameter `keys` is for the earlier range of a comparison. It
contains the keys of the rows of the requested range, and only the rows with these keys are returned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from ..database import Database
from ..http.parameters import MAX_INT64
from ..values.calendar import Interval, Span
from .filtered_columns import MORE_SUMS, SUMS, count_sections, count_views
from .filtered_events import other_events_statement, views_of_hours_statement, views_statement
from .matching import Matching
from .periods import INTERVAL_EXPRESSIONS
from .stored_keys import PAGE_IDS, STORED_KEYS, VALUES, replace_keys

# The columns of a row of statistics. Averages are computed from the sums later.
COUNTS = f"""count(*) as sessions, count(distinct s.visitor_id) as visitors,
  {SUMS}"""
# The columns of TOTALS, but only the events that EVENTS_OF_DAY counts.
TOTAL_COUNTS: Final = f"{COUNTS}, count(distinct s.fingerprint) as fingerprints, {MORE_SUMS}"

# The columns that sections without keys need.
COLUMNS: Final = "s.day, s.visitor_id, s.fingerprint, s.duration, s.engagement_score, s.is_vpn, s.events_of_day"

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


def _find_rows(
    db: Database, matching: Matching, section: str, interval: Interval = "day"
) -> list[tuple[Any, ...]] | None:
    """Return the rows of a section, without a limit. Return None if a statement of this module must read them."""
    if section in matching.rows:
        return matching.rows[section]
    return count_sections(db, matching, [section], interval).rows(db)[section] if matching.by_columns else None


def read_totals(db: Database, matching: Matching) -> dict[str, Any]:
    """Return one row with the totals of the sessions and the number of events. Its columns are TOTALS."""
    rows = _find_rows(db, matching, "totals")
    if rows is None:
        sql = f"""
select {TOTAL_COUNTS}
from session_facts as s
where {matching.in_range}
  and {matching.condition}
"""
        rows = db.tuples(sql, **matching.parameters)
    [(*counts, events)] = rows
    [[other_events]] = db.tuples(other_events_statement(matching), **matching.parameters)
    return dict(zip(TOTALS, (*counts, events + other_events)))


def read_days(db: Database, matching: Matching, interval: Interval) -> list[tuple[Any, ...]]:
    """Return a row for each interval with sessions, in ascending order: its first day, and the columns of COUNTS."""
    if (rows := _find_rows(db, matching, "days", interval)) is not None:
        return rows
    intervals = INTERVAL_EXPRESSIONS.get(interval)
    day = first_day(intervals)
    sql = f"""
{sessions_by_interval(matching, intervals)}
select {day}, {COUNTS}
from s
{join_interval(intervals)}
group by {day}
order by {day}
"""
    return db.tuples(sql, **matching.parameters)


def first_day(intervals: str | None) -> str:
    """Return the expression for the first day of the interval of a session `s`."""
    return "intervals.first_day" if intervals else "s.day"


def join_interval(intervals: str | None) -> str:
    return "join intervals on intervals.day = s.day" if intervals else ""


def sessions_by_interval(
    matching: Matching, intervals: str | None, columns: Iterable[str] = (), *, materialized: bool = False
) -> str:
    """Return the common table expression `s` with the sessions that match, and `dates` and `intervals` if needed.

    :param intervals: an expression of INTERVAL_EXPRESSIONS; None for intervals of a day.
    :param columns: expressions that are needed in addition to COLUMNS.
    :param materialized: whether to read the sessions only once, although the statement refers to `s` several times.
    """
    expressions = f""",
dates as (
  select day
  from s
  group by day),
{(intervals or "").strip()}"""
    return f"""
with s as {"materialized " if materialized else ""}(
  select {", ".join([COLUMNS, *columns])}
  from session_facts as s
  where {matching.in_range}
    and {matching.condition}){expressions if intervals else ""}
""".strip()


def read_hours(db: Database, matching: Matching, span: Span) -> list[tuple[Any, ...]]:
    """Return a row for each hour that has sessions: the hours since the epoch in local time, then the COUNTS."""
    sql = f"""
select (s.started_at + :utc_offset) / 3600000, {COUNTS}
from session_facts as s
where {matching.in_range}
  and s.started_at >= :begins_at
  and s.started_at < :ends_at
  and {matching.condition}
group by 1
"""
    return _read_span(db, sql, matching, span)


def read_countries(db: Database, matching: Matching) -> list[tuple[Any, ...]]:
    """Return rows of country, sessions and visitors, with the most sessions first. Ties are sorted by country."""
    if (rows := _find_rows(db, matching, "country")) is not None:
        return rows
    sql = _list_sql("country", matching, False, more_columns=", count(distinct s.visitor_id)")
    return _read_list(db, sql, matching, MAX_INT64, None)


def read_keys(
    db: Database, matching: Matching, field: str, limit: int = MAX_INT64, keys: Iterable[str] | None = None
) -> list[tuple[Any, ...]]:
    """Return the values of a field with their numbers of sessions: most sessions first, ties by the value.

    :param field: a key of DIMENSIONS. Sessions without a value are not counted.
    """
    if (rows := _find_rows(db, matching, field)) is not None:
        return _select(rows, keys)[:limit]
    sql = _list_sql(field, matching, keys is not None)
    return _read_list(db, sql, matching, limit, keys)


def _list_sql(field: str, matching: Matching, has_keys: bool, *, more_columns: str = "") -> str:
    only_keys = f" and key in ({VALUES})" if has_keys else ""
    return f"""
select *
from ({replace_keys(field, counts_statement(STORED_KEYS[field], matching, more_columns))}) as counts
where key <> ''{only_keys}
order by sessions desc, key
limit :limit
"""


def counts_statement(key: str, matching: Matching, more_columns: str = "") -> str:
    """Return the statement that counts the sessions that match, by key.

    :param key: an expression of a row `s` of session_facts.
    """
    return f"""
select {key} as key, count(*) as sessions{more_columns}
from session_facts as s
where {matching.in_range}
  and {matching.condition}
group by {key}
""".strip()


def read_pages(
    db: Database, matching: Matching, limit: int, keys: Iterable[str] | None = None
) -> list[tuple[Any, ...]]:
    """Return rows of page, views and sessions: most views first, ties by the page."""
    if "pages" in matching.rows:
        return matching.rows["pages"][:limit]
    if matching.by_columns:
        return count_views(db, matching, by_day=False).most_viewed(db, limit, keys)
    pages, _ = read_pages_and_days(db, matching, limit, keys)
    return pages


def read_pages_and_days(
    db: Database, matching: Matching, limit: int, keys: Iterable[str] | None
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the rows of read_pages(), and a row for each day that has page views: the day and their number.

    They are counted in SQL.
    """
    only_keys = "" if keys is None else f"where page_id in ({PAGE_IDS.strip()})"
    sql = f"""
with counts as materialized (
  select page_id, day, sum(views) as views, sum(sessions) as sessions
  from ({views_statement(matching)}) as page_views
  group by page_id, day)
select *
from (
  select page, 0 as day, cast(sum(counts.views) as bigint) as views, cast(sum(counts.sessions) as bigint)
  from counts
  join pages using (page_id)
  {only_keys}
  group by page
  order by views desc, page
  limit :limit) as pages_of_range
union all
select null, day, cast(sum(views) as bigint), 0
from counts
group by day
"""
    rows = _read_list(db, sql, matching, limit, keys)
    pages = [(page, views, sessions) for page, _, views, sessions in rows if page is not None]
    return pages, [(day, views) for page, day, views, _ in rows if page is None]


def read_page_views_of_hours(db: Database, matching: Matching, span: Span) -> list[tuple[int, int]]:
    """Return a row for each hour that has page views: the hour as in read_hours(), and the number of page views."""
    return _read_span(db, views_of_hours_statement(matching), matching, span)


def _select(rows: list[tuple[Any, ...]], keys: Iterable[str] | None) -> list[tuple[Any, ...]]:
    if keys is None:
        return rows
    selected = set(keys)
    return [row for row in rows if row[0] in selected]


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
