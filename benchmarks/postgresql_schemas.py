"""Compare the rates of writes of two PostgreSQL schemas, in one run.

    python -m benchmarks.postgresql_schemas [--sessions 3000] [BASELINE OTHER ...]

Without names, version 2, which has no counters by day, is compared with postgresql.sql. A transaction inserts 100
sessions or their events by COPY, or updates 100 sessions one by one, as a tracker does during visits. The schemas take
turns on one temporary server. Rates are rows per second of CPU time of the server process, so that other programs have
little effect.
"""

import sys
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import psycopg

from analytics_api.database.postgresql import schema
from analytics_api.database.postgresql.statements import Statements

from .machine import ROOT
from .schemas import EVENT_COLUMNS, HEARTBEAT, HEARTBEAT_ON_PAGE, SESSION_COLUMNS, compare, parse_options

SCHEMAS = [
    ROOT / "tests" / "data" / "schemas" / "postgresql-2.sql",
    ROOT / "analytics_api" / "database" / "postgresql" / "postgresql.sql",
]


def copy(table, columns, cursor, rows):
    with cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin") as target:
        for row in rows:
            target.write_row(row)


def update(sql, cursor, rows):
    for row in rows:
        cursor.execute(sql.replace("?", "%s"), row, prepare=True)


WRITES = {
    "sessions": partial(copy, "sessions", SESSION_COLUMNS),
    "events": partial(copy, "events", EVENT_COLUMNS),
    "heartbeats": partial(update, HEARTBEAT),
    "heartbeats with a new exit page": partial(update, HEARTBEAT_ON_PAGE),
}


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


def write(connection, kind, rows):
    before = cpu_seconds(connection)
    with connection.transaction(), connection.cursor() as cursor:
        WRITES[kind](cursor, rows)
    return cpu_seconds(connection) - before


def main():
    options = parse_options("benchmarks.postgresql_schemas", __doc__, SCHEMAS, 3000)
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.postgres import Cluster

    cluster = Cluster("schemas", fsync="off", shared_buffers="400MB", max_wal_size="2GB").create()
    with ExitStack() as stack:
        stack.callback(cluster.remove)
        writers = []
        for number, path in enumerate(options.schemas):
            cluster.execute(f"create database schema_{number}")
            connection = stack.enter_context(closing(create(cluster.url(f"schema_{number}"), path)))
            writers.append(partial(write, connection))
        compare(options.schemas, writers, options.sessions)


if __name__ == "__main__":
    main()
