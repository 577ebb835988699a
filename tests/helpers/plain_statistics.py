"""Compute every statistic of a range from lists of rows in Python, to compare it with the endpoints."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from functools import cache

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BUCKETS = ("0-19", "20-39", "40-59", "60-79", "80-100")


@cache
def date_of(instant, zone):
    """Return the site's date of an instant: the latest date that its clock has shown so far.

    The clock of St. John's showed the new date for one minute before it was set back, so every minute is checked if the
    clock was changed within 26 hours.
    """
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=instant)
    offsets = {(moment - HOUR * back).astimezone(zone).utcoffset() for back in range(27)}
    minutes = range(60 * 26) if len(offsets) > 1 else range(1)
    return max((moment - MINUTE * back).astimezone(zone).date() for back in minutes)


def rounded(total, count, per=1, parts=10):
    """Return `total / count / per`, rounded half away from zero; 0 if count is 0."""
    if not count:
        return 0
    whole = (2 * abs(total) * parts + count * per) // (2 * count * per)
    return (whole if total >= 0 else -whole) / parts


def mean_of(sessions, column, **options):
    values = [session[column] for session in sessions if session[column] is not None]
    return rounded(sum(values), len(values), **options)


def page_of(url, page_query):
    """Return the page of a URL, or None if it is empty. `drop` removes the query string and the fragment."""
    if url is not None and page_query == "drop":
        url = url.partition("#")[0].partition("?")[0]
    return url or None


def campaign_of(page):
    """Return the first utm_campaign of the query of a page without decoding it, or `(none)`."""
    for field in page.partition("#")[0].partition("?")[2].split("&"):
        name, _, value = field.partition("=")
        if name == "utm_campaign":
            return value or "(none)"
    return "(none)"


def score_range_of(session):
    if session["ended_at"] is None or session["engagement_score"] is None:
        return ""
    return BUCKETS[min(max(session["engagement_score"] // 20, 0), 4)]


# The key of a session in each dimension, or "" if it has none.
KEYS_OF = {
    "country": lambda session, page_query: session["country"] or "XX",
    "source": lambda session, page_query: (session["referrer_domain"] or "").rpartition("@")[2] or "(direct)",
    "engagement": lambda session, page_query: score_range_of(session),
    "entry_page": lambda session, page_query: page_of(session["entry_page"], page_query) or "",
    "exit_page": lambda session, page_query: page_of(session["exit_page"], page_query) or "",
    "campaign": lambda session, page_query: campaign_of(session["entry_page"] or ""),
}


class Plain:
    """The statistics of sessions and events. The `date` of each row is its date in the site's time zone."""

    def __init__(self, sessions, events, page_query="keep"):
        self.sessions = sessions
        self.events = events
        self.page_query = page_query

    def within(self, first, last):
        def chosen(rows):
            return [row for row in rows if (not first or row["date"] >= first) and (not last or row["date"] <= last)]

        return Plain(chosen(self.sessions), chosen(self.events), self.page_query)

    def overview(self):
        return {
            "total_sessions": len(self.sessions),
            "total_events": len(self.events),
            "unique_visitors": len({session["visitor_id"] for session in self.sessions}),
            "unique_fingerprints": len({session["fingerprint"] for session in self.sessions} - {None}),
            "avg_engagement_score": mean_of(self.sessions, "engagement_score"),
            "avg_session_duration_s": int(mean_of(self.sessions, "duration", per=1000, parts=1)),
            "vpn_suspected_count": sum(session["vpn_suspected"] != 0 for session in self.sessions),
        }

    def daily(self, interval_of):
        rows = defaultdict(list)
        for session in self.sessions:
            rows[interval_of(session)].append(session)
        return [
            {
                "date": label,
                "total_sessions": len(sessions),
                "unique_visitors": len({session["visitor_id"] for session in sessions}),
                "avg_duration": mean_of(sessions, "duration", per=1000),
                "avg_engagement": mean_of(sessions, "engagement_score"),
            }
            for (_, label), sessions in sorted(rows.items())
        ]

    def top(self):
        views, visits = Counter(), defaultdict(set)
        for event in self.events:
            page = page_of(event["page_url"], self.page_query) if event["event_type"] == "page_view" else None
            if page is not None:
                views[page] += 1
                visits[page].add(event["session_id"])
        return [{"page": page, "views": count, "unique_sessions": len(visits[page])} for page, count in ordered(views)]

    def count_keys(self, dimension):
        """Return the number of sessions of each key. Sessions without a key are not counted."""
        keys = (KEYS_OF[dimension](session, self.page_query) for session in self.sessions)
        return Counter(filter(None, keys))

    def session_pages(self, dimension):
        return [{"page": page, "sessions": count} for page, count in ordered(self.count_keys(dimension))]

    def geo(self):
        visitors = defaultdict(set)
        for session in self.sessions:
            visitors[session["country"] or "XX"].add(session["visitor_id"])
        return [
            {"country": country, "sessions": count, "unique_visitors": len(visitors[country])}
            for country, count in ordered(self.count_keys("country"))
        ]

    def sources(self):
        counts = self.count_keys("source")
        return [{"referrer_domain": domain, "sessions": count} for domain, count in ordered(counts)]

    def engagement(self):
        counts = self.count_keys("engagement")
        return [{"bucket": bucket, "count": counts[bucket]} for bucket in BUCKETS]


def ordered(counts):
    """Sort by count in descending order, ties by the UTF-8 bytes of the name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0].encode()))
