"""Send static files, compressed for clients that accept gzip."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from .representations import is_listed, make_etag

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class File(NamedTuple):
    """A file to send, and its headers. `etag` is the entity tag of the uncompressed file, or None if it has no tag."""

    body: bytes
    compressed: bytes
    headers: tuple[tuple[str, str], ...]
    etag: str | None


def make_file(body: bytes, headers: Iterable[tuple[str, str]], *, has_etag: bool = True) -> File:
    """Compress a file once, before the first request."""
    compressed = gzip.compress(body, 9, mtime=0)
    return File(body, compressed, (*headers, ("Vary", "Accept-Encoding")), make_etag(body) if has_etag else None)


def send_file(environ: WSGIEnvironment, start_response: StartResponse, file: File) -> list[bytes]:
    """Send a file, or 304 if If-None-Match lists its ETag. A response to HEAD has no body."""
    is_compressed = parse_accept_header(environ.get("HTTP_ACCEPT_ENCODING"), Accept)["gzip"] > 0
    body = file.compressed if is_compressed else file.body
    headers = list(file.headers)
    if file.etag is not None:
        # Both representations have the same tag, so it must be weak for the compressed one (RFC 9110, section 8.8.1).
        headers.append(("ETag", f"W/{file.etag}" if is_compressed else file.etag))
        if is_listed(environ.get("HTTP_IF_NONE_MATCH", ""), file.etag):
            start_response("304 Not Modified", [(name, value) for name, value in headers if name != "Content-Type"])
            return []
    if is_compressed:
        headers.append(("Content-Encoding", "gzip"))
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
