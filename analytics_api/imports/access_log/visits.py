"""Group the requests of a visitor into visits, which become sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .parser import Request


class Entry(NamedTuple):
    """The first page view of a visit, or the first request of a visit without page views.

    If visits are joined, the smaller `(is_not_page, instant)` is the entry.
    """

    is_not_page: bool
    instant: int
    page: str | None
    referrer: str | None
    domain: str | None


class Exit(NamedTuple):
    """The last page view of a visit, or the last request of a visit without page views.

    If visits are joined, the larger `(is_page, instant)` is the exit.
    """

    is_page: bool
    instant: int
    page: str | None


class SessionSpan(NamedTuple):
    """An existing session that belongs to a visit."""

    session_id: str
    started_at: int
    ended_at: int


@dataclass(slots=True)
class Visit:
    """Consecutive requests of a visitor. `spans` are existing sessions that belong to the visit."""

    started_at: int
    ended_at: int
    events: int
    entry: Entry
    exit: Exit
    requests: list[Request] = field(default_factory=list)
    spans: list[SessionSpan] = field(default_factory=list)

    def join(self, other: Visit) -> Visit:
        """Merge two visits into one."""
        first, second = (self, other) if self.started_at <= other.started_at else (other, self)
        return Visit(
            first.started_at,
            max(first.ended_at, second.ended_at),
            first.events + second.events,
            min(first.entry, second.entry, key=lambda entry: entry[:2]),  # with equal keys, the entry of `first`
            max(second.exit, first.exit, key=lambda exit: exit[:2]),
            first.requests + second.requests,
            first.spans + second.spans,
        )


def split_visits(
    requests: list[Request],
    pause: int,
    referrer_of: Callable[[bytes | None, bytes | None], tuple[str | None, str | None]],
) -> Iterator[Visit]:
    """Yield the visits of one visitor in chronological order.

    :param requests: the visitor's requests, sorted by time.
    :param pause: a visit ends after this many milliseconds without a request.
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
