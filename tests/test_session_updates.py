"""Each column of a session that is counted is counted again after an update of this column alone."""

import pytest
from helpers.client import NOW

SESSION = {
    "session_id": "s",
    "visitor_id": "v",
    "fingerprint": "f",
    "started_at": NOW - 1000,
    "ended_at": NOW,
    "duration": 1000,
    "engagement_score": 10,
    "entry_page": "/",
    "exit_page": "/",
    "country": "IN",
    "referrer_domain": "example.org",
}


@pytest.mark.parametrize(
    "statement",
    [
        "update sessions set duration = 2000",
        "update sessions set exit_page = '/b?x'",
        "update sessions set entry_page = '/b?x'",
        "delete from sessions",
    ],
)
def test_page_query_changed_by_sql_rejects_no_write(database, insert, statement):
    """The setting was changed without the command that rebuilds the counters."""
    insert("sessions", {**SESSION, "entry_page": "/a?x", "exit_page": "/a?x"})
    database.write(lambda at: at.execute("update site set page_query = 'drop'"))

    database.write(lambda at: at.execute(statement))

    database.rebuild()
    assert database.verify() == []


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": "t"},
        {"visitor_id": "w"},
        {"fingerprint": "g"},
        {"fingerprint": None},
        {"started_at": NOW - 86_400_000},
        {"ended_at": None},
        {"duration": 2000},
        {"engagement_score": 90},
        {"entry_page": "/new"},
        {"entry_page": "/?utm_campaign=spring"},
        {"exit_page": "/new"},
        {"country": "DE"},
        {"referrer_domain": None},
        {"vpn_suspected": 1},
    ],
    ids=str,
)
def test_update_of_one_column_is_counted(database, insert, change):
    insert("sessions", SESSION)
    [(column, value)] = change.items()

    database.write(lambda at: at.execute(f"update sessions set {column} = :value", value=value))

    assert database.verify() == []


def test_exit_pages_exchanged_by_one_update_are_counted_by_day(database, insert):
    insert("sessions", SESSION, {**SESSION, "session_id": "t", "started_at": NOW - 86_400_000, "exit_page": "/b"})

    database.write(
        lambda at: at.execute("update sessions set exit_page = case exit_page when '/' then '/b' else '/' end")
    )

    assert database.verify() == []
