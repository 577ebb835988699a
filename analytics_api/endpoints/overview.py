"""The whole data set in one row."""

from __future__ import annotations

from typing import TypedDict

from ..context import Context
from ..rounding import mean


class Overview(TypedDict):
    total_sessions: int
    total_events: int
    unique_visitors: int
    unique_fingerprints: int
    avg_engagement_score: float
    avg_session_duration_s: int
    vpn_suspected_count: int


TOTALS = """
select *
from rollup_totals
"""


def overview(ctx: Context) -> Overview:
    """Counts over everything, and two averages over the sessions that have a value; 0 when none has.

    `avg_engagement_score` to one decimal, `avg_session_duration_s` in whole seconds.
    """
    totals = ctx.db.rows(TOTALS)[0]
    return {
        "total_sessions": totals["sessions"],
        "total_events": totals["events"],
        "unique_visitors": totals["unique_visitors"],
        "unique_fingerprints": totals["unique_fingerprints"],
        "avg_engagement_score": mean(totals["score_sum"], totals["score_count"]),
        "avg_session_duration_s": int(mean(totals["duration_sum"], totals["duration_count"], per=1000, parts=1)),
        "vpn_suspected_count": totals["vpn_suspected"],
    }
