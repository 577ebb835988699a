import pytest
from helpers.client import NOW


@pytest.fixture
def insert_events(insert):
    """Insert events. Each argument is a session, a type and a page."""
    ids = iter(range(1000))

    def insert_events(*events):
        insert(
            "events",
            *(
                {
                    "event_id": next(ids),
                    "session_id": session_id,
                    "event_type": event_type,
                    "page_url": page_url,
                    "occurred_at": NOW,
                }
                for session_id, event_type, page_url in events
            ),
        )

    return insert_events


def test_pages_of_empty_database_are_empty(get):
    pages = get("/analytics/pages/top")

    assert pages == []


def test_pages_are_ranked_by_views_and_count_sessions_once(insert_events, get):
    insert_events(
        ("s1", "page_view", "https://example.com/home"),
        ("s1", "page_view", "https://example.com/home"),
        ("s2", "page_view", "https://example.com/home"),
        ("s1", "page_view", "https://example.com/prices"),
        ("s1", "page_view", "https://example.com/prices"),
        ("s3", "page_view", "https://example.com/about"),
    )

    pages = get("/analytics/pages/top")

    assert pages == [
        {"page": "https://example.com/home", "views": 3, "unique_sessions": 2},
        {"page": "https://example.com/prices", "views": 2, "unique_sessions": 1},
        {"page": "https://example.com/about", "views": 1, "unique_sessions": 1},
    ]


def test_pages_count_only_page_views_with_a_page(insert_events, get):
    insert_events(
        ("s1", "page_view", "/a"),
        ("s1", "click", "/a"),
        ("s1", "PAGE_VIEW", "/a"),
        ("s1", "page_view ", "/a"),
        ("s1", "page_view", None),
        ("s1", "page_view", ""),
        ("s1", "scroll", "/only-scrolled"),
    )

    pages = get("/analytics/pages/top")

    assert pages == [{"page": "/a", "views": 1, "unique_sessions": 1}]


def test_pages_break_ties_by_page(insert_events, get):
    insert_events(
        ("s1", "page_view", "/b"),
        ("s1", "page_view", "/a"),
        ("s1", "page_view", "/é"),
        ("s1", "page_view", "/B"),
        ("s1", "page_view", "/c"),
        ("s2", "page_view", "/c"),
    )

    pages = get("/analytics/pages/top")

    assert pages == [
        {"page": "/c", "views": 2, "unique_sessions": 2},
        {"page": "/B", "views": 1, "unique_sessions": 1},
        {"page": "/a", "views": 1, "unique_sessions": 1},
        {"page": "/b", "views": 1, "unique_sessions": 1},
        {"page": "/é", "views": 1, "unique_sessions": 1},
    ]


def test_pages_limit_returns_the_most_viewed(insert_events, get):
    insert_events(
        ("s1", "page_view", "/once"),
        ("s1", "page_view", "/twice"),
        ("s1", "page_view", "/twice"),
        ("s1", "page_view", "/thrice"),
        ("s1", "page_view", "/thrice"),
        ("s1", "page_view", "/thrice"),
    )

    pages = get("/analytics/pages/top?limit=2")

    assert pages == [
        {"page": "/thrice", "views": 3, "unique_sessions": 1},
        {"page": "/twice", "views": 2, "unique_sessions": 1},
    ]


def test_pages_differ_by_every_character(insert_events, get):
    insert_events(
        ("s1", "page_view", "https://example.com/"),
        ("s1", "page_view", "https://example.com"),
        ("s1", "page_view", "https://example.com/?a=1"),
        ("s1", "page_view", "https://example.com/#a"),
        ("s1", "page_view", 'https://example.com/"quoted"\\'),
    )

    pages = get("/analytics/pages/top")

    assert pages == [
        {"page": "https://example.com", "views": 1, "unique_sessions": 1},
        {"page": "https://example.com/", "views": 1, "unique_sessions": 1},
        {"page": 'https://example.com/"quoted"\\', "views": 1, "unique_sessions": 1},
        {"page": "https://example.com/#a", "views": 1, "unique_sessions": 1},
        {"page": "https://example.com/?a=1", "views": 1, "unique_sessions": 1},
    ]


def test_pages_count_a_moved_view_once(insert_events, database, get):
    insert_events(("unknown", "page_view", "/a"))

    database.write(lambda at: at.execute("update events set occurred_at = occurred_at + 86400000"))

    assert get("/analytics/pages/top") == [{"page": "/a", "views": 1, "unique_sessions": 1}]
    assert database.verify() == []
