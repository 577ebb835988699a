"""The feed of leads that were inserted, moved or deleted."""

from __future__ import annotations

from typing import TypedDict, cast

from ...context import Context
from ...database import Reader
from ...errors import Gone, InvalidRequest
from ...values.statuses import Status


class LeadChange(TypedDict):
    lead_id: int
    status: Status | None


class Changes(TypedDict):
    cursor: str
    changes: list[LeadChange]


def changes(ctx: Context, *, since: str | None = None) -> Changes:
    """Return the leads that were inserted, moved or deleted after a position, each once with its current status.

    The `status` of a deleted lead is null. `cursor` is the current position, to pass as `since` in the next request. If
    nothing changed, `cursor` is the same as `since`. Without `since`, no changes are returned. At least the last 10,000
    changes are available. For an older position, the response is 410.

    :param since: `cursor` of the board, or of an earlier response.
    :raises InvalidRequest: `since` is not a cursor.
    :raises Gone: some changes after `since` are no longer available.
    """

    def read(at: Reader) -> Changes:
        if since is None:
            return {"cursor": at.change_cursor(), "changes": []}
        try:
            leads = at.changed_leads(since)
        except ValueError:
            raise InvalidRequest("since must be the cursor of the board, or of an earlier response") from None
        if leads is None:
            raise Gone("The changes since this cursor are not available any more; load the board again")
        return {"cursor": at.change_cursor() if leads else since, "changes": cast("list[LeadChange]", leads)}

    return ctx.db.read(read)
