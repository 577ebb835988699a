"""After random writes in a random time zone, every statistic of a random range equals a count in Python."""

import os
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from helpers.plain_statistics import Plain, date_of
from helpers.random_rows import ERASURE, MIDDLE, TIMES, WRITE, ZONES, empty, labels, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.context import Context
from analytics_api.database import SQLite
from analytics_api.endpoints import engagement, geo, overview, pages, sessions, sources
from analytics_api.errors import InvalidRequest
from analytics_api.maintenance.erase import erase

EXAMPLES = int(os.environ.get("RANGE_EXAMPLES", "40"))  # `make faults` runs more

ENGINES = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@ENGINES
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    page_query=st.sampled_from(["keep", "drop"]),
    writes=st.lists(WRITE, max_size=30),
    ends=st.tuples(st.none() | st.integers(-45, 45), st.none() | st.integers(-45, 45)),
)
def test_every_statistic_of_a_range_is_exact(database, zone, page_query, writes, ends):
    empty(database, zone, page_query)
    rows, raw_since = write(database, writes, zone)
    clock = ZoneInfo(zone)
    for table, column in TIMES.items():
        for row in rows[table]:
            row["date"] = date_of(row[column], clock)
    middle = date_of(MIDDLE[zone], clock)
    from_, to = sorted(
        (None if end is None else middle + timedelta(days=end) for end in ends), key=lambda day: day or date.min
    )
    plain = Plain(rows["sessions"], rows["events"], page_query)
    ctx = Context(db=database, storage=None, now=MIDDLE[zone])

    for first, last in ((None, None), (from_, to)):
        expected = plain.within(first, last)
        days = {"from_": first, "to": last}
        assert overview.overview(ctx, **days) == expected.overview()
        assert geo.geo(ctx, **days) == expected.geo()
        assert sources.sources(ctx, **days) == expected.sources()
        assert engagement.engagement(ctx, **days) == expected.engagement()
        assert pages.top(ctx, 100, **days) == expected.top()
        assert pages.entry(ctx, 100, **days) == expected.session_pages("entry_page")
        assert pages.exit_(ctx, 100, **days) == expected.session_pages("exit_page")
    if from_ or to:
        for interval, label in labels(clock).items():
            if interval == "hour" and raw_since and (from_ is None or from_ < raw_since):
                with pytest.raises(InvalidRequest, match="older sessions were purged"):
                    sessions.daily(ctx, from_=from_, to=to, interval=interval)
                continue
            reply = sessions.daily(ctx, from_=from_, to=to, interval=interval)
            assert reply == expected.daily(label), interval
    assert database.verify() == []


@ENGINES
@settings(max_examples=EXAMPLES // 4, suppress_health_check=list(HealthCheck))
@given(writes=st.lists(st.one_of(WRITE, WRITE, ERASURE), max_size=30))
def test_erasures_leave_counters_of_the_rows_and_the_archive(database, writes):
    empty(database, "Europe/Berlin", "keep")
    write(database, writes, "Europe/Berlin")

    erase(database, visitor="ann")

    days = database.rows("select * from visitor_days where visitor_id = 'ann'")
    assert days == [], triggers(database)
    assert database.verify() == []


def triggers(database):
    """Return the triggers, on PostgreSQL with their state, for the message of a failed assertion."""
    if isinstance(database, SQLite):
        return database.rows("select name from sqlite_schema where type = 'trigger'")
    return database.rows(
        "select tgname::text, tgenabled::text, current_setting('session_replication_role') as role "
        "from pg_trigger where tgrelid in ('visitor_days'::regclass, 'sessions'::regclass)"
    )
