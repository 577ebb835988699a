-- The views that define the counters, for SQLite and PostgreSQL. The view expected_<counter> computes a counter from
-- the base tables and the archive. `analytics-api rebuild` fills the counters in the order of the views in this file,
-- and `analytics-api verify` compares the counters with the views. In SQLite, the views are temporary views of the
-- connections that need them.

-- A cross join with this view counts each row twice: on its day, and on day -1, which stands for all time.
create view day_spans (is_day) as
values (true), (false);

-- The all-time counts of each page, also of pages that are only entry or exit pages. The column `page` has the text of
-- the page, not its id. A session counts once for a page, even if it has archived views of the page and others.
create view expected_pages as
select page, cast(sum(views) as bigint) as views, cast(sum(sessions) as bigint) as sessions
from (
  select page, sum(views) as views, 1 as sessions
  from (
    select session_id, page, 1 as views
    from counted_events
    where page is not null
    union all
    select session_id, page, archived
    from session_pages
    join pages using (page_id)
    where archived <> 0) as viewed
  group by session_id, page
  union all
  select page, archived.views, archived.sessions
  from archived_page_counts as archived
  join pages using (page_id)
  union all
  select entry_page, 0, 0
  from counted_sessions
  union all
  select exit_page, 0, 0
  from counted_sessions
  union all
  select key, 0, 0
  from archived_session_counts
  where dimension in (4, 5)) as counts
group by page;

-- The view session_values in schema.sql and postgresql.sql has the other columns of session_facts. The rows are in the
-- order in which SQLite stores them, so that a rebuild fills its pages completely.
create view expected_session_facts as
select s.*, coalesce(events, 0) as events_of_day
from session_values as s
left join (
  select session_id, day, count(*) as events
  from counted_events
  group by session_id, day) as e on e.session_id = s.session_id and e.day = s.day
order by s.day, s.session_id;

create view expected_visitor_days as
select visitor_id, day, country_code, cast(sum(sessions) as bigint) as sessions,
  cast(sum(archived) as bigint) as archived
from (
  select visitor_id, day, country_code, 1 as sessions, 0 as archived
  from counted_sessions
  union all
  select visitor_id, day, country_code, archived, archived
  from visitor_days
  where archived <> 0) as counts
group by visitor_id, day, country_code;

create view expected_fingerprint_days as
select fingerprint, day, cast(sum(sessions) as bigint) as sessions, cast(sum(archived) as bigint) as archived
from (
  select fingerprint, day, 1 as sessions, 0 as archived
  from counted_sessions
  where fingerprint is not null
  union all
  select fingerprint, day, archived, archived
  from fingerprint_days
  where archived <> 0) as counts
group by fingerprint, day;

create view expected_events_of_other_days as
select e.session_id, e.day, count(*) as events
from counted_events as e
left join session_facts as s on s.session_id = e.session_id and s.day = e.day
where s.session_id is null
group by e.session_id, e.day;

-- The number of visitors (dimension 0), of visitors in each country (1), and of fingerprints (6) on each day, by the
-- previous day on which they had sessions. `previous_day` is null for the first day.
create view visit_counts as
select 0 as dimension, '' as key, day, previous_day, count(*) as visits
from (
  select day, lag(day) over (partition by visitor_id order by day) as previous_day
  from visitor_days) as visits
where previous_day is null or previous_day < day  -- a visitor may have several countries on a day
group by day, previous_day
union all
select 1, country_code, day, previous_day, count(*)
from (
  select country_code, day, lag(day) over (partition by visitor_id, country_code order by day) as previous_day
  from visitor_days) as visits
group by day, previous_day, country_code
union all
select 6, '', day, previous_day, count(*)
from (
  select day, lag(day) over (partition by fingerprint order by day) as previous_day
  from fingerprint_days) as visits
group by day, previous_day;

-- The number of distinct visitors or fingerprints by dimension, day and key. Day -1 stands for all time.
create view visitor_totals as
select dimension, case when is_day then day else -1 end as day, key, sum(visits) as visitors
from visit_counts
cross join day_spans
where is_day or previous_day is null
group by 1, 2, 3;

-- The properties by which sessions are counted, and the value of each session.
create view session_dimensions (dimension) as
values (1), (2), (3), (4), (5), (8);

create view session_keys as
select dimension, day,
  case dimension
    when 1 then country_code
    when 2 then source
    when 3 then score_bucket
    when 4 then entry_page
    when 5 then exit_page
    when 8 then campaign
  end as key
from counted_sessions
cross join session_dimensions;

create view session_totals as
select dimension, case when is_day then day else -1 end as day, key, sum(sessions) as sessions,
  sum(duration_sum) as duration_sum, sum(duration_count) as duration_count,
  sum(score_sum) as score_sum, sum(score_count) as score_count, sum(vpn_suspected) as vpn_suspected
from (
  select 0 as dimension, day, '' as key, count(*) as sessions, coalesce(sum(duration), 0) as duration_sum,
    count(duration) as duration_count, coalesce(sum(engagement_score), 0) as score_sum,
    count(engagement_score) as score_count, count(nullif(vpn_suspected, 0)) as vpn_suspected
  from counted_sessions
  group by day
  union all
  select dimension, day, key, count(*), 0, 0, 0, 0, 0
  from session_keys
  group by dimension, day, key
  union all
  select dimension, day, key, sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected
  from archived_session_counts) as counts
cross join day_spans
group by 1, 2, 3;

create view expected_day_counts as
select day, cast(sum(sessions) as bigint) as sessions, cast(sum(visitors) as bigint) as visitors,
  cast(sum(fingerprints) as bigint) as fingerprints, cast(sum(duration_sum) as bigint) as duration_sum,
  cast(sum(duration_count) as bigint) as duration_count, cast(sum(score_sum) as bigint) as score_sum,
  cast(sum(score_count) as bigint) as score_count, cast(sum(vpn_suspected) as bigint) as vpn_suspected
from (
  select day, sessions, 0 as visitors, 0 as fingerprints, duration_sum, duration_count, score_sum, score_count,
    vpn_suspected
  from session_totals
  where dimension = 0
  union all
  select day, 0, case dimension when 0 then visitors else 0 end, case dimension when 6 then visitors else 0 end,
    0, 0, 0, 0, 0
  from visitor_totals
  where dimension <> 1) as counts
group by day;

-- The keys of entry pages (4) and exit pages (5) are the ids of the pages.
create view expected_key_counts as
select dimension, day, key, cast(sum(sessions) as bigint) as sessions, cast(sum(visitors) as bigint) as visitors
from (
  select dimension, day, case when dimension in (4, 5) then cast(page_id as text) else key end as key,
    session_totals.sessions, 0 as visitors
  from session_totals
  left join pages on dimension in (4, 5) and page = key
  where dimension <> 0
  union all
  select dimension, day, key, 0, visitors
  from visitor_totals
  where dimension = 1) as counts
group by dimension, day, key;

create view expected_session_returns as
select dimension, day, previous_day, key, visits as sessions
from visit_counts
where previous_day is not null;

create view expected_event_counts as
select case when is_day then day else -1 end as day, cast(sum(events) as bigint) as events
from (
  select day, count(*) as events
  from counted_events
  group by day
  union all
  select day, events
  from archived_event_counts) as counts
cross join day_spans
group by 1;

create view expected_session_pages as
select session_id, page_id, day, cast(sum(views) as bigint) as views, cast(sum(archived) as bigint) as archived
from (
  select session_id, page_id, day, 1 as views, 0 as archived
  from counted_events
  join pages using (page)
  union all
  select session_id, page_id, day, archived, archived
  from session_pages
  where archived <> 0) as counts
group by day, session_id, page_id;

create view expected_page_counts as
select day, page_id, cast(sum(views) as bigint) as views, cast(sum(sessions) as bigint) as sessions
from (
  select day, page_id, views, 1 as sessions
  from session_pages
  union all
  select day, page_id, views, sessions
  from archived_page_counts) as counts
group by day, page_id;

create view expected_page_returns as
select day, page_id, previous_day, count(*) as sessions
from (
  select day, page_id, lag(day) over (partition by session_id, page_id order by day) as previous_day
  from session_pages) as days
where previous_day is not null
group by day, page_id, previous_day;

create view expected_minute_counts as
select minute, cast(sum(events) as bigint) as events, cast(sum(open_sessions) as bigint) as open_sessions
from (
  select occurred_at / 60000 as minute, count(*) as events, 0 as open_sessions
  from events
  group by 1
  union all
  select started_at / 60000, 0, count(*)
  from sessions
  where ended_at is null
  group by 1) as counts
group by minute;

create view expected_status_counts as
select status, count(*) as leads
from leads
group by status;

create view expected_facet_counts as
select field, key, count(*) as leads
from (
  select 'project' as field, project_name as key
  from leads
  union all
  select 'source', project_source
  from leads
  union all
  select 'country', contact_country_name
  from leads
  union all
  select 'label', engagement_label
  from leads) as fields
where key <> ''
group by field, key;
