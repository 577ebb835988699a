"""The time budget of the statements that a thread runs."""

from __future__ import annotations

import threading

_local = threading.local()


class StatementLimit:
    """Give each statement that this thread runs in the block at most so many seconds: `with StatementLimit(5.0): …`.

    The database ends a longer one, and StatementTimeout is raised. Work in bulk and snapshots have no such limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self.former = current_limit()
        _local.seconds = self.seconds

    def __exit__(self, *exception: object) -> None:
        _local.seconds = self.former


def current_limit() -> float | None:
    """Return the limit of this thread in seconds; None outside of a `StatementLimit` block."""
    return getattr(_local, "seconds", None)


def timeout_text(seconds: float | None) -> str:
    """Return the message of a StatementTimeout."""
    return f"a statement took longer than its time budget of {seconds or 0:g} s"
