"""Earlier ranges of days, and the instants at which they are cut, also on days on which the clock is set."""

from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from helpers.client import instant
from hypothesis import given
from hypothesis import strategies as st

from analytics_api.values.calendar import DAY_MS, Offset, to_day
from analytics_api.values.compared_days import (
    compared_days,
    corresponding_day,
    first_instant,
    time_of_day,
    year_earlier,
)

HOUR = 3_600_000
BERLIN = (
    Offset(0, HOUR, HOUR),
    Offset(instant("2026-03-29 01:00:00"), 2 * HOUR, 2 * HOUR),
    Offset(instant("2026-10-25 01:00:00"), HOUR, HOUR),
)


def day(text):
    return to_day(date.fromisoformat(text))


@pytest.mark.parametrize(
    ("later", "earlier"), [("2024-02-29", "2023-02-28"), ("2025-02-28", "2024-02-28"), ("2025-01-01", "2024-01-01")]
)
def test_year_earlier_is_the_same_date(later, earlier):
    assert year_earlier(day(later)) == day(earlier)


def test_compared_days_are_just_before_or_a_year_earlier():
    first, last = day("2026-02-23"), day("2026-03-01")

    assert compared_days(first, last, "previous") == (day("2026-02-16"), day("2026-02-22"))
    assert compared_days(first, last, "year") == (day("2025-02-23"), day("2025-03-01"))
    assert corresponding_day(last, first, last, "previous") == day("2026-02-22")
    assert corresponding_day(last, first, last, "year") == day("2025-03-01")


@pytest.mark.parametrize(
    ("date_", "hours", "expected"),
    [
        ("2026-03-28", 2.5, "2026-03-28 01:30:00"),
        ("2026-03-29", 2.5, "2026-03-29 01:00:00"),
        ("2026-03-29", 3.5, "2026-03-29 01:30:00"),
        ("2026-10-25", 2.5, "2026-10-25 00:30:00"),
        ("2026-10-25", 3.0, "2026-10-25 02:00:00"),
        ("2026-10-26", 0.0, "2026-10-25 23:00:00"),
    ],
)
def test_first_instant_of_skipped_and_repeated_times(date_, hours, expected):
    assert first_instant(day(date_), int(hours * HOUR), BERLIN) == instant(expected)


@given(st.integers(day("2026-01-01"), day("2026-12-30")), st.integers(0, DAY_MS // 60_000 - 1))
def test_first_instant_shows_the_time_or_the_first_after_it(day_, minutes):
    instant_ = first_instant(day_, minutes * 60_000, BERLIN)

    def shown(milliseconds):
        moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc).astimezone(ZoneInfo("Europe/Berlin"))
        return (to_day(moment.date()), moment.hour * 60 + moment.minute)

    assert shown(instant_) >= (day_, minutes)
    assert shown(instant_ - 60_000) < (day_, minutes)


def test_time_of_day_is_cut_to_the_minute():
    assert time_of_day(instant("2026-02-24 15:30:59.999"), HOUR) == 16 * HOUR + 30 * 60_000
