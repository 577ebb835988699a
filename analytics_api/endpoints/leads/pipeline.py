"""Statistics of the pipeline. A stay is the time that a lead spends in a stage; a move is a change of its stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypedDict

from ...context import Context
from ...database import Reader
from ...http.parameters import MAX_INT64
from ...statistics.periods import find_bounds
from ...statistics.ranges import Days, resolve_range
from ...values.calendar import HOUR_MS
from ...values.rounding import mean
from ...values.statuses import STATUSES, Status
from .orders import MIN_INT64

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


LEADS = """
select status, cast(sum(leads) as bigint) as leads
from status_counts
group by status
"""

LEADS_OF_RANGE = """
select status, count(*) as leads
from lead_attributions
where enquired_at >= :since and enquired_at < :before
group by status
"""


def _stays(where: str) -> str:
    return f"""
select moved_from, status, count(*) as entered, group_concat(duration) as durations, count(open_since) as known,
  min(open_since) as oldest
from lead_stays
{where}
group by status, moved_from
"""


STAYS = _stays("where true")
STAYS_OF_RANGE = _stays("where enquired_at >= :since and enquired_at < :before")


@dataclass
class Stays:
    """The stays in one stage, and the leads that are in this stage now.

    :param leads: the number of leads that are in the stage now.
    :param entered: the number of stays.
    :param durations: the durations of the complete stays, in milliseconds.
    :param with_history: the number of leads that are in the stage now and entered it at a known time.
    :param oldest: the earliest time at which one of these leads entered the stage, in milliseconds since the epoch.
    """

    leads: int = 0
    entered: int = 0
    durations: list[int] = field(default_factory=list)
    with_history: int = 0
    oldest: int | None = None

    def add(self, entered: int, durations: str | None, with_history: int, oldest: int | None) -> None:
        self.entered += entered
        self.durations += json.loads(f"[{durations or ''}]")  # takes half the time of split() and int()
        self.with_history += with_history
        if oldest is not None and (self.oldest is None or oldest < self.oldest):
            self.oldest = oldest


def pipeline(ctx: Context, days: Days = None, *, from_: date | None = None, to: date | None = None) -> Pipeline:
    """Return the leads, stays and moves of each stage of the pipeline. Only leads with an enquiry in the range count.

    A stay in a stage begins with a recorded move into the stage. A stay in `new` can also begin with the enquiry, if
    the first recorded move of the lead leaves `new`, or if the lead is new and has no move. A stay is complete when the
    next move leaves the stage. `entered` is the number of stays. `median_hours` and `p90_hours` are percentiles of the
    durations of complete stays. `advanced` is the number of moves to a later stage except lost, and `lost` the number
    of moves to lost. `oldest` is the time at which the longest current stay began, in milliseconds since the epoch.
    `without_history` is the number of leads that entered their current stage at an unknown time.
    """
    range_ = resolve_range(ctx, from_, to, days)
    return ctx.db.read(lambda at: _read_pipeline(at, *find_bounds(at, range_, None)))


def _read_pipeline(at: Reader, since: int | None, before: int | None) -> Pipeline:
    stays = {status: Stays() for status in STATUSES}
    moves: Counter[tuple[Status, Status]] = Counter()
    if since is None and before is None:
        leads, rows = at.tuples(LEADS), at.tuples(STAYS)
    else:
        bounds = {"since": MIN_INT64 if since is None else since, "before": MAX_INT64 if before is None else before}
        leads, rows = at.tuples(LEADS_OF_RANGE, **bounds), at.tuples(STAYS_OF_RANGE, **bounds)
    for status, count in leads:
        stays[status].leads = count
    for moved_from, status, entered, *rest in rows:
        if status in stays:  # other programs may write unknown statuses
            stays[status].add(entered, *rest)
            if moved_from in stays:
                moves[moved_from, status] = entered
    return {"stages": [_to_stage(status, stays[status], moves) for status in STATUSES], "moves": _sort_moves(moves)}


def _to_stage(status: Status, stay: Stays, moves: Counter[tuple[Status, Status]]) -> Stage:
    later = STATUSES[STATUSES.index(status) + 1 :]
    hours = sorted(stay.durations)
    return {
        "status": status,
        "leads": stay.leads,
        "entered": stay.entered,
        "median_hours": _percentile(hours, 5),
        "p90_hours": _percentile(hours, 9),
        "advanced": sum(moves[status, to] for to in later if to != "lost"),
        "lost": moves[status, "lost"],
        "oldest": stay.oldest,
        "without_history": stay.leads - stay.with_history,
    }


def _percentile(durations: Sequence[int], tenths: int) -> float | None:
    """Return a percentile of sorted durations in hours, with linear interpolation."""
    if not durations:
        return None
    index, rest = divmod((len(durations) - 1) * tenths, 10)
    after = durations[min(index + 1, len(durations) - 1)]
    return mean(durations[index] * (10 - rest) + after * rest, 10, HOUR_MS, parts=100)


def _sort_moves(moves: Counter[tuple[Status, Status]]) -> list[MoveCount]:
    """Return the moves, sorted by descending count, then by the order of the stages."""

    def sort_key(move: tuple[Status, Status]) -> tuple[int, list[int]]:
        return -moves[move], [STATUSES.index(status) for status in move]

    return [{"from": old, "to": new, "count": moves[old, new]} for old, new in sorted(moves, key=sort_key)]
