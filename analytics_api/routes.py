"""The API as one table, a route a row. Routing, validation and the OpenAPI document are made from it."""

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
    lead_etag,
    list_leads,
    next_query,
    update_status,
)
from .endpoints.overview import overview
from .endpoints.pages import entry, exit_, top
from .endpoints.realtime import realtime
from .endpoints.sessions import DEFAULT_DAYS, INTERVALS, daily
from .endpoints.site import site
from .endpoints.sources import sources
from .endpoints.storage import age, storage
from .endpoints.whoami import whoami
from .http.parameters import MAX_INT64, Boolean, Cursor, Day, Enum, Identifier, Integer, Parameter, Text

RANGE_HEADER = "Analytics-Range"


@dataclass(frozen=True, slots=True)
class Header:
    """A response header. `value` takes the context and the endpoint's result, and returns None to leave it out."""

    name: str
    description: str
    value: Callable[[Context, object], str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One method of one path: who may call it, its parameters, the endpoint, and how it responds.

    :param scope: what a key must have; None lets any key in.
    :param path: what follows the prefix.
    :param query: parameters of the query string.
    :param path_parameters: parameters in the path.
    :param body: strings of the JSON object that is sent.
    :param produces: media types of the response.
    :param headers: response headers.
    :param next_query: takes the endpoint's result and returns the query string of the next page, for `Link`, or None.
    :param conditional: pass the endpoint a function `check`, which compares a payload with If-Match and If-None-Match.
    :param cache_for: cache the response until the next write, and at most this many milliseconds, counted from the
        epoch. 0 disables caching; a path with parameters is never cached.
    :param ranged: RANGE is among `query`. It is resolved to the days that the endpoint takes as `days`, and the header
        `Analytics-Range` names them.
    """

    scope: str | None
    method: str
    path: str
    endpoint: Callable[..., Any]
    query: Sequence[Parameter] = ()
    path_parameters: Sequence[Identifier] = ()
    body: Sequence[Text] = ()
    produces: Sequence[str] = ("application/json",)
    headers: Sequence[Header] = ()
    next_query: Callable[[object], str | None] | None = None
    conditional: bool = False
    cache_for: int = 0
    ranged: bool = False


# Lead responses are not cached: an idle process would keep an erased person in memory.
FOREVER = MAX_INT64

FROM = Day("from", "The first day of the site to count; without it all before `to`")
TO = Day("to", "The last day of the site to count; without it all from `from` on")
DAYS = "Number of days to count, including today; not with from or to"
RANGE = (FROM, TO, Integer("days", DAYS, default=None, minimum=1, maximum=3660))

LEAD = Identifier("lead_id", "Id of the lead")
LEAD_FILTERS = (
    Text("q", "Text to find in the name, e-mail, phone, project or visitor id", maximum=1000),
    Enum("status", "Pipeline status of the leads", STATUSES),
)

ROUTES = (
    Route("stats", "GET", "/overview", overview, RANGE, ranged=True, cache_for=FOREVER),
    Route("stats", "GET", "/sessions/daily", daily, [
        FROM,
        TO,
        Integer("days", DAYS, default=DEFAULT_DAYS, minimum=1, maximum=90),
        Enum("interval", "What each row counts; weeks begin on Monday", INTERVALS, default="day"),
        Boolean("fill", "Whether to return rows of zeros where nothing happened"),
    ], ranged=True, cache_for=FOREVER),
    Route("stats", "GET", "/pages/top", top, [
        Integer("limit", "Number of pages to return", default=20, minimum=1, maximum=100),
        *RANGE,
    ], ranged=True, cache_for=FOREVER),
    Route("stats", "GET", "/pages/entry", entry, [
        Integer("limit", "Number of pages to return", default=20, minimum=1, maximum=100),
        *RANGE,
    ], ranged=True, cache_for=FOREVER),
    Route("stats", "GET", "/pages/exit", exit_, [
        Integer("limit", "Number of pages to return", default=20, minimum=1, maximum=100),
        *RANGE,
    ], ranged=True, cache_for=FOREVER),
    Route("stats", "GET", "/geo", geo, RANGE, ranged=True, cache_for=FOREVER),
    Route("stats", "GET", "/engagement", engagement, RANGE, ranged=True, cache_for=FOREVER),
    Route("stats", "GET", "/sources", sources, [
        Integer("limit", "Number of referrer domains to return", default=100, minimum=1, maximum=1000),
        *RANGE,
    ], ranged=True, cache_for=FOREVER),
    Route(None, "GET", "/site", site),
    Route("stats", "GET", "/realtime", realtime),
    Route("stats", "GET", "/storage", storage, headers=[
        Header("Age", "Seconds since the objects were counted", age),
    ]),
    Route(None, "GET", "/whoami", whoami),
    Route("leads:read", "GET", "/leads", list_leads, [
        Integer("limit", "Number of leads to return", default=25, minimum=1, maximum=100),
        Integer("offset", "Number of leads to skip", default=0, minimum=0),
        *LEAD_FILTERS,
        Enum("sort", "Order of the leads; without one it is the cursor's, or newest", tuple(ORDERS)),
        Cursor("cursor", "Where the previous page ended, from its Link header; another sort is 400", CURSOR_PATTERN),
    ], next_query=next_query),
    Route("leads:read", "GET", "/leads/export", export_leads, [
        Enum("format", "CSV, or one JSON object a line", tuple(FORMATS), default="csv"),
        *LEAD_FILTERS,
        Enum("sort", "Order of the leads", tuple(ORDERS), default="newest"),
    ], produces=tuple(FORMATS.values())),
    Route("leads:read", "GET", "/leads/<lead_id>", detail, path_parameters=[LEAD]),
    Route("leads:write", "PATCH", "/leads/<lead_id>", update_status, path_parameters=[LEAD], body=[
        Text("status", f"The new pipeline stage: {', '.join(STATUSES)}; in any case"),
    ], headers=[
        Header("ETag", "Value for If-Match: the ETag of the lead detail after the update", lead_etag),
    ], conditional=True),
)  # fmt: skip
