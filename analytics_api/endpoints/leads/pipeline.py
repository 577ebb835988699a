"""Stays in the stages of the pipeline, and the moves between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, TypedDict

from ...calendar import HOUR_MS, DayRange
from ...context import Context
from ...database import Reader
from ...ranges import Days, resolve_range
from ...rounding import mean
from .filters import day_begin
from .statuses import STATUSES, Status

MoveCount = TypedDict("MoveCount", {"from": Status, "to": Status, "count": int})


class Stage(TypedDict):
    status: Status
    leads: int
    entered: int
    median_hours: float | None
    p90_hours: float | None
    advanced: int
    lost: int
    oldest: int | None
    without_history: int


class Pipeline(TypedDict):
    stages: list[Stage]
    moves: list[MoveCount]


# Texts before and after every date, and before every date but the empty one.
BEFORE_ALL: Final = ""
BEFORE_DATES: Final = "0"
AFTER_DATES: Final = ":"

# `dated` are the leads whose enquiry has a date.
UNMOVED_LEADS = """
select status, count(*) as leads, count(nullif(enquiry_datetime, '')) as dated,
  min(nullif(enquiry_datetime, '')) as first_enquiry
from leads
where enquiry_datetime >= :begin
  and enquiry_datetime < :end
  and lead_id not in (select lead_id from lead_status_changes)
group by status
"""

MOVES_OF_LEADS = """
select lead_id, status, enquiry_datetime, old_status, new_status, changed_at
from lead_status_changes
join leads using (lead_id)
where enquiry_datetime >= :begin and enquiry_datetime < :end
order by lead_id, changed_at, change_id
"""


@dataclass
class Stays:
    """The stays in one stage, and the leads that are in it now.

    :param complete: the durations of the complete stays, in ms.
    :param oldest: the first instant at which a stay of a lead that is in the stage began.
    """

    leads: int = 0
    entered: int = 0
    without_history: int = 0
    complete: list[int] = field(default_factory=list)
    oldest: int | None = None

    def add_current(self, began_at: int | None) -> None:
        """Count a lead that is in the stage now, and when it entered; None if that is not known."""
        self.leads += 1
        if began_at is None:
            self.without_history += 1
        elif self.oldest is None or began_at < self.oldest:
            self.oldest = began_at


def pipeline(ctx: Context, days: Days = None, *, from_: date | None = None, to: date | None = None) -> Pipeline:
    """Return the leads, stays and moves of each stage of the pipeline, for the enquiries of the range.

    A stay begins with a recorded move into the stage; in `new` also with the enquiry, unless the lead's first move
    begins in another stage. It is complete when the next move leaves that stage. `entered` are the stays, and
    `median_hours` and `p90_hours` those of the complete ones. `advanced` are moves to a later stage other than lost,
    `lost` those to lost. `oldest` is the instant at which the stay of the lead that is in the stage for longest began.
    `without_history` are the leads of which it is not known when they entered the stage that they are in.
    """
    range_ = resolve_range(ctx, from_, to, days)
    return ctx.db.read(lambda at: _read_pipeline(at, _bounds(at, range_)))


def _bounds(at: Reader, range_: DayRange | None) -> dict[str, str]:
    """Return the bounds of `enquiry_datetime`. Enquiries without a date belong to no range."""
    if range_ is None:
        return {"begin": BEFORE_ALL, "end": AFTER_DATES}
    return {
        "begin": BEFORE_DATES if range_.first is None else day_begin(at, range_.first),
        "end": AFTER_DATES if range_.last is None else day_begin(at, range_.last + 1),
    }


def _read_pipeline(at: Reader, bounds: dict[str, str]) -> Pipeline:
    stays = {status: Stays() for status in STATUSES}
    moves: Counter[tuple[Status, Status]] = Counter()
    for row in at.rows(UNMOVED_LEADS, **bounds):
        _add_unmoved(stays[row["status"]], **row)
    for _, rows in groupby(at.tuples(MOVES_OF_LEADS, **bounds), key=itemgetter(0)):
        _add_moved(stays, moves, list(rows))
    return {"stages": [_to_stage(status, stays[status], moves) for status in STATUSES], "moves": _sort_moves(moves)}


def _add_unmoved(stay: Stays, status: Status, leads: int, dated: int, first_enquiry: str | None) -> None:
    """Count leads without moves: those in `new` entered with the enquiry."""
    began_at = _to_instant(first_enquiry) if status == "new" and first_enquiry else None
    known = dated if status == "new" else 0
    stay.leads += leads
    stay.entered += known
    stay.without_history += leads - known
    if began_at is not None and (stay.oldest is None or began_at < stay.oldest):
        stay.oldest = began_at


def _add_moved(
    stays: dict[Status, Stays], moves: Counter[tuple[Status, Status]], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Count the moves of one lead, and its stays."""
    _, status, enquiry, first_stage, _, _ = rows[0]
    stage: Status | None = first_stage if first_stage == "new" and enquiry else None
    began_at = _to_instant(enquiry) if stage else None
    if stage:
        stays[stage].entered += 1
    for _, _, _, old, new, changed_at in rows:
        if stage is not None and stage == old and began_at is not None:
            stays[stage].complete.append(changed_at - began_at)
        stage, began_at = None, None
        if old in stays and new in stays:
            moves[old, new] += 1
        if new in stays:
            stage, began_at = new, changed_at
            stays[new].entered += 1
    stays[status].add_current(began_at if stage == status else None)


def _to_stage(status: Status, stay: Stays, moves: Counter[tuple[Status, Status]]) -> Stage:
    later = STATUSES[STATUSES.index(status) + 1 :]
    hours = sorted(stay.complete)
    return {
        "status": status,
        "leads": stay.leads,
        "entered": stay.entered,
        "median_hours": _percentile(hours, 5),
        "p90_hours": _percentile(hours, 9),
        "advanced": sum(moves[status, to] for to in later if to != "lost"),
        "lost": moves[status, "lost"],
        "oldest": stay.oldest,
        "without_history": stay.without_history,
    }


def _percentile(durations: Sequence[int], tenths: int) -> float | None:
    """Return a percentile of sorted durations in hours, linear between neighbours."""
    if not durations:
        return None
    place, rest = divmod((len(durations) - 1) * tenths, 10)
    after = durations[min(place + 1, len(durations) - 1)]
    return mean(durations[place] * (10 - rest) + after * rest, 10, HOUR_MS, parts=100)


def _sort_moves(moves: Counter[tuple[Status, Status]]) -> list[MoveCount]:
    """Return the moves by count, then in the order of the stages."""

    def place(move: tuple[Status, Status]) -> tuple[int, list[int]]:
        return -moves[move], [STATUSES.index(status) for status in move]

    return [{"from": old, "to": new, "count": moves[old, new]} for old, new in sorted(moves, key=place)]


def _to_instant(text: str) -> int | None:
    """Return a date of a lead in ms since the epoch, or None for one of the year 0."""
    try:
        since = datetime.fromisoformat(text).replace(tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    except ValueError:
        return None
    return since // timedelta(milliseconds=1)
