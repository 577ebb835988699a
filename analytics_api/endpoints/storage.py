"""What lies in object storage."""

from __future__ import annotations

from ..context import Context
from ..database import Row


def storage(ctx: Context) -> Row:
    """How many objects there are, and how many sessions they are recordings of; both null when no storage is set."""
    if ctx.storage is None:
        return {"total_objects": None, "estimated_sessions": None}
    statistics = ctx.storage.statistics()
    return {"total_objects": statistics.total_objects, "estimated_sessions": statistics.estimated_sessions}
