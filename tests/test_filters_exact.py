"""After random writes in a random time zone, statistics with every filter and combination equal a count in Python."""

import os
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from helpers.plain_filters import plain_filters
from helpers.plain_statistics import date_of
from helpers.random_filters import FILTERS, LEAD, write_leads
from helpers.random_rows import MIDDLE, MOMENTS, TIMES, WRITE, ZONES, empty, labels, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.context import Context
from analytics_api.endpoints import engagement, geo, overview, pages, sessions, sources
from analytics_api.endpoints.dashboard import dashboard
from analytics_api.errors import InvalidRequest
from analytics_api.statistics import matching
from analytics_api.statistics.filtered_sessions import (
    read_countries,
    read_keys,
    read_pages,
    read_pages_and_days,
    read_totals,
)
from analytics_api.values.calendar import DayRange, to_day

EXAMPLES = int(os.environ.get("FILTER_EXAMPLES", "12"))  # `make faults` runs more
# On SQLite, a range with more sessions than this number is counted in SQL, and any other range in Python. A limit of -1
# is always exceeded.
MAX_SESSIONS = st.sampled_from([-1, matching.MAX_SESSIONS])


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    page_query=st.sampled_from(["keep", "drop"]),
    writes=st.lists(WRITE, max_size=30),
    leads=st.lists(LEAD, max_size=3),
    ends=st.tuples(st.integers(-45, 45), st.integers(-45, 45)),
    filters=FILTERS,
    interval=st.sampled_from(sessions.INTERVALS),
    max_sessions=MAX_SESSIONS,
)
def test_every_filtered_statistic_is_exact(
    monkeypatch,
    database,
    zone,
    page_query,
    writes,
    leads,
    ends,
    filters,
    interval,
    max_sessions,
):
    monkeypatch.setattr(matching, "MAX_SESSIONS", max_sessions)
    empty(database, zone, page_query)
    rows, raw_since = write(database, writes, zone)
    write_leads(database, leads)
    clock = ZoneInfo(zone)
    middle = date_of(MIDDLE[zone], clock)
    from_, to = sorted(middle + timedelta(days=end) for end in ends)
    ctx = Context(db=database, storage=None, now=MIDDLE[zone])
    days = {"from_": from_, "to": to, "filters": filters}
    if raw_since and from_ < raw_since:
        with pytest.raises(InvalidRequest, match=f"from must be {raw_since} or later with filters"):
            overview.overview(ctx, **days)
        days["from_"] = from_ = raw_since
        days["to"] = to = max(to, raw_since)
    expected = plain_filters(rows, leads, clock, page_query).matching(filters).within(from_, to)

    assert overview.overview(ctx, **days) == expected.overview()
    assert geo.geo(ctx, **days) == expected.geo()
    assert sources.sources(ctx, **days) == expected.sources()
    assert engagement.engagement(ctx, **days) == expected.engagement()
    assert pages.top(ctx, 100, **days) == expected.top()
    assert pages.entry(ctx, 100, **days) == expected.session_pages("entry_page")
    assert pages.exit_(ctx, 100, **days) == expected.session_pages("exit_page")
    for each, label in labels(clock).items():
        assert sessions.daily(ctx, **days, interval=each) == expected.daily(label), each
    page = dashboard(ctx, **days, interval=interval, limit=100)
    assert without_views(page["series"]) == expected.daily(labels(clock)[interval])
    assert page["overview"]["page_views"] == sum(row["views"] for row in expected.top())
    assert page["pages"] == expected.top()
    assert page["overview"] == {**expected.overview(), "page_views": page["overview"]["page_views"]}
    assert page["countries"] == expected.geo()
    assert page["sources"] == expected.sources()
    assert page["engagement"] == expected.engagement()
    assert page["entry_pages"] == expected.session_pages("entry_page")
    assert page["exit_pages"] == expected.session_pages("exit_page")
    assert page["range"]["filters"] == {name: list(dict.fromkeys(values)) for name, values in filters.items()}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    writes=st.lists(WRITE.filter(lambda write: write[0] != "purge"), max_size=30),
    ends=st.tuples(st.integers(-5, 5), st.integers(-5, 5)),
    until=MOMENTS,
    filters=FILTERS,
    max_sessions=MAX_SESSIONS,
)
def test_range_ends_within_a_day(monkeypatch, database, zone, writes, ends, until, filters, max_sessions):
    monkeypatch.setattr(matching, "MAX_SESSIONS", max_sessions)
    empty(database, zone, "keep")
    rows, _ = write(database, writes, zone)
    write_leads(database, [])
    clock = ZoneInfo(zone)
    middle = date_of(MIDDLE[zone], clock)
    first, last = sorted(middle + timedelta(days=end) for end in ends)
    until += MIDDLE[zone]
    expected = plain_filters(rows, [], clock, "keep").matching(filters).within(first, last)
    for table, column in TIMES.items():
        setattr(expected, table, [row for row in getattr(expected, table) if row[column] < until])

    range_ = DayRange(to_day(first), to_day(last))
    chosen = matching.find_matching(database, range_, filters).within(database, range_, until)

    totals = read_totals(database, chosen)
    assert (totals["sessions"], totals["events"]) == (len(expected.sessions), len(expected.events))
    top = [{"page": page, "views": views, "unique_sessions": n} for page, views, n in read_pages(database, chosen, 99)]
    assert top == expected.top()
    assert read_pages(database, chosen, 99, ["/a"]) == [tuple(row.values()) for row in top if row["page"] == "/a"]
    _, days = read_pages_and_days(database, chosen, 0, None)
    assert sum(views for _, views in days) == sum(row["views"] for row in top)
    assert read_countries(database, chosen) == [tuple(row.values()) for row in expected.geo()]
    entries = read_keys(database, chosen, "entry_page", 1, ["/a", "/b"])
    listed = [row for row in expected.session_pages("entry_page") if row["page"] in ("/a", "/b")]
    assert entries == [tuple(row.values()) for row in listed[:1]]


def without_views(rows):
    return [{name: value for name, value in row.items() if name != "page_views"} for row in rows]
