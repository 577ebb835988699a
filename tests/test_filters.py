"""The parameters of filters: their values, and the days for which they are allowed."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from helpers.client import NOW
from helpers.random_filters import VALUES

from analytics_api import Context
from analytics_api.endpoints.overview import overview
from analytics_api.errors import InvalidRequest
from analytics_api.statistics.session_filters import SESSION_FILTERS

ROOT = Path(__file__).parents[1]
DAY = 86_400_000

FILTERED = [
    "/analytics/overview",
    "/analytics/sessions/daily",
    "/analytics/pages/top",
    "/analytics/pages/entry",
    "/analytics/pages/exit",
    "/analytics/geo",
    "/analytics/engagement",
    "/analytics/sources",
    "/analytics/dashboard",
]

# Queries, each with the numbers of sessions and events in its response.
CHOSEN = {
    "one": ("country=IN", (1, 1)),
    "any-of-two": ("country=IN&country=DE", (2, 1)),
    "unknown": ("country=XX", (1, 1)),
    "none-of-two": ("country.not=IN&country.not=DE", (1, 1)),
    "nothing": ("country=FR", (0, 0)),
    "empty": ("country=&page=", (3, 3)),
    "case-is-exact": ("entry_page.prefix=/caf", (0, 0)),
    "folded": ("entry_page.contains=CAFE", (1, 1)),
    "decomposed": ("page.contains=e%CC%81", (1, 1)),
    "literal-percent": ("entry_page.contains=%25", (1, 1)),
    "literal-underscore": ("entry_page.contains=_", (0, 0)),
    "folded-to-nothing": ("entry_page.contains=%CC%81", (2, 2)),
    "no-entry-page": ("entry_page.not=/100%25", (2, 1)),
    "new": ("visitor=new", (2, 1)),
    "returning": ("visitor=RETURNING&days=1", (1, 1)),
    "no-lead": ("lead=false", (3, 2)),
    "type": ("event_type=click", (1, 1)),
    "all-of-several": ("visitor=new&country.not=DE&page.prefix=/", (1, 1)),
}

# Queries that are rejected, each with the error message.
REFUSED = {
    "bucket": ("engagement=50-60", "engagement must be one of 0-19, 20-39, 40-59, 60-79, 80-100"),
    "not-bucket": ("engagement.not=x", "engagement.not must be one of 0-19, 20-39, 40-59, 60-79, 80-100"),
    "visitor": ("visitor=old", "visitor must be one of new, returning"),
    "lead": ("lead=1", "lead must be one of true, false"),
    "suffix": ("country.prefix=I", "country.prefix is not a parameter of this endpoint; use country, country.not"),
    "unknown": (
        "page.like=/a",
        "page.like is not a parameter of this endpoint; use page, page.not, page.prefix, page.contains",
    ),
    "nul": ("page=%00", "page must not contain NUL"),
    "values": ("&".join(f"page={number}" for number in range(21)), "page must have at most 20 values"),
    "same-value": ("&".join(["visitor=new"] * 21), "visitor must have at most 20 values"),
    "repeated": ("days=1&days=2", "days must have one value, not several"),
}


INSERT_VIEW = """
insert into events (session_id, event_type, page_url, occurred_at)
values ('c', 'page_view', '/caf\u00e9', ?)
"""


@pytest.fixture
def visits(insert):
    """Insert one visitor's visits yesterday and today, and another visitor's visit today."""
    insert(
        "sessions",
        {"session_id": "a", "visitor_id": "ann", "started_at": NOW - DAY, "country": "IN", "entry_page": "/Caf\u00e9"},
        {"session_id": "b", "visitor_id": "ann", "started_at": NOW, "country": None, "entry_page": "/100%"},
        {"session_id": "c", "visitor_id": "bob", "started_at": NOW, "country": "DE", "entry_page": None},
    )
    insert("events", session_id="a", event_type="page_view", page_url="/caf\u00e9", occurred_at=NOW)
    insert("events", session_id="b", event_type="click", occurred_at=NOW)
    insert("events", session_id="none", event_type="page_view", page_url="/caf\u00e9", occurred_at=NOW)


def with_suffixes(names, suffixes):
    return {name + suffix for name in names for suffix in suffixes}


def test_every_filter_is_documented():
    text = ROOT.joinpath("docs/querying.md").read_text(encoding="utf-8")
    section = text.partition("\n## Filters\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    [parts] = re.findall(r"^- `.prefix` and `.contains` exist for (.+?)\. ", section, re.MULTILINE)

    names = with_suffixes(re.findall(r"`(\w+)`", " ".join(rows)), ["", ".not"])
    assert names | with_suffixes(re.findall(r"`(\w+)`", parts), [".prefix", ".contains"]) == SESSION_FILTERS.keys()


def test_page_has_every_filter():
    text = ROOT.joinpath("analytics_api/dashboard/static/state.js").read_text(encoding="utf-8")
    [body] = re.findall(r"^export const FILTERS = \{\n(.+?)^\};", text, re.MULTILINE | re.DOTALL)

    rows = re.findall(r"(\w+): \[(.+)\]", body)
    assert set().union(*(with_suffixes([name], ["", *re.findall(r"[.\w]+", more)]) for name, more in rows)) == (
        SESSION_FILTERS.keys()
    )


def test_random_filters_include_every_filter():
    assert VALUES.keys() == SESSION_FILTERS.keys()


def count(get, query):
    totals = get(f"/analytics/overview?{query}")
    return totals["total_sessions"], totals["total_events"]


@pytest.mark.parametrize(("query", "expected"), CHOSEN.values(), ids=CHOSEN)
def test_filters_choose_sessions(visits, get, query, expected):
    assert count(get, query) == expected


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_filtered_response_is_read_from_one_snapshot(visits, database, get):
    """Before each statement of the request, another connection writes a page view of a session that does not match."""
    connection = database._handle().statements.connection
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        connection.set_trace_callback(lambda sql: other.execute(INSERT_VIEW, [NOW]))
        try:
            pages = get("/analytics/pages/top?days=2&country.not=DE")
        finally:
            connection.set_trace_callback(None)

    assert pages == [{"page": "/caf\u00e9", "views": 1, "unique_sessions": 1}]
    assert len(get("/analytics/pages/top?country=DE")) == 1


@pytest.mark.any_engine
@pytest.mark.shared_database
@pytest.mark.parametrize(("query", "message"), REFUSED.values(), ids=REFUSED)
def test_invalid_filters_are_400(client, query, message):
    for path in FILTERED:
        response = client.get(f"{path}?{query}")

        assert (response.status_code, response.json) == (400, {"error": message}), path


@pytest.mark.any_engine
def test_more_than_ten_filters_are_400(client):
    names = ["country", "source", "entry_page", "exit_page", "page", "event_type"]
    ten = [f"{name}{suffix}=a" for name in names for suffix in ("", ".not")][:10]

    assert client.get(f"/analytics/overview?{'&'.join(ten)}&visitor=").status_code == 200
    refused = client.get(f"/analytics/overview?{'&'.join(ten)}&visitor=new")
    assert refused.status_code == 400
    assert refused.json == {"error": "visitor is one filter too many: at most 10 can be combined"}


@pytest.mark.any_engine
def test_ten_filters_with_twenty_values_are_accepted(client):
    names = ["country", "source", "entry_page", "exit_page", "page", "event_type"]
    ten = [f"{name}{suffix}" for name in names for suffix in ("", ".not")][:10]
    query = "&".join(f"{name}={value}" for name in ten for value in range(20))

    assert client.get(f"/analytics/geo?{query}").json == []


@pytest.mark.any_engine
def test_filters_are_arguments_of_functions(visits, database):
    ctx = Context(database, None, NOW)

    assert overview(ctx, filters={"country": ["IN"]})["total_sessions"] == 1
    assert overview(ctx, filters={"country": "IN"})["total_sessions"] == 1
    with pytest.raises(InvalidRequest, match=r"country\.like is not a filter; use country, "):
        overview(ctx, filters={"country.like": ["IN"]})
    with pytest.raises(InvalidRequest, match=r"filters must be a mapping such as \{'country': \['IN'\]\}"):
        overview(ctx, filters=["country"])


def purge_before_today(database):
    database.write(lambda at: at.execute("update site set raw_since = :day", day=NOW // DAY))


@pytest.mark.parametrize(
    ("path", "message"),
    {
        "no-range": (
            "overview?",
            "from is required with filters: pass from=2026-02-24, because older sessions were purged",
        ),
        "from": (
            "geo?from=2026-02-23&",
            "from must be 2026-02-24 or later with filters: older sessions were purged",
        ),
        "days": (
            "sessions/daily?days=2&",
            "days: with filters, the range must not begin before 2026-02-24: older sessions were purged",
        ),
        "to": ("sources?to=2026-02-23&", "to must be 2026-02-24 or later with filters: older sessions were purged"),
        "dashboard": (
            "dashboard?days=2&",
            "days: with filters, the range must not begin before 2026-02-24: older sessions were purged",
        ),
    }.values(),
    ids=["no-range", "from", "days", "to", "dashboard"],
)
def test_purged_days_cannot_be_filtered(visits, database, client, path, message):
    purge_before_today(database)

    response = client.get(f"/analytics/{path}country=IN")

    assert (response.status_code, response.json) == (400, {"error": message})
    assert client.get(f"/analytics/{path}country=").status_code == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    {
        "default": ("sessions/daily?", "2026-02-24/2026-02-24"),
        "to": ("overview?to=2026-02-25&", "2026-02-24/2026-02-25"),
        "days": ("overview?days=1&", "2026-02-24/2026-02-24"),
        "dashboard": ("dashboard?", "2026-02-24/2026-02-24"),
        "dashboard-to": ("dashboard?to=2026-02-25&", "2026-02-24/2026-02-25"),
    }.values(),
    ids=["default", "to", "days", "dashboard", "dashboard-to"],
)
def test_ranges_begin_where_sessions_were_not_purged(visits, database, client, path, expected):
    purge_before_today(database)

    response = client.get(f"/analytics/{path}country.not=FR")

    assert response.headers["Analytics-Range"] == expected
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["overview", "conversions"])
def test_filtered_range_before_1970_is_empty(insert, get, path):
    insert("sessions", session_id="s1", visitor_id="v1", started_at=1_771_945_200_000, country="IN")

    response = get(f"/analytics/{path}?from=1960-01-01&to=1960-01-02&country=IN")

    assert response == [] or response["total_sessions"] == 0
