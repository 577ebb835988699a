"""Measure PostgreSQL and SQLite in one run: bulk load, import, copies, reads, and writes with counters.

    python benchmarks/postgresql.py [--sessions 200000] [--url postgresql://…]

Without a URL, a temporary server is started with default durability and a quarter of the memory for shared_buffers, as
PostgreSQL's manual recommends (19.4, "Resource Consumption"). The targets are: reads within 2 ms; 30k rows/s written
with 100 sessions per transaction; four writers at least as fast as one; bulk loads, imports and copies between the
engines faster than 100k rows/s.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg

from analytics_api import open_database
from analytics_api.context import Context
from analytics_api.endpoints.engagement import engagement
from analytics_api.endpoints.geo import geo
from analytics_api.endpoints.leads import detail, list_leads
from analytics_api.endpoints.overview import overview
from analytics_api.endpoints.pages import top
from analytics_api.endpoints.realtime import realtime
from analytics_api.endpoints.sessions import daily
from analytics_api.endpoints.sources import sources
from analytics_api.maintenance import demo
from analytics_api.maintenance.copy import copy
from benchmarks import data, writing

SESSIONS_A_TRANSACTION = 100

READS = {
    "overview": overview,
    "sessions/daily": lambda ctx: daily(ctx, 30),
    "pages/top": lambda ctx: top(ctx, 20),
    "geo": geo,
    "engagement": engagement,
    "sources": lambda ctx: sources(ctx, 100),
    "realtime": realtime,
    "leads": lambda ctx: list_leads(ctx, limit=25, offset=0, q=None, status=None, sort="newest"),
    "leads?q=": lambda ctx: list_leads(ctx, limit=25, offset=0, q="sharma", status=None, sort="newest"),
    "leads/:id": lambda ctx: detail(ctx, 77),
}


def loaded(database, batches):
    begun = time.perf_counter()
    rows = database.bulk(lambda at: sum(at.insert(table, demo.COLUMNS[table], rows) for table, rows in batches))
    return rows / (time.perf_counter() - begun)


def imported(url, file):
    """Import with the command into a new database, and return rows per second."""
    with open_database(url).closing() as database:
        return writing.imported(database, file)


def copied(source, url):
    """Copy like `analytics-api copy`, which reads back every row and verifies every counter. Return rows per second."""
    begun = time.perf_counter()
    with open_database(url).closing() as target:
        rows = sum(copy(source, target).values())
    return rows / (time.perf_counter() - begun)


def schemas(url, file):
    """Yield the URL of a database three times, each time with an empty schema.

    Before each time, delete the SQLite database `file`, and make the server finish its background work.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(3):
            for path in file.parent.glob(f"{file.name}*"):
                path.unlink()
            connection.execute("vacuum (analyze)")
            connection.execute("checkpoint")
            connection.execute("create schema empty")
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3Dempty%2Cpublic"
            connection.execute("drop schema empty cascade")


def reading(database, repeats=300):
    ctx = Context(database, None, data.NOW)
    for name, read in READS.items():
        taken = []
        for _ in range(repeats):
            begun = time.perf_counter()
            read(ctx)
            taken.append(time.perf_counter() - begun)
        yield name, median(taken[10:]) * 1000


def transactions(seed, count):
    """Yield sessions and their events, one batch for each transaction. The database generates the event ids."""
    plan = demo.Plan(data.NOW, sessions=count * SESSIONS_A_TRANSACTION, seed=seed)
    sessions, events = demo.sessions(plan), demo.events(plan)
    for _ in range(count):
        visits = list(islice(sessions, SESSIONS_A_TRANSACTION))
        yield visits, [row[1:] for row in islice(events, sum(row[7] for row in visits))]


def writer(url, seed, count, ready, done):
    batches = list(transactions(seed, count))
    rows = 0
    with open_database(url).closing() as database:
        ready.wait()
        for visits, events in batches:

            def write(at, visits=visits, events=events):
                return at.insert("sessions", demo.COLUMNS["sessions"], visits) + at.insert(
                    "events", demo.COLUMNS["events"][1:], events
                )

            rows += database.write(write)
        done.put((time.time(), rows))


def written(url, writers, count, seed):
    """Write from several processes, and return the rows per second of all together."""
    ready, done = multiprocessing.Barrier(writers + 1), multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=writer, args=[url, seed + number, count // writers, ready, done])
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    ready.wait()
    begun = time.time()
    ends = [done.get() for _ in processes]
    for process in processes:
        process.join()
    return sum(rows for _, rows in ends) / (max(end for end, _ in ends) - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=200_000)
    parser.add_argument("--transactions", type=int, default=120)
    parser.add_argument("--url", help="an empty database to use instead of a temporary server")
    options = parser.parse_args()

    cluster = None
    if not options.url:
        from helpers.postgres import Cluster

        quarter = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 // 2**20
        cluster = Cluster("benchmark", fsync="on", shared_buffers=f"{quarter}MB", max_wal_size="4GB").create()
        cluster.execute("create database benchmark")
        options.url = cluster.url("benchmark")
    visits = data.Visits(options.sessions * data.EVENTS_A_SESSION)
    batches = list(visits.batches())
    print(f"{sum(len(rows) for _, rows in batches):,} rows")
    print(f"{'':24}{'SQLite':>12}{'PostgreSQL':>12}")
    with tempfile.TemporaryDirectory() as folder:
        databases = [open_database(Path(folder) / "analytics.db"), open_database(options.url)]

        def line(name, values, unit):
            print(f"{name:24}" + "".join(f"{value:>12{unit}}" for value in values), flush=True)

        line("bulk load, rows/s", [loaded(database, batches) for database in databases], ",.0f")
        del batches
        events = Path(folder) / "events.csv"
        writing.csv_of(events, visits)
        there, here = Path(folder) / "copy.db", Path(folder) / "import.db"
        rates = [(copied(databases[1], there), copied(databases[0], url)) for url in schemas(options.url, there)]
        line("copied into it, rows/s", map(median, zip(*rates)), ",.0f")
        rates = [(imported(here, events), imported(url, events)) for url in schemas(options.url, here)]
        line("CSV imported, rows/s", map(median, zip(*rates)), ",.0f")
        for (name, one), (_, other) in zip(*map(reading, databases)):
            line(f"{name}, ms", [one, other], ".3f")
        for number, writers in enumerate((1, 4)):
            line(
                f"{writers} writer{'s' * (writers > 1)}, rows/s",
                [written(database.url, writers, options.transactions, 100 + 10 * number) for database in databases],
                ",.0f",
            )
        # Measure the reads again, because their plans were prepared before these writes.
        name, slowest = max(reading(databases[1], 100), key=lambda read: read[1])
        print(f"{f'then slowest: {name}, ms':36}{slowest:>12.3f}")
        for database in databases:
            if differences := database.verify():
                print(database.url, differences)
            database.close()
    if cluster:
        cluster.remove()


if __name__ == "__main__":
    main()
