"""Values that a file has no column for, made of those that it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..database import BASE_TABLES, IN_LIST, Transaction, in_list_batches
from .convert import KEEP, Cell
from .event_ids import EventIds
from .hosts import host_of_url
from .report import TableCounts

MAX_LISTED_SESSIONS = 200_000  # of more it is quicker to count all events once, and no memory is needed

COUNT_ALL_EVENTS = """
update sessions
set event_count = counted.events
from (
  select session_id, count(*) as events
  from events
  group by session_id) as counted
where counted.session_id = sessions.session_id and sessions.event_count = 0
"""

COUNT_EVENTS = f"""
update sessions
set event_count = (
  select count(*)
  from events
  where events.session_id = sessions.session_id)
where session_id in ({IN_LIST}) and event_count = 0 and exists (
  select 1
  from events
  where events.session_id = sessions.session_id)
"""


class Derivation:
    """The columns that rows of a table get beside those of the file.

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
        """Return the rows with the derived values behind the others."""
        if not self.columns:
            return rows
        made = [make(rows) for make in self._makers]
        for column, values in zip(self.columns, made):
            self.counts.derived[column] += sum(value is not None and value is not KEEP for value in values)
        return [(*row, *values) for row, values in zip(rows, zip(*made))]

    def _add(self, column: str, make: Callable[[Sequence[Sequence[Any]]], list[Cell]]) -> None:
        self.columns.append(column)
        self._makers.append(make)

    def _referrer_domains(self, rows: Sequence[Sequence[Any]]) -> list[Cell]:
        place = self.names.index("referrer")
        return [KEEP if row[place] is KEEP else row[place] and host_of_url(row[place]) for row in rows]

    def _durations(self, rows: Sequence[Sequence[Any]]) -> list[Cell]:
        start, end = self.names.index("started_at"), self.names.index("ended_at")
        return [row[end] if row[end] is None or row[end] is KEEP else max(row[end] - row[start], 0) for row in rows]

    def _event_ids(self, rows: Sequence[Sequence[Any]]) -> list[Cell]:
        """Return an id for each, made of the values that are not empty, in the order of the table's columns."""
        places = [self.names.index(name) for name in EVENT_COLUMNS if name in self.names]
        instant = self.names.index("occurred_at")
        ids: list[Cell] = []
        for row in rows:
            content = [row[place] for place in places if row[place] not in (None, "", KEEP)]
            ids.append(self.event_ids.make(row[instant], repr(content).encode(errors="surrogatepass")))
        return ids


EVENT_COLUMNS = ("session_id", "event_type", "page_url", "occurred_at", "data")


class EventCounts:
    """Counts the events of imported sessions that came without `event_count`."""

    def __init__(self, at: Transaction, *, is_bulk: bool) -> None:
        self.at = at
        self.is_bulk = is_bulk
        self.sessions: set[str] = set()
        self.is_needed = False

    def add(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Note sessions that are to be counted."""
        self.is_needed = True
        if not self.is_bulk and len(self.sessions) <= MAX_LISTED_SESSIONS:
            place = columns.index(BASE_TABLES["sessions"])
            self.sessions.update(row[place] for row in rows)

    def write(self) -> int:
        """Write the counts; return how many sessions got one."""
        if not self.is_needed:
            return 0
        if self.is_bulk or len(self.sessions) > MAX_LISTED_SESSIONS:
            return self.at.execute(COUNT_ALL_EVENTS)
        return sum(self.at.execute(COUNT_EVENTS, **listed) for listed in in_list_batches(sorted(self.sessions)))
