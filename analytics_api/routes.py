"""The table of all routes. Routing, validation and the OpenAPI document are derived from this table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .context import Context
from .endpoints.conversions import ATTRIBUTIONS, BY, conversions
from .endpoints.current import current
from .endpoints.dashboard import DEFAULT_LIMIT, SECTIONS, dashboard, resolved_range
from .endpoints.engagement import engagement
from .endpoints.geo import geo
from .endpoints.leads import (
    BOARD_CURSOR_PATTERN,
    CURSOR_PATTERN,
    FORMATS,
    LEAD_FILTERS,
    LIST_ORDERS,
    STATUSES,
    board,
    board_stage,
    changes,
    detail,
    export_leads,
    facets,
    history,
    lead_etag,
    list_leads,
    next_query,
    pipeline,
    update_status,
    update_statuses,
    visits,
)
from .endpoints.overview import overview
from .endpoints.pages import entry, exit_, top
from .endpoints.realtime import realtime
from .endpoints.sessions import DEFAULT_DAYS, daily
from .endpoints.site import site
from .endpoints.sources import sources
from .endpoints.storage import age, storage
from .endpoints.whoami import whoami
from .http.parameters import (
    Boolean,
    Cursor,
    Day,
    Enum,
    Enums,
    Identifier,
    Integer,
    LeadReferences,
    Parameter,
    Text,
)
from .statistics.session_filters import SESSION_FILTERS
from .values.calendar import INTERVALS
from .values.compared_days import COMPARISONS

RANGE_HEADER = "Analytics-Range"


@dataclass(frozen=True, slots=True)
class Header:
    """A response header. `value` takes the context and the endpoint's result; it returns None to omit the header."""

    name: str
    description: str
    value: Callable[[Context, object], str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One method of one path: its scope, parameters, endpoint and response headers.

    :param scope: the scope that the key must have; None accepts every valid key.
    :param path: the path after the prefix.
    :param query: parameters in the query string.
    :param filters: query parameters that can be repeated. The endpoint gets them in one argument `filters`, as texts.
    :param path_parameters: parameters in the path.
    :param body: fields of the JSON request body.
    :param produces: media types of the response.
    :param headers: response headers.
    :param next_query: takes the endpoint's result and returns the query string of the next page for `Link`, or None.
    :param can_be_gone: whether the response can be 410, if the requested data is no longer available.
    :param has_preconditions: whether the endpoint gets a function `check`, which evaluates If-Match and If-None-Match.
    :param is_cached: whether the response is cached until the next write; only for routes without path parameters.
        Responses with leads are not cached, because an idle process could keep data of an erased person in memory.
    :param has_range: whether `query` contains the parameters in RANGE. The range of days is then passed to the endpoint
        as `days`, and the response has the header `Analytics-Range`.
    :param in_snapshot: whether the endpoint always reads from one snapshot. The other endpoints with a range do so only
        if the request has filters or a comparison.
    :param max_age: reuse the response for this many milliseconds, even after a write; for routes that many clients
        poll.
    """

    scope: str | None
    method: str
    path: str
    endpoint: Callable[..., Any]
    query: Sequence[Parameter] = ()
    filters: Sequence[Parameter] = ()
    path_parameters: Sequence[Identifier | Text] = ()
    body: Sequence[Text | LeadReferences] = ()
    produces: Sequence[str] = ("application/json",)
    headers: Sequence[Header] = ()
    next_query: Callable[[object], str | None] | None = None
    can_be_gone: bool = False
    has_preconditions: bool = False
    is_cached: bool = False
    has_range: bool = False
    in_snapshot: bool = False
    max_age: int = 0

    @property
    def default_days(self) -> int | None:
        """The number of days to count if the request has no range; None for all time."""
        [default] = (parameter.default for parameter in self.query if parameter.name == "days")
        assert default is None or isinstance(default, int)
        return default


FROM = Day("from", "First day to count, in the site's time zone; no lower bound by default")
TO = Day("to", "Last day to count, in the site's time zone; no upper bound by default")
DAYS = "Number of days to count, up to and including today; cannot be combined with from or to"
COMPARE = Enum(
    "compare", "Also count the same number of days just before, or the same dates a year earlier", COMPARISONS
)
RANGE = (FROM, TO, Integer("days", DAYS, default=None, minimum=1, maximum=3660))
COMPARED = (*RANGE, COMPARE)
TOP_PAGES = (Integer("limit", "Number of pages to return", default=20, minimum=1, maximum=100), *COMPARED)

ALL_FILTERS = tuple(SESSION_FILTERS.values())

LEAD = Identifier("lead_id", "Id of the lead")
SEARCH = Text("q", "Text to find in the name, e-mail, phone, project or visitor id", maximum=1000)
NEW_STATUS = Text("status", f"The new pipeline status: {', '.join(STATUSES)}; case is ignored")
MAX_MOVED = 500
BOARD_SORT = "Order within each stage; by default in descending order of `stage_since`"
MAX_POSITION = 4000  # characters; on PostgreSQL, a position has up to 19 digits for each transaction in progress
FILTERS_OF_LEADS = tuple(filter_.parameter for filter_ in LEAD_FILTERS.values())

ROUTES = (
    Route("stats", "GET", "/overview", overview, COMPARED, filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/sessions/daily", daily, [
        FROM,
        TO,
        Integer("days", DAYS, default=DEFAULT_DAYS, minimum=1, maximum=90),
        COMPARE,
        Enum("interval", "Length of each row's interval; weeks begin on Monday", INTERVALS, default="day"),
        Boolean("fill", "Whether to return a row of zeros for each interval without sessions"),
    ], filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/pages/top", top, TOP_PAGES, filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/pages/entry", entry, TOP_PAGES, filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/pages/exit", exit_, TOP_PAGES, filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/geo", geo, COMPARED, filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/engagement", engagement, COMPARED, filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/sources", sources, [
        Integer("limit", "Number of referrer domains to return", default=100, minimum=1, maximum=1000),
        *COMPARED,
    ], filters=ALL_FILTERS, has_range=True, is_cached=True),
    Route("stats", "GET", "/dashboard", dashboard, [
        FROM,
        TO,
        Integer("days", DAYS, default=DEFAULT_DAYS, minimum=1, maximum=3660),
        Enum("interval", "Interval of each row of the series; the default depends on the range", INTERVALS),
        Boolean("fill", "Whether the series has a row of zeros for each interval without sessions"),
        Integer("limit", "Number of pages and of sources to return", default=DEFAULT_LIMIT, minimum=1, maximum=100),
        COMPARE,
        Enums("sections", "Sections to return, separated by commas; by default all", tuple(SECTIONS)),
    ], filters=ALL_FILTERS, headers=[
        Header(RANGE_HEADER, "The days that the response counts", resolved_range),
    ]),
    Route("stats", "GET", "/conversions", conversions, [
        Enum("by", "Property to group by; days, weeks and months are in ascending order", BY, default="source"),
        Enum("attribution", "Session to which a lead is attributed", ATTRIBUTIONS, default="last"),
        Integer("limit", "Number of rows, except for days, weeks and months", default=100, minimum=1, maximum=1000),
        *COMPARED,
    ], filters=ALL_FILTERS, has_range=True, in_snapshot=True, is_cached=True),
    Route("stats", "GET", "/pipeline", pipeline, RANGE, has_range=True, is_cached=True),
    Route(None, "GET", "/site", site),
    Route("stats", "GET", "/realtime", realtime),
    Route("stats", "GET", "/current", current, max_age=1000),
    Route("stats", "GET", "/storage", storage, headers=[
        Header("Age", "Seconds since the objects were counted", age),
    ]),
    Route(None, "GET", "/whoami", whoami),
    Route("leads:read", "GET", "/leads", list_leads, [
        Integer("limit", "Number of leads to return", default=25, minimum=1, maximum=100),
        Integer("offset", "Number of leads to skip", default=0, minimum=0),
        SEARCH,
        Enum("sort", "Order of the leads; by default the order of the cursor, or newest", LIST_ORDERS),
        Cursor("cursor", "the Link header", CURSOR_PATTERN),
    ], filters=FILTERS_OF_LEADS, next_query=next_query),
    Route("leads:read", "GET", "/leads/export", export_leads, [
        Enum("format", "CSV, or one JSON object per line", tuple(FORMATS), default="csv"),
        SEARCH,
        Enum("sort", "Order of the leads", LIST_ORDERS, default="newest"),
    ], filters=FILTERS_OF_LEADS, produces=tuple(FORMATS.values())),
    Route("leads:read", "GET", "/leads/facets", facets, [SEARCH], filters=FILTERS_OF_LEADS),
    Route("leads:read", "GET", "/leads/<lead_id>", detail, path_parameters=[LEAD]),
    Route("leads:read", "GET", "/leads/<lead_id>/history", history, path_parameters=[LEAD]),
    Route("leads:read", "GET", "/leads/<lead_id>/visits", visits, path_parameters=[LEAD]),
    Route("leads:read", "GET", "/board", board, [
        Integer("limit", "Number of leads to return of each stage", default=25, minimum=1, maximum=100),
        SEARCH,
        Enum("sort", BOARD_SORT, LIST_ORDERS),
    ], filters=FILTERS_OF_LEADS),
    Route("leads:read", "GET", "/board/<status>", board_stage, [
        Integer("limit", "Number of leads to return", default=25, minimum=1, maximum=100),
        SEARCH,
        Enum("sort", BOARD_SORT, LIST_ORDERS),
        Cursor("cursor", "`next`", BOARD_CURSOR_PATTERN),
    ], path_parameters=[Text("status", f"Stage of the pipeline: {', '.join(STATUSES)}")], filters=FILTERS_OF_LEADS),
    Route("leads:read", "GET", "/changes", changes, [
        Text("since", "Position from `cursor` of the board or of an earlier response", maximum=MAX_POSITION),
    ], can_be_gone=True),
    Route("leads:write", "PATCH", "/leads", update_statuses, body=[
        LeadReferences("leads", "The leads to move, without duplicates", MAX_MOVED),
        NEW_STATUS,
    ]),
    Route("leads:write", "PATCH", "/leads/<lead_id>", update_status, path_parameters=[LEAD], body=[
        NEW_STATUS,
    ], headers=[
        Header("ETag", "`etag` of the lead on the board after the update, for If-Match", lead_etag),
    ], has_preconditions=True),
)  # fmt: skip
