from helpers.client import NOW


def test_geo_of_empty_database_is_empty(get):
    countries = get("/analytics/geo")

    assert countries == []


def test_geo_ranks_by_sessions_and_counts_visitors_once(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, country="US")
    insert("sessions", session_id="s2", visitor_id="ann", started_at=NOW, country="US")
    insert("sessions", session_id="s3", visitor_id="bob", started_at=NOW, country="US")
    insert("sessions", session_id="s4", visitor_id="ann", started_at=NOW, country="IN")

    countries = get("/analytics/geo")

    assert countries == [
        {"country": "US", "sessions": 3, "unique_visitors": 2},
        {"country": "IN", "sessions": 1, "unique_visitors": 1},
    ]


def test_geo_without_country_is_xx(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, country=None)
    insert("sessions", session_id="s2", visitor_id="ann", started_at=NOW, country="")
    insert("sessions", session_id="s3", visitor_id="bob", started_at=NOW, country="XX")
    insert("sessions", session_id="s4", visitor_id="cy", started_at=NOW)

    countries = get("/analytics/geo")

    assert countries == [{"country": "XX", "sessions": 4, "unique_visitors": 3}]


def test_geo_breaks_ties_by_country(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, country="PL")
    insert("sessions", session_id="s2", visitor_id="ann", started_at=NOW)
    insert("sessions", session_id="s3", visitor_id="ann", started_at=NOW, country="AE")
    insert("sessions", session_id="s4", visitor_id="ann", started_at=NOW, country="T1")

    countries = get("/analytics/geo")

    assert countries == [
        {"country": "AE", "sessions": 1, "unique_visitors": 1},
        {"country": "PL", "sessions": 1, "unique_visitors": 1},
        {"country": "T1", "sessions": 1, "unique_visitors": 1},
        {"country": "XX", "sessions": 1, "unique_visitors": 1},
    ]


def test_geo_returns_every_country(insert, get):
    codes = [first + second for first in "ABCDEFGHIJ" for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    insert(
        "sessions",
        *({"session_id": code, "visitor_id": "ann", "started_at": NOW, "country": code} for code in codes),
    )

    countries = get("/analytics/geo")

    assert countries == [{"country": code, "sessions": 1, "unique_visitors": 1} for code in codes]
