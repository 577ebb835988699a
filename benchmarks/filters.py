"""Measure filtered statistics of 30 days on both engines: whole WSGI calls, and plain SQL on the same rows.

    python -m benchmarks --parts filters

The filters by columns of sessions match about 2% and 60% of the sessions, and the filters by events and pages 35 to
70%. Times are CPU times. Before the calls are timed, their numbers of sessions are compared with those of plain SQL.
The response cache is empty for each call. The statistics of a filter take turns, so that other load on the machine
affects few calls of each. The dashboard is also compared with the sum of its sections.
"""

import argparse
import json
from collections import defaultdict
from functools import partial
from urllib.parse import urlencode

from analytics_api.endpoints.dashboard import SECTIONS

from .findings import Claim, Findings, Table
from .functions import same
from .ranges import asking, batches, cpu_clock, instants, load, open_empty, ranges
from .timing import side_by_side

ROUNDS = 9
# For each engine: its name, and the factor by which the maximum milliseconds in QUESTIONS are multiplied.
ENGINES = {"sqlite": ("SQLite", 1.0), "postgresql": ("PostgreSQL", 1.5)}
QUERY_TIMEOUT = 100.0  # seconds
NOTE = (
    "CPU time of whole WSGI calls for the last 30 days of 120. The percentage is the share of the sessions of these "
    "days that match. Filtered statistics read a row of session_facts for each session. The time on PostgreSQL "
    "includes the server process of the connection. There are no parallel plans."
)

# The rows that the plain SQL counts.
SESSIONS = "sessions where started_at between :first and :last and {condition}"
EVENTS = "events join sessions using (session_id) where occurred_at between :first and :last and {condition}"
PLAIN_OVERVIEW = f"""
select count(*), count(distinct visitor_id), count(distinct fingerprint), (select count(*) from {EVENTS})
from {SESSIONS}
"""
PLAIN_DAILY = f"""
select started_at / 86400000, count(*), count(distinct visitor_id)
from {SESSIONS}
group by 1
"""
PLAIN_LIST = f"""
select {{key}}, count(*), count(distinct visitor_id)
from {SESSIONS}
group by 1
"""
PLAIN_TOP = f"""
select page_url, count(*), count(distinct session_id)
from {EVENTS} and event_type = 'page_view'
group by 1
"""
# For each statistic: its path, its plain SQL, and its maximum milliseconds for three kinds of filters: by columns of
# sessions, matching 2% of the sessions; by columns of sessions, matching 60%; and by event type or page.
QUESTIONS = {
    "overview": ("overview?", PLAIN_OVERVIEW, (15, 55, 110)),
    "daily": ("sessions/daily?", PLAIN_DAILY, (10, 30, 80)),
    "sources": ("sources?", PLAIN_LIST.replace("{key}", "referrer_domain"), (10, 30, 80)),
    "engagement": ("engagement?", PLAIN_LIST.replace("{key}", "engagement_score / 20"), (10, 30, 80)),
    "geo": ("geo?", PLAIN_LIST.replace("{key}", "country"), (10, 45, 100)),
    "entry": ("pages/entry?", PLAIN_LIST.replace("{key}", "entry_page"), (10, 45, 100)),
    "exit": ("pages/exit?", PLAIN_LIST.replace("{key}", "exit_page"), (10, 45, 100)),
    "pages/top": ("pages/top?", PLAIN_TOP, (15, 100, 170)),
    "dashboard": ("dashboard?", None, (None, None, None)),
    "dashboard, compared": ("dashboard?compare=previous&", None, (45, 500, 700)),
}
ENDPOINTS = [question for question, (_, plain, _) in QUESTIONS.items() if plain]
# The ratio of the time of the dashboard to the sum of the times of its sections, each requested by itself, and its
# maximum; and the ratio to the sum of the endpoints, which do not count the page views of each day.
SECTION_RATIO = "dashboard / its sections"
MOST_OF_SECTIONS = 0.7
ENDPOINT_RATIO = "dashboard / the endpoints above"
HEAD = ["", *(head for name, _ in ENGINES.values() for head in (name, "plain SQL"))]
NEW = """not exists (
  select 1
  from sessions as earlier
  where earlier.visitor_id = sessions.visitor_id
    and (earlier.started_at, earlier.session_id) < (sessions.started_at, sessions.session_id))"""
CLICKED = "session_id in (select session_id from events where event_type = 'click')"
PAGES = ("https://example.com/", "https://example.com/projects")
VIEWED = f"session_id in (select session_id from events where event_type = 'page_view' and page_url in {PAGES})"
# For each filter: the index of its kind in the maximum milliseconds above, its query, and its condition in plain SQL.
FILTERS = {
    "country": (0, [("country", "OM")], "country = 'OM'"),
    "countries": (
        1,
        [("country.not", country) for country in ("IN", "US", "AE")],
        "coalesce(country, '') not in ('IN', 'US', 'AE')",
    ),
    "visitor": (1, [("visitor", "new")], NEW),
    "event_type": (2, [("event_type", "click")], CLICKED),
    "page": (2, [("page", page) for page in PAGES], VIEWED),
}


def measure(options):
    claims, cells = [], defaultdict(partial(defaultdict, list))
    for engine, (title, factor) in ENGINES.items():
        here = argparse.Namespace(engine=engine, url=None, sessions=300_000, events=2_000_000, days=120)
        with open_empty(here) as database:
            load(database, batches(here))
            for name, share, question, bar, *figures in measure_database(database, here):
                cells[f"Filter by {name}: {share:.0%} of the sessions"][question] += figures
                if question == SECTION_RATIO:
                    claims.append(Claim(f"{title}, filter by {name}: {question}", bar, figures[0]))
                elif bar is not None:
                    claims.append(Claim(f"{title}, filter by {name}: {question}", factor * bar / 1000, figures[0]))
    tables = [Table(title, HEAD, [[key, *row] for key, row in rows.items()]) for title, rows in cells.items()]
    return Findings("Filters", [NOTE], claims, tables)


def measure_database(database, options):
    """Generate (filter, share of the sessions, statistic, maximum milliseconds or None, Figure, Figure of plain SQL).

    The last Figure is "" if the statistic has no plain SQL.
    """
    bounds = instants(ranges(options)["30 days"])
    clock = cpu_clock(database)
    [[everything]] = database.tuples(f"select count(*) from {SESSIONS.format(condition='true')}", **bounds)
    for name, (column, filters, condition) in FILTERS.items():
        [[sessions]] = database.tuples(f"select count(*) from {SESSIONS.format(condition=condition)}", **bounds)
        same(name, json.loads(asking_filtered(database, "overview?", filters)())["total_sessions"], sessions)
        calls, plain_calls = {}, {}
        for question, (path, plain, _) in QUESTIONS.items():
            calls[question] = asking_filtered(database, path, filters)
            if plain:
                plain_calls[question] = partial(database.tuples, plain.replace("{condition}", condition), **bounds)
        ours, beside = side_by_side(calls, ROUNDS, clock), side_by_side(plain_calls, ROUNDS, clock)
        for question, (_, _, bars) in QUESTIONS.items():
            figures = ours.figure(question), beside.figure(question) if question in plain_calls else ""
            yield name, sessions / everything, question, bars[column], *figures
        yield name, sessions / everything, ENDPOINT_RATIO, None, ours.ratio("dashboard", *ENDPOINTS), ""
        ratio = measure_sections(database, filters, clock)
        yield name, sessions / everything, SECTION_RATIO, MOST_OF_SECTIONS, ratio, ""


def measure_sections(database, filters, clock):
    """Return the ratio of the time of the dashboard to the sum of the times of its sections."""
    calls = {section: asking_filtered(database, f"dashboard?sections={section}&", filters) for section in SECTIONS}
    calls["dashboard"] = asking_filtered(database, "dashboard?", filters)
    return side_by_side(calls, ROUNDS, clock).ratio("dashboard", *SECTIONS)


def asking_filtered(database, path, filters):
    """Return a function that makes one whole WSGI call for 30 days with filters."""
    return asking(database, f"{path}{urlencode([('days', 30), *filters])}", query_timeout=QUERY_TIMEOUT)
