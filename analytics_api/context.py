"""What an endpoint is given: all that it knows of the world around it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .database import Database
from .storage.base import StorageStats


@dataclass(frozen=True, slots=True)
class Context:
    """The data, the object storage if there is one, and the instant that is now.

    `now` is in milliseconds since the epoch, UTC. `actor` names the key that asks, for the status history.
    """

    db: Database
    storage: StorageStats | None
    now: int
    actor: str = ""


def now() -> int:
    """Return the current instant: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
