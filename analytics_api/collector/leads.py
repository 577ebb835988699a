"""Write a form that a visitor sent, as a new lead or as a submission of an existing lead.

The existing lead is the one with the same e-mail address, or else with the same phone number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Final, NamedTuple

from ..database import Row, Transaction
from ..endpoints.leads.contacts import comparable_phone
from .parse import Event, encode

SOURCE: Final = "WebSite"

MAX_FIELDS: Final = 50
MAX_LENGTH: Final = 2_000  # characters of a field
HONEYPOT: Final = "_gotcha"  # a hidden field, which people leave empty
MIN_DIGITS: Final = 6  # a phone number with fewer digits does not identify a lead
DUPLICATE_WINDOW: Final = timedelta(hours=1)

FULL_NAME: Final = "first last"  # the two names together; no field has this name, because spaces are removed

# For each column of a lead, the names of the form fields that set it. Names are compared in lower case, and characters
# other than letters are removed.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "contact_name": ("name", "fullname", "yourname", FULL_NAME),
    "contact_email": ("email", "mail", "youremail"),
    "contact_phone": ("phone", "tel", "mobile", "phonenumber"),
    "project_name": ("project",),
    "project_location": ("location",),
    "contact_city": ("city",),
}

# These statements use the expressions of the indexes leads_by_email and leads_by_phone.
SELECT_BY_EMAIL: Final = """
select lead_id, enquiry_datetime
from leads
where lower(replace(contact_email, ' ', '')) = lower(replace(:email, ' ', ''))
order by enquiry_datetime, lead_id
limit 1
"""

SELECT_BY_PHONE: Final = """
select lead_id, enquiry_datetime
from leads
where replace(replace(replace(replace(replace(replace(replace(
    contact_phone, ' ', ''), '+', ''), '(', ''), ')', ''), '.', ''), '-', ''), '/', '') in (:digits, :phone)
order by enquiry_datetime, lead_id
limit 1
"""

LEAD: Final = (
    *("enquiry_datetime", "contact_name", "contact_email", "contact_phone", "project_name", "project_location"),
    *("project_source", "contact_city", "visitor_id", "session_id", "engagement_score"),
)

INSERT_LEAD: Final = f"""
insert into leads ({", ".join(LEAD)})
values ({", ".join(f":{column}" for column in LEAD)})
returning lead_id
"""

COUNT_SUBMISSION: Final = """
update leads
set form_submit_count = form_submit_count + 1
where lead_id = :lead_id
"""

SELECT_LAST: Final = """
select max(submitted_at) as submitted_at
from lead_submissions
where lead_id = :lead_id
"""

SUBMISSION: Final = (
    *("lead_id", "submitted_at", "project_name", "visitor_id", "session_id", "contact_email", "contact_phone"),
    *("contact_ip", "source", "referer", "cta_name", "is_primary_lead", "is_duplicate_window", "payload_json"),
)

INSERT_SUBMISSION: Final = f"""
insert into lead_submissions ({", ".join(SUBMISSION)})
values ({", ".join(f":{column}" for column in SUBMISSION)})
"""

Fields = dict[str, str]


def is_trap(event: Event) -> bool:
    """Return whether a program sent the form: whether it has a value for HONEYPOT, a field that people do not see."""
    return bool(event["fields"].get(HONEYPOT))


class Visitor(NamedTuple):
    """The sender of a form. A field is None if it is unknown or must not be stored."""

    visitor_id: str | None
    session_id: str | None
    engagement_score: int | None
    contact_ip: str | None


def write_lead(at: Transaction, event: Event, now: int, visitor: Visitor) -> None:
    """Write a form as a submission of the oldest lead with the same e-mail or phone, or as a new lead."""
    fields = cut_fields(event["fields"])
    columns = lead_columns(fields)
    lead = _find_lead(at, columns["contact_email"], columns["contact_phone"])
    at.execute(
        INSERT_SUBMISSION,
        is_duplicate_window=int(lead is not None and _is_duplicate(at, lead, now)),
        lead_id=_insert_lead(at, columns, now, visitor) if lead is None else _count_submission(at, lead),
        submitted_at=format_date(now),
        project_name=columns["project_name"],
        visitor_id=visitor.visitor_id,
        session_id=visitor.session_id,
        contact_email=columns["contact_email"],
        contact_phone=columns["contact_phone"],
        contact_ip=visitor.contact_ip,
        source=SOURCE,
        referer=event["url"],
        cta_name=clean(event["form"]) or None,
        is_primary_lead=int(lead is None),
        payload_json=encode(fields),
    )


def _insert_lead(at: Transaction, columns: Mapping[str, str | None], now: int, visitor: Visitor) -> int:
    [row] = at.rows(
        INSERT_LEAD,
        enquiry_datetime=format_date(now),
        project_source=SOURCE,
        visitor_id=visitor.visitor_id,
        session_id=visitor.session_id,
        engagement_score=visitor.engagement_score,
        **columns,
    )
    return int(row["lead_id"])


def _count_submission(at: Transaction, lead: Row) -> int:
    at.execute(COUNT_SUBMISSION, lead_id=lead["lead_id"])
    return int(lead["lead_id"])


def _is_duplicate(at: Transaction, lead: Row, now: int) -> bool:
    """Return whether the lead's last submission was at most an hour ago."""
    [last] = at.rows(SELECT_LAST, lead_id=lead["lead_id"])
    return bool((last["submitted_at"] or lead["enquiry_datetime"]) >= format_date(now, before=DUPLICATE_WINDOW))


def _find_lead(at: Transaction, email: str | None, phone: str | None) -> Row | None:
    lead = at.row(SELECT_BY_EMAIL, email=email) if email else None
    digits = re.sub("[^0-9]", "", phone or "")
    if lead is None and len(digits) >= MIN_DIGITS:
        # :digits would not find a lead whose phone also has letters, such as `123456 (office)`. :phone finds it.
        lead = at.row(SELECT_BY_PHONE, digits=digits, phone=comparable_phone(phone))
    return lead


def cut_fields(fields: Fields) -> Fields:
    """Return the first MAX_FIELDS fields, each cut to MAX_LENGTH characters."""
    return {name[:MAX_LENGTH]: text[:MAX_LENGTH] for name, text in islice(fields.items(), MAX_FIELDS)}


def lead_columns(fields: Fields) -> dict[str, str | None]:
    """Return the value of each column of COLUMNS, or None if no field has one.

    If two fields have the same name, the first one is used.
    """
    values: dict[str, str] = {}
    for name, text in fields.items():
        values.setdefault(re.sub("[^a-z]", "", name.lower()), clean(text))
    values[FULL_NAME] = f"{values.get('firstname', '')} {values.get('lastname', '')}".strip()
    return {
        column: next((values[name] for name in names if values.get(name)), None) for column, names in COLUMNS.items()
    }


def clean(text: str) -> str:
    """Return the text without leading and trailing spaces, and without characters that a database cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()


def format_date(now: int, *, before: timedelta = timedelta()) -> str:
    """Return an instant in milliseconds as `YYYY-MM-DD HH:MM:SS`, UTC."""
    instant = datetime.fromtimestamp(now / 1000, timezone.utc) - before
    return instant.strftime("%Y-%m-%d %H:%M:%S")
