"""End the sessions that timed out, and delete rows that the collector no longer needs."""

from __future__ import annotations

from typing import Final

from ..database import IN_LIST, Transaction, in_list_batches
from ..values.calendar import DAY_MS, HOUR_MS
from .visits import TIMEOUT_MS, time_prefix

MAX_ROWS: Final = 500  # maximum number of rows of a table in one transaction
EVENTS_MS: Final = 2 * DAY_MS  # an event that is sent again within this time is recognized

# A session id begins with the time at which the session started, so old sessions are found by their ids. Without this
# condition, the statement would need an index of `last_at`. Each event would have to update such an index.
SELECT_ENDED: Final = """
select session_id
from collector_sessions
where session_id < :session_id and last_at < :before
order by session_id
limit :rows
"""

END_SESSIONS: Final = f"""
update sessions set
  ended_at = visits.last_at,
  duration = visits.last_at - sessions.started_at
from collector_sessions as visits
where visits.session_id = sessions.session_id
  and visits.open_views > 0
  and sessions.session_id in ({IN_LIST})
"""

DELETE_VISITS: Final = f"""
delete from collector_sessions
where session_id in ({IN_LIST})
"""

DELETE_EVENTS: Final = """
delete from collector_events
where event_id in (
  select event_id
  from collector_events
  where received_at < :before
  order by received_at
  limit :rows)
"""

DELETE_LEADS: Final = """
delete from collector_leads
where received_at < :before
"""


def tidy(at: Transaction, now: int) -> bool:
    """End at most MAX_ROWS sessions, and delete old rows. Return whether more sessions or rows may be left."""
    before = now - TIMEOUT_MS
    rows = at.rows(SELECT_ENDED, session_id=time_prefix(before), before=before, rows=MAX_ROWS)
    ended = [row["session_id"] for row in rows]
    for ids in in_list_batches(ended):
        at.execute(END_SESSIONS, **ids)
        at.execute(DELETE_VISITS, **ids)
    at.execute(DELETE_LEADS, before=now - HOUR_MS)
    return MAX_ROWS in (len(ended), at.execute(DELETE_EVENTS, before=now - EVENTS_MS, rows=MAX_ROWS))
