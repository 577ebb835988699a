"""What lies in object storage."""

from __future__ import annotations

from typing import TypedDict, cast

from ..context import Context
from ..storage.base import Statistics


class Storage(TypedDict):
    total_objects: int | None
    estimated_sessions: int | None


class Dated(dict[str, int | None]):
    """A Storage that knows since when it has been so."""

    def __init__(self, statistics: Statistics) -> None:
        super().__init__(
            total_objects=statistics.total_objects,
            estimated_sessions=statistics.estimated_sessions,
        )
        self.taken_at = statistics.taken_at


def storage(ctx: Context) -> Storage:
    """How many objects there are, and how many sessions they are recordings of; both null when no storage is set.

    Raises StorageError when that can't be told.
    """
    if ctx.storage is None:
        return {"total_objects": None, "estimated_sessions": None}
    return cast(Storage, Dated(ctx.storage.statistics()))


def age(ctx: Context, answer: object) -> str | None:
    """How many seconds old the answer is, as the header `Age` (RFC 9111, section 5.1)."""
    if isinstance(answer, Dated):
        return str(max(0, ctx.now - answer.taken_at) // 1000)
    return None
