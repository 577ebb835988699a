"""Move leads to another stage of the pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypedDict, cast

from ...context import Context
from ...database import Reader, Transaction
from ...errors import NotFound, PreconditionFailed
from ...http.representations import Check, etag_of
from ...values.statuses import Status
from .board import Card, find_status, to_cards
from .detail import read_detail
from .search import COLUMN_LIST


class Updated(TypedDict):
    updated: Literal[True]


class UpdatedLead(dict[str, bool]):
    """An Updated payload. `etag` is the entity tag of the lead after the update, for the header `ETag`."""

    def __init__(self, etag: str) -> None:
        super().__init__(updated=True)
        self.etag = etag


class _LeadReference(TypedDict):
    lead_id: int


_Expected = TypedDict("_Expected", {"etag": str, "from": str}, total=False)


class LeadReference(_LeadReference, _Expected):
    """A lead to move. If `etag` is present, it must be the lead's current entity tag; `from`, its current status."""


class MovedLead(TypedDict):
    lead_id: int
    etag: str


class LeadState(TypedDict):
    """A lead on the board, for a key without the scope `leads:read`."""

    lead_id: int
    status: Status
    etag: str
    stage_since: int | None


class MovedLeads(TypedDict):
    updated: list[MovedLead]
    unchanged: list[int]
    stale: list[Card | LeadState]
    not_found: list[int]


UPDATE_STATUS: Final = """
update leads
set status = :status
where lead_id = :lead_id
"""

LEADS: Final = f"""
select {COLUMN_LIST}
from leads
where lead_id in (select cast(value as bigint) from json_each(cast(:lead_ids as text)))
order by lead_id
"""


def update_status(ctx: Context, lead_id: int, status: str, check: Check = lambda etags: None) -> Updated:
    """Set the pipeline status of the lead, and record the change and the key's name in the history.

    Case and surrounding spaces of `status` are ignored. Nothing is written if the lead already has this status. If
    `If-Match` lists neither the `etag` of the lead on the board nor the `ETag` of its detail, nothing is written, and
    the response is 412 with the lead as the board shows it. The header `ETag` of the response has the new `etag`. For a
    key without the scope `leads:read`, the lead in a 412 has only `lead_id`, `status`, `etag` and `stage_since`.

    :param check: called with a function that returns the entity tags of the lead. To reject the change, `check` raises
        PreconditionFailed.
    :raises NotFound: the lead or the status does not exist.
    """
    new_status = find_status(status)

    def update(at: Transaction) -> UpdatedLead:
        cards = _read_cards(at, [lead_id])
        if not cards:
            raise NotFound("Lead not found")
        card = cards[lead_id]
        try:
            check(lambda: (card["etag"], etag_of(read_detail(at, lead_id))))
        except PreconditionFailed as error:
            raise PreconditionFailed(str(error), {"lead": _show(ctx, card)}) from None
        if card["status"] != new_status:
            _move(ctx, at, [card], new_status)
            card = _read_cards(at, [lead_id])[lead_id]
        return UpdatedLead(card["etag"])

    return cast(Updated, ctx.db.write(update))


def update_statuses(ctx: Context, leads: Sequence[LeadReference], status: str) -> MovedLeads:
    """Set the pipeline status of several leads in one transaction.

    A lead can be sent with an `etag` and with a status in `from`. It is moved only if these are equal to its current
    `etag` on the board and its current status. Otherwise the lead is in `stale`, as the board shows it now; for a key
    without the scope `leads:read`, it has only `lead_id`, `status`, `etag` and `stage_since`. `unchanged` has the leads
    that already have the status, and `not_found` those that do not exist. If the request has a lead twice, only the
    first one is used. All lists are in the order of the request.

    :param leads: 1 to 500 leads.
    :raises NotFound: the status does not exist.
    """
    new_status = find_status(status)
    expected: dict[int, LeadReference] = {}
    for lead in leads:
        expected.setdefault(lead["lead_id"], lead)

    def update(at: Transaction) -> MovedLeads:
        cards = _read_cards(at, expected)
        current = {lead_id: card for lead_id, card in cards.items() if _is_expected(card, expected[lead_id])}
        moving = [card for card in current.values() if card["status"] != new_status]
        _move(ctx, at, moving, new_status)
        moved = _read_cards(at, [card["lead_id"] for card in moving])
        return {
            "updated": [{"lead_id": id_, "etag": moved[id_]["etag"]} for id_ in expected if id_ in moved],
            "unchanged": [id_ for id_ in expected if id_ in current and id_ not in moved],
            "stale": [_show(ctx, cards[id_]) for id_ in expected if id_ in cards and id_ not in current],
            "not_found": [id_ for id_ in expected if id_ not in cards],
        }

    return ctx.db.write(update)


def lead_etag(ctx: Context, payload: object) -> str | None:
    """Return the entity tag of the lead after an update, for the header `ETag`."""
    return payload.etag if isinstance(payload, UpdatedLead) else None


def _is_expected(card: Card, lead: LeadReference) -> bool:
    return lead.get("etag", card["etag"]) == card["etag"] and lead.get("from", card["status"]) == card["status"]


def _show(ctx: Context, card: Card) -> Card | LeadState:
    if ctx.principal is None or "leads:read" in ctx.principal.scopes:
        return card
    return LeadState(lead_id=card["lead_id"], status=card["status"], etag=card["etag"], stage_since=card["stage_since"])


def _read_cards(at: Reader, lead_ids: Iterable[int]) -> dict[int, Card]:
    return to_cards(at, at.rows(LEADS, lead_ids=json.dumps(list(lead_ids))))


def _move(ctx: Context, at: Transaction, cards: Sequence[Card], status: str) -> None:
    """Set the status of leads that have another status. Triggers write the history."""
    with at.moving(ctx.actor, ctx.now):
        # Concurrent requests update leads in the same order, so they do not deadlock.
        for card in sorted(cards, key=lambda card: card["lead_id"]):
            at.execute(UPDATE_STATUS, lead_id=card["lead_id"], status=status)
