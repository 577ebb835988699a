"""The statistics of the web page in one response, read from one snapshot of the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any, Final, TypedDict, cast

from ..context import Context
from ..database import Database
from ..errors import InvalidRequest
from ..http.parameters import check_choice, check_limit
from ..statistics.earlier_range import EarlierRange, find_earlier_range
from ..statistics.filtered_sections import read_sections
from ..statistics.filtered_sessions import read_page_views_of_hours
from ..statistics.matching import Matching, ResolvedFilters, find_matching
from ..statistics.ranges import Days, close_to_compare, resolve_closed_range
from ..statistics.session_filters import Filters, parse_filters
from ..values.calendar import INTERVALS, DayRange, Interval, Span, hour_begins_at, interval_first, iso_date, local_time
from ..values.compared_days import Comparison
from .current import Current, current
from .engagement import Bucket, engagement
from .geo import Country, geo
from .overview import EarlierTotals, Totals, overview
from .pages import Page, SessionPage, entry, exit_, top
from .realtime import Realtime, realtime
from .sessions import DEFAULT_DAYS, DayRow, EarlierDay, daily, hour_spans
from .site import Site, site
from .sources import Source, sources

DEFAULT_LIMIT = 10

# Pairs: a maximum number of days, and the default interval of ranges up to this number. The default of longer ranges
# is month.
DEFAULT_INTERVALS: Final[tuple[tuple[int, Interval], ...]] = ((2, "hour"), (92, "day"), (400, "week"))

ResolvedRange = TypedDict(
    "ResolvedRange", {"from": str, "to": str, "interval": Interval, "filters": dict[str, list[str]]}
)


class EarlierTotalsWithViews(EarlierTotals):
    page_views: int


class _TotalsWithViews(Totals):
    page_views: int


class OverviewWithViews(_TotalsWithViews, total=False):
    previous: EarlierTotalsWithViews


class EarlierDayWithViews(EarlierDay):
    page_views: int


class _DayWithViews(DayRow):
    page_views: int


class DayWithViews(_DayWithViews, total=False):
    previous: EarlierDayWithViews


class _Heading(TypedDict):
    site: Site
    range: ResolvedRange


class Dashboard(_Heading, total=False):
    overview: OverviewWithViews
    series: list[DayWithViews]
    pages: list[Page]
    entry_pages: list[SessionPage]
    exit_pages: list[SessionPage]
    countries: list[Country]
    sources: list[Source]
    engagement: list[Bucket]
    realtime: Realtime
    current: Current


PAGE_VIEWS = """
select day, cast(sum(views) as bigint)
from page_counts
where day between :first and :last
group by day
"""

PAGE_VIEWS_OF_CUT_DAY = """
select count(*)
from counted_events
where occurred_at >= :begins_at and occurred_at < :until and page is not null
"""

# The page views of each hour in a period in which the UTC offset does not change.
PAGE_VIEWS_OF_HOURS = """
select (occurred_at + :utc_offset) / 3600000, count(*)
from counted_events
where occurred_at >= :begins_at and occurred_at < :ends_at and page is not null
group by 1
"""


@dataclass(frozen=True)
class Query:
    """The arguments of the functions in SECTIONS."""

    ctx: Context
    range: DayRange
    interval: Interval
    fill: bool
    limit: int
    filters: Filters | None
    compare: Comparison | None
    matching: Matching | None
    earlier: EarlierRange | None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that all endpoints with a range have in common."""
        return {"days": self.range, "filters": self.filters, "compare": self.compare}

    @cached_property
    def page_views(self) -> list[tuple[int, int]]:
        """Each day of the range that has page views, and their number."""
        if self.matching is None:
            return self.ctx.db.tuples(PAGE_VIEWS, **self.range.bounds)
        return self.matching.rows["page_views"]

    @cached_property
    def earlier_page_views(self) -> list[tuple[int, int]]:
        """Each day of the earlier range that has page views, and their number."""
        if self.earlier is None:
            return []
        if self.matching is not None:
            return self.earlier.match(self.ctx.db, self.matching).rows["page_views"]
        views = self.ctx.db.tuples(PAGE_VIEWS, **self.earlier.whole_days)
        if self.earlier.has_cut_day:
            [(count,)] = self.ctx.db.tuples(PAGE_VIEWS_OF_CUT_DAY, **self.earlier.cut)
            views = [*views, (self.earlier.last_counted, count)]
        return views


def _read_overview(query: Query) -> OverviewWithViews:
    result = cast(OverviewWithViews, overview(query.ctx, **query.options))
    result["page_views"] = sum(views for _, views in query.page_views)
    if query.earlier:
        result["previous"]["page_views"] = sum(views for _, views in query.earlier_page_views)
    return result


def _read_series(query: Query) -> list[DayWithViews]:
    rows = cast(list[DayWithViews], daily(query.ctx, interval=query.interval, fill=query.fill, **query.options))
    views, earlier_views = _count_views(query), _count_earlier_views(query)
    for row in rows:
        row["page_views"] = views[row["date"]]
        if query.earlier:
            row["previous"]["page_views"] = earlier_views[row["previous"].get("date", "")]
    return rows


def _count_views(query: Query) -> Counter[str]:
    """Return the page views of each interval by its `date` in the series."""
    if query.interval != "hour":
        return _sum_views(query.page_views, query.interval)
    db, bounds = query.ctx.db, query.range.bounds
    return _count_views_of_hours(db, hour_spans(db, bounds["first"], bounds["last"]), query.matching)


def _count_earlier_views(query: Query) -> Counter[str]:
    """Return the page views of the earlier range by the `date` of the interval."""
    earlier = query.earlier
    if earlier is None or query.interval != "hour":
        return _sum_views(query.earlier_page_views, query.interval)
    db = query.ctx.db
    parts = hour_spans(db, earlier.first, earlier.last_counted, earlier.until)
    return _count_views_of_hours(db, parts, query.matching and earlier.match(db, query.matching))


def _sum_views(views_of_days: Iterable[tuple[int, int]], interval: Interval) -> Counter[str]:
    views: Counter[str] = Counter()
    for day, count in views_of_days:
        views[iso_date(interval_first(day, interval))] += count
    return views


def _count_views_of_hours(db: Database, parts: Iterable[Span], matching: Matching | None) -> Counter[str]:
    views: Counter[str] = Counter()
    for span in parts:
        if matching is None:
            rows = db.tuples(PAGE_VIEWS_OF_HOURS, **span._asdict())
        else:
            rows = read_page_views_of_hours(db, matching, span)
        for hour, count in rows:
            views[local_time(hour_begins_at(hour, span), span.utc_offset)] += count
    return views


SECTIONS: Final[dict[str, Callable[[Query], Any]]] = {
    "overview": _read_overview,
    "series": _read_series,
    "pages": lambda query: top(query.ctx, query.limit, **query.options),
    "entry_pages": lambda query: entry(query.ctx, query.limit, **query.options),
    "exit_pages": lambda query: exit_(query.ctx, query.limit, **query.options),
    "countries": lambda query: geo(query.ctx, **query.options),
    "sources": lambda query: sources(query.ctx, query.limit, **query.options),
    "engagement": lambda query: engagement(query.ctx, **query.options),
    "realtime": lambda query: realtime(query.ctx),
    "current": lambda query: current(query.ctx),
}


# The sections that filtered_sections.py can read in one statement, and their names in that module.
ROWS_OF_SECTIONS: Final = {
    "overview": ("totals", "page_views"),
    "series": ("days", "page_views"),
    "pages": ("pages",),
    "entry_pages": ("entry_page",),
    "exit_pages": ("exit_page",),
    "countries": ("country",),
    "sources": ("source",),
    "engagement": ("engagement",),
}


def dashboard(
    ctx: Context,
    days: Days = None,
    *,
    from_: date | None = None,
    to: date | None = None,
    interval: Interval | None = None,
    fill: bool = False,
    limit: int = DEFAULT_LIMIT,
    sections: Collection[str] | None = None,
    filters: Filters | None = None,
    compare: Comparison | None = None,
) -> Dashboard:
    """Return several statistics of a range of days, read from one database snapshot.

    Each section is equal to the response of its own endpoint. Without a range, the days are today and the 29 days
    before it. With only `to`, the range begins on the first day with sessions. With only `from`, the range ends today.
    `range` has the days and the interval of the response. The default interval is hour for up to 2 days, day for up to
    92, week for up to 400, and month for longer ranges. If sessions of the range were purged, hours are not known, and
    the default is day.

    The overview and each row of the series have `page_views`, too: the number of events of type `page_view` with a
    page. With `compare`, their `previous` has `page_views`, too. `limit` applies to pages, entry pages, exit pages and
    sources. Without `sections`, all sections are returned.

    :param sections: keys of SECTIONS.
    """
    check_limit(limit)
    if interval is not None:
        check_choice("interval", interval, INTERVALS)
    if isinstance(sections, str):
        raise InvalidRequest(f"sections must be a list such as ['overview', 'series'], not {sections!r}")
    for section in sections or ():
        check_choice("sections", section, tuple(SECTIONS))

    def read(ctx: Context) -> Dashboard:
        range_ = resolve_closed_range(ctx, from_, to, days, filters, default=DEFAULT_DAYS)
        if compare is not None:
            range_ = close_to_compare(ctx, range_)
        about = site(ctx)
        earlier = find_earlier_range(ctx, range_, compare, filters)
        chosen = interval or _default_interval(range_, earlier, about["raw_since"])
        query = Query(ctx, range_, chosen, fill, limit, filters, compare, None, earlier)
        names = [name for name in SECTIONS if not sections or name in sections]
        if not ROWS_OF_SECTIONS.keys().isdisjoint(names):
            query = _read_matching(query, names)
        result: dict[str, Any] = {"site": about, "range": _describe(range_, chosen, filters)}
        for name in names:
            result[name] = SECTIONS[name](query)
        return cast(Dashboard, result)

    # A Reader of a snapshot has all methods of Database that the sections call.
    return ctx.db.read(lambda reader: read(replace(ctx, db=cast(Database, reader))))


def _read_matching(query: Query, sections: Collection[str]) -> Query:
    """Read the rows of the sections at once, so that the sessions of each range are read only once."""
    db, limit, interval = query.ctx.db, query.limit, query.interval
    matching = find_matching(db, query.range, query.filters)
    if matching is None:
        return query
    names = dict.fromkeys(
        rows
        for section, all_rows in ROWS_OF_SECTIONS.items()
        if section in sections and not (section == "series" and interval == "hour")
        for rows in all_rows
    )
    matching = read_sections(db, matching, names, limit, interval)
    if query.earlier:
        earlier = read_sections(db, query.earlier.match(db, matching), names, limit, interval, matching.rows)
        matching = matching._replace(earlier=earlier)
    return replace(query, matching=matching, filters=ResolvedFilters(query.filters or {}, query.range, matching))


def _describe(range_: DayRange, interval: Interval, filters: Filters | None) -> ResolvedRange:
    first, last = str(range_).split("/")
    return {
        "from": first,
        "to": last,
        "interval": interval,
        "filters": {name: list(values) for name, values in parse_filters(filters).items()},
    }


def _default_interval(range_: DayRange, earlier: EarlierRange | None, raw_since: str | None) -> Interval:
    """Return the default interval of a range. Hours are not known for days whose sessions were purged."""
    first, last = range_.first, range_.last
    assert first is not None
    assert last is not None
    first_read = iso_date(earlier.first if earlier else first)
    for days, interval in DEFAULT_INTERVALS:
        is_known = interval != "hour" or raw_since is None or raw_since <= first_read
        if last - first < days and is_known:
            return interval
    return "month"


def resolved_range(ctx: Context, result: object) -> str:
    """Return the value of the header `Analytics-Range`."""
    range_ = cast(Dashboard, result)["range"]
    return f"{range_['from']}/{range_['to']}"
