"""The standalone server's WSGI application: the API, health endpoints, metrics and request log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wsgi import get_path_info

from ..collector.application import Collector
from ..database import Database
from ..http.environ import ROUTE
from ..http.responses import send_error
from ..middleware.health import HealthEndpoints
from ..middleware.request_log import RequestLog
from ..middleware.start_page import prefers_html
from .logs import log_line

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def build_server_app(
    api: WSGIApplication,
    db: Database,
    *,
    trusted_proxies: int = 0,
    metrics: bool = False,
    log_address: bool = False,
    cors_origins: Iterable[str] = (),
    dashboard: bool = False,
    collector: Collector | None = None,
    write: Callable[[str], object] = log_line,
) -> WSGIApplication:
    """Wrap the API in the middleware of the standalone server.

    :param trusted_proxies: number of reverse proxies whose `X-Forwarded-*` headers are trusted.
    :param log_address: whether to log the client's address.
    :param metrics: whether to serve Prometheus metrics at `/metrics`.
    :param cors_origins: origins whose pages may read responses that need no key. The API has its own list.
    :param dashboard: whether to serve the web pages at `/` to clients that prefer HTML. They need an API with browser
        sessions.
    :param collector: the application for the paths of the collector, or None to send 404. They need no key.
    :param write: takes the log line of each request; it must not raise an exception.
    """
    app: WSGIApplication = HealthEndpoints(api, db, cors_origins, browser_sessions=dashboard)
    if dashboard:
        app = serve_dashboard(app)
    app = serve_collector(app, send_not_collecting if collector is None else collector)
    if metrics:
        from ..middleware.metrics import Metrics

        app = Metrics(app, db)
    app = RequestLog(app, write, log_address=log_address)
    if trusted_proxies:
        number = trusted_proxies
        app = ProxyFix(app, x_for=number, x_proto=number, x_host=number, x_port=number, x_prefix=number)
    return app


def serve_collector(app: WSGIApplication, collector: WSGIApplication) -> WSGIApplication:
    """Add the collector's paths to the application."""

    def dispatch(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (collector if get_path_info(environ) in Collector.paths else app)(environ, start_response)

    return dispatch


def send_not_collecting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send the 404 response of the collector's paths on a server that does not collect visits."""
    environ[ROUTE] = get_path_info(environ)
    message = "This server does not collect visits: set ANALYTICS_COLLECT_HOSTS"
    return send_error(environ, start_response, 404, message, [("Access-Control-Allow-Origin", "*")])


def serve_dashboard(app: WSGIApplication) -> WSGIApplication:
    """Add the web pages to the application. At `/`, a client that does not prefer HTML gets the JSON start page."""
    from ..dashboard import create_dashboard

    dashboard = create_dashboard("analytics", script="a.js")

    def dispatch(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = get_path_info(environ)
        if dashboard.serves(path) and (path != "/" or prefers_html(environ)):
            return dashboard(environ, start_response)
        return app(environ, start_response)

    return dispatch
