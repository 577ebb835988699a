"""The OpenAPI operations for signing in with a browser. They are not in the route table."""

from __future__ import annotations

from typing import Any

from .browser_sessions import OTHER_SITE, READ_ONLY
from .http.requests import NO_CHUNKED_BODIES
from .http.responses import ERROR_500
from .keys import INVALID_KEY, SCOPES

Schema = dict[str, Any]

SIGN_IN = (
    "Accepts the key as JSON or as a form, and sets a cookie for 30 days. Requests with the cookie have the current "
    "scopes of the key. This request, and requests with the cookie, are accepted only from pages of the same origin: "
    "Sec-Fetch-Site must be same-origin; without this header, Origin must equal the request's origin. The response to "
    "a form is a redirect to the form's page. A key has at most 20 sessions; a new one then replaces the oldest."
)

EXAMPLES = {
    400: ("The body has no key", 'The request body must be {"key": "…"}'),
    401: ("The key is invalid", INVALID_KEY),
    403: ("The request comes from another origin", OTHER_SITE),
    411: ("The server does not support chunked bodies", NO_CHUNKED_BODIES),
    500: ("The session could not be stored or deleted", ERROR_500),
    503: ("The database is read-only", READ_ONLY),
}

KEY: Schema = {
    "type": "object",
    "properties": {"key": {"type": "string", "description": "An API key"}},
    "required": ["key"],
}

SET_COOKIE: Schema = {"Set-Cookie": {"description": "The session", "required": True, "schema": {"type": "string"}}}

PRINCIPAL: Schema = {
    "name": "key-1",
    "scopes": list(SCOPES),
    "expires": None,
}


def session_operations() -> Schema:
    """Return the operations of `/session`. They refer to the schemas Error and WhoAmI."""
    return {"post": sign_in_operation(), "delete": sign_out_operation()}


def sign_in_operation() -> Schema:
    content = {"schema": KEY, "example": {"key": "ana_…"}}
    whose = {"schema": {"$ref": "#/components/schemas/WhoAmI"}, "example": PRINCIPAL}
    return {
        "operationId": "session_sign_in",
        "tags": ["session"],
        "summary": "Sign a browser in",
        "description": SIGN_IN,
        "security": [],
        "parameters": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": content, "application/x-www-form-urlencoded": content},
        },
        "responses": {
            "200": {
                "description": "The key's name, scopes and expiry",
                "headers": SET_COOKIE,
                "content": {"application/json": whose},
            },
            "303": {
                "description": "Redirect to the form's page; #invalid-key or #read-only means that signing in failed"
            },
            **errors(400, 401, 403, 411, 500, 503),
        },
    }


def sign_out_operation() -> Schema:
    return {
        "operationId": "session_sign_out",
        "tags": ["session"],
        "summary": "Sign a browser out",
        "description": "Deletes the session of the cookie, if there is one.",
        "security": [],
        "parameters": [],
        "responses": {"204": {"description": "Signed out"}, **errors(400, 403, 500)},
    }


def errors(*statuses: int) -> Schema:
    """Return the error responses for these statuses."""
    return {
        str(status): {
            "description": EXAMPLES[status][0],
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Error"},
                    "example": {"error": EXAMPLES[status][1]},
                }
            },
        }
        for status in statuses
    }
