"""Read the rows of several sections of the dashboard from the sessions that match filters, in one statement.

Without this, each section would read the same sessions again. The dashboard passes the result, a ResolvedFilters,
instead of the filters to the endpoints of its sections.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from .calendar import DayRange
from .database import Database
from .filter_conditions import EXPRESSIONS
from .filtered_events import EVENTS_OF_DAY
from .filtered_sessions import (
    COUNTS,
    Matching,
    ResolvedFilters,
    find_matching,
    first_day,
    join_interval,
    read_pages_and_views,
    sessions_by_interval,
)
from .http.parameters import MAX_INT64
from .session_filters import Filters

# These sections have a row for each value of a field.
FIELDS: Final = ("country", "source", "entry_page", "exit_page", "engagement")
WITHOUT_LIMIT: Final = frozenset({"country", "engagement"})


def resolve_filters(
    db: Database, range_: DayRange, filters: Filters | None, sections: Collection[str], limit: int, begins: str | None
) -> Filters | None:
    """Return the filters together with the rows of these sections, for find_matching().

    :param sections: any of `totals`, `days`, `pages`, `page_views` and FIELDS. Pages and page views are only read here
        if both are needed.
    :param limit: the maximum number of rows of sources, pages, entry pages and exit pages.
    :param begins: as in read_days().
    """
    matching = find_matching(db, range_, filters)
    if matching is None or filters is None:
        return filters
    rows: dict[str, list[tuple[Any, ...]]] = {}
    if "pages" in sections and "page_views" in sections:
        rows = read_pages_and_views(db, matching, limit)
    of_sessions = [section for section in sections if section not in ("pages", "page_views")]
    if len(of_sessions) > 1:  # the endpoint reads a single section itself, with a simpler statement
        rows |= _read_rows(db, matching, of_sessions, limit, begins)
    matching = matching._replace(rows=rows)
    return ResolvedFilters(filters, range_, matching)


def _read_rows(
    db: Database, matching: Matching, sections: Collection[str], limit: int, begins: str | None
) -> dict[str, list[tuple[Any, ...]]]:
    sql = _statement(matching.condition, tuple(sections), begins)
    rows: dict[str, list[tuple[Any, ...]]] = {section: [] for section in sections}
    for section, key, day, *counts in db.tuples(sql, **matching.parameters, limit=limit, no_limit=MAX_INT64):
        if section == "totals":
            rows[section].append(tuple(counts))
        elif section == "days":
            rows[section].append((day, *counts[:6]))
        else:
            rows[section].append((key, *counts[: 2 if section == "country" else 1]))
    return rows


def _statement(condition: str, sections: tuple[str, ...], begins: str | None) -> str:
    parts = "\nunion all\n".join(_days_part(begins) if section == "days" else _PARTS[section] for section in sections)
    return f"""
{sessions_by_interval(condition, begins, materialized=True)}
{parts}
"""


def _list_part(field: str) -> str:
    expression = EXPRESSIONS[field]
    visitors = "count(distinct s.visitor_id)" if field == "country" else "0"
    limit = ":no_limit" if field in WITHOUT_LIMIT else ":limit"
    return f"""select *
from (
  select '{field}' as section, {expression} as key, 0 as first_day, count(*) as sessions, {visitors} as visitors,
    0 as duration_sum, 0 as duration_count, 0 as score_sum, 0 as score_count, 0 as fingerprints, 0 as vpn_suspected,
    0 as events
  from s
  where {expression} <> ''
  group by {expression}
  order by sessions desc, key
  limit {limit}) as {field}_rows"""


def _days_part(begins: str | None) -> str:
    day = first_day(begins)
    return f"""select *
from (
  select 'days' as section, '' as key, {day} as first_day, {COUNTS}, 0 as fingerprints, 0 as vpn_suspected, 0 as events
  from s
  {join_interval(begins)}
  group by {day}
  order by {day}) as day_rows"""


_PARTS: Final[dict[str, str]] = {
    "totals": f"""select 'totals' as section, '' as key, 0 as first_day, {COUNTS},
  count(distinct s.fingerprint) as fingerprints, count(nullif(s.is_vpn, 0)) as vpn_suspected,
  {EVENTS_OF_DAY} as events
from s""",
    **{field: _list_part(field) for field in FIELDS},
}
