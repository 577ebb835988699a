"""Create and insert sessions that have every column that the statistics show."""

from helpers.client import instant


def session(number, day, *, visitor=None, **columns):
    """Return a session of one minute at noon of a day."""
    started_at = instant(f"{day} 12:00:00") + number
    return {
        "session_id": f"s{number}",
        "visitor_id": visitor or f"v{number}",
        "started_at": started_at,
        "ended_at": started_at + 60_000,
        "duration": 60_000,
        "engagement_score": 50,
        "country": "IN",
        "referrer_domain": "google.com",
        "entry_page": "https://shop.example/",
        "exit_page": "https://shop.example/thanks",
        **columns,
    }


def insert(database, table, *rows):
    def write(at):
        for row in rows:
            at.insert(table, list(row), [tuple(row.values())])

    database.write(write)
