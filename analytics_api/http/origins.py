"""Compare the origin of a request with the server's own origin, and log each warning once."""

from __future__ import annotations

from logging import Logger
from typing import TYPE_CHECKING, Final

from werkzeug.wsgi import get_host

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SAFE_METHODS = frozenset({"GET", "HEAD"})
MAX_WARNINGS: Final = 100  # further ones are not logged, so that clients cannot fill the log


class WarningLog:
    """Logs each warning once, and at most MAX_WARNINGS."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._messages: set[str] = set()

    def warn(self, message: str) -> None:
        if message not in self._messages and len(self._messages) < MAX_WARNINGS:
            self._messages.add(message)
            self._log.warning("%s", message)


def own_origin(environ: WSGIEnvironment) -> str:
    """Return the origin of the request's URL in the form that browsers send: lower case, without a default port."""
    return f"{environ['wsgi.url_scheme']}://{get_host(environ)}".lower()


def is_same_origin(environ: WSGIEnvironment) -> bool:
    """Return whether the request comes from a page of the same origin.

    If the header Sec-Fetch-Site is present, it must be `same-origin`, or for a GET or HEAD also `none` (a typed URL or
    a bookmark). Browsers do not send this header over plain HTTP. Without Sec-Fetch-Site, the header Origin must equal
    the origin of the request's URL. For a GET or HEAD, Origin may also be absent. Pages cannot change either header.
    """
    is_safe = environ["REQUEST_METHOD"] in SAFE_METHODS
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site == "same-origin" or (site == "none" and is_safe)
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return is_safe
    return bool(origin.lower() == own_origin(environ))
