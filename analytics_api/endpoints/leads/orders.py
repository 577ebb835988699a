"""The sort orders of leads, and cursors. A cursor is a string for a position in a sort order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from ...database import Reader, Row
from ...errors import InvalidRequest
from ...http.parameters import MAX_INT64

MIN_INT64: Final = -MAX_INT64 - 1
# Maximum number of characters of a sort key in a cursor. So a cursor and a search term, percent-encoded, fit into a
# header of 8190 bytes.
MAX_KEY_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Order:
    """A sort order by one column, with nulls last. Ties are sorted by lead_id, so pages never overlap."""

    column: str
    direction: Literal["asc", "desc"]
    type: type[int] | type[str]
    nullable: bool

    @property
    def order_by(self) -> str:
        nulls = " nulls last" if self.nullable else ""
        return f"{self.column} {self.direction}{nulls}, lead_id {self.direction}"

    @property
    def after(self) -> dict[str, str]:
        """The conditions of the leads after the position (`:key`, `:lead_id`). Each condition can use an index."""
        beyond = "<" if self.direction == "desc" else ">"
        parts = {
            "ties": f"{self.column} = :key and lead_id {beyond} :lead_id",
            "others": f"{self.column} {beyond} :key",
        }
        if self.nullable:
            parts["nulls"] = f"{self.column} is null and lead_id {beyond} :null_lead_id"
        return parts


ORDERS: Final = {
    "newest": Order("enquiry_datetime", "desc", str, nullable=False),
    "oldest": Order("enquiry_datetime", "asc", str, nullable=False),
    "last_follow_up": Order("last_follow_up_at", "desc", str, nullable=True),
    "score_desc": Order("engagement_score", "desc", int, nullable=True),
    "score_asc": Order("engagement_score", "asc", int, nullable=True),
    "risk_desc": Order("suspicion_score", "desc", int, nullable=False),
    "risk_asc": Order("suspicion_score", "asc", int, nullable=False),
    "name_asc": Order("name_folded", "asc", str, nullable=True),
    "stage": Order("stage_since", "desc", int, nullable=True),
}
DEFAULT_ORDER: Final = "newest"
BOARD_ORDER: Final = "stage"  # only for a single status, because the index of this order begins with the status
LIST_ORDERS: Final = tuple(sort for sort in ORDERS if sort != BOARD_ORDER)

# A cursor consists of the order, and the id and the sort key of the last lead on the page, such as
# `newest:28:2026-02-10 11:00:00`. A null sort key is omitted. A sort key that is too long or contains NUL is truncated,
# and the id is followed by `~`: `name_asc:28~:aaa`.
_TEXT_KEY: Final = rf"~?:[^\u0000]{{0,{MAX_KEY_LENGTH}}}"
_NUMBER_KEY: Final = ":-?[0-9]{1,19}"


def _cursor_pattern(sorts: Iterable[str]) -> str:
    """Return the regular expression of cursors of these orders."""
    return "|".join(
        f"({'|'.join(sort for sort in sorts if ORDERS[sort].type is type_)}):-?[0-9]{{1,19}}({key})?"
        for type_, key in ((str, _TEXT_KEY), (int, _NUMBER_KEY))
    )


CURSOR_PATTERN: Final = _cursor_pattern(LIST_ORDERS)
BOARD_CURSOR_PATTERN: Final = _cursor_pattern(tuple(ORDERS))

# The statement that reads a lead's sort key, for each column of an order.
SORT_KEYS: Final = {
    column: f"""
select {column} as key
from leads
where lead_id = :lead_id
"""
    for column in dict.fromkeys(order.column for order in ORDERS.values())
}


def encode_cursor(at: Reader, sort: str, lead: Row) -> str:
    """Return the cursor for the position after a lead."""
    column, lead_id = ORDERS[sort].column, lead["lead_id"]
    key = lead[column] if column in lead else _sort_key(at, column, lead_id)
    if key is None:
        return f"{sort}:{lead_id}"
    if isinstance(key, str):
        cut = key.partition("\0")[0][:MAX_KEY_LENGTH]
        if cut != key:
            return f"{sort}:{lead_id}~:{cut}"
    return f"{sort}:{lead_id}:{key}"


def resolve_order(sort: str | None, cursor: str | None, default: str) -> str:
    """Return the sort order of a request: the order of the cursor if there is one, otherwise `sort` or `default`.

    :raises InvalidRequest: `sort` is not the order of the cursor.
    """
    order = cursor.partition(":")[0] if cursor else sort or default
    if sort not in (None, order):
        raise InvalidRequest(f"cursor belongs to sort={order}; send the same sort, or omit it")
    return order


def decode_cursor(at: Reader, cursor: str) -> dict[str, Any]:
    """Return a cursor's position as the parameters of `Order.after`.

    If the sort key in the cursor is truncated, the complete key is read from the lead. If the lead was deleted or has
    another key now, the position is before all keys that begin with the truncated key. Some leads may then be listed
    again, but none is missed.
    """
    sort, lead, *rest = cursor.split(":", 2)
    order, lead_id = ORDERS[sort], _clamp(int(lead.rstrip("~")))
    null_lead_id = MIN_INT64 if order.direction == "asc" else MAX_INT64
    if not rest:
        return {"key": None, "lead_id": lead_id, "null_lead_id": lead_id}
    key: str | int = _clamp(int(rest[0])) if order.type is int else rest[0]
    if lead.endswith("~"):
        key, lead_id = _restore(at, order, lead_id, rest[0])
    return {"key": key, "lead_id": lead_id, "null_lead_id": null_lead_id}


def _restore(at: Reader, order: Order, lead_id: int, cut: str) -> tuple[str, int]:
    """Return the sort key and the lead id of a position whose sort key was truncated to `cut`. See decode_cursor()."""
    key = _sort_key(at, order.column, lead_id)
    if isinstance(key, str) and key.startswith(cut):
        return key, lead_id
    if order.direction == "asc":
        return cut, MIN_INT64
    return cut + "\U0010ffff", MAX_INT64


def _sort_key(at: Reader, column: str, lead_id: int) -> Any:
    lead = at.row(SORT_KEYS[column], lead_id=lead_id)
    return lead and lead["key"]


def _clamp(number: int) -> int:
    return min(max(number, MIN_INT64), MAX_INT64)
