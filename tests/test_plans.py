"""SQLite's query plan for every statement reads counters and indexes only, with and without ANALYZE."""

import pkgutil
import re

import pytest
from helpers.plans import NOW, Explained, connect_to_demo, find_scans, list_statements, query_plan

from analytics_api import Context, endpoints, open_database
from analytics_api.endpoints import overview, pages, sessions
from analytics_api.endpoints.conversions import conversions
from analytics_api.endpoints.conversions.counts import Request
from analytics_api.endpoints.conversions.leads import leads_statement
from analytics_api.maintenance.site import change_settings
from analytics_api.statistics.earlier_range import COUNTS_OF_VALUES, CUT_DAY
from analytics_api.statistics.top_keys import COUNTS, COUNTS_OF_RANGE, TOP_SOURCES, read_top_keys, top_statement

# Statements that change the statistics of ANALYZE to those of another database, or of an earlier time.
STATISTICS = {
    "analyzed": "select 1",
    "before the leads": "delete from sqlite_stat1 where tbl = 'lead_attributions'",
    "many sources": "update sqlite_stat1 set stat = '400000 50000 5 1' where idx = 'key_counts'",
    "more sessions": "update sqlite_stat1 set stat = '300000 750 1' where idx = 'session_facts'",
    # With `analysis_limit`, the numbers of rows are estimates, which differ from index to index. These are of 100,000
    # leads. New versions of SQLite, such as 3.53, store the exact number, so nothing is updated.
    "sample of the leads": """
        pragma analysis_limit = 10;
        analyze leads;
        update sqlite_stat1 set stat = case idx
            when 'leads_by_enquiry' then '102180 1'
            when 'leads_by_session' then '384000 2'
            else '273000 3 3'
          end
        where idx in ('leads_by_enquiry', 'leads_by_session', 'leads_by_visitor') and stat not like '1000 %'""",
}

FILTERED = {
    "overview": overview.overview,
    "pages": lambda ctx, **options: pages.top(ctx, 20, **options),
    "hours": lambda ctx, **options: sessions.daily(ctx, interval="hour", **options),
    "conversions": conversions,
}

FILTERS = {
    "country": {"country": ["IN"]},
    "lead": {"lead": ["true"]},
    "page": {"page": ["https://example.com/"]},
    "event_type": {"event_type": ["video_play"], "event_type.not": ["form_submit"]},
}

STATEMENTS = {label: statements for label, statements in list_statements().items() if not label.startswith("leads.")}


@pytest.fixture(scope="module", params=["as it comes", "analyzed"])
def connection(request, tmp_path_factory):
    yield from connect_to_demo(tmp_path_factory.mktemp("plans") / "analytics.db", analyzed=request.param == "analyzed")


def test_every_statement_of_the_endpoints_is_checked():
    assert {label.partition(".")[0] for label in STATEMENTS} == {
        module.name for module in pkgutil.iter_modules(endpoints.__path__)
    } - {"engagement", "leads", "sources", "storage", "whoami"}


def test_no_statement_scans_a_base_table(connection):
    assert find_scans(connection, STATEMENTS) == {}


@pytest.mark.slow
@pytest.mark.parametrize("statement", [CUT_DAY, *COUNTS_OF_VALUES.values()], ids=["totals", *COUNTS_OF_VALUES])
def test_statements_of_earlier_ranges_seek(connection, statement):
    plan = query_plan(connection, statement)

    assert find_scans(connection, {"earlier": ("", statement)}) == {}
    assert "SEARCH c USING PRIMARY KEY (day=? AND dimension=? AND key=?)" in plan or "key_counts" not in statement


@pytest.mark.parametrize(
    ("label", "steps"),
    [
        (
            "overview.TOTALS",
            [
                "SEARCH day_counts USING INTEGER PRIMARY KEY (rowid=?)",
                "SCALAR SUBQUERY 1",
                "SEARCH event_counts USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        ("pages.TOP", ["SCAN pages USING INDEX pages_by_views"]),
        ("sessions.DAYS", ["SEARCH day_counts USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (
            "geo.COUNTRIES",
            ["SEARCH key_counts USING PRIMARY KEY (day=? AND dimension=?)", "USE TEMP B-TREE FOR ORDER BY"],
        ),
    ],
)
def test_statement_has_the_expected_plan(connection, label, steps):
    plan = query_plan(connection, STATEMENTS[label][1])

    assert [step for step in plan if "LAST TERM" not in step] == steps


SOURCES_PLAN = "SEARCH key_counts USING COVERING INDEX sources_by_sessions (dimension=?)"


def test_statements_of_top_keys_read_an_index(connection):
    plan = query_plan(connection, top_statement("campaign", COUNTS))
    range_plan = query_plan(connection, top_statement("campaign", COUNTS_OF_RANGE))

    assert plan[0] == "SEARCH key_counts USING PRIMARY KEY (day=? AND dimension=?)"
    assert "SEARCH c USING PRIMARY KEY (day=? AND dimension=?)" in range_plan
    assert query_plan(connection, TOP_SOURCES) == [SOURCES_PLAN]


def test_ids_of_top_pages_are_searched(connection):
    plan = query_plan(connection, top_statement("entry_page", COUNTS))
    range_plan = query_plan(connection, top_statement("entry_page", COUNTS_OF_RANGE))

    assert "SEARCH key_counts USING PRIMARY KEY (day=? AND dimension=?)" in plan
    assert "SEARCH c USING PRIMARY KEY (day=? AND dimension=?)" in range_plan
    assert "SEARCH pages USING INTEGER PRIMARY KEY (rowid=?)" in plan
    assert "SEARCH pages USING INTEGER PRIMARY KEY (rowid=?)" in range_plan


def test_ranges_read_only_returns_within_them(connection):
    for label in ("overview.TOTALS_OF_RANGE", "geo.COUNTRIES_OF_RANGE", "sessions.STATEMENTS-month"):
        plan = query_plan(connection, STATEMENTS[label][1])

        assert "SEARCH r USING PRIMARY KEY (dimension=? AND day=? AND previous_day>?)" in plan
        assert not any(step.startswith("BLOOM FILTER ON r ") for step in plan)


def test_realtime_reads_minutes_and_two_short_index_ranges(connection):
    plan = query_plan(connection, STATEMENTS["realtime.NOW"][1])

    searches = [step.removesuffix(" LEFT-JOIN") for step in plan if step.startswith("SEARCH")]
    assert sorted(step for step in searches if "site_offsets" not in step) == [
        "SEARCH day_counts USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH events USING COVERING INDEX events_by_time (occurred_at>? AND occurred_at<?)",
        "SEARCH events USING COVERING INDEX events_by_time (occurred_at>? AND occurred_at<?)",
        "SEARCH minute_counts USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        "SEARCH sessions USING INDEX sessions_by_time (started_at>? AND started_at<?)",
        "SEARCH sessions USING INDEX sessions_by_time (started_at>? AND started_at<?)",
    ]


@pytest.mark.parametrize(
    ("attribution", "index"), [("last", "lead_attributions_by_source"), ("first", "lead_attributions_by_first_source")]
)
def test_leads_by_source_are_read_in_the_order_of_an_index(connection, attribution, index):
    plan = query_plan(connection, leads_statement(Request(None, "source", attribution), (), None))

    assert plan[0] == f"SCAN a USING COVERING INDEX {index}"
    assert "USE TEMP B-TREE FOR GROUP BY" not in plan


@pytest.fixture(scope="module", params=STATISTICS)
def analyzed(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("statistics") / "analytics.db"
    for connection in connect_to_demo(path, analyzed=True):
        connection.executescript(STATISTICS[request.param])
    with open_database(path).closing() as database:
        yield database


def test_sources_are_read_in_order_after_analyze(analyzed):
    explained = Explained(analyzed)

    read_top_keys(explained, None, None, "source", 10)

    assert explained.plans == [[SOURCES_PLAN]]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("name", FILTERED)
def test_filters_read_no_other_rows_after_analyze(analyzed, name, filters):
    explained = Explained(analyzed)

    FILTERED[name](Context(explained, None, NOW), days=7, filters=FILTERS[filters])

    steps = [step for plan in explained.plans for step in plan]
    others = r"BLOOM FILTER ON|SCAN (leads|sessions|session_pages|events|p|viewed|earlier)\b|.*ANY\(day\)"
    assert [step for step in steps if re.match(others, step)] == []


def test_offset_is_looked_up_after_analyze_and_another_zone(tmp_path):
    path = tmp_path / "analytics.db"
    for connection in connect_to_demo(path, analyzed=True):
        with open_database(path).closing() as database:
            change_settings(database, time_zone="Europe/Berlin")
        connection.execute("select page from pages").fetchone()  # reads the changed schema, unlike `explain`

        plan = query_plan(connection, "select day from counted_events")

    assert plan[-1] == "SEARCH site_offsets USING INTEGER PRIMARY KEY (rowid<?)"
