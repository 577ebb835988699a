"""The WSGI application: match the route, check the scope, call the endpoint and send the result."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as UnknownPath
from werkzeug.routing import Map, MapAdapter, Rule
from werkzeug.wsgi import get_path_info

from .browser_sessions import BrowserSessions
from .calls import EndpointResult, call_endpoint
from .context import Context
from .database import Database, resolve_database
from .errors import Forbidden, RequestError, SettingError, StatementTimeout
from .http import responses, streams
from .http.downloads import EXPORT_TIMEOUT, MAX_EXPORTS, Downloads
from .http.environ import PRINCIPAL, ROUTE
from .http.unknown_paths import UnknownPaths
from .keys import KeyStore
from .middleware.auth import APIKeyMiddleware, Authenticate, hash_keys
from .middleware.browser_login import BrowserLogin
from .middleware.cors import CORSMiddleware, normalize_origin
from .routes import ROUTES, Route
from .storage.base import StorageStats
from .storage.directory import Directory
from .storage.snapshot import MAX_AGE, Snapshot
from .values.calendar import Today
from .values.timestamps import check_clock, now

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

# Limits of the response cache of each thread: entries, and bytes of a body.
MAX_CACHED_RESPONSES = 32
MAX_CACHED_BYTES = 64 * 1024

QUERY_TIMEOUT = 5  # seconds for each statement of a request


def create_app(
    database: str | os.PathLike[str] | Database,
    *,
    api_keys: Mapping[str, str] | Iterable[str],
    authenticate: Authenticate | None = None,
    browser_sessions: bool = False,
    storage: StorageStats | str | os.PathLike[str] | None = None,
    storage_max_age: float = MAX_AGE / 1000,
    cors_origins: Iterable[str] = (),
    prefix: str = "/analytics",
    query_timeout: float = QUERY_TIMEOUT,
    max_exports: int = MAX_EXPORTS,
    export_timeout: float = EXPORT_TIMEOUT,
    collect_hosts: Iterable[str] = (),
    clock: Callable[[], int] = now,
) -> WSGIApplication:
    """Return the API as a WSGI application. Environment variables are not read.

    :param database: the path or URL of a database, which is created if it does not exist, or an open Database.
    :param api_keys: keys that have every scope, as a list or as a mapping of names to keys. There may be no keys if
        `authenticate` is set.
    :param authenticate: called with the environ of a request without a valid key. It returns the request's Principal,
        or None to reject the request with 401.
    :param browser_sessions: serve `POST` and `DELETE /session`, so that the page of `create_dashboard` can sign in and
        out with a key. A cookie then identifies the key.
    :param storage: an object with a `statistics()` method, or the path of a directory. A background thread calls
        `statistics()`.
    :param storage_max_age: maximum age of the storage statistics in seconds, after which they are refreshed.
    :param cors_origins: origins whose pages may read the responses in a browser; `*` allows all origins.
    :param prefix: beginning of every path; empty if the host application mounts this application at a path.
    :param query_timeout: maximum time in seconds of each SQL statement of a request. A longer statement is cancelled,
        and the response is 500.
    :param max_exports: maximum number of concurrent exports in a process; another export gets a 503. Pass half the
        number of threads, so that the other threads can serve short requests.
    :param export_timeout: maximum time in seconds of an export, until its last byte is sent.
    :param collect_hosts: hosts of the collector that is mounted beside the API. `/site` lists them for the web page.
    :param clock: returns the current time in milliseconds since the epoch.
    :raises DatabaseError: the database cannot be opened.
    :raises SettingError: an argument is invalid; the message begins with the name of the argument.
    """
    key_digests = hash_keys(api_keys)
    if not key_digests and authenticate is None:
        raise SettingError("api_keys: at least one API key is required")
    if authenticate is not None and not callable(authenticate):
        raise SettingError("authenticate: pass a function that takes the environ and returns a Principal or None")
    _check_prefix(prefix)
    check_clock(clock)
    origins = _parse_origins(cors_origins)
    provider = _parse_storage(storage)
    database = resolve_database(database)
    downloads = _parse_export_limits(max_exports, export_timeout)
    snapshot = (
        None
        if provider is None
        else Snapshot(provider, database, max_age=int(1000 * _parse_seconds("storage_max_age", storage_max_age)))
    )
    timeout = _parse_seconds("query_timeout", query_timeout)
    hosts = _check_texts("collect_hosts", collect_hosts)
    app: WSGIApplication = Application(database, snapshot, prefix, downloads, timeout, clock, hosts)
    sessions = BrowserSessions(database) if browser_sessions else None
    app = keys = APIKeyMiddleware(app, key_digests, KeyStore(database), clock, authenticate, sessions)
    if sessions is not None:
        app = BrowserLogin(app, sessions, keys.find_key, prefix, clock)
    return CORSMiddleware(app, origins)


@lru_cache(16)  # building a map takes 3 ms, and tests create thousands of applications
def build_urls(prefix: str) -> tuple[MapAdapter, dict[str, dict[str, Route]]]:
    """Return the map of all routes, and a dictionary of the static routes by path and method.

    The dictionary is searched first, because this is faster. A path in the dictionary is not compared with routes that
    have parameters: PATCH /leads/export is 405, and not an invalid lead id. No rule depends on the host or the scheme,
    so all requests share one adapter.
    """
    rules = [Rule(prefix + route.path, methods=[route.method], endpoint=route) for route in ROUTES]
    urls = Map(rules, merge_slashes=False, redirect_defaults=False).bind("")
    static_routes: dict[str, dict[str, Route]] = {}
    for rule in rules:
        if not rule.arguments:
            static_routes.setdefault(rule.rule, {}).update(dict.fromkeys(rule.methods or (), rule.endpoint))
    return urls, static_routes


class Application:
    """Dispatch requests to the endpoints. The environ must contain the Principal of an authenticated request."""

    def __init__(
        self,
        db: Database,
        storage: StorageStats | None,
        prefix: str,
        downloads: Downloads,
        query_timeout: float,
        clock: Callable[[], int],
        collect_hosts: Sequence[str] = (),
    ) -> None:
        self.db = db
        self.storage = storage
        self.prefix = prefix
        self.downloads = downloads
        self.query_timeout = query_timeout
        self.clock = clock
        self.collect_hosts = collect_hosts
        self.urls, self.static_routes = build_urls(prefix)
        self.send_unknown_path = UnknownPaths(self.static_routes, log)
        self.recent_responses: dict[tuple[Route, str | None], tuple[int, responses.JSONResponse]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        try:
            route, path_arguments = self.match(get_path_info(environ), method)
        except MethodNotAllowed as error:
            allow = [("Allow", ", ".join(sorted({*(error.valid_methods or ()), "OPTIONS"})))]
            if method == "OPTIONS":
                start_response("204 No Content", allow)
                return []
            return responses.send_error(environ, start_response, 405, "Method not allowed", allow)
        except HTTPException:
            return self.send_unknown_path(environ, start_response)
        environ[ROUTE] = route.path
        try:
            return self.respond(route, path_arguments, environ, start_response)
        except RequestError as error:
            return responses.send_error(environ, start_response, error.status, str(error), error.headers, error.fields)
        except StatementTimeout as error:
            return responses.internal_error(
                environ, start_response, log, "%s %s failed: %s", route.method, route.path, error
            )
        except Exception:
            return responses.internal_error(environ, start_response, log, "%s %s failed", route.method, route.path)

    def match(self, path: str, method: str) -> tuple[Route, Mapping[str, Any]]:
        """Return the route for a path and method, and the values of its path parameters.

        :raises MethodNotAllowed: the path exists, but not with this method; the exception has the valid methods.
        :raises HTTPException: the path is unknown.
        """
        if path.startswith("//"):  # the map merges leading slashes in spite of merge_slashes=False
            raise UnknownPath
        methods = self.static_routes.get(path)
        if methods is None:
            return self.urls.match(path, method)
        if method not in methods:
            raise MethodNotAllowed(list(methods))
        return methods[method], {}

    def respond(
        self, route: Route, path_arguments: Mapping[str, Any], environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Check the scope, call the endpoint and send its result."""
        if route.scope is not None and route.scope not in environ[PRINCIPAL].scopes:
            raise Forbidden(f"This API key lacks the scope {route.scope}")
        now = self.clock()
        if route.max_age:
            return self.recent_response(route, environ, now).send(environ, start_response)
        if route.is_cached:
            return self.cached_response(route, environ, now).send(environ, start_response)
        result = self.call(route, path_arguments, environ, now)
        if isinstance(result.payload, streams.Stream):
            return self.downloads.send(environ, start_response, result.payload)
        if route.method == "GET":
            return result.json_response().send(environ, start_response)
        return responses.send_json(environ, start_response, result.payload, headers=result.headers)

    def cached_response(self, route: Route, environ: WSGIEnvironment, now: int) -> responses.JSONResponse:
        """Return the cached response, or call the endpoint and cache its response."""
        # Get the cache before the endpoint reads. A write that commits during the read then invalidates this cache.
        cache = self.db.response_cache()
        cache_key = route, environ.get("QUERY_STRING")
        response: responses.JSONResponse | None
        today: Today | None
        response, today = cache.get(cache_key, (None, None))
        if response is None or (today is not None and not today.begins_at <= now < today.ends_at):
            result = self.call(route, {}, environ, now)
            response = result.json_response()
            if len(response.body) <= MAX_CACHED_BYTES:
                if len(cache) >= MAX_CACHED_RESPONSES:
                    cache.clear()
                cache[cache_key] = response, result.today
        return response

    def recent_response(self, route: Route, environ: WSGIEnvironment, now: int) -> responses.JSONResponse:
        """Return a response that is younger than the route's `max_age`, even if rows were written in the meantime."""
        key = route, environ.get("QUERY_STRING")
        computed_at, response = self.recent_responses.get(key, (0, None))
        if response is None or not 0 <= now - computed_at < route.max_age:
            response = self.call(route, {}, environ, now).json_response()
            # The timer replaces the dictionary by an empty one. If it does so before this call stores its response, the
            # response is stored in the old dictionary, and is forgotten with it.
            recent = self.recent_responses
            if len(recent) >= MAX_CACHED_RESPONSES:
                recent.clear()
            if not recent:
                # Without this timer, an idle process would keep the pages of an erased person in memory.
                timer = threading.Timer(route.max_age / 1000, self.forget_responses)
                timer.daemon = True
                timer.start()
            recent[key] = now, response
        return response

    def forget_responses(self) -> None:
        self.recent_responses = {}

    def call(
        self, route: Route, path_arguments: Mapping[str, Any], environ: WSGIEnvironment, now: int
    ) -> EndpointResult:
        """Call the endpoint of a route."""
        ctx = Context(self.db, self.storage, now, environ[PRINCIPAL].name, environ[PRINCIPAL], self.collect_hosts)
        return call_endpoint(ctx, route, path_arguments, environ, self.prefix, self.query_timeout)


def _check_prefix(prefix: str) -> None:
    if not isinstance(prefix, str) or (prefix and (prefix[0] != "/" or prefix[-1] == "/" or prefix[:2] == "//")):
        raise SettingError(f"prefix: use a path such as /analytics, or an empty string, not {prefix!r}")
    if set("<>") & set(prefix):
        raise SettingError(f"prefix: use a path without < and >, not {prefix!r}")


def _parse_origins(origins: Iterable[str]) -> list[str]:
    origins = _check_texts("cors_origins", [origins] if isinstance(origins, str) else origins)
    try:
        return [normalize_origin(origin) for origin in origins]
    except SettingError as error:
        raise SettingError(f"cors_origins: {error}") from error


def _check_texts(name: str, texts: Iterable[str]) -> Sequence[str]:
    values = None if isinstance(texts, str) or not isinstance(texts, Iterable) else tuple(texts)
    if values is None or not all(isinstance(value, str) for value in values):
        raise SettingError(f"{name}: pass a list of strings, not {texts!r:.40}")
    return values


def _parse_storage(storage: StorageStats | str | os.PathLike[str] | None) -> StorageStats | None:
    if isinstance(storage, (str, os.PathLike)):
        path = os.path.expanduser(os.fspath(storage))
        if not os.path.isdir(path):
            raise SettingError(f"storage: {path} is not a directory; for a bucket pass the result of open_storage()")
        return Directory(path)
    if storage is not None and not callable(getattr(storage, "statistics", None)):
        raise SettingError("storage: pass the path of a directory, or an object with a statistics() method")
    return storage


def _parse_seconds(name: str, seconds: float) -> float:
    if not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise SettingError(f"{name}: pass a positive number of seconds, not {seconds!r}")
    return seconds


def _parse_export_limits(limit: int, timeout: float) -> Downloads:
    if not isinstance(limit, int) or limit < 1:
        raise SettingError(f"max_exports: pass a positive integer, not {limit!r}")
    return Downloads(limit, _parse_seconds("export_timeout", timeout))
