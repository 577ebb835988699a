"""Schemathesis generates requests from the server's OpenAPI document, and runs all its checks on the responses."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.client import KEY, NOW
from helpers.server import serving

from analytics_api import open_database

pytestmark = pytest.mark.skipif(find_spec("schemathesis") is None, reason="pip install -e '.[fuzz]'")

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "2")  # examples for each operation and phase; `make faults` runs more

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
OPTIONS = ["--checks", "all", "--max-examples", EXAMPLES, "--generation-database", "none", "--no-color"]
if "CI" in os.environ:  # the same requests in every run
    OPTIONS += ["--seed", "1"]

# Hypothesis stores its tables of characters in this folder, because computing them takes seconds of CPU time.
STORAGE = Path(__file__).parents[1] / ".hypothesis"

ROWS = {
    "sessions": (["session_id", "visitor_id", "started_at"], [("s1", "ann", NOW), ("s2", "ben", NOW)]),
    "events": (["session_id", "event_type", "page_url", "occurred_at"], [("s1", "page_view", "/", NOW)]),
    "leads": (
        ["lead_id", "enquiry_datetime", "contact_name", "visitor_id"],
        [(1, "2026-02-23 11:15:00", "Zoë", "ann"), (42, "2026-02-23 11:15:00", None, None)],
    ),
    "lead_submissions": (["lead_id", "submitted_at", "payload_json"], [(1, "2026-02-23 11:15:00", "{}")]),
}


# The phase "coverage" sends the edge cases of each parameter. It takes most of the time, so it omits an operation if
# other operations have the same parameters. test_openapi.py tests the parameters of each operation.
CONFIG = f"""
hooks = "hooks.py"

[auth.openapi.bearer]
bearer = "{KEY}"

[[operations]]
include-path-regex = "/(pages/entry|pages/exit|sources|engagement|geo|leads/facets|board)$"
phases.coverage.enabled = false
"""


# OpenAPI cannot express that one parameter restricts another. Therefore the hook removes requests that are 400 only
# because of a combination of parameters: a cursor of another order than `sort`, `days` with `from` or `to`, a lower
# bound above its upper bound, `fill` or `compare` with too many rows, and `compare` without a first day or with days
# before the year 1. test_leads_cursor.py, test_leads_filters.py, test_ranges.py and test_compare.py test these.
# The hook also removes filters whose value is not a list of strings. Schemathesis expects a 400 for such a value, but
# in a query it is valid: a single value looks like a list of one, and a number like a string.
HOOKS = """
from datetime import date

import schemathesis
from analytics_api.endpoints.leads import LIST_ORDERS
from analytics_api.http.parameters import Filter
from analytics_api.routes import ROUTES

FILTERS = {parameter.name for route in ROUTES for parameter in route.filters if isinstance(parameter, Filter)}


@schemathesis.hook
def filter_case(context, case):
    query = case.query if isinstance(case.query, dict) else {}
    sort, order = str(query.get("sort")).strip().lower(), str(query.get("cursor")).partition(":")[0]
    if not all(is_list_of_texts(query[name]) for name in query.keys() & FILTERS):
        return False
    if case.path.endswith("/changes") and query.get("since"):  # few strings are positions
        return False
    is_invalid_cursor = sort in LIST_ORDERS and order in LIST_ORDERS and sort != order
    return not is_invalid_cursor and has_valid_range(query) and has_ascending_bounds(query)


def is_list_of_texts(value):
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def has_ascending_bounds(query):
    first, last = to_date(query.get("follow_up_from")), to_date(query.get("follow_up_to"))
    lowest, highest = to_int(query.get("score_min")), to_int(query.get("score_max"))
    return not (first and last and first > last) and not (None not in (lowest, highest) and lowest > highest)


def to_int(text):
    try:
        return int(str(text))
    except ValueError:
        return None


def has_valid_range(query):
    first, last = to_date(query.get("from")), to_date(query.get("to"))
    is_compared = query.get("compare") not in (None, "")
    has_every_row = is_compared or str(query.get("fill")).strip().lower() == "true"
    if not (first or last):
        days = str(query.get("days") or "")
        return not has_every_row or (len(days) <= 2 and not (is_compared and not days))  # 99 days have 2376 hours
    if query.get("days") not in (None, "") or (first and last and first > last):
        return False
    return not has_every_row or bool(first and last and (last - first).days < 150 and first.year > 1)


def to_date(text):
    try:
        return date.fromisoformat(str(text).strip())
    except ValueError:
        return None
"""


def test_schemathesis_finds_nothing(tmp_path):
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "hooks.py").write_text(HOOKS)
    with open_database(tmp_path / "analytics.db").closing() as database:
        for table, (columns, rows) in ROWS.items():
            database.write(lambda at, arguments=(table, columns, rows): at.insert(*arguments))
    with serving(tmp_path, "--workers", "1") as server:
        url = f"http://127.0.0.1:{server.address[1]}/openapi.json"

        run = subprocess.run(
            [SCHEMATHESIS, "--config-file", "schemathesis.toml", "run", url, *OPTIONS],
            cwd=tmp_path,
            env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(STORAGE)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in server.log.read_text()
