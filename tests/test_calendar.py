from datetime import date, datetime

import pytest

from analytics_api.maintenance.site import load_zone, zone_offsets
from analytics_api.values.calendar import (
    DayRange,
    day_begins_at,
    day_of,
    hours,
    interval_count,
    intervals,
    local_time,
    spans,
    to_date,
    to_day,
)

DAYS = {
    "utc": ("UTC", ["2026-02-22T00:00+00:00", "2026-02-23T00:00+00:00"]),
    "half hour": ("Asia/Kolkata", ["2026-02-22T00:00+05:30", "2026-02-23T00:00+05:30"]),
    "quarter of an hour": ("Asia/Kathmandu", ["2026-02-22T00:00+05:45", "2026-02-23T00:00+05:45"]),
    "day of 23 hours": ("Europe/Berlin", ["2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"]),
    "day of 25 hours": ("Europe/Berlin", ["2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"]),
    "day of 23.5 hours": ("Australia/Lord_Howe", ["2026-10-04T00:00+10:30", "2026-10-05T00:00+11:00"]),
    "day of 24.5 hours": ("Australia/Lord_Howe", ["2026-04-05T00:00+11:00", "2026-04-06T00:00+10:30"]),
    "no midnight": (
        "America/Sao_Paulo",
        ["2018-11-03T00:00-03:00", "2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"],
    ),
    "set back at midnight": (
        "America/Sao_Paulo",
        ["2018-02-17T00:00-02:00", "2018-02-18T00:00-03:00", "2018-02-19T00:00-03:00"],
    ),
    "set back over midnight by an hour": (
        "America/St_Johns",
        ["2010-11-06T00:00-02:30", "2010-11-07T00:00-02:30", "2010-11-08T00:00-03:30"],
    ),
    "set back over midnight by two hours": (
        "America/St_Johns",
        ["1988-10-29T00:00-01:30", "1988-10-30T00:00-01:30", "1988-10-31T00:00-03:30"],
    ),
    "set back over midnight by three hours": (
        "Antarctica/Casey",
        ["2010-03-04T00:00+11:00", "2010-03-05T00:00+11:00", "2010-03-06T00:00+08:00"],
    ),
    "skipped day": (
        "Pacific/Apia",
        ["2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00", "2012-01-01T00:00+14:00"],
    ),
    "skipped day in the middle of a month": (
        "Pacific/Kwajalein",
        ["1993-08-20T00:00-12:00", "1993-08-22T00:00+12:00", "1993-08-23T00:00+12:00"],
    ),
    "change by law": ("Asia/Pyongyang", ["2018-05-04T00:00+08:30", "2018-05-05T00:00+09:00"]),
    "change by law at a month's end": (
        "Asia/Almaty",
        ["2024-02-29T00:00+06:00", "2024-03-01T00:00+05:00"],
    ),
    "daylight saving given up": ("Europe/Istanbul", ["2016-11-06T00:00+03:00", "2016-11-07T00:00+03:00"]),
    "rule of the far future": ("America/New_York", ["9998-11-01T00:00-04:00", "9998-11-02T00:00-05:00"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def offsets_of():
    """Return a function that computes the offsets of a time zone, and caches them for the module."""
    computed = {}

    def offsets_of(zone):
        if zone not in computed:
            computed[zone] = zone_offsets(load_zone(zone))
        return computed[zone]

    return offsets_of


def instant(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(("zone", "begins"), DAYS.values(), ids=DAYS)
def test_days_begin_at_the_first_instant_of_their_date(offsets_of, zone, begins):
    offsets = offsets_of(zone)

    for text in begins:
        day = to_day(date.fromisoformat(text[:10]))
        assert day_begins_at(day, offsets) == instant(text)
        assert day_of(instant(text), offsets) == day
        assert day_of(instant(text) - 1, offsets) < day


@pytest.mark.parametrize(("zone", "begins"), DAYS.values(), ids=DAYS)
def test_every_minute_belongs_to_one_day(offsets_of, zone, begins):
    offsets = offsets_of(zone)

    days = [day_of(now, offsets) for now in range(instant(begins[0]), instant(begins[-1]), 60_000)]

    assert days == sorted(days)
    for day in set(days):
        minutes = (day_begins_at(day + 1, offsets) - day_begins_at(day, offsets)) // 60_000
        assert days.count(day) == minutes


@pytest.mark.parametrize(
    ("zone", "skipped"),
    [("Pacific/Apia", "2011-12-30"), ("Pacific/Kwajalein", "1993-08-21")],
    ids=["apia", "kwajalein"],
)
def test_skipped_day_has_no_instants(offsets_of, zone, skipped):
    day = to_day(date.fromisoformat(skipped))

    assert day_begins_at(day, offsets_of(zone)) == day_begins_at(day + 1, offsets_of(zone))


def test_clock_set_back_over_midnight_keeps_the_new_day(offsets_of):
    offsets = offsets_of("America/St_Johns")
    again = instant("2010-11-06T23:01-03:30")  # the clock is set back by an hour at 00:01 on November 7

    assert to_date(day_of(again - 1, offsets)) == date(2010, 11, 7)
    assert to_date(day_of(again, offsets)) == date(2010, 11, 7)
    assert to_date(day_of(again + 59 * 60_000, offsets)) == date(2010, 11, 7)


HOURS = {
    "utc": ("UTC", "2026-02-22", ["2026-02-22T00:00+00:00", "2026-02-22T01:00+00:00", "2026-02-22T02:00+00:00"]),
    "half hour": ("Asia/Kolkata", "2026-02-22", ["2026-02-22T00:00+05:30", "2026-02-22T01:00+05:30"]),
    "spring": (
        "Europe/Berlin",
        "2026-03-29",
        ["2026-03-29T00:00+01:00", "2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"],
    ),
    "autumn": (
        "Europe/Berlin",
        "2026-10-25",
        [f"2026-10-25T{hour}" for hour in ("00:00+02:00", "01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00")],
    ),
    "autumn by half an hour": (
        "Australia/Lord_Howe",
        "2026-04-05",
        [f"2026-04-05T{hour}" for hour in ("00:00+11:00", "01:00+11:00", "01:30+10:30", "02:00+10:30")],
    ),
    "spring by half an hour": (
        "Australia/Lord_Howe",
        "2026-10-04",
        [f"2026-10-04T{hour}" for hour in ("00:00+10:30", "01:00+10:30", "02:30+11:00", "03:00+11:00")],
    ),
    "set back over midnight": (
        "America/St_Johns",
        "2010-11-07",
        ["2010-11-07T00:00-02:30", "2010-11-06T23:01-03:30", "2010-11-07T00:00-03:30", "2010-11-07T01:00-03:30"],
    ),
    "no midnight": ("America/Sao_Paulo", "2018-11-04", ["2018-11-04T01:00-02:00", "2018-11-04T02:00-02:00"]),
}


@pytest.mark.parametrize(("zone", "day", "expected"), HOURS.values(), ids=HOURS)
def test_hours_begin_at_clock_changes(offsets_of, zone, day, expected):
    offsets = offsets_of(zone)
    number = to_day(date.fromisoformat(day))
    begins_at, ends_at = day_begins_at(number, offsets), day_begins_at(number + 1, offsets)

    rows = [(begin, span.utc_offset) for span in spans(begins_at, ends_at, offsets) for begin in hours(span)]
    begins = [begin for begin, _ in rows]

    assert begins[: len(expected)] == [instant(text) for text in expected]
    assert [local_time(*row) for row in rows[: len(expected)]] == expected


@pytest.mark.parametrize(
    ("zone", "day", "count"),
    [
        ("UTC", "2026-02-22", 24),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Australia/Lord_Howe", "2026-04-05", 25),
        ("Australia/Lord_Howe", "2026-10-04", 24),
        ("America/St_Johns", "2010-11-07", 26),
        ("Pacific/Apia", "2011-12-30", 0),
    ],
    ids=["utc", "spring", "autumn", "half autumn", "half spring", "st johns", "skipped"],
)
def test_hours_of_a_day_are_as_many_as_the_clock_shows(offsets_of, zone, day, count):
    offsets = offsets_of(zone)
    number = to_day(date.fromisoformat(day))

    parts = spans(day_begins_at(number, offsets), day_begins_at(number + 1, offsets), offsets)

    assert sum(len(list(hours(span))) for span in parts) == count


@pytest.mark.parametrize(
    ("interval", "first", "last", "expected"),
    [
        ("day", "2026-02-28", "2026-03-02", ["2026-02-28", "2026-03-01", "2026-03-02"]),
        ("week", "2026-02-22", "2026-03-02", ["2026-02-16", "2026-02-23", "2026-03-02"]),
        ("week", "2026-02-23", "2026-03-01", ["2026-02-23"]),
        ("week", "1970-01-01", "1970-01-05", ["1969-12-29", "1970-01-05"]),
        ("month", "2025-12-31", "2026-03-01", ["2025-12-01", "2026-01-01", "2026-02-01", "2026-03-01"]),
        ("month", "2024-02-29", "2024-02-29", ["2024-02-01"]),
        ("month", "9999-11-30", "9999-12-31", ["9999-11-01", "9999-12-01"]),
        ("month", "0001-01-31", "0001-02-01", ["0001-01-01", "0001-02-01"]),
        ("day", "2026-03-02", "2026-03-01", []),
    ],
    ids=["days", "weeks", "one week", "week before 1970", "months", "leap day", "last month", "first month", "empty"],
)
def test_intervals_overlap_the_range(interval, first, last, expected):
    begin, end = (to_day(date.fromisoformat(text)) for text in (first, last))

    firsts = list(intervals(begin, end, interval))

    assert [to_date(day).isoformat() for day in firsts] == expected
    assert interval_count(begin, end, interval) == len(expected)


def test_day_range_is_written_as_in_the_header():
    first, last = to_day(date(2026, 2, 1)), to_day(date(2026, 3, 2))

    texts = [str(DayRange(*ends)) for ends in [(first, last), (first, None), (None, last)]]

    assert texts == ["2026-02-01/2026-03-02", "2026-02-01/..", "../2026-03-02"]


def test_days_and_dates_are_inverse():
    assert (to_day(date(1970, 1, 1)), to_day(date(9999, 12, 31))) == (0, 2_932_896)
    assert to_date(2_932_896) == date(9999, 12, 31)
