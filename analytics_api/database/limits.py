"""The time budget of the statements that a thread runs."""

from __future__ import annotations

import threading

_local = threading.local()


class statement_limit:  # in a quarter of the time of contextlib.contextmanager
    """Give each statement that this thread runs in the block at most so many seconds.

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
    """Return the limit of this thread in seconds; None outside of a `statement_limit` block."""
    return getattr(_local, "seconds", None)


def timeout_text(seconds: float | None) -> str:
    """Return the message of a StatementTimeout."""
    return f"a statement took longer than its time budget of {seconds or 0:g} s"
