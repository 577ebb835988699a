"""Convert batches of log lines to sessions and events, and merge them with existing sessions."""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter, itemgetter
from typing import Any

from ...database import Transaction
from ...database.secrets_table import add_value
from ..derive import BOT_PREFIX
from ..event_ids import HASH_BITS, id_ranges
from ..purged import read_purged_before
from ..rejects import RejectHandler
from ..report import Report
from .parser import LineParser, Request
from .site import Site
from .visits import Entry, Exit, SessionSpan, Visit, split_visits

# Existing events are looked up by ranges of ids. An id begins with the event's time in seconds, see event_ids.py. A new
# range begins at an id that is more than ten seconds later than the id before it.
MAX_ID_GAP = 10 << HASH_BITS

SALT = "visitor_salt"  # the name of the salt in the table `secrets`

ANY_SESSION = """
select 1 as is_stored
from sessions
limit 1
"""

# These statements use only the primary key, because bulk mode drops all other indexes.
KNOWN_EVENTS = """
select event_id
from events
where event_id between :low and :high
"""

NEAREST_EVENT = """
select min(event_id) as event_id
from events
where event_id between :low and :high
"""

# A session id is the visitor id and the second in which the session began. So a visitor's ids are in the order of
# `started_at`.
LATEST_SESSION = """
select session_id, started_at, coalesce(ended_at, started_at) as ended_at, event_count, entry_page, exit_page,
  referrer, referrer_domain
from sessions
where session_id between :low and :high
order by session_id desc
limit 1
"""

PAGES_VIEWED = """
select min(occurred_at) as first, max(occurred_at) as last
from events
where event_id between :low and :high and session_id = :session_id and event_type = 'page_view'
"""

MOVE_EVENTS = """
update events
set session_id = :new_id
where event_id between :low and :high and session_id = :old_id
"""

DELETE_SESSION = """
delete from sessions
where session_id = :session_id
"""

SESSION_COLUMNS = (
    "session_id",
    "visitor_id",
    "started_at",
    "ended_at",
    "duration",
    "event_count",
    "entry_page",
    "exit_page",
    "referrer",
    "referrer_domain",
)
EVENT_COLUMNS = ("event_id", "session_id", "event_type", "page_url", "occurred_at", "data")
Requests = dict[str, list[Request]]  # by visitor


class LogImporter:
    """Import log lines in batches, and merge them with existing sessions."""

    def __init__(self, at: Transaction, site: Site, hosts: frozenset[str], report: Report) -> None:
        self.at = at
        self.parser = LineParser(site, hosts, read_salt(at))
        self.pause = round(site.timeout * 1000)
        self.report = report
        self.purged_before = read_purged_before(at)
        # If the database had no sessions before the import, this is the latest end of the sessions that the import has
        # written, or -1 before the first; otherwise it is None. A visit that begins more than the timeout after this
        # end cannot join a session, so no lookup is needed. The lookups take 20% of the import of a new log.
        self.last_end: int | None = None if at.row(ANY_SESSION) else -1

    def write(self, lines: list[bytes], first: int, reject: RejectHandler) -> None:
        """Import the new lines of a batch.

        :param first: line number of the first line.
        """
        people, bots = self._parse(lines, first, reject)
        requests = [request for group in (people, bots) for some in group.values() for request in some]
        self.report.tables["events"].read += len(requests)
        self.report.add_event_types(map(attrgetter("event_type"), requests))
        if self.purged_before is not None:
            self._leave_out_purged((people, bots), self.purged_before)
            requests = [request for group in (people, bots) for some in group.values() for request in some]
        known = self._known_ids(sorted(map(attrgetter("event_id"), requests)))
        if known:
            for group in (people, bots):
                for some in group.values():
                    some[:] = [request for request in some if request.event_id not in known]
        rows = [row for visitor, some in bots.items() for row in _event_rows(f"{BOT_PREFIX}{visitor}", some)]
        rows += self._write_sessions(people)
        if rows:
            rows.sort(key=itemgetter(0))
            events = self.report.tables["events"]
            events.written += self.at.insert("events", EVENT_COLUMNS, rows, on_conflict="ignore")

    def _leave_out_purged(self, groups: Iterable[Requests], before: int) -> None:
        """Remove the requests of purged days, which the archive already counts, and report their number."""
        for some in (some for group in groups for some in group.values()):
            size = len(some)
            some[:] = [request for request in some if request.instant >= before]
            self.report.tables["events"].purged += size - len(some)

    def _parse(self, lines: list[bytes], first: int, reject: RejectHandler) -> tuple[Requests, Requests]:
        """Return the requests of people, and those of bots that are counted separately. Both are grouped by visitor."""
        people: Requests = defaultdict(list)
        bots: Requests = defaultdict(list)
        parse = self.parser.parse
        for number, line in enumerate(lines, start=first):
            try:
                visitor, is_separate, request = parse(line)
            except ValueError as error:
                if line.strip():
                    self.report.tables["events"].read += 1
                    reject(number, line, str(error))
                else:
                    self.report.empty_lines += 1
            else:
                (bots if is_separate else people)[visitor].append(request)
        return people, bots

    def _write_sessions(self, people: Requests) -> list[tuple[Any, ...]]:
        """Write the sessions of the requests, and return the rows of their events."""
        counts = self.report.tables["sessions"]
        sessions: list[tuple[Any, ...]] = []
        events: list[tuple[Any, ...]] = []
        # All visits are computed before rows are inserted, so that lookups do not return the new rows.
        visits = [(visitor, visit) for visitor, some in people.items() if some for visit in self._visits(visitor, some)]
        for visitor, visit in visits:
            session_id = f"{visitor}-{visit.started_at // 1000:010x}"
            for span in visit.spans:
                if span.session_id != session_id:
                    self._move(span, session_id)
            counts.written += not visit.spans
            counts.joined += max(len(visit.spans) - 1, 0)
            times = visit.started_at, visit.ended_at, visit.ended_at - visit.started_at
            entry, exit = visit.entry, visit.exit
            sessions.append(
                (session_id, visitor, *times, visit.events, entry.page, exit.page, entry.referrer, entry.domain)
            )
            events += _event_rows(session_id, visit.requests)
        if sessions:
            if self.last_end is not None:
                self.last_end = max(self.last_end, *(visit.ended_at for _, visit in visits))
            sessions.sort(key=itemgetter(0))
            self.at.insert("sessions", SESSION_COLUMNS, sessions, on_conflict="update")
        return events

    def _known_ids(self, ids: list[int]) -> set[int]:
        """Return the ids that exist in the database. `ids` must be sorted."""
        known: set[int] = set()
        end = 0
        while end < len(ids):
            begin, end = end, end + 1
            while end < len(ids) and ids[end] - ids[end - 1] <= MAX_ID_GAP:
                end += 1
            rows = self.at.rows(KNOWN_EVENTS, low=ids[begin], high=ids[end - 1])
            known.update(row["event_id"] for row in rows)
            # Skip to the next existing id. For a new log, this skips many ranges without existing ids.
            if not rows and end < len(ids):
                nearest = self.at.rows(NEAREST_EVENT, low=ids[end], high=ids[-1])[0]["event_id"]
                end = len(ids) if nearest is None else bisect_left(ids, nearest, end)
        return known

    def _visits(self, visitor: str, requests: list[Request]) -> Iterator[Visit]:
        """Yield the visits of a visitor, merged with existing sessions."""
        if len(requests) > 1:
            requests.sort(key=attrgetter("instant"))
        visit: Visit | None = None
        for new in split_visits(requests, self.pause, self.parser.referrer):
            if visit is not None and new.started_at - visit.ended_at > self.pause:
                yield visit
                visit = None
            visit = self._join_sessions(visitor, new if visit is None else visit.join(new))
        if visit is not None:
            yield visit

    def _join_sessions(self, visitor: str, visit: Visit) -> Visit:
        """Merge the visit with the existing sessions of the visitor whose gap to the visit is at most the timeout."""
        if self.last_end is not None and self.last_end < visit.started_at - self.pause:
            return visit
        joined = {span.session_id for span in visit.spans}
        last = visit.ended_at + self.pause
        while last >= 0:
            row = self.at.row(LATEST_SESSION, low=f"{visitor}-", high=f"{visitor}-{last // 1000:010x}")
            if row is None or row["ended_at"] < visit.started_at - self.pause:
                break
            if row["session_id"] not in joined and row["started_at"] <= last:
                visit = self._visit_of_row(row, visit).join(visit)
            last = row["started_at"] // 1000 * 1000 - 1
        return visit

    def _visit_of_row(self, row: dict[str, Any], beside: Visit) -> Visit:
        session_id, started, ended = row["session_id"], row["started_at"], row["ended_at"]
        entered, left = started, ended
        if started < beside.ended_at and beside.started_at < ended:
            # The session and the visit overlap, so the times of page views decide which pages are entry and exit.
            views = [
                row
                for low, high in id_ranges(started, ended)
                for row in self.at.rows(PAGES_VIEWED, low=low, high=high, session_id=session_id)
                if row["first"] is not None
            ]
            if views:
                entered, left = min(row["first"] for row in views), max(row["last"] for row in views)
        return Visit(
            started,
            ended,
            row["event_count"],
            Entry(row["entry_page"] is None, entered, row["entry_page"], row["referrer"], row["referrer_domain"]),
            Exit(row["exit_page"] is not None, left, row["exit_page"]),
            spans=[SessionSpan(session_id, started, ended)],
        )

    def _move(self, span: SessionSpan, session_id: str) -> None:
        """Move the events of a session to another one, and delete the empty session."""
        for low, high in id_ranges(span.started_at, span.ended_at):
            self.at.execute(MOVE_EVENTS, low=low, high=high, old_id=span.session_id, new_id=session_id)
        self.at.execute(DELETE_SESSION, session_id=span.session_id)


def read_salt(at: Transaction) -> bytes:
    """Return the salt for hashing visitors, and create it if it does not exist."""
    return bytes.fromhex(add_value(at, SALT, secrets.token_hex(32)))


def _event_rows(session_id: str, requests: Iterable[Request]) -> Iterator[tuple[Any, ...]]:
    for instant, event_id, event_type, url, data, _, _ in requests:
        yield event_id, session_id, event_type, url, instant, data
