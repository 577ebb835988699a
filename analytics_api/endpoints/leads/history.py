"""The moves of one lead through the pipeline."""

from __future__ import annotations

from typing import TypedDict, cast

from ...context import Context
from ...database import Reader
from ...errors import NotFound

Move = TypedDict("Move", {"from": str, "to": str, "changed_at": int, "changed_by": str})

EXISTS = """
select 1 as is_stored
from leads
where lead_id = :lead_id
"""

MOVES = """
select old_status as "from", new_status as "to", changed_at, changed_by
from lead_status_changes
where lead_id = :lead_id
order by changed_at desc, change_id desc
"""


def history(ctx: Context, lead_id: int) -> list[Move]:
    """Return the lead's moves from one pipeline status to another, newest first.

    :raises NotFound: the lead does not exist.
    """

    def read(at: Reader) -> list[Move]:
        require_lead(at, lead_id)
        return cast("list[Move]", at.rows(MOVES, lead_id=lead_id))

    return ctx.db.read(read)


def require_lead(at: Reader, lead_id: int) -> None:
    """Raise NotFound if the lead does not exist."""
    if at.row(EXISTS, lead_id=lead_id) is None:
        raise NotFound("Lead not found")
