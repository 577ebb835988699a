"""Convert the archive of version 2, the tables past_*, to the current archive tables."""

from __future__ import annotations

from .statements import Statements

# The archive of version 2 counts sessions by day. It also counts sessions by country, by source and so on, but for all
# days together. These counts are moved to day 0 (1970-01-01), so they count for all time and for ranges without `from`.
ARCHIVE_PAST = """
insert into archived_session_counts (
  dimension, day, key, sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected)
select 0, day::date - date '1970-01-01', '', sessions, duration_sum, duration_count, score_sum, score_count,
  vpn_suspected
from past_days;

insert into archived_session_counts (dimension, day, key, sessions)
select 1, 0, country, sessions
from past_countries
union all
select 2, 0, substring(referrer_domain from '[^@]*$') as source, sum(sessions)
from past_sources
group by source
union all
select 3, 0, bucket, sessions
from past_engagement;

-- It is unknown which country a visitor had on which day. Every day gets the first country, and the first day also gets
-- the other countries. The visitors of each day, and the all-time visitors of each country, are then exact.
insert into visitor_days (visitor_id, day, country_code, sessions, archived)
select visitor_id, day::date - date '1970-01-01', country, 1, 1
from (
  select visitor_id, day, row_number() over (partition by visitor_id order by day) as day_number
  from past_day_visitors) as days
join (
  select visitor_id, country, row_number() over (partition by visitor_id order by country) as country_number
  from past_country_visitors) as countries using (visitor_id)
where day_number = 1 or country_number = 1;

insert into fingerprint_days (fingerprint, day, sessions, archived)
select fingerprint, 0, 1, 1
from past_fingerprints;

insert into archived_event_counts (day, events)
select 0, sum(events)
from past_events
having sum(events) > 0;

insert into pages (page)
select page
from past_events
where page <> '';

insert into archived_page_counts (page_id, day, views, sessions)
select page_id, 0, events, unique_sessions
from past_events
join pages using (page);

update site set raw_since = (
  select max(day)::date - date '1970-01-01' + 1
  from past_days);

drop table past_days, past_countries, past_sources, past_engagement, past_events, past_day_visitors,
  past_country_visitors, past_fingerprints;
"""


def archive_past(statements: Statements) -> None:
    """Move the contents of the tables past_*, if they exist, to the archive, and drop them."""
    if statements.rows("select to_regclass('past_days') is not null as found")[0]["found"]:
        statements.connection.execute(ARCHIVE_PAST.encode())
