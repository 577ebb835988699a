"""The API key in front of everything."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import SettingError
from ..http import responses
from ..http.environ import API_KEY
from ..keys import INVALID_KEY, MISSING_KEY, Key, KeyStore, digest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)


class APIKeyMiddleware:
    """Lets a request through when it carries a key, and notes whose.

    `digests` are of the keys that may everything, by name. Several are valid at once, so that one can be rotated: add
    the new one, switch the callers, drop the old one. `ring` holds more, with scopes.
    """

    def __init__(
        self,
        app: WSGIApplication,
        digests: Mapping[str, str],
        ring: KeyStore,
        clock: Callable[[], int],
    ) -> None:
        self.app = app
        self.digests = digests
        self.ring = ring
        self.clock = clock

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = presented(environ)
        try:
            key = next((known for text in sent if (known := self.known(text))), None)
        except Exception:
            return responses.internal_error(environ, start_response, log, "the key can't be looked up")
        if key is None:
            return responses.send_error(
                environ, start_response, 401, INVALID_KEY if sent else MISSING_KEY, [("WWW-Authenticate", "Bearer")]
            )
        environ[API_KEY] = key
        return self.app(environ, start_response)

    def known(self, text: str) -> Key | None:
        """Whose key that is; None when it is nobody's."""
        sent = text.encode("latin-1", "replace")  # as WSGI hands bytes over (PEP 3333)
        shown = digest(sent)
        name = None
        for other, expected in self.digests.items():  # every one, whichever it is
            if hmac.compare_digest(shown, expected):
                name = other
        return self.ring.find(sent, now=self.clock()) if name is None else Key(name)


def digests(keys: Mapping[str, str] | Iterable[str]) -> Mapping[str, str]:
    """Of each key a digest, all of one length, so that comparing them tells nothing of a key's; by the key's name.

    Keys without names are `key-1`, `key-2` and so on. Raises SettingError when there is none.
    """
    if isinstance(keys, str):
        keys = [keys]
    if not isinstance(keys, Mapping):
        keys = {f"key-{number}": key for number, key in enumerate(keys, start=1)}
    found = {name: digest(key.strip().encode("utf-8", "surrogateescape")) for name, key in keys.items() if key.strip()}
    if not found:
        raise SettingError("An API key is needed: without one nobody could ask, or everybody")
    return found


def presented(environ: WSGIEnvironment) -> list[str]:
    """The keys that a request carries, in either header."""
    blank = " \t"  # and nothing else: the last byte of an "à" looks like a blank too
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").strip(blank).partition(" ")
    bearer = token.strip(blank) if scheme.lower() == "bearer" else ""
    return [key for key in (bearer, environ.get("HTTP_X_API_KEY", "").strip(blank)) if key]
