from helpers.client import NOW


def test_sources_of_empty_database_are_empty(get):
    domains = get("/analytics/sources")

    assert domains == []


def test_sources_are_ranked_by_sessions_then_domain(insert, get):
    domains = ["google.com", "bing.com", "google.com", None, "facebook.com", "google.com", "bing.com", ""]
    insert(
        "sessions",
        *(
            {"session_id": f"s{number}", "visitor_id": "ann", "started_at": NOW, "referrer_domain": domain}
            for number, domain in enumerate(domains)
        ),
    )

    sources = get("/analytics/sources")

    assert sources == [
        {"referrer_domain": "google.com", "sessions": 3},
        {"referrer_domain": "(direct)", "sessions": 2},
        {"referrer_domain": "bing.com", "sessions": 2},
        {"referrer_domain": "facebook.com", "sessions": 1},
    ]


def test_sources_count_null_and_empty_as_direct(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW)
    insert("sessions", session_id="s2", visitor_id="ann", started_at=NOW, referrer_domain=None)
    insert("sessions", session_id="s3", visitor_id="ann", started_at=NOW, referrer_domain="")
    insert("sessions", session_id="s4", visitor_id="ann", started_at=NOW, referrer_domain="(direct)")

    sources = get("/analytics/sources")

    assert sources == [{"referrer_domain": "(direct)", "sessions": 4}]


def test_sources_without_domain_are_direct(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, referrer="https://example.com/page")

    sources = get("/analytics/sources")

    assert sources == [{"referrer_domain": "(direct)", "sessions": 1}]


def test_sources_show_no_user_info(insert, get):
    domains = ["ann@mail.example", "ann:secret@mail.example", "a@b@mail.example", "mail.example", "ann@"]
    insert(
        "sessions",
        *(
            {"session_id": f"s{number}", "visitor_id": "ann", "started_at": NOW, "referrer_domain": domain}
            for number, domain in enumerate(domains)
        ),
    )

    of_all_time, of_a_day = get("/analytics/sources"), get("/analytics/sources?days=1")

    assert of_all_time == [
        {"referrer_domain": "mail.example", "sessions": 4},
        {"referrer_domain": "(direct)", "sessions": 1},
    ]
    assert of_a_day == of_all_time


def test_sources_default_to_the_top_hundred(insert, get):
    domains = [f"site-{number:03}.example" for number in range(101)]
    insert(
        "sessions",
        *({"session_id": name, "visitor_id": "a", "started_at": NOW, "referrer_domain": name} for name in domains),
        {"session_id": "again", "visitor_id": "a", "started_at": NOW, "referrer_domain": "site-100.example"},
    )

    sources = get("/analytics/sources")

    assert sources == [
        {"referrer_domain": "site-100.example", "sessions": 2},
        *({"referrer_domain": name, "sessions": 1} for name in domains[:99]),
    ]
