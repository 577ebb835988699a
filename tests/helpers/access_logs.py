"""Create lines of access logs, and read the rows that an import stored."""

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:38.0) Gecko/20100101 Firefox/38.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def line(
    clock="10:00:00",
    path="/",
    *,
    day="17/May/2015",
    zone="+0000",
    address="198.51.100.7",
    request=None,
    status=200,
    referrer="-",
    agent=FIREFOX,
    host="",
    behind="",
):
    """Return a line in the Combined Log Format, with the text `host` before it and the text `behind` after it."""
    request = request or f"GET {path} HTTP/1.1"
    return (
        f'{host}{address} - - [{day}:{clock} {zone}] "{request}" {status} 512 "{referrer}" "{agent}"{behind}\n'
    ).encode()


def events(database):
    """Return every event as (time of day, type, page), in chronological order."""
    return [
        (clock(row["occurred_at"]), row["event_type"], row["page_url"])
        for row in database.rows("select * from events order by occurred_at, page_url, event_type")
    ]


def sessions(database):
    """Return every session as (time of its start, seconds, events, entry page, exit page), in chronological order."""
    return [
        (clock(row["started_at"]), row["duration"] // 1000, row["event_count"], row["entry_page"], row["exit_page"])
        for row in database.rows("select * from sessions order by started_at, visitor_id")
    ]


def contents(database):
    """Return all sessions and events. Omit the salt, which differs between databases."""
    return {
        "sessions": database.rows(
            """select session_id, visitor_id, started_at, ended_at, duration, event_count, entry_page, exit_page,
              referrer, referrer_domain from sessions order by session_id"""
        ),
        "events": database.rows(
            "select event_id, session_id, event_type, page_url, occurred_at, data from events order by event_id"
        ),
    }


def clock(instant):
    """Format the time of day of a timestamp in UTC as `HH:MM:SS`."""
    seconds = instant // 1000 % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
