"""The sales leads: a list to search, one with all that is known of it, and its move along the pipeline."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final, Literal, TypedDict, cast
from urllib.parse import urlencode

from ..context import Context
from ..database import Reader, Row, Transaction
from ..errors import NotFound
from ..http.parameters import MAX_INT64
from ..http.responses import Stream

Stage = Literal["new", "contacted", "qualified", "proposal", "won", "lost"]
STATUSES: Final[tuple[Stage, ...]] = ("new", "contacted", "qualified", "proposal", "won", "lost")


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


class Page(dict[str, object]):
    """A Listing that knows how to ask for the one after it."""

    following: str | None = None


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


@dataclass(frozen=True, slots=True)
class Order:
    """Leads by a column that holds an `of`, nulls last. lead_id breaks every tie, so that pages never overlap."""

    column: str
    direction: Literal["asc", "desc"]
    of: type
    nulls: bool

    def __str__(self) -> str:
        nulls = " nulls last" if self.nulls else ""
        return f"{self.column} {self.direction}{nulls}, lead_id {self.direction}"

    @property
    def after(self) -> dict[str, str]:
        """Which leads come after one that had `key`, in parts, so that an index leads to each."""
        beyond = "<" if self.direction == "desc" else ">"
        parts = {
            "ties": f"{self.column} = :key and lead_id {beyond} :lead_id",
            "others": f"{self.column} {beyond} :key",
            "without": f"{self.column} is null and lead_id {beyond} :null_lead_id",
        }
        return parts if self.nulls else {name: parts[name] for name in ("ties", "others")}


ORDERS: Final = {
    "newest": Order("enquiry_datetime", "desc", str, nulls=False),
    "oldest": Order("enquiry_datetime", "asc", str, nulls=False),
    "last_follow_up": Order("last_follow_up_at", "desc", str, nulls=True),
    "score_desc": Order("engagement_score", "desc", int, nulls=True),
    "score_asc": Order("engagement_score", "asc", int, nulls=True),
    "risk_desc": Order("suspicion_score", "desc", int, nulls=False),
    "risk_asc": Order("suspicion_score", "asc", int, nulls=False),
    "name_asc": Order("name_folded", "asc", str, nulls=True),
}

# Which leads: every one, those of a stage, those that a text is found in, by the search index or by looking into each.
FILTERS: Final = {
    "all": "true",
    "stage": "status = :status and status <> ''",  # see the indexes
    "found": "lead_id in (select rowid from lead_search(:needle))",
    # not by the index of the stage, which may hold many more
    "found in stage": "status || '' = :status and lead_id in (select rowid from lead_search(:needle))",
    "seen": "lead_id in (select lead_id from leads where search_text like :pattern escape '\\')",
    "seen in stage": "status = :status and status <> '' and search_text like :pattern escape '\\'",
}

# Every statement is made of these constants, here, once. A request chooses among them and never adds to one.
CHOICES: Final = [(among, sort) for among in FILTERS for sort in ORDERS]

COLUMNS: Final = ", ".join(Lead.__annotations__)

PAGES: Final = {
    (among, sort): f"""
select {COLUMNS}
from leads
where {FILTERS[among]}
order by {ORDERS[sort]}
limit :limit offset :offset
"""
    for among, sort in CHOICES
}


def _after(among: str, sort: str) -> str:
    """The leads behind one that had `key`, as a table for a statement to choose from."""
    parts = "union all".join(
        f"""
select *
from (
  select *
  from leads
  where {FILTERS[among]} and {condition}
  order by {ORDERS[sort]}
  limit :limit) as {name}
"""
        for name, condition in ORDERS[sort].after.items()
    )
    return f"({parts}) as leads"


NEXT_PAGES: Final = {
    (among, sort): f"""
select {COLUMNS}
from {_after(among, sort)}
order by {ORDERS[sort]}
limit :limit
"""
    for among, sort in CHOICES
}

# What is found in few leads is counted with the page, in one go; of more it gives nothing, as of none.
FEW_PAGES: Final = {
    (among, sort): f"""
with found as materialized (
  select rowid as lead_id
  from lead_search(:needle)
  limit :most)
select {COLUMNS}, (select count(*) from {counted}) as total
from leads
where {condition} and (select count(*) from found) < :most
order by {ORDERS[sort]}
limit :limit offset :offset
"""
    for among, counted, condition in (
        ("found", "found", "lead_id in (select lead_id from found)"),
        (
            "found in stage",
            "found join leads using (lead_id) where status = :status",
            "status || '' = :status and lead_id in (select lead_id from found)",
        ),
    )
    for sort in ORDERS
}
FEW = 500

# What is found in many leads is found soon by going along their order: of the next `limit` leads those that match.
NEAR_PAGES: Final = {
    (among, sort, start): f"""
select {COLUMNS}
from (
  select *
  from {leads}
  order by {ORDERS[sort]}
  limit :limit) as leads
where search_text like :pattern escape '\\'
order by {ORDERS[sort]}
limit :rows offset :offset
"""
    for among, sort in CHOICES
    if among in ("all", "stage")
    for start, leads in (
        ("first", f"leads where {FILTERS[among]}"),
        ("next", _after(among, sort)),
    )
}
SPREAD = 8  # times as many leads are looked at as would do if those that match stood evenly

# The order, the last lead and what it is ordered by, if anything: `newest:28:2026-02-10 11:00:00`.
CURSOR: Final = "|".join(
    f"({'|'.join(sort for sort, order in ORDERS.items() if order.of is of)}):-?[0-9]{{1,19}}(:{key})?"
    for of, key in ((str, r"[^\u0000]{0,500}"), (int, "-?[0-9]{1,19}"))
)

NAME_FOLDED = """
select name_folded
from leads
where lead_id = :lead_id
"""

LEADS_OF_STAGES = """
select cast(coalesce(sum(leads), 0) as bigint) as total
from rollup_stages
where status = coalesce(:status, status)
"""

TOTALS: Final = {
    "all": LEADS_OF_STAGES,
    "stage": LEADS_OF_STAGES,
    "found": """
select count(*) as total
from lead_search(:needle)
""",
    **{
        among: f"""
select count(*) as total
from leads
where {FILTERS[among]}
"""
        for among in ("found in stage", "seen", "seen in stage")
    },
    "often found in stage": """
select count(*) as total
from leads
where status = :status and status <> '' and lead_id in (select rowid from lead_search(:needle))
""",
}
OFTEN = """
select count(*) as found
from (
  select 1
  from lead_search(:needle)
  limit :often) as leads
"""

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


def list_leads(
    ctx: Context,
    *,
    limit: int,
    offset: int,
    q: str | None,
    status: str | None,
    sort: str,
    cursor: str | None = None,
) -> Listing:
    """A page of the leads in one of ORDERS, and the `total` that match, counted at the same instant.

    `q` is a substring, without regard to case, of the name, e-mail, phone, project or visitor id. Nulls come last in
    every order. A full page has the header `Link` to the next one: by a `cursor`, which goes on behind the last lead of
    this one, wherever that has gone since, and takes no longer however deep the list is. `sort` and `offset` play no
    part then.
    """
    sort, place = _place(cursor) if cursor else (sort, {})

    def page(at: Reader) -> Listing:
        among, asked = _asked(at, q, status)
        asked |= {"limit": limit, "offset": offset, **place}
        rows, total = _few(at, among, sort, asked)
        if total is None:
            total = _total(at, among, asked)
            rows = _near(at, sort, total, asked) if q else None
        if rows is None:
            rows = at.rows((NEXT_PAGES if place else PAGES)[among, sort], **asked)
        found = Page(leads=rows, total=total)
        if len(rows) == limit and (behind := _cursor(at, sort, rows[-1])):
            given = {"limit": limit, "q": q, "status": status, "sort": sort, "cursor": behind}
            found.following = "?" + urlencode({name: value for name, value in given.items() if value})
        return cast(Listing, found)

    return ctx.db.read(page)


def link(ctx: Context, answer: object) -> str | None:
    """The page after the answer, as the header `Link` (RFC 8288) says it: from the question mark on."""
    if isinstance(answer, Page) and answer.following:
        return f'<{answer.following}>; rel="next"'
    return None


def export(ctx: Context, *, format: Format, q: str | None, status: str | None, sort: str) -> Stream:
    """Every lead of the list, as CSV (RFC 4180) or as a JSON object a line, all as they were at one instant.

    In CSV null is an empty field, and a text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    columns = tuple(Lead.__annotations__)
    write = _csv if format == "csv" else _ndjson

    def pieces() -> Generator[str, None, None]:
        with ctx.db.snapshot() as at:
            among, asked = _asked(at, q, status)
            asked |= {"limit": MAX_INT64, "offset": 0}
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


def update_status(ctx: Context, lead_id: int, status: str) -> Updated:
    """Put the lead into the stage `status`, in any case; what it was before goes into the history with it.

    A lead that stands there already stays, and the history too. Raises NotFound when there is no such lead or stage.
    """
    stage = status.strip().lower()
    if stage not in STATUSES:
        raise NotFound(f"status takes one of: {', '.join(STATUSES)}")

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
                changed_by=ctx.actor,
            )

    ctx.db.write(change)
    return {"updated": True}


def _asked(at: Reader, q: str | None, status: str | None) -> tuple[str, dict[str, Any]]:
    """Which of FILTERS it takes, and its parameters."""
    asked: dict[str, Any] = {"status": status}
    if not q:
        return "stage" if status else "all", asked
    folded = q.casefold().replace("\x1f", " ")  # which stands between the fields
    literal = folded.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    asked |= {"needle": at.needle(folded), "pattern": f"%{literal}%"}
    among = "seen" if asked["needle"] is None else "found"
    return f"{among} in stage" if status else among, asked


def _few(at: Reader, among: str, sort: str, asked: Mapping[str, Any]) -> tuple[list[Row] | None, int | None]:
    """A page and the total of what is found in FEW leads at most; neither where that is not known so soon."""
    if (among, sort) not in FEW_PAGES or "key" in asked:
        return None, None
    rows = at.rows(FEW_PAGES[among, sort], most=FEW + 1, **asked)
    totals = [row.pop("total") for row in rows]
    return (rows, totals[0]) if rows else (None, None)


def _total(at: Reader, among: str, asked: Mapping[str, Any]) -> int:
    if among == "found in stage":
        often = at.rows(LEADS_OF_STAGES, **asked)[0]["total"] // SPREAD + 1
        if at.rows(OFTEN, often=often, **asked)[0]["found"] == often:
            among = "often found in stage"
    total: int = at.rows(TOTALS[among], **asked)[0]["total"]
    return total


def _near(at: Reader, sort: str, total: int, asked: Mapping[str, Any]) -> list[Row] | None:
    """A page out of the nearest leads of the order, where these few fill it; else None."""
    offset = 0 if "key" in asked else asked["offset"]
    rows = asked["limit"]
    spread = SPREAD * (offset + rows)
    if spread >= total:
        return None
    looked_at = spread * at.rows(LEADS_OF_STAGES, **asked)[0]["total"] // total
    if looked_at >= total:  # it takes less to sort all that match
        return None
    place = "next" if "key" in asked else "first"
    among = "stage" if asked["status"] else "all"
    found = at.rows(NEAR_PAGES[among, sort, place], **{**asked, "limit": looked_at, "offset": offset, "rows": rows})
    return found if len(found) == rows else None


def _cursor(at: Reader, sort: str, lead: Row) -> str | None:
    """The place behind a lead; none where its name is too long to travel in a header, or has a NUL."""
    column, lead_id = ORDERS[sort].column, lead["lead_id"]
    key = (lead if column in lead else at.rows(NAME_FOLDED, lead_id=lead_id)[0])[column]
    cursor = f"{sort}:{lead_id}" if key is None else f"{sort}:{lead_id}:{key}"
    return cursor if re.fullmatch(CURSOR, cursor) else None


def _place(cursor: str) -> tuple[str, dict[str, Any]]:
    """A cursor's order, and its place as the statements take it."""
    sort, lead_id, *key = cursor.split(":", 2)
    order = ORDERS[sort]
    behind = {"key": order.of(key[0]) if key else None, "lead_id": int(lead_id)}
    least, most = -MAX_INT64 - 1, MAX_INT64
    bound = least if order.direction == "asc" else most
    behind["null_lead_id"] = bound if key else behind["lead_id"]
    return sort, {
        name: min(max(value, least), most) if isinstance(value, int) else value for name, value in behind.items()
    }


def _csv(columns: Sequence[str], leads: Iterable[Sequence[Any]]) -> str:
    text = StringIO()
    csv.writer(text).writerows([_defused(value) for value in lead] for lead in leads)
    return text.getvalue()


def _defused(value: object) -> object:
    """A text that a spreadsheet would run as a formula, with an apostrophe before it (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _ndjson(columns: Sequence[str], leads: Iterable[Sequence[Any]]) -> str:
    return "".join(json.dumps(dict(zip(columns, lead)), ensure_ascii=False) + "\n" for lead in leads)
