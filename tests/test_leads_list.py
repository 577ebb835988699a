from helpers.client import KEY, NOW


def test_empty_list_has_total_0(get):
    page = get("/analytics/leads")

    assert page == {"leads": [], "total": 0}


def test_lead_has_follow_ups_and_status(insert, get):
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
        "lead_submissions",
        {"submission_id": 1, "lead_id": 42, "submitted_at": "2026-02-23 11:15:00", "is_primary_lead": 1},
        {"submission_id": 2, "lead_id": 42, "submitted_at": "2026-02-24 09:30:00", "is_primary_lead": 0},
    )

    page = get("/analytics/leads")

    assert page == {
        "leads": [
            {
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
                "follow_ups_count": 1,
                "last_follow_up_at": "2026-02-24 09:30:00",
                "status": "contacted",
            }
        ],
        "total": 1,
    }


def test_minimal_lead_has_nulls_and_defaults(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    page = get("/analytics/leads")

    assert page == {
        "leads": [
            {
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
                "follow_ups_count": 0,
                "last_follow_up_at": None,
                "status": "new",
            }
        ],
        "total": 1,
    }


def test_primary_submission_is_not_a_follow_up(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-20 10:00:00")
    insert(
        "lead_submissions",
        {"submission_id": 1, "lead_id": 1, "submitted_at": "2026-02-24 12:00:00", "is_primary_lead": 1},
        {"submission_id": 2, "lead_id": 1, "submitted_at": "2026-02-22 12:00:00", "is_primary_lead": 0},
        {"submission_id": 3, "lead_id": 1, "submitted_at": "2026-02-23 12:00:00"},
        {"submission_id": 4, "lead_id": 1, "submitted_at": "2026-02-21 12:00:00", "is_primary_lead": 0},
        {"submission_id": 5, "lead_id": 2, "submitted_at": "2026-02-24 13:00:00", "is_primary_lead": 0},
    )

    lead = get("/analytics/leads")["leads"][0]

    assert (lead["follow_ups_count"], lead["last_follow_up_at"]) == (3, "2026-02-23 12:00:00")


def test_offset_and_limit_select_a_page(insert, get):
    insert(
        "leads",
        *({"lead_id": number, "enquiry_datetime": f"2026-02-23 11:{number:02}:00"} for number in range(1, 31)),
    )

    first = get("/analytics/leads")
    second = get("/analytics/leads?offset=25")
    third = get("/analytics/leads?offset=30")
    middle = get("/analytics/leads?limit=3&offset=10")

    assert [lead["lead_id"] for lead in first["leads"]] == list(range(30, 5, -1))
    assert [lead["lead_id"] for lead in second["leads"]] == [5, 4, 3, 2, 1]
    assert third == {"leads": [], "total": 30}
    assert [lead["lead_id"] for lead in middle["leads"]] == [20, 19, 18]
    assert {page["total"] for page in (first, second, third, middle)} == {30}


def test_status_filter_selects_and_counts(insert, get):
    stages = ["new", "contacted", "qualified", "proposal", "won", "lost", "new", "won", "new"]
    insert(
        "leads",
        *(
            {"lead_id": number, "enquiry_datetime": "2026-02-23 11:00:00", "status": stage}
            for number, stage in enumerate(stages)
        ),
    )

    pages = {}
    for stage in ("new", "contacted", "qualified", "proposal", "won", "lost"):
        page = get(f"/analytics/leads?status={stage}&limit=2")
        pages[stage] = ([lead["lead_id"] for lead in page["leads"]], page["total"])

    assert pages == {
        "new": ([8, 6], 3),
        "contacted": ([1], 1),
        "qualified": ([2], 1),
        "proposal": ([3], 1),
        "won": ([7, 4], 2),
        "lost": ([5], 1),
    }


def test_unused_status_is_an_empty_page(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00")

    page = get("/analytics/leads?status=won")

    assert page == {"leads": [], "total": 0}


def test_status_filter_ignores_case(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00", status="won")
    insert("leads", lead_id=2, enquiry_datetime="2026-02-23 11:00:00", status="lost")

    totals = [get("/analytics/leads", query_string={"status": text})["total"] for text in ("WON", "Won", " wOn ")]

    assert totals == [1, 1, 1]


def test_status_update_moves_lead_between_filters(insert, get, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00")
    insert("leads", lead_id=2, enquiry_datetime="2026-02-23 11:00:00")

    client.patch("/analytics/leads/1", json={"status": "won"})

    assert [lead["lead_id"] for lead in get("/analytics/leads?status=won")["leads"]] == [1]
    assert [lead["lead_id"] for lead in get("/analytics/leads?status=new")["leads"]] == [2]
    assert get("/analytics/leads")["total"] == 2


def test_texts_of_any_script_are_returned_unchanged(insert, get):
    texts = {
        "contact_name": 'Zoë O\'Brien \N{WAVING HAND SIGN} "Zo" <b>',
        "contact_email": "zoë@exämple.com",
        "contact_phone": "+91 (98) 7654-3210",
        "project_name": "स्काई टावर्स\n二号",
        "visitor_id": "\\x00%27",
    }
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00", **texts)

    lead = get("/analytics/leads")["leads"][0]

    assert {column: lead[column] for column in texts} == texts


def test_every_key_sees_the_same_leads(insert, serve):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00")
    client = serve(api_keys={"one": KEY, "other": "another-key"}, now=NOW)

    pages = [client.get("/analytics/leads", key=key).json for key in (KEY, "another-key")]

    assert pages[0] == pages[1]
