"""After random writes in a random time zone, every comparison equals a count in Python."""

import os
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from helpers.plain_comparison import compared, compared_series, earlier_range, list_labels
from helpers.plain_filters import plain_filters
from helpers.plain_statistics import Plain, date_of
from helpers.random_filters import FILTERS, LEAD, write_leads
from helpers.random_rows import DAY_MS, MIDDLE, MOMENTS, TIMES, WRITE, ZONES, empty, labels, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.context import Context
from analytics_api.endpoints import engagement, geo, overview, pages, sessions, sources
from analytics_api.endpoints.dashboard import dashboard
from analytics_api.errors import InvalidRequest

EXAMPLES = int(os.environ.get("COMPARE_EXAMPLES", "6"))  # `make faults` runs more

ENGINES = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

COMPARISON = {
    "zone": st.sampled_from(sorted(ZONES)),
    "page_query": st.sampled_from(["keep", "drop"]),
    "writes": st.lists(WRITE, max_size=30),
    "later": st.sampled_from([0, 365 * DAY_MS, 366 * DAY_MS]),
    "moment": MOMENTS,
    "ends": st.tuples(st.integers(-45, 45), st.integers(-45, 45)) | st.tuples(st.integers(-20, 0), st.integers(0, 3)),
    "compare": st.sampled_from(["previous", "year"]),
    "interval": st.sampled_from(sessions.INTERVALS),
}


@ENGINES
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(**COMPARISON)
def test_every_comparison_is_exact(database, zone, page_query, writes, later, moment, ends, compare, interval):
    empty(database, zone, page_query)
    rows, raw_since = write(database, writes, zone)
    clock = ZoneInfo(zone)
    for table, column in TIMES.items():
        for row in rows[table]:
            row["date"] = date_of(row[column], clock)
    now = MIDDLE[zone] + later + moment
    first, last = (date_of(now, clock) + timedelta(days=end) for end in sorted(ends))
    plain = Plain(rows["sessions"], rows["events"], page_query)
    earlier = earlier_range(first, last, compare, now, clock, raw_since)
    days = {"from_": first, "to": last, "compare": compare}

    check_everything(Context(database, None, now), days, plain, earlier)
    check_series(Context(database, None, now), days, plain, earlier, interval, clock, raw_since)


@ENGINES
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(**COMPARISON, leads=st.lists(LEAD, max_size=3), filters=FILTERS)
def test_every_filtered_comparison_is_exact(
    database, zone, page_query, writes, later, moment, ends, compare, interval, leads, filters
):
    empty(database, zone, page_query)
    rows, _ = write(database, [write for write in writes if write[0] != "purge"], zone)
    write_leads(database, leads)
    clock = ZoneInfo(zone)
    now = MIDDLE[zone] + later + moment
    first, last = (date_of(now, clock) + timedelta(days=end) for end in sorted(ends))
    plain = plain_filters(rows, leads, clock, page_query).matching(filters)
    earlier = earlier_range(first, last, compare, now, clock)
    days = {"from_": first, "to": last, "compare": compare, "filters": filters}

    check_everything(Context(database, None, now), days, plain, earlier)
    check_series(Context(database, None, now), days, plain, earlier, interval, clock)


def check_everything(ctx, days, plain, earlier):
    shown, previous = plain.within(days["from_"], days["to"]), earlier.of(plain)
    assert overview.overview(ctx, **days) == {
        **shown.overview(),
        "previous": {**previous.overview(), **earlier.describe()},
    }
    assert geo.geo(ctx, **days) == compared(shown.geo(), previous.geo(), "country")
    assert sources.sources(ctx, **days) == compared(shown.sources(), previous.sources(), "referrer_domain")
    assert engagement.engagement(ctx, **days) == compared(shown.engagement(), previous.engagement(), "bucket")
    assert pages.top(ctx, 100, **days) == compared(shown.top(), previous.top(), "page")
    for endpoint, column in ((pages.entry, "entry_page"), (pages.exit_, "exit_page")):
        assert endpoint(ctx, 100, **days) == compared(
            shown.session_pages(column), previous.session_pages(column), "page"
        )


def check_series(ctx, days, plain, earlier, page_interval, clock, raw_since=None):
    """Check the series of every interval, and the dashboard whose series has the interval `page_interval`."""
    first, last = days["from_"], days["to"]
    shown, previous = plain.within(first, last), earlier.of(plain)
    for interval, label in labels(clock).items():
        if interval == "hour" and (last - first).days > 3:
            continue
        if interval == "hour" and raw_since and min(first, earlier.first) < raw_since:
            with pytest.raises(InvalidRequest, match="older sessions were purged"):
                sessions.daily(ctx, **days, interval=interval)
            continue
        labels_shown = list_labels(first, last, None, interval, clock, label)
        earlier_labels = list_labels(earlier.first, earlier.last_counted, earlier.until, interval, clock, label)
        numbers = {text: number for number, text in enumerate(labels_shown)}
        expected = compared_series(shown.daily(label), previous.daily(label), numbers, earlier_labels)

        assert sessions.daily(ctx, **days, interval=interval) == expected, interval
        if interval == page_interval:
            check_page(dashboard(ctx, **days, interval=interval, limit=100), shown, previous, earlier, expected)


def check_page(page, shown, previous, earlier, series):
    views, earlier_views = (sum(row["views"] for row in plain.top()) for plain in (shown, previous))
    assert page["overview"] == {
        **shown.overview(),
        "page_views": views,
        "previous": {**previous.overview(), **earlier.describe(), "page_views": earlier_views},
    }
    rows = [dict(row) for row in page["series"]]
    for row in rows:
        row["previous"] = dict(row["previous"])
    assert sum(row.pop("page_views") for row in rows) <= views
    assert sum(row["previous"].pop("page_views") for row in rows) <= earlier_views
    assert rows == series
    assert page["pages"] == compared(shown.top(), previous.top(), "page")
    assert page["countries"] == compared(shown.geo(), previous.geo(), "country")
    assert page["sources"] == compared(shown.sources(), previous.sources(), "referrer_domain")
    assert page["engagement"] == compared(shown.engagement(), previous.engagement(), "bucket")
    for section in ("entry_page", "exit_page"):
        assert page[f"{section}s"] == compared(shown.session_pages(section), previous.session_pages(section), "page")
