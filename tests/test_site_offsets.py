from bisect import bisect_right
from datetime import datetime, timezone
from operator import attrgetter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_api.errors import SettingError
from analytics_api.maintenance.site import load_zone, zone_offsets
from analytics_api.values.calendar import Offset

HOUR = 3_600_000


def instant(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "hours"),
    [("UTC", 0), ("Asia/Kolkata", 5.5), ("Asia/Kathmandu", 5.75), ("Etc/GMT+12", -12)],
    ids=["utc", "kolkata", "kathmandu since 1986", "west"],
)
def test_zone_without_changes_ends_in_one_row(zone, hours):
    offsets = zone_offsets(load_zone(zone))

    assert offsets[0].begins_at == 0
    assert offsets[-1][1:] == (hours * HOUR, hours * HOUR)
    assert len(offsets) <= 2


def test_clock_set_back_over_midnight_keeps_its_day():
    offsets = zone_offsets(load_zone("Antarctica/Casey"))

    place = [offset.begins_at for offset in offsets].index(instant("2010-03-05T02:00+11:00"))
    assert offsets[place : place + 2] == [
        Offset(instant("2010-03-04T23:00+08:00"), 11 * HOUR, 8 * HOUR),
        Offset(instant("2010-03-05T00:00+08:00"), 8 * HOUR, 8 * HOUR),
    ]


def test_rule_lasts_until_the_end_of_year_9999():
    offsets = zone_offsets(load_zone("Europe/Berlin"))

    assert len(offsets) < 16_200
    assert offsets[-2:] == [
        Offset(instant("9999-03-28T03:00+02:00"), 2 * HOUR, 2 * HOUR),
        Offset(instant("9999-10-31T02:00+01:00"), HOUR, HOUR),
    ]


@pytest.fixture(scope="module")
def computed():
    zones = ("America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Gaza")
    return {name: zone_offsets(ZoneInfo(name)) for name in zones}


@given(st.integers(10**11, 253_402_300_799_999 - 2 * 86_400_000), st.data())
def test_offsets_equal_zoneinfo(computed, now, data):
    name = data.draw(st.sampled_from(sorted(computed)))

    last = computed[name][bisect_right(computed[name], now, key=attrgetter("begins_at")) - 1]

    moment = datetime.fromtimestamp(now // 1000, timezone.utc).astimezone(ZoneInfo(name))
    assert last.utc_offset == moment.utcoffset().total_seconds() * 1000


@pytest.mark.parametrize("name", ["Asia/Calcuta", "", "../Kolkata", "/etc/passwd", "Asia", "a\0b", "UTC+1"])
def test_load_zone_rejects_other_names(name):
    with pytest.raises(SettingError, match="--time-zone must be a name of the IANA database"):
        load_zone(name)
