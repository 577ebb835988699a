"""Group the events of a visitor into sessions. This module uses no database.

A session goes on while its visitor's next event comes within TIMEOUT_MS. It has ended when each of its page views has
an end, or TIMEOUT_MS after its last event; either way `ended_at` is the instant of the last event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TIMEOUT_MS: Final = 30 * 60_000

# The engagement score: the points of each measure, and the value from which on it has them all.
TIME_POINTS, FULL_TIME_MS = 40, 180_000
SCROLL_POINTS, FULL_SCROLL = 20, 100
PAGE_POINTS, FULL_PAGES = 20, 4  # pages after the first
EVENT_POINTS, FULL_EVENTS = 20, 2


@dataclass(slots=True)
class Visit:
    """An open session. Its fields are the columns of `collector_sessions`, and what a batch of events adds."""

    visitor_id: str
    session_id: str
    started_at: int
    last_at: int
    open_views: int = 0  # page views without an end
    page_views: int = 0
    other_events: int = 0
    visible_ms: int = 0  # of all views
    scroll: int = 0  # the largest of its views, in percent

    added_events: int = 0  # rows of this batch
    entry_page: str | None = None  # of this batch
    exit_page: str | None = None  # of this batch

    def is_open(self, now: int) -> bool:
        return now - self.last_at <= TIMEOUT_MS

    def touch(self, now: int) -> None:
        self.last_at = max(self.last_at, now)

    def view(self, page: str, now: int) -> None:
        self.touch(now)
        if not self.page_views:
            self.entry_page = page
        self.exit_page = page
        self.page_views += 1
        self.open_views += 1
        self.added_events += 1

    def act(self, now: int) -> None:
        """Count an event that is not a page view."""
        self.touch(now)
        self.other_events += 1
        self.added_events += 1

    def end_view(self, view: View, visible_ms: float, scroll: float, now: int) -> None:
        """Count the end of a page view. A view may end several times: its time and scroll depth only grow.

        `visible_ms` counts at most the time since the view arrived.
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
        """Return the engagement score from 0 to 100. It grows with each of the four measures."""
        return (
            TIME_POINTS * min(self.visible_ms, FULL_TIME_MS) // FULL_TIME_MS
            + SCROLL_POINTS * min(self.scroll, FULL_SCROLL) // FULL_SCROLL
            + PAGE_POINTS * min(max(self.page_views - 1, 0), FULL_PAGES) // FULL_PAGES
            + EVENT_POINTS * min(self.other_events, FULL_EVENTS) // FULL_EVENTS
        )


@dataclass(slots=True)
class View:
    """A page view that can end."""

    event_id: str
    session_id: str
    received_at: int
    visible_ms: int | None = None  # None while it has no end
