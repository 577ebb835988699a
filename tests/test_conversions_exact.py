"""After random statements in a random time zone, conversions and the pipeline equal a count in Python."""

import os
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from helpers.plain_attributions import Model
from helpers.plain_comparison import earlier_range
from helpers.plain_conversions import PlainConversions, plain_pipeline
from helpers.plain_filters import plain_filters
from helpers.plain_statistics import date_of
from helpers.random_filters import FILTERS
from helpers.random_rows import DAY_MS, EVENT, MIDDLE, MOMENTS, SESSION, ZONES, empty, labels
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from analytics_api.context import Context
from analytics_api.endpoints.conversions import ATTRIBUTIONS, BY, conversions
from analytics_api.endpoints.leads import STATUSES
from analytics_api.endpoints.leads.pipeline import pipeline

EXAMPLES = int(os.environ.get("CONVERSION_EXAMPLES", "12"))  # `make faults` runs more

ENGINES = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

CAMPAIGNS = st.sampled_from([None, "?utm_campaign=a", "?utm_campaign=", "/a?b&utm_campaign=B#c"])
LEAD_IDS = st.integers(1, 5)
LEAD = st.fixed_dictionaries(
    {
        "lead_id": LEAD_IDS,
        "enquired": MOMENTS | st.sampled_from(["", "1965-03-01 12:00:00"]),
        "project_name": st.sampled_from([None, "", "Sky", "sky"]),
        "visitor_id": st.sampled_from([None, "", "ann", "bob"]),
        "session_id": st.sampled_from([None, "s1", "s2", "gone"]),
        "status": st.sampled_from(STATUSES),
        "moved": MOMENTS,
    }
)
MOVE = st.tuples(
    LEAD_IDS, st.sampled_from([*STATUSES, "else"]), st.sampled_from([*STATUSES, "else"]), st.integers(0, 5 * DAY_MS)
)
PURGED = st.integers(-5, 4)
STATEMENT = st.one_of(
    st.tuples(st.just("session"), st.tuples(SESSION, CAMPAIGNS)),
    st.tuples(st.just("session"), st.tuples(SESSION, CAMPAIGNS)),
    st.tuples(st.just("lead"), LEAD),
    st.tuples(st.just("lead"), LEAD),
    st.tuples(st.just("replace"), LEAD),
    st.tuples(st.just("event"), EVENT),
    st.tuples(st.just("move"), MOVE),
    st.tuples(st.just("delete_session"), st.sampled_from(["s1", "s2"])),
    st.tuples(st.just("delete_lead"), LEAD_IDS),
)
ARCHIVING = st.lists(STATEMENT | st.tuples(st.just("purge"), PURGED), max_size=25)
# Statements with erasures. They purge with `purge_all`, which archives no counts: archived counts of sessions do not
# contain the visitor, so an erasure could not subtract the visitor's sessions from them.
ERASING = st.lists(
    STATEMENT | st.tuples(st.just("purge_all"), PURGED) | st.tuples(st.just("erase"), st.sampled_from(["ann", "bob"])),
    max_size=25,
)
ENDS = st.tuples(st.integers(-45, 45), st.integers(-45, 45)) | st.tuples(st.integers(-5, 0), st.integers(0, 5))


def to_row(kind, value, zone):
    """Return the value of a statement (kind, value), with instants and dates instead of offsets from MIDDLE."""
    middle = MIDDLE[zone]
    if kind == "session":
        session, campaign = value
        row = {name: each for name, each in session.items() if name != "moment"}
        return {**row, "started_at": middle + session["moment"], "entry_page": campaign or session["entry_page"]}
    if kind == "event":
        row = {name: each for name, each in value.items() if name != "moment"}
        return {**row, "occurred_at": middle + value["moment"]}
    if kind in ("lead", "replace"):
        row = {name: each for name, each in value.items() if name not in ("enquired", "moved")}
        return {**row, "enquiry_datetime": to_text(middle, value["enquired"]), "moved_at": middle + value["moved"]}
    if kind == "move":
        return (*value[:3], middle + value[3])
    return date_of(middle, ZoneInfo(zone)) + timedelta(days=value) if kind.startswith("purge") else value


def to_text(middle, enquired):
    if isinstance(enquired, str):
        return enquired
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=middle + enquired)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def write_model(database, zone, page_query, statements):
    """Run the statements on an empty database and on an empty Model. Return the Model."""
    empty(database, zone, page_query)
    model = Model(ZoneInfo(zone), page_query)
    for kind, value in statements:
        model.run(database, kind, to_row(kind, value, zone))
    return model


def check_conversions(ctx, plain, expected, limit, **options):
    for by in BY:
        for attribution in ATTRIBUTIONS:
            rows = expected(plain, by, attribution)
            if by not in ("day", "week", "month"):
                rows = rows[:limit]
            assert conversions(ctx, by, attribution, limit, **options) == rows, (by, attribution)


@ENGINES
@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    page_query=st.sampled_from(["keep", "drop"]),
    statements=ARCHIVING | ERASING,
    ends=ENDS,
    limit=st.sampled_from([1, 2, 100]),
)
def test_conversions_and_pipeline_are_exact(database, zone, page_query, statements, ends, limit):
    model = write_model(database, zone, page_query, statements)
    first, last = (date_of(MIDDLE[zone], model.clock) + timedelta(days=end) for end in sorted(ends))
    ctx = Context(database, None, MIDDLE[zone])
    plain = PlainConversions(model, labels(model.clock))

    for days in ({}, {"first": first}, {"last": last}, {"first": first, "last": last}):
        options = {"from_": days.get("first"), "to": days.get("last")}
        check_conversions(ctx, plain, lambda of, *key, days=days: of.rows(*key, **days), limit, **options)
        assert pipeline(ctx, **options) == plain_pipeline(model, **days)


@ENGINES
@settings(max_examples=EXAMPLES // 4, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    page_query=st.sampled_from(["keep", "drop"]),
    statements=ARCHIVING | ERASING,
    later=st.sampled_from([0, 365 * DAY_MS, 366 * DAY_MS]),
    moment=MOMENTS,
    ends=ENDS | st.tuples(st.integers(-20, 0), st.integers(0, 3)),
    compare=st.sampled_from(["previous", "year"]),
    limit=st.sampled_from([1, 100]),
)
def test_compared_conversions_are_exact(database, zone, page_query, statements, later, moment, ends, compare, limit):
    model = write_model(database, zone, page_query, statements)
    now = MIDDLE[zone] + later + moment
    first, last = (date_of(now, model.clock) + timedelta(days=end) for end in sorted(ends))
    earlier = earlier_range(first, last, compare, now, model.clock, model.raw_since)
    plain = PlainConversions(model, labels(model.clock))

    check_conversions(
        Context(database, None, now),
        plain,
        lambda of, *key: of.compared(*key, first, last, earlier),
        limit,
        from_=first,
        to=last,
        compare=compare,
    )


@ENGINES
@settings(max_examples=EXAMPLES // 4, suppress_health_check=list(HealthCheck))
@given(
    zone=st.sampled_from(sorted(ZONES)),
    page_query=st.sampled_from(["keep", "drop"]),
    statements=ARCHIVING | ERASING,
    moment=MOMENTS,
    ends=ENDS,
    compare=st.sampled_from([None, "previous"]),
    filters=FILTERS,
)
def test_filtered_conversions_are_exact(database, zone, page_query, statements, moment, ends, compare, filters):
    model = write_model(database, zone, page_query, statements)
    now = MIDDLE[zone] + moment
    first, last = (date_of(now, model.clock) + timedelta(days=end) for end in sorted(ends))
    earlier = earlier_range(first, last, "previous", now, model.clock, model.raw_since)
    assume(not model.raw_since or (earlier.first if compare else first) >= model.raw_since)
    rows = {
        "sessions": [{**row, "is_archived": True} for row in model.archived] + list(model.sessions.values()),
        "events": list(model.events.values()),
    }
    matches = plain_filters(rows, list(model.leads.values()), model.clock, page_query).matches
    plain = PlainConversions(model, labels(model.clock), lambda session: matches(session, filters))
    plain.sessions = list(model.sessions.values())
    ctx, options = Context(database, None, now), {"from_": first, "to": last, "filters": filters}

    if compare:
        check_conversions(
            ctx, plain, lambda of, *key: of.compared(*key, first, last, earlier), 100, **options, compare=compare
        )
    else:
        check_conversions(ctx, plain, lambda of, *key: of.rows(*key, first, last), 100, **options)
