"""The whole API: one row a route. Routing and validation are made from this table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .context import Context
from .endpoints.engagement import engagement
from .endpoints.geo import geo
from .endpoints.leads import (
    CURSOR_PATTERN,
    FORMATS,
    ORDERS,
    STATUSES,
    detail,
    export_leads,
    list_leads,
    next_page_link,
    update_status,
)
from .endpoints.overview import overview
from .endpoints.pages import top
from .endpoints.realtime import realtime
from .endpoints.sessions import daily
from .endpoints.sources import sources
from .endpoints.storage import age, storage
from .http.parameters import MAX_INT64, Cursor, Enum, Identifier, Integer, Parameter, Text


@dataclass(frozen=True, slots=True)
class Header:
    """A header of some answers; `value` tells of which, and what it says."""

    name: str
    description: str
    value: Callable[[Context, object], str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """What a key has to have, a method and path (below the prefix), the function that answers, and what it is given.

    `path_parameters` are named in the path, `query` after it; `body` names the strings of the JSON object sent.
    `produces` are the media types of its answer, and `headers` go with it. While nothing is written to the database the
    response is cached for a span of `cache_for` milliseconds, counted from the epoch; 0 disables caching, as where the
    path has parameters.
    """

    scope: str
    method: str
    path: str
    endpoint: Callable[..., Any]
    query: Sequence[Parameter] = ()
    path_parameters: Sequence[Identifier] = ()
    body: Sequence[Text] = ()
    produces: Sequence[str] = ("application/json",)
    headers: Sequence[Header] = ()
    cache_for: int = 0


# Answers about persons hold, too; but what is erased is not to live on in a process that nobody asks any more.
DAY = 86_400_000
FOREVER = MAX_INT64

LEAD = Identifier("lead_id", "The lead's number")
LEAD_FILTERS = (
    Text("q", "What to find in name, e-mail, phone, project or visitor id", maximum=1000),
    Enum("status", "Only the leads with this pipeline status", STATUSES),
)

ROUTES = (
    Route("stats", "GET", "/overview", overview, cache_for=FOREVER),
    Route("stats", "GET", "/sessions/daily", daily, [
        Integer("days", "Number of days to look back, today among them", default=30, minimum=1, maximum=90),
    ], cache_for=DAY),
    Route("stats", "GET", "/pages/top", top, [
        Integer("limit", "Number of pages to return", default=20, minimum=1, maximum=100),
    ], cache_for=FOREVER),
    Route("stats", "GET", "/geo", geo, cache_for=FOREVER),
    Route("stats", "GET", "/engagement", engagement, cache_for=FOREVER),
    Route("stats", "GET", "/sources", sources, [
        Integer("limit", "Number of referrer domains to return", default=100, minimum=1, maximum=1000),
    ], cache_for=FOREVER),
    Route("stats", "GET", "/realtime", realtime),
    Route("stats", "GET", "/storage", storage, headers=[
        Header("Age", "How many seconds ago that was counted", age),
    ]),
    Route("leads:read", "GET", "/leads", list_leads, [
        Integer("limit", "Number of leads to return", default=25, minimum=1, maximum=100),
        Integer("offset", "Number of leads to leave out before them", default=0, minimum=0),
        *LEAD_FILTERS,
        Enum("sort", "Order of the leads; without one it is the cursor's, or newest", tuple(ORDERS)),
        Cursor("cursor", "Where the previous page ended, from its Link header; replaces offset", CURSOR_PATTERN),
    ], headers=[
        Header("Link", "The next page, as rel=next; the last page has none", next_page_link),
    ]),
    Route("leads:read", "GET", "/leads/export", export_leads, [
        Enum("format", "Comma-separated values, or a JSON object a line", tuple(FORMATS), default="csv"),
        *LEAD_FILTERS,
        Enum("sort", "Order of the leads", tuple(ORDERS), default="newest"),
    ], produces=tuple(FORMATS.values())),
    Route("leads:read", "GET", "/leads/<lead_id>", detail, path_parameters=[LEAD]),
    Route("leads:write", "PATCH", "/leads/<lead_id>", update_status, path_parameters=[LEAD], body=[
        Text("status", f"The stage to put the lead into: {', '.join(STATUSES)}; in any case"),
    ]),
)  # fmt: skip
