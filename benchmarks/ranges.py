"""Measure the statistics of a range of days on one engine, whole WSGI calls beside plain SQL on the same rows.

    python -m benchmarks.ranges [--engine postgresql] [--sessions 300000] [--events 2000000] [--days 120]

The last 30 days and all time are measured, 31 days by the hour, and with `--days 730 --sessions 2000000` also 365 days.
`--url` is an empty PostgreSQL database in place of a throw-away server. Counts are compared with those of plain SQL
before anything is timed. Figures are medians; a call has no cached response.
"""

import argparse
import json
import sys
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from werkzeug.test import create_environ, run_wsgi_app

from analytics_api import create_app, open_database
from analytics_api.maintenance import demo

from .data import NOW
from .functions import KEY, same
from .machine import ROOT

DAY = 86_400_000
BUDGET = 3.0  # seconds a question
MAX_CALLS = 200

IN_RANGE = "started_at between :first and :last"
OVERVIEW = f"""
select count(*) as total_sessions, count(distinct visitor_id) as unique_visitors,
  count(distinct fingerprint) as unique_fingerprints
from sessions
where {IN_RANGE}
"""
BY_DAY = f"""
select started_at / {DAY} as day, count(*) as sessions, count(distinct visitor_id) as unique_visitors
from sessions
where {IN_RANGE}
group by day
order by day
"""
BY_HOUR = BY_DAY.replace(str(DAY), "3600000")
BY_COUNTRY = f"""
select coalesce(nullif(country, ''), 'XX') as country, count(*) as sessions,
  count(distinct visitor_id) as unique_visitors
from sessions
where {IN_RANGE}
group by 1
order by sessions desc, 1
"""
BY_KEY = """
select {key} as key, count(*) as sessions
from sessions
where {key} <> '' and started_at between :first and :last
group by {key}
order by sessions desc, key
limit 20
"""
SOURCE = "coalesce(nullif(referrer_domain, ''), '(direct)')"
TOP_PAGES = """
select page_url as page, count(*) as views, count(distinct session_id) as unique_sessions
from events
where event_type = 'page_view' and page_url <> '' and occurred_at between :first and :last
group by page_url
order by views desc, page_url
limit 20
"""

# Path, the plain query, and seconds that 30 days and a year may take at the median; None: no bar.
QUESTIONS = {
    "overview": ("overview?{}", OVERVIEW, 0.0005, 0.025),
    "daily": ("sessions/daily?{}", BY_DAY, 0.0005, None),
    "daily by month": ("sessions/daily?interval=month&{}", None, None, 0.040),
    "sources": (
        "sources?limit=20&{}",
        BY_KEY.format(key=SOURCE),
        0.002,
        None,
    ),
    "geo": ("geo?{}", BY_COUNTRY, 0.005, None),
    "engagement": ("engagement?{}", None, 0.0005, None),
    "pages/top": ("pages/top?{}", TOP_PAGES, 0.020, None),
    "pages/entry": ("pages/entry?{}", BY_KEY.format(key="entry_page"), 0.005, None),
    "pages/exit": ("pages/exit?{}", BY_KEY.format(key="exit_page"), 0.005, None),
    "hours of 31 days": ("sessions/daily?interval=hour&{}", BY_HOUR, 0.060, None),
}


@contextmanager
def open_empty(options):
    """Yield an empty database of the engine."""
    if options.engine == "sqlite":
        with TemporaryDirectory() as folder, open_database(Path(folder) / "ranges.db").closing() as database:
            yield database
    elif options.url:
        with open_database(options.url).closing() as database:
            yield database
    else:
        sys.path.insert(0, str(ROOT / "tests"))
        from helpers.postgres import Cluster

        cluster = Cluster("ranges", fsync="off", shared_buffers="1GB", max_wal_size="4GB").create()
        try:
            cluster.execute("create database ranges")
            with open_database(cluster.url("ranges")).closing() as database:
                yield database
        finally:
            cluster.remove()


def batches(options):
    """Generate tables and rows: sessions, and of their events as many as asked for, evenly."""
    plan = demo.Plan(NOW, sessions=options.sessions, leads=0, days=options.days)
    taken = 0.0
    for table, rows in demo.batches(plan):
        if table == "events":
            share = options.events / (options.sessions * 9.75)
            chosen = []
            for row in rows:
                taken += share
                if taken >= 1:
                    taken -= 1
                    chosen.append(row)
            rows = chosen
        yield table, rows


def load(database, options):
    begun = time.perf_counter()
    rows = database.bulk(
        lambda at: sum(at.insert(table, demo.COLUMNS[table], rows) for table, rows in batches(options))
    )
    print(f"{rows:,} rows loaded, {time.perf_counter() - begun:.0f} s", flush=True)


def ranges(options):
    """Return the days of each range, by its name."""
    today = datetime.fromtimestamp(NOW / 1000, timezone.utc).date()
    lengths = {"30 days": 30, "31 days": 31} | ({"365 days": 365} if options.days >= 365 else {})
    return {name: (today - timedelta(days=length - 1), today) for name, length in lengths.items()}


def instants(days):
    first, last = ((day - datetime(1970, 1, 1).date()).days for day in days)
    return {"first": first * DAY, "last": (last + 1) * DAY - 1}


def calls(options):
    """Generate name, path, plain query with its parameters, and the bar in seconds."""
    spans = ranges(options)
    for name, (path, plain, month_bar, year_bar) in QUESTIONS.items():
        for span, days in spans.items():
            if (span == "31 days") == (name == "hours of 31 days"):
                query = path.format(f"from={days[0]}&to={days[1]}")
                yield f"{name}, {span}", query, plain, instants(days), year_bar if span == "365 days" else month_bar
        if "interval" not in path:
            everything = {"first": 0, "last": NOW + DAY}
            query = path.format("days=90" if name == "daily" else "").rstrip("?")
            yield f"{name}, {'90 days' if name == 'daily' else 'all time'}", query, None, everything, None


def compare(name, reply, plain):
    """Fail unless the reply has the counts of plain SQL, in whatever order."""
    if isinstance(reply, dict):
        same(name, [reply[key] for key in plain[0]], list(plain[0].values()))
    else:
        same(name, *(sorted(counts(row) for row in rows)[-20:] for rows in (reply, plain)))


def counts(row):
    return [value for key, value in row.items() if isinstance(value, int) and key != "day"]


def measure(database, options):
    app = create_app(database, api_keys=[KEY], clock=lambda: NOW)
    for name, path, plain, bounds, bar in calls(options):
        environ = create_environ(f"/analytics/{path}", headers={"X-API-Key": KEY})

        def ask(environ=environ):
            database.response_cache().clear()
            body, status, _ = run_wsgi_app(app, dict(environ))
            assert status == "200 OK", status
            return b"".join(body)

        def ask_plain(plain=plain, bounds=bounds):
            return database.rows(plain, **bounds)

        reply = json.loads(ask())
        if plain:
            compare(name, reply, ask_plain())
        ours, fastest = timed(ask)
        verdict = "" if bar is None else f"{bar * 1000:>8.1f}  {'holds' if ours <= bar else 'MISSES'}"
        beside = f"{timed(ask_plain)[0] * 1000:>12.1f}" if plain else " " * 12
        print(f"{name:<28}{ours * 1000:>10.3f}{fastest * 1000:>10.3f}{beside}{verdict}", flush=True)


def timed(ask):
    """Return the median and the minimum of seconds."""
    taken = []
    while len(taken) < 3 or (sum(taken) < BUDGET and len(taken) < MAX_CALLS):
        begun = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - begun)
    return median(taken), min(taken)


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.ranges", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--url", help="an empty PostgreSQL database")
    parser.add_argument("--sessions", type=int, default=300_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=120)
    options = parser.parse_args()
    with open_empty(options) as database:
        load(database, options)
        print(f"{options.engine:<28}{'ours, ms':>10}{'fastest':>10}{'plain SQL':>12}{'bar':>8}")
        measure(database, options)


if __name__ == "__main__":
    main()
