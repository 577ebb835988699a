"""The start page of the standalone server, with links to the OpenAPI document and the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ..http.requests import mount_path
from ..http.responses import CACHE_CONTROL, send_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DOCUMENTATION = "README.md and docs/ in the source code of analytics_api"

PAGE = """\
<!doctype html>
<html lang="en">
<title>Analytics API</title>
{note}<h1>Analytics API {version}</h1>
<p>Statistics of a site's visitors, and its leads, as JSON.
Every path under <code>{analytics}</code> needs an API key, in the header
<code>Authorization: Bearer &lt;key&gt;</code> or <code>X-API-Key: &lt;key&gt;</code>.</p>
<ul>
<li><a href="{openapi}">{openapi}</a>: every endpoint, as OpenAPI 3.1</li>
<li>{documentation}: how to use and run it</li>
</ul>
"""


def prefers_html(environ: WSGIEnvironment) -> bool:
    """Return whether the client prefers HTML to JSON, as browsers do."""
    accept = parse_accept_header(environ.get("HTTP_ACCEPT"), MIMEAccept)
    return accept.best_match(["application/json", "text/html"]) == "text/html"


def start_page(
    environ: WSGIEnvironment, start_response: StartResponse, status: str = "200 OK", note: str = ""
) -> Iterable[bytes]:
    """Send the start page as HTML if the client prefers HTML, otherwise as JSON. The page needs no key.

    :param note: HTML to show above the page.
    """
    mount = mount_path(environ)
    links = {"openapi": f"{mount}/openapi.json", "analytics": f"{mount}/analytics", "documentation": DOCUMENTATION}
    if not prefers_html(environ):
        payload = {"name": "Analytics API", "version": version("analytics_api"), **links}
        return send_json(environ, start_response, payload, headers=[("Vary", "Accept")])
    values = {name: escape(value) for name, value in links.items()}
    body = PAGE.format(version=version("analytics_api"), note=note, **values).encode()
    headers = [
        CACHE_CONTROL,
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Vary", "Accept"),
    ]
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def send_unknown_page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send the start page, with a link to its URL, in place of a page that does not exist. The status is 404."""
    home = escape(f"{mount_path(environ)}/")
    note = f'<p>There is no page at this address. The first page is <a href="{home}">{home}</a>.</p>\n'
    return start_page(environ, start_response, "404 Not Found", note)
