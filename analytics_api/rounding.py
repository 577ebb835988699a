"""Averages in integer arithmetic, so that SQLite and PostgreSQL give the same result."""

from __future__ import annotations


def mean(total: int, count: int, per: int = 1, parts: int = 10) -> float:
    """Return `total / count / per`, rounded half away from zero to a multiple of `1 / parts`; 0 if count is 0."""
    if not count:
        return 0.0
    count *= per
    rounded = (2 * abs(total) * parts + count) // (2 * count)
    return (rounded if total >= 0 else -rounded) / parts
