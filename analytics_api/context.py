"""The context that every endpoint receives as its first argument."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .database import Database
from .keys import Principal
from .storage.base import StorageStats

# A time in this range is probably in seconds instead of milliseconds: it would be in the years 1973 to 5138.
MIN_SECONDS, MAX_SECONDS = 100_000_000, 100_000_000_000


@dataclass(frozen=True, slots=True)
class Context:
    """The database, the object storage and the current time of a request.

    :param storage: None if no storage is configured.
    :param now: the current time in milliseconds since the epoch, UTC.
    :param actor: the name that the status history records for a change.
    :param principal: the authenticated Principal; None if the endpoint is called from Python.
    :param collect_hosts: the hosts for which the collector of the same server records visits, if it has one.
    """

    db: Database
    storage: StorageStats | None
    now: int
    actor: str = ""
    principal: Principal | None = None
    collect_hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        if MIN_SECONDS <= self.now < MAX_SECONDS:
            raise ValueError(f"now must be in milliseconds, such as time.time_ns() // 1_000_000, not {self.now}")


def now() -> int:
    """Return the current time in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
