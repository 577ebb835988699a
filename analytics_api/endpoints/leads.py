"""The sales leads: a list to search, one with all that is known of it, and its move along the pipeline."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable, Sequence
from io import StringIO
from typing import Any, Final, Literal, TypedDict, cast

from ..context import Context
from ..database import Reader, Transaction
from ..errors import NotFound
from ..params import LARGEST
from ..wire import Stream

Stage = Literal["new", "contacted", "qualified", "proposal", "won", "lost"]
STAGES: Final[tuple[Stage, ...]] = ("new", "contacted", "qualified", "proposal", "won", "lost")


class Lead(TypedDict):
    lead_id: int
    enquiry_datetime: str
    contact_name: str | None
    contact_email: str | None
    contact_phone: str | None
    project_name: str | None
    project_location: str | None
    project_source: str | None
    contact_country_name: str | None
    contact_city: str | None
    visitor_id: str | None
    session_id: str | None
    engagement_score: int | None
    engagement_label: str | None
    form_submit_count: int
    suspicion_score: int
    follow_ups_count: int
    last_follow_up_at: str | None
    status: Stage


class Listing(TypedDict):
    leads: list[Lead]
    total: int


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


class Updated(TypedDict):
    updated: Literal[True]


Format = Literal["csv", "ndjson"]
FORMATS: Final[dict[Format, str]] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}

# Whole orders: nulls last, and lead_id breaks every tie, so that pages never overlap.
ORDERS: Final = {
    "newest": "enquiry_datetime desc, lead_id desc",
    "oldest": "enquiry_datetime, lead_id",
    "last_follow_up": "last_follow_up_at desc nulls last, lead_id desc",
    "score_desc": "engagement_score desc nulls last, lead_id desc",
    "score_asc": "engagement_score nulls last, lead_id",
    "risk_desc": "suspicion_score desc, lead_id desc",
    "risk_asc": "suspicion_score, lead_id",
    "name_asc": "name_folded nulls last, lead_id",
}

# Which leads: every one, those of a stage, those that a needle is found in. All of it is constant text: a request
# chooses among these statements and never adds to one.
FILTERS: Final = {
    "all": "true",
    "stage": "status = :status",
    "found": "lead_id in (select rowid from lead_search(:needle)) and (status = :status or :status is null)",
    # the search index knows runs of three letters and more; shorter ones are looked for in every lead
    "short": "search_text like :pattern escape '\\' and (status = :status or :status is null)",
}

PAGES: Final = {
    (among, sort): f"""
select lead_id, enquiry_datetime, contact_name, contact_email, contact_phone, project_name, project_location,
  project_source, contact_country_name, contact_city, visitor_id, session_id, engagement_score, engagement_label,
  form_submit_count, suspicion_score, follow_ups_count, last_follow_up_at, status
from leads
where {condition}
order by {order}
limit :limit offset :offset
"""
    for among, condition in FILTERS.items()
    for sort, order in ORDERS.items()
}

TOTAL_OF_STAGES = """
select cast(coalesce(sum(leads), 0) as bigint) as total
from rollup_stages
where status = coalesce(:status, status)
"""

TOTALS: Final = {
    "all": TOTAL_OF_STAGES,
    "stage": TOTAL_OF_STAGES,
    **{
        among: f"""
select count(*) as total
from leads
where {FILTERS[among]}
"""
        for among in ("found", "short")
    },
}

LEAD = """
select lead_id, enquiry_datetime, contact_name, contact_email, contact_phone, project_name, project_location,
  project_source, contact_country_name, contact_city, visitor_id, session_id, engagement_score, engagement_label,
  form_submit_count, suspicion_score, status, follow_ups_count, last_follow_up_at
from leads
where lead_id = :lead_id
"""

# Those of its visitor, and those that it or its submissions name.
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

STAGE = """
select status
from leads
where lead_id = :lead_id
"""

MOVE = """
update leads
set status = :status
where lead_id = :lead_id
"""

REMEMBER = """
insert into lead_status_changes (lead_id, old_status, new_status, changed_at, changed_by)
values (:lead_id, :old_status, :new_status, :changed_at, :changed_by)
"""


def listing(
    ctx: Context,
    *,
    limit: int,
    offset: int,
    q: str | None,
    status: str | None,
    sort: str,
) -> Listing:
    """A page of the leads in one of ORDERS, and the `total` that match, counted at the same instant.

    `q` is a substring, without regard to case, of the name, e-mail, phone, project or visitor id. Nulls come last in
    every order.
    """
    among, asked = _asked(ctx, q, status)
    asked |= {"limit": limit, "offset": offset}

    def page(at: Reader) -> Listing:
        leads = cast("list[Lead]", at.rows(PAGES[among, sort], **asked))
        return {"leads": leads, "total": at.rows(TOTALS[among], **asked)[0]["total"]}

    return ctx.db.read(page)


def export(ctx: Context, *, format: Format, q: str | None, status: str | None, sort: str) -> Stream:
    """Every lead of the list, as CSV (RFC 4180) or as a JSON object a line, all as they were at one instant.

    In CSV null is an empty field, and a text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    among, asked = _asked(ctx, q, status)
    asked |= {"limit": LARGEST, "offset": 0}
    columns = tuple(Lead.__annotations__)
    write = _csv if format == "csv" else _ndjson

    def pieces() -> Generator[str, None, None]:
        with ctx.db.snapshot() as at:
            if format == "csv":
                yield _csv(columns, [columns])
            for leads in at.batches(PAGES[among, sort], **asked):
                yield write(columns, leads)

    return Stream(FORMATS[format], f"leads.{format}", pieces())


def detail(ctx: Context, lead_id: int) -> Detail:
    """Every column of the lead, its sessions and its submissions, both newest first.

    Raises NotFound when there is no such lead.
    """

    def lead(at: Reader) -> Detail:
        found = at.row(LEAD, lead_id=lead_id)
        if found is None:
            raise NotFound("Lead not found")
        return {
            "lead": cast(Lead, found),
            "sessions": cast("list[Session]", at.rows(SESSIONS, lead_id=lead_id)),
            "submissions": cast("list[Submission]", at.rows(SUBMISSIONS, lead_id=lead_id)),
        }

    return ctx.db.read(lead)


def move(ctx: Context, lead_id: int, status: str) -> Updated:
    """Put the lead into the stage `status`, in any case; what it was before goes into the history with it.

    A lead that stands there already stays, and the history too. Raises NotFound when there is no such lead or stage.
    """
    stage = status.strip().lower()
    if stage not in STAGES:
        raise NotFound(f"status takes one of: {', '.join(STAGES)}")

    def change(at: Transaction) -> None:
        lead = at.row(STAGE, lead_id=lead_id)
        if lead is None:
            raise NotFound("Lead not found")
        if lead["status"] != stage:
            at.execute(MOVE, lead_id=lead_id, status=stage)
            at.execute(
                REMEMBER,
                lead_id=lead_id,
                old_status=lead["status"],
                new_status=stage,
                changed_at=ctx.now,
                changed_by=ctx.asker,
            )

    ctx.db.write(change)
    return {"updated": True}


def _asked(ctx: Context, q: str | None, status: str | None) -> tuple[str, dict[str, Any]]:
    """Which of FILTERS it takes, and its parameters."""
    asked: dict[str, Any] = {"status": status}
    if not q:
        return "stage" if status else "all", asked
    folded = q.casefold().replace("\x1f", " ")  # which stands between the fields
    if len(folded) >= 3:
        return "found", asked | {"needle": ctx.db.needle(folded)}
    literal = folded.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return "short", asked | {"pattern": f"%{literal}%"}


def _csv(columns: Sequence[str], leads: Iterable[Sequence[Any]]) -> str:
    text = StringIO()
    csv.writer(text).writerows([_defused(value) for value in lead] for lead in leads)
    return text.getvalue()


def _defused(value: object) -> object:
    """A text that a spreadsheet would run as a formula, with an apostrophe before it (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _ndjson(columns: Sequence[str], leads: Iterable[Sequence[Any]]) -> str:
    return "".join(json.dumps(dict(zip(columns, lead)), ensure_ascii=False) + "\n" for lead in leads)
