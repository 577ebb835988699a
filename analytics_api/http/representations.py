"""A resource as JSON, its entity tag, and the conditions on that tag (RFC 9110, 8.8.3 and 13.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from ..errors import PreconditionFailed

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode_json(payload: object) -> bytes:
    """Return the payload as compact JSON in UTF-8."""
    return _encode(payload).encode()


def make_etag(body: bytes) -> str:
    """Return the strong entity tag of a body, with its quotes."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def etag_of(payload: object) -> str:
    """Return the entity tag that a response of this payload has."""
    return make_etag(encode_json(payload))


def is_listed(condition: str, etag: str) -> bool:
    """Return whether If-None-Match lists this entity tag, by the weak comparison."""
    return condition.strip() == "*" or any(etag == f'"{tag}"' for _, tag in ENTITY_TAG.findall(condition))


def is_matched(condition: str, etag: str) -> bool:
    """Return whether If-Match lists this entity tag, by the strong comparison: a weak one never matches."""
    return condition.strip() == "*" or any(
        etag == f'"{tag}"' for weak, tag in ENTITY_TAG.findall(condition) if not weak
    )


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditions of a request that writes: If-Match and If-None-Match; None for a header that is absent."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, payload: object) -> None:
        """Compare the conditions with the current state of the resource.

        :raises PreconditionFailed: one is not met.
        """
        if self.if_match is None and self.if_none_match is None:
            return
        etag = etag_of(payload)
        if self.if_match is not None and not is_matched(self.if_match, etag):
            raise PreconditionFailed("If-Match does not list the current ETag: it has changed since it was read")
        if self.if_none_match is not None and is_listed(self.if_none_match, etag):
            raise PreconditionFailed("If-None-Match lists the current ETag")


def read_preconditions(environ: WSGIEnvironment) -> Callable[[object], None]:
    """Return a function that takes the resource's payload and raises PreconditionFailed if a condition is not met."""
    return Preconditions(environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")).check
