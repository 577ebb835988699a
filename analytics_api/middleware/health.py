"""Endpoints for monitoring and the OpenAPI document. None needs a key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_path_info

from ..database import Database
from ..errors import AnalyticsError
from ..http import responses
from ..http.environ import ROUTE
from ..openapi import document

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PING = """
select sessions
from rollup_totals
"""


class HealthEndpoints:
    """Serve `/healthz`, `/readyz` and `/openapi.json` without a key; pass every other path to the API.

    `/healthz` is 200 while the process runs. `/readyz` is 200 while the database answers, otherwise 503.
    """

    def __init__(self, app: WSGIApplication, db: Database) -> None:
        self.app = app
        self.db = db
        self.openapi = document()
        self.endpoints: dict[str, Callable[[], tuple[int, object]]] = {
            "/healthz": lambda: (200, {"status": "ok"}),
            "/readyz": self.ready,
            "/openapi.json": lambda: (200, self.openapi),
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = get_path_info(environ)
        endpoint = self.endpoints.get(path)
        if endpoint is None:
            return self.app(environ, start_response)
        environ[ROUTE] = path
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return responses.send_error(environ, start_response, 405, "Method not allowed", [("Allow", "GET, HEAD")])
        status, payload = endpoint()
        if status == 200:
            return responses.JSONResponse(payload).send(environ, start_response)
        return responses.send_json(environ, start_response, payload, status)

    def ready(self) -> tuple[int, object]:
        """Return the status and body of `/readyz`: ready also where only reads are possible, and it says so."""
        try:
            self.db.rows(PING)
            read_only = self.db.is_read_only()
        except AnalyticsError:
            log.exception("not ready")
            return 503, {"status": "unavailable", "database": "does not answer"}
        return 200, {"status": "ok", "database": "read-only" if read_only else "ok"}
