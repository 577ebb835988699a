"""Add the counts of campaigns to the archive of a version that did not count campaigns.

The campaign of an archived session is in the query string of its entry page.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

HAS_CAMPAIGNS = """
select count(*)
from archived_session_counts
where dimension = 8
"""

ENTRY_PAGES = """
select day, key, sessions
from archived_session_counts
where dimension = 4
"""

SESSIONS = """
select day, sessions
from archived_session_counts
where dimension = 0
"""

INSERT = """
insert into archived_session_counts (dimension, day, key, sessions)
values (8, :day, :key, :sessions)
"""

NONE = "(none)"


class _Statements(Protocol):
    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]: ...
    def execute(self, sql: str, /, **params: Any) -> int: ...


def find_campaign(entry_page: str) -> str:
    """Return the first utm_campaign in the query string of a page, as the triggers do."""
    query = entry_page.partition("#")[0].partition("?")[2]
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if name == "utm_campaign":
            return value or NONE
    return NONE


def archive_campaigns(statements: _Statements) -> None:
    """Add the counts of campaigns to the archive, unless it has some.

    Sessions whose entry page is unknown are counted as sessions without a campaign.
    """
    if statements.tuples(HAS_CAMPAIGNS)[0][0]:
        return
    counts: Counter[tuple[int, str]] = Counter()
    for day, page, sessions in statements.tuples(ENTRY_PAGES):
        counts[day, find_campaign(page)] += sessions
        counts[day, NONE] -= sessions
    for day, sessions in statements.tuples(SESSIONS):
        counts[day, NONE] += sessions
    for (day, campaign), sessions in sorted(counts.items()):
        if sessions > 0:
            statements.execute(INSERT, day=day, key=campaign, sessions=sessions)
