"""Send JSON responses and errors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING

from .environ import REQUEST_ID
from .representations import encode_json, is_listed, make_etag
from .requests import drain_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ERROR_500 = "Analytics query failed"

CACHE_CONTROL = ("Cache-Control", "private, no-cache")


class JSONResponse:
    """An encoded JSON response with its ETag. The object never changes, so it can be cached."""

    def __init__(self, payload: object, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.body = encode_json(payload)
        self.etag = make_etag(self.body)
        self.not_modified_headers = (CACHE_CONTROL, *headers, ("ETag", self.etag))
        self.headers = (*self.not_modified_headers, *_content_headers(self.body))

    def send(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Send the response, or 304 if If-None-Match lists its ETag. A response to HEAD has no body."""
        drain_body(environ)
        condition = environ.get("HTTP_IF_NONE_MATCH")
        if condition and is_listed(condition, self.etag):
            start_response("304 Not Modified", [*self.not_modified_headers])
            return []
        start_response("200 OK", [*self.headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


def send_json(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    payload: object,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Send a JSON response without computing an ETag. A response to HEAD has no body."""
    body = encode_json(payload)
    drain_body(environ)
    start_response(f"{status} {HTTPStatus(status).phrase}", [CACHE_CONTROL, *headers, *_content_headers(body)])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _content_headers(body: bytes) -> tuple[tuple[str, str], ...]:
    return ("Content-Type", "application/json"), ("Content-Length", str(len(body)))


def send_error(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: int,
    message: str,
    headers: Iterable[tuple[str, str]] = (),
    fields: Mapping[str, object] = MappingProxyType({}),
) -> list[bytes]:
    """Send an error response. Its JSON body has the member `error` with the message, and the members of `fields`."""
    return send_json(environ, start_response, {"error": message, **fields}, status, headers)


def internal_error(
    environ: WSGIEnvironment, start_response: StartResponse, log: logging.Logger, message: str, *args: object
) -> list[bytes]:
    """Log the current exception with the request id, and send a 500 that does not describe the exception."""
    log.exception(message, *args, extra={"fields": {"request_id": environ.get(REQUEST_ID)}})
    return send_error(environ, start_response, 500, ERROR_500)
