"""The OpenAPI 3.1 document, made from the route table and the types of what its functions answer."""

from __future__ import annotations

import types
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from .examples import REQUEST_EXAMPLES, RESPONSE_EXAMPLES
from .http.parameters import Identifier, Parameter
from .http.responses import Stream
from .keys import INVALID_KEY, MISSING_KEY
from .routes import ROUTES, Route

Schema = dict[str, Any]

SIMPLE: dict[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Stream: {"type": "string"},
}

ETAG = {"ETag": {"description": "What If-None-Match takes", "required": True, "schema": {"type": "string"}}}

ERRORS = {
    400: ("A parameter or the body can't be understood", "days takes a whole number"),
    401: ("The key is missing or invalid", MISSING_KEY),
    403: ("The key lacks the scope that this takes", "This API key has no access here: it lacks the scope stats"),
    404: ("No such lead, or stage", "Lead not found"),
    500: ("The query failed; the cause is in the server's log", "Analytics query failed"),
}


def document(prefix: str = "/analytics") -> Schema:
    """The document of the API at `prefix`: every route, parameter, bound, answer and error."""
    schemas: dict[str, Schema] = {
        "Error": {
            "type": "object",
            "properties": {"error": {"type": "string"}},
            "required": ["error"],
            "additionalProperties": False,
        }
    }
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        path = prefix + route.path.replace("<", "{").replace(">", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Analytics API",
            "version": version("analytics_api"),
            "description": "A site's visitors and its sales leads. Days are UTC days. Another path is 404 and another"
            " method 405, each with an Error.",
        },
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
    name = route.endpoint.__name__
    summary, _, description = (route.endpoint.__doc__ or "").partition("\n")
    answer = _schema(get_type_hints(route.endpoint)["return"], schemas)
    statuses = [401, 403, 500]
    if route.query or route.path_parameters or route.body:
        statuses.append(400)
    if route.path_parameters:
        statuses.append(404)
    operation: Schema = {
        "operationId": noun if noun == name else f"{noun}_{name}",
        "tags": [noun],
        "summary": summary.rstrip("."),
        "parameters": [
            *_parameters("path", route.path_parameters),
            *_parameters("query", route.query),
        ],
        "responses": {
            "200": {"description": "The answer", "content": {kind: {"schema": answer} for kind in route.produces}},
            **{str(status): _error(status) for status in sorted(statuses)},
        },
    }
    if route.endpoint in RESPONSE_EXAMPLES:
        operation["responses"]["200"]["content"]["application/json"]["example"] = RESPONSE_EXAMPLES[route.endpoint]
        if route.method == "GET":
            operation["responses"]["200"]["headers"] = ETAG | {
                header.name: {"description": header.description, "schema": {"type": "string"}}
                for header in route.headers
            }
            operation["responses"]["304"] = {"description": "It is what If-None-Match names"}
    if description.strip():
        operation["description"] = " ".join(description.split())
    if route.body:
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "example": REQUEST_EXAMPLES[route.endpoint],
                    "schema": {
                        "type": "object",
                        "properties": {
                            text.name: {**text.schema, "description": text.description} for text in route.body
                        },
                        "required": [text.name for text in route.body],
                    },
                }
            },
        }
    return operation


def _parameters(place: str, parameters: Iterable[Parameter | Identifier]) -> list[Schema]:
    return [
        {
            "name": parameter.name,
            "in": place,
            "required": place == "path",
            **({"allowEmptyValue": True} if place == "query" else {}),  # it is then the default
            "description": parameter.description,
            "schema": parameter.schema,
        }
        for parameter in parameters
    ]


def _error(status: int) -> Schema:
    description, example = ERRORS[status]
    content: Schema = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"error": example}}
    if status == 401:
        del content["example"]
        content["examples"] = {
            "missing": {"value": {"error": MISSING_KEY}},
            "invalid": {"value": {"error": INVALID_KEY}},
        }
    return {"description": description, "content": {"application/json": content}}


def _schema(hint: Any, schemas: dict[str, Schema]) -> Schema:
    """The JSON Schema of a type; what has a name goes into `schemas` and is referred to."""
    if is_typeddict(hint):
        if hint.__name__ not in schemas:
            properties = {name: _schema(part, schemas) for name, part in get_type_hints(hint).items()}
            schemas[hint.__name__] = {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        return {"$ref": f"#/components/schemas/{hint.__name__}"}
    origin = get_origin(hint)
    if origin is list:
        return {"type": "array", "items": _schema(get_args(hint)[0], schemas)}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin in (Union, types.UnionType):
        parts = [_schema(part, schemas) for part in get_args(hint)]
        if all(set(part) == {"type"} for part in parts):
            return {"type": [part["type"] for part in parts]}
        return {"anyOf": parts}
    return SIMPLE[hint]
