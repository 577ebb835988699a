"""Statistics of the object storage."""

from __future__ import annotations

from typing import TypedDict, cast

from ..context import Context
from ..storage.base import Statistics


class Storage(TypedDict):
    total_objects: int | None
    estimated_sessions: int | None


class TimestampedStorage(dict[str, int | None]):
    """A Storage payload. `taken_at` is the time of the count, in milliseconds since the epoch."""

    def __init__(self, statistics: Statistics) -> None:
        super().__init__(
            total_objects=statistics.total_objects,
            estimated_sessions=statistics.estimated_sessions,
        )
        self.taken_at = statistics.taken_at


def storage(ctx: Context) -> Storage:
    """Return the number of objects in the storage, and the number of recorded sessions.

    Both are null if no storage is configured. The header `Age` has the age of the numbers in seconds.

    :raises StorageError: the objects have never been counted, and the storage does not respond.
    """
    if ctx.storage is None:
        return {"total_objects": None, "estimated_sessions": None}
    return cast(Storage, TimestampedStorage(ctx.storage.statistics()))


def age(ctx: Context, payload: object) -> str | None:
    """Return the age of the numbers in seconds, for the header `Age` (RFC 9111, 5.1)."""
    if isinstance(payload, TimestampedStorage):
        return str(max(0, ctx.now - payload.taken_at) // 1000)
    return None
