"""What an endpoint needs besides its arguments."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .database import Database
from .keys import Principal
from .storage.base import StorageStats


@dataclass(frozen=True, slots=True)
class Context:
    """The database, the object storage if there is one, and the current instant.

    :param now: milliseconds since the epoch, UTC.
    :param actor: name that the status history records.
    :param principal: who sent the request; None when the endpoint is called from Python.
    """

    db: Database
    storage: StorageStats | None
    now: int
    actor: str = ""
    principal: Principal | None = None


def now() -> int:
    """Return the current instant: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
