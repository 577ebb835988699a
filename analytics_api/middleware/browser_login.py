"""Sign browsers in and out with a session cookie."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from werkzeug.http import dump_cookie
from werkzeug.sansio.http import parse_cookie
from werkzeug.urls import iri_to_uri

from ..browser_sessions import LIFETIME, OTHER_SITE, READ_ONLY, BrowserSessions
from ..context import Context
from ..endpoints.whoami import whoami
from ..errors import Forbidden, InvalidRequest, ReadOnly, RequestError
from ..http.environ import PRINCIPAL, ROUTE, SESSION_TOKENS
from ..http.origins import is_same_origin, own_origin
from ..http.requests import mount_path, parse_query, read_body, read_json_object
from ..http.responses import CACHE_CONTROL, internal_error, send_error, send_json
from ..keys import INVALID_KEY, Principal, digest
from .auth import BLANKS, extract_keys

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

COOKIE: Final = "analytics_session"
MAX_COOKIES = 4  # maximum number of session cookies to look up; a browser sends one for each path that matches
SESSION_PATH: Final = "/session"
FORM = "application/x-www-form-urlencoded"

# After a sign-in by a form, the redirect has one of these fragments. The page shows a message for each fragment.
INVALID_KEY_FRAGMENT = "invalid-key"
READ_ONLY_FRAGMENT = "read-only"
SIGNED_IN_FRAGMENT = "signed-in"  # the message is shown only if the browser did not store the cookie


class BrowserLogin:
    """Serve `POST` and `DELETE` of `<prefix>/session`, and check the origin of requests with the cookie.

    `POST` accepts a key as JSON or as a form, and sets a cookie that scripts and other sites cannot use. The response
    to a form is a redirect to the page with the form. `POST`, `DELETE`, and every request with the cookie must come
    from a page of the same origin. The cookie is ignored if a header has a key. Every response that can depend on the
    cookie has `Vary: Cookie`.

    :param app: the application; it reads the tokens of the cookies from the environ.
    :param find_key: takes the digest of a key, and returns the key's Principal or None.
    :param prefix: the beginning of every path.
    :param clock: returns the current time in milliseconds since the epoch.
    """

    def __init__(
        self,
        app: WSGIApplication,
        sessions: BrowserSessions,
        find_key: Callable[[str], Principal | None],
        prefix: str,
        clock: Callable[[], int],
    ) -> None:
        self.app = app
        self.sessions = sessions
        self.find_key = find_key
        self.prefix = prefix
        self.session_path = (prefix + SESSION_PATH).encode().decode("latin-1")  # as in the environ (PEP 3333)
        self.clock = clock

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == self.session_path:
            return self.serve_session(environ, vary_by_cookie(start_response))
        if extract_keys(environ):
            return self.app(environ, start_response)
        start_response = vary_by_cookie(start_response)
        if tokens := read_tokens(environ):
            if not is_same_origin(environ):
                return send_error(environ, start_response, 403, OTHER_SITE)
            environ[SESSION_TOKENS] = tokens
        return self.app(environ, start_response)

    def serve_session(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request for the path of the session."""
        environ[ROUTE] = SESSION_PATH
        methods = {"POST": self.sign_in, "DELETE": self.sign_out}
        method = methods.get(environ["REQUEST_METHOD"])
        if method is None:
            allow = [("Allow", "DELETE, OPTIONS, POST")]
            if environ["REQUEST_METHOD"] == "OPTIONS":
                start_response("204 No Content", allow)
                return []
            return send_error(environ, start_response, 405, "Method not allowed", allow)
        try:
            if not is_same_origin(environ):
                raise Forbidden(OTHER_SITE)
            parse_query(environ.get("QUERY_STRING", ""), ())
            return method(environ, start_response)
        except RequestError as error:
            return send_error(environ, start_response, error.status, str(error), error.headers)
        except Exception:
            return internal_error(environ, start_response, log, "%s %s failed", environ["REQUEST_METHOD"], SESSION_PATH)

    def sign_in(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Check the key in the body, and create a session."""
        is_form = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == FORM
        key = read_key(read_form(environ) if is_form else read_json_object(environ))
        key_digest = digest(key.encode("utf-8", "replace"))
        principal = self.find_key(key_digest) if key else None
        if principal is None:
            if is_form:
                return redirect(environ, start_response, INVALID_KEY_FRAGMENT)
            return send_error(environ, start_response, 401, INVALID_KEY, [("WWW-Authenticate", "Bearer")])
        if self.sessions.db.is_read_only():
            if is_form:
                return redirect(environ, start_response, READ_ONLY_FRAGMENT)
            raise ReadOnly(READ_ONLY)
        environ[PRINCIPAL] = principal
        now = self.clock()
        cookie = self.cookie(environ, self.sessions.create(key_digest, now=now), LIFETIME // 1000)
        if is_form:
            return redirect(environ, start_response, SIGNED_IN_FRAGMENT, cookie)
        payload = whoami(Context(self.sessions.db, None, now, principal.name, principal))
        return send_json(environ, start_response, payload, headers=[cookie])

    def sign_out(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Delete the session of the cookie, if there is one."""
        for token in read_tokens(environ):
            self.sessions.delete(token)
        start_response("204 No Content", [CACHE_CONTROL, self.cookie(environ, "", 0)])
        return []

    def cookie(self, environ: WSGIEnvironment, token: str, max_age: int) -> tuple[str, str]:
        """Return the Set-Cookie header, with `Secure` only over HTTPS: over plain HTTP, browsers reject it."""
        value = dump_cookie(
            COOKIE,
            token,
            max_age=max_age,
            path=(mount_path(environ) + quote(self.prefix)) or "/",
            secure=environ["wsgi.url_scheme"] == "https",
            httponly=True,
            samesite="Strict",
        )
        return "Set-Cookie", value


def vary_by_cookie(start_response: StartResponse) -> StartResponse:
    """Return a `start_response` that adds `Vary: Cookie`."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, ("Vary", "Cookie")], *rest)

    return start


def read_tokens(environ: WSGIEnvironment) -> list[str]:
    """Return the tokens in the session cookies, at most MAX_COOKIES. Tokens that are not ASCII are ignored."""
    header = environ.get("HTTP_COOKIE", "")
    tokens = parse_cookie(header).getlist(COOKIE) if COOKIE in header else []
    return [token for token in tokens if token and token.isascii()][:MAX_COOKIES]


def read_form(environ: WSGIEnvironment) -> Mapping[str, Any]:
    """Return the fields of a form by name. A repeated field has its last value. A missing `key` is ""."""
    try:
        fields = parse_qs(read_body(environ).decode(), errors="strict", max_num_fields=10)
    except ValueError:
        raise InvalidRequest("The form must be UTF-8, with at most 10 fields") from None
    return {"key": "", **{name: values[-1] for name, values in fields.items()}}


def read_key(body: Mapping[str, Any]) -> str:
    """Return the key in a body. Surrounding whitespace is removed, as it is for a key in a header.

    :raises InvalidRequest: the body has no key.
    """
    key = body.get("key")
    if not isinstance(key, str):
        raise InvalidRequest('The request body must be {"key": "…"}')
    return key.strip(BLANKS)


def redirect(
    environ: WSGIEnvironment, start_response: StartResponse, fragment: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    """Redirect to the page with the form. `fragment` is added to its URL."""
    location = f"{page_of_form(environ)}#{fragment}"
    content = [("Content-Type", "text/plain"), ("Content-Length", "0")]
    start_response("303 See Other", [CACHE_CONTROL, ("Location", location), *content, *headers])
    return []


def page_of_form(environ: WSGIEnvironment) -> str:
    """Return the path and query of the Referer if it has the same origin, otherwise the path of the mount.

    A path that begins with two slashes is not used, because it would redirect to another host.
    """
    root = f"{mount_path(environ)}/"
    try:
        url = urlsplit(environ.get("HTTP_REFERER", ""))
    except ValueError:
        return root
    is_own = f"{url.scheme}://{url.netloc}".lower() == own_origin(environ)
    if not is_own or not url.path.startswith("/") or url.path.startswith(("//", "/\\")):
        return root
    return iri_to_uri(f"{url.path}?{url.query}" if url.query else url.path)
