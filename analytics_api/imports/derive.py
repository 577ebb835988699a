"""Compute the values of columns that a file does not have from the columns that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..database import IN_LIST, Reader, Transaction, in_list_batches
from ..values.hosts import host_of_url
from .convert import KEEP, Cell, MappedText
from .event_ids import EventIds
from .report import TableCounts

BOT_PREFIX = "bot-"  # prefix of `session_id` in the events of bots from access logs; these ids have no session
MAX_LISTED_SESSIONS = 200_000  # for more sessions, counting the events of all sessions is faster

COUNT_ALL_EVENTS = """
update sessions
set event_count = counted.events
from (
  select session_id, count(*) as events
  from events
  group by session_id) as counted
where counted.session_id = sessions.session_id and sessions.event_count = 0
"""

# The sessions to update with COUNT_EVENTS. If there are none, the update is skipped: compiling it, and the triggers of
# sessions with it, takes SQLite longer than importing a session.
UNCOUNTED_SESSIONS = f"""
select session_id
from sessions
where session_id in ({IN_LIST}) and event_count = 0 and exists (
  select 1
  from events
  where events.session_id = sessions.session_id)
"""

COUNT_EVENTS = f"""
update sessions
set event_count = (
  select count(*)
  from events
  where events.session_id = sessions.session_id)
where session_id in ({IN_LIST})
"""


COUNT_SESSIONS = f"""
select count(*) as sessions
from sessions
where session_id in ({IN_LIST})
"""


class Derivation:
    """The columns of a table that are derived.

    :param names: the columns that the file has.
    """

    def __init__(self, table: str, names: Sequence[str], counts: TableCounts, event_ids: EventIds) -> None:
        self.columns: list[str] = []
        self._makers: list[Callable[[Sequence[Sequence[Any]]], list[Cell]]] = []
        self.names = names
        self.counts = counts
        self.event_ids = event_ids
        if table == "sessions" and "referrer" in names and "referrer_domain" not in names:
            self._add("referrer_domain", self._referrer_domains)
        if table == "sessions" and {"started_at", "ended_at"} <= set(names) and "duration" not in names:
            self._add("duration", self._durations)
        if table == "events" and "event_id" not in names and {"session_id", "event_type", "occurred_at"} <= set(names):
            self._add("event_id", self._event_ids)

    def extend(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Cell]]:
        """Append the derived values to each row."""
        if not self.columns:
            return rows
        derived = [make(rows) for make in self._makers]
        for column, values in zip(self.columns, derived):
            self.counts.derived[column] += sum(value is not None and value is not KEEP for value in values)
        return [(*row, *values) for row, values in zip(rows, zip(*derived))]

    def _add(self, column: str, make: Callable[[Sequence[Sequence[Any]]], list[Cell]]) -> None:
        self.columns.append(column)
        self._makers.append(make)

    def _referrer_domains(self, rows: Sequence[Sequence[Any]]) -> list[Cell]:
        index = self.names.index("referrer")
        referrers = [row[index] for row in rows]
        domains = [referrer if referrer is KEEP else referrer and host_of_url(referrer) for referrer in referrers]
        self.counts.relative_referrers += sum(
            domain is None and referrer is not None for domain, referrer in zip(domains, referrers)
        )
        return domains

    def _durations(self, rows: Sequence[Sequence[Any]]) -> list[Cell]:
        start, end = self.names.index("started_at"), self.names.index("ended_at")
        return [row[end] if row[end] is None or row[end] is KEEP else max(row[end] - row[start], 0) for row in rows]

    def _event_ids(self, rows: Sequence[Sequence[Any]]) -> list[Cell]:
        """Return the id of each event, computed from its values as they are in the file. Empty values are ignored."""
        indexes = [self.names.index(name) for name in EVENT_COLUMNS if name in self.names]
        instant = self.names.index("occurred_at")
        ids: list[Cell] = []
        for row in rows:
            if row[instant] is KEEP:
                raise ValueError("occurred_at: a value is required")
            values = [row[index] for index in indexes if row[index] not in (None, "", KEEP)]
            content = [value.original if type(value) is MappedText else value for value in values]
            ids.append(self.event_ids.make(row[instant], repr(content).encode(errors="surrogatepass")))
        return ids


EVENT_COLUMNS = ("session_id", "event_type", "page_url", "occurred_at", "data")


class SessionsToCheck:
    """The imported sessions whose `event_count` is missing, and the sessions to which the imported events belong.

    A command that imports several files uses one object for all of them.
    """

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.of_events: set[str] = set()  # at most MAX_LISTED_SESSIONS, plus those of one batch
        self.is_any = False
        self.is_too_many = False  # whether there are more than MAX_LISTED_SESSIONS

    def add_events(self, ids: Iterable[str]) -> None:
        if len(self.of_events) < MAX_LISTED_SESSIONS:
            self.of_events.update(ids)

    def add_uncounted(self, ids: Iterable[str]) -> None:
        self.is_any = True
        if not self.is_too_many:
            self.ids.update(ids)
            self.is_too_many = len(self.ids) > MAX_LISTED_SESSIONS

    def count(self, at: Transaction, *, is_bulk: bool) -> int:
        """Set `event_count` of the sessions, and return the number of sessions that were updated.

        A session whose `event_count` is not 0 is not changed. If there are more than MAX_LISTED_SESSIONS, or in bulk
        mode, all sessions in the database whose `event_count` is 0 are updated.
        """
        if not self.is_any:
            return 0
        if is_bulk or self.is_too_many:
            return at.execute(COUNT_ALL_EVENTS)
        lists = in_list_batches(sorted(self.ids))
        uncounted = [row["session_id"] for listed in lists for row in at.rows(UNCOUNTED_SESSIONS, **listed)]
        return sum(at.execute(COUNT_EVENTS, **listed) for listed in in_list_batches(uncounted))

    def warnings(self, at: Reader) -> list[str]:
        """Return a warning if sessions of the events are not in the database."""
        ids = sorted(id for id in self.of_events if not id.startswith(BOT_PREFIX))
        missing = len(ids) - sum(at.rows(COUNT_SESSIONS, **listed)[0]["sessions"] for listed in in_list_batches(ids))
        if not missing:
            return []
        minimum = "at least " if len(self.of_events) >= MAX_LISTED_SESSIONS else ""
        return [
            f"the events name sessions that are not in the database ({minimum}{missing:,}); "
            "only sessions count as visits, so import them, too"
        ]
