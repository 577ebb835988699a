from helpers.client import NOW


def test_nothing_recorded_is_an_empty_list(get):
    domains = get("/analytics/sources")

    assert domains == []


def test_domains_are_ranked_by_sessions_and_ties_are_in_their_order(insert, get):
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


def test_null_empty_and_the_word_itself_are_direct(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW)
    insert("sessions", session_id="s2", visitor_id="ann", started_at=NOW, referrer_domain=None)
    insert("sessions", session_id="s3", visitor_id="ann", started_at=NOW, referrer_domain="")
    insert("sessions", session_id="s4", visitor_id="ann", started_at=NOW, referrer_domain="(direct)")

    sources = get("/analytics/sources")

    assert sources == [{"referrer_domain": "(direct)", "sessions": 4}]


def test_a_referrer_without_a_domain_is_direct(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, referrer="https://example.com/page")

    sources = get("/analytics/sources")

    assert sources == [{"referrer_domain": "(direct)", "sessions": 1}]


def test_without_a_limit_it_is_the_top_hundred(insert, get):
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
