"""Every comparison equals a count in Python, after random writes in a random time zone."""

import os
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from helpers.plain_comparison import earlier_range
from helpers.plain_statistics import Plain, date_of
from helpers.random_rows import DAY_MS, MIDDLE, MOMENTS, TIMES, WRITE, ZONES, empty, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.context import Context
from analytics_api.endpoints import overview

EXAMPLES = int(os.environ.get("RANGE_EXAMPLES", "40"))  # `make faults` runs more

ENGINES = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@ENGINES
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    page_query=st.sampled_from(["keep", "drop"]),
    writes=st.lists(WRITE, max_size=30),
    later=st.sampled_from([0, 365 * DAY_MS, 366 * DAY_MS]),
    moment=MOMENTS,
    ends=st.tuples(st.integers(-45, 45), st.integers(-45, 45)) | st.tuples(st.integers(-20, 0), st.integers(0, 3)),
    compare=st.sampled_from(["previous", "year"]),
)
def test_every_comparison_is_exact(database, zone, page_query, writes, later, moment, ends, compare):
    empty(database, zone, page_query)
    rows, raw_since = write(database, writes, zone)
    clock = ZoneInfo(zone)
    for table, column in TIMES.items():
        for row in rows[table]:
            row["date"] = date_of(row[column], clock)
    now = MIDDLE[zone] + later + moment
    first, last = (date_of(now, clock) + timedelta(days=end) for end in sorted(ends))
    earlier = earlier_range(first, last, compare, now, clock, raw_since)
    plain = Plain(rows["sessions"], rows["events"], page_query)
    shown, previous = plain.within(first, last), earlier.of(plain)
    ctx = Context(db=database, storage=None, now=now)
    days = {"from_": first, "to": last, "compare": compare}

    assert overview.overview(ctx, **days) == {
        **shown.overview(),
        "previous": {**previous.overview(), **earlier.describe()},
    }
