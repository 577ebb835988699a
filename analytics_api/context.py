"""The context that every endpoint receives as its first argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .database import Database
from .keys import Principal
from .storage.base import StorageStats
from .values.timestamps import MIN_SECONDS, MIN_TIMESTAMP


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
        if MIN_SECONDS <= self.now < MIN_TIMESTAMP:
            raise ValueError(f"now must be in milliseconds, such as time.time_ns() // 1_000_000, not {self.now}")
