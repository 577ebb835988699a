"""Averages, rounded alike whatever the engine: exactly, halves away from zero."""

from __future__ import annotations


def mean(total: int, count: int, per: int = 1, parts: int = 10) -> float:
    """`total / count / per` in whole parts, tenths unless said; 0 when nothing was counted."""
    if not count:
        return 0.0
    count *= per
    rounded = (2 * abs(total) * parts + count) // (2 * count)
    return (rounded if total >= 0 else -rounded) / parts
