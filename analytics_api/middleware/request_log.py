"""Request ids and the request log."""

from __future__ import annotations

import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..http.environ import HAS_POLICY, PRINCIPAL, QUERY_SECONDS, REQUEST_ID, ROUTE
from ..http.responses import internal_error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

INCOMING_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # none of these characters needs escaping in JSON

SECURITY_HEADERS = [
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]

_encode = lru_cache(maxsize=256)(json.JSONEncoder().encode)


class RequestLog:
    """Assign an id to every request, and write one JSON line when its response starts.

    The id is the client's `X-Request-ID` if it is valid, otherwise a random one. The response has the id as
    `X-Request-ID`. The line contains the route's template, but never the path, the query string, the body or the key.
    Every response gets `Server-Timing` and the security headers.

    :param write: called with the line. The function must not raise an exception.
    :param log_address: whether the line contains the client's address.
    """

    def __init__(self, app: WSGIApplication, write: Callable[[str], object], *, log_address: bool = False) -> None:
        self.app = app
        self.write = write
        self.log_address = log_address

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        incoming_id = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = incoming_id if INCOMING_ID.fullmatch(incoming_id) else f"{random.getrandbits(128):032x}"
        environ[REQUEST_ID] = request_id

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            ms = f"{(time.perf_counter() - started) * 1000:.3f}"
            self.write(access_log_line(environ, int(status[:3]), ms, log_address=self.log_address))
            own = [("X-Request-ID", request_id), ("Server-Timing", server_timing(environ, ms))]
            security = SECURITY_HEADERS if HAS_POLICY not in environ else []
            return start_response(status, [*headers, *own, *security], *rest)

        try:
            return self.app(environ, start)
        except Exception:  # the API handles its own errors; this one is from other middleware
            return internal_error(environ, start, log, "failed")


def access_log_line(environ: WSGIEnvironment, status: int, ms: str, *, log_address: bool = False) -> str:
    """Return the log line of a request in the format of `server.logs.JSONFormatter`.

    `logging` would take four times as long: as long as everything else in a request whose response is cached.

    :param ms: the duration in milliseconds.
    """
    principal = environ.get(PRINCIPAL)
    address = f', "address": {_encode(environ.get("REMOTE_ADDR"))}' if log_address else ""
    return (
        f'{{"time": "{format_timestamp(time.time())}", "level": "info", "logger": "analytics_api.requests", '
        f'"message": "answered", "request_id": "{environ[REQUEST_ID]}", '
        f'"method": {_encode(environ["REQUEST_METHOD"])}, "route": {_encode(environ.get(ROUTE))}, '
        f'"status": {status}, "ms": {ms}, "key": {_encode(principal.name if principal else None)}'
        f"{address}}}\n"
    )


def server_timing(environ: WSGIEnvironment, ms: str) -> str:
    """Return the value of `Server-Timing`: the total duration, and the duration of the endpoint call if known."""
    total = f"total;dur={ms}"
    if QUERY_SECONDS not in environ:
        return total
    return f"query;dur={environ[QUERY_SECONDS] * 1000:.3f}, {total}"


def format_timestamp(seconds: float) -> str:
    """Format seconds since the epoch as, for example, `2026-02-24T15:00:00.123Z`."""
    second = int(seconds)
    return f"{_format_second(second)}.{int((seconds - second) * 1000):03}Z"


@lru_cache(maxsize=1)  # thousands of requests may be logged in the same second
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
