"""The standalone server's WSGI application: the API, health endpoints, metrics and request log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wsgi import get_path_info

from ..collector.application import Collector
from ..database import Database
from ..http.environ import ROUTE
from ..http.responses import send_error
from ..middleware.auth import extract_keys
from ..middleware.cors import CORSMiddleware
from ..middleware.health import HealthEndpoints
from ..middleware.request_log import RequestLog
from ..middleware.start_page import prefers_html, send_unknown_page
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
    :param dashboard: whether to serve the web pages at `/` to clients that prefer HTML. The pages need an API with
        browser sessions.
    :param collector: the application for the paths of the collector, or None to send 404. Requests for these paths need
        no key.
    :param write: called with the log line of each request. The function must not raise an exception.
    """
    health = HealthEndpoints(db, browser_sessions=dashboard)
    apps: dict[str, WSGIApplication] = dict.fromkeys(health.endpoints, CORSMiddleware(health, cors_origins))
    if dashboard:
        add_dashboard(apps)
    apps |= dict.fromkeys(Collector.paths, send_not_collecting if collector is None else collector)
    app = dispatch(apps, show_unknown_pages(api))
    if metrics:
        from ..middleware.metrics import Metrics

        app = Metrics(app, db)
    app = RequestLog(app, write, log_address=log_address)
    if trusted_proxies:
        number = trusted_proxies
        app = ProxyFix(app, x_for=number, x_proto=number, x_host=number, x_port=number, x_prefix=number)
    return app


def dispatch(apps: Mapping[str, WSGIApplication], default: WSGIApplication) -> WSGIApplication:
    """Return an application that calls the application of the request's path, or `default` for other paths.

    :param apps: applications by path. The paths are ASCII, so they can be compared with PATH_INFO without decoding it.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return apps.get(environ.get("PATH_INFO", ""), default)(environ, start_response)

    return call


def show_unknown_pages(api: WSGIApplication) -> WSGIApplication:
    """Return an application that calls the API, but shows a page to browsers at a path that is not below /analytics.

    A client that sends a key in a header is not a browser.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_api = f"{environ.get('PATH_INFO', '')}/".startswith("/analytics/")
        is_page = not is_api and not extract_keys(environ) and prefers_html(environ)
        return (send_unknown_page if is_page else api)(environ, start_response)

    return call


def add_dashboard(apps: dict[str, WSGIApplication]) -> None:
    """Add the web pages to `apps`. At `/`, a client that does not prefer HTML still gets the start page.

    The path is empty if a web server mounts the application at the whole path of the request, such as `/stats`.
    """
    from ..dashboard import create_dashboard

    dashboard, start_page = create_dashboard("analytics", script="a.js"), apps["/"]

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (dashboard if prefers_html(environ) else start_page)(environ, start_response)

    apps.update(dict.fromkeys(dashboard.files, dashboard))
    apps["/"] = choose
    apps[""] = dashboard


def send_not_collecting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send the 404 response of the collector's paths on a server that does not collect visits."""
    environ[ROUTE] = get_path_info(environ)
    message = "This server does not collect visits: set ANALYTICS_COLLECT_HOSTS"
    return send_error(environ, start_response, 404, message, [("Access-Control-Allow-Origin", "*")])
