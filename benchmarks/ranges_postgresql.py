"""Measure the statistics of a range of days on PostgreSQL."""

from .ranges import measure_engine


def measure(options):
    return measure_engine("postgresql")
