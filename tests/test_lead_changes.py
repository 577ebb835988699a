"""The history of a lead, and parts of its detail: changes by submissions, the first session, and other leads."""

import pytest
from helpers.client import instant

ENQUIRY = "2026-02-23 11:15:00"


@pytest.fixture
def changes(insert, get):
    """Return a function that inserts two submissions and returns the second one's changes as (field, from, to)."""

    def changes(before, after):
        insert("leads", lead_id=1, enquiry_datetime=ENQUIRY)
        insert("lead_submissions", {"submission_id": 1, "lead_id": 1, "submitted_at": ENQUIRY, **before})
        insert("lead_submissions", {"submission_id": 2, "lead_id": 1, "submitted_at": ENQUIRY, **after})
        second, first = get("/analytics/leads/1")["submissions"]
        assert first["changes"] == []
        return [(change["field"], change["from"], change["to"]) for change in second["changes"]]

    return changes


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"contact_phone": "+91 (98) 7-6"}, {"contact_phone": "91.98/76"}, []),
        ({"contact_phone": "9876"}, {"contact_phone": "9877"}, [("contact_phone", "9876", "9877")]),
        ({"contact_email": "Ann@X.example "}, {"contact_email": "ann@x.example"}, []),
        ({"project_name": "Sky"}, {"project_name": "sky"}, [("project_name", "Sky", "sky")]),
        ({"source": ""}, {"source": None}, []),
        ({"cta_name": None}, {"cta_name": "hero"}, [("cta_name", None, "hero")]),
        ({"contact_ip": "1.1.1.1"}, {"contact_ip": "2.2.2.2"}, []),
        ({"payload_json": '{"PHONE":"1 2","B":""}'}, {"payload_json": '{"PHONE":"12"}'}, []),
        ({"payload_json": '{"eMail":"A n@x"}'}, {"payload_json": '{"eMail":"an@X"}'}, []),
        ({"payload_json": '{"A":1}'}, {"payload_json": '{"A":2}'}, [("payload.A", "1", "2")]),
        ({"payload_json": '{"A":1}'}, {"payload_json": "[1]"}, []),
        ({"payload_json": '{"A":"x"}'}, {"payload_json": '{"A":"\\ud800"}'}, [("payload.A", "x", "?")]),
        ({"payload_json": '{"A":1}'}, {"payload_json": '{"A":"1"}'}, []),
    ],
    ids=["phone", "digit", "email", "case", "empty", "null", "other", "key", "mail", "json", "array", "half", "int"],
)  # fmt: skip
def test_submission_lists_its_changes(changes, before, after, expected):
    assert changes(before, after) == expected


def session(session_id, visitor_id, started_at):
    return {"session_id": session_id, "visitor_id": visitor_id, "started_at": instant(started_at)}


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        ({"visitor_id": "ann"}, "a1"),
        ({"visitor_id": "ann", "session_id": "b1"}, "a1"),
        ({"visitor_id": "", "session_id": "a2"}, "a1"),
        ({"visitor_id": "late"}, None),
        ({"visitor_id": "late", "session_id": "a2"}, "a2"),
        ({"visitor_id": None, "session_id": "gone"}, None),
        ({"visitor_id": "ann", "enquiry_datetime": ""}, None),
    ],
    ids=["visitor", "before_session", "of_session", "later", "named", "none", "undated"],
)
def test_first_session_began_before_the_enquiry(insert, get, lead, expected):
    insert(
        "sessions",
        session("a2", "ann", "2026-02-23 10:00:00"),
        session("a1", "ann", "2026-02-22 10:00:00"),
        session("b1", "ben", "2026-02-20 10:00:00"),
        session("l1", "late", "2026-02-23 11:15:01"),
    )
    insert("leads", {"lead_id": 1, "enquiry_datetime": ENQUIRY, **lead})

    first = get("/analytics/leads/1")["lead"]["first_session"]

    assert (first and first["session_id"]) == expected


def test_other_leads_share_visitor_email_or_phone(insert, get):
    insert("sessions", session("s1", "ann", "2026-02-22 10:00:00"))
    insert(
        "leads",
        *(
            {
                "lead_id": number,
                "enquiry_datetime": f"2026-02-{number:02} 00:00:00",
                "session_id": None,
                "visitor_id": None,
                "contact_email": None,
                "contact_phone": None,
                **lead,
            }
            for number, lead in enumerate(
                (
                    {"session_id": "s1", "contact_email": "A b@x.example", "contact_phone": "+1 (2)-3"},
                    {"visitor_id": "ann"},
                    {"contact_email": "ab@X.example"},
                    {"contact_phone": "1.2/3"},
                    {"visitor_id": "", "contact_email": "", "contact_phone": ""},
                    {"contact_email": "b@x.example", "contact_phone": "1234"},
                ),
                start=1,
            )
        ),
    )

    others = get("/analytics/leads/1")["lead"]["other_leads"]

    assert others == [
        {"lead_id": number, "enquiry_datetime": f"2026-02-{number:02} 00:00:00", "status": "new"}
        for number in (4, 3, 2)
    ]
    assert get("/analytics/leads/5")["lead"]["other_leads"] == []


def test_history_is_newest_first(insert, get):
    insert("leads", lead_id=1, enquiry_datetime=ENQUIRY)
    insert(
        "lead_status_changes",
        *(
            {
                "change_id": id_,
                "lead_id": 1,
                "old_status": old,
                "new_status": new,
                "changed_at": at,
                "changed_by": "ann",
            }
            for id_, old, new, at in ((1, "new", "won", 7), (2, "won", "lost", 5), (3, "lost", "new", 7))
        ),
    )

    moves = get("/analytics/leads/1/history")

    assert [(move["from"], move["to"], move["changed_at"], move["changed_by"]) for move in moves] == [
        ("lost", "new", 7, "ann"),
        ("new", "won", 7, "ann"),
        ("won", "lost", 5, "ann"),
    ]


def test_history_of_an_unknown_lead_is_404(client):
    response = client.get("/analytics/leads/1/history")

    assert (response.status_code, response.json) == (404, {"error": "Lead not found"})
