"""A Flask application with the API behind its own login, mounted at /analytics.

Run it with: flask --app examples/flask_host.py:make_shop run
"""

from __future__ import annotations

import logging

import flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from analytics_api import Principal, create_app
from analytics_api.middleware.request_log import RequestLog

log = logging.getLogger("shop.analytics")

# What each user may do; a real application asks its own database.
SCOPES = {"ann": {"stats", "leads:read", "leads:write"}, "ben": {"stats"}}


def make_shop(database: str = "analytics.db", secret_key: str = "of-this-example") -> flask.Flask:
    """Return the host application with the API mounted."""
    shop = flask.Flask("shop")
    # Lax: pages of other sites send the cookie with no request but a click on a link.
    shop.config.update(SECRET_KEY=secret_key, SESSION_COOKIE_SAMESITE="Lax")

    @shop.post("/login/<name>")
    def login(name: str) -> str:  # a real one checks a password
        flask.session["user"] = name
        return f"Hello, {name}"

    def authenticate(environ: dict) -> Principal | None:
        """Return the user that is logged in, for the status history, and what they may do."""
        with shop.request_context(environ):
            name = flask.session.get("user")
        return Principal(name, frozenset(SCOPES[name])) if name in SCOPES else None

    analytics = create_app(database, api_keys=[], authenticate=authenticate, prefix="")
    analytics = RequestLog(analytics, lambda line: log.info(line.rstrip()))  # without it no request is logged
    shop.wsgi_app = DispatcherMiddleware(shop.wsgi_app, {"/analytics": analytics})  # type: ignore[method-assign]
    return shop
