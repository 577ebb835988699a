"""Group the events of a visitor into sessions. This module uses no database.

An event belongs to the visitor's last session if it arrives at most TIMEOUT_MS after the last event of that session. A
session ends when all its page views have ended, or TIMEOUT_MS after its last event. In both cases `ended_at` is the
time of the last event. A later page view within TIMEOUT_MS continues the session, and sets `ended_at` back to null.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from ..values.calendar import MINUTE_MS

TIMEOUT_MS: Final = 30 * MINUTE_MS

# The engagement score is the sum of four parts. A line has the maximum points of a part, and the smallest value for
# which a session gets these points.
TIME_POINTS, FULL_TIME_MS = 40, 180_000
SCROLL_POINTS, FULL_SCROLL = 20, 100
PAGE_POINTS, FULL_PAGES = 20, 4  # pages after the first
EVENT_POINTS, FULL_EVENTS = 20, 2


@dataclass(slots=True)
class Visit:
    """A session that may still get events.

    Its fields are the columns of `collector_sessions`, and three fields for the current batch.
    """

    visitor_id: str
    session_id: str
    started_at: int
    last_at: int
    open_views: int = 0  # page views without an end
    page_views: int = 0
    other_events: int = 0
    visible_ms: int = 0  # the sum over its page views
    scroll: int = 0  # the maximum over its page views, in percent

    added_events: int = 0  # rows of `events` that the batch adds
    entry_page: str | None = None  # set if the batch has the first page view
    exit_page: str | None = None  # the last page view of the batch

    def is_open(self, now: int) -> bool:
        return abs(now - self.last_at) <= TIMEOUT_MS  # the clock may have been ahead at the last event

    def touch(self, now: int) -> None:
        self.last_at = max(self.last_at, now)

    def add_view(self, page: str, now: int) -> None:
        self.touch(now)
        if not self.page_views:
            self.entry_page = page
        self.exit_page = page
        self.page_views += 1
        self.open_views += 1
        self.added_events += 1

    def add_event(self, now: int) -> None:
        """Count an event that is not a page view."""
        self.touch(now)
        self.other_events += 1
        self.added_events += 1

    def end_view(self, view: View, visible_ms: float, scroll: float, now: int) -> None:
        """Record the end of a page view. A view may end several times, and the largest values are used.

        :param visible_ms: limited to the time since the page view was received.
        """
        self.touch(now)
        if view.visible_ms is None:
            self.open_views -= 1
        before = view.visible_ms or 0
        view.visible_ms = max(before, min(int(visible_ms), now - view.received_at))
        self.visible_ms += view.visible_ms - before
        self.scroll = max(self.scroll, int(scroll))

    def ended_at(self, now: int) -> int | None:
        return self.last_at if not self.open_views or not self.is_open(now) else None

    @property
    def score(self) -> int:
        """Return the engagement score, 0 to 100: the sum of points for time, scroll depth, pages and other events."""
        return (
            TIME_POINTS * min(self.visible_ms, FULL_TIME_MS) // FULL_TIME_MS
            + SCROLL_POINTS * min(self.scroll, FULL_SCROLL) // FULL_SCROLL
            + PAGE_POINTS * min(max(self.page_views - 1, 0), FULL_PAGES) // FULL_PAGES
            + EVENT_POINTS * min(self.other_events, FULL_EVENTS) // FULL_EVENTS
        )


@dataclass(slots=True)
class View:
    """A page view, whose end a later event may report."""

    event_id: str
    session_id: str
    received_at: int
    visible_ms: int | None = None  # None until the view ends


def new_session_id(now: int) -> str:
    """Return a random id that begins with the time. So new rows are added at the end of the index of sessions."""
    return time_prefix(now) + secrets.token_hex(10)


def time_prefix(now: int) -> str:
    """Return a string that is greater than the ids of earlier sessions, and smaller than the ids of later sessions."""
    return f"{now:012x}"
