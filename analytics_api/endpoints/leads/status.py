"""Update the pipeline status of a lead, and record its history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict, cast

from ...context import Context
from ...database import Transaction
from ...errors import NotFound
from ...http.representations import etag_of
from .detail import Detail, read_detail
from .statuses import STATUSES


class Updated(TypedDict):
    updated: Literal[True]


class UpdatedLead(dict[str, bool]):
    """An Updated payload with the lead's state after the update, for the header `ETag`."""

    def __init__(self, lead: Detail) -> None:
        super().__init__(updated=True)
        self.lead = lead


UPDATE_STATUS = """
update leads
set status = :status
where lead_id = :lead_id
"""


def update_status(
    ctx: Context, lead_id: int, status: str, check: Callable[[Detail], object] = lambda lead: None
) -> Updated:
    """Set the pipeline status of the lead, and record the change and the key's name in the history.

    Case and surrounding spaces of `status` are ignored. Nothing is written if the lead already has this status. If
    `If-Match` does not list the current `ETag` of the lead detail, the response is 412 and nothing is written. The
    response has the new `ETag` of the lead detail.

    :param check: takes the lead before the change; it raises PreconditionFailed to reject the change.
    :raises NotFound: the lead or the status does not exist.
    """
    new_status = status.strip().lower()
    if new_status not in STATUSES:
        raise NotFound(f"status must be one of {', '.join(STATUSES)}")

    def update(at: Transaction) -> UpdatedLead:
        before = read_detail(at, lead_id)
        check(before)
        if before["lead"]["status"] == new_status:
            return UpdatedLead(before)
        with at.moving(ctx.actor, ctx.now):  # a trigger writes the history
            at.execute(UPDATE_STATUS, lead_id=lead_id, status=new_status)
        return UpdatedLead(read_detail(at, lead_id))

    return cast(Updated, ctx.db.write(update))


def lead_etag(ctx: Context, payload: object) -> str | None:
    """Return the entity tag of the lead after an update, for the header `ETag`."""
    return etag_of(payload.lead) if isinstance(payload, UpdatedLead) else None
