"""Count the leads of a range by a key, such as the country, of the session to which each lead is attributed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from ...statistics.matching import ALL_EVENTS, Matching
from ...values.calendar import DAY_MS, interval_first
from ...values.timestamps import FIRST_TIMESTAMP
from .counts import ALL, NONE, UNKNOWN, LeadCounts, Request

# The day of the enquiry in the site's time zone. Before 1970, the first offset applies. A division rounds negative
# numbers up, so a million days are added before the division and subtracted after it.
ENQUIRY_DAY: Final = f"""(a.enquired_at + coalesce(
    (select day_offset from site_offsets where begins_at <= a.enquired_at order by begins_at desc limit 1),
    (select day_offset from site_offsets order by begins_at limit 1)) + {DAY_MS * 1_000_000}) / {DAY_MS} - 1000000"""
CROSS_JOIN: Final = "\ncross join "
YEAR_1: Final = FIRST_TIMESTAMP + DAY_MS


def read_leads(
    request: Request, since: int | None, before: int | None, matching: Matching | None
) -> dict[Any, LeadCounts]:
    """Return the leads of each key. For days, weeks and months, the key is the first day of the interval."""
    params: dict[str, Any] = {
        **(matching.conditions.values | ALL_EVENTS if matching else {}),
        **({} if since is None else {"since": since}),
        **({} if before is None else {"before": before}),
    }
    groups: dict[Any, LeadCounts] = defaultdict(LeadCounts)
    for key, *counts in request.db.tuples(leads_statement(request, params.keys(), matching), **params):
        known = UNKNOWN if key is None else key
        groups[interval_first(key, request.interval) if request.interval else known].add(*counts)
    return dict(groups)


def leads_statement(request: Request, params: Collection[str], matching: Matching | None) -> str:
    tables = ["lead_attributions as a"]
    conditions = []
    if request.interval:
        conditions.append(f"a.enquired_at >= {YEAR_1}")
    if "since" in params:
        conditions.append("a.enquired_at >= :since")
    if "before" in params:
        conditions.append("a.enquired_at < :before")
    if request.by == "project":
        tables.append("leads as l")
        conditions.append("l.lead_id = a.lead_id")
    if matching:
        tables.append("facts_of_sessions as s")
        conditions += _conditions_of_session(request, matching)
    where = "\nwhere " + "\n  and ".join(conditions) if conditions else ""
    return f"""
select {_key_of_lead(request, matching)} as key, count(*) as leads,
  count(case when a.status = 'won' then 1 end) as won, count(case when a.status = 'lost' then 1 end) as lost,
  group_concat(case when a.enquired_at >= a.first_started_at then a.enquired_at - a.first_started_at end) as to_lead,
  group_concat(case when a.status = 'won' then (
      select max(changed_at)
      from lead_status_changes as c
      where c.lead_id = a.lead_id and c.new_status = 'won') - a.enquired_at end) as to_won
from {CROSS_JOIN.join(tables)}{where}
group by 1
"""


def _conditions_of_session(request: Request, matching: Matching) -> list[str]:
    """Return the conditions that a session `s` matches, and that the lead `a` is attributed to this session."""
    session_id = f"a.{request.attribution}_session_id"
    # With `likelihood`, SQLite expects few leads. If there were no leads when somebody ran ANALYZE, SQLite would expect
    # many leads, and read all sessions into a Bloom filter.
    is_known = f"likelihood({session_id} is not null, 0.000001)"
    return [f"s.session_id = {session_id}", matching.conditions.to_sql(of_few=True), is_known]


def _key_of_lead(request: Request, matching: Matching | None) -> str:
    if request.interval:
        return ENQUIRY_DAY
    if request.by == "total":
        return f"'{ALL}'"
    if request.by == "project":
        return f"coalesce(nullif(l.project_name, ''), '{NONE}')"
    column = f"a.{request.attribution}_{request.by}"
    if request.by == "entry_page":
        return f"coalesce(case {column} when '' then '{NONE}' else {column} end, '{UNKNOWN}')"
    # Without filters, SQLite reads all leads in the order of an index that has all columns. With filters, it is faster
    # to read only the leads of the range. SQLite does so if the key is an expression, because no index has its order.
    return f"coalesce({column}, null)" if matching else column
