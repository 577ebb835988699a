"""Measure the statistics of a range of days: whole WSGI calls, and plain SQL on the same rows.

    python -m benchmarks.ranges [--engine postgresql] [--sessions 300000] [--events 2000000] [--days 120]

The measured ranges are the last 30 days and all time. For statistics by hour, the range is 31 days. With 365 or more
`--days`, such as `--days 730 --sessions 2000000`, 365 days are measured, too.
`--url` is an empty PostgreSQL database, which is used instead of a temporary server. Before the calls are timed, their
counts are compared with those of plain SQL. The response cache is empty for each call. Figures are the CPU time of this
process and, on PostgreSQL, of the server process of its connection. Other programs have little effect on them. A
temporary server has no parallel plans, because the time of their worker processes would be missing.
"""

import argparse
import json
import sys
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from werkzeug.test import create_environ

from analytics_api import create_app, open_database
from analytics_api.database import SQLite
from analytics_api.maintenance import demo

from .data import NOW
from .findings import Claim, Figure, Findings, Table, abbreviate
from .functions import KEY, same
from .machine import ROOT

DAY = 86_400_000
BUDGET = 1.0  # seconds for each statistic
MAX_CALLS = 200
EVENTS_A_SESSION = 9.75
GROWTH_SESSIONS = 2_050  # 20,000 events
GROWTH = {"sqlite": 2_000_000, "postgresql": 500_000}  # events before the 30 days; more take too long to load
EVENT_OFFSET = 1_000_000
HEAD = ["", "whole call", "plain SQL", "plain SQL / call"]
NOTE = (
    "CPU time of whole WSGI calls, and of plain SQL on the same rows in the same run. It is the time of the process "
    "and, on PostgreSQL, of the server process of its connection. There are no parallel plans."
)

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

# For each statistic: its path, its plain SQL, and the maximum median times in seconds for 30 days and a year.
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
    "dashboard": ("dashboard?{}", None, 0.030, None),
    "dashboard, compared": ("dashboard?compare=previous&{}", None, 0.080, None),
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

        settings = {"shared_buffers": "1GB", "max_wal_size": "4GB", "max_parallel_workers_per_gather": "0"}
        cluster = Cluster("ranges", **settings).create()
        try:
            cluster.execute("create database ranges")
            with open_database(cluster.url("ranges")).closing() as database:
                yield database
        finally:
            cluster.remove()


def batches(options):
    """Generate (table, rows) for the sessions, and for an evenly distributed part of their events.

    The part has about `options.events` events.
    """
    plan = demo.Plan(NOW, sessions=options.sessions, leads=0, days=options.days)
    taken = 0.0
    for table, rows in demo.batches(plan):
        if table == "events":
            share = options.events / (options.sessions * EVENTS_A_SESSION)
            chosen = []
            for row in rows:
                taken += share
                if taken >= 1:
                    taken -= 1
                    chosen.append(row)
            rows = chosen
        yield table, rows


def load(database, batches):
    rows = database.bulk(lambda at: sum(at.insert(table, demo.COLUMNS[table], rows) for table, rows in batches))
    if not isinstance(database, SQLite):
        database.scrub()  # vacuum the tables, as autovacuum would
    print(f"{rows:,} rows loaded", flush=True)


def ranges(options):
    """Return the first and the last day of each range, by its name."""
    today = datetime.fromtimestamp(NOW / 1000, timezone.utc).date()
    lengths = {"30 days": 30, "31 days": 31} | ({"365 days": 365} if options.days >= 365 else {})
    return {name: (today - timedelta(days=length - 1), today) for name, length in lengths.items()}


def instants(days):
    first, last = ((day - datetime(1970, 1, 1).date()).days for day in days)
    return {"first": first * DAY, "last": (last + 1) * DAY - 1}


def calls(options):
    """Generate (name, path, plain SQL or None, its parameters, maximum median time in seconds or None)."""
    spans = ranges(options)
    for name, (path, plain, month_bar, year_bar) in QUESTIONS.items():
        for span, days in spans.items():
            if (span == "31 days") == (name == "hours of 31 days"):
                query = path.format(f"from={days[0]}&to={days[1]}")
                yield f"{name}, {span}", query, plain, instants(days), year_bar if span == "365 days" else month_bar
        if "interval" not in path and "dashboard" not in path:
            everything = {"first": 0, "last": NOW + DAY}
            query = path.format("days=90" if name == "daily" else "").rstrip("?")
            yield f"{name}, {'90 days' if name == 'daily' else 'all time'}", query, None, everything, None


def compare(name, reply, plain):
    """Fail unless the reply has the counts of plain SQL. The order of rows is ignored."""
    if isinstance(reply, dict):
        same(name, [reply[key] for key in plain[0]], list(plain[0].values()))
    else:
        same(name, *(sorted(counts(row) for row in rows)[-20:] for rows in (reply, plain)))


def counts(row):
    return [value for key, value in row.items() if isinstance(value, int) and key != "day"]


def cpu_clock(database):
    """Return a function that returns the CPU seconds of this process and of PostgreSQL's process for its connection."""
    if isinstance(database, SQLite):
        return time.process_time
    pid = database.row("select pg_backend_pid() as pid")["pid"]
    schedstat = Path(f"/proc/{pid}/schedstat")
    return lambda: time.process_time() + int(schedstat.read_text().split()[0]) / 1e9


def asking(database, path, **options):
    """Return a function that makes one whole WSGI call, without the response cache.

    :param options: further arguments of `create_app`.
    """
    app = create_app(database, api_keys=[KEY], clock=lambda: NOW, **options)
    environ = create_environ(f"/analytics/{path}", headers={"X-API-Key": KEY})

    def start_response(status, headers, exc_info=None):
        assert status == "200 OK", (path, status)

    def ask():
        database.response_cache().clear()
        return b"".join(app(dict(environ), start_response))

    return ask


def questions(database, options):
    """Generate (name, maximum median time in seconds or None, Figure of the call, Figure of plain SQL or None)."""
    clock = cpu_clock(database)
    for name, path, plain, bounds, bar in calls(options):
        ask = asking(database, path)
        reply = json.loads(ask())
        if plain:
            compare(name, reply, database.rows(plain, **bounds))
        ours = timed(ask, clock)
        beside = timed(partial(database.rows, plain, **bounds), clock) if plain else None
        yield name, bar, ours, beside


def timed(ask, clock):
    """Return the CPU seconds of a call as a Figure."""
    taken = []
    while len(taken) < 5 or (sum(taken) < BUDGET and len(taken) < MAX_CALLS):
        begun = clock()
        ask()
        taken.append(clock() - begun)
    return Figure.of(taken)


def growing(options):
    """Generate (name, Figure) for 30 days, in a database of these days alone and in one with a year before them."""
    recent = demo.Plan(NOW, sessions=GROWTH_SESSIONS, leads=0, days=30)
    span = ranges(options)["30 days"]
    for before in (0, options.before):
        older = demo.Plan(NOW - 31 * DAY, sessions=before, leads=0, days=365, seed=2)
        with open_empty(options) as database:
            load(database, chain(demo.batches(recent), renumbered(demo.batches(older))))
            clock = cpu_clock(database)
            for name, (path, *_) in QUESTIONS.items():
                if "hour" not in path:
                    yield name, timed(asking(database, path.format(f"from={span[0]}&to={span[1]}")), clock)


def renumbered(batches):
    """Generate the batches with increased event ids, so that they do not collide with those of another data set."""
    for table, rows in batches:
        yield table, [(row[0] + EVENT_OFFSET, *row[1:]) for row in rows] if table == "events" else rows


def measure(options):
    return measure_engine("sqlite")


def measure_engine(engine):
    """Measure one engine for the report."""
    before = GROWTH[engine]
    here = argparse.Namespace(engine=engine, url=None, sessions=300_000, events=2_000_000, days=120)
    here.before = round(before / EVENTS_A_SESSION)
    claims, rows = [], []
    with open_empty(here) as database:
        load(database, batches(here))
        for name, bar, ours, beside in questions(database, here):
            rows.append([name, ours, beside or "", f"{beside.median / ours.median:.0f}x" if beside else ""])
            if bar is not None:
                claims.append(Claim(f"{engine}: {name}", bar, ours))
    tables = [Table("2M events and 300k sessions over 120 days", HEAD, rows)]
    figures = {}
    for name, figure in growing(here):
        figures.setdefault(name, []).append(figure)
    size = abbreviate(before)
    rows = [[name, *pair, ratio(pair)] for name, pair in figures.items()]
    tables.append(Table("30 days with 20k events", ["", "alone", f"after {size} events", "ratio"], rows))
    claims += [Claim(f"{engine}: {name}, 30 days after {size} events", 1.5, row) for name, _, _, row in rows]
    return Findings(f"Ranges of days, {engine}", [NOTE], claims, tables)


def ratio(pair):
    small, large = (figure.median for figure in pair)
    return Figure.of([large / small], "x")


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.ranges", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=GROWTH, default="sqlite")
    parser.add_argument("--url", help="an empty PostgreSQL database")
    parser.add_argument("--sessions", type=int, default=300_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=120)
    options = parser.parse_args()
    with open_empty(options) as database:
        load(database, batches(options))
        print(f"{options.engine:<28}{'ours, ms':>10}{'10th':>10}{'plain SQL':>12}{'bar':>8}")
        for name, bar, ours, beside in questions(database, options):
            plain = f"{beside.median * 1000:>12.1f}" if beside else " " * 12
            verdict = "" if bar is None else f"{bar * 1000:>8.1f}  {'holds' if ours.median <= bar else 'MISSES'}"
            print(f"{name:<28}{ours.median * 1000:>10.3f}{ours.low * 1000:>10.3f}{plain}{verdict}", flush=True)


if __name__ == "__main__":
    main()
