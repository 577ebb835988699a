"""SQL statements that count the events and the page views of the sessions that match filters.

The column `events_of_day` of session_facts is the number of events on the day on which the session began. The table
`events_of_other_days` counts the events on later or earlier days, which are rare. If the range ends within a day
(`is_cut`), this day is called the cut day, and its events are read from the table `events`.
"""

from __future__ import annotations

from typing import Final

from .matching import Matching

EVENTS_OF_DAY: Final = "cast(coalesce(sum(case when s.day <= :last then s.events_of_day end), 0) as bigint)"

# `likelihood` in these statements makes SQLite expect few rows of events_of_other_days. If the table was empty when
# somebody ran ANALYZE, SQLite would expect many rows, and read all sessions into a Bloom filter.
OTHER_EVENTS: Final = """
select cast(coalesce(sum(events), 0) as bigint)
from (
  select sum(e.events) as events
  from events_of_other_days as e
  cross join facts_of_sessions as s
  where likelihood(e.day >= :first, 0.000001) and e.day <= :last and s.session_id = e.session_id
    and {condition}{cut_day}) as counts
"""
# The sessions that match, and began or have events on the days from `first` to `:last_day`. If a statement begins
# by selecting these sessions, the condition is evaluated once for each session instead of once for each event. With a
# filter that matches few sessions, the statement takes a fifth of the time.
SESSIONS_WITH_EVENTS: Final = """
    select s.session_id
    from session_facts as s
    where s.day between {first} and :last_day
      and {{condition}}
    union all
    select s.session_id
    from events_of_other_days as other
    cross join facts_of_sessions as s
    where likelihood(other.day >= {first}, 0.000001) and other.day <= :last_day and s.session_id = other.session_id
      and {{condition}}"""
SESSIONS_OF_CUT_DAY: Final = SESSIONS_WITH_EVENTS.format(first=":last_day")
SESSIONS_OF_RANGE: Final = SESSIONS_WITH_EVENTS.format(first=":first")
# `is true` prevents a join. PostgreSQL may estimate that only one session matches. With a join, it would then read the
# events of the day again for each session.
OTHER_EVENTS_OF_CUT_DAY: Final = f"""
  union all
  select count(*)
  from events
  where occurred_at >= :cut_begins_at and occurred_at < :ends_at
    and (session_id in ({SESSIONS_OF_CUT_DAY})) is true"""

# A session is counted once for each page: on the day on which the session began if it viewed the page on that day,
# otherwise on the first day with a view. Purged views do not count. These are the FROM and WHERE clauses for the page
# views `p` that are on the day on which their session `s` began.
OWN_VIEWS: Final = """
from session_facts as s
cross join session_pages as p
where s.day between :first and :last and p.day = s.day and p.session_id = s.session_id and p.views > p.archived
  and {condition}"""
# The same page views. Because of the limit, PostgreSQL evaluates the condition once for each session instead of once
# for each view. In the order of the primary key of session_pages, PostgreSQL can merge the sessions with the views,
# which takes a fifth less time than hashing. `p.day between` follows from the other conditions, but without it,
# PostgreSQL would read the views of all days. The operator is `<>` for the reason given above HAS_JOINED_VIEW.
VIEWS_OF_SESSIONS: Final = """
from (
  select s.session_id, s.day
  from session_facts as s
  where s.day between :first and :last
    and {condition}
  order by s.day, s.session_id
  limit 9223372036854775807) as s
cross join session_pages as p
where p.day = s.day and p.session_id = s.session_id and p.day between :first and :last and p.views <> p.archived"""
# PostgreSQL expects a hundredth of the rows of VIEWS_OF_SESSIONS, because it does not know that a session's page views
# are on the day of the session. It would then sort the rows to group them by page, instead of hashing the pages, which
# takes a sixth less time. These arrays have one element, but PostgreSQL expects a thousand, so it plans for many rows.
EXPECT_MANY_ROWS: Final = """
cross join json_each('[0]') as one
cross join json_each('[0]') as another"""
# The code of a row `p` of session_pages, one number for the page and its views: the id of the page, which is less than
# VIEW_FACTOR, plus VIEW_FACTOR for each view of the row after the first one.
VIEW_FACTOR: Final = 1 << 32
CODE: Final = f"p.page_id + (p.views - p.archived - 1) * {VIEW_FACTOR}"
# The codes of the page views of a session `s`, as in OWN_VIEWS, separated by commas.
CODES_OF_SESSION: Final = f"""case when s.day <= :last then (
    select group_concat({CODE})
    from session_pages as p
    where p.day = s.day and p.session_id = s.session_id and p.views > p.archived)
  end"""
# The limit has the same reason as in VIEWS_OF_SESSIONS.
OTHER_VIEWS: Final = """
  select p.page_id, p.day, p.views - p.archived as views, case
      when exists (
          select 1
          from session_pages as earlier
          where earlier.day in (
              select day
              from days_of_sessions as d
              where d.session_id = p.session_id and d.day between :first and :last and (d.day < p.day or d.day = s.day))
            and earlier.session_id = p.session_id and earlier.page_id = p.page_id
            and earlier.views > earlier.archived) then 0
      else 1
    end as sessions
  from (
    select e.session_id, e.day as other_day, s.day
    from events_of_other_days as e
    cross join facts_of_sessions as s
    where likelihood(e.day >= :first, 0.000001) and e.day <= :last and s.session_id = e.session_id
      and {condition}
    limit 9223372036854775807) as s
  cross join session_pages as p
  where p.day = s.other_day and p.session_id = s.session_id and p.views > p.archived{cut_day}"""
# The index events_by_time has the type and the session of each event, so few rows of `events` are read. A session that
# viewed the page on the cut day and on an earlier day of the range has events on several days, so it has a row in
# events_of_other_days. For other sessions, session_pages is not searched, which halves the time of this query. Because
# of the join with the session's pages of this day, PostgreSQL does not compare each event with all pages.
VIEWS_OF_CUT_DAY: Final = f"""
  union all
  select page_id, :last_day, cast(sum(views) as bigint), sum(
      case
        when session_id not in (
            select session_id
            from events_of_other_days
            where day between :first and :last_day) then 1
        when exists (
            select 1
            from session_pages as p
            where p.day in (
                select day
                from days_of_sessions as d
                where d.session_id = cut.session_id and d.day between :first and :last)
              and p.session_id = cut.session_id and p.page_id = cut.page_id and p.views > p.archived) then 0
        else 1
      end)
  from (
    select v.session_id, pages.page_id, count(*) as views
    from events as v
    cross join counted_events as e
    cross join pages
    cross join session_pages as own
    where v.occurred_at >= :cut_begins_at and v.occurred_at < :ends_at and v.event_type = 'page_view'
      and (v.session_id in ({SESSIONS_OF_CUT_DAY})) is true
      and e.event_id = v.event_id and pages.page = e.page
      and own.day = :last_day and own.session_id = v.session_id and own.page_id = pages.page_id
    group by v.session_id, pages.page_id) as cut
  group by page_id"""

# The page views of each hour. The sessions are selected first, for the reason given above SESSIONS_WITH_EVENTS.
VIEWS_OF_HOURS: Final = f"""
select (v.occurred_at + :utc_offset) / 3600000, count(*)
from events as v
cross join counted_events as e
where v.occurred_at >= :begins_at and v.occurred_at < :ends_at and v.event_type = 'page_view'
  and v.session_id in ({SESSIONS_OF_RANGE})
  and e.event_id = v.event_id and e.page is not null
group by 1
"""
# The same for PostgreSQL, which plans the join of the events with their sessions.
JOINED_VIEWS_OF_HOURS: Final = """
select (e.occurred_at + :utc_offset) / 3600000, count(*)
from counted_events as e
cross join facts_of_sessions as s
where e.occurred_at >= :begins_at and e.occurred_at < :ends_at and e.page is not null
  and s.session_id = e.session_id
  and {condition}
group by 1
"""


def other_events_statement(matching: Matching) -> str:
    """Return a query for the number of events that the expression EVENTS_OF_DAY does not count."""
    cut_day = OTHER_EVENTS_OF_CUT_DAY.format(condition=matching.condition) if matching.is_cut else ""
    return OTHER_EVENTS.format(condition=matching.condition_of_few, cut_day=cut_day)


def other_views_statement(matching: Matching) -> str:
    """Return a query for the views and sessions of each page and day, without the page views of OWN_VIEWS.

    A session that is counted for a page in OWN_VIEWS is not counted again.
    """
    cut_day = VIEWS_OF_CUT_DAY.format(condition=matching.condition) if matching.is_cut else ""
    return OTHER_VIEWS.format(condition=matching.condition_of_few, cut_day=cut_day)


def views_statement(matching: Matching) -> str:
    """Return a query for the page views, with the columns page_id, day, views and sessions.

    There are several rows for a page and day. A session that viewed a page on several days is counted on one of them.
    So the sums over all rows of a page are exact.
    """
    views = VIEWS_OF_SESSIONS.format(condition=matching.condition)
    return f"""
select p.page_id, p.day, p.views - p.archived as views, 1 as sessions{views}
union all
select others.*
from ({other_views_statement(matching).strip()}) as others{EXPECT_MANY_ROWS}
""".strip()


def own_views(matching: Matching) -> str:
    """Return the FROM and WHERE clauses for the page views on the days on which their sessions began."""
    return (VIEWS_OF_SESSIONS if matching.conditions.is_joined else OWN_VIEWS).format(condition=matching.condition)


def views_of_hours_statement(matching: Matching) -> str:
    """Return a statement for the page views of each hour since the epoch. It has the parameter `utc_offset`."""
    views_of_hours = JOINED_VIEWS_OF_HOURS if matching.conditions.is_joined else VIEWS_OF_HOURS
    return views_of_hours.format(condition=matching.condition)
