"""Measure filtered statistics of 30 days, whole WSGI calls beside plain SQL on the same rows.

    python -m benchmarks.filters [--engine postgresql] [--sessions 300000] [--events 2000000] [--days 120]

The filters leave about 2% and 60% of the sessions by what a session has, and 35 to 70% by its pages and events. On
SQLite times are CPU times, which other programs do not change; on PostgreSQL they are wall times. Numbers of sessions
are compared with those of plain SQL before anything is timed. Figures are minimums; a call has no cached response.
`--file` loads an SQLite database that stays, or measures the one that a former run has loaded.
"""

import argparse
import json
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from werkzeug.test import create_environ, run_wsgi_app

from analytics_api import create_app, open_database

from .data import NOW
from .functions import KEY, same
from .ranges import instants, load, open_empty, ranges

BUDGET = 3.0  # seconds a question
QUERY_TIMEOUT = 100.0

# Path, whether plain SQL counts sessions or events, and what it selects.
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
# Path, plain SQL, and the bars in milliseconds: filters that leave 2%, 60%, and filters by events.
QUESTIONS = {
    "overview": ("overview", PLAIN_OVERVIEW, (15, 55, 110)),
    "daily": ("sessions/daily", PLAIN_DAILY, (10, 30, 80)),
    "sources": ("sources", PLAIN_LIST.replace("{key}", "referrer_domain"), (10, 30, 80)),
    "engagement": ("engagement", PLAIN_LIST.replace("{key}", "engagement_score / 20"), (10, 30, 80)),
    "geo": ("geo", PLAIN_LIST.replace("{key}", "country"), (10, 45, 100)),
    "entry": ("pages/entry", PLAIN_LIST.replace("{key}", "entry_page"), (10, 45, 100)),
    "exit": ("pages/exit", PLAIN_LIST.replace("{key}", "exit_page"), (10, 45, 100)),
    "pages/top": ("pages/top", PLAIN_TOP, (15, 100, 170)),
    "dashboard": ("dashboard", None, (None, None, None)),
}
NEW = """not exists (
  select 1
  from sessions as earlier
  where earlier.visitor_id = sessions.visitor_id
    and (earlier.started_at, earlier.session_id) < (sessions.started_at, sessions.session_id))"""
CLICKED = "session_id in (select session_id from events where event_type = 'click')"
# The column of the bars, the query, and the condition of plain SQL.
FILTERS = {
    "country": (0, [("country", "OM")], "country = 'OM'"),
    "countries": (
        1,
        [("country.not", country) for country in ("IN", "US", "AE")],
        "coalesce(country, '') not in ('IN', 'US', 'AE')",
    ),
    "visitor": (1, [("visitor", "new")], NEW),
    "event_type": (2, [("event_type", "click")], CLICKED),
}


@contextmanager
def open_loaded(options):
    """Yield a database with the rows."""
    if options.file:
        is_new = not options.file.exists()
        with open_database(options.file).closing() as database:
            if is_new:
                load(database, options)
            yield database
    else:
        with open_empty(options) as database:
            load(database, options)
            yield database


def measure(database, options):
    app = create_app(database, api_keys=[KEY], clock=lambda: NOW, query_timeout=QUERY_TIMEOUT)
    bounds = instants(ranges(options)["30 days"])
    clock = time.process_time if options.engine == "sqlite" else time.perf_counter
    [[everything]] = database.tuples(f"select count(*) from {SESSIONS.format(condition='true')}", **bounds)
    for name, (column, filters, condition) in FILTERS.items():
        [[sessions]] = database.tuples(f"select count(*) from {SESSIONS.format(condition=condition)}", **bounds)
        print(f"{name}, {sessions / everything:.0%} of {everything:,} sessions")
        for question, (path, plain, bars) in QUESTIONS.items():

            def ask(path=path, filters=filters):
                query = urlencode([("days", 30), *filters])
                environ = create_environ(f"/analytics/{path}?{query}", headers={"X-API-Key": KEY})
                database.response_cache().clear()
                body, status, _ = run_wsgi_app(app, environ)
                assert status == "200 OK", status
                return b"".join(body)

            if question == "overview":
                same(name, json.loads(ask())["total_sessions"], sessions)
            bar = bars[column]
            ours = timed(ask, clock)
            beside = ""
            if plain:
                sql = plain.replace("{condition}", condition)
                beside = f"{timed(lambda sql=sql: database.tuples(sql, **bounds), clock) * 1000:>12.0f}"
            verdict = "" if bar is None else f"{bar:>8}  {'holds' if ours * 1000 <= bar else 'MISSES'}"
            print(f"  {question:<20}{ours * 1000:>10.0f}{beside:>12}{verdict}", flush=True)


def timed(ask, clock):
    """Return the minimum of seconds."""
    taken = []
    while len(taken) < 2 or (sum(taken) < BUDGET and len(taken) < 20):
        begun = clock()
        ask()
        taken.append(clock() - begun)
    return min(taken)


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.filters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--url", help="an empty PostgreSQL database")
    parser.add_argument("--file", type=Path, help="an SQLite database")
    parser.add_argument("--sessions", type=int, default=300_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=120)
    options = parser.parse_args()
    with open_loaded(options) as database:
        print(f"{options.engine:<22}{'ours, ms':>10}{'plain SQL':>12}{'bar':>8}")
        measure(database, options)


if __name__ == "__main__":
    main()
