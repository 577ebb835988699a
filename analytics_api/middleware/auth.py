"""Authentication by API keys, or by a function of the host application."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..browser_sessions import BrowserSessions
from ..errors import SettingError
from ..http.environ import IS_KEY_VALID, PRINCIPAL, SESSION_TOKENS
from ..http.responses import internal_error, send_error
from ..keys import ALL_SCOPES, INVALID_KEY, MISSING_KEY, KeyStore, Principal, digest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

Authenticate = Callable[["WSGIEnvironment"], "Principal | None"]

# The whitespace in header values. WSGI decodes the bytes as Latin-1. In Latin-1, the last byte of a UTF-8 "à" is a
# no-break space, which str.strip() would remove.
BLANKS = " \t"


class APIKeyMiddleware:
    """Add the Principal to the environ of an authenticated request, and reject other requests with 401.

    The keys in the headers are checked. If the request has the cookie of a browser session and no key, the session is
    checked. If there is no valid key or session, `authenticate` is called.

    :param key_digests: digests of the keys from the settings by name, as `hash_keys` returns them. These keys have
        every scope. Several keys can be valid at once, so that a key can be replaced without interruption.
    :param key_store: the keys in the database, with their scopes.
    :param clock: returns the current time in milliseconds since the epoch.
    :param authenticate: takes the environ and returns the request's Principal, or None to reject the request.
    :param sessions: the browser sessions, or None if browsers cannot sign in.
    """

    def __init__(
        self,
        app: WSGIApplication,
        key_digests: Mapping[str, str],
        key_store: KeyStore,
        clock: Callable[[], int],
        authenticate: Authenticate | None = None,
        sessions: BrowserSessions | None = None,
    ) -> None:
        self.app = app
        self.principals = [(key_digest, Principal(name)) for name, key_digest in key_digests.items()]
        self.key_store = key_store
        self.clock = clock
        self.authenticate = authenticate
        self.sessions = sessions

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        candidates = extract_keys(environ)
        tokens = environ.get(SESSION_TOKENS, ())
        find = partial(self.find_signed_in, tokens) if tokens else partial(self.find_principal, candidates)
        try:
            principal = find()
            if principal is not None:
                environ[IS_KEY_VALID] = lambda: find() is not None
            elif self.authenticate is not None:
                principal = check_principal(self.authenticate(environ))
        except Exception:
            return internal_error(environ, start_response, log, "authentication failed")
        if principal is None:
            message = INVALID_KEY if candidates else MISSING_KEY
            return send_error(environ, start_response, 401, message, [("WWW-Authenticate", "Bearer")])
        environ[PRINCIPAL] = principal
        return self.app(environ, start_response)

    def find_principal(self, candidates: Iterable[str]) -> Principal | None:
        """Return the Principal of the first valid key, or None if no key is valid."""
        for candidate in candidates:
            # WSGI decodes header bytes as Latin-1 (PEP 3333). Encoding restores the bytes that the client sent.
            if principal := self.find_key(digest(candidate.encode("latin-1", "replace"))):
                return principal
        return None

    def find_signed_in(self, tokens: Iterable[str]) -> Principal | None:
        """Return the Principal of the first session that is valid and whose key is valid, or None."""
        for token in tokens:
            key_digest = self.sessions and self.sessions.find_key_digest(token, now=self.clock())
            if key_digest and (principal := self.find_key(key_digest)):
                return principal
        return None

    def find_key(self, key_digest: str) -> Principal | None:
        """Return the Principal of the key with this digest, or None.

        The digest is compared with the digests of all keys from the settings. So the duration does not reveal which key
        matched.
        """
        match = None
        for known_digest, principal in self.principals:
            if hmac.compare_digest(key_digest, known_digest):
                match = principal
        return match or self.key_store.find(key_digest, now=self.clock())


def hash_keys(keys: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    """Return the digests of the keys by name. Empty keys are omitted.

    Digests have equal lengths, so comparing them does not reveal the length of a key. Keys in a list are named
    `key-1`, `key-2` and so on.

    :raises SettingError: a key is not a string, or has characters other than printable ASCII.
    """
    if isinstance(keys, str):
        keys = [keys]
    if isinstance(keys, bytes) or not isinstance(keys, Iterable):
        raise SettingError(f"api_keys: pass a list of strings, or a mapping of names to strings, not {keys!r:.40}")
    if not isinstance(keys, Mapping):
        keys = {f"key-{number}": key for number, key in enumerate(keys, start=1)}
    digests = {}
    for name, key in keys.items():
        if not isinstance(name, str) or not isinstance(key, str):
            raise SettingError(f"api_keys: the key {name} must be a string, not {type(key).__name__}")
        key = key.strip()
        if not (key.isascii() and key.isprintable()):
            raise SettingError(f"api_keys: the key {name} has characters other than printable ASCII")
        if key:
            digests[name] = digest(key.encode())
    return digests


def extract_keys(environ: WSGIEnvironment) -> list[str]:
    """Return the keys in the request's headers: first from `Authorization: Bearer`, then from `X-API-Key`."""
    keys = []
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").strip(BLANKS).partition(" ")
    if scheme.lower() == "bearer" and (token := token.strip(BLANKS)):
        keys.append(token)
    if key := environ.get("HTTP_X_API_KEY", "").strip(BLANKS):
        keys.append(key)
    return keys


def check_principal(principal: object) -> Principal | None:
    """Validate the result of `authenticate`, and return it if it is None or a Principal with a name and known scopes.

    :raises TypeError: the result is anything else, such as True, which must not grant access by accident.
    """
    if principal is None:
        return None
    if not isinstance(principal, Principal):
        raise TypeError(f"authenticate must return a Principal or None, not {type(principal).__name__}")
    if not isinstance(principal.name, str) or "\0" in principal.name:  # PostgreSQL does not accept NUL in text
        raise TypeError(
            f"authenticate must return a Principal whose name is a string without NUL, not {principal.name!r}"
        )
    if isinstance(principal.scopes, str) or not ALL_SCOPES.issuperset(principal.scopes):
        known = ", ".join(sorted(ALL_SCOPES))
        raise TypeError(
            f"authenticate must return a Principal whose scopes are a subset of {{{known}}}, not {principal.scopes!r}"
        )
    return principal
