"""Compare the rates of writes of two PostgreSQL schemas, in one run.

    python -m benchmarks.postgresql_schemas [--sessions 3000] [BASELINE OTHER ...]

Without names: version 2, which had no counters by day, against postgresql.sql. A transaction copies 100 sessions or
their events, or updates 100 sessions one by one: heartbeats, and moves to another page. The schemas take turns on one
temporary server. Rates are rows per second of CPU time of the server process, so that other programs disturb them
little.
"""

import argparse
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import psycopg

from analytics_api.database.postgresql import schema
from analytics_api.database.postgresql.statements import Statements
from analytics_api.maintenance import demo

from .data import NOW
from .machine import ROOT

SCHEMAS = [
    ROOT / "tests" / "data" / "schemas" / "postgresql-2.sql",
    ROOT / "analytics_api" / "database" / "postgresql" / "postgresql.sql",
]
SESSIONS_A_TRANSACTION = 100
SESSIONS_OF_PLAN = 20_000  # over 90 days: 100 sessions are about half a day
HEARTBEAT = """
update sessions
set ended_at = ended_at + 1000, duration = duration + 1000, event_count = event_count + 1
where session_id = %s
"""
HEARTBEAT_ON_PAGE = """
update sessions
set ended_at = ended_at + 1000, duration = duration + 1000, exit_page = %s
where session_id = %s
"""


def transactions(sessions):
    """Generate (kind of write, its function of a cursor, rows)."""
    plan = demo.Plan(NOW, sessions=max(sessions, SESSIONS_OF_PLAN), leads=0)
    visits, events = demo.sessions(plan), demo.events(plan)
    for _ in range(sessions // SESSIONS_A_TRANSACTION):
        rows = list(islice(visits, SESSIONS_A_TRANSACTION))
        yield "sessions", partial(copy, "sessions", demo.COLUMNS["sessions"]), rows
        views = [row[1:] for row in islice(events, sum(row[7] for row in rows))]
        yield "events", partial(copy, "events", demo.COLUMNS["events"][1:]), views
        yield "heartbeats", partial(update, HEARTBEAT), [(row[0],) for row in rows]
        pages = [row[8] for row in rows[1:] + rows[:1]]
        moves = [(page, row[0]) for page, row in zip(pages, rows)]
        yield "heartbeats with a new exit page", partial(update, HEARTBEAT_ON_PAGE), moves


def copy(table, columns, cursor, rows):
    with cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin") as target:
        for row in rows:
            target.write_row(row)


def update(sql, cursor, rows):
    for row in rows:
        cursor.execute(sql, row, prepare=True)


def create(url, path):
    """Return a connection to a new database with the schema of a file."""
    with (
        psycopg.connect(
            url, autocommit=True, row_factory=psycopg.rows.dict_row, cursor_factory=psycopg.RawCursor
        ) as connection,
        connection.transaction(),
    ):
        statements = Statements(connection)
        statements.execute("create extension pg_trgm")
        statements.execute(schema.SET_SEARCH_PATH)
        ddl = path.read_text(encoding="utf-8")
        connection.execute(ddl.encode())
        if "create table if not exists site_offsets" in ddl:
            statements.execute("analyze site, site_offsets")
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("set jit = off")
    connection.execute("set random_page_cost = 1.1")
    return connection


def cpu_seconds(connection):
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def write(connection, work, rows):
    """Return the seconds of CPU time of one transaction."""
    before = cpu_seconds(connection)
    with connection.transaction(), connection.cursor() as cursor:
        work(cursor, rows)
    return cpu_seconds(connection) - before


def compare(connections, sessions):
    """Return {kind of write: (rows, [seconds of each schema])}."""
    totals = {}
    for kind, work, rows in transactions(sessions):
        count, seconds = totals.setdefault(kind, (0, [0.0] * len(connections)))
        for number, connection in enumerate(connections):
            seconds[number] += write(connection, work, rows)
        totals[kind] = count + len(rows), seconds
    return totals


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.postgresql_schemas",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("schemas", nargs="*", type=Path, default=SCHEMAS)
    parser.add_argument("--sessions", type=int, default=3000)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.postgres import Cluster

    cluster = Cluster("schemas", fsync="off", shared_buffers="400MB", max_wal_size="2GB").create()
    try:
        connections = []
        for number, path in enumerate(options.schemas):
            cluster.execute(f"create database schema_{number}")
            connections.append(create(cluster.url(f"schema_{number}"), path))
        for kind, (rows, seconds) in compare(connections, options.sessions).items():
            print(f"{kind} ({rows:,})")
            for path, spent in zip(options.schemas, seconds):
                print(f"  {path.name:<20} {rows / spent:>9,.0f}/s  {seconds[0] / spent:.2f}")
    finally:
        for connection in connections:
            connection.close()
        cluster.remove()


if __name__ == "__main__":
    main()
