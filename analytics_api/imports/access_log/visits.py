"""Visits: requests of one visitor without a longer pause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .parser import Request


class Entry(NamedTuple):
    """Where a visit began. Entries compare by the first two: a page view is before others, then the earlier one."""

    is_not_page: bool
    instant: int
    page: str | None
    referrer: str | None
    domain: str | None


class Exit(NamedTuple):
    """Where a visit ended. Exits compare by the first two: a page view is after others, then the later one."""

    is_page: bool
    instant: int
    page: str | None


class SessionSpan(NamedTuple):
    """A row of sessions that belongs to a visit."""

    session_id: str
    started_at: int
    ended_at: int


@dataclass(slots=True)
class Visit:
    """Requests without a longer pause, of a log, and with `spans` those of sessions that the database has."""

    started_at: int
    ended_at: int
    events: int
    entry: Entry
    exit: Exit
    requests: list[Request] = field(default_factory=list)
    spans: list[SessionSpan] = field(default_factory=list)

    def join(self, other: Visit) -> Visit:
        """Return both visits as one."""
        first, second = (self, other) if self.started_at <= other.started_at else (other, self)
        return Visit(
            first.started_at,
            max(first.ended_at, second.ended_at),
            first.events + second.events,
            min(first.entry, second.entry, key=lambda entry: entry[:2]),  # the first one's when both are as early
            max(second.exit, first.exit, key=lambda exit: exit[:2]),
            first.requests + second.requests,
            first.spans + second.spans,
        )


def split_visits(
    requests: list[Request],
    pause: int,
    referrer_of: Callable[[bytes | None, bytes | None], tuple[str | None, str | None]],
) -> Iterator[Visit]:
    """Yield the visits of one visitor in the order of time.

    :param requests: sorted by instant.
    :param pause: milliseconds without a request that end a visit.
    """
    begin = 0
    for end in range(1, len(requests) + 1):
        if end == len(requests) or requests[end].instant - requests[end - 1].instant > pause:
            yield _visit_of(requests[begin:end], referrer_of)
            begin = end


def _visit_of(
    requests: list[Request], referrer_of: Callable[[bytes | None, bytes | None], tuple[str | None, str | None]]
) -> Visit:
    pages = [request for request in requests if request.event_type == "page_view"]
    first, last = (pages[0], pages[-1]) if pages else (requests[0], requests[-1])
    referrer, domain = referrer_of(first.host, first.referrer)
    return Visit(
        requests[0].instant,
        requests[-1].instant,
        len(requests),
        Entry(not pages, first.instant, first.url if pages else None, referrer, domain),
        Exit(bool(pages), last.instant, last.url if pages else None),
        requests,
    )
