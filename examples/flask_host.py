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

# The scopes of each user. A real application reads them from its database.
SCOPES = {"ann": {"stats", "leads:read", "leads:write"}, "ben": {"stats"}}


def make_shop(database: str = "analytics.db", secret_key: str = "of-this-example") -> flask.Flask:
    """Return the host application with the API mounted."""
    shop = flask.Flask("shop")
    # Lax: on other sites, the browser sends the cookie only when the user follows a link.
    shop.config.update(SECRET_KEY=secret_key, SESSION_COOKIE_SAMESITE="Lax")

    @shop.post("/login/<name>")
    def login(name: str) -> str:  # a real application checks a password
        flask.session["user"] = name
        return f"Hello, {name}"

    def authenticate(environ: dict) -> Principal | None:
        """Return a Principal with the name and the scopes of the logged-in user."""
        with shop.request_context(environ):
            name = flask.session.get("user")
        return Principal(name, frozenset(SCOPES[name])) if name in SCOPES else None

    analytics = create_app(database, api_keys=[], authenticate=authenticate, prefix="")
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # otherwise INFO is not shown
    analytics = RequestLog(analytics, lambda line: log.info(line.rstrip()))  # log requests
    shop.wsgi_app = DispatcherMiddleware(shop.wsgi_app, {"/analytics": analytics})  # type: ignore[method-assign]
    return shop
