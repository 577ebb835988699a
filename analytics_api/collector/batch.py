"""Write the events of many requests in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple

from ..database import Transaction
from ..database.value_lists import select_in
from .identity import VISITOR_KEY
from .lead_limit import LOCK as LOCK_LEADS
from .lead_limit import TooManyLeads, add_sender, check_limit
from .leads import Visitor, is_trap, write_lead
from .parse import Event, encode
from .sources import Sources
from .visits import View, Visit, new_session_id

SELECT_EVENTS: Final = """
select event_id, session_id, received_at, is_view, visible_ms
from collector_events
where event_id in (:values)
"""

VISIT: Final = "visitor_id, session_id, started_at, last_at, open_views, page_views, other_events, visible_ms, scroll"
VISIT_COLUMNS: Final = tuple(VISIT.split(", "))
VISIT_ROW: Final = attrgetter(*VISIT_COLUMNS)

SELECT_VISITS: Final = f"""
select {VISIT}
from collector_sessions
where visitor_id in (:values)
"""

SELECT_VISITS_OF_SESSIONS: Final = f"""
select {VISIT}
from collector_sessions
where session_id in (:values)
"""

SESSION_COLUMNS: Final = (
    "session_id",
    "visitor_id",
    "started_at",
    "ended_at",
    "duration",
    "engagement_score",
    "event_count",
    "entry_page",
    "exit_page",
    "country",
    "referrer",
    "referrer_domain",
    "vpn_suspected",
)

CHANGE_COLUMNS: Final = (
    "session_id",
    "ended_at",
    "duration",
    "engagement_score",
    "event_count",
    "entry_page",
    "exit_page",
)

# Columns of SESSION_COLUMNS that are not in CHANGE_COLUMNS are set only when a session is inserted.
UPDATE_SESSIONS: Final = """
update sessions set
  ended_at = changes.ended_at,
  duration = changes.duration,
  engagement_score = changes.engagement_score,
  event_count = sessions.event_count + changes.event_count,
  entry_page = coalesce(sessions.entry_page, changes.entry_page),
  exit_page = coalesce(changes.exit_page, sessions.exit_page)
from changes
where sessions.session_id = changes.session_id
"""

EVENT_COLUMNS: Final = ("session_id", "event_type", "page_url", "occurred_at", "data")

RECEIVED_COLUMNS: Final = ("event_id", "session_id", "received_at", "is_view", "visible_ms")

COUNT_MACHINE: Final = """
insert into collector_machines (day, reason, hits)
values (:day, :reason, :hits)
on conflict (day, reason) do update set hits = collector_machines.hits + excluded.hits
"""


class Arrival(NamedTuple):
    """A valid request. The batch writes its events.

    The last three fields are set before the batch, because the database is needed to compute them.

    :param now: the time of the request in milliseconds since the epoch.
    :param machine: if a program such as a crawler sent the request, how it was recognized; None for a person.
    :param address: the client address.
    :param agent: the user agent.
    :param contact_ip: the client address, or None if it must not be stored.
    :param day: the site's day at the time of the request.
    :param visitors: the visitor id of each event.
    :param sender: the hash of the client address if there is a lead, otherwise "".
    """

    now: int
    machine: str | None
    events: Sequence[Event]
    address: str
    agent: str
    country: str | None
    vpn_suspected: bool
    contact_ip: str | None
    day: int = 0
    visitors: Sequence[str] = ()
    sender: str = ""


class Batch:
    """Write requests in the order of their arrival.

    `write` first reads the current sessions of all visitors. It then applies the events to these sessions in memory,
    and writes the changes with a few statements for each table.
    """

    def __init__(self, at: Transaction, sources: Sources) -> None:
        self.at = at
        self.sources = sources
        # By event id: the View of an event that was received before, or None if the event is not a page view.
        self.received_events: dict[str, View | None] = {}
        self.visits: dict[str, Visit] = {}  # by visitor id
        self.by_session: dict[str, Visit] = {}
        self.new_session_values: dict[str, tuple[Any, ...]] = {}  # by session id: its last four SESSION_COLUMNS
        self.changed_visits: dict[str, Visit] = {}  # by session id
        self.event_rows: list[tuple[Any, ...]] = []
        self.new_received_events: dict[str, tuple[str | None, int, View | None]] = {}  # session id, instant, view
        self.changed_views: dict[str, View] = {}
        self.machines: Counter[tuple[int, str]] = Counter()
        self.is_locked = False  # whether LOCK_LEADS has run in this transaction

    def write(self, arrivals: Sequence[Arrival]) -> dict[int, Exception]:
        """Write the requests. Return an error for each rejected request, by its index."""
        self._load([arrival for arrival in arrivals if arrival.machine is None])
        errors: dict[int, Exception] = {}
        for index, arrival in enumerate(arrivals):
            if arrival.machine is not None:
                self.machines[arrival.day, arrival.machine] += len(arrival.events)
                continue
            try:
                self._check_leads(arrival)
            except TooManyLeads as error:
                errors[index] = error
                continue
            for event, visitor in zip(arrival.events, arrival.visitors):
                if event["id"] not in self.received_events and (event["type"] == "lead" or not event.get("anonymous")):
                    HANDLERS[event["type"]](self, arrival, event, visitor)
        self._save(max(arrival.now for arrival in arrivals))
        return errors

    def _check_leads(self, arrival: Arrival) -> None:
        leads = {event["id"] for event in arrival.events if event["type"] == "lead" and not is_trap(event)}
        if new := leads - self.received_events.keys():
            if not self.is_locked:
                self.at.execute(LOCK_LEADS, name=VISITOR_KEY)
                self.is_locked = True
            check_limit(self.at, arrival.sender, len(new), arrival.now)

    def _load(self, arrivals: Sequence[Arrival]) -> None:
        events = [event for arrival in arrivals for event in arrival.events]
        ids = [event["id"] for event in events] + [event["view"] for event in events if event["type"] == "page_end"]
        visitors = [visitor for arrival in arrivals for visitor in arrival.visitors]
        visits = select_in(self.at, SELECT_VISITS, visitors)
        for row in select_in(self.at, SELECT_EVENTS, ids):
            is_view = row.pop("is_view")
            self.received_events[row["event_id"]] = View(**row) if is_view else None
        sessions = [view.session_id for view in self.received_events.values() if view is not None]
        for row in chain(visits, select_in(self.at, SELECT_VISITS_OF_SESSIONS, sessions)):
            if row["visitor_id"] not in self.visits:
                visit = Visit(**row)
                self.visits[visit.visitor_id] = self.by_session[visit.session_id] = visit

    def add_view(self, arrival: Arrival, event: Event, visitor: str) -> None:
        visit = self._visit(arrival, event, visitor)
        visit.add_view(event["url"], arrival.now)
        self._receive(arrival, event, visit, View(event["id"], visit.session_id, arrival.now))
        self._add_event_row(arrival, event, visit, "page_view", None)

    def add_event(self, arrival: Arrival, event: Event, visitor: str) -> None:
        visit = self._visit(arrival, event, visitor)
        visit.add_event(arrival.now)
        self._receive(arrival, event, visit, None)
        self._add_event_row(arrival, event, visit, event["name"], event.get("data"))

    def add_lead(self, arrival: Arrival, event: Event, visitor: str) -> None:
        if is_trap(event):
            return
        if event.get("anonymous"):
            self.received_events[event["id"]] = None
            self.new_received_events[event["id"]] = None, arrival.now, None
            sender = Visitor(None, None, None, arrival.contact_ip)
        else:
            visit = self._visit(arrival, event, visitor)
            visit.add_event(arrival.now)
            self._receive(arrival, event, visit, None)
            self._add_event_row(arrival, event, visit, "lead", encode({"form": event["form"]}))
            sender = Visitor(visitor, visit.session_id, visit.score, arrival.contact_ip)
        add_sender(self.at, event["id"], arrival.sender, arrival.now)
        write_lead(self.at, event, arrival.now, sender)

    def end_view(self, arrival: Arrival, event: Event, visitor: str) -> None:
        """End a page view. The event is ignored if the session of the page view is not open.

        The session is found by the page view, not by the visitor, because the visitor id changes with the client
        address and the day.
        """
        view = self.received_events.get(event["view"])
        visit = self.by_session.get(view.session_id) if view is not None else None
        if view is None or visit is None or not visit.is_open(arrival.now):
            return
        visit.end_view(view, event["visible"], event["scroll"], arrival.now)
        self.changed_visits[visit.session_id] = visit
        self.changed_views[view.event_id] = view
        self._receive(arrival, event, visit, None)

    def _visit(self, arrival: Arrival, event: Event, visitor: str) -> Visit:
        """Return the visitor's open session, or a new one."""
        visit = self.visits.get(visitor)
        if visit is None or not visit.is_open(arrival.now):
            if visit is not None:
                self.changed_visits[visit.session_id] = visit  # the previous session has ended
            visit = Visit(visitor, new_session_id(arrival.now), arrival.now, arrival.now)
            self.visits[visitor] = self.by_session[visit.session_id] = visit
            referrer, domain = self.sources.find(event)
            self.new_session_values[visit.session_id] = (arrival.country, referrer, domain, int(arrival.vpn_suspected))
        self.changed_visits[visit.session_id] = visit
        return visit

    def _receive(self, arrival: Arrival, event: Event, visit: Visit, view: View | None) -> None:
        self.received_events[event["id"]] = view
        self.new_received_events[event["id"]] = visit.session_id, arrival.now, view

    def _add_event_row(self, arrival: Arrival, event: Event, visit: Visit, event_type: str, data: str | None) -> None:
        self.event_rows.append((visit.session_id, event_type, event["url"], arrival.now, data))

    def _save(self, now: int) -> None:
        """Write the changes. Rows are sorted, so that concurrent transactions lock rows in the same order."""
        visits = [visit for _, visit in sorted(self.changed_visits.items())]
        new_visits = [visit for visit in visits if visit.session_id in self.new_session_values]
        with self.at.together():
            if new_visits:
                self.at.insert("sessions", SESSION_COLUMNS, [self._session(visit, now) for visit in new_visits])
            if len(new_visits) < len(visits):
                changes = [_change(visit, now) for visit in visits if visit.session_id not in self.new_session_values]
                self.at.update("sessions", CHANGE_COLUMNS, changes, UPDATE_SESSIONS)
            if self.event_rows:
                self.at.insert("events", EVENT_COLUMNS, self.event_rows)
            self._save_visits(visits)
            self._save_received()
        for (day, reason), hits in sorted(self.machines.items()):
            self.at.execute(COUNT_MACHINE, day=day, reason=reason, hits=hits)

    def _session(self, visit: Visit, now: int) -> tuple[Any, ...]:
        session_id, ended_at, duration, score, events, entry_page, exit_page = _change(visit, now)
        return (
            *(session_id, visit.visitor_id, visit.started_at, ended_at, duration, score, events, entry_page, exit_page),
            *self.new_session_values[session_id],
        )

    def _save_visits(self, visits: Sequence[Visit]) -> None:
        current = [visit for visit in visits if self.visits[visit.visitor_id] is visit]
        if current:
            rows = sorted(map(VISIT_ROW, current))
            self.at.insert("collector_sessions", VISIT_COLUMNS, rows, on_conflict="update")

    def _save_received(self) -> None:
        received = self.new_received_events | {
            event_id: (view.session_id, view.received_at, view) for event_id, view in self.changed_views.items()
        }
        rows = [
            (event_id, session_id, received_at, int(view is not None), None if view is None else view.visible_ms)
            for event_id, (session_id, received_at, view) in sorted(received.items())
        ]
        if rows:
            self.at.insert("collector_events", RECEIVED_COLUMNS, rows, on_conflict="update")


HANDLERS: Final = {
    "page_view": Batch.add_view,
    "page_end": Batch.end_view,
    "event": Batch.add_event,
    "lead": Batch.add_lead,
}


def _change(visit: Visit, now: int) -> tuple[Any, ...]:
    """Return the values of a session for CHANGE_COLUMNS."""
    ended_at = visit.ended_at(now)
    duration = None if ended_at is None else ended_at - visit.started_at
    return (
        *(visit.session_id, ended_at, duration, visit.score),
        *(visit.added_events, visit.entry_page, visit.exit_page),
    )
