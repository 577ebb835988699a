"""Sessions, leads and customers, by a property of the session such as its source, by project, or by day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from ...context import Context
from ...http.parameters import check_choice, check_limit
from ...statistics.earlier_range import EarlierRange, find_earlier_range
from ...statistics.matching import Matching, find_matching
from ...statistics.periods import find_bounds
from ...statistics.ranges import Days, check_interval_count, list_intervals, resolve_range
from ...statistics.session_filters import Filters
from ...values.calendar import ALL_TIME, DayRange, iso_date
from ...values.compared_days import Comparison
from .counts import (
    ATTRIBUTIONS,
    BY,
    Attribution,
    By,
    Conversion,
    ConversionCounts,
    EarlierConversion,
    LeadCounts,
    Request,
)
from .leads import read_leads
from .sessions import count_by_interval, count_earlier_by_interval, count_earlier_sessions, count_sessions


def conversions(
    ctx: Context,
    by: By = "source",
    attribution: Attribution = "last",
    limit: int = 100,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> list[Conversion]:
    """Return the numbers of sessions and leads by source, country, entry page, campaign or project.

    The rows with the most leads come first. Ties are sorted by the number of sessions, then by key. By day, week or
    month, the rows are in ascending order, and `limit` does not apply. `total` has one row, with the key `(all)`. A
    lead is counted on the day of its enquiry. Its key is that of the session to which it is attributed: the last or the
    first session. The key of a lead without a session is `(unknown)`. `won`, `lost` and `open` count the leads by their
    current status. Rates have four decimals, and medians are in days with two decimals. A rate is null if its divisor
    is 0, and a median is null if there are no values.

    With filters, a lead is counted if the session to which it is attributed matches. With `compare`, `previous` has the
    numbers of the same key in the earlier range. By day, week or month, `previous` has the numbers of the interval with
    the same position in the earlier range.

    :raises InvalidRequest: an argument is invalid, or a comparison by day, week or month would have more than 3,700
        intervals.
    """
    check_limit(limit)
    # Both arguments become parts of column names in the SQL, so only the choices are allowed.
    check_choice("by", by, BY)
    check_choice("attribution", attribution, ATTRIBUTIONS)
    range_ = resolve_range(ctx, from_, to, days, filters, compare=compare)
    matching = find_matching(ctx.db, range_, filters)
    request = Request(ctx.db, by, attribution)
    leads = read_leads(request, *find_bounds(ctx.db, range_, None), matching)
    if request.interval:
        bounds = (range_ or ALL_TIME).bounds
        sessions: Mapping[Any, int] = count_by_interval(request, bounds, matching)
        keys: Sequence[Any] = sorted(leads.keys() | sessions.keys())
    else:
        sessions = {} if by == "project" else count_sessions(request, range_, limit, leads, matching)
        order = sorted(
            (-leads[key].count if key in leads else 0, -sessions.get(key, 0), key)
            for key in leads.keys() | sessions.keys()
        )
        keys = [key for *_, key in order[:limit]]
    rows = [_row(request, key, leads, sessions) for key in keys]
    if earlier := find_earlier_range(ctx, range_, compare, filters):
        assert range_ is not None
        _add_previous(request, rows, keys, range_, earlier, matching)
    return rows


def _row(request: Request, key: Any, leads: Mapping[Any, LeadCounts], sessions: Mapping[Any, int]) -> Conversion:
    label = iso_date(key) if request.interval else key
    return cast(Conversion, {request.by: label, **_describe(request, key, leads, sessions)})


def _describe(
    request: Request, key: Any, leads: Mapping[Any, LeadCounts], sessions: Mapping[Any, int]
) -> ConversionCounts:
    return leads.get(key, LeadCounts()).describe(None if request.by == "project" else sessions.get(key, 0))


def _add_previous(
    request: Request,
    rows: list[Conversion],
    keys: Sequence[Any],
    range_: DayRange,
    earlier: EarlierRange,
    matching: Matching | None,
) -> None:
    earlier_matching = matching and earlier.match(request.db, matching)
    bounds = find_bounds(request.db, DayRange(earlier.first, earlier.last_counted), earlier.until)
    leads = read_leads(request, *bounds, earlier_matching)
    sessions: Mapping[Any, int]
    if not request.interval:
        sessions = count_earlier_sessions(request, earlier, earlier_matching, keys)
        for row, key in zip(rows, keys):
            row["previous"] = cast(EarlierConversion, _describe(request, key, leads, sessions))
        return
    sessions = count_earlier_by_interval(request, earlier, earlier_matching)
    corresponding = _pair_intervals(request, range_, earlier)
    for row, key in zip(rows, keys):
        begin = corresponding.get(key)
        label = {} if begin is None else {request.by: iso_date(begin)}
        row["previous"] = cast(EarlierConversion, {**label, **_describe(request, begin, leads, sessions)})


def _pair_intervals(request: Request, range_: DayRange, earlier: EarlierRange) -> dict[int, int]:
    """Return a mapping of each interval of the range to the interval with the same position in the earlier range."""
    assert request.interval
    assert range_.first is not None
    assert range_.last is not None
    check_interval_count(range_.first, range_.last, request.interval, "by")
    begins = list_intervals(request.db, range_.first, range_.last, request.interval)
    return dict(zip(begins, list_intervals(request.db, earlier.first, earlier.last_counted, request.interval)))
