"""JSON representations, their entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from ..errors import PreconditionFailed

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# A function that raises PreconditionFailed if a condition is not met. Its argument is a function that returns the
# entity tags of a resource.
Check = Callable[[Callable[[], Sequence[str]]], None]

ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode_json(payload: object) -> bytes:
    """Return the payload as compact JSON in UTF-8."""
    return _encode(payload).encode()


def make_etag(body: bytes) -> str:
    """Return a strong entity tag for the body, including the quotes."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def etag_of(payload: object) -> str:
    """Return the entity tag of the response with this payload."""
    return make_etag(encode_json(payload))


def is_listed(condition: str, etag: str) -> bool:
    """Return whether an If-None-Match value matches the entity tag by weak comparison."""
    return condition.strip() == "*" or any(etag == f'"{tag}"' for _, tag in ENTITY_TAG.findall(condition))


def is_matched(condition: str, etag: str) -> bool:
    """Return whether an If-Match value matches the entity tag by strong comparison. A weak tag never matches."""
    return condition.strip() == "*" or any(
        etag == f'"{tag}"' for weak, tag in ENTITY_TAG.findall(condition) if not weak
    )


def describe_mismatch(condition: str) -> str:
    """Return the error message for an If-Match value that does not match."""
    if all(weak for weak, _ in ENTITY_TAG.findall(condition)):
        return 'If-Match has no strong entity tag: send the ETag in double quotes, without W/, such as "new.0"'
    return "If-Match does not list the current ETag: the resource has changed since it was read"


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The If-Match and If-None-Match headers of a write request. An absent header is None."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, read_etags: Callable[[], Sequence[str]]) -> None:
        """Compare the conditions with the current entity tags of the resource. A resource may have several tags.

        :raises PreconditionFailed: a condition is not met.
        """
        if self.if_match is None and self.if_none_match is None:
            return
        etags = read_etags()
        if self.if_match is not None and not any(is_matched(self.if_match, etag) for etag in etags):
            raise PreconditionFailed(describe_mismatch(self.if_match))
        if self.if_none_match is not None and any(is_listed(self.if_none_match, etag) for etag in etags):
            raise PreconditionFailed("If-None-Match lists the current ETag")


def read_preconditions(environ: WSGIEnvironment) -> Check:
    """Return a function that checks the request's preconditions against the entity tags of a resource.

    The function raises PreconditionFailed if a condition is not met.
    """
    return Preconditions(environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")).check
