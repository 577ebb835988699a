import json
from random import Random

import pytest
from helpers.client import NOW
from helpers.plain_leads import ORDERS, hours_later, in_order, matches, random_filters, random_leads

from analytics_api.context import Context
from analytics_api.database import SQLite
from analytics_api.endpoints.leads import list_leads
from analytics_api.errors import InvalidRequest
from analytics_api.maintenance.site import change_settings

ZONE = "Asia/Kolkata"
SESSIONS = {"s1": "v9", "s2": "v1"}


@pytest.fixture
def filled(database, request):
    """Insert leads with follow-ups and sessions, and return the leads.

    The parameter of the fixture is the number of leads. The default is 4,000, so that some pages are read in the order
    of an index instead of from all matches.
    """
    random = Random(7)
    leads = random_leads(random, getattr(request, "param", 4_000))
    submissions = [
        (lead["lead_id"], lead["lead_id"], hours_later(lead["enquiry_datetime"], random.randrange(100)), 0)
        for lead in leads
        if random.random() < 0.3
    ]

    def write(at):
        at.insert("leads", list(leads[0]), [list(lead.values()) for lead in leads])
        at.insert("lead_submissions", ["submission_id", "lead_id", "submitted_at", "is_primary_lead"], submissions)
        at.insert(
            "sessions", ["session_id", "visitor_id", "started_at"], [(*session, NOW) for session in SESSIONS.items()]
        )

    change_settings(database, time_zone=ZONE)  # before the insertion, because it rebuilds all counters
    database.bulk(write)
    if not isinstance(database, SQLite):
        # Autovacuum is off in the tests. Without statistics, PostgreSQL chooses plans that take seconds.
        database.write(lambda at: at.execute("analyze leads, sessions"))
    follow_ups = {lead_id: time for _, lead_id, time, _ in submissions}
    return [{**lead, "last_follow_up_at": follow_ups.get(lead["lead_id"])} for lead in leads]


@pytest.mark.slow
def test_filters_match_a_plain_reference(filled, client):
    random = Random(8)
    for _ in range(60):
        filters, sort = random_filters(random), random.choice(list(ORDERS))
        expected = [
            lead["lead_id"]
            for lead in in_order([lead for lead in filled if matches(lead, filters, SESSIONS, ZONE)], sort)
        ]
        place = random.choice((0, 0, 5, 100, len(expected), len(expected) + 1))

        page = client.get("/analytics/leads", query_string={**filters, "sort": sort, "limit": 20, "offset": place}).json

        assert [lead["lead_id"] for lead in page["leads"]] == expected[place : place + 20], (filters, sort, place)
        assert page["total"] == len(expected), filters


@pytest.mark.slow
@pytest.mark.parametrize("filled", [1_000], indirect=True)
def test_link_headers_reach_every_filtered_lead(filled, client):
    random = Random(9)
    for sort in ORDERS:
        filters = {"project": "Ünïcode 100%_", **random_filters(random)}
        expected = in_order([lead for lead in filled if matches(lead, filters, SESSIONS, ZONE)], sort)

        walked = []
        response = client.get("/analytics/leads", query_string={**filters, "sort": sort, "limit": 100})
        while True:
            walked += [lead["lead_id"] for lead in response.json["leads"]]
            assert response.json["total"] == len(expected)
            if "Link" not in response.headers:
                break
            [link] = response.headers.getlist("Link")
            query = link.partition("?")[2].partition(">")[0]
            response = client.get("/analytics/leads", query_string=query)

        assert walked == [lead["lead_id"] for lead in expected], (filters, sort)


@pytest.mark.slow
@pytest.mark.parametrize("filled", [1_000], indirect=True)
def test_export_has_the_filtered_leads_in_order(filled, client):
    filters = {"project": ["sky towers", "Sky Towers"], "score_min": 50, "has_visits": "true", "q": "an"}

    text = client.get("/analytics/leads/export", query_string={**filters, "format": "ndjson", "sort": "score_asc"}).text

    expected = in_order([lead for lead in filled if matches(lead, filters, SESSIONS, ZONE)], "score_asc")
    assert [json.loads(line)["lead_id"] for line in text.splitlines()] == [lead["lead_id"] for lead in expected]


def test_filter_values_match_exactly(insert, get):
    insert(
        "leads",
        {"lead_id": 1, "enquiry_datetime": "2026-02-23 11:00:00", "project_name": "Sky"},
        {"lead_id": 2, "enquiry_datetime": "2026-02-23 11:00:00", "project_name": "sky"},
        {"lead_id": 3, "enquiry_datetime": "2026-02-23 11:00:00", "project_name": "Sky "},
    )

    page = get("/analytics/leads?project=Sky&project=Sky%20")

    assert [lead["lead_id"] for lead in page["leads"]] == [3, 1]


def test_days_are_in_the_time_zone_of_the_site(database, insert, get):
    change_settings(database, time_zone=ZONE)
    insert(
        "leads",
        {"lead_id": 1, "enquiry_datetime": "2026-02-22 18:29:59"},
        {"lead_id": 2, "enquiry_datetime": "2026-02-22 18:30:00"},
        {"lead_id": 3, "enquiry_datetime": "2026-02-23 18:29:59"},
        {"lead_id": 4, "enquiry_datetime": "2026-02-23 18:30:00"},
        {"lead_id": 5, "enquiry_datetime": ""},
    )

    page = get("/analytics/leads?from=2026-02-23&to=2026-02-23")

    assert [lead["lead_id"] for lead in page["leads"]] == [3, 2]
    assert get("/analytics/leads?to=9999-12-31")["total"] == 4
    assert get("/analytics/leads?from=0001-01-01")["total"] == 4


def test_bulk_load_of_sessions_updates_has_visits(database, insert, get):
    insert("leads", {"lead_id": 1, "enquiry_datetime": "", "visitor_id": "v1"}, {"lead_id": 2, "enquiry_datetime": ""})

    database.bulk(lambda at: at.insert("sessions", ["session_id", "visitor_id", "started_at"], [["s1", "v1", NOW]]))

    assert [lead["lead_id"] for lead in get("/analytics/leads?has_visits=true")["leads"]] == [1]
    assert database.verify() == []


def test_empty_filters_are_ignored(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00")

    page = get("/analytics/leads?status=&project=&from=&score_min=&has_visits=")

    assert page["total"] == 1


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2026-02-24&to=2026-02-23", "from must not be after to"),
        ("follow_up_from=2026-02-24&follow_up_to=2026-02-23", "follow_up_from must not be after follow_up_to"),
        ("score_min=2&score_max=1", "score_min must not be greater than score_max"),
        ("score_min=high", "score_min must be an integer"),
        ("has_visits=1", "has_visits must be true or false"),
        ("status=new&status=old", "status must be one of new, contacted, qualified, proposal, won, lost"),
        ("to=yesterday", "to must be a date such as 2026-02-28"),
        ("city=%00", "city must not contain NUL"),
        ("&".join(f"label={number}" for number in range(21)), "label must have at most 20 values"),
    ],
    ids=["days", "follow_ups", "scores", "number", "boolean", "status", "date", "nul", "many"],
)
def test_impossible_filter_is_400(client, query, message):
    for path in ("leads", "leads/export", "leads/facets", "board", "board/new"):
        response = client.get(f"/analytics/{path}?{query}")

        assert (response.status_code, response.json) == (400, {"error": message}), path


@pytest.mark.any_engine
def test_unknown_filter_from_python_is_rejected(database):
    ctx = Context(database, None, NOW)

    with pytest.raises(InvalidRequest, match="colour is not a filter of leads"):
        list_leads(ctx, limit=25, filters={"colour": ["red"]})
