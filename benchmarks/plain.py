"""The queries of the measured endpoints in plain SQL on plain tables with good indexes.

Most indexes are covering indexes. With an index on only the grouped column, SQLite would read the whole table in the
order of the index, which is slower than without an index. ANALYZE is not run, because it changes no plan of a measured
query (with 100,000 events, and with 20,000 leads).
"""

from datetime import datetime, timedelta, timezone

TABLES = (
    """
create table sessions (
  session_id       text primary key,
  visitor_id       text not null,
  fingerprint      text,
  started_at       integer not null,
  ended_at         integer,
  duration         integer,
  engagement_score integer,
  event_count      integer not null,
  entry_page       text,
  exit_page        text,
  country          text,
  referrer         text,
  referrer_domain  text,
  vpn_suspected    integer not null
)
""",
    """
create table events (
  event_id    integer primary key,
  session_id  text not null,
  event_type  text not null,
  page_url    text,
  occurred_at integer not null,
  data        text
)
""",
    """
create table leads (
  lead_id              integer primary key,
  enquiry_datetime     text not null,
  contact_name         text,
  name_folded          text,  -- in lower case and without accents, copied from the database of this project
  contact_email        text,
  contact_phone        text,
  project_name         text,
  project_location     text,
  project_source       text,
  contact_country_name text,
  contact_city         text,
  visitor_id           text,
  session_id           text,
  engagement_score     integer,
  engagement_label     text,
  form_submit_count    integer not null,
  suspicion_score      integer not null,
  status               text not null
)
""",
    """
create table lead_submissions (
  submission_id       integer primary key,
  lead_id             integer not null,
  submitted_at        text not null,
  project_name        text,
  visitor_id          text,
  session_id          text,
  contact_email       text,
  contact_phone       text,
  contact_ip          text,
  source              text,
  referer             text,
  cta_name            text,
  is_primary_lead     integer not null,
  is_duplicate_window integer not null,
  payload_json        text
)
""",
)

INDEXES = (
    "create index sessions_by_time on sessions (started_at)",
    "create index sessions_by_visitor on sessions (visitor_id, started_at)",
    "create index sessions_by_fingerprint on sessions (fingerprint)",
    "create index sessions_by_country on sessions (country, visitor_id)",
    "create index sessions_by_referrer on sessions (referrer_domain)",
    "create index sessions_by_score on sessions (engagement_score, ended_at)",
    "create index events_by_session on events (session_id)",
    "create index events_by_time on events (occurred_at)",
    "create index events_by_page on events (event_type, page_url, session_id)",
    "create index leads_by_enquiry on leads (enquiry_datetime)",
    "create index leads_by_stage on leads (status, enquiry_datetime)",
    "create index leads_by_score on leads (engagement_score)",
    "create index leads_by_risk on leads (suspicion_score)",
    "create index leads_by_name on leads (name_folded)",
    "create index submissions_by_lead on lead_submissions (lead_id, submitted_at)",
)

# One subquery per value is faster than a single scan for all values, because most values have a covering index.
OVERVIEW = """
select
  (select count(*) from sessions) as total_sessions,
  (select count(*) from events) as total_events,
  (select count(distinct visitor_id) from sessions) as unique_visitors,
  (select count(distinct fingerprint) from sessions) as unique_fingerprints,
  (select coalesce(round(avg(engagement_score), 1), 0) from sessions) as avg_engagement_score,
  (select cast(coalesce(round(avg(duration) / 1000), 0) as integer) from sessions) as avg_session_duration_s,
  (select count(*) from sessions where vpn_suspected <> 0) as vpn_suspected_count
"""

DAILY = """
select date(started_at / 1000, 'unixepoch') as date, count(*) as total_sessions,
  count(distinct visitor_id) as unique_visitors, coalesce(round(avg(duration) / 1000, 1), 0) as avg_duration,
  coalesce(round(avg(engagement_score), 1), 0) as avg_engagement
from sessions
where started_at >= :first and started_at < :end
group by 1
order by 1
"""

PAGES = """
select page_url as page, count(*) as views, count(distinct session_id) as unique_sessions
from events
where event_type = 'page_view' and page_url <> ''
group by page_url
order by views desc, page
limit :limit
"""

GEO = """
select coalesce(nullif(country, ''), 'XX') as country, count(*) as sessions,
  count(distinct visitor_id) as unique_visitors
from sessions
group by 1
order by sessions desc, 1
"""

ENGAGEMENT = """
select count(*) filter (where engagement_score < 20) as "0-19",
  count(*) filter (where engagement_score between 20 and 39) as "20-39",
  count(*) filter (where engagement_score between 40 and 59) as "40-59",
  count(*) filter (where engagement_score between 60 and 79) as "60-79",
  count(*) filter (where engagement_score >= 80) as "80-100"
from sessions
where ended_at is not null
"""

SOURCES = """
select coalesce(nullif(referrer_domain, ''), '(direct)') as referrer_domain, count(*) as sessions
from sessions
group by 1
order by sessions desc, 1
limit :limit
"""

REALTIME = """
select
  (select count(*) from sessions where ended_at is null and started_at between :now - 3600000 and :now)
    as active_sessions,
  (select count(*) from events where occurred_at between :now - 3600000 and :now) as events_last_hour,
  (select count(distinct visitor_id) from sessions where started_at >= :first and started_at < :end)
    as unique_visitors_today,
  (select count(*) from sessions where started_at >= :first and started_at < :end) as total_sessions_today
"""

FOLLOW_UPS = """
  (select count(*) from lead_submissions where lead_id = leads.lead_id and is_primary_lead = 0) as follow_ups_count,
  (select max(submitted_at) from lead_submissions where lead_id = leads.lead_id and is_primary_lead = 0)
    as last_follow_up_at
"""

ORDERS = {
    "newest": "enquiry_datetime desc, lead_id desc",
    "oldest": "enquiry_datetime, lead_id",
    "last_follow_up": "last_follow_up_at desc nulls last, lead_id desc",
    "score_desc": "engagement_score desc nulls last, lead_id desc",
    "score_asc": "engagement_score nulls last, lead_id",
    "risk_desc": "suspicion_score desc, lead_id desc",
    "risk_asc": "suspicion_score, lead_id",
    "name_asc": "name_folded nulls last, lead_id",
}

MATCHES = """(
  lower(contact_name) like :pattern or lower(contact_email) like :pattern or contact_phone like :pattern
  or lower(project_name) like :pattern or visitor_id like :pattern)"""

FILTERS = {"all": "true", "stage": "status = :status", "found": MATCHES}

LEAD_COLUMNS = f"""lead_id, enquiry_datetime, contact_name, contact_email, contact_phone, project_name,
  project_location, project_source, contact_country_name, contact_city, visitor_id, session_id, engagement_score,
  engagement_label, form_submit_count, suspicion_score, {FOLLOW_UPS}, status"""

LEADS = {
    (among, sort): f"""
select {LEAD_COLUMNS}
from leads
where {condition}
order by {order}
limit :limit offset :offset
"""
    for among, condition in FILTERS.items()
    for sort, order in ORDERS.items()
}

TOTALS = {
    among: f"""
select count(*) as total
from leads
where {condition}
"""
    for among, condition in FILTERS.items()
}

LEAD = f"""
select {LEAD_COLUMNS}
from leads
where lead_id = :lead_id
"""

LEAD_SESSIONS = """
select session_id, visitor_id, entry_page, exit_page, country, started_at, ended_at, duration, engagement_score,
  event_count
from sessions
where session_id in (
  select session_id from sessions where visitor_id = (select visitor_id from leads where lead_id = :lead_id)
  union
  select session_id from leads where lead_id = :lead_id
  union
  select session_id from lead_submissions where lead_id = :lead_id)
order by started_at desc, session_id
"""

LEAD_SUBMISSIONS = """
select *
from lead_submissions
where lead_id = :lead_id
order by submitted_at desc, submission_id desc
"""


def rows(connection, sql, **params):
    cursor = connection.execute(sql, params)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor]


def overview(connection, now):
    return rows(connection, OVERVIEW)[0]


def daily(connection, now, days):
    first, end = midnights(now, days)
    return rows(connection, DAILY, first=first, end=end)


def pages(connection, now, limit=20):
    return rows(connection, PAGES, limit=limit)


def geo(connection, now):
    return rows(connection, GEO)


def engagement(connection, now):
    return [{"bucket": bucket, "count": count} for bucket, count in rows(connection, ENGAGEMENT)[0].items()]


def sources(connection, now, limit=100):
    return rows(connection, SOURCES, limit=limit)


def realtime(connection, now):
    first, end = midnights(now, 1)
    return rows(connection, REALTIME, now=now, first=first, end=end)[0]


def leads(connection, limit, offset, q, status, sort):
    among = "found" if q else "stage" if status else "all"
    params = {"status": status, "pattern": f"%{q}%"}
    return {
        "leads": rows(connection, LEADS[among, sort], limit=limit, offset=offset, **params),
        "total": rows(connection, TOTALS[among], **params)[0]["total"],
    }


def lead(connection, lead_id):
    return {
        "lead": rows(connection, LEAD, lead_id=lead_id)[0],
        "sessions": rows(connection, LEAD_SESSIONS, lead_id=lead_id),
        "submissions": rows(connection, LEAD_SUBMISSIONS, lead_id=lead_id),
    }


def midnights(now, days):
    """Return the instants in ms at which the last `days` days begin, and at which today ends."""
    tomorrow = datetime.fromtimestamp(now / 1000, timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow += timedelta(days=1)
    return [int(instant.timestamp() * 1000) for instant in (tomorrow - timedelta(days=days), tomorrow)]
