"""The time budget of the statements that a thread runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_local = threading.local()


@contextmanager
def statement_limit(seconds: float) -> Iterator[None]:
    """Give each statement that this thread runs in the block at most so many seconds.

    The database ends a longer one, and StatementTimeout is raised. Work in bulk and snapshots have no such limit.
    """
    former = current_limit()
    _local.seconds = seconds
    try:
        yield
    finally:
        _local.seconds = former


def current_limit() -> float | None:
    """Return the limit of this thread in seconds; None outside of a `statement_limit` block."""
    return getattr(_local, "seconds", None)


def timeout_text(seconds: float | None) -> str:
    """Return the message of a StatementTimeout."""
    return f"a statement took longer than its time budget of {seconds or 0:g} s"
