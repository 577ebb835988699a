"""Apply filters to lists of rows in Python, to compare the result with the endpoints."""

import unicodedata

from helpers.plain_statistics import KEYS_OF, Plain, date_of, page_of
from helpers.random_rows import TIMES


def fold(text):
    """Return a string in lower case, without accents, and in one Unicode normalization form."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    return unicodedata.normalize("NFD", bare.casefold())


TESTS = {
    "": lambda text, value: text == value,
    "not": lambda text, value: text == value,
    "prefix": lambda text, value: text.startswith(value),
    "contains": lambda text, value: fold(value) in fold(text),
}


class PlainFilters:
    """The rows of a database, and the filters.

    :param purged: the sessions that were purged, whose counts are in the archive.
    """

    def __init__(self, sessions, events, leads, purged, page_query):
        self.sessions = sessions
        self.events = events
        self.leads = leads
        self.purged = purged
        self.page_query = page_query

    def matching(self, filters):
        """Return the statistics of the matching sessions, and of their events."""
        sessions = [session for session in self.sessions if self.matches(session, filters)]
        ids = {session["session_id"] for session in sessions}
        return Plain(sessions, [event for event in self.events if event["session_id"] in ids], self.page_query)

    def matches(self, session, filters):
        for name, values in filters.items():
            field, _, suffix = name.partition(".")
            texts = self.texts_of(session, field)
            is_true = any(TESTS[suffix](text, value) for text in texts for value in values)
            if is_true == (suffix == "not"):
                return False
        return True

    def texts_of(self, session, field):
        """Return the texts that a filter compares."""
        if field in KEYS_OF:
            key = KEYS_OF[field](session, self.page_query)
            return [key] if key else []
        return getattr(self, f"{field}_of")(session)

    def page_of(self, session):
        pages = [
            page_of(event["page_url"], self.page_query)
            for event in self.events
            if event["session_id"] == session["session_id"] and event["event_type"] == "page_view"
        ]
        return [page for page in pages if page]

    def event_type_of(self, session):
        return [event["event_type"] for event in self.events if event["session_id"] == session["session_id"]]

    def visitor_of(self, session):
        place = session["started_at"], session["session_id"]
        has_earlier = any(
            other["visitor_id"] == session["visitor_id"] and (other["started_at"], other["session_id"]) < place
            for other in self.sessions
        ) or any(other["visitor_id"] == session["visitor_id"] for other in self.purged)
        return ["returning" if has_earlier else "new"]

    def lead_of(self, session):
        is_lead = any(
            lead["session_id"] == session["session_id"]
            or (lead["visitor_id"] and lead["visitor_id"] == session["visitor_id"])
            for lead in self.leads
        )
        return ["true" if is_lead else "false"]


def plain_filters(rows, leads, clock, page_query):
    """Return PlainFilters, with the rows that were not purged."""
    for table, column in TIMES.items():
        for row in rows[table]:
            row["date"] = date_of(row[column], clock)
    sessions, events = ([row for row in rows[table] if "is_archived" not in row] for table in ("sessions", "events"))
    purged = [row for row in rows["sessions"] if "is_archived" in row]
    return PlainFilters(sessions, events, leads, purged, page_query)
