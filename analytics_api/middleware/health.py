"""The standalone server's endpoints that need no key: start page, health checks and the OpenAPI document."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import get_path_info

from ..database import Database
from ..errors import AnalyticsError
from ..http import responses
from ..http.environ import ROUTE
from ..http.requests import mount_path
from ..openapi import document
from .start_page import start_page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PING = """
select site_id
from site
"""


class HealthEndpoints:
    """Serve `/`, `/healthz`, `/readyz` and `/openapi.json` without a key.

    `/healthz` always returns 200. `/readyz` returns 200 if the database responds, otherwise 503.

    :param browser_sessions: whether the OpenAPI document has the operations of `/session`.
    :ivar endpoints: an application for each path.
    """

    def __init__(self, db: Database, *, browser_sessions: bool = False) -> None:
        self.db = db
        self.browser_sessions = browser_sessions
        self.endpoints: dict[str, WSGIApplication] = {
            "/": start_page,
            "/healthz": self.send_health,
            "/readyz": self.send_readiness,
            "/openapi.json": self.send_openapi,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the endpoint at the request's path, which must be one of `self.endpoints`."""
        path = get_path_info(environ)
        environ[ROUTE] = path
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return responses.send_error(environ, start_response, 405, "Method not allowed", [("Allow", "GET, HEAD")])
        return self.endpoints[path](environ, start_response)

    def send_health(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return responses.JSONResponse({"status": "ok"}).send(environ, start_response)

    @cached_property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document. It is built when it is first requested, because most processes never serve it."""
        return document(browser_sessions=self.browser_sessions)

    def send_openapi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send the OpenAPI document. Its server URL is the path at which the application is mounted."""
        payload = {**self.openapi, "servers": [{"url": mount_path(environ) or "/"}]}
        return responses.JSONResponse(payload).send(environ, start_response)

    def send_readiness(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, payload = self.ready()
        if status == 200:
            return responses.JSONResponse(payload).send(environ, start_response)
        return responses.send_json(environ, start_response, payload, status)

    def ready(self) -> tuple[int, object]:
        """Return the status and the body of `/readyz`. The status of a read-only database is 200."""
        try:
            self.db.rows(PING)
            read_only = self.db.is_read_only()
        except AnalyticsError:
            log.exception("not ready")
            return 503, {"status": "unavailable", "database": "does not answer"}
        return 200, {"status": "ok", "database": "read-only" if read_only else "ok"}
