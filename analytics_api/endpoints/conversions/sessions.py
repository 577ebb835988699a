"""Count the sessions for each row of conversions: for each source, country or other key, or for each interval.

Without filters, the numbers are read from counters.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from ...statistics.earlier_range import COUNTS_OF_VALUES, EarlierRange, read_earlier_keys
from ...statistics.filtered_sessions import counts_statement
from ...statistics.matching import Matching
from ...statistics.stored_keys import DIMENSIONS, STORED_KEYS, keys_of_values, replace_keys
from ...statistics.top_keys import read_top_keys
from ...values.calendar import ALL_TIME, DayRange, interval_first
from .counts import ALL, NONE, Request

SESSIONS_OF_DAYS = """
select day, cast(sum(sessions) as bigint)
from day_counts
where day between :first and :last
group by day
having sum(sessions) <> 0
"""

SESSIONS_OF_CUT_DAY = """
select count(*)
from sessions
where started_at >= :begins_at and started_at < :until
"""


def count_by_interval(request: Request, bounds: Mapping[str, int], matching: Matching | None) -> dict[int, int]:
    """Return the number of sessions of each interval by its first day."""
    assert request.interval
    counts: dict[int, int] = defaultdict(int)
    for day, sessions in _read_days(request, bounds, matching):
        counts[interval_first(day, request.interval)] += sessions
    return counts


def _read_days(request: Request, bounds: Mapping[str, int], matching: Matching | None) -> list[tuple[int, int]]:
    if matching:
        return request.db.tuples(counts_statement("s.day", matching), **matching.parameters)
    return request.db.tuples(SESSIONS_OF_DAYS, **bounds)


def count_earlier_by_interval(request: Request, earlier: EarlierRange, matching: Matching | None) -> dict[int, int]:
    counts = count_by_interval(request, earlier.whole_days, matching)
    if earlier.has_cut_day and matching is None:
        assert request.interval
        counts[interval_first(earlier.last_counted, request.interval)] += _count_cut_day(request, earlier)
    return counts


def _count_cut_day(request: Request, earlier: EarlierRange) -> int:
    [[sessions]] = request.db.tuples(SESSIONS_OF_CUT_DAY, **earlier.cut)
    return cast(int, sessions)


def count_sessions(
    request: Request, range_: DayRange | None, limit: int, keys_with_leads: Iterable[str], matching: Matching | None
) -> dict[str, int]:
    """Return the number of sessions of each key with leads, and of the `limit` other keys with the most sessions.

    The result may have more keys.
    """
    if request.by == "total":
        days = _read_days(request, (range_ or ALL_TIME).bounds, matching)
        return {ALL: sum(sessions for _, sessions in days)}
    if matching:
        return _count_matching(request, matching)
    keys = {_to_counted(request, key) for key in keys_with_leads}
    if request.by == "entry_page":
        keys.add("")  # read_top_keys() does not return the sessions without an entry page
    rows = read_top_keys(request.db, range_, None, request.by, limit + len(keys))
    if missing := sorted(keys - {key for key, _ in rows}):
        key_list = json.dumps(missing)
        if range_:
            bounds = {**range_.bounds, "begins_at": 0, "until": 0}
            rows += request.db.tuples(COUNTS_OF_VALUES[request.by], **bounds, keys=key_list)
        else:
            rows += request.db.tuples(_all_time_counts(request.by), dimension=DIMENSIONS[request.by], keys=key_list)
    return {_to_shown(request, key): sessions for key, sessions in rows if sessions}


def _count_matching(request: Request, matching: Matching) -> dict[str, int]:
    sql = replace_keys(request.by, counts_statement(STORED_KEYS[request.by], matching))
    return {_to_shown(request, key): sessions for key, sessions in request.db.tuples(sql, **matching.parameters)}


def _all_time_counts(field: str) -> str:
    """Return the statement that reads the all-time number of sessions of each value in the parameter `keys`."""
    keys = keys_of_values(field)
    counts = f"select key, sessions from all_time_keys where dimension = :dimension and key in ({keys})"
    return replace_keys(field, counts)


def count_earlier_sessions(
    request: Request, earlier: EarlierRange, matching: Matching | None, keys: Sequence[str]
) -> dict[str, int]:
    if request.by == "project" or not keys:
        return {}
    if request.by == "total":
        days = _read_days(request, earlier.whole_days, matching)
        cut = _count_cut_day(request, earlier) if earlier.has_cut_day and matching is None else 0
        return {ALL: cut + sum(sessions for _, sessions in days)}
    if matching:
        return _count_matching(request, matching)
    counted_keys = [_to_counted(request, key) for key in keys]
    counts = read_earlier_keys(request.db, earlier, None, request.by, counted_keys)
    return {_to_shown(request, key): sessions for key, sessions in counts.items()}


def _to_counted(request: Request, key: str) -> str:
    """Return the key in the counters for a key in the response. The counters have "" for a missing entry page."""
    return "" if key == NONE and request.by == "entry_page" else key


def _to_shown(request: Request, key: str) -> str:
    """Return the key in the response for a key in the counters."""
    return NONE if key == "" and request.by == "entry_page" else key
