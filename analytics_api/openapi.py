"""Generate the OpenAPI 3.1 document from the route table and the endpoints' return types."""

from __future__ import annotations

import types
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from .endpoints.leads.board import Card
from .endpoints.leads.status import LeadState
from .examples import CARD, REQUEST_EXAMPLES, RESPONSE_EXAMPLES
from .http.parameters import Enums, Identifier, Parameter
from .http.requests import NO_CHUNKED_BODIES
from .http.responses import ERROR_500
from .http.streams import Stream
from .keys import INVALID_KEY, MISSING_KEY
from .openapi_session import session_operations
from .routes import RANGE_HEADER, ROUTES, Route

Schema = dict[str, Any]

PREFIX = "/analytics"

PRIMITIVES: dict[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Stream: {"type": "string"},
}

DESCRIPTION = """\
Statistics of a site's visitors, and its sales leads. Days are days in the site's time zone.

An unknown or repeated parameter is an error (400), but parameters whose names begin with `_` are ignored. An absent or
empty parameter gets its default. Numbers outside their bounds are clamped. An unknown path returns 404 and a method
that the path does not support returns 405, each with an Error.
"""

ETAG = {"ETag": {"description": "Value for If-None-Match", "required": True, "schema": {"type": "string"}}}

LINK = {
    "Link": {
        "description": "Absolute path of the next page, as rel=next; absent on the last page",
        "schema": {"type": "string"},
    }
}

RANGE = {
    RANGE_HEADER: {
        "description": "Range of days that was counted, such as 2026-02-01/2026-03-02; `..` means that the range has"
        " no first or no last day; absent for all time",
        "schema": {"type": "string"},
    }
}

ERRORS = {
    400: ("A parameter or the body is invalid", "days must be an integer"),
    401: ("The key is missing or invalid", MISSING_KEY),
    403: ("The key lacks the scope", "This API key lacks the scope stats"),
    404: ("The lead or the status does not exist", "Lead not found"),
    410: (
        "The changes since this position are not available any more",
        "The changes since this cursor are not available any more; load the board again",
    ),
    411: (
        "The body has no Content-Length, and the server does not support chunked bodies",
        NO_CHUNKED_BODIES,
    ),
    412: (
        "If-Match or If-None-Match is not met; nothing was changed",
        "If-Match does not list the current ETag: the resource has changed since it was read",
    ),
    500: ("The query failed; the server log has the cause", ERROR_500),
    503: ("Too many exports are running", "Too many exports are running; try again in a few seconds"),
}


def document(*, browser_sessions: bool = True) -> Schema:
    """Return the OpenAPI document of all routes of the standalone server.

    :param browser_sessions: whether to include the operations of `/session`.
    """
    schemas: dict[str, Schema] = {
        "Error": {
            "type": "object",
            "properties": {"error": {"type": "string"}},
            "required": ["error"],
            "additionalProperties": False,
        }
    }
    schemas["StaleLead"] = {
        "type": "object",
        "properties": {"error": {"type": "string"}, "lead": _schema(Card | LeadState, schemas)},
        "required": ["error", "lead"],
        "additionalProperties": False,
    }
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        path = PREFIX + route.path.replace("<", "{").replace(">", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    if browser_sessions:
        paths[f"{PREFIX}/session"] = session_operations()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Analytics API",
            "version": version("analytics_api"),
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"header": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": schemas,
        },
    }


def _operation(route: Route, schemas: dict[str, Schema]) -> Schema:
    noun = route.endpoint.__module__.partition(".endpoints.")[2].partition(".")[0]
    name = route.endpoint.__name__.rstrip("_")
    summary, _, description = _public_docstring(route).partition("\n")
    operation: Schema = {
        "operationId": noun if noun == name else f"{noun}_{name}",
        "tags": [noun],
        "summary": summary.rstrip("."),
        "parameters": [
            *_parameters("path", route.path_parameters),
            *_parameters("query", (*route.query, *route.filters)),
        ],
        "responses": {
            **_success(route, schemas),
            **{str(status): _error(status) for status in _error_statuses(route)},
        },
    }
    if description.strip():
        operation["description"] = " ".join(description.split())
    if route.body:
        operation["requestBody"] = _request_body(route)
    return operation


def _public_docstring(route: Route) -> str:
    """Return the endpoint's docstring without fields such as `:raises:`, which are for Python callers."""
    return (route.endpoint.__doc__ or "").partition("\n    :")[0]


def _error_statuses(route: Route) -> list[int]:
    statuses = [400, 401, 500]
    if route.scope is not None:
        statuses.append(403)
    if route.path_parameters or route.body:
        statuses.append(404)
    if route.can_be_gone:
        statuses.append(410)
    if route.body:
        statuses.append(411)
    if route.has_preconditions:
        statuses.append(412)
    if get_type_hints(route.endpoint)["return"] is Stream:
        statuses.append(503)
    return sorted(statuses)


def _success(route: Route, schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Return the 200 response, and the 304 response if the route's responses have an ETag."""
    schema = _schema(get_type_hints(route.endpoint)["return"], schemas)
    response: Schema = {"description": "Success", "content": {kind: {"schema": schema} for kind in route.produces}}
    if route.endpoint not in RESPONSE_EXAMPLES:
        return {"200": response}
    response["content"]["application/json"]["example"] = RESPONSE_EXAMPLES[route.endpoint]
    headers = {
        header.name: {"description": header.description, "schema": {"type": "string"}} for header in route.headers
    }
    if route.method != "GET":
        response["headers"] = headers
        return {"200": response}
    response["headers"] = {
        **ETAG,
        **headers,
        **(LINK if route.next_query else {}),
        **(RANGE if route.has_range else {}),
    }
    not_modified: Schema = {"description": "If-None-Match lists the ETag of the response"}
    if route.has_range:
        not_modified["headers"] = RANGE
    return {"200": response, "304": not_modified}


def _request_body(route: Route) -> Schema:
    schema = {
        "type": "object",
        "description": "Other fields are ignored",
        "properties": {field.name: {**field.schema, "description": field.description} for field in route.body},
        "required": [field.name for field in route.body],
    }
    content = {"application/json": {"example": REQUEST_EXAMPLES[route.endpoint], "schema": schema}}
    return {"required": True, "content": content}


def _parameters(location: str, parameters: Iterable[Parameter | Identifier]) -> list[Schema]:
    return [
        {
            "name": parameter.name,
            "in": location,
            "required": location == "path",
            **({"allowEmptyValue": True} if location == "query" else {}),  # an empty value means the default
            **({"explode": False} if isinstance(parameter, Enums) else {}),  # separated by commas
            "description": parameter.description,
            "schema": parameter.schema,
        }
        for parameter in parameters
    ]


def _error(status: int) -> Schema:
    description, example = ERRORS[status]
    content: Schema = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"error": example}}
    if status == 412:
        content = {"schema": {"$ref": "#/components/schemas/StaleLead"}, "example": {"error": example, "lead": CARD}}
    if status == 401:
        del content["example"]
        content["examples"] = {
            "missing": {"value": {"error": MISSING_KEY}},
            "invalid": {"value": {"error": INVALID_KEY}},
        }
    return {"description": description, "content": {"application/json": content}}


def _schema(hint: Any, schemas: dict[str, Schema]) -> Schema:
    """Return the JSON Schema of a type. A TypedDict is added to `schemas` and referenced by name."""
    if is_typeddict(hint):
        if hint.__name__ not in schemas:
            properties = {name: _schema(part, schemas) for name, part in get_type_hints(hint).items()}
            schemas[hint.__name__] = {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name in hint.__required_keys__],
                "additionalProperties": False,
            }
        return {"$ref": f"#/components/schemas/{hint.__name__}"}
    origin = get_origin(hint)
    if origin is list:
        return {"type": "array", "items": _schema(get_args(hint)[0], schemas)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(get_args(hint)[1], schemas)}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin in (Union, types.UnionType):
        parts = [_schema(part, schemas) for part in get_args(hint)]
        if all(set(part) == {"type"} for part in parts):
            return {"type": [part["type"] for part in parts]}
        return {"anyOf": parts}
    return PRIMITIVES[hint]
