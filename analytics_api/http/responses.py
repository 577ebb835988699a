"""What goes over the wire: JSON out, the shape of an error, the body of a request in."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.http import parse_etags
from werkzeug.wsgi import get_content_length, get_input_stream

from ..errors import InvalidRequest
from .environ import REQUEST_ID

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ERROR_500 = "Analytics query failed"

BODY_LIMIT = 64 * 1024  # the one body that is taken holds a stage's name
DISCARD_LIMIT = 128 * 1024 * 1024
CHUNK_SIZE = 64 * 1024

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


CACHE_CONTROL = ("Cache-Control", "private, no-cache")


class JSONResponse:
    """What a reader is told, as it is sent: as often as somebody asks while it holds."""

    def __init__(self, payload: object, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.body = _encode(payload).encode()
        self.etag = blake2b(self.body, digest_size=12).hexdigest()
        self.not_modified_headers = (CACHE_CONTROL, *headers, ("ETag", f'"{self.etag}"'))
        self.headers = (*self.not_modified_headers, *_content(self.body))

    def send(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Send it, or 304 when the asker has it; without its body for HEAD."""
        drain_body(environ)
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known and parse_etags(known).contains_weak(self.etag):
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
    """Send `payload` as JSON, once; without its body for HEAD."""
    body = _encode(payload).encode()
    drain_body(environ)
    start_response(f"{status} {HTTPStatus(status).phrase}", [CACHE_CONTROL, *headers, *_content(body)])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _content(body: bytes) -> tuple[tuple[str, str], ...]:
    return ("Content-Type", "application/json"), ("Content-Length", str(len(body)))


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is sent as it comes, under a file's name."""

    content_type: str
    filename: str
    chunks: Generator[str, None, None]


def stream(environ: WSGIEnvironment, start_response: StartResponse, response: Stream) -> Iterable[bytes]:
    """Send the pieces one by one. What fails before the first is the caller's to answer; later the reply breaks off."""
    first = next(response.chunks, "")
    start_response(
        "200 OK",
        [
            CACHE_CONTROL,
            ("Content-Type", response.content_type),
            ("Content-Disposition", f'attachment; filename="{response.filename}"'),
        ],
    )
    if environ["REQUEST_METHOD"] == "HEAD":
        response.chunks.close()
        return []
    return _Pieces(first, response.chunks)


class _Pieces:
    """Pieces of text as bytes; the server closes it, to its end or not (PEP 3333)."""

    def __init__(self, first: str, rest: Generator[str, None, None]) -> None:
        self.first = first
        self.rest = rest

    def __iter__(self) -> Iterator[bytes]:
        yield self.first.encode()
        for piece in self.rest:
            yield piece.encode()

    def close(self) -> None:
        self.rest.close()


def send_error(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: int,
    message: str,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Send the one shape that every error has."""
    return send_json(environ, start_response, {"error": message}, status, headers)


def internal_error(
    environ: WSGIEnvironment, start_response: StartResponse, log: logging.Logger, message: str, *args: object
) -> list[bytes]:
    """Say that it failed. Why, the exception that is being handled, goes into the log with the request's id."""
    log.exception(message, *args, extra={"fields": {"request_id": environ.get(REQUEST_ID)}})
    return send_error(environ, start_response, 500, ERROR_500)


def json_object(environ: WSGIEnvironment) -> Mapping[str, Any]:
    """The body of the request, a JSON object in UTF-8.

    Raises InvalidRequest for anything else, a body over BODY_LIMIT bytes or one that was cut off among it.
    """
    body = b""
    try:
        stream = get_input_stream(environ)
        while len(body) <= BODY_LIMIT and (piece := stream.read(CHUNK_SIZE)):
            body += piece
    except Exception:  # of whatever kind the server has for it: chunks that are none, a connection that is gone
        raise InvalidRequest("The request body was cut off") from None
    if len(body) > BODY_LIMIT:
        raise InvalidRequest(f"The request body may have {BODY_LIMIT} bytes at most")
    if len(body) < (get_content_length(environ) or 0):
        raise InvalidRequest("The request body was cut off")
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body must be JSON") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object")
    return value


def drain_body(environ: WSGIEnvironment) -> None:
    """Read what is left of the body: a client that is cut off while it still sends never sees the reply.

    Only where the server tells the body's end, and DISCARD_LIMIT bytes at most.
    """
    if "wsgi.input_terminated" in environ and ("CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ):
        left = DISCARD_LIMIT
        with suppress(Exception):  # it is gone, then
            while left > 0 and (piece := environ["wsgi.input"].read(CHUNK_SIZE)):
                left -= len(piece)
