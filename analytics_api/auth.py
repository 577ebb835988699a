"""The API key in front of everything."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from . import wire
from .errors import SettingError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEY_NAME = "analytics_api.key_name"  # in the environ, for whoever comes behind

MISSING = "API key required. Use Authorization: Bearer <key> or X-API-Key header."
INVALID = "Invalid API key"


class APIKeyMiddleware:
    """Lets a request through when it carries one of the keys, and notes which one.

    Several keys are valid at once, so that one can be rotated: add the new one, switch the callers, drop the old one.
    `keys` maps a name to each, or is just the keys, which are then `key-1`, `key-2` and so on in the history.
    Raises SettingError when there is none.
    """

    def __init__(self, app: WSGIApplication, keys: Mapping[str, str] | Iterable[str]) -> None:
        if isinstance(keys, str):
            keys = [keys]
        if not isinstance(keys, Mapping):
            keys = {f"key-{number}": key for number, key in enumerate(keys, start=1)}
        self.app = app
        # digests are of one length, so that comparing them tells nothing of a key's
        self.digests = {
            name: sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
            for name, key in keys.items()
            if key.strip()
        }
        if not self.digests:
            raise SettingError("An API key is needed: without one nobody could ask, or everybody")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = presented(environ)
        name = None
        for key in sent:
            digest = sha256(key.encode("latin-1", "replace")).digest()  # as WSGI hands bytes over (PEP 3333)
            for known, expected in self.digests.items():  # every one, whichever it is
                if hmac.compare_digest(digest, expected):
                    name = known
        if name is None:
            return wire.error(
                environ, start_response, 401, INVALID if sent else MISSING, [("WWW-Authenticate", "Bearer")]
            )
        environ[KEY_NAME] = name
        return self.app(environ, start_response)


def presented(environ: WSGIEnvironment) -> list[str]:
    """The keys that a request carries, in either header."""
    blank = " \t"  # and nothing else: the last byte of an "à" looks like a blank too
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").strip(blank).partition(" ")
    bearer = token.strip(blank) if scheme.lower() == "bearer" else ""
    return [key for key in (bearer, environ.get("HTTP_X_API_KEY", "").strip(blank)) if key]
