"""Read the rows of several sections of the dashboard from the sessions that match filters, in one statement.

Without this, each section would read the same sessions again. The dashboard passes the result in a ResolvedFilters,
instead of the filters, to the endpoints of its sections.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from ..database import Database
from ..http.parameters import MAX_INT64
from ..values.calendar import Interval
from .filtered_columns import count_sections
from .filtered_sessions import COUNTS, TOTAL_COUNTS, first_day, join_interval, read_pages_and_days, sessions_by_interval
from .matching import Matching
from .periods import INTERVAL_EXPRESSIONS
from .stored_keys import DIMENSIONS, STORED_KEYS, replace_keys

WITHOUT_LIMIT: Final = frozenset({"country", "engagement"})
# One statement reads both of these sections.
VIEW_SECTIONS: Final = frozenset({"pages", "page_views"})


def read_sections(
    db: Database,
    matching: Matching,
    sections: Collection[str],
    limit: int,
    interval: Interval,
    shown: Mapping[str, list[tuple[Any, ...]]] | None = None,
) -> Matching:
    """Return the sessions that match together with the rows of these sections.

    :param sections: any of `totals`, `days`, `pages`, `page_views` and the keys of DIMENSIONS.
    :param limit: the maximum number of rows of sources, pages, entry pages and exit pages.
    :param interval: the interval of each row of `days`.
    :param shown: if the earlier range of a comparison is read, the rows of the requested range by section. The sections
        with a limit then have only the keys of these rows.
    """
    of_sessions = [section for section in sections if section not in VIEW_SECTIONS]
    has_views = len(of_sessions) < len(sections)
    page_keys = _keys(shown["pages"]) if shown and has_views else None
    if matching.by_columns:
        counts = count_sections(db, matching, [*of_sessions, *(["views"] if has_views else [])], interval)
        rows = counts.rows(db)
        if has_views:
            rows["pages"] = counts.views.most_viewed(db, limit, page_keys)
            rows["page_views"] = list(counts.views.days.items())
        return matching._replace(rows=rows)
    # The endpoint reads a single section itself, with a simpler statement.
    rows = _read_in_sql(db, matching, of_sessions, limit, interval, shown) if len(of_sessions) > 1 else {}
    if has_views:
        rows["pages"], rows["page_views"] = read_pages_and_days(db, matching, limit, page_keys)
    return matching._replace(rows=rows)


def _read_in_sql(
    db: Database,
    matching: Matching,
    sections: Collection[str],
    limit: int,
    interval: Interval,
    shown: Mapping[str, list[tuple[Any, ...]]] | None,
) -> dict[str, list[tuple[Any, ...]]]:
    sql = _statement(matching, sections, INTERVAL_EXPRESSIONS.get(interval), has_keys=shown is not None)
    keys = {f"{field}_keys": json.dumps(_keys(shown[field])) for field in DIMENSIONS if shown and field in shown}
    parameters = {**matching.parameters, **keys, "limit": limit, "no_limit": MAX_INT64}
    return _split_rows(db.tuples(sql, **parameters), sections)


def _keys(rows: list[tuple[Any, ...]]) -> list[str]:
    return [key for key, *_ in rows]


def _split_rows(all_rows: list[tuple[Any, ...]], sections: Collection[str]) -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = {section: [] for section in sections}
    for section, key, day, *counts in all_rows:
        if section == "totals":
            rows[section].append(tuple(counts))
        elif section == "days":
            rows[section].append((day, *counts[:6]))
        else:
            rows[section].append((key, *counts[: 2 if section == "country" else 1]))
    return rows


def _statement(matching: Matching, sections: Collection[str], intervals: str | None, *, has_keys: bool) -> str:
    parts = "\nunion all\n".join(_part(section, intervals, has_keys) for section in sections)
    columns = [STORED_KEYS[field] for field in DIMENSIONS if field in sections]
    return f"""
{sessions_by_interval(matching, intervals, columns, materialized=True)}
{parts}
"""


def _part(section: str, intervals: str | None, has_keys: bool) -> str:
    if section == "totals":
        return TOTALS_PART
    if section == "days":
        return _days_part(intervals)
    return _list_part(section, has_keys and section not in WITHOUT_LIMIT)


def _list_part(field: str, has_keys: bool) -> str:
    key = STORED_KEYS[field]
    visitors, more_columns = "0 as visitors", ""
    if field == "country":
        visitors, more_columns = "visitors", ", count(distinct s.visitor_id) as visitors"
    counts = f"select {key} as key, count(*) as sessions{more_columns} from s group by {key}"
    limit = ":no_limit" if has_keys or field in WITHOUT_LIMIT else ":limit"
    only_keys = f"\nwhere key in (select value from json_each(cast(:{field}_keys as text)))" if has_keys else ""
    return f"""select *
from (
  select '{field}' as section, key, 0 as first_day, sessions, {visitors}, {NO_COUNTS}
  from ({replace_keys(field, counts)}) as counts
  where key <> ''
  order by sessions desc, key
  limit {limit}) as {field}_rows{only_keys}"""


def _days_part(intervals: str | None) -> str:
    day = first_day(intervals)
    return f"""select *
from (
  select 'days' as section, '' as key, {day} as first_day, {COUNTS}, 0 as fingerprints, 0 as vpn_suspected, 0 as events
  from s
  {join_interval(intervals)}
  group by {day}
  order by {day}) as day_rows"""


NO_COUNTS: Final = """0 as duration_sum, 0 as duration_count, 0 as score_sum, 0 as score_count, 0 as fingerprints,
    0 as vpn_suspected, 0 as events"""
TOTALS_PART: Final = f"""select 'totals' as section, '' as key, 0 as first_day, {TOTAL_COUNTS}
from s"""
