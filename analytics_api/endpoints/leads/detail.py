"""One lead with its sessions and submissions."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypedDict, cast

from ...context import Context
from ...database import Reader, Row
from ...errors import NotFound
from ...values.statuses import Status
from ...values.timestamps import EPOCH, MILLISECOND
from .contacts import Change, comparable_email, comparable_phone, with_changes
from .search import Lead


class Session(TypedDict):
    session_id: str
    visitor_id: str
    entry_page: str | None
    exit_page: str | None
    country: str | None
    started_at: int
    ended_at: int | None
    duration: int | None
    engagement_score: int | None
    event_count: int


class Submission(TypedDict):
    submission_id: int
    lead_id: int
    submitted_at: str
    project_name: str | None
    visitor_id: str | None
    session_id: str | None
    contact_email: str | None
    contact_phone: str | None
    contact_ip: str | None
    source: str | None
    referer: str | None
    cta_name: str | None
    is_primary_lead: int
    is_duplicate_window: int
    payload_json: str | None
    changes: list[Change]


class OtherLead(TypedDict):
    lead_id: int
    enquiry_datetime: str
    status: Status


class LeadDetail(Lead):
    first_session: Session | None
    other_leads: list[OtherLead]


class Detail(TypedDict):
    lead: LeadDetail
    sessions: list[Session]
    submissions: list[Submission]


LEAD = """
select lead_id, enquiry_datetime, contact_name, contact_email, contact_phone, project_name, project_location,
  project_source, contact_country_name, contact_city, visitor_id, session_id, engagement_score, engagement_label,
  form_submit_count, suspicion_score, status, follow_ups_count, last_follow_up_at
from leads
where lead_id = :lead_id
"""

SESSION_COLUMNS = """session_id, visitor_id, entry_page, exit_page, country, started_at, ended_at, duration,
  engagement_score, event_count"""

# The ids of all sessions of the lead's visitor, the `session_id` of the lead, and those of its submissions.
SESSION_IDS = """
  select visits.session_id
  from leads
  join sessions as visits on visits.visitor_id = leads.visitor_id
  where leads.lead_id = :lead_id and leads.visitor_id <> ''
  union
  select session_id
  from leads
  where lead_id = :lead_id
  union
  select session_id
  from lead_submissions
  where lead_id = :lead_id"""

SESSIONS = f"""
select {SESSION_COLUMNS}
from sessions
where session_id in ({SESSION_IDS})
order by started_at desc, session_id
"""

SUBMISSIONS = """
select submission_id, lead_id, submitted_at, project_name, visitor_id, session_id, contact_email, contact_phone,
  contact_ip, source, referer, cta_name, is_primary_lead, is_duplicate_window, payload_json
from lead_submissions
where lead_id = :lead_id
order by submitted_at desc, submission_id desc
"""

FIRST_SESSION = f"""
select {SESSION_COLUMNS}
from sessions
where visitor_id = :visitor_id and started_at <= :until
order by started_at, session_id
limit 1
"""

# The expressions have indexes. A database uses these indexes only if the expressions are the same as in the schema.
OTHER_LEADS = """
select lead_id, enquiry_datetime, status
from leads
where lead_id <> :lead_id and lead_id in (
  select lead_id
  from leads
  where visitor_id = :visitor_id
  union
  select lead_id
  from leads
  where lower(replace(contact_email, ' ', '')) = :email
  union
  select lead_id
  from leads
  where replace(replace(replace(replace(replace(replace(replace(
    contact_phone, ' ', ''), '+', ''), '(', ''), ')', ''), '.', ''), '-', ''), '/', '') = :phone)
order by enquiry_datetime desc, lead_id desc
"""


def detail(ctx: Context, lead_id: int) -> Detail:
    """Return the lead with its sessions and submissions, both newest first.

    `first_session` is the first session of the lead's visitor if that session began before the enquiry, otherwise the
    session with the `session_id` of the lead. `other_leads` are leads with the same visitor, e-mail or phone, newest
    first. `changes` of a submission are the fields that differ from the previous submission. Comparisons ignore case
    and spaces in e-mails, and spaces and the characters `+().-/` in phone numbers. Null, empty and missing values are
    equal.

    :raises NotFound: the lead does not exist.
    """
    return ctx.db.read(lambda at: read_detail(at, lead_id))


def read_detail(at: Reader, lead_id: int) -> Detail:
    """Return the same as detail(), within an existing transaction."""
    lead = at.row(LEAD, lead_id=lead_id)
    if lead is None:
        raise NotFound("Lead not found")
    sessions = at.rows(SESSIONS, lead_id=lead_id)
    named = next((session for session in sessions if session["session_id"] == lead["session_id"]), None)
    visitor = lead["visitor_id"] or (named and named["visitor_id"]) or None
    others = {
        "first_session": _first_session(at, visitor, lead["enquiry_datetime"]) or named,
        "other_leads": at.rows(
            OTHER_LEADS,
            lead_id=lead_id,
            visitor_id=visitor,
            email=comparable_email(lead["contact_email"]),
            phone=comparable_phone(lead["contact_phone"]),
        ),
    }
    return {
        "lead": cast(LeadDetail, {**lead, **others}),
        "sessions": cast("list[Session]", sessions),
        "submissions": cast("list[Submission]", list(with_changes(at.rows(SUBMISSIONS, lead_id=lead_id)))),
    }


def _first_session(at: Reader, visitor: str | None, enquiry: str) -> Row | None:
    """Return the visitor's first session, or None if that session began after the enquiry.

    The time of the enquiry has no milliseconds, so a session that began within the same second is returned.
    """
    try:
        instant = datetime.fromisoformat(enquiry).replace(tzinfo=timezone.utc)
    except ValueError:  # not a date, or a date in the year 0
        return None
    until = (instant - EPOCH) // MILLISECOND + 999
    return at.row(FIRST_SESSION, visitor_id=visitor, until=until)
