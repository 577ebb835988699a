"""Compare the rates of writes of several SQLite schemas, in one run.

    python -m benchmarks.schemas [--sessions 20000] [BASELINE OTHER ...]

Without names, version 4, which has no counters by day, is compared with schema.sql. There are four kinds of
transactions: each inserts 100 sessions, inserts their events, updates the sessions with heartbeats, or updates them
with heartbeats that also change the exit page. A heartbeat is an update that sets a later end of a session. The schemas
take turns. Rates are rows per second of CPU time, so that other programs have little effect.
"""

import argparse
import sqlite3
import time
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from analytics_api.maintenance import demo

from .data import NOW
from .machine import ROOT

BASELINE = ROOT / "tests" / "data" / "schemas" / "sqlite-4.sql"
SESSIONS_A_TRANSACTION = 100
SESSIONS_OF_PLAN = 20_000  # they last 90 days, so 100 sessions are about half a day
PRAGMAS = ("journal_mode = wal", "synchronous = normal", "temp_store = memory", "cache_size = -16384")
HEARTBEAT = """
update sessions
set ended_at = ended_at + 1000, duration = duration + 1000, event_count = event_count + 1
where session_id = ?
"""
HEARTBEAT_ON_PAGE = """
update sessions
set ended_at = ended_at + 1000, duration = duration + 1000, exit_page = ?
where session_id = ?
"""
SESSION_COLUMNS = demo.COLUMNS["sessions"]
EVENT_COLUMNS = demo.COLUMNS["events"][1:]


def transactions(sessions):
    """Generate (kind of write, rows). Heartbeats update sessions that were just written, as those of a tracker do."""
    plan = demo.Plan(NOW, sessions=max(sessions, SESSIONS_OF_PLAN), leads=0)
    visits, events = demo.sessions(plan), demo.events(plan)
    for _ in range(sessions // SESSIONS_A_TRANSACTION):
        rows = list(islice(visits, SESSIONS_A_TRANSACTION))
        yield "sessions", rows
        yield "events", [row[1:] for row in islice(events, sum(row[7] for row in rows))]
        yield "heartbeats", [(row[0],) for row in rows]
        pages = [row[8] for row in rows[1:] + rows[:1]]
        yield "heartbeats with a new exit page", [(page, row[0]) for page, row in zip(pages, rows)]


def compare(schemas, writers, sessions):
    """Print the rates of each schema.

    :param writers: for each schema, a function that takes a kind of write and rows, writes the rows in one transaction,
        and returns the seconds of CPU time.
    """
    totals = {}
    for kind, rows in transactions(sessions):
        count, seconds = totals.setdefault(kind, (0, [0.0] * len(writers)))
        for number, write in enumerate(writers):
            seconds[number] += write(kind, rows)
        totals[kind] = count + len(rows), seconds
    for kind, (rows, seconds) in totals.items():
        print(f"{kind} ({rows:,})")
        for schema, spent in zip(schemas, seconds):
            print(f"  {schema.name:<20} {rows / spent:>9,.0f}/s  {seconds[0] / spent:.2f}")


def parse_options(module, description, schemas, sessions):
    parser = argparse.ArgumentParser(
        f"python -m {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("schemas", nargs="*", type=Path, default=schemas)
    parser.add_argument("--sessions", type=int, default=sessions)
    return parser.parse_args()


def insert(table, columns):
    return f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' for _ in columns)})"


STATEMENTS = {
    "sessions": insert("sessions", SESSION_COLUMNS),
    "events": insert("events", EVENT_COLUMNS),
    "heartbeats": HEARTBEAT,
    "heartbeats with a new exit page": HEARTBEAT_ON_PAGE,
}


def create(path, schema):
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"pragma {pragma}")
    connection.executescript(schema.read_text(encoding="utf-8"))
    return connection


def write(connection, kind, rows):
    begun = time.process_time()
    connection.execute("begin immediate")
    connection.executemany(STATEMENTS[kind], rows)
    connection.execute("commit")
    return time.process_time() - begun


def main():
    options = parse_options("benchmarks.schemas", __doc__, [BASELINE, ROOT / "schema.sql"], SESSIONS_OF_PLAN)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        writers = [
            partial(write, stack.enter_context(closing(create(folder / f"{number}.db", schema))))
            for number, schema in enumerate(options.schemas)
        ]
        compare(options.schemas, writers, options.sessions)


if __name__ == "__main__":
    main()
