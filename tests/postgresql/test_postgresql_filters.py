"""PostgreSQL: the indexes of statistics with filters, and wrong rows in the tables that these statistics read."""

import re

import psycopg
import pytest
from helpers import postgres

from analytics_api.statistics.filtered_events import other_events_statement, own_views, views_statement
from analytics_api.statistics.matching import find_matching
from analytics_api.values.calendar import DayRange

DAY_MS = 86_400_000
FIRST_DAY = 20_400
FILL = f"""
insert into sessions (session_id, visitor_id, started_at, country, referrer_domain)
select 's' || n, 'v' || n % 3000, {FIRST_DAY * DAY_MS} + n * {DAY_MS // 50}::bigint, 'C' || n % 40, n % 40 || '.example'
from generate_series(1, 6000) as n;
insert into events (session_id, event_type, page_url, occurred_at)
select session_id, case n when 1 then 'click' else 'page_view' end, '/' || n, started_at + n
from sessions
cross join generate_series(1, 5) as n;
insert into events (session_id, event_type, page_url, occurred_at)
select session_id, 'page_view', '/2', started_at + {DAY_MS}
from sessions
where started_at / 1000 % 5 = 0;
insert into events (session_id, event_type, page_url, occurred_at)
select 'unknown', 'page_view', '/' || n, {FIRST_DAY * DAY_MS}
from generate_series(6, 3000) as n
"""


@pytest.fixture(scope="module")
def filled():
    """Yield a database with 50 sessions on each of 120 days, each with 4 page views and a click.

    A fifth of the sessions view a page on the next day, too. Another session viewed many pages.
    """
    with postgres.new_database() as database:
        database.bulk(lambda at: at.connection.execute(FILL.encode()))
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("vacuum analyze")
        yield database


def read_plan(database, sql, matching):
    plan = database.rows(f"explain {sql}", **matching.parameters)
    return "\n".join(row["QUERY PLAN"] for row in plan)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"visitor": ["new"]}, "session_facts_by_day"),
        ({"country": ["C1"]}, "session_facts_by_country"),
        ({"source": ["1.example"]}, "session_facts_by_source"),
        ({"event_type": ["click"]}, "rare_events_by_type"),
    ],
)
def test_sessions_of_a_range_are_searched_in_an_index(filled, filters, index):
    matching = find_matching(filled, DayRange(FIRST_DAY + 100, FIRST_DAY + 109), filters)

    plan = read_plan(
        filled, f"select from session_facts as s where {matching.in_range} and {matching.condition}", matching
    )

    assert f" {index} " in plan
    assert "Seq Scan" not in plan


def test_range_that_includes_the_newest_day_is_estimated(filled):
    """With `+s.day`, PostgreSQL would expect a third of the sessions, and search other tables for each of them."""
    matching = find_matching(filled, DayRange(FIRST_DAY + 100, FIRST_DAY + 120), {"visitor": ["new", "returning"]})

    plan = read_plan(filled, f"select from session_facts as s where {matching.in_range}", matching)

    [expected] = filled.tuples(f"select count(*) from session_facts where day >= {FIRST_DAY + 100}")
    assert int(re.search(r"rows=(\d+)", plan)[1]) == pytest.approx(expected[0], rel=0.3)


@pytest.mark.parametrize("statement", [views_statement, lambda chosen: f"select count(*){own_views(chosen)}"])
def test_page_views_of_a_range_are_searched_in_an_index(filled, statement):
    matching = find_matching(filled, DayRange(FIRST_DAY + 100, FIRST_DAY + 109), {"visitor": ["new"]})

    plan = read_plan(filled, statement(matching), matching)

    assert "Seq Scan on session_pages" not in plan
    assert "session_pages_pkey" in plan


def test_sessions_with_events_on_another_day_are_searched_by_id(filled):
    day = FIRST_DAY + 100
    matching = find_matching(filled, DayRange(day, day), {"country": ["C1"], "page": ["/2"]})

    plan = read_plan(filled, other_events_statement(matching), matching)

    assert "Index Scan using session_facts_pkey on session_facts " in plan
    assert "session_facts_by_country" not in plan
    assert "Index Cond: (page_id " not in plan  # would read the views of all sessions


def test_pages_of_a_cut_day_are_searched_by_session(filled):
    day = FIRST_DAY + 100
    range_ = DayRange(day, day)
    matching = find_matching(filled, range_, {"page": ["/2"]}).within(filled, range_, day * DAY_MS + DAY_MS // 2)

    plan = read_plan(filled, views_statement(matching), matching)

    assert "using pages_pkey on pages " in plan
    assert "Seq Scan on pages " not in plan


@pytest.mark.parametrize("statement", [other_events_statement, views_statement])
def test_events_of_a_cut_day_are_read_once(filled, statement):
    """PostgreSQL might expect one session, and with a join, it would then read the events again for each session."""
    day = FIRST_DAY + 100
    range_ = DayRange(day, day)
    matching = find_matching(filled, range_, {"page": ["/2"]}).within(filled, range_, day * DAY_MS + DAY_MS // 2)

    plan = read_plan(filled, statement(matching), matching)

    assert any("hashed SubPlan" in line and "IS TRUE" in line for line in plan.splitlines())


@pytest.mark.parametrize(
    ("statement", "counter"),
    [
        ("update session_facts set is_new = 0", "session_facts"),
        ("update session_facts set events_of_day = 7", "session_facts"),
        ("update events_of_other_days set events = 7", "events_of_other_days"),
        ("insert into events_of_other_days values ('none', 5, 1)", "events_of_other_days"),
        ("delete from events_of_other_days", "events_of_other_days"),
    ],
)
def test_wrong_row_of_facts_is_found_and_repaired(database, statement, counter):
    started_at = FIRST_DAY * DAY_MS
    database.write(
        lambda at: at.insert("sessions", ("session_id", "visitor_id", "started_at"), [("a", "v", started_at)])
    )
    events = [("a", "click", started_at), ("a", "click", started_at + DAY_MS)]
    database.write(lambda at: at.insert("events", ("session_id", "event_type", "occurred_at"), events))
    database.write(lambda at: at.execute(statement))

    differences = database.verify()
    database.rebuild()

    assert {difference.counter for difference in differences} == {counter}
    assert database.verify() == []
