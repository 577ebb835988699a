"""The applications to compare: this API, one that sends constant bytes, and frameworks with plain SQL.

Each public function creates an application from environment variables. The command line of a server in `serving.py`
names the function, such as `benchmarks.apps:ours()`.
"""

import os
import sqlite3
import threading

from werkzeug.test import create_environ, run_wsgi_app

from . import plain

KEY = "a-key-for-the-benchmark"
OURS, THEIRS = "BENCHMARK_OURS", "BENCHMARK_THEIRS"  # paths of databases
NOW = "BENCHMARK_NOW"

# The path of each endpoint, and its query in plain SQL.
REQUESTS = {
    "overview": ("/analytics/overview", plain.overview),
    "pages": ("/analytics/pages/top", plain.pages),
    "geo": ("/analytics/geo", plain.geo),
}


def ours():
    """Return the API alone."""
    from analytics_api import create_app

    return create_app(os.environ[OURS], api_keys=[KEY])


def ours_uncached():
    """Return the API with a response cache that is emptied before each request, as it is after a write."""
    from analytics_api import create_app, open_database

    database = open_database(os.environ[OURS])
    app = create_app(database, api_keys=[KEY])

    def forgetting(environ, start_response):
        database.response_cache().clear()
        return app(environ, start_response)

    return forgetting


def served():
    """Return the API with the middleware of `analytics-api serve`."""
    from analytics_api.server.settings import Settings

    return Settings(api_keys={"key-1": KEY}, database=os.environ[OURS]).application()


def empty():
    return _empty(ours())


def empty_served():
    return _empty(served())


def _empty(model):
    replies = {}
    for path, _ in REQUESTS.values():
        body, status, headers = run_wsgi_app(model, create_environ(path, headers={"X-API-Key": KEY}))
        replies[path] = (status, list(headers), b"".join(body))

    def app(environ, start_response):
        status, headers, body = replies[environ["PATH_INFO"]]
        start_response(status, headers)
        return [body]

    return app


def flask():
    from flask import Flask, jsonify

    app = Flask(__name__)
    for name, (path, answer) in REQUESTS.items():
        app.add_url_rule(path, name, lambda answer=answer: jsonify(answer(_connection(), int(os.environ[NOW]))))
    return app


def fastapi():
    from fastapi import FastAPI

    app = FastAPI()
    for path, answer in REQUESTS.values():
        app.get(path)(_endpoint(answer))
    return app


def _endpoint(answer):
    def endpoint():  # FastAPI would treat arguments as query parameters
        return answer(_connection(), int(os.environ[NOW]))

    return endpoint


def datasette():
    from datasette.app import Datasette
    from datasette.database import Database

    queries = {"overview": plain.OVERVIEW, "pages": plain.PAGES, "geo": plain.GEO}
    site = Datasette(
        metadata={"databases": {"plain": {"queries": {name: {"sql": sql} for name, sql in queries.items()}}}},
        settings={"sql_time_limit_ms": 600_000},
    )
    site.add_database(Database(site, path=os.environ[THEIRS]), name="plain")
    return site.app()


_local = threading.local()


def _connection():
    if not hasattr(_local, "connection"):
        _local.connection = sqlite3.connect(os.environ[THEIRS])
    return _local.connection
