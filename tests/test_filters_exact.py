"""Every filter, suffix and combination equals a count in Python, after random writes in a random time zone."""

import os
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from helpers.plain_filters import PlainFilters
from helpers.plain_statistics import date_of
from helpers.random_rows import MIDDLE, TIMES, WRITE, ZONES, empty, labels, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.context import Context
from analytics_api.endpoints import engagement, geo, overview, pages, sessions, sources
from analytics_api.endpoints.dashboard import dashboard
from analytics_api.errors import InvalidRequest

EXAMPLES = int(os.environ.get("FILTER_EXAMPLES", "40"))  # `make faults` runs more

PAGES = ["/a", "/a?b", "/a#c", "/b", "?", "/b?x#y", "/%", "/none"]
PARTS = ["/", "/a", "/a?", "B", "%", "_", "#C", "x"]
VALUES = {
    "country": ["DE", "IN", "XX", "de", "FR"],
    "source": ["a.example", "b.example", "(direct)", "ann@a.example"],
    "source.prefix": ["a", "b.", "(", "A"],
    "source.contains": [".EXAMPLE", "a", "%", "(Direct"],
    "engagement": ["0-19", "20-39", "80-100"],
    "event_type": ["page_view", "click", "none"],
    "visitor": ["new", "returning"],
    "lead": ["true", "false"],
    **dict.fromkeys(("entry_page", "exit_page", "page"), PAGES),
    **{
        f"{field}.{suffix}": PARTS for field in ("entry_page", "exit_page", "page") for suffix in ("prefix", "contains")
    },
}
VALUES |= {f"{name}.not": values for name, values in VALUES.items() if "." not in name}
FILTERS = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda name: st.tuples(st.just(name), st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3))
    ),
    min_size=1,
    max_size=3,
).map(dict)
LEAD = st.fixed_dictionaries(
    {
        "session_id": st.sampled_from([None, "s1", "s2", "none"]),
        "visitor_id": st.sampled_from([None, "ann", "none"]),
    }
)


def write_leads(database, leads):
    rows = [(f"2026-02-0{number + 1} 00:00:00", *lead.values()) for number, lead in enumerate(leads)]

    def work(at):
        at.execute("delete from leads")
        at.insert("leads", ["enquiry_datetime", "session_id", "visitor_id"], rows)

    database.write(work)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    page_query=st.sampled_from(["keep", "drop"]),
    writes=st.lists(WRITE, max_size=30),
    leads=st.lists(LEAD, max_size=3),
    ends=st.tuples(st.integers(-45, 45), st.integers(-45, 45)),
    filters=FILTERS,
)
def test_every_filtered_statistic_is_exact(database, zone, page_query, writes, leads, ends, filters):
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
    expected = plain(rows, leads, clock, page_query).matching(filters).within(from_, to)

    assert overview.overview(ctx, **days) == expected.overview()
    assert geo.geo(ctx, **days) == expected.geo()
    assert sources.sources(ctx, **days) == expected.sources()
    assert engagement.engagement(ctx, **days) == expected.engagement()
    assert pages.top(ctx, 100, **days) == expected.top()
    assert pages.entry(ctx, 100, **days) == expected.session_pages("entry_page")
    assert pages.exit_(ctx, 100, **days) == expected.session_pages("exit_page")
    for interval, label in labels(clock).items():
        assert sessions.daily(ctx, **days, interval=interval) == expected.daily(label), interval
        page = dashboard(ctx, **days, interval=interval, limit=100)
        assert without_views(page["series"]) == expected.daily(label)
        assert page["overview"]["page_views"] == sum(row["views"] for row in expected.top())
        assert page["pages"] == expected.top()
        assert page["range"]["filters"] == {name: list(dict.fromkeys(values)) for name, values in filters.items()}


def plain(rows, leads, clock, page_query):
    """Return PlainFilters of the rows that were not purged."""
    for table, column in TIMES.items():
        for row in rows[table]:
            row["date"] = date_of(row[column], clock)
    sessions, events = ([row for row in rows[table] if "is_archived" not in row] for table in ("sessions", "events"))
    purged = [row for row in rows["sessions"] if "is_archived" in row]
    return PlainFilters(sessions, events, leads, purged, page_query)


def without_views(rows):
    return [{name: value for name, value in row.items() if name != "page_views"} for row in rows]
