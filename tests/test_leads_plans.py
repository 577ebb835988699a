"""SQLite's query plan for every statement of the leads, with and without statistics from ANALYZE."""

import re

import pytest
from helpers.plans import Explained, connect_to_demo, find_scans, full_scans, list_statements, query_plan

from analytics_api import open_database
from analytics_api.endpoints.leads import filtered_search
from analytics_api.endpoints.leads.filtered_search import FilteredSearch, find_filtered_page
from analytics_api.endpoints.leads.filters import list_conditions, parse

INDEXES = {
    "newest": "leads_by_enquiry",
    "oldest": "leads_by_enquiry",
    "last_follow_up": "leads_by_follow_up",
    "score_desc": "leads_by_score",
    "score_asc": "leads_by_score",
    "risk_desc": "leads_by_risk",
    "risk_asc": "leads_by_risk",
    "name_asc": "leads_by_name",
}

STATEMENTS = {label: statements for label, statements in list_statements().items() if label.startswith("leads.")}
# These statements sort all leads, because an index has the order of the board only within each status.
ORDERED_BY_STAGE = [label for label, (key, _) in STATEMENTS.items() if key and "stage" in key and "all" in key]
SCANNED = [label for label in STATEMENTS if "scanned" in label]


@pytest.fixture(scope="module", params=["new", "analyzed"])
def connection(request, tmp_path_factory):
    yield from connect_to_demo(tmp_path_factory.mktemp("plans") / "analytics.db", analyzed=request.param == "analyzed")


@pytest.fixture
def plans(connection):
    """Return a function that calls `work` with a search by `filters`, and returns the plans of its statements."""
    [(_, _, path)] = connection.execute("pragma database_list")

    def explain(work, filters, driver_and_total=None):
        def read(at):
            explained = Explained(at)
            conditions = list_conditions(at, None, parse(filters))
            work(FilteredSearch(explained, conditions, "newest", {"limit": 26, "offset": 0}, driver_and_total))
            return explained.plans

        with open_database(path).closing() as database:
            return database.read(read)

    return explain


def name_of_filter(value):
    """Return the id of a test's case: the name of its first filter, or "" for the other parameters."""
    return next(iter(value)) if isinstance(value, dict) else ""


def plan_of(connection, label):
    return query_plan(connection, STATEMENTS[label][1])


def test_every_page_statement_is_listed():
    assert len([label for label in STATEMENTS if label.startswith("leads.PAGES")]) == 54


def test_only_pages_of_all_leads_scan_and_by_their_index(connection):
    expected = {}
    for label, (key, _) in STATEMENTS.items():
        if label in ORDERED_BY_STAGE:
            continue
        if "PAGES" in label and key[0] == "all" and (label.startswith("leads.PAGES") or key[-1] == "first"):
            expected[label] = [f"SCAN leads USING INDEX {INDEXES[key[1]]}"]

    omitted = {*SCANNED, *ORDERED_BY_STAGE}
    scans = find_scans(connection, {label: STATEMENTS[label] for label in STATEMENTS if label not in omitted})

    assert {label: [step.replace("COVERING ", "") for step in steps] for label, steps in scans.items()} == expected


@pytest.mark.parametrize("sort", INDEXES)
def test_page_of_a_status_is_read_from_its_index_without_sorting(connection, sort):
    plan = plan_of(connection, f"leads.PAGES-status-{sort}")

    index = INDEXES[sort].replace("leads_by", "leads_in_status_by")
    assert plan == [f"SEARCH leads USING INDEX {index} (status=?)"]


@pytest.mark.parametrize("sort", INDEXES)
@pytest.mark.parametrize("name", ["all", "status"])
def test_page_after_a_cursor_starts_at_its_index_entry(connection, name, sort):
    plan = plan_of(connection, f"leads.NEXT_PAGES-{name}-{sort}")

    index = INDEXES[sort] if name == "all" else f"({INDEXES[sort]}|{INDEXES[sort].replace('_by', '_in_status_by')})"
    steps = [step for step in plan if step.startswith("SEARCH")]
    status = "" if name == "all" else r"(status=\? AND )?"
    assert len(steps) == (2 if sort in ("newest", "oldest", "risk_desc", "risk_asc") else 3)
    for step in steps:
        assert re.fullmatch(rf"SEARCH leads USING INDEX {index} \({status}\w+(=\? AND rowid)?[<>]\?\)", step)


def test_indexed_matches_are_looked_up_by_rowid(connection):
    plans = {label: plan_of(connection, label) for label in STATEMENTS if "-indexed" in label}
    pages = {label: plan[0] for label, plan in plans.items() if label.startswith("leads.PAGES")}

    assert {label for label, plan in plans.items() if "SCAN lead_search VIRTUAL TABLE INDEX 0:M2" not in plan} == set()
    assert set(pages.values()) == {"SEARCH leads USING INTEGER PRIMARY KEY (rowid=?)"}


def test_matches_are_looked_up_without_a_bloom_filter(connection):
    plans = {label: plan_of(connection, label) for label in STATEMENTS}

    assert [label for label, plan in plans.items() if any(step.startswith("BLOOM FILTER ON") for step in plan)] == []


def test_frequent_matches_of_a_status_are_counted_in_its_index(connection):
    step, *_ = plan_of(connection, "leads.COUNT_FREQUENT")

    assert re.fullmatch(r"SEARCH leads USING COVERING INDEX \w+ \((ANY\(has_visits\) AND )?status=\?\)", step)


def test_short_terms_scan_once_for_each_part_of_a_page(connection):
    scans = {label: len(full_scans(plan_of(connection, label))) for label in SCANNED}

    assert {label: count for label, count in scans.items() if count > (3 if "NEXT" in label else 1)} == {}


@pytest.mark.parametrize(
    ("label", "steps"),
    [
        ("leads.LEAD", ["SEARCH leads USING INTEGER PRIMARY KEY (rowid=?)"]),
        ("leads.UPDATE_STATUS", ["SEARCH leads USING INTEGER PRIMARY KEY (rowid=?)"]),
        ("leads.SUBMISSIONS", ["SEARCH lead_submissions USING INDEX submissions_by_lead (lead_id=?)"]),
    ],
)
def test_one_lead_is_read_by_its_key(connection, label, steps):
    plan = plan_of(connection, label)

    assert [step for step in plan if "LAST TERM" not in step] == steps


def test_sessions_of_a_lead_are_read_by_their_keys(connection):
    plan = plan_of(connection, "leads.SESSIONS")

    assert full_scans(plan) == []
    assert any(
        step.startswith("SEARCH sessions USING INDEX sqlite_autoindex_sessions_1 (session_id=?)") for step in plan
    )
    assert any(re.match(r"SEARCH visits USING (COVERING )?INDEX sessions_by_visitor", step) for step in plan)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"source": "Referral"}, "leads_by_source (project_source=?)"),
        ({"country": "EG"}, "leads_by_country (contact_country_name=?)"),
        ({"city": "Köln"}, "leads_by_city (contact_city=?)"),
        ({"label": "Hot"}, "leads_by_label (engagement_label=?)"),
        ({"from": "2026-02-01"}, "leads_by_enquiry (enquiry_datetime>?)"),
    ],
    ids=name_of_filter,
)
def test_leads_with_one_value_are_read_in_the_order_of_its_index(plans, filters, index):
    *_, plan = plans(find_filtered_page, filters)

    assert f"SEARCH leads USING COVERING INDEX {index}" in plan
    assert plan.count("USE TEMP B-TREE FOR ORDER BY") == 1  # of the page


@pytest.mark.parametrize("statuses", [["won"], ["won", "lost"]], ids="-".join)
@pytest.mark.parametrize(
    ("filters", "end"),
    [
        ({"from": "2026-02-01"}, "status=? AND enquiry_datetime>?)"),
        ({"to": "2026-02-01"}, "status=? AND enquiry_datetime<?)"),
        ({"score_min": "60"}, "status=? AND engagement_score>?)"),
        ({"follow_up_to": "2026-02-01"}, "status=? AND last_follow_up_at<?)"),
        ({"has_visits": "false"}, "(has_visits=? AND status=?)"),
    ],
    ids=name_of_filter,
)
def test_statuses_and_another_filter_are_looked_up_in_one_index(plans, statuses, filters, end):
    *_, plan = plans(find_filtered_page, {**filters, "status": statuses})

    [step] = [step for step in plan if step.startswith("SEARCH leads") and "(rowid=?)" not in step]
    assert step.endswith(end)


def test_statuses_and_a_range_are_counted_in_one_index(plans, monkeypatch):
    monkeypatch.setattr(filtered_search, "MAX_LOOKED_UP", 0)  # instead of inserting 2,000 leads that match

    *_, plan = plans(lambda search: search.total, {"follow_up_to": "2026-02-24", "status": ["new", "contacted"]})

    index = "leads_in_status_by_follow_up (status=? AND last_follow_up_at<?)"
    assert plan == [f"SEARCH leads USING COVERING INDEX {index}"]


@pytest.mark.parametrize(
    ("filters", "step"),
    [
        ({"has_visits": "true"}, "SEARCH leads USING COVERING INDEX leads_by_visits (has_visits=? AND status=?)"),
        ({"from": "2026-01-01", "has_visits": "false"}, "SCAN leads USING COVERING INDEX leads_by_visits"),
        (
            {"score_min": "10"},
            "SEARCH leads USING COVERING INDEX leads_in_status_by_score (status=? AND engagement_score>?)",
        ),
        (
            {"follow_up_to": "2026-01-01"},
            "SEARCH leads USING COVERING INDEX leads_in_status_by_follow_up (status=? AND last_follow_up_at<?)",
        ),
    ],
    ids=str,
)
def test_stages_are_counted_in_the_order_of_an_index(plans, filters, step):
    [plan] = plans(FilteredSearch.by_status, filters, driver_and_total=([], 0))

    assert plan == [step]
