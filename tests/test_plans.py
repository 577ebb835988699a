"""Which way SQLite goes for every statement: over rollups and named indexes, whatever `analyze` knows."""

import importlib
import pkgutil
import re
import sqlite3

import pytest

from analytics_api import endpoints, open_database
from analytics_api.maintenance import demo

NOW = 1_771_945_200_000  # 2026-02-24 15:00:00

PARAMETERS = {
    "limit": 25,
    "offset": 0,
    "rows": 25,
    "often": 100,
    "key": 50,
    "null_lead_id": -(2**63),
    "status": "new",
    "needle": '"ann"',
    "pattern": "%an%",
    "lead_id": 1,
    "first": "2026-01-25",
    "last": "2026-02-24",
    "today": "2026-02-24",
    "now": NOW,
    "since": NOW - 3_600_000,
    "first_minute": NOW // 60_000 - 60,
    "last_minute": NOW // 60_000,
    "whole_since": NOW - 3_600_000,
    "whole_until": NOW,
    "old_status": "new",
    "new_status": "won",
    "changed_at": NOW,
    "changed_by": "somebody",
}

BASE = {"sessions", "events", "leads", "lead_submissions"}

# An order's index is walked until the page is full.
WALKS = {
    "newest": "leads_by_enquiry",
    "oldest": "leads_by_enquiry",
    "last_follow_up": "leads_by_follow_up",
    "score_desc": "leads_by_score",
    "score_asc": "leads_by_score",
    "risk_desc": "leads_by_risk",
    "risk_asc": "leads_by_risk",
    "name_asc": "leads_by_name",
}


def statements():
    """Every statement of the endpoints, as `module.NAME` or `module.NAME[key]`."""
    for module in pkgutil.iter_modules(endpoints.__path__):
        found = vars(importlib.import_module(f"analytics_api.endpoints.{module.name}"))
        for name, value in found.items():
            texts = value if isinstance(value, dict) else {None: value}
            for key, text in texts.items():
                if name.isupper() and isinstance(text, str) and re.match(r"\s*(select|insert|update|delete)\b", text):
                    yield f"{module.name}.{name}" + ("" if key is None else f"[{key}]"), key, text


STATEMENTS = {label: (key, text) for label, key, text in statements()}


@pytest.fixture(scope="module", params=["as it comes", "analyzed"])
def connection(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "analytics.db"
    plan = demo.Plan(NOW, sessions=4_000, leads=2_000)
    with open_database(path).closing() as database:
        database.bulk(
            lambda at: [at.insert(table, demo.COLUMNS[table], rows) for table, rows in demo.batches(plan)] and None
        )
    connection = sqlite3.connect(path, isolation_level=None)
    if request.param == "analyzed":
        connection.execute("analyze")
    yield connection
    connection.close()


def plan_of(connection, text):
    parameters = {name: PARAMETERS[name] for name in re.findall(r":([a-z_]+)", text)}
    return [row[3] for row in connection.execute(f"explain query plan {text}", parameters)]


def scans(plan):
    """The base tables that a plan goes through from one end, each with what it says of that."""
    found = [step for step in plan if (scan := re.match(r"SCAN (\w+)", step)) and scan[1] in BASE]
    for made in plan:
        if made.startswith("CO-ROUTINE ") and (step := made.replace("CO-ROUTINE", "SCAN")) in found:
            found.remove(step)  # of what the statement itself made under that name
    return found


def test_every_statement_of_the_endpoints_is_looked_at():
    assert len([label for label in STATEMENTS if label.startswith("leads.PAGES")]) == 48
    assert {label.partition(".")[0] for label in STATEMENTS} == {
        module.name for module in pkgutil.iter_modules(endpoints.__path__)
    } - {"storage"}


def looks_into_each(label):
    return "'seen" in label or "[seen" in label


@pytest.mark.parametrize("label", [label for label in STATEMENTS if not looks_into_each(label)])
def test_no_statement_scans_a_base_table(connection, label):
    key, text = STATEMENTS[label]

    plan = plan_of(connection, text)

    if "PAGES" in label and key[0] == "all" and (label.startswith("leads.PAGES") or key[-1] == "first"):
        assert scans(plan) in (
            [f"SCAN leads USING INDEX {WALKS[key[1]]}"],
            [f"SCAN leads USING COVERING INDEX {WALKS[key[1]]}"],
        )
    else:
        assert scans(plan) == []


@pytest.mark.parametrize("sort", WALKS)
def test_a_page_of_a_stage_comes_from_the_index_of_its_order_without_sorting(connection, sort):
    plan = plan_of(connection, STATEMENTS[f"leads.PAGES[{('stage', sort)}]"][1])

    index = WALKS[sort].replace("leads_by", "leads_in_stage_by")
    assert plan == [f"SEARCH leads USING INDEX {index} (status=?)"]


@pytest.mark.parametrize("sort", WALKS)
@pytest.mark.parametrize("among", ["all", "stage"])
def test_every_part_of_a_page_behind_a_lead_begins_at_its_place_in_the_index(connection, among, sort):
    plan = plan_of(connection, STATEMENTS[f"leads.NEXT_PAGES[{(among, sort)}]"][1])

    index = WALKS[sort] if among == "all" else f"({WALKS[sort]}|{WALKS[sort].replace('_by', '_in_stage_by')})"
    steps = [step for step in plan if step.startswith("SEARCH")]
    column, stage = r"\w+", "" if among == "all" else r"(status=\? AND )?"
    assert len(steps) == (2 if sort in ("newest", "oldest", "risk_desc", "risk_asc") else 3)
    for step in steps:
        assert re.fullmatch(rf"SEARCH leads USING INDEX {index} \({stage}{column}(=\? AND rowid)?[<>]\?\)", step)


@pytest.mark.parametrize("label", [label for label in STATEMENTS if "'found" in label])
def test_what_the_search_index_finds_is_looked_up_by_its_key(connection, label):
    plan = plan_of(connection, STATEMENTS[label][1])

    assert "SCAN lead_search VIRTUAL TABLE INDEX 0:M2" in plan
    if label.startswith("leads.PAGES"):
        assert plan[0] == "SEARCH leads USING INTEGER PRIMARY KEY (rowid=?)"


@pytest.mark.parametrize("label", [label for label in STATEMENTS if looks_into_each(label)])
def test_where_each_lead_is_looked_into_that_is_once_for_each_part_of_a_page(connection, label):
    plan = plan_of(connection, STATEMENTS[label][1])

    assert len(scans(plan)) <= (3 if "NEXT" in label else 1)


@pytest.mark.parametrize(
    ("label", "steps"),
    [
        ("overview.TOTALS", ["SCAN rollup_totals"]),
        ("pages.TOP", ["SCAN rollup_pages USING INDEX pages_by_views"]),
        ("sources.TOP", ["SCAN rollup_sources USING COVERING INDEX sources_by_sessions"]),
        ("sessions.DAYS", ["SEARCH rollup_days USING PRIMARY KEY (day>? AND day<?)"]),
        ("geo.COUNTRIES", ["SCAN rollup_countries", "USE TEMP B-TREE FOR ORDER BY"]),
        ("engagement.COUNTS", ["SCAN rollup_engagement"]),
        ("leads.LEAD", ["SEARCH leads USING INTEGER PRIMARY KEY (rowid=?)"]),
        ("leads.MOVE", ["SEARCH leads USING INTEGER PRIMARY KEY (rowid=?)"]),
        ("leads.SUBMISSIONS", ["SEARCH lead_submissions USING INDEX submissions_by_lead (lead_id=?)"]),
    ],
)
def test_a_statement_goes_its_one_way(connection, label, steps):
    plan = plan_of(connection, STATEMENTS[label][1])

    assert [step for step in plan if "LAST TERM" not in step] == steps


def test_the_last_hour_is_its_minutes_and_two_short_walks_of_an_index(connection):
    plan = plan_of(connection, STATEMENTS["realtime.NOW"][1])
    plan = [step.removesuffix(" LEFT-JOIN") for step in plan]  # which SQLite says since 3.39

    assert sorted(step for step in plan if step.startswith(("SCAN", "SEARCH")) and "minutes" not in step) == [
        "SEARCH events USING COVERING INDEX events_by_time (occurred_at>? AND occurred_at<?)",
        "SEARCH events USING COVERING INDEX events_by_time (occurred_at>? AND occurred_at<?)",
        "SEARCH sessions USING INDEX open_sessions (started_at>? AND started_at<?)",
        "SEARCH sessions USING INDEX open_sessions (started_at>? AND started_at<?)",
        "SEARCH today USING PRIMARY KEY (day=?)",
    ]
    assert "SEARCH rollup_minutes USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan


def test_the_sessions_of_a_lead_are_found_by_their_keys(connection):
    plan = plan_of(connection, STATEMENTS["leads.SESSIONS"][1])

    assert scans(plan) == []
    assert any(
        re.match(r"SEARCH sessions USING INDEX sqlite_autoindex_sessions_1 \(session_id=\?\)", step) for step in plan
    )
    assert any(re.match(r"SEARCH visits USING (COVERING )?INDEX sessions_by_visitor", step) for step in plan)
