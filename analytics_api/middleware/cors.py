"""Letting a dashboard in a browser, served from elsewhere, call the API (https://fetch.spec.whatwg.org/, "CORS")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import SettingError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ALLOWED_METHODS = "GET, HEAD, PATCH"
ALLOWED_HEADERS = "Authorization, Content-Type, If-None-Match, X-API-Key, X-Request-ID"
EXPOSED_HEADERS = "Age, Content-Disposition, ETag, Link, Server-Timing, X-Request-ID"
ORIGIN = re.compile(r"(https?)://([^][\s/?#@:*,]+|\[[0-9a-f:.]+])(?::([0-9]{1,5}))?/?")
DEFAULT_PORTS = {"http": "80", "https": "443"}  # which a browser leaves out
REMEMBERED = 7200  # seconds; the most that Chromium keeps a preflight's answer


class CORSMiddleware:
    """Tells browsers that pages of these origins may read the replies, errors among them.

    An origin is a scheme and host, such as `https://dashboard.example.com`; `*` is any. Preflights are answered
    here, since they come without the key. Credentials are never allowed: the key travels in a header. Raises
    SettingError for what is no origin.
    """

    def __init__(self, app: WSGIApplication, origins: Iterable[str]) -> None:
        self.app = app
        self.origins = frozenset(origin(text) for text in origins)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asking = environ.get("HTTP_ORIGIN")
        allowed = asking is not None and ("*" in self.origins or asking in self.origins)
        # a cache must not hand one origin's reply to another, nor to who sends none
        headers = [("Vary", "Origin")]
        if asking is not None and allowed:
            headers.append(("Access-Control-Allow-Origin", asking))
            if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
                headers += [
                    ("Access-Control-Allow-Methods", ALLOWED_METHODS),
                    ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
                    ("Access-Control-Max-Age", str(REMEMBERED)),
                ]
                start_response("204 No Content", headers)
                return []
            headers.append(("Access-Control-Expose-Headers", EXPOSED_HEADERS))

        def start(status: str, sent: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*sent, *headers], *rest)

        return self.app(environ, start)


def origin(text: str) -> str:
    """`text` as a browser spells an origin. Raises SettingError when it is none."""
    if text == "*":
        return text
    given = ORIGIN.fullmatch(text.lower())
    try:
        if given is None:
            raise UnicodeError
        scheme, host, port = given.groups()
        shown = f":{port}" if port and port != DEFAULT_PORTS[scheme] else ""
        return f"{scheme}://{host.encode('idna').decode()}{shown}"
    except UnicodeError:
        raise SettingError(f"a CORS origin is * or such as https://dashboard.example.com, not {text!r}") from None
