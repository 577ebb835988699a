-- The schema of analytics_api for SQLite (3.37 or later, with FTS5). It has the base tables that trackers write, and
-- counters. Triggers update the counters in the transaction that writes a row, whatever program writes it.
--
--   base tables   sessions, events, leads, lead_submissions and lead_status_changes. Any program may write them.
--   site          The time zone, and how pages are counted. `analytics-api site` sets both and rebuilds the counters.
--   counters      day_counts, key_counts, session_returns, event_counts, pages, page_counts, page_returns and others,
--                 and the tables that they are computed from, such as visitor_days. Only triggers and
--                 `analytics-api rebuild` write them.
--   archived      The columns `archived` and the tables archived_* contain the counts of rows that
--                 `analytics-api purge --keep-totals` deleted.
--   expected_*    Views that compute a counter from the base tables and the archive. `analytics-api rebuild` fills the
--                 counters from these views, and `analytics-api verify` compares the counters with them. Most of them
--                 are temporary views, which analytics_api/database/expected.sql defines for both engines.
--   *_changes     Views with INSTEAD OF triggers, which are used like procedures: an insert passes the arguments.
--                 `sign` is 1 for a new row and -1 for a deleted row. added_facts, session_additions and
--                 session_removals are such views, too; lead_status_changes and lead_changes are tables. Most inserts
--                 have the form `insert … values`, because `insert … select` would create a temporary table.
--   replaced_*    Copies of rows that `insert or replace` may overwrite. By default, SQLite fires no delete trigger for
--                 overwritten rows (https://sqlite.org/lang_conflict.html).
--
-- Instants are milliseconds since the epoch, UTC; durations are milliseconds. A day is the number of days since
-- 1970-01-01 on the site's calendar; day -1 stands for all time.
--
-- With `pragma trusted_schema = off`, which is the default in some builds of SQLite, a program needs SQLite 3.44 or
-- later to write leads, lead_submissions and lead_status_changes. Older versions reject the triggers of these tables,
-- because the triggers write the search index (`unsafe use of virtual table "lead_search"`). Sessions and events need
-- 3.37.

pragma application_id = 0x616e6170;  -- "anap" in ASCII
pragma user_version = 5;


-- base tables

create table sessions (
  session_id       text primary key not null,
  visitor_id       text not null,
  fingerprint      text,
  started_at       integer not null check (started_at between 100000000000 and 253402300799999),  -- 1973 to 9999
  ended_at         integer,
  duration         integer check (duration between -253402300799999 and 253402300799999),  -- so sums do not overflow
  engagement_score integer check (engagement_score between -2147483648 and 2147483647),
  event_count      integer not null default 0,
  entry_page       text,
  exit_page        text,
  country          text,
  referrer         text,
  referrer_domain  text,
  vpn_suspected    integer not null default 0,

  country_code text generated always as (coalesce(nullif(country, ''), 'XX')) virtual,
  -- The host of a URL may follow a user name and @. The source is the text after the last @.
  source text generated always as (
    coalesce(nullif(
      case when instr(referrer_domain, '@') then
        substr(referrer_domain, length(rtrim(referrer_domain, replace(referrer_domain, '@', ''))) + 1)
      else referrer_domain end, ''), '(direct)')) virtual,
  score_bucket text generated always as (
    case
      when ended_at is null or engagement_score is null then ''
      when engagement_score < 20 then '0-19'
      when engagement_score < 40 then '20-39'
      when engagement_score < 60 then '40-59'
      when engagement_score < 80 then '60-79'
      else '80-100'
    end) virtual,
  -- The query string of the entry page with & before and after it, or null if it does not contain utm_campaign.
  entry_query text generated always as (
    case when instr(entry_page, 'utm_campaign') then
      replace('&' || substr(
          substr(entry_page, 1, instr(entry_page || '#', '#') - 1),
          instr(substr(entry_page, 1, instr(entry_page || '#', '#') - 1) || '?', '?') + 1) || '&',
        '&utm_campaign&', '&utm_campaign=&') end) virtual,
  campaign text generated always as (
    coalesce(nullif(
      case when instr(entry_query, '&utm_campaign=') then
        substr(
          entry_query, instr(entry_query, '&utm_campaign=') + 14,
          instr(substr(entry_query, instr(entry_query, '&utm_campaign=') + 14), '&') - 1) end, ''), '(none)')) virtual
) strict;
create index sessions_by_visitor on sessions (visitor_id, started_at);
create index sessions_by_time on sessions (started_at);

-- An event may be written before its session.
create table events (
  event_id    integer primary key,
  session_id  text not null,
  event_type  text not null,
  page_url    text,
  occurred_at integer not null check (occurred_at between 100000000000 and 253402300799999),
  data        text,

  page      text generated always as (case when event_type = 'page_view' then nullif(page_url, '') end) virtual
) strict;
-- A filter by one of the two most frequent types, page_view and heartbeat, reads only the first index. A filter by
-- another type reads only the second index. The columns after occurred_at in the first index do not make writes of
-- events measurably slower. The second index makes them 4% slower.
create index events_by_time on events (occurred_at, event_type, session_id);
create index rare_events_by_type on events (event_type, occurred_at, session_id)
where event_type <> 'page_view' and event_type <> 'heartbeat';

create table leads (
  lead_id              integer primary key,
  enquiry_datetime     text not null  -- triggers convert it to YYYY-MM-DD HH:MM:SS, UTC
    constraint enquiry_datetime_is_a_date check (
      enquiry_datetime = '' or enquiry_datetime glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
        and date(substr(enquiry_datetime, 1, 10), '+0 days') = substr(enquiry_datetime, 1, 10)
        and datetime(enquiry_datetime) is not null),
  contact_name         text,
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
  form_submit_count    integer not null default 1,
  suspicion_score      integer not null default 0,
  status               text not null default 'new'
    check (status in ('new', 'contacted', 'qualified', 'proposal', 'won', 'lost')),

  -- Triggers write the following columns.
  follow_ups_count     integer not null default 0,
  last_follow_up_at    text,
  search_text          text not null default '',  -- project, name, e-mail, phone and visitor, each followed by char(31)
  project_code         text,  -- the code of the project in project_codes
  stage_since          integer,  -- when the lead entered its status, in ms since the epoch; null if unknown
  has_visits           integer not null default 0,  -- 1 if a session with this session_id or visitor_id exists

  name_folded text generated always as (
    case when contact_name is not null then
      substr(
        search_text, instr(search_text, char(31)) + 1,
        instr(substr(search_text, instr(search_text, char(31)) + 1), char(31)) - 1) end) virtual,

  project_folded text generated always as (substr(search_text, 1, instr(search_text, char(31)) - 1)) virtual,
  indexed_text text generated always as (  -- The search index contains this column and project_code.
    case when project_code is null then search_text else substr(search_text, instr(search_text, char(31))) end) virtual
) strict;
-- Indexes for each sort order of the list of leads, for all statuses and for one status. SQLite appends the row id to
-- each index entry, so leads with equal values are in the order of lead_id. The indexes for one status have the
-- condition `status <> ''`, which is always true. SQLite uses such an index only for statements with the same
-- condition. If the indexes had no condition, SQLite would use them in statements for all statuses after `analyze`.
create index leads_by_enquiry on leads (enquiry_datetime);
create index leads_by_follow_up on leads (last_follow_up_at);
create index leads_by_score on leads (engagement_score);
create index leads_by_risk on leads (suspicion_score);
create index leads_by_name on leads (name_folded);
create index leads_in_status_by_enquiry on leads (status, enquiry_datetime) where status <> '';
create index leads_in_status_by_follow_up on leads (status, last_follow_up_at) where status <> '';
create index leads_in_status_by_score on leads (status, engagement_score) where status <> '';
create index leads_in_status_by_risk on leads (status, suspicion_score) where status <> '';
create index leads_in_status_by_name on leads (status, name_folded) where status <> '';
create index leads_in_status_by_stage on leads (status, stage_since) where status <> '';

-- Indexes for the filters of the list. The first index contains all columns with filters except last_follow_up_at,
-- which each follow-up changes. So leads can be counted without reading their rows. The next indexes find the leads
-- with a rare value, in the order of the enquiries. The last index is also used to count the leads of each status if
-- all filters are by columns of this index.
create index leads_by_project on leads (
  project_name, project_source, contact_country_name, engagement_label, contact_city, status, engagement_score,
  enquiry_datetime, has_visits);
create index leads_by_source on leads (project_source, enquiry_datetime);
create index leads_by_country on leads (contact_country_name, enquiry_datetime);
create index leads_by_city on leads (contact_city, enquiry_datetime);
create index leads_by_label on leads (engagement_label, enquiry_datetime);
create index leads_by_visits on leads (has_visits, status, engagement_score, enquiry_datetime);
-- Indexes that find other leads of the same person. E-mail addresses and phone numbers are normalized.
create index leads_by_visitor on leads (visitor_id, has_visits);
create index leads_by_session on leads (session_id);
create index leads_by_email on leads (lower(replace(contact_email, ' ', '')));
create index leads_by_phone on leads (
  replace(replace(replace(replace(replace(replace(replace(
    contact_phone, ' ', ''), '+', ''), '(', ''), ')', ''), '.', ''), '-', ''), '/', ''));

create table lead_submissions (
  submission_id       integer primary key,
  lead_id             integer not null,
  submitted_at        text not null  -- triggers convert it like enquiry_datetime
    constraint submitted_at_is_a_date check (
      submitted_at = '' or submitted_at glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
        and date(substr(submitted_at, 1, 10), '+0 days') = substr(submitted_at, 1, 10)
        and datetime(submitted_at) is not null),
  project_name        text,
  visitor_id          text,
  session_id          text,
  contact_email       text,
  contact_phone       text,
  contact_ip          text,
  source              text,
  referer             text,
  cta_name            text,
  is_primary_lead     integer not null default 0,
  is_duplicate_window integer not null default 0,
  payload_json        text
) strict;
create index submissions_by_lead on lead_submissions (lead_id, submitted_at);
create index follow_ups_by_lead on lead_submissions (lead_id, submitted_at) where is_primary_lead = 0;

create table lead_status_changes (
  change_id  integer primary key,
  lead_id    integer not null,
  old_status text not null,
  new_status text not null,
  changed_at integer not null,
  changed_by text not null  -- the name of an API key, `import`, or `sql` for other programs
) strict;
create index status_changes_by_lead on lead_status_changes (lead_id, changed_at);
create index wins_by_lead on lead_status_changes (lead_id, changed_at) where new_status = 'won';


-- site

create table site (
  site_id    integer primary key check (site_id = 1),
  time_zone  text not null default 'UTC',  -- an IANA name
  page_query text not null default 'keep' check (page_query in ('keep', 'drop')),
  raw_since  integer  -- `purge --keep-totals` has deleted the rows of the days before this one; null before a purge
) strict;
insert into site (site_id) values (1);

-- The day of an instant is (instant + day_offset) / 86400000. If the clock is set back over midnight, the former
-- day_offset applies until the clock has passed midnight again. So the day never decreases.
create table site_offsets (
  begins_at  integer primary key,
  day_offset integer not null,
  utc_offset integer not null
) strict;
insert into site_offsets values (0, 0, 0);

-- While this table has a row, deletions do not change the counters, because the same transaction archives the deleted
-- rows.
create table counting_paused (
  pause_id integer primary key check (pause_id = 1)
) strict;


-- The sessions with the values by which the statistics group them.
create view counted_sessions as
select session_id, started_at, visitor_id, fingerprint,
  (started_at + (select day_offset from site_offsets where begins_at <= started_at order by begins_at desc limit 1))
    / 86400000 as day,
  country_code, source, score_bucket,
  ifnull(iif((select page_query from site) = 'drop',
    substr(entry_page, 1, instr(replace(entry_page, '#', '?') || '?', '?') - 1), entry_page), '') as entry_page,
  ifnull(iif((select page_query from site) = 'drop',
    substr(exit_page, 1, instr(replace(exit_page, '#', '?') || '?', '?') - 1), exit_page), '') as exit_page,
  campaign, duration, engagement_score, vpn_suspected
from sessions;

-- The days on which a visitor had sessions, by country, with the number of these sessions. `sessions` includes the
-- archived sessions.
create table visitor_days (
  visitor_id   text not null,
  day          integer not null,
  country_code text not null,
  sessions     integer not null,
  archived     integer not null default 0,
  primary key (visitor_id, day, country_code)
) strict, without rowid;

create table fingerprint_days (
  fingerprint text not null,
  day         integer not null,
  sessions    integer not null,
  archived    integer not null default 0,
  primary key (fingerprint, day)
) strict, without rowid;

-- In this schema, a visit is a day on which an identity has sessions or page views, however many. An identity is a
-- visitor (dimension 0), a visitor in a country (1), a fingerprint (6), or a page in a session (7). `identity` is the
-- id of the visitor, fingerprint or session. `key` is the country or page.
create view visit_days as
select 0 as dimension, visitor_id as identity, '' as key, day
from visitor_days
union all
select 1, visitor_id, country_code, day
from visitor_days
union all
select 6, fingerprint, '', day
from fingerprint_days
union all
select 7, session_id, page_id, day
from days_of_sessions
cross join session_pages using (session_id, day);


-- tables for statistics with filters

-- A row for each session, with the values that counted_sessions computes. `is_new` is 1 if the visitor has no earlier
-- session. The table has the ids of pages, because with their texts, statistics with filters would read 60% more bytes.
-- A session without an entry or exit page has the id of the page ''.
create table session_facts (
  day              integer not null,
  session_id       text not null,
  visitor_id       text not null,
  country_code     text not null,
  is_new           integer not null,
  is_vpn           integer not null,
  duration         integer,
  engagement_score integer,
  started_at       integer not null,
  score_bucket     text not null,
  fingerprint      text,
  source           text not null,
  entry_page_id    integer not null,
  exit_page_id     integer not null,
  campaign         text not null,
  events_of_day    integer not null,  -- number of events on the day on which the session began
  primary key (day, session_id)
) strict, without rowid;

-- The number of events of each session on each day other than the day of its start. If the session does not exist, all
-- days of its events are in this table.
create table events_of_other_days (
  day        integer not null,
  session_id text not null,
  events     integer not null,
  primary key (day, session_id)
) strict, without rowid;
create index events_of_other_days_by_session on events_of_other_days (session_id);

-- The rows of session_facts, for searches by session_id. Their primary key begins with the day, which is looked up in
-- sessions first.
create view facts_of_sessions as
select session_facts.*
from counted_sessions
cross join session_facts using (day, session_id);

-- The columns of session_facts except events_of_day. `is_new` is a search for an earlier session instead of a window
-- function. This halves the time of a rebuild with 60,000 sessions.
create view session_values as
select s.day, s.session_id, s.visitor_id, s.country_code,
  not exists (
    select 1
    from sessions as earlier
    where earlier.visitor_id = s.visitor_id and earlier.started_at <= s.started_at
      and (earlier.started_at < s.started_at or earlier.session_id < s.session_id))
    and not exists (select 1 from visitor_days where visitor_id = s.visitor_id and archived <> 0) as is_new,
  s.vpn_suspected <> 0 as is_vpn, s.duration, s.engagement_score, s.started_at, s.score_bucket, s.fingerprint,
  s.source, (select page_id from pages where page = s.entry_page) as entry_page_id,
  (select page_id from pages where page = s.exit_page) as exit_page_id, s.campaign
from counted_sessions as s;


-- counters of sessions

create table archived_session_counts (
  dimension      integer not null,
  day            integer not null,
  key            text not null,
  sessions       integer not null,
  duration_sum   integer not null default 0,
  duration_count integer not null default 0,
  score_sum      integer not null default 0,
  score_count    integer not null default 0,
  vpn_suspected  integer not null default 0,
  primary key (dimension, day, key)
) strict, without rowid;


-- A dimension is the number of a property by which sessions are counted: 1 is the country. Dimension 0 counts all
-- sessions. Only this dimension has sums, such as duration_sum, so its counts have a table of their own. With one table
-- for all dimensions, a third fewer sessions could be written per second. In the dimensions of entry pages (4) and exit
-- pages (5), the key is the id of the page. The primary key of key_counts begins with the day, so that the rows that a
-- session changes are on few pages of the database file. If it began with the dimension, inserts of sessions would take
-- 4% more time.
create table day_counts (
  day            integer primary key,
  sessions       integer not null default 0,
  visitors       integer not null default 0,
  fingerprints   integer not null default 0,
  duration_sum   integer not null default 0,
  duration_count integer not null default 0,
  score_sum      integer not null default 0,
  score_count    integer not null default 0,
  vpn_suspected  integer not null default 0
) strict;

create table key_counts (
  dimension integer not null,
  day       integer not null,
  key       text not null,
  sessions  integer not null default 0,
  visitors  integer not null default 0,  -- 0 in dimensions other than 1
  primary key (day, dimension, key)
) strict, without rowid;
create index sources_by_sessions on key_counts (dimension, sessions desc, key) where +day = -1 and dimension = 2;

create view all_time_keys as
select dimension, key, sessions, visitors
from key_counts
where day = -1 and sessions <> 0;

-- Reads the index sources_by_sessions. Without the sign in `+day`, SQLite might search the primary key after `analyze`.
create view all_time_sources as
select key, sessions
from key_counts
where +day = -1 and dimension = 2 and sessions <> 0;

-- A return is a pair of days on which a visitor had sessions, with no such day in between. The number of distinct
-- visitors of a range of days is the sum of the visitors of each day, minus the returns with both days in the range.
-- `sessions` is the number of returns. `dimension` and `key` are those of visit_days.
create table session_returns (
  dimension    integer not null,
  day          integer not null,
  previous_day integer not null,
  key          text not null,
  sessions     integer not null,
  primary key (dimension, day, previous_day, key)
) strict, without rowid;


-- counters of events

create view counted_events as
select event_id, session_id, occurred_at,
  nullif(iif(page_query = 'drop', substr(page, 1, instr(replace(page, '#', '?') || '?', '?') - 1), page), '') as page,
  (occurred_at + (select day_offset from site_offsets where begins_at <= occurred_at order by begins_at desc limit 1))
    / 86400000 as day
from events
cross join site;

create table archived_event_counts (
  day    integer primary key,
  events integer not null
) strict;
create table event_counts (
  day    integer primary key,
  events integer not null
) strict;

-- The all-time counts of pages, also of entry and exit pages without views. A rebuild keeps the ids of pages with
-- archived views, because archived rows refer to them.
create table pages (
  page_id  integer primary key,
  page     text not null unique,
  views    integer not null default 0,
  sessions integer not null default 0
) strict;
create index pages_by_views on pages (views desc, page);

-- Page views that versions before 5 archived. It is unknown which sessions they belong to.
create table archived_page_counts (
  page_id  integer not null,
  day      integer not null,
  views    integer not null,
  sessions integer not null,
  primary key (page_id, day)
) strict, without rowid;

create table session_pages (
  day        integer not null,
  session_id text not null,
  page_id    integer not null,
  views      integer not null,
  archived   integer not null default 0,
  primary key (day, session_id, page_id)
) strict, without rowid;
-- The index also has rows without views, so that they are found when they are deleted.
create index archived_session_pages on session_pages (session_id) where archived <> 0 or views = 0;

-- The days on which a session began, has events, or has archived page views. A day may occur twice. A search for the
-- pages of a session compares the day with these days, because the primary key of session_pages begins with the day.
-- The cast gives `day` the same affinity in each query. Otherwise SQLite would not flatten the view, and a correlated
-- subquery would read all sessions.
create view days_of_sessions as
select session_id, cast(day as integer) as day
from counted_sessions
union all
select session_id, day
from events_of_other_days
union all
select session_id, day
from session_pages
where archived <> 0;

create view all_time_pages as
select page, views, sessions
from pages
where views <> 0;


create table page_counts (
  day      integer not null,
  page_id  integer not null,
  views    integer not null,
  sessions integer not null,
  primary key (day, page_id)
) strict, without rowid;

create table page_returns (
  day          integer not null,
  page_id      integer not null,
  previous_day integer not null,
  sessions     integer not null,
  primary key (day, page_id, previous_day)
) strict, without rowid;


-- counters of sessions and events

-- Counts for the statistics of the last hour, which read sixty rows of this table, however many events there are.
-- Archived rows are not counted.
create table minute_counts (
  minute        integer primary key,
  events        integer not null default 0,
  open_sessions integer not null default 0
) strict;


-- counters of leads

create table status_counts (
  status text primary key not null,
  leads  integer not null
) strict, without rowid;

-- The number of leads for each value of a field: project, source, country or label.
create table facet_counts (
  field text not null,
  key   text not null,
  leads integer not null,
  primary key (field, key)
) strict, without rowid;

create view expected_lead_submissions as
select submission_id, coalesce(datetime(submitted_at), '') as submitted_at
from lead_submissions;

-- The leads that were inserted, moved to another status or deleted, in the order of these changes. The endpoint
-- /analytics/changes returns them. At least the last 10,000 rows are kept. A rebuild deletes them, so that the earlier
-- cursors of this endpoint become invalid.
create table lead_changes (
  change_number integer primary key,
  lead_id       integer not null
) strict;
create trigger lead_changes_prune after insert on lead_changes when new.change_number % 10000 = 0
begin
  delete from lead_changes where change_number <= new.change_number - 10000;
end;

-- A follow-up is a submission of a lead after the first one. Its column is_primary_lead is 0.
create table follow_up_counts (
  lead_id           integer primary key,
  follow_ups_count  integer not null,
  last_follow_up_at text
) strict;
create view expected_follow_up_counts as
select lead_id, count(*) as follow_ups_count, max(submitted_at) as last_follow_up_at
from lead_submissions
where is_primary_lead = 0
group by lead_id;

-- The folded form of characters outside ASCII, for the search: lower case, in NFD, without the combining marks U+0300
-- to U+036F. The package fills the table from Python's unicodedata. The table does not contain Hangul syllables,
-- because their NFD can be computed.
create table case_folds (
  letter text primary key not null,
  folded text not null
) strict, without rowid;

-- Most leads have one of a few projects. For these projects, the search index contains a code of three capital letters
-- instead of the name. Folded text contains no capital letters. A search looks for its term, and for the codes of the
-- projects whose names contain the term. With a million leads, this takes 75 ms for a term in 20 project names. For a
-- term in 100 names it takes 240 ms, as long as without codes, so the number of codes is limited. A rebuild assigns the
-- codes to the most frequent projects. Until the next rebuild, a project keeps its code even if no lead has the project
-- any more.
create table project_codes (
  project_id integer primary key,
  project    text not null unique,

  code text generated always as ('A' || char(65 + project_id / 26, 65 + project_id % 26)) virtual
) strict;
create view project_code_limit as
select 50 as projects;

create view frequent_projects as
select project_folded as project
from leads
where project_folded <> ''
group by project_folded
order by count(*) desc, project_folded
limit (select projects from project_code_limit);

-- A lead entered its status at its last move. A lead that never moved entered the status `new` at its enquiry.
create view lead_stages as
select leads.lead_id,
  case
    when change_id is null and status = 'new' and enquiry_datetime >= '0001'
      then strftime('%s', enquiry_datetime) * 1000
    when new_status = status then changed_at
  end as stage_since
from leads
left join lead_status_changes as moves using (lead_id)
where change_id is (
  select change_id
  from lead_status_changes as changes
  where changes.lead_id = leads.lead_id
  order by changed_at desc, change_id desc
  limit 1);

-- The columns of a lead that are written by triggers, except has_visits. project_code is computed from the stored
-- search_text, not from the one in this view. `substr` cuts each field at its first NUL character. Otherwise most
-- functions of SQLite would ignore all fields after a NUL.
create view expected_leads as
with common (letters) as (
  values (' abcdefghijklmnopqrstuvwxyz0123456789@.-+''' || char(31))),
texts as (
  select lead_id, enquiry_datetime, project_folded,
    lower(coalesce(replace(substr(project_name, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(contact_name, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(contact_email, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(contact_phone, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(visitor_id, 1), char(31), ' '), '') || char(31)) as text
  from leads)
select lead_id, coalesce(datetime(enquiry_datetime), '') as enquiry_datetime,
  coalesce(follow_ups_count, 0) as follow_ups_count, last_follow_up_at, stage_since,
  case
    when length(text) = length(cast(text as blob)) then text  -- ASCII, which lower() folds
    else (
      -- each step goes to the next letter that is not common; `plain` is the number of letters before it
      with recursive folding (folded, rest, plain) as (
        select '', text, length(text) - length(ltrim(text, letters))
        from common
        union all
        select folded || substr(rest, 1, plain) || coalesce(
            (select folded from case_folds where letter = substr(rest, plain + 1, 1)),
            (select char(4352 + place / 588, 4449 + place % 588 / 28) || iif(place % 28, char(4519 + place % 28), '')
             from (select unicode(substr(rest, plain + 1, 1)) - 44032 as place)
             where place between 0 and 11171),
            substr(rest, plain + 1, 1)),
          substr(rest, plain + 2),
          length(substr(rest, plain + 2)) - length(ltrim(substr(rest, plain + 2), letters))
        from folding, common
        where rest <> '')
      select folded
      from folding
      where rest = '')
  end as search_text,
  code as project_code
from texts
join lead_stages using (lead_id)
left join follow_up_counts using (lead_id)
left join project_codes on project = project_folded;

create virtual table lead_search using fts5 (
  indexed_text, project_code, content = 'leads', content_rowid = 'lead_id', columnsize = 0,
  tokenize = 'trigram case_sensitive 1');
-- The trigrams in the search index.
create virtual table lead_search_trigrams using fts5vocab (lead_search, row);


-- sessions -> session_facts

-- Before an insert, a trigger copies the existing row with the same primary key to this table. If the insert replaces
-- that row, the trigger sessions_replace removes it from session_facts. If the insert is ignored or becomes an update,
-- the copy remains. No later insert may remove the row again, so the copy is deleted whenever the row is removed.
create table replaced_sessions as
select session_id, visitor_id, started_at, ended_at
from sessions
where false;

create view session_removals as
select *
from replaced_sessions;

create trigger session_removal instead of insert on session_removals
begin
  delete from replaced_sessions where session_id = new.session_id;
  insert into minute_counts (minute, open_sessions)
  select new.started_at / 60000, -1
  where new.ended_at is null
  on conflict do update set open_sessions = open_sessions - 1;
  delete from session_facts
  where session_id = new.session_id
    and day = (new.started_at + (
      select day_offset from site_offsets where begins_at <= new.started_at order by begins_at desc limit 1
    )) / 86400000;
  insert into session_attribution_changes
  values (new.session_id, new.visitor_id, new.started_at);
end;

-- The values are those of session_values. Reading this view would make inserts of sessions 15% slower.
--
-- A trigger of another program may fire before this one, and update or delete the new session. If `new` therefore has
-- other values than the stored row, the exit page gets no id, so that session_facts_add_pages inserts the stored values.
-- The row is ignored if sessions_update has inserted it already.
create trigger sessions_insert after insert on sessions
begin
  insert into minute_counts (minute, open_sessions)
  select new.started_at / 60000, 1
  where new.ended_at is null
  on conflict do update set open_sessions = open_sessions + 1;
  insert into session_facts
  values (
    (new.started_at + (
      select day_offset from site_offsets where begins_at <= new.started_at order by begins_at desc limit 1
    )) / 86400000,
    new.session_id, new.visitor_id, new.country_code,
    not exists (
      select 1
      from sessions
      where visitor_id = new.visitor_id
        and started_at <= new.started_at
        and (started_at < new.started_at or session_id < new.session_id))
      and not exists (select 1 from visitor_days where visitor_id = new.visitor_id and archived <> 0),
    new.vpn_suspected <> 0, new.duration, new.engagement_score, new.started_at, new.score_bucket, new.fingerprint,
    new.source,
    (select page_id from pages where page = ifnull(iif((select page_query from site) = 'drop',
      substr(new.entry_page, 1, instr(replace(new.entry_page, '#', '?') || '?', '?') - 1), new.entry_page), '')),
    (select page_id from pages where page = ifnull(iif((select page_query from site) = 'drop',
      substr(new.exit_page, 1, instr(replace(new.exit_page, '#', '?') || '?', '?') - 1), new.exit_page), '')
      and (new.started_at, new.ended_at, new.duration, new.engagement_score, new.exit_page) is (
        select started_at, ended_at, duration, engagement_score, exit_page
        from sessions
        where session_id = new.session_id)),
    new.campaign, 0)
  on conflict do nothing;
  insert into session_attribution_changes
  values (new.session_id, new.visitor_id, new.started_at);
end;

-- Insert the pages of a session, and its row of session_facts.
create view session_additions as
select session_id
from sessions;

create trigger session_addition instead of insert on session_additions
begin
  insert into pages (page)
  select page
  from (
    select entry_page as page
    from counted_sessions
    where session_id = new.session_id
    union all
    select exit_page
    from counted_sessions
    where session_id = new.session_id)
  where true
  on conflict do nothing;
  insert into session_facts
  select *, 0
  from session_values
  where session_id = new.session_id
  on conflict do nothing;
end;

-- An inserted row has no page id if the page is not in `pages` yet, or for the reason given above sessions_insert.
create trigger session_facts_add_pages before insert on session_facts
when new.entry_page_id is null or new.exit_page_id is null
begin
  insert into session_additions
  values (new.session_id);
  select raise(ignore);
end;

-- The same for an updated row. After a change of the session's id, no row is updated here, because sessions_update
-- replaces it.
create trigger session_facts_add_exit_page before update of exit_page_id on session_facts when new.exit_page_id is null
begin
  insert into pages (page)
  select exit_page
  from counted_sessions
  where session_id = new.session_id
  on conflict do nothing;
  update session_facts set (duration, engagement_score, score_bucket, exit_page_id) = (
    select duration, engagement_score, score_bucket, exit_page_id
    from session_values
    where session_id = new.session_id)
  where day = new.day
    and session_id in (select session_id from sessions where session_id = new.session_id);
  select raise(ignore);
end;

create trigger sessions_replace before insert on session_facts
when exists (select 1 from replaced_sessions where session_id = new.session_id)
begin
  insert into session_removals
  select *
  from replaced_sessions;
end;

create trigger sessions_delete after delete on sessions
begin
  insert into session_removals
  values (old.session_id, old.visitor_id, old.started_at, old.ended_at);
end;

-- Most updates by trackers change only the measures ended_at, duration, engagement_score and exit_page, for example at
-- the end of a session. The trigger sessions_heartbeat copies them. For other updates, this trigger replaces the row of
-- session_facts. It has a list of columns because evaluating its condition would take a tenth of the time of an update.
create trigger sessions_update
after update of session_id, visitor_id, fingerprint, started_at, country, referrer_domain, entry_page, vpn_suspected
on sessions
when (new.session_id, new.visitor_id, new.fingerprint, new.started_at, new.country_code, new.source, new.entry_page,
    new.vpn_suspected)
  is not (old.session_id, old.visitor_id, old.fingerprint, old.started_at, old.country_code, old.source, old.entry_page,
    old.vpn_suspected)
begin
  insert into session_removals
  values (old.session_id, old.visitor_id, old.started_at, new.ended_at);
  insert into minute_counts (minute, open_sessions)
  select new.started_at / 60000, 1
  where new.ended_at is null
  on conflict do update set open_sessions = open_sessions + 1;
  insert into session_additions
  values (new.session_id);
  insert into session_attribution_changes
  values (new.session_id, new.visitor_id, new.started_at);
end;

create trigger sessions_heartbeat after update of ended_at, duration, engagement_score, exit_page on sessions
begin
  insert into minute_counts (minute, open_sessions)
  select old.started_at / 60000, (new.ended_at is null) - (old.ended_at is null)
  where (new.ended_at is null) <> (old.ended_at is null)
  on conflict do update set open_sessions = open_sessions + excluded.open_sessions;
  update session_facts set (duration, engagement_score, score_bucket, exit_page_id) = (
    select v.duration, v.engagement_score, v.score_bucket,
      iif(new.exit_page is old.exit_page, session_facts.exit_page_id, v.exit_page_id)
    from session_values as v
    where v.session_id = new.session_id)
  where session_id = old.session_id
    and day = (old.started_at + (
      select day_offset from site_offsets where begins_at <= old.started_at order by begins_at desc limit 1
    )) / 86400000;
end;

create trigger sessions_before_insert before insert on sessions
when exists (select 1 from sessions where session_id = new.session_id)
begin
  delete from replaced_sessions;
  insert into replaced_sessions
  select session_id, visitor_id, started_at, ended_at
  from sessions
  where session_id = new.session_id;
end;

-- Reject an update that sets the key of another row. `update or replace` would overwrite that row, and no trigger would
-- fire.
create trigger sessions_rename before update of session_id on sessions when new.session_id <> old.session_id
begin
  select raise(abort, 'session_id is taken')
  from sessions
  where session_id = new.session_id;
end;


-- session_facts -> counters

-- A session that is added to session_facts, with the last day on which its visitor had a session, the last day on which
-- the visitor had a session in the same country, and the last day with a session of the fingerprint. A visitor or
-- fingerprint is added to a day if the last day is null or earlier.
create view added_facts as
select day, visitor_id, fingerprint, country_code, is_new, is_vpn, duration, engagement_score,
  day as last_day, day as last_day_in_country, day as last_day_of_fingerprint
from session_facts;

-- Dimension 1 is counted by added_fact_count.
create trigger session_facts_insert after insert on session_facts
begin
  insert into key_counts (dimension, day, key, sessions)
  values
    (2, -1, new.source, 1),
    (2, new.day, new.source, 1),
    (3, -1, new.score_bucket, 1),
    (3, new.day, new.score_bucket, 1),
    (4, -1, new.entry_page_id, 1),
    (4, new.day, new.entry_page_id, 1),
    (5, -1, new.exit_page_id, 1),
    (5, new.day, new.exit_page_id, 1),
    (8, -1, new.campaign, 1),
    (8, new.day, new.campaign, 1)
  on conflict do update set sessions = sessions + 1;
  insert into added_facts
  values (
    new.day, new.visitor_id, new.fingerprint, new.country_code, new.is_new, new.is_vpn, new.duration,
    new.engagement_score,
    (select max(day) from visitor_days where visitor_id = new.visitor_id),
    (select max(day) from visitor_days where visitor_id = new.visitor_id and country_code = new.country_code),
    (select max(day) from fingerprint_days where fingerprint = new.fingerprint));
  insert into visitor_days (visitor_id, day, country_code, sessions)
  values (new.visitor_id, new.day, new.country_code, 1)
  on conflict do update set sessions = sessions + 1;
  insert into fingerprint_days (fingerprint, day, sessions)
  select new.fingerprint, new.day, 1
  where new.fingerprint is not null
  on conflict do update set sessions = sessions + 1;
end;

create trigger added_fact_count instead of insert on added_facts
begin
  insert into day_counts (
    day, sessions, visitors, fingerprints, duration_sum, duration_count, score_sum, score_count, vpn_suspected)
  select day, 1, ifnull(new.last_day < day, 1),
    new.fingerprint is not null and ifnull(new.last_day_of_fingerprint < day, 1),
    ifnull(new.duration, 0), new.duration is not null, ifnull(new.engagement_score, 0),
    new.engagement_score is not null, new.is_vpn
  from (select -1 as day union all select new.day)
  where true
  on conflict do update set
    sessions = sessions + 1,
    visitors = visitors + excluded.visitors,
    fingerprints = fingerprints + excluded.fingerprints,
    duration_sum = duration_sum + excluded.duration_sum,
    duration_count = duration_count + excluded.duration_count,
    score_sum = score_sum + excluded.score_sum,
    score_count = score_count + excluded.score_count,
    vpn_suspected = vpn_suspected + excluded.vpn_suspected;
  insert into key_counts (dimension, day, key, sessions, visitors)
  values
    (1, -1, new.country_code, 1, new.last_day_in_country is null),
    (1, new.day, new.country_code, 1, ifnull(new.last_day_in_country < new.day, 1))
  on conflict do update set
    sessions = sessions + 1,
    visitors = visitors + excluded.visitors;
  insert into session_returns (dimension, day, previous_day, key, sessions)
  select 0, new.day, new.last_day, '', 1
  where new.last_day < new.day
  union all
  select 1, new.day, new.last_day_in_country, new.country_code, 1
  where new.last_day_in_country < new.day
  union all
  select 6, new.day, new.last_day_of_fingerprint, '', 1
  where new.last_day_of_fingerprint < new.day
  on conflict do update set sessions = sessions + 1;
end;

-- Most sessions that are added are on a later day than all former sessions of their visitor and of their fingerprint.
-- Any other session may change the returns of former sessions, and may become the first session of its visitor.
create trigger added_fact_late instead of insert on added_facts
when new.last_day >= new.day or new.last_day_of_fingerprint > new.day
begin
  insert into visit_changes
  select 1, 0, new.visitor_id, '', new.day
  where new.last_day > new.day
  union all
  select 1, 1, new.visitor_id, new.country_code, new.day
  where new.last_day_in_country > new.day
  union all
  select 1, 6, new.fingerprint, '', new.day
  where new.last_day_of_fingerprint > new.day;
  insert into first_session_changes
  select new.visitor_id
  where new.is_new;
end;

-- The triggers visitor_days_empty and fingerprint_days_empty subtract a visitor or fingerprint without other sessions
-- on the day.
create trigger session_facts_delete before delete on session_facts when not exists (select 1 from counting_paused)
begin
  update day_counts set
    sessions = sessions - 1,
    duration_sum = duration_sum - ifnull(old.duration, 0),
    duration_count = duration_count - (old.duration is not null),
    score_sum = score_sum - ifnull(old.engagement_score, 0),
    score_count = score_count - (old.engagement_score is not null),
    vpn_suspected = vpn_suspected - old.is_vpn
  where day in (-1, old.day);
  insert into key_counts (dimension, day, key, sessions)
  values
    (1, -1, old.country_code, -1),
    (1, old.day, old.country_code, -1),
    (2, -1, old.source, -1),
    (2, old.day, old.source, -1),
    (3, -1, old.score_bucket, -1),
    (3, old.day, old.score_bucket, -1),
    (4, -1, old.entry_page_id, -1),
    (4, old.day, old.entry_page_id, -1),
    (5, -1, old.exit_page_id, -1),
    (5, old.day, old.exit_page_id, -1),
    (8, -1, old.campaign, -1),
    (8, old.day, old.campaign, -1)
  on conflict do update set sessions = sessions - 1;
  update visitor_days set sessions = sessions - 1
  where visitor_id = old.visitor_id and day = old.day and country_code = old.country_code;
  update fingerprint_days set sessions = sessions - 1
  where fingerprint = old.fingerprint and day = old.day;
end;

create trigger session_facts_update
after update of duration, engagement_score, score_bucket, exit_page_id on session_facts
when not exists (select 1 from counting_paused)
begin
  update day_counts set
    duration_sum = duration_sum + ifnull(new.duration, 0) - ifnull(old.duration, 0),
    duration_count = duration_count + (new.duration is not null) - (old.duration is not null),
    score_sum = score_sum + ifnull(new.engagement_score, 0) - ifnull(old.engagement_score, 0),
    score_count = score_count + (new.engagement_score is not null) - (old.engagement_score is not null)
  where day in (-1, new.day);
  insert into key_changes
  values (new.day, 3, old.score_bucket, new.score_bucket);
  insert into key_changes
  values (new.day, 5, old.exit_page_id, new.exit_page_id);
end;

create view key_changes as
select day, dimension, key as old_key, key
from key_counts;

create trigger key_change instead of insert on key_changes when new.key <> new.old_key
begin
  insert into key_counts (dimension, day, key, sessions)
  values
    (new.dimension, -1, new.key, 1),
    (new.dimension, new.day, new.key, 1),
    (new.dimension, -1, new.old_key, -1),
    (new.dimension, new.day, new.old_key, -1)
  on conflict do update set sessions = sessions + excluded.sessions;
end;

-- Events may be written before their session, and may remain after it.
create trigger session_events_move after insert on session_facts
when exists (select 1 from events_of_other_days where day = new.day and session_id = new.session_id)
begin
  update session_facts set events_of_day = (
    select events from events_of_other_days where day = new.day and session_id = new.session_id)
  where day = new.day and session_id = new.session_id;
  delete from events_of_other_days where day = new.day and session_id = new.session_id;
end;

create trigger session_events_remain after delete on session_facts
begin
  insert into events_of_other_days (day, session_id, events)
  select old.day, old.session_id, old.events_of_day
  where old.events_of_day <> 0;
  insert into first_session_changes
  select old.visitor_id
  where old.is_new;
end;

-- Archived sessions count as earlier than all other sessions of their visitor, so the value of `is_new` may change.
create trigger visitor_days_archive after update of archived on visitor_days
when (new.archived = 0) <> (old.archived = 0)
begin
  insert into first_session_changes
  values (new.visitor_id);
end;

create view first_session_changes as
select visitor_id
from session_facts;

-- Compute `is_new` again for the first two sessions of a visitor. The former first session may now be the second. The
-- day and the id have separate conditions, because SQLite would read all sessions of the days for
-- `(day, session_id) in (…)`.
create trigger first_session_change instead of insert on first_session_changes
begin
  update session_facts set
    is_new = session_id = (
        select session_id
        from sessions
        where visitor_id = new.visitor_id
        order by started_at, session_id
        limit 1)
      and not exists (select 1 from visitor_days where visitor_id = new.visitor_id and archived <> 0)
  where day in (
      select day
      from counted_sessions
      where visitor_id = new.visitor_id
      order by started_at, session_id
      limit 2)
    and session_id in (
      select session_id
      from sessions
      where visitor_id = new.visitor_id
      order by started_at, session_id
      limit 2);
end;

create trigger visitor_days_empty after update of sessions on visitor_days when new.sessions = 0
begin
  delete from visitor_days
  where visitor_id = new.visitor_id and day = new.day and country_code = new.country_code;
  insert into visit_changes
  values
    (-1, 0, new.visitor_id, '', new.day),
    (-1, 1, new.visitor_id, new.country_code, new.day);
end;

create trigger fingerprint_days_empty after update of sessions on fingerprint_days when new.sessions = 0
begin
  delete from fingerprint_days where fingerprint = new.fingerprint and day = new.day;
  insert into visit_changes
  values (-1, 6, new.fingerprint, '', new.day);
end;

-- Count a late visit, or subtract a deleted visit. A visit is late if a visit of the same identity on a later day was
-- counted before it. This trigger runs before the visit is added to visit_days, or after it was deleted there. If
-- visit_days has a row for the visit nevertheless, for example because of a session in another country, no counter
-- changes. The triggers added_fact_count and page_view_change count a visit that is not late, the most frequent case,
-- with fewer statements.
create view visit_changes as
select 0 as sign, dimension, identity, key, day
from visit_days;

create trigger visit_change instead of insert on visit_changes
when not exists (
  select 1
  from visit_days
  where dimension = new.dimension and identity = new.identity and key = new.key and day = new.day)
begin
  insert into return_changes
  select new.sign, new.dimension, new.key, max(iif(day < new.day, day, null)), new.day,
    min(iif(day > new.day, day, null))
  from visit_days
  where dimension = new.dimension and identity = new.identity and key = new.key;
end;

create view return_changes as
select 0 as sign, dimension, key, previous_day, day, day as next_day
from session_returns;

create trigger session_return_change instead of insert on return_changes when new.dimension <> 7
begin
  insert into day_counts (day, visitors, fingerprints)
  select day, new.sign * (new.dimension = 0), new.sign * (new.dimension = 6)
  from (select new.day as day union all select -1 where new.previous_day is null and new.next_day is null)
  where new.dimension <> 1
  on conflict do update set
    visitors = visitors + excluded.visitors,
    fingerprints = fingerprints + excluded.fingerprints;
  insert into key_counts (dimension, day, key, visitors)
  select 1, day, new.key, new.sign
  from (select new.day as day union all select -1 where new.previous_day is null and new.next_day is null)
  where new.dimension = 1
  on conflict do update set visitors = visitors + excluded.visitors;
  insert into session_returns (dimension, day, previous_day, key, sessions)
  select new.dimension, day, previous_day, new.key, sessions
  from (
    select new.day as day, new.previous_day as previous_day, new.sign as sessions
    union all
    select new.next_day, new.day, new.sign
    union all
    select new.next_day, new.previous_day, -new.sign)
  where day is not null and previous_day is not null
  on conflict do update set sessions = sessions + excluded.sessions;
end;

create trigger page_return_change instead of insert on return_changes when new.dimension = 7
begin
  update pages set sessions = sessions + new.sign
  where page_id = new.key and new.previous_day is null and new.next_day is null;
  insert into page_counts (day, page_id, views, sessions)
  values (new.day, new.key, 0, new.sign)
  on conflict do update set sessions = sessions + excluded.sessions;
  insert into page_returns (day, page_id, previous_day, sessions)
  select day, new.key, previous_day, sessions
  from (
    select new.day as day, new.previous_day as previous_day, new.sign as sessions
    union all
    select new.next_day, new.day, new.sign
    union all
    select new.next_day, new.previous_day, -new.sign)
  where day is not null and previous_day is not null
  on conflict do update set sessions = sessions + excluded.sessions;
end;


-- events -> counters

create table replaced_events as
select event_id, session_id, page, occurred_at
from events
where false;

create view event_changes as
select 0 as sign, *
from replaced_events;

create trigger event_change instead of insert on event_changes
begin
  insert into minute_counts (minute, events)
  values (new.occurred_at / 60000, new.sign)
  on conflict do update set events = events + excluded.events;
  insert into event_day_changes
  values (new.sign, iif(new.sign = 1 or not exists (select 1 from counting_paused), new.sign, 0), new.session_id,
    nullif(iif((select page_query from site) = 'drop',
      substr(new.page, 1, instr(replace(new.page, '#', '?') || '?', '?') - 1), new.page), ''),
    (new.occurred_at + (
      select day_offset from site_offsets where begins_at <= new.occurred_at order by begins_at desc limit 1
    )) / 86400000);
end;

-- `counter_sign` is 0 for an event that is deleted while counting is paused. Such an event remains in the counters, but
-- not among the events of its session.
create view event_day_changes as
select 0 as sign, 0 as counter_sign, session_id, page, day
from counted_events;

create trigger event_day_change instead of insert on event_day_changes
begin
  update session_facts set events_of_day = events_of_day + new.sign
  where day = new.day and session_id = new.session_id;
  insert into events_of_other_days (day, session_id, events)
  select new.day, new.session_id, new.sign
  where changes() = 0
  on conflict do update set events = events + excluded.events;
  insert into event_counts (day, events)
  values (-1, new.counter_sign), (new.day, new.counter_sign)
  on conflict do update set events = events + excluded.events;
  insert into page_changes
  values (new.counter_sign, new.session_id, new.page, (select page_id from pages where page = new.page), new.day);
end;

create trigger events_of_other_days_empty after update of events on events_of_other_days when new.events = 0
begin
  delete from events_of_other_days where day = new.day and session_id = new.session_id;
end;

create view page_changes as
select 0 as sign, session_id, page, page_id, day
from session_pages
join pages using (page_id);

create trigger page_add instead of insert on page_changes
when new.sign <> 0 and new.page_id is null and new.page is not null
begin
  insert into pages (page)
  values (new.page);
  insert into page_changes
  select new.sign, new.session_id, page, page_id, new.day
  from pages
  where page = new.page;
end;

-- `last_day` is the last day on which the session viewed the page. Most sessions have events only on the day on which
-- they began. For them, no other day is searched. The other sessions have a row in events_of_other_days, which
-- event_day_change has inserted if this is their first event of the day, or they have archived views.
create trigger page_change instead of insert on page_changes when new.sign <> 0 and new.page_id is not null
begin
  insert into page_view_changes
  values (new.sign, new.session_id, new.page_id, new.day,
    case
      when new.sign = -1 or exists (
          select 1
          from session_pages
          where day = new.day and session_id = new.session_id and page_id = new.page_id) then new.day
      when exists (select 1 from events_of_other_days where session_id = new.session_id)
        or exists (select 1 from session_pages where session_id = new.session_id and archived <> 0) then (
          select max(day)
          from days_of_sessions
          cross join session_pages using (session_id, day)
          where session_id = new.session_id and page_id = new.page_id)
    end);
end;

create view page_view_changes as
select 0 as sign, session_id, page_id, day, day as last_day
from session_pages;

create trigger page_view_change instead of insert on page_view_changes when ifnull(new.last_day = new.day, true)
begin
  update pages set
    views = views + new.sign,
    sessions = sessions + (new.last_day is null)
  where page_id = new.page_id;
  insert into page_counts (day, page_id, views, sessions)
  values (new.day, new.page_id, new.sign, new.last_day is null)
  on conflict do update set
    views = views + excluded.views,
    sessions = sessions + excluded.sessions;
  insert into session_pages (day, session_id, page_id, views)
  values (new.day, new.session_id, new.page_id, new.sign)
  on conflict do update set views = views + excluded.views;
end;

create trigger page_viewed_again instead of insert on page_view_changes when new.last_day <> new.day
begin
  insert into visit_changes
  values (1, 7, new.session_id, new.page_id, new.day);
  insert into page_view_changes
  values (new.sign, new.session_id, new.page_id, new.day, new.day);
end;

-- The views are -1 before this update if a trigger of another program deleted or updated a new event before the event
-- was counted. Such a view has not been counted as a visit.
create trigger session_pages_empty after update of views on session_pages when new.views = 0
begin
  delete from session_pages
  where day = new.day and session_id = new.session_id and page_id = new.page_id;
  insert into visit_changes
  select -1, 7, new.session_id, new.page_id, new.day
  where old.views > 0;
end;

-- The statements are those of event_change. Inserting into event_changes would make inserts of events 3% slower.
create trigger events_insert after insert on events
begin
  insert into minute_counts (minute, events)
  values (new.occurred_at / 60000, 1)
  on conflict do update set events = events + 1;
  insert into event_day_changes
  values (1, 1, new.session_id,
    nullif(iif((select page_query from site) = 'drop',
      substr(new.page, 1, instr(replace(new.page, '#', '?') || '?', '?') - 1), new.page), ''),
    (new.occurred_at + (
      select day_offset from site_offsets where begins_at <= new.occurred_at order by begins_at desc limit 1
    )) / 86400000);
end;

create trigger events_replace after insert on events
when exists (select 1 from replaced_events where event_id = new.event_id)
begin
  insert into event_changes
  select -1, *
  from replaced_events;
  delete from replaced_events;
end;

create trigger events_delete after delete on events
begin
  insert into event_changes
  values (-1, old.event_id, old.session_id, old.page, old.occurred_at);
  delete from replaced_events where event_id = old.event_id;
end;

create trigger events_update after update of session_id, event_type, page_url, occurred_at on events
begin
  insert into event_changes
  values
    (1, new.event_id, new.session_id, new.page, new.occurred_at),
    (-1, old.event_id, old.session_id, old.page, old.occurred_at);
end;

-- In a trigger before an insert, new.event_id is -1 if the insert has no event_id. Such an insert replaces no row.
create trigger events_before_insert before insert on events
when exists (select 1 from events where event_id = new.event_id)
begin
  delete from replaced_events;
  insert into replaced_events
  select event_id, session_id, page, occurred_at
  from events
  where event_id = new.event_id;
end;

create trigger events_rename before update of event_id on events when new.event_id <> old.event_id
begin
  select raise(abort, 'event_id is taken')
  from events
  where event_id = new.event_id;
  delete from replaced_events;
end;


-- erasures: `analytics-api erase` sets `archived` of a person's days to 0, and these triggers subtract its former value

-- An upgrade of an older archive may have counted a visitor's sessions on another day than the one in visitor_days. So
-- the count of the latter day may be smaller than the number to subtract. It is not reduced below 0.
create trigger visitor_days_erase after update of archived on visitor_days when new.archived < old.archived
begin
  update archived_session_counts set sessions = max(sessions + new.archived - old.archived, 0)
  where dimension in (0, 1) and day = old.day and key = iif(dimension = 0, '', old.country_code);
end;

create trigger archived_sessions_erase after update of sessions on archived_session_counts
when new.sessions < old.sessions
begin
  update day_counts set sessions = sessions + new.sessions - old.sessions
  where new.dimension = 0 and day in (-1, new.day);
  update key_counts set sessions = sessions + new.sessions - old.sessions
  where dimension = new.dimension and day in (-1, new.day) and key = new.key;
end;

create trigger session_pages_erase after update of archived on session_pages when new.archived < old.archived
begin
  update pages set views = views + new.archived - old.archived
  where page_id = old.page_id;
  update page_counts set views = views + new.archived - old.archived
  where day = old.day and page_id = old.page_id;
end;


-- leads -> counts by status, columns written by triggers, the search index

-- The lead that a trigger is updating now. The trigger leads_refresh ignores these updates.
create table leads_updating (
  lead_id integer primary key
) strict;

-- Compute the columns of a lead that are written by triggers, and add the lead to the search index. The index must not
-- contain the lead yet.
create view lead_text_changes as
select lead_id
from leads;

create trigger lead_text_change instead of insert on lead_text_changes
begin
  insert into leads_updating values (new.lead_id);
  update leads set (enquiry_datetime, follow_ups_count, last_follow_up_at, stage_since, has_visits, search_text) = (
    select enquiry_datetime, follow_ups_count, last_follow_up_at, stage_since, has_visits, search_text
    from expected_leads
    join expected_lead_visits using (lead_id)
    where lead_id = new.lead_id)
  where lead_id = new.lead_id;
  insert into project_codes (project)
  select project_folded
  from leads
  where lead_id = new.lead_id
    and project_folded <> ''
    and project_folded not in (select project from project_codes)
    and (select count(*) from project_codes) < (select projects from project_code_limit);
  update leads set project_code = (select code from project_codes where project = project_folded)
  where lead_id = new.lead_id
    and project_code is not (select code from project_codes where project = project_folded);
  delete from leads_updating;
  insert into lead_search (rowid, indexed_text, project_code)
  select lead_id, indexed_text, project_code
  from leads
  where lead_id = new.lead_id;
end;

create view facet_changes as
select 0 as sign, project_name, project_source, contact_country_name, engagement_label
from leads;

create trigger facet_change instead of insert on facet_changes
begin
  insert into facet_counts (field, key, leads)
  select field, key, new.sign
  from (
    select 'project' as field, new.project_name as key
    union all
    select 'source', new.project_source
    union all
    select 'country', new.contact_country_name
    union all
    select 'label', new.engagement_label)
  where key <> ''
  on conflict do update set leads = leads + excluded.leads;
end;

create trigger leads_insert after insert on leads
begin
  insert into lead_changes (lead_id)
  select new.lead_id
  where new.status is not (select status from replaced_leads where lead_id = new.lead_id);
  insert into status_counts (status, leads)
  values (new.status, 1)
  on conflict do update set leads = leads + 1;
  update status_counts set leads = leads - 1
  where status = (select status from replaced_leads where lead_id = new.lead_id);
  insert into lead_search (lead_search, rowid, indexed_text, project_code)
  select 'delete', lead_id, indexed_text, project_code
  from replaced_leads
  where lead_id = new.lead_id;
  insert into facet_changes
  values (1, new.project_name, new.project_source, new.contact_country_name, new.engagement_label);
  insert into facet_changes
  select -1, project_name, project_source, contact_country_name, engagement_label
  from replaced_leads
  where lead_id = new.lead_id;
  insert into move_changes
  select lead_id, status, new.status
  from replaced_leads
  where lead_id = new.lead_id and status <> new.status;
  delete from replaced_leads where lead_id = new.lead_id;
  insert into lead_text_changes
  values (new.lead_id);
  insert into stay_changes
  values (new.lead_id);
  insert into attribution_changes
  values (new.lead_id);
end;

create trigger leads_delete after delete on leads
begin
  insert into lead_changes (lead_id) values (old.lead_id);
  update status_counts set leads = leads - 1
  where status = old.status;
  insert into facet_changes
  values (-1, old.project_name, old.project_source, old.contact_country_name, old.engagement_label);
  insert into lead_search (lead_search, rowid, indexed_text, project_code)
  values ('delete', old.lead_id, old.indexed_text, old.project_code);
  delete from lead_stays where lead_id = old.lead_id;
  delete from lead_attributions where lead_id = old.lead_id;
  delete from replaced_leads where lead_id = old.lead_id;
end;

create trigger leads_update_status after update of status on leads when new.status <> old.status
begin
  insert into lead_changes (lead_id) values (new.lead_id);
  insert into status_counts (status, leads)
  values (new.status, 1), (old.status, -1)
  on conflict do update set leads = leads + excluded.leads;
end;

create trigger leads_update_facets after update
of project_name, project_source, contact_country_name, engagement_label on leads
when (new.project_name, new.project_source, new.contact_country_name, new.engagement_label)
  is not (old.project_name, old.project_source, old.contact_country_name, old.engagement_label)
begin
  insert into facet_changes
  values
    (1, new.project_name, new.project_source, new.contact_country_name, new.engagement_label),
    (-1, old.project_name, old.project_source, old.contact_country_name, old.engagement_label);
end;

-- The name and the time to record when a lead moves to another status. There is a row only while the package moves
-- leads.
create table move_author (
  author_id  integer primary key check (author_id = 1),
  changed_by text not null,
  changed_at integer not null
) strict;

-- Record the move of a lead from one status to another. `Database.bulk` drops the triggers that update counters, but
-- not move_change and leads_move, because a rebuild could not find the moves that were not recorded.
create view move_changes as
select lead_id, old_status, new_status
from lead_status_changes;

create trigger move_change instead of insert on move_changes
begin
  insert into lead_status_changes (lead_id, old_status, new_status, changed_at, changed_by)
  values (
    new.lead_id, new.old_status, new.new_status,
    coalesce(
      (select changed_at from move_author), cast(round((julianday('now') - 2440587.5) * 86400000) as integer)),
    coalesce((select changed_by from move_author), 'sql'));
end;

create trigger leads_move after update of status on leads when new.status <> old.status
begin
  insert into move_changes
  values (new.lead_id, old.status, new.status);
end;

-- The trigger does not fire for has_visits, so that the triggers of sessions can update this column without writing the
-- search index. See the note on trusted_schema at the top.
create trigger leads_refresh after update
of lead_id, enquiry_datetime, project_name, contact_name, contact_email, contact_phone, visitor_id, follow_ups_count,
  last_follow_up_at, stage_since, search_text, project_code on leads
when not exists (select 1 from leads_updating)
  and (
      new.lead_id, new.enquiry_datetime, new.project_name, new.contact_name, new.contact_email, new.contact_phone,
      new.visitor_id, new.follow_ups_count, new.last_follow_up_at, new.stage_since, new.search_text,
      new.project_code)
    is not (
      old.lead_id, old.enquiry_datetime, old.project_name, old.contact_name, old.contact_email, old.contact_phone,
      old.visitor_id, old.follow_ups_count, old.last_follow_up_at, old.stage_since, old.search_text,
      old.project_code)
begin
  insert into lead_search (lead_search, rowid, indexed_text, project_code)
  values ('delete', old.lead_id, old.indexed_text, old.project_code);
  insert into lead_text_changes
  values (new.lead_id);
end;

create trigger leads_refresh_visits after update of visitor_id, session_id, has_visits on leads
when new.has_visits <> (select has_visits from expected_lead_visits where lead_id = new.lead_id)
begin
  update leads set has_visits = (select has_visits from expected_lead_visits where lead_id = new.lead_id)
  where lead_id = new.lead_id;
end;

create table replaced_leads as
select lead_id, status, project_name, project_source, contact_country_name, engagement_label, indexed_text, project_code
from leads
where false;

create trigger leads_before_insert before insert on leads
when exists (select 1 from leads where lead_id = new.lead_id)
begin
  delete from replaced_leads;
  insert into replaced_leads
  select
    lead_id, status, project_name, project_source, contact_country_name, engagement_label, indexed_text, project_code
  from leads
  where lead_id = new.lead_id;
end;

create trigger leads_rename before update of lead_id on leads when new.lead_id <> old.lead_id
begin
  select raise(abort, 'lead_id is taken')
  from leads
  where lead_id = new.lead_id;
  delete from replaced_leads;
  insert into lead_changes (lead_id) values (old.lead_id), (new.lead_id);
end;


-- lead_status_changes -> leads.stage_since

create view lead_stage_changes as
select lead_id
from lead_status_changes;

create trigger lead_stage_change instead of insert on lead_stage_changes
begin
  insert into leads_updating values (new.lead_id);
  update leads set stage_since = (select stage_since from lead_stages where lead_id = new.lead_id)
  where lead_id = new.lead_id;
  delete from leads_updating;
  insert into stay_changes values (new.lead_id);
end;

create trigger status_changes_insert after insert on lead_status_changes
begin
  insert into lead_stage_changes
  select new.lead_id
  union
  select lead_id
  from replaced_status_changes
  where change_id = new.change_id;
end;

create trigger status_changes_delete after delete on lead_status_changes
begin
  insert into lead_stage_changes values (old.lead_id);
end;

create trigger status_changes_update after update on lead_status_changes
begin
  insert into lead_stage_changes
  select new.lead_id
  union
  select old.lead_id;
end;

create table replaced_status_changes as
select change_id, lead_id
from lead_status_changes
where false;

create trigger status_changes_before_insert before insert on lead_status_changes
when exists (select 1 from lead_status_changes where change_id = new.change_id)
begin
  delete from replaced_status_changes;
  insert into replaced_status_changes
  select change_id, lead_id
  from lead_status_changes
  where change_id = new.change_id;
end;

create trigger status_changes_rename before update of change_id on lead_status_changes
when new.change_id <> old.change_id
begin
  select raise(abort, 'change_id is taken')
  from lead_status_changes
  where change_id = new.change_id;
end;


-- leads, lead_status_changes -> stays in the stages of the pipeline

-- A stay is the time that a lead spends in a status. It begins with a move to this status. The stay in `new` begins
-- with the enquiry, unless the first move of the lead is from another status. A stay is complete if the next move of
-- the lead is from this status.
create table lead_stays (
  lead_id     integer not null,
  change_id   integer,  -- the move that began the stay; null for the enquiry
  enquired_at integer,  -- ms; null if the lead has no enquiry_datetime
  moved_from  text,
  status      text not null,
  duration    integer,  -- ms; null if the stay is not complete
  open_since  integer  -- ms, when the stay began; null if the lead is not in this stay now
) strict;
create index lead_stays_by_lead on lead_stays (lead_id);
create index lead_stays_by_enquiry on lead_stays (enquired_at, status, moved_from, duration, open_since);
create index lead_stays_by_status on lead_stays (status, moved_from, duration, open_since);

create view expected_lead_stays as
select l.lead_id, m.change_id, cast(strftime('%s', l.enquiry_datetime) as integer) * 1000 as enquired_at,
  m.old_status as moved_from, m.new_status as status,
  case when n.old_status = m.new_status then n.changed_at - m.changed_at end as duration,
  case when n.change_id is null and m.new_status = l.status then m.changed_at end as open_since
from lead_status_changes as m
join leads as l on l.lead_id = m.lead_id
left join lead_status_changes as n on n.change_id = (
  select change_id
  from lead_status_changes as later
  where later.lead_id = m.lead_id and (later.changed_at, later.change_id) > (m.changed_at, m.change_id)
  order by later.changed_at, later.change_id
  limit 1)
union all
select l.lead_id, null, cast(strftime('%s', l.enquiry_datetime) as integer) * 1000, null, 'new',
  n.changed_at - cast(strftime('%s', l.enquiry_datetime) as integer) * 1000,
  case when n.change_id is null then cast(strftime('%s', l.enquiry_datetime) as integer) * 1000 end
from leads as l
left join lead_status_changes as n on n.change_id = (
  select change_id
  from lead_status_changes as first
  where first.lead_id = l.lead_id
  order by first.changed_at, first.change_id
  limit 1)
where l.enquiry_datetime >= '0001' and coalesce(n.old_status, l.status) = 'new';

create view stay_changes as
select lead_id
from lead_stays;

create trigger stay_change instead of insert on stay_changes
begin
  delete from lead_stays where lead_id = new.lead_id;
  insert into lead_stays (lead_id, change_id, enquired_at, moved_from, status, duration, open_since)
  select lead_id, change_id, enquired_at, moved_from, status, duration, open_since
  from expected_lead_stays
  where lead_id = new.lead_id;
end;

create trigger leads_update_stays after update of lead_id, enquiry_datetime on leads
when (new.lead_id, new.enquiry_datetime) is not (old.lead_id, old.enquiry_datetime)
begin
  insert into stay_changes values (old.lead_id), (new.lead_id);
end;


-- leads -> the sessions that they are attributed to

-- The first and the last session of each lead, for attribution. Only sessions of the lead's visitor that began before
-- the enquiry, or within the same second, are considered. The first session is the earliest of them. The last session
-- is the session with the lead's session_id if it exists, whenever it began, otherwise the latest of them. If no
-- session is considered, the session with the lead's session_id is also the first session. The columns are null if the
-- lead has no session.
-- `purge --keep-totals` marks the sessions that it deletes as archived, and the lead keeps the values.
create table lead_attributions (
  lead_id          integer primary key,
  status           text not null,
  enquired_at      integer,  -- ms; null if the lead has no enquiry_datetime
  visitor_id       text,  -- of the lead, otherwise of its session
  first_session_id text,
  first_visitor_id text,
  first_started_at integer,
  first_country    text,
  first_source     text,
  first_entry_page text,
  first_campaign   text,
  last_session_id  text,
  last_visitor_id  text,
  last_started_at  integer,
  last_country     text,
  last_source      text,
  last_entry_page  text,
  last_campaign    text,
  archived         integer not null default 0  -- 1: the first session was purged, 2: the last, 3: both
) strict;
create index lead_attributions_by_visitor on lead_attributions (visitor_id, enquired_at);
create index lead_attributions_by_enquiry on lead_attributions (enquired_at, status);
create index lead_attributions_by_source on lead_attributions (last_source, status, enquired_at, first_started_at);
create index lead_attributions_by_first_source on lead_attributions (
  first_source, status, enquired_at, first_started_at);

-- Each lead with its visitor, and with the session that has its session_id, if that session exists.
create view leads_with_visitors as
select l.lead_id, l.status, l.session_id, n.session_id as named_session_id,
  cast(strftime('%s', l.enquiry_datetime) as integer) * 1000 as enquired_at,
  coalesce(
    nullif(l.visitor_id, ''), nullif(n.visitor_id, ''),
    case when n.session_id is null and a.archived in (2, 3) and a.last_session_id = l.session_id then a.visitor_id end
  ) as visitor_id
from leads as l
left join sessions as n on n.session_id = l.session_id
left join lead_attributions as a on a.lead_id = l.lead_id;

-- `fs` and `ls` are the first and the last session among those that exist. `f` is the row of lead_attributions if its
-- first session is archived and began before `fs`. `k` is the row of lead_attributions if its last session is archived,
-- and either has the lead's session_id or began after `ls`. Otherwise the columns of `f` or `k` are null. They are also
-- null for `k` if the session with the lead's session_id exists.
create view expected_lead_attributions as
select l.lead_id, l.status, l.enquired_at, l.visitor_id,
  coalesce(f.first_session_id, fs.session_id, k.last_session_id, ls.session_id) as first_session_id,
  coalesce(f.first_visitor_id, fs.visitor_id, k.last_visitor_id, ls.visitor_id) as first_visitor_id,
  coalesce(f.first_started_at, fs.started_at, k.last_started_at, ls.started_at) as first_started_at,
  coalesce(f.first_country, fs.country_code, k.last_country, ls.country_code) as first_country,
  coalesce(f.first_source, fs.source, k.last_source, ls.source) as first_source,
  coalesce(f.first_entry_page, fs.entry_page, k.last_entry_page, ls.entry_page) as first_entry_page,
  coalesce(f.first_campaign, fs.campaign, k.last_campaign, ls.campaign) as first_campaign,
  coalesce(k.last_session_id, ls.session_id) as last_session_id,
  coalesce(k.last_visitor_id, ls.visitor_id) as last_visitor_id,
  coalesce(k.last_started_at, ls.started_at) as last_started_at,
  coalesce(k.last_country, ls.country_code) as last_country,
  coalesce(k.last_source, ls.source) as last_source,
  coalesce(k.last_entry_page, ls.entry_page) as last_entry_page,
  coalesce(k.last_campaign, ls.campaign) as last_campaign,
  case when f.lead_id is not null or fs.session_id is null and k.lead_id is not null then 1 else 0 end
    + case when k.lead_id is not null then 2 else 0 end as archived
from leads_with_visitors as l
left join counted_sessions as fs on fs.session_id = (
  select session_id
  from sessions
  where visitor_id = l.visitor_id and started_at < l.enquired_at + 1000
  order by started_at, session_id
  limit 1)
left join counted_sessions as ls on ls.session_id = coalesce(l.named_session_id, (
  select session_id
  from sessions
  where visitor_id = l.visitor_id and started_at < l.enquired_at + 1000
  order by started_at desc, session_id desc
  limit 1))
left join lead_attributions as f on f.lead_id = l.lead_id
  and f.archived in (1, 3)
  and f.first_visitor_id = l.visitor_id
  and f.first_started_at < l.enquired_at + 1000
  and (fs.session_id is null or (f.first_started_at, f.first_session_id) < (fs.started_at, fs.session_id))
left join lead_attributions as k on k.lead_id = l.lead_id
  and k.archived in (2, 3)
  and l.named_session_id is null
  and (k.last_session_id = l.session_id
    or k.last_visitor_id = l.visitor_id
      and k.last_started_at < l.enquired_at + 1000
      and (ls.session_id is null or (k.last_started_at, k.last_session_id) > (ls.started_at, ls.session_id)));

-- This view comes after all other views that read leads. Counters are rebuilt in the order of their views. After a bulk
-- load of sessions, has_visits is rebuilt, which counts as a change of leads. Therefore each counter with a later view
-- that reads leads would be rebuilt, too. That would be in vain, because no other view depends on has_visits.
create view expected_lead_visits as
select lead_id,
  exists (select 1 from sessions where sessions.session_id = leads.session_id)
    or visitor_id <> '' and exists (select 1 from sessions where sessions.visitor_id = leads.visitor_id) as has_visits
from leads;

create view attribution_changes as
select lead_id
from lead_attributions;

create trigger attribution_change instead of insert on attribution_changes
begin
  insert into lead_attributions (
    lead_id, status, enquired_at, visitor_id, first_session_id, first_visitor_id, first_started_at, first_country,
    first_source, first_entry_page, first_campaign, last_session_id, last_visitor_id, last_started_at, last_country,
    last_source, last_entry_page, last_campaign, archived)
  select
    lead_id, status, enquired_at, visitor_id, first_session_id, first_visitor_id, first_started_at, first_country,
    first_source, first_entry_page, first_campaign, last_session_id, last_visitor_id, last_started_at, last_country,
    last_source, last_entry_page, last_campaign, archived
  from expected_lead_attributions
  where lead_id = new.lead_id
  on conflict (lead_id) do update set
    status = excluded.status,
    enquired_at = excluded.enquired_at,
    visitor_id = excluded.visitor_id,
    first_session_id = excluded.first_session_id,
    first_visitor_id = excluded.first_visitor_id,
    first_started_at = excluded.first_started_at,
    first_country = excluded.first_country,
    first_source = excluded.first_source,
    first_entry_page = excluded.first_entry_page,
    first_campaign = excluded.first_campaign,
    last_session_id = excluded.last_session_id,
    last_visitor_id = excluded.last_visitor_id,
    last_started_at = excluded.last_started_at,
    last_country = excluded.last_country,
    last_source = excluded.last_source,
    last_entry_page = excluded.last_entry_page,
    last_campaign = excluded.last_campaign,
    archived = excluded.archived;
end;

create trigger leads_reattribute after update of lead_id, enquiry_datetime, visitor_id, session_id, status on leads
when (new.lead_id, new.enquiry_datetime, new.visitor_id, new.session_id, new.status)
  is not (old.lead_id, old.enquiry_datetime, old.visitor_id, old.session_id, old.status)
begin
  delete from lead_attributions where lead_id = old.lead_id and new.lead_id <> old.lead_id;
  insert into attribution_changes
  values (new.lead_id);
end;

-- Update the attributions and has_visits of all leads that a change of a session may affect. Without the `+` in
-- `+has_visits`, SQLite would search for sessions of the visitor even if the visitor has no lead.
create view session_attribution_changes as
select session_id, visitor_id, started_at
from sessions;

create trigger session_attribution_change instead of insert on session_attribution_changes
when exists (select 1 from leads where session_id = new.session_id)
  or exists (
    select 1 from lead_attributions where visitor_id = new.visitor_id and enquired_at > new.started_at - 1000)
  or exists (
    select 1
    from leads
    where visitor_id = new.visitor_id
      and new.visitor_id <> ''
      and +has_visits = not exists (select 1 from sessions where visitor_id = new.visitor_id))
begin
  insert into attribution_changes
  select lead_id
  from leads
  where session_id = new.session_id and not exists (select 1 from counting_paused)
  union
  select lead_id
  from lead_attributions
  where visitor_id = new.visitor_id
    and enquired_at > new.started_at - 1000
    and not exists (select 1 from counting_paused);
  update leads set has_visits = 1 - has_visits
  where (
      session_id = new.session_id
      or visitor_id = new.visitor_id
        and new.visitor_id <> ''
        and has_visits = not exists (select 1 from sessions where visitor_id = new.visitor_id))
    and has_visits <> (select has_visits from expected_lead_visits as e where e.lead_id = leads.lead_id);
end;

-- `analytics-api erase` sets `archived` to 0 where a lead has purged sessions of the person. The attribution is then
-- computed without these sessions.
create trigger lead_attributions_erase after update of archived on lead_attributions when new.archived < old.archived
begin
  insert into attribution_changes
  values (new.lead_id);
end;


-- lead_submissions -> follow-ups

create view follow_up_changes as
select 0 as sign, lead_id, is_primary_lead
from lead_submissions;

create trigger follow_up_change instead of insert on follow_up_changes when new.is_primary_lead = 0
begin
  insert into follow_up_counts (lead_id, follow_ups_count, last_follow_up_at)
  values (new.lead_id, 1, null)
  on conflict (lead_id) do update set follow_ups_count = follow_ups_count + new.sign;
  delete from follow_up_counts where new.sign = -1 and lead_id = new.lead_id and follow_ups_count = 0;
  update follow_up_counts set last_follow_up_at = (
    select max(submitted_at) from lead_submissions where lead_id = new.lead_id and is_primary_lead = 0)
  where lead_id = new.lead_id;
  insert into leads_updating values (new.lead_id);
  update leads set (follow_ups_count, last_follow_up_at) = (
    select follow_ups_count, last_follow_up_at from expected_leads where lead_id = new.lead_id)
  where lead_id = new.lead_id;
  delete from leads_updating;
end;

create trigger submissions_insert after insert on lead_submissions
begin
  update lead_submissions set submitted_at = datetime(submitted_at)
  where submission_id = new.submission_id and submitted_at <> datetime(submitted_at);
  insert into follow_up_changes
  values (1, new.lead_id, new.is_primary_lead);
  insert into follow_up_changes
  select -1, lead_id, is_primary_lead
  from replaced_submissions
  where submission_id = new.submission_id;
end;

create trigger submissions_delete after delete on lead_submissions
begin
  insert into follow_up_changes
  values (-1, old.lead_id, old.is_primary_lead);
  delete from replaced_submissions where submission_id = old.submission_id;
end;

create trigger submissions_update after update of lead_id, submitted_at, is_primary_lead on lead_submissions
begin
  update lead_submissions set submitted_at = datetime(submitted_at)
  where submission_id = new.submission_id and submitted_at <> datetime(submitted_at);
  insert into follow_up_changes
  values (1, new.lead_id, new.is_primary_lead), (-1, old.lead_id, old.is_primary_lead);
end;

create table replaced_submissions as
select submission_id, lead_id, is_primary_lead
from lead_submissions
where false;

create trigger submissions_before_insert before insert on lead_submissions
when exists (select 1 from lead_submissions where submission_id = new.submission_id)
begin
  delete from replaced_submissions;
  insert into replaced_submissions
  select submission_id, lead_id, is_primary_lead
  from lead_submissions
  where submission_id = new.submission_id;
end;

create trigger submissions_rename before update of submission_id on lead_submissions
when new.submission_id <> old.submission_id
begin
  select raise(abort, 'submission_id is taken')
  from lead_submissions
  where submission_id = new.submission_id;
  delete from replaced_submissions;
end;


-- tables of the package

-- Values by name, such as the salt for hashing visitors.
create table secrets (
  name  text primary key not null,
  value text not null
) strict, without rowid;

-- API keys in addition to those in the settings. The first characters and the digest of a key are stored, not the key.
create table api_keys (
  name         text primary key not null,
  prefix       text not null,
  digest       text not null unique,  -- SHA-256, hexadecimal
  scopes       text not null,  -- separated by spaces
  created_at   integer not null,
  expires_at   integer,
  revoked_at   integer,
  last_used_on text  -- YYYY-MM-DD
) strict, without rowid;

-- Sessions of browsers that signed in with an API key. Backups do not contain them.
create table browser_sessions (
  token_digest text primary key not null,  -- SHA-256, hexadecimal
  key_digest   text not null,
  created_at   integer not null,
  expires_at   integer not null
) strict, without rowid;

-- The latest statistics of object storage, by source. A process claims the row of a source before it refreshes the row.
create table storage_snapshots (
  source             text primary key not null,
  total_objects      integer,
  estimated_sessions integer,
  taken_at           integer,
  claimed_until      integer not null default 0,
  failed_at          integer
) strict, without rowid;

-- The average number of objects per session, by source, from the latest `storage --calibrate`. Some storage providers
-- return only the number of objects. Their number of sessions is estimated with this ratio.
create table storage_ratios (
  source              text primary key not null,
  objects_per_session real not null,
  measured_at         integer not null
) strict, without rowid;


-- tables of the collector, with data of the last days. Backups and copies contain only collector_machines.

-- The salts with which visitor ids are hashed, one for each day. A salt is deleted two days after the beginning of its
-- day.
create table collector_salts (
  day  integer primary key,
  salt text not null  -- 256 bits, hexadecimal
) strict;

-- The number of events of machines, such as crawlers. Machines do not count as visitors.
create table collector_machines (
  day    integer not null,
  reason text not null,
  hits   integer not null,
  primary key (day, reason)
) strict, without rowid;

-- The open session of each visitor. A row is deleted 30 minutes after the last event of the session.
create table collector_sessions (
  visitor_id   text primary key not null,
  session_id   text not null unique,
  started_at   integer not null,
  last_at      integer not null,
  open_views   integer not null,  -- page views that have not ended
  page_views   integer not null,
  other_events integer not null,
  visible_ms   integer not null,
  scroll       integer not null
) strict, without rowid;

-- The events of the last two days, so that an event that is sent twice is counted once.
create table collector_events (
  event_id    text primary key not null,
  session_id  text,
  received_at integer not null,
  is_view     integer not null,
  visible_ms  integer  -- null until the page view has ended
) strict, without rowid;
create index collector_events_by_time on collector_events (received_at);

-- The leads of the last hour. `sender` is a hash of the address, and the number of leads of a sender is limited.
create table collector_leads (
  event_id    text primary key not null,
  sender      text not null,
  received_at integer not null
) strict, without rowid;
create index collector_leads_by_sender on collector_leads (sender, received_at);
