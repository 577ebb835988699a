"""Convert the archive of versions 2 to 4, the tables past_*, to the current archive tables."""

from __future__ import annotations

from collections.abc import Sequence

from .statements import Statements

PAST_TABLES = (
    "past_days",
    "past_countries",
    "past_sources",
    "past_engagement",
    "past_events",
    "past_day_visitors",
    "past_country_visitors",
    "past_fingerprints",
)

# The archive of these versions counts sessions by day. It also counts sessions by country, by source and so on, but for
# all days together. These counts are moved to day 0 (1970-01-01), so they count for all time and for ranges without
# `from`.
ARCHIVE_PAST = """
insert into archived_session_counts (
  dimension, day, key, sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected)
select 0, strftime('%s', day) / 86400, '', sessions, duration_sum, duration_count, score_sum, score_count, vpn_suspected
from past_days_of_the_older_version;

insert into archived_session_counts (dimension, day, key, sessions)
select 1, 0, country, sessions
from past_countries_of_the_older_version
union all
select 2, 0, substr(referrer_domain, length(rtrim(referrer_domain, replace(referrer_domain, '@', ''))) + 1) as source,
  sum(sessions)
from past_sources_of_the_older_version
group by source
union all
select 3, 0, bucket, sessions
from past_engagement_of_the_older_version;

-- It is unknown which country a visitor had on which day. Every day gets the first country, and the first day also gets
-- the other countries. The visitors of each day, and the all-time visitors of each country, are then exact.
insert into visitor_days (visitor_id, day, country_code, sessions, archived)
select visitor_id, strftime('%s', day) / 86400, country, 1, 1
from (
  select visitor_id, day, row_number() over (partition by visitor_id order by day) as day_number
  from past_day_visitors_of_the_older_version)
join (
  select visitor_id, country, row_number() over (partition by visitor_id order by country) as country_number
  from past_country_visitors_of_the_older_version) using (visitor_id)
where day_number = 1 or country_number = 1;

insert into fingerprint_days (fingerprint, day, sessions, archived)
select fingerprint, 0, 1, 1
from past_fingerprints_of_the_older_version;

insert into archived_event_counts (day, events)
select 0, events
from (
  select sum(events) as events
  from past_events_of_the_older_version) as totals
where events > 0;

insert into pages (page)
select page
from past_events_of_the_older_version
where page <> '';

insert into archived_page_counts (page_id, day, views, sessions)
select page_id, 0, events, unique_sessions
from past_events_of_the_older_version
join pages using (page);

update site
set raw_since = (
  select strftime('%s', max(day)) / 86400 + 1
  from past_days_of_the_older_version);
"""


def archive_past(statements: Statements, tables: Sequence[str]) -> None:
    """Move the contents of the tables past_* to the archive.

    :param tables: the former names of the tables that the upgrade has renamed. OLD_SUFFIX was appended to the names.
    """
    if "past_days" in tables:
        for statement in ARCHIVE_PAST.split(";"):
            if statement.strip():
                statements.execute(statement)
