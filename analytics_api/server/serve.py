"""What stands around the API when it is served by itself: health, the OpenAPI document, and a log line a request."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wsgi import get_path_info

from ..database import Database
from ..errors import AnalyticsError
from ..http import logs, responses
from ..http.environ import API_KEY, QUERY_SECONDS, REQUEST_ID, ROUTE
from ..openapi import document

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

TAKEN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # what a proxy may send and a log line can hold

SAFE = [
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]

ALIVE = """
select sessions
from rollup_totals
"""


class HealthEndpoints:
    """Answers `/healthz`, `/readyz` and `/openapi.json`, which need no key and tell no data; the rest is the API's.

    `/healthz` answers 200 as long as the process does. `/readyz` answers 200 when the database does, and 503 naming it
    when it does not.
    """

    def __init__(self, app: WSGIApplication, db: Database) -> None:
        self.app = app
        self.answers: dict[str, Callable[[], tuple[int, object]]] = {
            "/healthz": lambda: (200, {"status": "ok"}),
            "/readyz": self.ready,
            "/openapi.json": lambda: (200, self.openapi),
        }
        self.db = db
        self.openapi = document()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = get_path_info(environ)
        answer = self.answers.get(path)
        if answer is None:
            return self.app(environ, start_response)
        environ[ROUTE] = path
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return responses.send_error(environ, start_response, 405, "Method not allowed", [("Allow", "GET, HEAD")])
        status, payload = answer()
        if status == 200:
            return responses.JSONResponse(payload).send(environ, start_response)
        return responses.send_json(environ, start_response, payload, status)

    def ready(self) -> tuple[int, object]:
        try:
            self.db.rows(ALIVE)
        except AnalyticsError:
            log.exception("not ready")
            return 503, {"status": "unavailable", "database": "does not answer"}
        return 200, {"status": "ok", "database": "ok"}


class RequestLog:
    """Gives every request an id, which goes back as `X-Request-ID`, and writes one line of JSON when it is answered.

    The line has the route's template, never the path, the query string, the body or the key.
    """

    def __init__(self, app: WSGIApplication, write: Callable[[str], object]) -> None:
        self.app = app
        self.write = write

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        begun = time.perf_counter()
        taken = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = taken if TAKEN_ID.fullmatch(taken) else f"{random.getrandbits(128):032x}"
        environ[REQUEST_ID] = request_id

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            seconds = time.perf_counter() - begun
            timing = f"total;dur={seconds * 1000:.3f}"
            if QUERY_SECONDS in environ:
                timing = f"query;dur={environ[QUERY_SECONDS] * 1000:.3f}, {timing}"
            key = environ.get(API_KEY)
            self.write(
                logs.access_log_line(
                    request_id,
                    environ["REQUEST_METHOD"],
                    environ.get(ROUTE),  # None: there is no such
                    int(status[:3]),
                    seconds,
                    key.name if key else None,
                )
            )
            own = [("X-Request-ID", request_id), ("Server-Timing", timing)]
            return start_response(status, [*headers, *own, *SAFE], *rest)

        try:
            return self.app(environ, start)
        except Exception:  # the API answers its own; this is for what stands around it
            return responses.internal_error(environ, start, log, "failed")


def build_server_app(
    api: WSGIApplication,
    db: Database,
    *,
    trusted_proxies: int = 0,
    metrics: bool = False,
    write: Callable[[str], object] = logs.log_line,
) -> WSGIApplication:
    """The API with everything around it.

    `trusted_proxies` is how many stand in front and may say who called. `write` takes the line of each request; it is
    not to fail.
    """
    app: WSGIApplication = HealthEndpoints(api, db)
    if metrics:
        from ..middleware.metrics import Metrics

        app = Metrics(app, db)
    app = RequestLog(app, write)
    if trusted_proxies:
        number = trusted_proxies
        app = ProxyFix(app, x_for=number, x_proto=number, x_host=number, x_port=number, x_prefix=number)
    return app
