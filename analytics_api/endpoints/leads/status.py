"""The pipeline status of a lead, with its history."""

from __future__ import annotations

from typing import Literal, TypedDict

from ...context import Context
from ...database import Transaction
from ...errors import NotFound
from .listing import STATUSES


class Updated(TypedDict):
    updated: Literal[True]


STATUS = """
select status
from leads
where lead_id = :lead_id
"""

UPDATE_STATUS = """
update leads
set status = :status
where lead_id = :lead_id
"""

INSERT_STATUS_CHANGE = """
insert into lead_status_changes (lead_id, old_status, new_status, changed_at, changed_by)
values (:lead_id, :old_status, :new_status, :changed_at, :changed_by)
"""


def update_status(ctx: Context, lead_id: int, status: str) -> Updated:
    """Set the pipeline status of the lead, and record the change and who made it in the history.

    `status` may have blanks around it and any case. Nothing is written if the lead has this status already.
    Raises NotFound if there is no such lead or status.
    """
    new_status = status.strip().lower()
    if new_status not in STATUSES:
        raise NotFound(f"status must be one of {', '.join(STATUSES)}")

    def update(at: Transaction) -> None:
        lead = at.row(STATUS, lead_id=lead_id)
        if lead is None:
            raise NotFound("Lead not found")
        if lead["status"] == new_status:
            return
        at.execute(UPDATE_STATUS, lead_id=lead_id, status=new_status)
        at.execute(
            INSERT_STATUS_CHANGE,
            lead_id=lead_id,
            old_status=lead["status"],
            new_status=new_status,
            changed_at=ctx.now,
            changed_by=ctx.actor,
        )

    ctx.db.write(update)
    return {"updated": True}
