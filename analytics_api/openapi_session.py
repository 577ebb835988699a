"""The part of the OpenAPI document about signing in in a browser, which is not in the route table."""

from __future__ import annotations

from typing import Any

from .keys import INVALID_KEY, SCOPES

Schema = dict[str, Any]

SIGN_IN = (
    "Takes the key as JSON or as a form, and sets a cookie for 30 days. Requests with the cookie have the scopes of "
    "the key, as it is at each of them. The cookie counts, and this request is accepted, only from a page of the "
    "server's own origin: Sec-Fetch-Site must be same-origin, or, where it is absent, Origin must be that of the "
    "request. A form is answered by a redirect to the page that it is on. At most 20 sessions of a key are valid; a "
    "further one ends the oldest."
)

EXAMPLES = {
    400: ("The body has no key", 'The request body must be {"key": "…"}'),
    401: ("The key is invalid", INVALID_KEY),
    403: ("The request is not of a page of this origin", "This request does not come from a page of this server"),
    411: (
        "The server does not support chunked bodies",
        "Send a Content-Length: this server does not support chunked bodies",
    ),
    500: ("The session could not be stored or ended", "Analytics query failed"),
    503: ("The database is read-only", "The database is read-only: nobody can sign in"),
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
    """Return the operations of `/session`; they refer to the schemas Error and WhoAmI."""
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
            "200": {"description": "Whose key it is", "headers": SET_COOKIE, "content": {"application/json": whose}},
            "303": {"description": "To the page of the form; with #invalid-key or #read-only nobody is signed in"},
            **errors(400, 401, 403, 411, 500, 503),
        },
    }


def sign_out_operation() -> Schema:
    return {
        "operationId": "session_sign_out",
        "tags": ["session"],
        "summary": "Sign a browser out",
        "description": "Ends the session of the cookie; without one it does nothing.",
        "security": [],
        "parameters": [],
        "responses": {"204": {"description": "Signed out"}, **errors(400, 403, 500)},
    }


def errors(*statuses: int) -> Schema:
    """Return the responses of errors by status."""
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
