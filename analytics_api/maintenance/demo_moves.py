"""Generate the moves of demo leads from one status of the pipeline to the next."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from ..values.calendar import DAY_MS

SALES = ("Asha", "Ben", "Chloé")  # the people who move leads
ORDER = ("new", "contacted", "qualified", "proposal", "won")
MAX_GAP = 9 * DAY_MS  # maximum time between two moves of a lead

# The proportion of closed leads that are won, by the source of the visit.
WIN_RATES = {"": 0.5, "google.com": 0.45, "linkedin.com": 0.6, "facebook.com": 0.15, "t.co": 0.1, "others": 0.3}

Row = tuple[Any, ...]


def moves(leads: Iterable[tuple[int, str, str]], now: int, draw: Callable[[], float]) -> Iterator[Row]:
    """Generate rows of lead_status_changes for each lead, from `new` to its status. The moves are before `now`.

    :param leads: lead_id, enquiry_datetime and status of each lead.
    """
    change_id = 0
    for lead_id, enquiry, status in leads:
        path = (*ORDER[: 1 + int(4 * draw())], "lost") if status == "lost" else ORDER[: ORDER.index(status) + 1]
        at = int(datetime.fromisoformat(enquiry).replace(tzinfo=timezone.utc).timestamp()) * 1000
        person = SALES[int(len(SALES) * draw())]
        for old, new in pairwise(path):
            change_id += 1
            at += int(min(MAX_GAP, now - at) * draw() * draw())
            yield change_id, lead_id, old, new, at, person


def close(status: str, domain: str | None, chance: float) -> str:
    """Return `won` or `lost` for a closed lead, depending on the source of its visit. Other leads keep their status.

    :param chance: a random number from 0 to 1.
    """
    if status not in ("won", "lost"):
        return status
    return "won" if chance < WIN_RATES.get(domain or "", WIN_RATES["others"]) else "lost"
