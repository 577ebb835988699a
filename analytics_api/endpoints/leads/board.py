"""The board: the leads of each stage of the pipeline."""

from __future__ import annotations

import json
from typing import Any, Final, TypedDict, cast

from ...context import Context
from ...database import Reader
from ...errors import NotFound
from ...http.parameters import check_limit
from ...statistics.session_filters import Filters
from ...values.statuses import STATUSES, Status
from .filtered_search import FilteredSearch, find_filtered_page
from .filters import FilterValues, list_conditions, parse
from .listing import find_leads
from .orders import BOARD_ORDER, decode_cursor, encode_cursor, resolve_order
from .search import Lead, Page


class Card(Lead):
    etag: str
    stage_since: int | None


class BoardStage(TypedDict):
    status: Status
    total: int
    leads: list[Card]
    next: str | None


class Board(TypedDict):
    stages: list[BoardStage]
    cursor: str


# `lead_ids` is a JSON array.
CARD_STATES: Final = """
select lead_id, stage_since, (
    select max(change_id)
    from lead_status_changes as moves
    where moves.lead_id = leads.lead_id) as move_id
from leads
where lead_id in (select cast(value as bigint) from json_each(cast(:lead_ids as text)))
"""


def board(
    ctx: Context,
    *,
    limit: int,
    q: str | None = None,
    status: str | None = None,
    sort: str | None = None,
    filters: Filters | None = None,
) -> Board:
    """Return the first leads and the number of leads of each stage, and a position in the feed of changes.

    Everything is read from one database snapshot. With the filter `status`, only the stages that it lists are returned.
    `stage_since` is the time at which a lead entered its stage, in milliseconds since the epoch, or null if it is
    unknown. Without `sort`, the leads of a stage are sorted by descending `stage_since`, with nulls last, then by
    descending lead_id. The `etag` of a lead changes when the lead moves, and only then. `next` is the cursor for the
    next leads of a stage, or null. `cursor` is the position to pass to `/changes` as `since`.

    :param limit: number of leads of each stage.
    :param filters: as in the list.
    :raises InvalidRequest: a filter is invalid.
    """
    check_limit(limit)
    values = parse(filters, status)
    chosen = [stage for stage in STATUSES if stage in values.get("status", STATUSES)]

    def read_board(at: Reader) -> Board:
        stages = _read_stages(at, chosen, q, values, sort or BOARD_ORDER, limit)
        cards = to_cards(at, [lead for stage in stages for lead in stage["leads"]])
        for stage in stages:
            stage["leads"] = [cards[lead["lead_id"]] for lead in stage["leads"]]
        return {"stages": stages, "cursor": at.change_cursor()}

    return ctx.db.read(read_board)


def board_stage(
    ctx: Context,
    status: str,
    *,
    limit: int,
    q: str | None = None,
    sort: str | None = None,
    cursor: str | None = None,
    filters: Filters | None = None,
) -> BoardStage:
    """Return the leads of one stage of the board. With a `cursor`, return the leads after its position.

    :param cursor: `next` of the previous page. A cursor is valid for one `sort`.
    :raises NotFound: there is no such stage.
    :raises InvalidRequest: the cursor belongs to another `sort`, or a filter is invalid.
    """
    check_limit(limit)
    stage = find_status(status)
    order = resolve_order(sort, cursor, BOARD_ORDER)
    values = parse(filters)

    def read_stage(at: Reader) -> BoardStage:
        page = _read_stage(at, stage, q, values, order, limit, cursor)
        cards = to_cards(at, page["leads"])
        return {**page, "leads": [cards[lead["lead_id"]] for lead in page["leads"]]}

    return ctx.db.read(read_stage)


def find_status(text: str) -> Status:
    """Return the stage with this name. Case and surrounding spaces are ignored.

    :raises NotFound: there is no such stage.
    """
    for status in STATUSES:
        if status == text.strip().lower():
            return status
    raise NotFound(f"status must be one of {', '.join(STATUSES)}")


def _read_stages(
    at: Reader, stages: list[Status], q: str | None, values: FilterValues, sort: str, limit: int
) -> list[BoardStage]:
    filters = {name: value for name, value in values.items() if name != "status"}
    conditions = list_conditions(at, q, filters)
    if not conditions:
        return [_read_stage(at, stage, q, values, sort, limit) for stage in stages]
    params = {"limit": limit + 1, "offset": 0}
    searches = FilteredSearch(at, conditions, sort, params).by_status()
    pages = {stage: find_filtered_page(searches[stage]) if stage in searches else Page([], 0) for stage in stages}
    return [_to_stage(at, stage, page, sort, limit) for stage, page in pages.items()]


def _read_stage(
    at: Reader, stage: Status, q: str | None, values: FilterValues, sort: str, limit: int, cursor: str | None = None
) -> BoardStage:
    params: dict[str, Any] = {"limit": limit + 1, "offset": 0}  # one more row shows whether a page follows
    if cursor:
        params |= decode_cursor(at, cursor)
    if stage not in values.get("status", STATUSES):
        return {"status": stage, "total": 0, "leads": [], "next": None}
    page = find_leads(at, q, {**values, "status": (stage,)}, sort, params)
    return _to_stage(at, stage, page, sort, limit)


def _to_stage(at: Reader, stage: Status, page: Page, sort: str, limit: int) -> BoardStage:
    rows, total = page
    following = encode_cursor(at, sort, rows[limit - 1]) if len(rows) > limit else None
    return {"status": stage, "total": total, "leads": cast("list[Card]", rows[:limit]), "next": following}


def to_cards(at: Reader, leads: list[Any]) -> dict[int, Card]:
    """Return a mapping of each lead_id to the lead with its `etag` and `stage_since`."""
    cards: dict[int, Any] = {lead["lead_id"]: lead for lead in leads}
    for row in at.rows(CARD_STATES, lead_ids=json.dumps(list(cards))):
        lead = cards[row["lead_id"]]
        etag = f'"{lead["status"]}.{row["move_id"] or 0}"'
        cards[row["lead_id"]] = {**lead, "etag": etag, "stage_since": row["stage_since"]}
    return cards
