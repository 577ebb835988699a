"""One lead with its sessions and submissions."""

from __future__ import annotations

from typing import TypedDict, cast

from ...context import Context
from ...database import Reader
from ...errors import NotFound
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


class Detail(TypedDict):
    lead: Lead
    sessions: list[Session]
    submissions: list[Submission]


LEAD = """
select lead_id, enquiry_datetime, contact_name, contact_email, contact_phone, project_name, project_location,
  project_source, contact_country_name, contact_city, visitor_id, session_id, engagement_score, engagement_label,
  form_submit_count, suspicion_score, status, follow_ups_count, last_follow_up_at
from leads
where lead_id = :lead_id
"""

# All sessions of the lead's visitor, and the sessions in the `session_id` of the lead and its submissions.
SESSIONS = """
select session_id, visitor_id, entry_page, exit_page, country, started_at, ended_at, duration, engagement_score,
  event_count
from sessions
where session_id in (
  select visits.session_id
  from leads
  join sessions as visits on visits.visitor_id = leads.visitor_id
  where leads.lead_id = :lead_id
  union
  select session_id
  from leads
  where lead_id = :lead_id
  union
  select session_id
  from lead_submissions
  where lead_id = :lead_id)
order by started_at desc, session_id
"""

SUBMISSIONS = """
select submission_id, lead_id, submitted_at, project_name, visitor_id, session_id, contact_email, contact_phone,
  contact_ip, source, referer, cta_name, is_primary_lead, is_duplicate_window, payload_json
from lead_submissions
where lead_id = :lead_id
order by submitted_at desc, submission_id desc
"""


def detail(ctx: Context, lead_id: int) -> Detail:
    """Return the lead with its sessions and submissions, both newest first.

    :raises NotFound: the lead does not exist.
    """
    return ctx.db.read(lambda at: read_detail(at, lead_id))


def read_detail(at: Reader, lead_id: int) -> Detail:
    """Return the same as `detail`, read within an existing transaction."""
    lead = at.row(LEAD, lead_id=lead_id)
    if lead is None:
        raise NotFound("Lead not found")
    return {
        "lead": cast(Lead, lead),
        "sessions": cast("list[Session]", at.rows(SESSIONS, lead_id=lead_id)),
        "submissions": cast("list[Submission]", at.rows(SUBMISSIONS, lead_id=lead_id)),
    }
