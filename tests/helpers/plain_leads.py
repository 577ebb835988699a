"""Generate random leads, and compute the list of leads in Python: its filters and orders."""

from datetime import date, datetime, timedelta, timezone
from functools import cache, partial
from zoneinfo import ZoneInfo

STATUSES = ("new", "contacted", "qualified", "proposal", "won", "lost")
COLUMNS = {
    "project": "project_name",
    "source": "project_source",
    "country": "contact_country_name",
    "city": "contact_city",
    "label": "engagement_label",
    "status": "status",
}
# The possible values of each column. The first value is frequent, the last one rare.
VALUES = {
    "project": ("Sky Towers", "Sky Towers", "Sky Towers", "sky towers", "Ünïcode 100%_", "", None),
    "source": ("WebSite", "WebSite", "Portal", "O'Brien", None),
    "country": ("IN", "IN", "DE", None),
    "city": ("Pune", "Pune", "München", None),
    "label": ("Hot", "Hot", "Very Hot", None),
    "status": ("new", *STATUSES),
}
ORDERS = {
    "newest": ("enquiry_datetime", True),
    "oldest": ("enquiry_datetime", False),
    "last_follow_up": ("last_follow_up_at", True),
    "score_desc": ("engagement_score", True),
    "score_asc": ("engagement_score", False),
    "risk_desc": ("suspicion_score", True),
    "risk_asc": ("suspicion_score", False),
    "name_asc": ("contact_name", False),
}


def random_leads(random, count):
    """Return `count` leads with random values."""
    return [
        {
            "lead_id": lead_id,
            "enquiry_datetime": random.choice(["", *[random_time(random)] * 50]),
            "contact_name": random.choice(["ann", "bob", "cyd", None]),
            "visitor_id": random.choice(["", None, "v1", "v2", "gone"]),
            "session_id": random.choice([None, "s1", "gone", "gone"]),
            "engagement_score": random.choice([None, *range(-5, 106, 5)]),
            "suspicion_score": random.randrange(5),
            **{COLUMNS[name]: random.choice(values) for name, values in VALUES.items()},
        }
        for lead_id in range(1, count + 1)
    ]


def random_time(random):
    return f"2026-{random.choice(('02', '03'))}-{random.randrange(1, 28):02} {random.randrange(24):02}:30:00"


def random_filters(random):
    """Return random filters as fields of a query string."""
    fields = {
        "from": lambda: f"2026-02-{random.randrange(1, 28):02}",
        "to": lambda: f"2026-03-{random.randrange(1, 28):02}",
        "score_min": lambda: random.randrange(-10, 60),
        "score_max": lambda: random.randrange(60, 110),
        "has_visits": lambda: random.choice(("true", "false")),
        "follow_up_from": lambda: f"2026-02-{random.randrange(1, 28):02}",
        "follow_up_to": lambda: f"2026-03-{random.randrange(1, 28):02}",
        "q": lambda: random.choice(("an", "sky tow", "b", "nobody")),
        **{name: partial(random_values, random, name) for name in VALUES},
    }
    return {name: fields[name]() for name in random.sample(sorted(fields), random.choice((1, 1, 2, 3)))}


def random_values(random, name):
    return random.sample(sorted({value for value in VALUES[name] if value}), random.choice((1, 1, 2)))


def matches(lead, filters, sessions, zone):
    """Return whether a lead matches the filters. `sessions` maps session ids to visitors."""
    return all(
        CHECKS[name](lead, value, sessions, zone)
        if name in CHECKS
        else lead[COLUMNS[name]] in ([value] if isinstance(value, str) else value)
        for name, value in filters.items()
    )


@cache
def _local_day(text, zone):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).astimezone(ZoneInfo(zone)).date()


def _in_days(column, is_within):
    def check(lead, value, sessions, zone):
        return bool(lead[column]) and is_within(_local_day(lead[column], zone), date.fromisoformat(value))

    return check


def _has_visits(lead, value, sessions, zone):
    visitor = lead["visitor_id"]
    return (lead["session_id"] in sessions or (bool(visitor) and visitor in sessions.values())) == (value == "true")


def _contains(lead, value, sessions, zone):
    texts = (lead["contact_name"], lead["project_name"], lead["visitor_id"])
    return any(value in (text or "").lower() for text in texts)


CHECKS = {
    "from": _in_days("enquiry_datetime", lambda day, bound: day >= bound),
    "to": _in_days("enquiry_datetime", lambda day, bound: day <= bound),
    "follow_up_from": _in_days("last_follow_up_at", lambda day, bound: day >= bound),
    "follow_up_to": _in_days("last_follow_up_at", lambda day, bound: day <= bound),
    "score_min": lambda lead, value, *_: lead["engagement_score"] is not None and lead["engagement_score"] >= value,
    "score_max": lambda lead, value, *_: lead["engagement_score"] is not None and lead["engagement_score"] <= value,
    "has_visits": _has_visits,
    "q": _contains,
}


def in_order(leads, sort):
    """Return the leads in the order `sort`, with nulls last and ties in the order of ids."""
    column, is_descending = ORDERS[sort]
    leads = sorted(leads, key=lambda lead: lead["lead_id"], reverse=is_descending)
    known = [lead for lead in leads if lead[column] is not None]
    known.sort(key=lambda lead: lead[column], reverse=is_descending)
    return known + [lead for lead in leads if lead[column] is None]


def hours_later(text, hours):
    return (datetime.fromisoformat(text) + timedelta(hours=hours)).isoformat(" ") if text else ""
