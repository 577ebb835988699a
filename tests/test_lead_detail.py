import pytest
from helpers.client import NOW, instant


def test_lead_detail_has_sessions_and_submissions(insert, get):
    insert(
        "leads",
        lead_id=42,
        enquiry_datetime="2026-02-23 11:15:00",
        contact_name="Rahul Sharma",
        contact_email="rahul@example.com",
        contact_phone="9876543210",
        project_name="Sky Towers",
        project_location="Pune",
        project_source="WebSite",
        contact_country_name="IN",
        contact_city="Pune",
        visitor_id="abc123",
        session_id="session_123",
        engagement_score=74,
        engagement_label="Very Hot",
        form_submit_count=2,
        suspicion_score=5,
        status="contacted",
    )
    insert(
        "sessions",
        session_id="session_123",
        visitor_id="abc123",
        fingerprint="f1",
        entry_page="https://example.com/sky-towers",
        exit_page="https://example.com/thank-you",
        country="IN",
        referrer="https://google.com/",
        referrer_domain="google.com",
        started_at=1740280000000,
        ended_at=1740280080000,
        duration=80000,
        engagement_score=74,
        event_count=19,
        vpn_suspected=1,
    )
    insert(
        "lead_submissions",
        submission_id=501,
        lead_id=42,
        submitted_at="2026-02-23 11:15:00",
        project_name="Sky Towers",
        visitor_id="abc123",
        session_id="session_123",
        contact_email="rahul@example.com",
        contact_phone="9876543210",
        contact_ip="198.51.100.20",
        source="WebSite",
        referer="https://example.com/sky-towers",
        cta_name="hero-form",
        is_primary_lead=1,
        is_duplicate_window=0,
        payload_json='{"FIRSTNAME":"Rahul Sharma","EMAIL":"rahul@example.com"}',
    )

    detail = get("/analytics/leads/42")

    assert detail == {
        "lead": {
            "lead_id": 42,
            "enquiry_datetime": "2026-02-23 11:15:00",
            "contact_name": "Rahul Sharma",
            "contact_email": "rahul@example.com",
            "contact_phone": "9876543210",
            "project_name": "Sky Towers",
            "project_location": "Pune",
            "project_source": "WebSite",
            "contact_country_name": "IN",
            "contact_city": "Pune",
            "visitor_id": "abc123",
            "session_id": "session_123",
            "engagement_score": 74,
            "engagement_label": "Very Hot",
            "form_submit_count": 2,
            "suspicion_score": 5,
            "status": "contacted",
            "follow_ups_count": 0,
            "last_follow_up_at": None,
            "first_session": {
                "session_id": "session_123",
                "visitor_id": "abc123",
                "entry_page": "https://example.com/sky-towers",
                "exit_page": "https://example.com/thank-you",
                "country": "IN",
                "started_at": 1740280000000,
                "ended_at": 1740280080000,
                "duration": 80000,
                "engagement_score": 74,
                "event_count": 19,
            },
            "other_leads": [],
        },
        "sessions": [
            {
                "session_id": "session_123",
                "visitor_id": "abc123",
                "entry_page": "https://example.com/sky-towers",
                "exit_page": "https://example.com/thank-you",
                "country": "IN",
                "started_at": 1740280000000,
                "ended_at": 1740280080000,
                "duration": 80000,
                "engagement_score": 74,
                "event_count": 19,
            }
        ],
        "submissions": [
            {
                "submission_id": 501,
                "lead_id": 42,
                "submitted_at": "2026-02-23 11:15:00",
                "project_name": "Sky Towers",
                "visitor_id": "abc123",
                "session_id": "session_123",
                "contact_email": "rahul@example.com",
                "contact_phone": "9876543210",
                "contact_ip": "198.51.100.20",
                "source": "WebSite",
                "referer": "https://example.com/sky-towers",
                "cta_name": "hero-form",
                "is_primary_lead": 1,
                "is_duplicate_window": 0,
                "payload_json": '{"FIRSTNAME":"Rahul Sharma","EMAIL":"rahul@example.com"}',
                "changes": [],
            }
        ],
    }


def test_visits_of_a_lead_have_the_pages_that_they_viewed(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", visitor_id="ann")
    insert("sessions", *({"session_id": name, "visitor_id": "ann", "started_at": NOW} for name in ("s1", "s2")))
    pages = ["/b", "/a", "/b", *(f"/c{number:02}" for number in range(30))]
    insert(
        "events",
        *({"session_id": "s1", "event_type": "page_view", "page_url": page, "occurred_at": NOW} for page in pages),
        {"session_id": "s1", "event_type": "click", "page_url": "/clicked", "occurred_at": NOW},
        {"session_id": "s1", "event_type": "page_view", "page_url": "/a", "occurred_at": NOW + 86_400_000},
        {"session_id": "other", "event_type": "page_view", "page_url": "/other", "occurred_at": NOW},
    )

    first, second = get("/analytics/leads/1/visits")

    viewed = [(page["page"], page["views"]) for page in first["pages"]]
    assert viewed == [("/a", 2), ("/b", 2), *((f"/c{number:02}", 1) for number in range(18))]
    assert second == {"session_id": "s2", "referrer_domain": "(direct)", "pages": []}


def test_source_of_a_visit_is_shown_without_user_info(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", session_id="s1")
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, referrer_domain="user:secret@bing.com")

    assert get("/analytics/leads/1/visits") == [{"session_id": "s1", "referrer_domain": "bing.com", "pages": []}]


def test_sessions_without_a_visitor_belong_to_no_lead(insert, get):
    insert("sessions", session_id="s1", visitor_id="", started_at=1740280000000)
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", visitor_id="")

    assert get("/analytics/leads/1")["sessions"] == []
    assert get("/analytics/leads/1/visits") == []
    assert get("/analytics/leads?has_visits=true")["total"] == 0
    assert get("/analytics/overview?lead=true")["total_sessions"] == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_visits_of_sessions_whose_ids_are_not_utf_8(database, get):
    session_id = "cast(x'73ff' as text)"
    database.write(
        lambda at: at.execute(f"""
insert into sessions (session_id, visitor_id, started_at)
values ({session_id}, 'ann', 1740280000000)
""")
    )
    database.write(
        lambda at: at.execute(f"""
insert into leads (lead_id, enquiry_datetime, session_id)
values (1, '2026-02-23 11:15:00', {session_id})
""")
    )

    assert get("/analytics/leads/1/visits") == [{"session_id": "s\ufffd", "referrer_domain": "(direct)", "pages": []}]


def test_visits_of_an_unknown_lead_are_404(client):
    assert client.get("/analytics/leads/1/visits").status_code == 404


def test_lead_detail_without_visits_has_empty_lists(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    insert("sessions", session_id="s1", visitor_id="somebody", started_at=instant("2026-02-23 11:00:00"))

    detail = get("/analytics/leads/1")

    assert detail == {
        "lead": {
            "lead_id": 1,
            "enquiry_datetime": "2026-02-23 11:15:00",
            "contact_name": None,
            "contact_email": None,
            "contact_phone": None,
            "project_name": None,
            "project_location": None,
            "project_source": None,
            "contact_country_name": None,
            "contact_city": None,
            "visitor_id": None,
            "session_id": None,
            "engagement_score": None,
            "engagement_label": None,
            "form_submit_count": 1,
            "suspicion_score": 0,
            "status": "new",
            "follow_ups_count": 0,
            "last_follow_up_at": None,
            "first_session": None,
            "other_leads": [],
        },
        "sessions": [],
        "submissions": [],
    }


def test_lead_detail_has_every_writable_column(database, insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    lead = get("/analytics/leads/1")["lead"]

    writable = {column.name for column in database.columns("leads")}
    assert set(lead) == {*writable, "follow_ups_count", "last_follow_up_at", "first_session", "other_leads"}


def test_lead_sessions_are_of_visitor_lead_and_submissions(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", visitor_id="ann", session_id="by-lead")
    insert(
        "lead_submissions",
        {"submission_id": 1, "lead_id": 1, "submitted_at": "2026-02-23 11:15:00", "session_id": "by-submission"},
        {"submission_id": 2, "lead_id": 1, "submitted_at": "2026-02-23 11:16:00", "session_id": "by-submission"},
        {"submission_id": 3, "lead_id": 1, "submitted_at": "2026-02-23 11:17:00", "session_id": "by-all"},
        {"submission_id": 4, "lead_id": 1, "submitted_at": "2026-02-23 11:18:00", "session_id": "never-written"},
        {"submission_id": 5, "lead_id": 1, "submitted_at": "2026-02-23 11:19:00", "session_id": None},
        {"submission_id": 6, "lead_id": 2, "submitted_at": "2026-02-23 11:15:00", "session_id": "of-another"},
    )
    insert(
        "sessions",
        *(
            {"session_id": session_id, "visitor_id": visitor_id, "started_at": instant(started)}
            for session_id, visitor_id, started in (
                ("by-visitor", "ann", "2026-02-20 10:00:00"),
                ("by-lead", "ann-on-her-phone", "2026-02-21 10:00:00"),
                ("by-submission", "ann-at-work", "2026-02-22 10:00:00"),
                ("by-all", "ann", "2026-02-23 10:00:00"),
                ("tie-b", "ann", "2026-02-19 10:00:00"),
                ("tie-a", "ann", "2026-02-19 10:00:00"),
                ("of-another", "bob", "2026-02-24 10:00:00"),
            )
        ),
    )

    sessions = get("/analytics/leads/1")["sessions"]

    assert [session["session_id"] for session in sessions] == [
        "by-all",
        "by-submission",
        "by-lead",
        "by-visitor",
        "tie-a",
        "tie-b",
    ]


def test_lead_submissions_are_newest_first(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    insert(
        "lead_submissions",
        {"submission_id": 7, "lead_id": 1, "submitted_at": "2026-02-23 11:15:00", "is_primary_lead": 1},
        {"submission_id": 3, "lead_id": 1, "submitted_at": "2026-02-24 11:15:00"},
        {"submission_id": 5, "lead_id": 1, "submitted_at": "2026-02-24 11:15:00"},
        {"submission_id": 9, "lead_id": 1, "submitted_at": "2026-02-22 11:15:00"},
        {"submission_id": 4, "lead_id": 2, "submitted_at": "2026-02-24 11:15:00"},
    )

    detail = get("/analytics/leads/1")

    assert [submission["submission_id"] for submission in detail["submissions"]] == [5, 3, 7, 9]
    assert detail["lead"]["follow_ups_count"] == 3
    assert detail["lead"]["last_follow_up_at"] == "2026-02-24 11:15:00"


def test_submission_payload_is_returned_unchanged(insert, get):
    payloads = ['{"FIRSTNAME": "Zoë",\n "PHONE": null}', "not json", "", None, "[" * 5000]
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    insert(
        "lead_submissions",
        *(
            {"submission_id": number, "lead_id": 1, "submitted_at": "2026-02-23 11:15:00", "payload_json": payload}
            for number, payload in enumerate(payloads)
        ),
    )

    submissions = get("/analytics/leads/1")["submissions"]

    assert [submission["payload_json"] for submission in reversed(submissions)] == payloads


def test_unknown_lead_is_404(insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    for lead_id in ("2", "2147483648", "1000000000000000000", "9223372036854775807"):
        response = client.get(f"/analytics/leads/{lead_id}")

        assert response.status_code == 404
        assert response.json == {"error": "Lead not found"}


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    "lead_id",
    [
        "abc",
        "0",
        "00",
        "-1",
        "%2B1",
        "+1",
        "1e2",
        "1.0",
        "1_0",
        "0x1",
        "%201",
        "1%20",
        "1%00",
        "null",
        "999999999999999999999999999999",
        "9223372036854775808",
        "9" * 5000,
        "%D9%A1",  # an Arabic digit 1
        "%C2%B2",  # a superscript 2
        "%EF%BC%91",  # a full-width digit 1
        "%FF",
        "%F0%9F%91%8B",
        "1;drop table leads",
        "'",
    ],
)
def test_invalid_lead_id_is_400(client, lead_id):
    for method in ("GET", "PATCH"):
        response = client.open(f"/analytics/leads/{lead_id}", method=method, json={"status": "won"})

        assert (response.status_code, response.json) == (400, {"error": "Invalid lead id"}), method


def test_largest_lead_id_is_accepted(insert, get):
    insert("leads", lead_id=9223372036854775807, enquiry_datetime="2026-02-23 11:15:00")

    detail = get("/analytics/leads/9223372036854775807")

    assert detail["lead"]["lead_id"] == 9223372036854775807
