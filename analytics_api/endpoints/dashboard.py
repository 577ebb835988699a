"""The statistics of a page in one response, read from one snapshot of the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any, Final, TypedDict, cast

from ..calendar import DayRange, Interval, day_begins_at, hour_begins_at, interval_first, iso_date, local_time, spans
from ..context import Context
from ..database import Database
from ..filters import Filters, parse_filters
from ..matching import Matching, find_matching, read_page_views, read_page_views_of_hours
from ..matching_once import resolve_filters
from ..ranges import Days, load_offsets, resolve_closed_range
from .current import Current, current
from .engagement import Bucket, engagement
from .geo import Country, geo
from .overview import Overview, overview
from .pages import Page, SessionPage, entry, exit_, top
from .realtime import Realtime, realtime
from .sessions import BEGINS, DEFAULT_DAYS, Day, daily
from .site import Site, site
from .sources import Source, sources

DEFAULT_LIMIT = 10

# The default interval of a range of at most this many days; longer ranges have months.
DEFAULT_INTERVALS: Final[tuple[tuple[int, Interval], ...]] = ((2, "hour"), (92, "day"), (400, "week"))

ResolvedRange = TypedDict(
    "ResolvedRange", {"from": str, "to": str, "interval": Interval, "filters": dict[str, list[str]]}
)


class OverviewWithViews(Overview):
    page_views: int


class DayWithViews(Day):
    page_views: int


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

# Within a period that has one UTC offset.
PAGE_VIEWS_OF_HOURS = """
select (occurred_at + :utc_offset) / 3600000, count(*)
from counted_events
where occurred_at >= :begins_at and occurred_at < :ends_at and page is not null
group by 1
"""


@dataclass(frozen=True)
class Query:
    """The arguments from which every section is computed."""

    ctx: Context
    range: DayRange
    interval: Interval
    fill: bool
    limit: int
    filters: Filters | None
    matching: Matching | None

    @cached_property
    def page_views(self) -> list[tuple[int, int]]:
        """Each day with page views, and their number."""
        if self.matching is None:
            return self.ctx.db.tuples(PAGE_VIEWS, **self.range.bounds)
        return read_page_views(self.ctx.db, self.matching)


def _read_overview(query: Query) -> OverviewWithViews:
    page_views = sum(views for _, views in query.page_views)
    return {**overview(query.ctx, query.range, filters=query.filters), "page_views": page_views}


def _read_series(query: Query) -> list[DayWithViews]:
    rows = daily(query.ctx, query.range, interval=query.interval, fill=query.fill, filters=query.filters)
    views = _count_views_of_hours(query) if query.interval == "hour" else _count_views(query)
    return [{**row, "page_views": views[row["date"]]} for row in rows]


def _count_views(query: Query) -> Counter[str]:
    """Return the page views of each interval, by its date in the series."""
    views: Counter[str] = Counter()
    for day, count in query.page_views:
        views[iso_date(interval_first(day, query.interval))] += count
    return views


def _count_views_of_hours(query: Query) -> Counter[str]:
    """Return the page views of each hour, by its date in the series."""
    db = query.ctx.db
    first, last = query.range.bounds["first"], query.range.bounds["last"]
    offsets = load_offsets(db, first, last)
    views: Counter[str] = Counter()
    for span in spans(day_begins_at(first, offsets), day_begins_at(last + 1, offsets), offsets):
        if query.matching is None:
            rows = db.tuples(PAGE_VIEWS_OF_HOURS, **span._asdict())
        else:
            rows = read_page_views_of_hours(db, query.matching, span)
        for hour, count in rows:
            views[local_time(hour_begins_at(hour, span), span.utc_offset)] += count
    return views


SECTIONS: Final[dict[str, Callable[[Query], Any]]] = {
    "overview": _read_overview,
    "series": _read_series,
    "pages": lambda query: top(query.ctx, query.limit, query.range, filters=query.filters),
    "entry_pages": lambda query: entry(query.ctx, query.limit, query.range, filters=query.filters),
    "exit_pages": lambda query: exit_(query.ctx, query.limit, query.range, filters=query.filters),
    "countries": lambda query: geo(query.ctx, query.range, filters=query.filters),
    "sources": lambda query: sources(query.ctx, query.limit, query.range, filters=query.filters),
    "engagement": lambda query: engagement(query.ctx, query.range, filters=query.filters),
    "realtime": lambda query: realtime(query.ctx),
    "current": lambda query: current(query.ctx),
}


# The sections that count sessions, with the name of their rows in matching_once.
SESSION_SECTIONS: Final = {
    "overview": "totals",
    "series": "days",
    "entry_pages": "entry_page",
    "exit_pages": "exit_page",
    "countries": "country",
    "sources": "source",
    "engagement": "engagement",
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
) -> Dashboard:
    """Return the statistics of a range of days, all of one instant; each section is as its own endpoint returns it.

    Without a range, the days are today and the 29 days before it. `to` alone begins at the first day with sessions;
    `from` alone ends today. `range` says which days and which interval these are. The default interval is hour for up
    to 2 days, day for up to 92, week for up to 400, and month beyond; hours of days whose sessions were purged are not
    known, so day is their default.

    The overview and the rows of the series also have `page_views`, the number of events of type `page_view` with a
    page. `limit` applies to pages, entry pages, exit pages and sources. Without `sections`, all are returned.

    :param sections: some of SECTIONS.
    """

    def read(ctx: Context) -> Dashboard:
        range_ = resolve_closed_range(ctx, from_, to, days, filters, default=DEFAULT_DAYS)
        first, last = range_.bounds["first"], range_.bounds["last"]
        about = site(ctx)
        chosen = interval or _default_interval(first, last, about["raw_since"])
        result: dict[str, Any] = {
            "site": about,
            "range": {
                "from": iso_date(first),
                "to": iso_date(last),
                "interval": chosen,
                "filters": {name: list(values) for name, values in parse_filters(filters).items()},
            },
        }
        resolved = _resolve_filters(ctx, range_, filters, sections, limit, chosen)
        query = Query(ctx, range_, chosen, fill, limit, resolved, find_matching(ctx.db, range_, resolved))
        for name, read_section in SECTIONS.items():
            if not sections or name in sections:
                result[name] = read_section(query)
        return cast(Dashboard, result)

    # The sections call only those methods of the database that a reader of one snapshot has, too.
    return ctx.db.read(lambda reader: read(replace(ctx, db=cast(Database, reader))))


def _resolve_filters(
    ctx: Context,
    range_: DayRange,
    filters: Filters | None,
    sections: Collection[str] | None,
    limit: int,
    interval: Interval,
) -> Filters | None:
    """Return filters that have the rows of the sections that count sessions, so that these are read once."""
    names = [
        rows
        for section, rows in SESSION_SECTIONS.items()
        if (not sections or section in sections) and not (rows == "days" and interval == "hour")
    ]
    return resolve_filters(ctx.db, range_, filters, names, limit, BEGINS.get(interval))


def _default_interval(first: int, last: int, raw_since: str | None) -> Interval:
    for days, interval in DEFAULT_INTERVALS:
        is_known = interval != "hour" or raw_since is None or raw_since <= iso_date(first)
        if last - first < days and is_known:
            return interval
    return "month"


def resolved_range(ctx: Context, result: object) -> str:
    """Return the value of the header `Analytics-Range`."""
    range_ = cast(Dashboard, result)["range"]
    return f"{range_['from']}/{range_['to']}"
