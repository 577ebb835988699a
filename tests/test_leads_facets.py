from collections import Counter
from random import Random

import pytest
from helpers.client import NOW
from helpers.plain_leads import COLUMNS, matches, random_filters, random_leads

FACETS = ("project", "source", "country", "label")
SESSIONS = {"s1": "v1"}


def expected_facets(leads, filters):
    counts = {
        name: Counter(
            lead[COLUMNS[name]]
            for lead in leads
            if matches(lead, {other: value for other, value in filters.items() if other != name}, SESSIONS, "UTC")
        )
        for name in FACETS
    }
    return {
        name: [
            {"value": value, "count": count}
            for value, count in sorted(counter.items(), key=lambda item: (-item[1], item[0] or ""))
            if value
        ]
        for name, counter in counts.items()
    }


@pytest.mark.slow
def test_facets_match_a_plain_reference(database, insert, get):
    random = Random(5)
    leads = [{**lead, "last_follow_up_at": None} for lead in random_leads(random, 500)]
    columns = [column for column in leads[0] if column != "last_follow_up_at"]
    database.write(lambda at: at.insert("leads", columns, [[lead[column] for column in columns] for lead in leads]))

    insert("sessions", session_id="s1", visitor_id="v1", started_at=NOW)

    for filters in ({}, {"has_visits": "true"}, {"has_visits": "false"}, *(random_filters(random) for _ in range(30))):
        facets = get("/analytics/leads/facets", query_string=filters)

        assert facets == expected_facets(leads, filters), filters


def test_facet_is_counted_without_its_own_filter(insert, get):
    insert(
        "leads",
        {"lead_id": 1, "enquiry_datetime": "", "project_name": "Sky", "project_source": "Web"},
        {"lead_id": 2, "enquiry_datetime": "", "project_name": "Sea", "project_source": "Web"},
        {"lead_id": 3, "enquiry_datetime": "", "project_name": "Sea", "project_source": ""},
    )

    facets = get("/analytics/leads/facets?project=Sea")

    assert facets == {
        "project": [{"value": "Sea", "count": 2}, {"value": "Sky", "count": 1}],
        "source": [{"value": "Web", "count": 1}],
        "country": [],
        "label": [],
    }


def test_facets_have_at_most_100_values(insert, get):
    insert("leads", *({"enquiry_datetime": "", "project_name": f"P{number:03}"} for number in range(101)))

    facets = get("/analytics/leads/facets")

    assert [row["value"] for row in facets["project"]] == [f"P{number:03}" for number in range(100)]
