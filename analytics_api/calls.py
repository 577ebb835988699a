"""Call the endpoint of a route with the arguments of a request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import quote

from .context import Context
from .database import Database, StatementLimit
from .errors import InvalidRequest
from .http.environ import QUERY_SECONDS
from .http.representations import read_preconditions
from .http.requests import mount_path, parse_query, read_json_object
from .http.responses import JSONResponse
from .routes import RANGE_HEADER, Route
from .statistics.ranges import resolve_range
from .values.calendar import DayRange, Today

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class EndpointResult(NamedTuple):
    """The result of an endpoint, and the headers of the response.

    `today` is set if the result depends on the current day.
    """

    payload: object
    headers: list[tuple[str, str]]
    today: Today | None

    def json_response(self) -> JSONResponse:
        return JSONResponse(self.payload, self.headers)


def call_endpoint(
    ctx: Context,
    route: Route,
    path_arguments: Mapping[str, Any],
    environ: WSGIEnvironment,
    prefix: str,
    query_timeout: float,
) -> EndpointResult:
    """Call the endpoint with a timeout for each statement, and store the call's duration in the environ.

    :param prefix: the beginning of every path of the API, for the `Link` header.
    :raises InvalidRequest: an argument is invalid.
    :raises StatementTimeout: a statement took longer than `query_timeout` seconds.
    """
    arguments = parse_arguments(route, path_arguments, environ)
    started = time.perf_counter()
    try:
        with StatementLimit(query_timeout):
            payload, range_ = call_with_arguments(ctx, route, arguments)
    finally:
        environ[QUERY_SECONDS] = time.perf_counter() - started
    values = [(header.name, header.value(ctx, payload)) for header in route.headers]
    headers = [(name, value) for name, value in values if value is not None]
    if range_ is not None:
        headers.append((RANGE_HEADER, str(range_)))
    if route.next_query is not None and (query := route.next_query(payload)):
        headers.append(("Link", f'<{mount_path(environ)}{quote(prefix + route.path)}?{query}>; rel="next"'))
    return EndpointResult(payload, headers, range_ and range_.today)


def call_with_arguments(ctx: Context, route: Route, arguments: dict[str, Any]) -> tuple[object, DayRange | None]:
    """Return the endpoint's result, and the range of days that it counted, if the route has a range."""
    if not route.has_range:
        if "from" in arguments:  # `from` is a keyword of Python
            arguments["from_"] = arguments.pop("from")
        return route.endpoint(ctx, **arguments), None
    if arguments.get("compare") is None and not arguments.get("filters") and not route.in_snapshot:
        return call_with_range(ctx, route, arguments)
    # The endpoint runs several statements, which must read from one snapshot.
    return ctx.db.read(lambda reader: call_with_range(replace(ctx, db=cast(Database, reader)), route, arguments))


def call_with_range(ctx: Context, route: Route, arguments: Mapping[str, Any]) -> tuple[object, DayRange | None]:
    """Resolve the range of the arguments, and call the endpoint with the range. Return the result and the range."""
    others = dict(arguments)
    range_ = resolve_range(
        ctx,
        others.pop("from"),
        others.pop("to"),
        others.pop("days"),
        others.get("filters"),
        default=route.default_days,
        compare=others.get("compare"),
    )
    return route.endpoint(ctx, **others, days=range_), range_


def parse_arguments(route: Route, path_arguments: Mapping[str, Any], environ: WSGIEnvironment) -> dict[str, Any]:
    """Parse the endpoint's arguments from the path, the query string and the body, in this order.

    An absent or empty query parameter gets its default. Unknown fields of the body are ignored.

    :raises InvalidRequest: a value is invalid, or a parameter is unknown.
    """
    arguments: dict[str, Any] = {
        parameter.name: parameter.parse(path_arguments[parameter.name]) for parameter in route.path_parameters
    }
    query = environ.get("QUERY_STRING")
    names = [parameter.name for parameter in (*route.query, *route.filters)]
    texts = parse_query(query, names, [parameter.name for parameter in route.filters]) if query else {}
    for parameter in route.query:
        [text] = texts.get(parameter.name, [""])
        arguments[parameter.name] = parameter.parse(text) if text else parameter.default
    if "days" in arguments and "" in texts.get("days", [""]):
        arguments["days"] = None  # resolve_range() applies the default, if `from` and `to` are absent
    if route.filters:
        arguments["filters"] = {
            parameter.name: texts[parameter.name] for parameter in route.filters if parameter.name in texts
        }
    if route.body:
        body = read_json_object(environ)
        for field in route.body:
            try:
                arguments[field.name] = field.parse_json(body.get(field.name))
            except ValueError:
                shape = ", ".join(f'"{field.name}": {field.shape}' for field in route.body)
                raise InvalidRequest(f"The request body must be {{{shape}}}") from None
    if route.has_preconditions:
        arguments["check"] = read_preconditions(environ)
    return arguments
