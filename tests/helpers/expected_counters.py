"""Compute the expected contents of all counters in Python, and generate values for random rows.

There are few different values, so that keys often collide. The tests of both engines write such rows with random
statements, and compare the counters.
"""

from collections import Counter, defaultdict
from datetime import datetime, timezone
from typing import NamedTuple

from analytics_api.statistics.stored_keys import DIMENSIONS
from helpers.folding import folded
from helpers.plain_statistics import KEYS_OF, page_of

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 20_370 * DAY  # 2025-10-09
FIRST = 100_000_000_000  # 1973
LAST = 253_402_300_799_999  # the end of year 9999

INSTANTS = (
    START,
    START + MINUTE - 1,
    START + MINUTE,
    START + DAY - 1,
    START + DAY,
    START + 2 * DAY + MINUTE,
    FIRST,
    LAST,
)
TEXTS = (None, "", "x", "Ünder")
PAGES = (None, "", "/a", "/a?x", "/b#y", "?", "/a?x&utm_campaign=A%20b&utm_campaign=c#y")
STATUSES = ("new", "contacted", "qualified", "proposal", "won", "lost")

# The possible values of each column. The first column is the primary key.
VALUES = {
    "sessions": {
        "session_id": ("a", "b", "c", "", "5", 5),
        "visitor_id": ("v", "w", ""),
        "fingerprint": (None, "", "f"),
        "started_at": INSTANTS,
        "ended_at": (None, 0, DAY),
        "duration": (None, -5, 0, 7, 10**12),
        "engagement_score": (None, -1, 0, 19, 20, 39, 40, 59, 60, 79, 80, 100, 101),
        "event_count": (0, 3),
        "entry_page": PAGES,
        "exit_page": PAGES,
        "country": (None, "", "XX", "IN"),
        "referrer_domain": (None, "", "(direct)", "t.co", "ann:secret@t.co"),
        "vpn_suspected": (0, 1, 2, -1),
    },
    "events": {
        "event_id": (1, 2, 3, -1, 0, "1", 2.0, None),
        "session_id": ("a", "b", ""),
        "event_type": ("page_view", "page_view", "page_view", "scroll", "PAGE_VIEW"),
        "page_url": PAGES,
        "occurred_at": INSTANTS,
        "data": (None, "{}"),
    },
    "leads": {
        "lead_id": (1, 2, 3, -1, "1", 2.0, None),
        "contact_name": (*TEXTS, "ANNA", "Straße \U00010400"),
        "contact_email": TEXTS,
        "contact_phone": (None, "", "+91 98", 'o\'b "100%_"'),
        "project_name": TEXTS,
        "project_source": (None, "", "x"),
        "contact_country_name": (None, "IN"),
        "engagement_label": (None, "Hot"),
        "visitor_id": (None, "v", "w"),
        "status": STATUSES,
        "enquiry_datetime": ("2026-02-24 15:00:00", "", "2026-02-24", "2026-02-24T15:00:00.5Z"),
    },
    "lead_submissions": {
        "submission_id": (1, 2, 3, -1, "1", 2.0, None),
        "lead_id": (1, 2, 3, -1),
        "source": (None, "x"),
        "is_primary_lead": (0, 0, 0, 1, 2, -1),
        "submitted_at": ("2026-02-24 15:00:00", "2026-02-24 15:00:01", "", "2026-02-24T15:00:02+00:00"),
    },
}
KEYS = {table: next(iter(columns)) for table, columns in VALUES.items()}
DATES = frozenset({"enquiry_datetime", "submitted_at"})  # columns that triggers normalize

FACETS = {
    "project": "project_name",
    "source": "project_source",
    "country": "contact_country_name",
    "label": "engagement_label",
}
SEARCHED = ("project_name", "contact_name", "contact_email", "contact_phone", "visitor_id")

# For some counters, the columns to compare. Pages are compared by their text instead of their id.
COUNTER_QUERIES = {
    "key_counts": "select dimension, day, case when dimension in (4, 5) then page else key end, c.sessions, visitors "
    "from key_counts as c left join pages on dimension in (4, 5) and cast(page_id as text) = key",
    "pages": "select page, views, sessions from pages",
    "page_counts": "select day, page, c.views, c.sessions from page_counts as c join pages using (page_id)",
    "page_returns": "select day, page, previous_day, r.sessions from page_returns as r join pages using (page_id)",
    "leads": "select lead_id, enquiry_datetime, follow_ups_count, last_follow_up_at, search_text, name_folded "
    "from leads",
    "lead_submissions": "select submission_id, submitted_at from lead_submissions",
}


class Site(NamedTuple):
    """The settings of a site: UTC offsets, each with the instant at which it begins, and the value of `page_query`."""

    offsets: tuple[tuple[int, int], ...] = ((0, 0),)
    page_query: str = "keep"

    def day(self, instant):
        offset = [offset for begins_at, offset in self.offsets if begins_at <= instant][-1]
        return (instant + offset) // DAY

    def page(self, url):
        return page_of(url, self.page_query) or ""


UTC = Site()
# A site whose clock is set back by 13 hours, from 14:00 to 01:00 of the same day. If the clock were set back over
# midnight, the day would decrease in Site.day(), but not in the database. The site counts pages without query strings.
MOVED = Site(offsets=((0, 14 * HOUR), (START + DAY, HOUR)), page_query="drop")


def to_datetime(text):
    """Convert a date to the format that triggers store."""
    if not text:
        return text
    moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace(".5", ".500"))
    if moment.tzinfo:
        moment = moment.astimezone(timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def sums(sessions):
    durations = [session["duration"] for session in sessions if session["duration"] is not None]
    scores = [session["engagement_score"] for session in sessions if session["engagement_score"] is not None]
    return (
        sum(durations),
        len(durations),
        sum(scores),
        len(scores),
        sum(session["vpn_suspected"] != 0 for session in sessions),
    )


def group(items, key):
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def distinct(items, column):
    return len({item[column] for item in items} - {None})


def with_all_time(items, day_of):
    """Return the lists of items by day, and the list of all items under day -1."""
    return {-1: items, **group(items, day_of)} if items else {}


def returns(items, day_of, identity_of):
    """Count the returns of identities by (day, previous day)."""
    counts = Counter()
    for of in group(items, identity_of).values():
        days = sorted({day_of(item) for item in of})
        counts.update(zip(days[1:], days))
    return counts


def session_counters(sessions, site):
    def day_of(session):
        return site.day(session["started_at"])

    def group_by(dimension, sessions):
        return group(sessions, lambda session: KEYS_OF[dimension](session, site.page_query))

    visits = [(0, "", "visitor_id", sessions)]
    visits += [(1, key, "visitor_id", of) for key, of in group_by("country", sessions).items()]
    visits += [(6, "", "fingerprint", [session for session in sessions if session["fingerprint"] is not None])]
    return {
        "day_counts": {
            (day, len(of), distinct(of, "visitor_id"), distinct(of, "fingerprint"), *sums(of))
            for day, of in with_all_time(sessions, day_of).items()
        },
        "key_counts": {
            (number, day, key, len(of), distinct(of, "visitor_id") if dimension == "country" else 0)
            for dimension, number in DIMENSIONS.items()
            for day, of_day in with_all_time(sessions, day_of).items()
            for key, of in group_by(dimension, of_day).items()
        },
        "session_returns": {
            (dimension, day, previous_day, key, count)
            for dimension, key, identity, of in visits
            for (day, previous_day), count in returns(of, day_of, lambda session, by=identity: session[by]).items()
        },
    }


def event_counters(events, site):
    def day_of(event):
        return site.day(event["occurred_at"])

    views = [event for event in events if event["event_type"] == "page_view" and site.page(event["page_url"])]
    pages = group(views, lambda event: site.page(event["page_url"]))
    return {
        "event_counts": {(day, len(of)) for day, of in with_all_time(events, day_of).items()},
        "pages": {(page, len(of), distinct(of, "session_id")) for page, of in pages.items()},
        "page_counts": {
            (day, page, len(of), distinct(of, "session_id"))
            for page, of_page in pages.items()
            for day, of in group(of_page, day_of).items()
        },
        "page_returns": {
            (day, page, previous_day, count)
            for page, of in pages.items()
            for (day, previous_day), count in returns(of, day_of, lambda event: event["session_id"]).items()
        },
    }


def lead_counters(leads, submissions, searched):
    follow_ups = group(
        [submission for submission in submissions if submission["is_primary_lead"] == 0],
        lambda submission: submission["lead_id"],
    )
    return {
        "status_counts": set(Counter(lead["status"] for lead in leads).items()),
        "facet_counts": {
            (field, key, count)
            for field, column in FACETS.items()
            for key, count in Counter(lead[column] for lead in leads).items()
            if key
        },
        "leads": {
            (
                lead["lead_id"],
                to_datetime(lead["enquiry_datetime"]),
                len(follow_ups[lead["lead_id"]]),
                max((to_datetime(one["submitted_at"]) for one in follow_ups[lead["lead_id"]]), default=None),
                folded("".join((lead[name] or "") + "\x1f" for name in searched)),
                None if lead["contact_name"] is None else folded(lead["contact_name"]),
            )
            for lead in leads
        },
        "lead_submissions": {(one["submission_id"], to_datetime(one["submitted_at"])) for one in submissions},
    }


def expected_counters(rows, archived, site, searched=SEARCHED):
    """Return the expected rows of each counter.

    :param rows: the rows by table, for each table in VALUES.
    :param archived: purged sessions and events by table, which minute_counts does not count.
    """
    happened = Counter(event["occurred_at"] // MINUTE for event in rows["events"])
    opened = Counter(session["started_at"] // MINUTE for session in rows["sessions"] if session["ended_at"] is None)
    return {
        **session_counters([*rows["sessions"], *archived["sessions"]], site),
        **event_counters([*rows["events"], *archived["events"]], site),
        **lead_counters(rows["leads"], rows["lead_submissions"], searched),
        "minute_counts": {(minute, happened[minute], opened[minute]) for minute in happened | opened},
    }
