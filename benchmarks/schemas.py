"""Compare the rates of writes of several SQLite schemas, in one run.

    python -m benchmarks.schemas [--sessions 20000] [BASELINE OTHER ...]

Without names: version 4, which had no counters by day, against schema.sql. A transaction writes 100 sessions, or the
events, heartbeats or moves to another page of 100 sessions; the schemas take turns. Rates are rows per second of CPU
time, so that other programs disturb them little.
"""

import argparse
import sqlite3
import time
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from analytics_api.maintenance import demo

from .data import NOW
from .machine import ROOT

BASELINE = ROOT / "tests" / "data" / "schemas" / "sqlite-4.sql"
SESSIONS_A_TRANSACTION = 100
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


def transactions(sessions):
    """Generate (kind of write, statement, rows): heartbeats go to sessions that were just written, as live ones do."""
    plan = demo.Plan(NOW, sessions=sessions, leads=0)
    visits, events = demo.sessions(plan), demo.events(plan)
    while rows := list(islice(visits, SESSIONS_A_TRANSACTION)):
        yield "sessions", insert("sessions", demo.COLUMNS["sessions"]), rows
        yield (
            "events",
            insert("events", demo.COLUMNS["events"][1:]),
            [row[1:] for row in islice(events, sum(row[7] for row in rows))],
        )
        yield "heartbeats", HEARTBEAT, [(row[0],) for row in rows]
        pages = [row[8] for row in rows[1:] + rows[:1]]
        yield "heartbeats with a new exit page", HEARTBEAT_ON_PAGE, [(page, row[0]) for page, row in zip(pages, rows)]


def insert(table, columns):
    return f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' for _ in columns)})"


def create(path, schema):
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"pragma {pragma}")
    connection.executescript(schema.read_text(encoding="utf-8"))
    return connection


def write(connection, sql, rows):
    """Return the seconds of CPU time of one transaction."""
    begun = time.process_time()
    connection.execute("begin immediate")
    connection.executemany(sql, rows)
    connection.execute("commit")
    return time.process_time() - begun


def compare(schemas, sessions):
    """Return {kind of write: (rows, [seconds of each schema])}."""
    totals = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        databases = [
            stack.enter_context(closing(create(folder / f"{number}.db", schema)))
            for number, schema in enumerate(schemas)
        ]
        for kind, sql, rows in transactions(sessions):
            count, seconds = totals.setdefault(kind, (0, [0.0] * len(databases)))
            for number, database in enumerate(databases):
                seconds[number] += write(database, sql, rows)
            totals[kind] = count + len(rows), seconds
    return totals


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.schemas", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("schemas", nargs="*", type=Path, default=[BASELINE, ROOT / "schema.sql"])
    parser.add_argument("--sessions", type=int, default=20_000)
    options = parser.parse_args()
    for kind, (rows, seconds) in compare(options.schemas, options.sessions).items():
        print(f"{kind} ({rows:,})")
        for schema, spent in zip(options.schemas, seconds):
            print(f"  {schema.name:<20} {rows / spent:>9,.0f}/s  {seconds[0] / spent:.2f}")


if __name__ == "__main__":
    main()
