-- analytics_api on SQLite (3.37 or later, with FTS5): the base tables that trackers write, and the rollups that triggers
-- keep exact inside the transaction that wrote a row, whoever wrote it.
--
--   base tables   sessions events leads lead_submissions lead_status_changes: write these as you like
--   past_*        what sessions and events that `analytics-api purge --keep-totals` deleted still count for
--   facts         generated columns: what a row counts as (its day, page, source …), said once
--   rollups       rollup_*: written by triggers alone
--   plain_*       one view a rollup, the question asked of the base tables and of what is past: `analytics-api rebuild`
--                 fills the rollups from these, in the order in which they stand here, and `analytics-api verify`
--                 compares with them
--   *_changes     views that take a row's contribution with a sign, +1 or -1; their triggers hold the arithmetic, once
--   replaced_*    what a row counts as that `insert or replace` may be about to overwrite, since SQLite
--                 fires no delete trigger for that (https://sqlite.org/lang_conflict.html)
--
-- Instants are milliseconds since the epoch, UTC; durations are milliseconds.

pragma application_id = 0x616e6170;  -- "anap"
pragma user_version = 2;


-- base tables

create table sessions (
  session_id       text primary key not null,
  visitor_id       text not null,
  fingerprint      text,
  started_at       integer not null check (started_at between 0 and 253402300799999),  -- to the end of year 9999
  ended_at         integer,
  duration         integer check (duration between -253402300799999 and 253402300799999),  -- sums of it stay integers
  engagement_score integer check (engagement_score between -2147483648 and 2147483647),  -- likewise
  event_count      integer not null default 0,
  entry_page       text,
  exit_page        text,
  country          text,
  referrer         text,
  referrer_domain  text,
  vpn_suspected    integer not null default 0,

  day    text generated always as (date(started_at / 1000, 'unixepoch')) virtual,
  minute integer generated always as (started_at / 60000) virtual,
  geo    text generated always as (coalesce(nullif(country, ''), 'XX')) virtual,
  source text generated always as (coalesce(nullif(referrer_domain, ''), '(direct)')) virtual,
  bucket text generated always as (
    case
      when ended_at is null or engagement_score is null then null
      when engagement_score < 20 then '0-19'
      when engagement_score < 40 then '20-39'
      when engagement_score < 60 then '40-59'
      when engagement_score < 80 then '60-79'
      else '80-100'
    end) virtual
) strict;
-- These three also tell whether a visitor, one in that country, or a fingerprint has another session: what is counted
-- distinct needs no tables of its own.
create index sessions_by_visitor on sessions (visitor_id, started_at);
create index sessions_by_visitor_and_country on sessions (visitor_id, geo);
create index sessions_by_fingerprint on sessions (fingerprint) where fingerprint is not null;
create index open_sessions on sessions (started_at) where ended_at is null;

-- An event may come before its session does.
create table events (
  event_id    integer primary key,
  session_id  text not null,
  event_type  text not null,
  page_url    text,
  occurred_at integer not null check (occurred_at between 0 and 253402300799999),
  data        text,

  minute integer generated always as (occurred_at / 60000) virtual,
  page   text generated always as (case when event_type = 'page_view' then nullif(page_url, '') end) virtual
) strict;
create index events_by_time on events (occurred_at);

create table leads (
  lead_id              integer primary key,
  enquiry_datetime     text not null,  -- YYYY-MM-DD HH:MM:SS
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

  -- kept by triggers
  follow_ups_count     integer not null default 0,
  last_follow_up_at    text,
  search_text          text not null default '',

  name_folded text generated always as (
    case when contact_name is not null then substr(search_text, 1, instr(search_text, char(31)) - 1) end) virtual
) strict;
-- Every order of the list, over all stages and within one. The row id ends each index, so lead_id breaks the ties. Those of
-- a stage are for statements that say `status <> ''`, as it always is: else SQLite, once analyzed, takes them for all.
create index leads_by_enquiry on leads (enquiry_datetime);
create index leads_by_follow_up on leads (last_follow_up_at);
create index leads_by_score on leads (engagement_score);
create index leads_by_risk on leads (suspicion_score);
create index leads_by_name on leads (name_folded);
create index leads_in_stage_by_enquiry on leads (status, enquiry_datetime) where status <> '';
create index leads_in_stage_by_follow_up on leads (status, last_follow_up_at) where status <> '';
create index leads_in_stage_by_score on leads (status, engagement_score) where status <> '';
create index leads_in_stage_by_risk on leads (status, suspicion_score) where status <> '';
create index leads_in_stage_by_name on leads (status, name_folded) where status <> '';

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
  changed_by text not null  -- the name of the key that did it
) strict;
create index status_changes_by_lead on lead_status_changes (lead_id);


-- what is past
-- Each table is what a rollup counted of the rows that are gone, by that rollup's own key. It is read together with the
-- base tables; what is in both is counted once.

create table past_days (
  day            text primary key not null,
  sessions       integer not null check (sessions > 0),
  duration_sum   integer not null,
  duration_count integer not null,
  score_sum      integer not null,
  score_count    integer not null,
  vpn_suspected  integer not null
) strict, without rowid;

create table past_countries (
  country  text primary key not null,
  sessions integer not null check (sessions > 0)
) strict, without rowid;

create table past_sources (
  referrer_domain text primary key not null,
  sessions        integer not null check (sessions > 0)
) strict, without rowid;

create table past_engagement (
  bucket   text primary key not null,
  sessions integer not null check (sessions > 0)
) strict, without rowid;

-- '' are the events that are no view of a page. A session that has events of a page left is counted by those.
create table past_events (
  page            text primary key not null,
  events          integer not null check (events > 0),
  unique_sessions integer not null
) strict, without rowid;

-- Whom not to count again. Rows of these three come and go, and do not change.
create table past_day_visitors (
  visitor_id text not null,
  day        text not null,
  primary key (visitor_id, day)
) strict, without rowid;

create table past_country_visitors (
  visitor_id text not null,
  country    text not null,
  primary key (visitor_id, country)
) strict, without rowid;

create table past_fingerprints (
  fingerprint text primary key not null
) strict, without rowid;


-- beside the data

-- What is made once and then has to stay: the salt of visitor hashes.
create table secrets (
  name  text primary key not null,
  value text not null
) strict, without rowid;

-- Keys beside those that the settings name. Of the key itself only its digest is kept, and its first letters.
create table api_keys (
  name         text primary key not null,
  prefix       text not null,
  digest       text not null unique,  -- SHA-256, hexadecimal
  scopes       text not null,  -- between spaces
  created_at   integer not null,
  expires_at   integer,
  revoked_at   integer,
  last_used_on text  -- a day
) strict, without rowid;

-- The statistics of object storage taken last, by where they are of. Who refreshes them has claimed that.
create table storage_snapshots (
  source             text primary key not null,
  total_objects      integer,
  estimated_sessions integer,
  taken_at           integer,
  claimed_until      integer not null default 0,
  failed_at          integer
) strict, without rowid;

-- How many objects a listing found to a session, for providers that count objects only.
create table storage_ratios (
  source              text primary key not null,
  objects_per_session real not null,
  measured_at         integer not null
) strict, without rowid;


-- rollups of sessions

create table rollup_days (
  day             text primary key not null,
  sessions        integer not null,
  unique_visitors integer not null default 0,
  duration_sum    integer not null default 0,
  duration_count  integer not null default 0,
  score_sum       integer not null default 0,
  score_count     integer not null default 0
) strict, without rowid;
create view plain_days as
select day, sum(sessions) as sessions, sum(unique_visitors) as unique_visitors, sum(duration_sum) as duration_sum,
  sum(duration_count) as duration_count, sum(score_sum) as score_sum, sum(score_count) as score_count
from (
  select day, count(*) as sessions, count(distinct visitor_id) as unique_visitors,
    coalesce(sum(duration), 0) as duration_sum, count(duration) as duration_count,
    coalesce(sum(engagement_score), 0) as score_sum, count(engagement_score) as score_count
  from sessions
  group by day
  union all
  select day, sessions, 0, duration_sum, duration_count, score_sum, score_count
  from past_days
  union all
  select day, 0, count(*), 0, 0, 0, 0
  from past_day_visitors as past
  where not exists (
    select 1
    from sessions
    where visitor_id = past.visitor_id
      and started_at between strftime('%s', past.day) * 1000 and strftime('%s', past.day) * 1000 + 86399999)
  group by day)
group by day;

create table rollup_countries (
  country         text primary key not null,
  sessions        integer not null,
  unique_visitors integer not null
) strict, without rowid;
create view plain_countries as
select country, sum(sessions) as sessions, sum(unique_visitors) as unique_visitors
from (
  select geo as country, count(*) as sessions, count(distinct visitor_id) as unique_visitors
  from sessions
  group by geo
  union all
  select country, sessions, 0
  from past_countries
  union all
  select country, 0, count(*)
  from past_country_visitors as past
  where not exists (select 1 from sessions where visitor_id = past.visitor_id and geo = past.country)
  group by country)
group by country;

create table rollup_sources (
  referrer_domain text primary key not null,
  sessions        integer not null
) strict, without rowid;
create index sources_by_sessions on rollup_sources (sessions desc, referrer_domain);
create view plain_sources as
select referrer_domain, sum(sessions) as sessions
from (
  select source as referrer_domain, count(*) as sessions
  from sessions
  group by source
  union all
  select referrer_domain, sessions
  from past_sources)
group by referrer_domain;

create table rollup_engagement (
  bucket   text primary key not null,
  sessions integer not null
) strict, without rowid;
create view plain_engagement as
select bucket, sum(sessions) as sessions
from (
  select bucket, count(*) as sessions
  from sessions
  where bucket is not null
  group by bucket
  union all
  select bucket, sessions
  from past_engagement)
group by bucket;


-- rollups of events

create table rollup_pages (
  page_key        integer primary key,
  page            text not null unique,
  views           integer not null,
  unique_sessions integer not null
) strict;
create index pages_by_views on rollup_pages (views desc, page);
create view plain_pages as
select page, sum(views) as views, sum(unique_sessions) as unique_sessions
from (
  select page, count(*) as views, count(distinct session_id) as unique_sessions
  from events
  where page is not null
  group by page
  union all
  select page, events, unique_sessions
  from past_events
  where page <> '')
group by page;

create table rollup_page_sessions (
  session_id text not null,
  page_key   integer not null,
  views      integer not null,
  primary key (session_id, page_key)
) strict, without rowid;
create view plain_page_sessions as
select session_id, page_key, count(*) as views
from events
join rollup_pages using (page)
group by session_id, page_key;
-- The same by the names of pages.
create view session_pages as
select session_id, page, link.views
from rollup_page_sessions as link
join rollup_pages using (page_key);


-- rollups of both

-- By the minute, so that the last hour is sixty rows and two short walks of an index, whatever the traffic.
create table rollup_minutes (
  minute        integer primary key,
  events        integer not null,
  open_sessions integer not null
) strict;
create view plain_minutes as
select minute, sum(events) as events, sum(open_sessions) as open_sessions
from (
  select minute, count(*) as events, 0 as open_sessions
  from events
  group by minute
  union all
  select minute, 0, count(*)
  from sessions
  where ended_at is null
  group by minute)
group by minute;

create table rollup_totals (
  one                 integer primary key check (one = 1),
  sessions            integer not null default 0,
  events              integer not null default 0,
  unique_visitors     integer not null default 0,
  unique_fingerprints integer not null default 0,
  duration_sum        integer not null default 0,
  duration_count      integer not null default 0,
  score_sum           integer not null default 0,
  score_count         integer not null default 0,
  vpn_suspected       integer not null default 0
) strict;
create view plain_totals as
select 1 as one, sum(sessions) as sessions,
  (select count(*) from events) + (select coalesce(sum(events), 0) from past_events) as events,
  (select count(distinct visitor_id) from sessions) + (
    select count(distinct visitor_id)
    from past_day_visitors as past
    where not exists (select 1 from sessions where visitor_id = past.visitor_id)) as unique_visitors,
  (select count(*) from (select fingerprint from sessions where fingerprint is not null group by fingerprint)) + (
    select count(*)
    from past_fingerprints as past
    where not exists (select 1 from sessions where fingerprint = past.fingerprint)) as unique_fingerprints,
  sum(duration_sum) as duration_sum, sum(duration_count) as duration_count,
  sum(score_sum) as score_sum, sum(score_count) as score_count, sum(vpn_suspected) as vpn_suspected
from (
  select count(*) as sessions, coalesce(sum(duration), 0) as duration_sum, count(duration) as duration_count,
    coalesce(sum(engagement_score), 0) as score_sum, count(engagement_score) as score_count,
    count(nullif(vpn_suspected, 0)) as vpn_suspected
  from sessions
  union all
  select sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected
  from past_days);
insert into rollup_totals (one) values (1);


-- rollups of leads

create table rollup_stages (
  status text primary key not null,
  leads  integer not null
) strict, without rowid;
create view plain_stages as
select status, count(*) as leads
from leads
group by status;

-- A follow-up is a submission that is not the lead's first.
create table rollup_follow_ups (
  lead_id           integer primary key,
  follow_ups_count  integer not null,
  last_follow_up_at text
) strict;
create view plain_follow_ups as
select lead_id, count(*) as follow_ups_count, max(submitted_at) as last_follow_up_at
from lead_submissions
where is_primary_lead = 0
group by lead_id;

-- Text is searched casefolded: a letter stands for itself unless it is listed here. These are Unicode 14's full case
-- foldings beyond ASCII (https://unicode.org/Public/14.0.0/ucd/CaseFolding.txt), runs of them as
-- (first, last, step, distance).
create table case_folds (
  letter text primary key not null,
  folded text not null
) strict, without rowid;
insert into case_folds (letter, folded)
with recursive
  runs (first, last, step, distance) as (values
    (181, 181, 1, 775), (192, 214, 1, 32), (216, 222, 1, 32), (256, 302, 2, 1), (306, 310, 2, 1),
    (313, 327, 2, 1), (330, 374, 2, 1), (376, 376, 1, -121), (377, 381, 2, 1), (383, 383, 1, -268),
    (385, 385, 1, 210), (386, 388, 2, 1), (390, 390, 1, 206), (391, 391, 1, 1), (393, 394, 1, 205),
    (395, 395, 1, 1), (398, 398, 1, 79), (399, 399, 1, 202), (400, 400, 1, 203), (401, 401, 1, 1),
    (403, 403, 1, 205), (404, 404, 1, 207), (406, 406, 1, 211), (407, 407, 1, 209), (408, 408, 1, 1),
    (412, 412, 1, 211), (413, 413, 1, 213), (415, 415, 1, 214), (416, 420, 2, 1), (422, 422, 1, 218),
    (423, 423, 1, 1), (425, 425, 1, 218), (428, 428, 1, 1), (430, 430, 1, 218), (431, 431, 1, 1),
    (433, 434, 1, 217), (435, 437, 2, 1), (439, 439, 1, 219), (440, 440, 1, 1), (444, 444, 1, 1),
    (452, 452, 1, 2), (453, 453, 1, 1), (455, 455, 1, 2), (456, 456, 1, 1), (458, 458, 1, 2),
    (459, 475, 2, 1), (478, 494, 2, 1), (497, 497, 1, 2), (498, 500, 2, 1), (502, 502, 1, -97),
    (503, 503, 1, -56), (504, 542, 2, 1), (544, 544, 1, -130), (546, 562, 2, 1), (570, 570, 1, 10795),
    (571, 571, 1, 1), (573, 573, 1, -163), (574, 574, 1, 10792), (577, 577, 1, 1), (579, 579, 1, -195),
    (580, 580, 1, 69), (581, 581, 1, 71), (582, 590, 2, 1), (837, 837, 1, 116), (880, 882, 2, 1),
    (886, 886, 1, 1), (895, 895, 1, 116), (902, 902, 1, 38), (904, 906, 1, 37), (908, 908, 1, 64),
    (910, 911, 1, 63), (913, 929, 1, 32), (931, 939, 1, 32), (962, 962, 1, 1), (975, 975, 1, 8),
    (976, 976, 1, -30), (977, 977, 1, -25), (981, 981, 1, -15), (982, 982, 1, -22), (984, 1006, 2, 1),
    (1008, 1008, 1, -54), (1009, 1009, 1, -48), (1012, 1012, 1, -60), (1013, 1013, 1, -64),
    (1015, 1015, 1, 1), (1017, 1017, 1, -7), (1018, 1018, 1, 1), (1021, 1023, 1, -130),
    (1024, 1039, 1, 80), (1040, 1071, 1, 32), (1120, 1152, 2, 1), (1162, 1214, 2, 1), (1216, 1216, 1, 15),
    (1217, 1229, 2, 1), (1232, 1326, 2, 1), (1329, 1366, 1, 48), (4256, 4293, 1, 7264),
    (4295, 4295, 1, 7264), (4301, 4301, 1, 7264), (5112, 5117, 1, -8), (7296, 7296, 1, -6222),
    (7297, 7297, 1, -6221), (7298, 7298, 1, -6212), (7299, 7300, 1, -6210), (7301, 7301, 1, -6211),
    (7302, 7302, 1, -6204), (7303, 7303, 1, -6180), (7304, 7304, 1, 35267), (7312, 7354, 1, -3008),
    (7357, 7359, 1, -3008), (7680, 7828, 2, 1), (7835, 7835, 1, -58), (7840, 7934, 2, 1),
    (7944, 7951, 1, -8), (7960, 7965, 1, -8), (7976, 7983, 1, -8), (7992, 7999, 1, -8),
    (8008, 8013, 1, -8), (8025, 8031, 2, -8), (8040, 8047, 1, -8), (8120, 8121, 1, -8),
    (8122, 8123, 1, -74), (8126, 8126, 1, -7173), (8136, 8139, 1, -86), (8152, 8153, 1, -8),
    (8154, 8155, 1, -100), (8168, 8169, 1, -8), (8170, 8171, 1, -112), (8172, 8172, 1, -7),
    (8184, 8185, 1, -128), (8186, 8187, 1, -126), (8486, 8486, 1, -7517), (8490, 8490, 1, -8383),
    (8491, 8491, 1, -8262), (8498, 8498, 1, 28), (8544, 8559, 1, 16), (8579, 8579, 1, 1),
    (9398, 9423, 1, 26), (11264, 11311, 1, 48), (11360, 11360, 1, 1), (11362, 11362, 1, -10743),
    (11363, 11363, 1, -3814), (11364, 11364, 1, -10727), (11367, 11371, 2, 1), (11373, 11373, 1, -10780),
    (11374, 11374, 1, -10749), (11375, 11375, 1, -10783), (11376, 11376, 1, -10782), (11378, 11378, 1, 1),
    (11381, 11381, 1, 1), (11390, 11391, 1, -10815), (11392, 11490, 2, 1), (11499, 11501, 2, 1),
    (11506, 11506, 1, 1), (42560, 42604, 2, 1), (42624, 42650, 2, 1), (42786, 42798, 2, 1),
    (42802, 42862, 2, 1), (42873, 42875, 2, 1), (42877, 42877, 1, -35332), (42878, 42886, 2, 1),
    (42891, 42891, 1, 1), (42893, 42893, 1, -42280), (42896, 42898, 2, 1), (42902, 42920, 2, 1),
    (42922, 42922, 1, -42308), (42923, 42923, 1, -42319), (42924, 42924, 1, -42315),
    (42925, 42925, 1, -42305), (42926, 42926, 1, -42308), (42928, 42928, 1, -42258),
    (42929, 42929, 1, -42282), (42930, 42930, 1, -42261), (42931, 42931, 1, 928), (42932, 42946, 2, 1),
    (42948, 42948, 1, -48), (42949, 42949, 1, -42307), (42950, 42950, 1, -35384), (42951, 42953, 2, 1),
    (42960, 42960, 1, 1), (42966, 42968, 2, 1), (42997, 42997, 1, 1), (43888, 43967, 1, -38864),
    (65313, 65338, 1, 32), (66560, 66599, 1, 40), (66736, 66771, 1, 40), (66928, 66964, 2, 39),
    (66929, 66937, 2, 39), (66941, 66953, 2, 39), (66957, 66961, 2, 39), (66965, 66965, 1, 39),
    (68736, 68786, 1, 64), (71840, 71871, 1, 32), (93760, 93791, 1, 32), (125184, 125217, 1, 34)),
  letters (letter, last, step, distance) as (
    select first, last, step, distance
    from runs
    union all
    select letter + step, last, step, distance
    from letters
    where letter < last)
select char(letter), char(letter + distance)
from letters
union all
values
  (char(223), char(115, 115)), (char(304), char(105, 775)), (char(329), char(700, 110)),
  (char(496), char(106, 780)), (char(912), char(953, 776, 769)), (char(944), char(965, 776, 769)),
  (char(1415), char(1381, 1410)), (char(7830), char(104, 817)), (char(7831), char(116, 776)),
  (char(7832), char(119, 778)), (char(7833), char(121, 778)), (char(7834), char(97, 702)),
  (char(7838), char(115, 115)), (char(8016), char(965, 787)), (char(8018), char(965, 787, 768)),
  (char(8020), char(965, 787, 769)), (char(8022), char(965, 787, 834)), (char(8064), char(7936, 953)),
  (char(8065), char(7937, 953)), (char(8066), char(7938, 953)), (char(8067), char(7939, 953)),
  (char(8068), char(7940, 953)), (char(8069), char(7941, 953)), (char(8070), char(7942, 953)),
  (char(8071), char(7943, 953)), (char(8072), char(7936, 953)), (char(8073), char(7937, 953)),
  (char(8074), char(7938, 953)), (char(8075), char(7939, 953)), (char(8076), char(7940, 953)),
  (char(8077), char(7941, 953)), (char(8078), char(7942, 953)), (char(8079), char(7943, 953)),
  (char(8080), char(7968, 953)), (char(8081), char(7969, 953)), (char(8082), char(7970, 953)),
  (char(8083), char(7971, 953)), (char(8084), char(7972, 953)), (char(8085), char(7973, 953)),
  (char(8086), char(7974, 953)), (char(8087), char(7975, 953)), (char(8088), char(7968, 953)),
  (char(8089), char(7969, 953)), (char(8090), char(7970, 953)), (char(8091), char(7971, 953)),
  (char(8092), char(7972, 953)), (char(8093), char(7973, 953)), (char(8094), char(7974, 953)),
  (char(8095), char(7975, 953)), (char(8096), char(8032, 953)), (char(8097), char(8033, 953)),
  (char(8098), char(8034, 953)), (char(8099), char(8035, 953)), (char(8100), char(8036, 953)),
  (char(8101), char(8037, 953)), (char(8102), char(8038, 953)), (char(8103), char(8039, 953)),
  (char(8104), char(8032, 953)), (char(8105), char(8033, 953)), (char(8106), char(8034, 953)),
  (char(8107), char(8035, 953)), (char(8108), char(8036, 953)), (char(8109), char(8037, 953)),
  (char(8110), char(8038, 953)), (char(8111), char(8039, 953)), (char(8114), char(8048, 953)),
  (char(8115), char(945, 953)), (char(8116), char(940, 953)), (char(8118), char(945, 834)),
  (char(8119), char(945, 834, 953)), (char(8124), char(945, 953)), (char(8130), char(8052, 953)),
  (char(8131), char(951, 953)), (char(8132), char(942, 953)), (char(8134), char(951, 834)),
  (char(8135), char(951, 834, 953)), (char(8140), char(951, 953)), (char(8146), char(953, 776, 768)),
  (char(8147), char(953, 776, 769)), (char(8150), char(953, 834)), (char(8151), char(953, 776, 834)),
  (char(8162), char(965, 776, 768)), (char(8163), char(965, 776, 769)), (char(8164), char(961, 787)),
  (char(8166), char(965, 834)), (char(8167), char(965, 776, 834)), (char(8178), char(8060, 953)),
  (char(8179), char(969, 953)), (char(8180), char(974, 953)), (char(8182), char(969, 834)),
  (char(8183), char(969, 834, 953)), (char(8188), char(969, 953)), (char(64256), char(102, 102)),
  (char(64257), char(102, 105)), (char(64258), char(102, 108)), (char(64259), char(102, 102, 105)),
  (char(64260), char(102, 102, 108)), (char(64261), char(115, 116)), (char(64262), char(115, 116)),
  (char(64275), char(1396, 1398)), (char(64276), char(1396, 1381)), (char(64277), char(1396, 1387)),
  (char(64278), char(1406, 1398)), (char(64279), char(1396, 1389));

-- The columns of a lead that triggers keep, as they should be. To most functions of SQLite a text ends at a NUL, so each
-- field does, and not all that comes after it.
create view plain_leads as
with common (letters) as (
  values (' abcdefghijklmnopqrstuvwxyz0123456789@.-+''' || char(31))),
texts as (
  select lead_id,
    lower(coalesce(replace(substr(contact_name, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(contact_email, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(contact_phone, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(project_name, 1), char(31), ' '), '') || char(31)
      || coalesce(replace(substr(visitor_id, 1), char(31), ' '), '') || char(31)) as text
  from leads)
select lead_id, coalesce(follow_ups_count, 0) as follow_ups_count, last_follow_up_at,
  case
    when length(text) = length(cast(text as blob)) then text  -- ASCII, which lower() folds
    else (
      -- from one letter that is not common to the next: `plain` is how many are before it
      with recursive folding (folded, rest, plain) as (
        select '', text, length(text) - length(ltrim(text, letters))
        from common
        union all
        select folded || substr(rest, 1, plain) || coalesce(
            (select folded from case_folds where letter = substr(rest, plain + 1, 1)), substr(rest, plain + 1, 1)),
          substr(rest, plain + 2),
          length(substr(rest, plain + 2)) - length(ltrim(substr(rest, plain + 2), letters))
        from folding, common
        where rest <> '')
      select folded
      from folding
      where rest = '')
  end as search_text
from texts
left join rollup_follow_ups using (lead_id);

create virtual table lead_search using fts5 (
  search_text, content = 'leads', content_rowid = 'lead_id', columnsize = 0, tokenize = 'trigram case_sensitive 1');
-- What it knows: every run of three letters.
create virtual table lead_search_runs using fts5vocab (lead_search, row);


-- sessions -> rollups
-- A distinct count moves when no other session has what is counted, nor had it in the past. That is the same question
-- for a row that has come and for one that has gone, and the indexes of sessions answer it.
-- `counted` is false when a visit only goes on (its end, duration and score written again and again): what it is counted
-- under stays, and is left alone.
-- An update adds the new contribution before it takes the old one away, so that few rows fall to zero in between.

create view session_changes as
select 0 as sign, true as counted, rowid as session_row, visitor_id, fingerprint, started_at, day, minute, ended_at,
  duration, engagement_score, bucket, geo, source, vpn_suspected
from sessions;

create trigger session_change instead of insert on session_changes
begin
  insert into rollup_days (
    day, sessions, unique_visitors, duration_sum, duration_count, score_sum, score_count)
  values (
    new.day, 1,
    iif(new.counted, not exists (
      select 1
      from sessions
      where visitor_id = new.visitor_id
        and started_at between new.started_at / 86400000 * 86400000 and new.started_at / 86400000 * 86400000 + 86399999
        and rowid <> new.session_row
      union all
      select 1
      from past_day_visitors
      where visitor_id = new.visitor_id and day = new.day), 0),
    coalesce(new.duration, 0), new.duration is not null,
    coalesce(new.engagement_score, 0), new.engagement_score is not null)
  on conflict (day) do update set
    sessions = sessions + new.sign,
    unique_visitors = unique_visitors + new.sign * excluded.unique_visitors,
    duration_sum = duration_sum + new.sign * excluded.duration_sum,
    duration_count = duration_count + new.sign * excluded.duration_count,
    score_sum = score_sum + new.sign * excluded.score_sum,
    score_count = score_count + new.sign * excluded.score_count;
  delete from rollup_days where new.sign = -1 and day = new.day and sessions = 0 and unique_visitors = 0;

  update rollup_totals set
    sessions = sessions + new.sign,
    unique_visitors = unique_visitors + new.sign * iif(new.counted, not exists (
      select 1
      from sessions
      where visitor_id = new.visitor_id and rowid <> new.session_row
      union all
      select 1
      from past_day_visitors
      where visitor_id = new.visitor_id), 0),
    unique_fingerprints = unique_fingerprints + new.sign * iif(new.counted and new.fingerprint is not null, not exists (
      select 1
      from sessions
      where fingerprint = new.fingerprint and rowid <> new.session_row
      union all
      select 1
      from past_fingerprints
      where fingerprint = new.fingerprint), 0),
    duration_sum = duration_sum + new.sign * coalesce(new.duration, 0),
    duration_count = duration_count + new.sign * (new.duration is not null),
    score_sum = score_sum + new.sign * coalesce(new.engagement_score, 0),
    score_count = score_count + new.sign * (new.engagement_score is not null),
    vpn_suspected = vpn_suspected + new.sign * (new.vpn_suspected <> 0);

  insert into rollup_engagement (bucket, sessions)
  select new.bucket, 1
  where new.bucket is not null
  on conflict (bucket) do update set sessions = sessions + new.sign;
  delete from rollup_engagement where new.sign = -1 and bucket = new.bucket and sessions = 0;

  insert into rollup_minutes (minute, events, open_sessions)
  select new.minute, 0, 1
  where new.ended_at is null
  on conflict (minute) do update set open_sessions = open_sessions + new.sign;
  delete from rollup_minutes
  where new.sign = -1 and minute = new.minute and events = 0 and open_sessions = 0;

  insert into rollup_countries (country, sessions, unique_visitors)
  select new.geo, 1, not exists (
    select 1
    from sessions
    where visitor_id = new.visitor_id and geo = new.geo and rowid <> new.session_row
    union all
    select 1
    from past_country_visitors
    where visitor_id = new.visitor_id and country = new.geo)
  where new.counted
  on conflict (country) do update set
    sessions = sessions + new.sign,
    unique_visitors = unique_visitors + new.sign * excluded.unique_visitors;
  delete from rollup_countries where new.sign = -1 and country = new.geo and sessions = 0 and unique_visitors = 0;

  insert into rollup_sources (referrer_domain, sessions)
  select new.source, 1
  where new.counted
  on conflict (referrer_domain) do update set sessions = sessions + new.sign;
  delete from rollup_sources where new.sign = -1 and referrer_domain = new.source and sessions = 0;
end;

create trigger sessions_insert after insert on sessions
begin
  insert into session_changes
  values (1, true, new.rowid, new.visitor_id, new.fingerprint, new.started_at, new.day, new.minute, new.ended_at,
    new.duration, new.engagement_score, new.bucket, new.geo, new.source, new.vpn_suspected);
end;

create trigger sessions_delete after delete on sessions
begin
  insert into session_changes
  values (-1, true, old.rowid, old.visitor_id, old.fingerprint, old.started_at, old.day, old.minute, old.ended_at,
    old.duration, old.engagement_score, old.bucket, old.geo, old.source, old.vpn_suspected);
  delete from replaced_sessions where session_id = old.session_id;
end;

create trigger sessions_update after update of
  visitor_id, fingerprint, started_at, ended_at, duration, engagement_score, country, referrer_domain, vpn_suspected
on sessions
begin
  insert into session_changes
  values (1, (new.visitor_id, new.fingerprint, new.day, new.geo, new.source)
      is not (old.visitor_id, old.fingerprint, old.day, old.geo, old.source),
    new.rowid, new.visitor_id, new.fingerprint, new.started_at, new.day, new.minute, new.ended_at,
    new.duration, new.engagement_score, new.bucket, new.geo, new.source, new.vpn_suspected);
  insert into session_changes
  values (-1, (new.visitor_id, new.fingerprint, new.day, new.geo, new.source)
      is not (old.visitor_id, old.fingerprint, old.day, old.geo, old.source),
    new.rowid, old.visitor_id, old.fingerprint, old.started_at, old.day, old.minute, old.ended_at,
    old.duration, old.engagement_score, old.bucket, old.geo, old.source, old.vpn_suspected);
end;

-- Of a key that is there already, what it counts as is kept until the row is known to be replaced: an insert that was
-- ignored, or became an update, leaves it behind. So it is believed only where its key has come anew, and is forgotten
-- when that key goes.
create table replaced_sessions as
select session_id, visitor_id, fingerprint, started_at, day, minute, ended_at, duration, engagement_score, bucket, geo,
  source, vpn_suspected
from sessions
where false;

create trigger sessions_before_insert before insert on sessions
when exists (select 1 from sessions where session_id = new.session_id)
begin
  delete from replaced_sessions;
  insert into replaced_sessions
  select session_id, visitor_id, fingerprint, started_at, day, minute, ended_at, duration, engagement_score, bucket,
    geo, source, vpn_suspected
  from sessions
  where session_id = new.session_id;
end;

create trigger sessions_replace after insert on sessions
when exists (select 1 from replaced_sessions where session_id = new.session_id)
begin
  insert into session_changes
  select -1, true, new.rowid, visitor_id, fingerprint, started_at, day, minute, ended_at, duration, engagement_score,
    bucket, geo, source, vpn_suspected
  from replaced_sessions;
  delete from replaced_sessions;
end;

-- A rename onto a taken key would overwrite a row in silence under `update or replace`; it is refused under any.
create trigger sessions_rename before update of session_id on sessions when new.session_id <> old.session_id
begin
  select raise(abort, 'session_id is taken')
  where exists (select 1 from sessions where session_id = new.session_id);
  delete from replaced_sessions;
end;


-- events -> rollups

create view event_changes as
select 0 as sign, session_id, page, minute
from events;

create trigger event_change instead of insert on event_changes
begin
  insert into rollup_minutes (minute, events, open_sessions)
  values (new.minute, 1, 0)
  on conflict (minute) do update set events = events + new.sign;
  delete from rollup_minutes
  where new.sign = -1 and minute = new.minute and events = 0 and open_sessions = 0;
  update rollup_totals set events = events + new.sign;
  insert into rollup_pages (page, views, unique_sessions)
  select new.page, 1, 1
  where new.page is not null
  on conflict (page) do update set
    views = views + new.sign,
    unique_sessions = unique_sessions + new.sign * not exists (
      select 1 from rollup_page_sessions as link
      where link.session_id = new.session_id and link.page_key = rollup_pages.page_key
        and link.views > (new.sign = -1));
  insert into rollup_page_sessions (session_id, page_key, views)
  select new.session_id, page_key, 1
  from rollup_pages
  where page = new.page
  on conflict (session_id, page_key) do update set views = views + new.sign;
  delete from rollup_page_sessions
  where new.sign = -1 and session_id = new.session_id and views = 0
    and page_key = (select page_key from rollup_pages where page = new.page);
  delete from rollup_pages where new.sign = -1 and page = new.page and views = 0;
end;
create trigger events_insert after insert on events
begin
  insert into event_changes
  values (1, new.session_id, new.page, new.minute);
end;

create trigger events_delete after delete on events
begin
  insert into event_changes
  values (-1, old.session_id, old.page, old.minute);
  delete from replaced_events;
end;

create trigger events_update after update of session_id, event_type, page_url, occurred_at on events
begin
  insert into event_changes
  values (1, new.session_id, new.page, new.minute);
  insert into event_changes
  values (-1, old.session_id, old.page, old.minute);
end;

create table replaced_events as
select event_id, session_id, page, minute
from events
where false;

-- new.event_id is -1 here when the row is to be numbered yet.
create trigger events_before_insert before insert on events
when exists (select 1 from events where event_id = new.event_id)
begin
  delete from replaced_events;
  insert into replaced_events
  select event_id, session_id, page, minute
  from events
  where event_id = new.event_id;
end;

create trigger events_replace after insert on events
when exists (select 1 from replaced_events where event_id = new.event_id)
begin
  insert into event_changes
  select -1, session_id, page, minute
  from replaced_events;
  delete from replaced_events;
end;

create trigger events_rename before update of event_id on events when new.event_id <> old.event_id
begin
  select raise(abort, 'event_id is taken')
  where exists (select 1 from events where event_id = new.event_id);
  delete from replaced_events;
end;


-- past_* -> rollups

create view past_day_changes as
select 0 as sign, day, sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected
from past_days;

create trigger past_day_change instead of insert on past_day_changes
begin
  insert into rollup_days (day, sessions, duration_sum, duration_count, score_sum, score_count)
  values (new.day, new.sessions, new.duration_sum, new.duration_count, new.score_sum, new.score_count)
  on conflict (day) do update set
    sessions = sessions + new.sign * excluded.sessions,
    duration_sum = duration_sum + new.sign * excluded.duration_sum,
    duration_count = duration_count + new.sign * excluded.duration_count,
    score_sum = score_sum + new.sign * excluded.score_sum,
    score_count = score_count + new.sign * excluded.score_count;
  delete from rollup_days where new.sign = -1 and day = new.day and sessions = 0 and unique_visitors = 0;

  update rollup_totals set
    sessions = sessions + new.sign * new.sessions,
    duration_sum = duration_sum + new.sign * new.duration_sum,
    duration_count = duration_count + new.sign * new.duration_count,
    score_sum = score_sum + new.sign * new.score_sum,
    score_count = score_count + new.sign * new.score_count,
    vpn_suspected = vpn_suspected + new.sign * new.vpn_suspected;
end;

create trigger past_days_insert after insert on past_days
begin
  insert into past_day_changes
  values (1, new.day, new.sessions, new.duration_sum, new.duration_count, new.score_sum, new.score_count,
    new.vpn_suspected);
end;

create trigger past_days_delete after delete on past_days
begin
  insert into past_day_changes
  values (-1, old.day, old.sessions, old.duration_sum, old.duration_count, old.score_sum, old.score_count,
    old.vpn_suspected);
end;

create trigger past_days_update after update on past_days
begin
  insert into past_day_changes
  values
    (1, new.day, new.sessions, new.duration_sum, new.duration_count, new.score_sum, new.score_count,
      new.vpn_suspected),
    (-1, old.day, old.sessions, old.duration_sum, old.duration_count, old.score_sum, old.score_count,
      old.vpn_suspected);
end;

create view past_country_changes as
select 0 as sign, country, sessions
from past_countries;

create trigger past_country_change instead of insert on past_country_changes
begin
  insert into rollup_countries (country, sessions, unique_visitors)
  values (new.country, new.sessions, 0)
  on conflict (country) do update set sessions = sessions + new.sign * excluded.sessions;
  delete from rollup_countries where new.sign = -1 and country = new.country and sessions = 0 and unique_visitors = 0;
end;

create trigger past_countries_insert after insert on past_countries
begin
  insert into past_country_changes
  values (1, new.country, new.sessions);
end;

create trigger past_countries_delete after delete on past_countries
begin
  insert into past_country_changes
  values (-1, old.country, old.sessions);
end;

create trigger past_countries_update after update on past_countries
begin
  insert into past_country_changes
  values (1, new.country, new.sessions), (-1, old.country, old.sessions);
end;

create view past_source_changes as
select 0 as sign, referrer_domain, sessions
from past_sources;

create trigger past_source_change instead of insert on past_source_changes
begin
  insert into rollup_sources (referrer_domain, sessions)
  values (new.referrer_domain, new.sessions)
  on conflict (referrer_domain) do update set sessions = sessions + new.sign * excluded.sessions;
  delete from rollup_sources where new.sign = -1 and referrer_domain = new.referrer_domain and sessions = 0;
end;

create trigger past_sources_insert after insert on past_sources
begin
  insert into past_source_changes
  values (1, new.referrer_domain, new.sessions);
end;

create trigger past_sources_delete after delete on past_sources
begin
  insert into past_source_changes
  values (-1, old.referrer_domain, old.sessions);
end;

create trigger past_sources_update after update on past_sources
begin
  insert into past_source_changes
  values (1, new.referrer_domain, new.sessions), (-1, old.referrer_domain, old.sessions);
end;

create view past_bucket_changes as
select 0 as sign, bucket, sessions
from past_engagement;

create trigger past_bucket_change instead of insert on past_bucket_changes
begin
  insert into rollup_engagement (bucket, sessions)
  values (new.bucket, new.sessions)
  on conflict (bucket) do update set sessions = sessions + new.sign * excluded.sessions;
  delete from rollup_engagement where new.sign = -1 and bucket = new.bucket and sessions = 0;
end;

create trigger past_engagement_insert after insert on past_engagement
begin
  insert into past_bucket_changes
  values (1, new.bucket, new.sessions);
end;

create trigger past_engagement_delete after delete on past_engagement
begin
  insert into past_bucket_changes
  values (-1, old.bucket, old.sessions);
end;

create trigger past_engagement_update after update on past_engagement
begin
  insert into past_bucket_changes
  values (1, new.bucket, new.sessions), (-1, old.bucket, old.sessions);
end;

create view past_event_changes as
select 0 as sign, page, events, unique_sessions
from past_events;

create trigger past_event_change instead of insert on past_event_changes
begin
  insert into rollup_pages (page, views, unique_sessions)
  select new.page, new.events, new.unique_sessions
  where new.page <> ''
  on conflict (page) do update set
    views = views + new.sign * excluded.views,
    unique_sessions = unique_sessions + new.sign * excluded.unique_sessions;
  delete from rollup_pages where new.sign = -1 and page = new.page and views = 0;
  update rollup_totals set events = events + new.sign * new.events;
end;

create trigger past_events_insert after insert on past_events
begin
  insert into past_event_changes
  values (1, new.page, new.events, new.unique_sessions);
end;

create trigger past_events_delete after delete on past_events
begin
  insert into past_event_changes
  values (-1, old.page, old.events, old.unique_sessions);
end;

create trigger past_events_update after update on past_events
begin
  insert into past_event_changes
  values (1, new.page, new.events, new.unique_sessions), (-1, old.page, old.events, old.unique_sessions);
end;

create view past_day_visitor_changes as
select 0 as sign, visitor_id, day
from past_day_visitors;

create trigger past_day_visitor_change instead of insert on past_day_visitor_changes
begin
  insert into rollup_days (day, sessions, unique_visitors)
  select new.day, 0, 1
  where not exists (
    select 1
    from sessions
    where visitor_id = new.visitor_id
      and started_at between strftime('%s', new.day) * 1000 and strftime('%s', new.day) * 1000 + 86399999)
  on conflict (day) do update set unique_visitors = unique_visitors + new.sign;
  delete from rollup_days where new.sign = -1 and day = new.day and sessions = 0 and unique_visitors = 0;

  update rollup_totals set unique_visitors = unique_visitors + new.sign
  where not exists (
    select 1
    from sessions
    where visitor_id = new.visitor_id
    union all
    select 1
    from past_day_visitors
    where visitor_id = new.visitor_id and day <> new.day);
end;

create trigger past_day_visitors_insert after insert on past_day_visitors
begin
  insert into past_day_visitor_changes
  values (1, new.visitor_id, new.day);
end;

create trigger past_day_visitors_delete after delete on past_day_visitors
begin
  insert into past_day_visitor_changes
  values (-1, old.visitor_id, old.day);
end;

create view past_country_visitor_changes as
select 0 as sign, visitor_id, country
from past_country_visitors;

create trigger past_country_visitor_change instead of insert on past_country_visitor_changes
begin
  insert into rollup_countries (country, sessions, unique_visitors)
  select new.country, 0, 1
  where not exists (select 1 from sessions where visitor_id = new.visitor_id and geo = new.country)
  on conflict (country) do update set unique_visitors = unique_visitors + new.sign;
  delete from rollup_countries where new.sign = -1 and country = new.country and sessions = 0 and unique_visitors = 0;
end;

create trigger past_country_visitors_insert after insert on past_country_visitors
begin
  insert into past_country_visitor_changes
  values (1, new.visitor_id, new.country);
end;

create trigger past_country_visitors_delete after delete on past_country_visitors
begin
  insert into past_country_visitor_changes
  values (-1, old.visitor_id, old.country);
end;

create view past_fingerprint_changes as
select 0 as sign, fingerprint
from past_fingerprints;

create trigger past_fingerprint_change instead of insert on past_fingerprint_changes
begin
  update rollup_totals set unique_fingerprints = unique_fingerprints + new.sign
  where not exists (select 1 from sessions where fingerprint = new.fingerprint);
end;

create trigger past_fingerprints_insert after insert on past_fingerprints
begin
  insert into past_fingerprint_changes
  values (1, new.fingerprint);
end;

create trigger past_fingerprints_delete after delete on past_fingerprints
begin
  insert into past_fingerprint_changes
  values (-1, old.fingerprint);
end;


-- leads -> their stage's count, the columns that triggers keep, the search index

create view stage_changes as
select 0 as sign, status
from leads;

create trigger stage_change instead of insert on stage_changes
begin
  insert into rollup_stages (status, leads)
  values (new.status, 1)
  on conflict (status) do update set leads = leads + new.sign;
  delete from rollup_stages where new.sign = -1 and status = new.status and leads = 0;
end;

-- The lead that a trigger itself is writing just now, so that no trigger takes that for a writer's.
create table leads_in_hand (
  lead_id integer primary key
) strict;

create trigger leads_insert after insert on leads
begin
  insert into stage_changes
  values (1, new.status);
  insert into stage_changes
  select -1, status
  from replaced_leads
  where lead_id = new.lead_id;

  insert into lead_search (lead_search, rowid, search_text)
  select 'delete', lead_id, search_text
  from replaced_leads
  where lead_id = new.lead_id;
  delete from replaced_leads where lead_id = new.lead_id;
  insert into leads_in_hand values (new.lead_id);
  update leads set (follow_ups_count, last_follow_up_at, search_text) = (
    select follow_ups_count, last_follow_up_at, search_text from plain_leads where lead_id = new.lead_id)
  where lead_id = new.lead_id;
  delete from leads_in_hand;
  insert into lead_search (rowid, search_text)
  select lead_id, search_text
  from leads
  where lead_id = new.lead_id;
end;

create trigger leads_delete after delete on leads
begin
  insert into stage_changes
  values (-1, old.status);
  insert into lead_search (lead_search, rowid, search_text)
  values ('delete', old.lead_id, old.search_text);
  delete from replaced_leads where lead_id = old.lead_id;
end;

create trigger leads_move after update of status on leads when new.status <> old.status
begin
  insert into stage_changes
  values (1, new.status), (-1, old.status);
end;

create trigger leads_keep_text after update of
  lead_id, contact_name, contact_email, contact_phone, project_name, visitor_id, search_text
on leads
when not exists (select 1 from leads_in_hand)
  and (
      new.lead_id, new.contact_name, new.contact_email, new.contact_phone, new.project_name, new.visitor_id,
      new.search_text)
    is not (
      old.lead_id, old.contact_name, old.contact_email, old.contact_phone, old.project_name, old.visitor_id,
      old.search_text)
begin
  insert into lead_search (lead_search, rowid, search_text)
  values ('delete', old.lead_id, old.search_text);
  insert into leads_in_hand values (new.lead_id);
  update leads set search_text = (select search_text from plain_leads where lead_id = new.lead_id)
  where lead_id = new.lead_id;
  delete from leads_in_hand;
  insert into lead_search (rowid, search_text)
  select lead_id, search_text
  from leads
  where lead_id = new.lead_id;
end;

create trigger leads_keep_follow_ups after update of lead_id, follow_ups_count, last_follow_up_at on leads
begin
  update leads set (follow_ups_count, last_follow_up_at) = (
    select follow_ups_count, last_follow_up_at from plain_leads where lead_id = new.lead_id)
  where lead_id = new.lead_id
    and (follow_ups_count, last_follow_up_at) is not (
      select follow_ups_count, last_follow_up_at from plain_leads where lead_id = new.lead_id);
end;

create table replaced_leads as
select lead_id, status, search_text
from leads
where false;

create trigger leads_before_insert before insert on leads
when exists (select 1 from leads where lead_id = new.lead_id)
begin
  delete from replaced_leads;
  insert into replaced_leads
  select lead_id, status, search_text
  from leads
  where lead_id = new.lead_id;
end;

create trigger leads_rename before update of lead_id on leads when new.lead_id <> old.lead_id
begin
  select raise(abort, 'lead_id is taken')
  where exists (select 1 from leads where lead_id = new.lead_id);
  delete from replaced_leads;
end;


-- lead_submissions -> follow-ups

create view follow_up_changes as
select 0 as sign, lead_id, is_primary_lead
from lead_submissions;

create trigger follow_up_change instead of insert on follow_up_changes when new.is_primary_lead = 0
begin
  insert into rollup_follow_ups (lead_id, follow_ups_count, last_follow_up_at)
  values (new.lead_id, 1, null)
  on conflict (lead_id) do update set follow_ups_count = follow_ups_count + new.sign;
  delete from rollup_follow_ups where new.sign = -1 and lead_id = new.lead_id and follow_ups_count = 0;
  update rollup_follow_ups set last_follow_up_at = (
    select max(submitted_at) from lead_submissions where lead_id = new.lead_id and is_primary_lead = 0)
  where lead_id = new.lead_id;
  update leads set (follow_ups_count, last_follow_up_at) = (
    select follow_ups_count, last_follow_up_at from plain_leads where lead_id = new.lead_id)
  where lead_id = new.lead_id;
end;

create trigger submissions_insert after insert on lead_submissions
begin
  insert into follow_up_changes
  values (1, new.lead_id, new.is_primary_lead);
end;

create trigger submissions_delete after delete on lead_submissions
begin
  insert into follow_up_changes
  values (-1, old.lead_id, old.is_primary_lead);
  delete from replaced_submissions;
end;

create trigger submissions_update after update of lead_id, submitted_at, is_primary_lead on lead_submissions
begin
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

create trigger submissions_replace after insert on lead_submissions
when exists (select 1 from replaced_submissions where submission_id = new.submission_id)
begin
  insert into follow_up_changes
  select -1, lead_id, is_primary_lead
  from replaced_submissions;
  delete from replaced_submissions;
end;

create trigger submissions_rename before update of submission_id on lead_submissions
when new.submission_id <> old.submission_id
begin
  select raise(abort, 'submission_id is taken')
  where exists (select 1 from lead_submissions where submission_id = new.submission_id);
  delete from replaced_submissions;
end;
