"""The site's settings and calendar, for clients that request ranges of days."""

from __future__ import annotations

from typing import Literal, TypedDict

from ..context import Context
from ..database.secrets_table import DEMO_MARK
from ..statistics.ranges import find_first_day, find_today
from ..values.calendar import iso_date


class Site(TypedDict):
    time_zone: str
    today: str
    page_query: Literal["keep", "drop"]
    first_day: str | None
    raw_since: str | None
    demo: bool
    collect_hosts: list[str]
    machines_today: int


SITE = """
select time_zone, page_query, raw_since, (
    select count(*)
    from secrets
    where name = :demo_mark) as demo, (
    select cast(coalesce(sum(hits), 0) as bigint)
    from collector_machines
    where day = :day) as machines_today
from site
"""


def site(ctx: Context) -> Site:
    """Return the site's time zone, its current day, and whether pages are counted with their query strings.

    `first_day` is the day of the first session, even if that session was purged; null if there are no sessions.
    `raw_since` is the latest day that was passed to `purge --before DAY --keep-totals`, or null. Sessions and events
    before this day were purged, but statistics without filters still count them. A change to a time zone further east
    raises it by a day. `demo` is whether the rows are demo data. `collect_hosts` are the hosts whose pages may send
    visits to this server. There are none if the server does not collect visits. `machines_today` is the number of
    events that crawlers and automated browsers sent today. These events are not counted as visits.
    """
    today = find_today(ctx.db, ctx.now).day
    row = ctx.db.rows(SITE, demo_mark=DEMO_MARK, day=today)[0]
    return {
        "time_zone": row["time_zone"],
        "today": iso_date(today),
        "page_query": row["page_query"],
        "first_day": _date_or_none(find_first_day(ctx.db)),
        "raw_since": _date_or_none(row["raw_since"]),
        "demo": bool(row["demo"]),
        "collect_hosts": list(ctx.collect_hosts),
        "machines_today": row["machines_today"],
    }


def _date_or_none(day: int | None) -> str | None:
    return None if day is None else iso_date(day)
