"""Whether a browser sent a request from a page of the request's own origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.wsgi import get_host

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SAFE_METHODS = frozenset({"GET", "HEAD"})


def own_origin(environ: WSGIEnvironment) -> str:
    """Return the origin that the request was sent to, as browsers write it: lower case, without a default port."""
    return f"{environ['wsgi.url_scheme']}://{get_host(environ)}".lower()


def is_same_origin(environ: WSGIEnvironment) -> bool:
    """Return whether the request comes from a page of its own origin.

    Sec-Fetch-Site decides where it is sent: `same-origin`, or `none` (an address that was typed, a bookmark) for a GET
    or HEAD. Browsers leave it out over plain HTTP. Then Origin decides, which no page can forge; a GET or HEAD may
    lack it.
    """
    is_safe = environ["REQUEST_METHOD"] in SAFE_METHODS
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site == "same-origin" or (site == "none" and is_safe)
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return is_safe
    return bool(origin.lower() == own_origin(environ))
