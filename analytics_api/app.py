"""Match, parse, call, reply."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as UnknownPath
from werkzeug.routing import Map, Rule
from werkzeug.wsgi import get_path_info

from .context import Context, now
from .database import Database, open_database
from .errors import Forbidden, InvalidRequest, Refusal, SettingError
from .http import responses
from .http.environ import API_KEY, QUERY_SECONDS, ROUTE
from .keys import Key, KeyStore
from .middleware.auth import APIKeyMiddleware, digests
from .middleware.cors import CORSMiddleware
from .routes import ROUTES, Route
from .storage.base import StorageStats
from .storage.snapshot import MAX_AGE, Snapshot

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

MOST_FIELDS = 100  # of a query string; a route knows five

# How many answers a thread keeps, and the bytes that one of them may have.
MOST_KEPT = 32
LARGEST_KEPT = 64 * 1024


def create_app(
    database: str | os.PathLike[str] | Database,
    *,
    api_keys: Mapping[str, str] | Iterable[str],
    storage: StorageStats | None = None,
    storage_max_age: float = MAX_AGE / 1000,
    cors_origins: Iterable[str] = (),
    prefix: str = "/analytics",
    clock: Callable[[], int] = now,
) -> WSGIApplication:
    """The API as a WSGI application. Reads no environment.

    `database` is a path, made when there is nothing yet, or an opened database. `api_keys` may everything, and are
    given by name or not. `storage` tells what lies in object storage; it is asked off the request, and not before
    what it told last is `storage_max_age` seconds old. `cors_origins` are those whose pages may read the replies in a
    browser, `*` for any. `prefix` is what every path begins with; "" when the host mounts the application at a path
    already. `clock` tells what instant is now, in milliseconds.

    Raises DatabaseError when the database can't be opened, SettingError when there is no key or the prefix is no path.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise SettingError(f"prefix is a path such as /analytics, or empty: {prefix!r} is neither")
    if set("<>") & set(prefix):
        raise SettingError(f"prefix is a path such as /analytics: {prefix!r} has < or > in it")
    known = digests(api_keys)
    if not isinstance(database, Database):
        database = open_database(database)
    if storage is not None:
        storage = Snapshot(storage, database, max_age=int(storage_max_age * 1000))
    app: WSGIApplication = Application(database, storage, prefix, clock)
    app = APIKeyMiddleware(app, known, KeyStore(database), clock)
    origins = list(cors_origins)
    return CORSMiddleware(app, origins) if origins else app


class Application:
    """Every route, behind whatever stands in front."""

    def __init__(self, db: Database, storage: StorageStats | None, prefix: str, clock: Callable[[], int]) -> None:
        self.db = db
        self.storage = storage
        self.clock = clock
        rules = [Rule(prefix + route.path, methods=[route.method], endpoint=route) for route in ROUTES]
        # the host's name and scheme play no part, so one adapter serves every request
        self.urls = Map(rules, merge_slashes=False, redirect_defaults=False).bind("")
        # the routes of paths without parameters, by method: under none such a path is another's parameter
        self.fixed: dict[str, dict[str, Route]] = {}
        for rule in rules:
            if not rule.arguments:
                self.fixed.setdefault(rule.rule, {}).update(dict.fromkeys(rule.methods or (), rule.endpoint))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = get_path_info(environ)
        try:
            route, path_arguments = self.match(path, method)
        except MethodNotAllowed as error:
            allowed = [("Allow", ", ".join(sorted({*(error.valid_methods or ()), "OPTIONS"})))]
            if method == "OPTIONS":
                start_response("204 No Content", allowed)
                return []
            return responses.send_error(environ, start_response, 405, "Method not allowed", allowed)
        except HTTPException:
            return responses.send_error(environ, start_response, 404, "Unknown analytics endpoint")
        environ[ROUTE] = route.path
        try:
            key: Key = environ[API_KEY]
            if route.scope not in key.scopes:
                raise Forbidden(f"This API key has no access here: it lacks the scope {route.scope}")
            ctx = Context(self.db, self.storage, self.clock(), key.name)
            if route.cache_for:
                return self.held(ctx, route, environ).send(environ, start_response)
            payload = told(ctx, route, path_arguments, environ)
            if isinstance(payload, responses.Stream):
                return responses.stream(environ, start_response, payload)
            values = [(header.name, header.value(ctx, payload)) for header in route.headers]
            headers = [(name, value) for name, value in values if value is not None]
            if route.method == "GET":
                return responses.JSONResponse(payload, headers).send(environ, start_response)
            return responses.send_json(environ, start_response, payload, headers=headers)
        except Refusal as refusal:
            return responses.send_error(environ, start_response, refusal.status, str(refusal))
        except Exception:
            return responses.internal_error(environ, start_response, log, "%s %s failed", route.method, route.path)

    def match(self, path: str, method: str) -> tuple[Route, Mapping[str, Any]]:
        """The route, and what the path says for its parameters. Raises MethodNotAllowed and other HTTPExceptions."""
        if path.startswith("//"):  # which the map would forgive, here and nowhere else
            raise UnknownPath
        fixed = self.fixed.get(path)
        if fixed is None:
            return self.urls.match(path, method)
        if method not in fixed:
            raise MethodNotAllowed(list(fixed))
        return fixed[method], {}

    def held(self, ctx: Context, route: Route, environ: WSGIEnvironment) -> responses.JSONResponse:
        """The route's answer, made anew unless nothing was written since it was made last."""
        kept = self.db.response_cache()  # before the data are read: of what is written meanwhile the next request hears
        asked = route, environ.get("QUERY_STRING"), ctx.now // route.cache_for
        answer: responses.JSONResponse | None = kept.get(asked)
        if answer is None:
            answer = responses.JSONResponse(told(ctx, route, {}, environ))
            if len(answer.body) <= LARGEST_KEPT:
                if len(kept) == MOST_KEPT:
                    kept.clear()
                kept[asked] = answer
        return answer


def told(ctx: Context, route: Route, path_arguments: Mapping[str, Any], environ: WSGIEnvironment) -> object:
    """What the route's function says; how long it took is noted in the environ."""
    given = arguments(route, path_arguments, environ)
    begun = time.perf_counter()
    try:
        return route.endpoint(ctx, **given)
    finally:
        environ[QUERY_SECONDS] = time.perf_counter() - begun


def arguments(route: Route, path_arguments: Mapping[str, Any], environ: WSGIEnvironment) -> dict[str, object]:
    """What the route's function is called with: of the path, the query string and the body, what the route names.

    A parameter that is absent or empty is its default; of a repeated one the first counts.
    Raises InvalidRequest.
    """
    parsed: dict[str, object] = {
        parameter.name: parameter.parse(path_arguments[parameter.name]) for parameter in route.path_parameters
    }
    if route.query:
        query = environ.get("QUERY_STRING")
        given = fields(query) if query else {}
        for parameter in route.query:
            text = given.get(parameter.name)
            parsed[parameter.name] = parameter.parse(text) if text else parameter.default
    if route.body:
        sent = responses.json_object(environ)
        for parameter in route.body:
            text = sent.get(parameter.name)
            if not isinstance(text, str):
                raise InvalidRequest(f"The request body takes a string {parameter.name}")
            parsed[parameter.name] = text
    return parsed


def fields(query: str) -> dict[str, str]:
    """The parameters of a query string, the first of each name. Raises InvalidRequest when they are no UTF-8."""
    try:
        pairs = parse_qsl(
            query.encode("latin-1").decode(),  # as WSGI hands bytes over (PEP 3333)
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except UnicodeError:
        raise InvalidRequest("The query string must be UTF-8") from None
    except ValueError:
        raise InvalidRequest(f"The query string may have {MOST_FIELDS} parameters at most") from None
    return dict(reversed(pairs))
