"""Cross-origin resource sharing (https://fetch.spec.whatwg.org/, section "CORS protocol")."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import SettingError
from ..http.origins import WarningLog
from ..http.responses import send_error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

ALLOWED_METHODS = "GET, HEAD, PATCH"
ALLOWED_HEADERS = (
    "Authorization, Cache-Control, Content-Type, If-Match, If-None-Match, Pragma, traceparent, X-API-Key,"
    " X-Request-ID, X-Requested-With"
)
EXPOSED_HEADERS = (
    "Age, Analytics-Range, Content-Disposition, ETag, Link, Retry-After, Server-Timing, WWW-Authenticate, X-Request-ID"
)
ORIGIN = re.compile(r"(https?)://([^][\s/?#@:*,]+|\[[0-9a-f:.]+])(?::([0-9]{1,5}))?/?")
DEFAULT_PORTS = {"http": "80", "https": "443"}  # browsers omit default ports from the Origin header
MAX_AGE = 7200  # seconds; Chromium caches a preflight response for at most this time
PREFLIGHT_HEADERS = (
    ("Access-Control-Allow-Methods", ALLOWED_METHODS),
    ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
    ("Access-Control-Max-Age", str(MAX_AGE)),
)


class CORSMiddleware:
    """Allow pages of the configured origins to read every response, including errors.

    Preflight requests have no key, so this middleware responds to them: 204 if the origin is allowed, otherwise 403.
    Each rejected origin is logged once. Credentials (cookies) are never allowed.

    :param origins: allowed origins, such as `https://dashboard.example.com`; `*` allows all origins.
    :raises SettingError: a string is not an origin.
    """

    def __init__(self, app: WSGIApplication, origins: Iterable[str]) -> None:
        self.app = app
        self.origins = frozenset(normalize_origin(text) for text in origins)
        self.warnings = WarningLog(log)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        is_preflight = (
            environ["REQUEST_METHOD"] == "OPTIONS"
            and origin is not None
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        )
        if not (self.origins or is_preflight):
            return self.app(environ, start_response)
        headers = [("Vary", "Origin")]  # a cache must not use the response for another origin
        if origin is not None and ("*" in self.origins or origin in self.origins):
            headers.append(("Access-Control-Allow-Origin", origin))
            if is_preflight:
                start_response("204 No Content", [*headers, *PREFLIGHT_HEADERS])
                return []
            headers.append(("Access-Control-Expose-Headers", EXPOSED_HEADERS))
        elif is_preflight:
            self.warnings.warn(
                f"a preflight from the origin {environ['HTTP_ORIGIN'][:200]!a} was rejected: "
                "this origin is not in ANALYTICS_CORS_ORIGINS or cors_origins"
            )
            return send_error(environ, start_response, 403, "This origin is not allowed", headers)

        def start(status: str, inner_headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*inner_headers, *headers], *rest)

        return self.app(environ, start)


def normalize_origin(text: str) -> str:
    """Return an origin in the form that browsers send: lower case, punycode, no default port, no trailing slash.

    :raises SettingError: the text is not an origin.
    """
    if text == "*":
        return text
    match = ORIGIN.fullmatch(text.lower())
    try:
        if match is None:
            raise UnicodeError
        scheme, host, port = match.groups()
        suffix = f":{port}" if port and port != DEFAULT_PORTS[scheme] else ""
        return f"{scheme}://{host.encode('idna').decode()}{suffix}"
    except UnicodeError:
        raise SettingError(f"{text!r} is not an origin; use * or a URL such as https://dashboard.example.com") from None
