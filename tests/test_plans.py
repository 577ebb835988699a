"""Which way SQLite goes for every statement: over rollups and named indexes, whatever `analyze` knows."""

import pkgutil

import pytest
from helpers.plans import connect_to_demo, full_scans, list_statements, query_plan

from analytics_api import endpoints

STATEMENTS = {label: found for label, found in list_statements().items() if not label.startswith("leads.")}


@pytest.fixture(scope="module", params=["as it comes", "analyzed"])
def connection(request, tmp_path_factory):
    yield from connect_to_demo(tmp_path_factory.mktemp("plans") / "analytics.db", analyzed=request.param == "analyzed")


def test_every_statement_of_the_endpoints_is_checked():
    assert {label.partition(".")[0] for label in STATEMENTS} == {
        module.name for module in pkgutil.iter_modules(endpoints.__path__)
    } - {"leads", "storage", "whoami"}


@pytest.mark.parametrize("label", STATEMENTS)
def test_no_statement_scans_a_base_table(connection, label):
    assert full_scans(query_plan(connection, STATEMENTS[label][1])) == []


@pytest.mark.parametrize(
    ("label", "steps"),
    [
        ("overview.TOTALS", ["SCAN rollup_totals"]),
        ("pages.TOP", ["SCAN rollup_pages USING INDEX pages_by_views"]),
        ("sources.TOP", ["SCAN rollup_sources USING COVERING INDEX sources_by_sessions"]),
        ("sessions.DAYS", ["SEARCH rollup_days USING PRIMARY KEY (day>? AND day<?)"]),
        ("geo.COUNTRIES", ["SCAN rollup_countries", "USE TEMP B-TREE FOR ORDER BY"]),
        ("engagement.COUNTS", ["SCAN rollup_engagement"]),
    ],
)
def test_statement_has_one_plan(connection, label, steps):
    plan = query_plan(connection, STATEMENTS[label][1])

    assert [step for step in plan if "LAST TERM" not in step] == steps


def test_last_hour_reads_minutes_and_two_index_ranges(connection):
    plan = query_plan(connection, STATEMENTS["realtime.NOW"][1])
    plan = [step.removesuffix(" LEFT-JOIN") for step in plan]  # which SQLite says since 3.39

    assert sorted(step for step in plan if step.startswith(("SCAN", "SEARCH")) and "minutes" not in step) == [
        "SEARCH events USING COVERING INDEX events_by_time (occurred_at>? AND occurred_at<?)",
        "SEARCH events USING COVERING INDEX events_by_time (occurred_at>? AND occurred_at<?)",
        "SEARCH sessions USING INDEX open_sessions (started_at>? AND started_at<?)",
        "SEARCH sessions USING INDEX open_sessions (started_at>? AND started_at<?)",
        "SEARCH today USING PRIMARY KEY (day=?)",
    ]
    assert "SEARCH rollup_minutes USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan
