"""Read a request: its query string and its JSON body."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from werkzeug.wsgi import get_content_length, get_input_stream

from ..errors import InvalidRequest, LengthRequired, RequestError
from .environ import PRINCIPAL

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_QUERY_FIELDS = 300  # 10 filters with 20 values each, and 100 others
MAX_BODY_BYTES = 64 * 1024  # PATCH /leads has the longest bodies: 500 leads with their etags
MAX_NAME_LENGTH = 40  # an error message truncates a longer parameter name
CHUNK_SIZE = 64 * 1024

NO_CHUNKED_BODIES = "Send a Content-Length: this server does not support chunked bodies"


def mount_path(environ: WSGIEnvironment) -> str:
    """Return the percent-encoded path at which the application is mounted, or "" at the root."""
    mount = environ.get("SCRIPT_NAME", "").encode("latin-1").strip(b"/")
    return quote(b"/" + mount) if mount else ""


def parse_query(query: str, names: Collection[str], repeatable: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the values of the query string's parameters by name. Names that begin with `_` are ignored.

    :param query: the query string from the environ, whose bytes are decoded as Latin-1 (PEP 3333).
    :param names: the endpoint's parameters.
    :param repeatable: the names of parameters that can have several values.
    :raises InvalidRequest: a name is unknown or repeated, there are too many fields, or the text is not UTF-8.
    """
    try:
        pairs = parse_qsl(
            query.encode("latin-1").decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except UnicodeError:
        raise InvalidRequest("The query string must be UTF-8") from None
    except ValueError:
        raise InvalidRequest(f"The query string must have at most {MAX_QUERY_FIELDS} parameters") from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.startswith("_"):
            continue
        if name not in names:
            raise InvalidRequest(_unknown_parameter(name, names))
        if name in values and name not in repeatable:
            raise InvalidRequest(f"{name} must have one value, not several")
        values.setdefault(name, []).append(value)
    return values


def _unknown_parameter(name: str, names: Collection[str]) -> str:
    """Return an error message with the known names of the same property, the most similar known name, or all names."""
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        name = ascii(name[:MAX_NAME_LENGTH])
    property_, dot, _ = name.lower().partition(".")
    # Not the most similar name, because country.prefix is similar to source.prefix.
    if dot and (same := [known for known in names if known.partition(".")[0] == property_]):
        return f"{name} is not a parameter of this endpoint; use {', '.join(same)}"
    if nearest := get_close_matches(name.lower(), names, n=1):
        return f"{name} is not a parameter of this endpoint; did you mean {nearest[0]}?"
    if not names:
        return f"{name} is not a parameter: this endpoint has no parameters"
    return f"{name} is not a parameter of this endpoint; use {', '.join(names)}"


def read_json_object(environ: WSGIEnvironment) -> Mapping[str, Any]:
    """Read and parse the request body, which must be a JSON object in UTF-8.

    :raises InvalidRequest: the body is not a JSON object, is longer than MAX_BODY_BYTES, or is incomplete.
    :raises LengthRequired: the body is chunked and the server does not support chunked bodies.
    """
    try:
        value = json.loads(read_body(environ).decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body must be JSON") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object")
    return value


def read_body(
    environ: WSGIEnvironment, max_bytes: int = MAX_BODY_BYTES, too_large: Callable[[str], RequestError] = InvalidRequest
) -> bytes:
    """Read the request body.

    :param too_large: takes a message, and returns the exception to raise for a body of more than `max_bytes`.
    :raises InvalidRequest: the body is incomplete.
    :raises LengthRequired: the body is chunked and the server does not support chunked bodies.
    """
    length = get_content_length(environ)
    if length is None and "HTTP_TRANSFER_ENCODING" in environ and "wsgi.input_terminated" not in environ:
        raise LengthRequired(NO_CHUNKED_BODIES)
    message = f"The request body must have at most {max_bytes} bytes"
    if (length or 0) > max_bytes:
        raise too_large(message)
    body = b""
    try:
        # get_input_stream() limits the stream to the body. It is slow, and not needed if the length is known.
        stream = get_input_stream(environ) if length is None else environ["wsgi.input"]
        wanted = max_bytes + 1 if length is None else length
        while len(body) < wanted and (chunk := stream.read(min(CHUNK_SIZE, wanted - len(body)))):
            body += chunk
    except Exception:  # each server raises its own exceptions for invalid chunks and lost connections
        raise InvalidRequest("The request body is incomplete") from None
    if len(body) > max_bytes:
        raise too_large(message)
    if len(body) < (length or 0):
        raise InvalidRequest("The request body is incomplete")
    return body


def is_body_too_large(environ: WSGIEnvironment) -> bool:
    """Return whether the request's Content-Length exceeds MAX_BODY_BYTES."""
    return (get_content_length(environ) or 0) > MAX_BODY_BYTES


def drain_body(environ: WSGIEnvironment) -> None:
    """Read the rest of the request body.

    Otherwise, a client that is still sending may get a connection reset instead of the response.

    Read at most MAX_BODY_BYTES, and only if the server signals the end of the body (`wsgi.input_terminated`). Read
    nothing if the client is not authenticated, because such a client could block a thread by sending slowly. Read
    nothing if the body is too large.
    """
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return
    if PRINCIPAL not in environ or "wsgi.input_terminated" not in environ or is_body_too_large(environ):
        return
    remaining = MAX_BODY_BYTES
    with suppress(Exception):  # a lost connection or an invalid chunk
        while remaining > 0 and (chunk := environ["wsgi.input"].read(min(CHUNK_SIZE, remaining))):
            remaining -= len(chunk)
