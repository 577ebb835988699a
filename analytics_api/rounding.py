"""Averages, rounded alike whatever the engine: exactly, halves away from zero."""

from __future__ import annotations


def mean(total: int, count: int, *, per: int = 1, places: int = 1) -> float:
    """`total / count / per` to so many decimal places; 0 when nothing was counted."""
    if not count:
        return 0.0
    halves = count * per
    scale = int(10**places)
    units = (2 * abs(total) * scale + halves) // (2 * halves)
    return (units if total >= 0 else -units) / scale
