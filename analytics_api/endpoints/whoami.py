"""Information about the request's API key."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypedDict

from ..context import Context
from ..keys import SCOPES, Principal, Scope


class WhoAmI(TypedDict):
    name: str
    scopes: list[Scope]
    expires: str | None


def whoami(ctx: Context) -> WhoAmI:
    """Return the name, scopes and expiry of the request's key.

    `expires` is a timestamp such as `2027-01-01T00:00:00Z`, or null if the key does not expire.
    """
    principal = ctx.principal or Principal(ctx.actor)
    return {
        "name": principal.name,
        "scopes": [scope for scope in SCOPES if scope in principal.scopes],
        "expires": _format(principal.expires_at),
    }


def _format(instant: int | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromtimestamp(instant // 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
