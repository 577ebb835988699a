"""Statement timeouts, set per thread."""

from __future__ import annotations

import threading

_local = threading.local()


class StatementLimit:
    """Set the timeout of each statement that this thread runs in the block: `with StatementLimit(5.0): …`.

    The database cancels a statement that takes longer, and StatementTimeout is raised. This timeout does not apply to
    bulk operations and snapshots.

    :param seconds: maximum duration of each statement.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self.former = current_limit()
        _local.seconds = self.seconds

    def __exit__(self, *exception: object) -> None:
        _local.seconds = self.former


def current_limit() -> float | None:
    """Return this thread's statement timeout in seconds, or None outside a `StatementLimit` block."""
    return getattr(_local, "seconds", None)


def timeout_text(seconds: float | None) -> str:
    """Return the message of a StatementTimeout."""
    return f"a statement took longer than its timeout of {seconds or 0:g} s"
