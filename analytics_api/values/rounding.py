"""Compute averages in integer arithmetic, so that the results from SQLite and PostgreSQL are equal."""

from __future__ import annotations


def mean(total: int, count: int, per: int = 1, parts: int = 10) -> float:
    """Return `total / count / per`, or 0 if count is 0.

    The result is rounded to a multiple of `1 / parts`, and halves are rounded away from zero.
    """
    if not count:
        return 0.0
    count *= per
    rounded = (2 * abs(total) * parts + count) // (2 * count)
    return (rounded if total >= 0 else -rounded) / parts
