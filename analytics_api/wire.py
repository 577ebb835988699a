"""What goes over the wire: JSON out, the shape of an error, the body of a request in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_etags
from werkzeug.wsgi import get_input_stream

from .errors import InvalidRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BODY_LIMIT = 64 * 1024  # the one body that is taken holds a stage's name

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def reply(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    payload: object,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Send `payload` as JSON, or 304 when the asker has it; without its body for HEAD."""
    body = _encode(payload).encode()
    sent = [("Cache-Control", "private, no-cache"), *headers]
    if status == 200 and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        etag = blake2b(body, digest_size=12).hexdigest()
        sent.append(("ETag", f'"{etag}"'))
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known and parse_etags(known).contains_weak(etag):
            start_response("304 Not Modified", sent)
            return []
    sent += (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    start_response(f"{status} {HTTPStatus(status).phrase}", sent)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def error(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: int,
    message: str,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Send the one shape that every error has."""
    return reply(environ, start_response, {"error": message}, status, headers)


def json_object(environ: WSGIEnvironment) -> Mapping[str, Any]:
    """The body of the request, a JSON object in UTF-8.

    Raises InvalidRequest for anything else, a body over BODY_LIMIT bytes among it.
    """
    try:
        body = get_input_stream(environ, max_content_length=BODY_LIMIT).read()
    except RequestEntityTooLarge:
        raise InvalidRequest(f"The request body may have {BODY_LIMIT} bytes at most") from None
    except (ClientDisconnected, OSError):
        raise InvalidRequest("The request body was cut off") from None
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body must be JSON") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object")
    return value
