"""Measure writes with triggers, bulk loads, `analytics-api import` and `verify`."""

import csv
import heapq
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

from analytics_api import open_database
from analytics_api.maintenance import demo

from . import data
from .findings import Claim, Figure, Findings, Plot, Table, abbreviate
from .functions import same

SESSIONS_A_TRANSACTION = 100
TRANSACTIONS = 60
JUDGED = 2_000_000  # number of events at which targets are checked
GREATEST, LEAST = 20_000_000, 20_000
ROUNDS = 3
COMMAND = Path(sys.executable).with_name("analytics-api")
TRIGGERS = "select name from sqlite_schema where type = 'trigger'"


def measure(options):
    findings = Findings(
        "Writing", [f"Transactions of {SESSIONS_A_TRANSACTION} sessions with their events, one writer."]
    )
    triggers(findings, options.sizes)
    size = max(size for size in options.sizes if size <= JUDGED or size == min(options.sizes))
    bulk(findings, size, "" if size == JUDGED else f"at {abbreviate(size)} events")
    return findings


def transactions():
    """Yield sessions and events of the day after the data set. The database generates the event ids."""
    plan = demo.Plan(data.NOW + demo.DAY_MS, sessions=TRANSACTIONS * SESSIONS_A_TRANSACTION, leads=0, days=1, seed=2)
    sessions, events = demo.sessions(plan), demo.events(plan)
    while visits := list(islice(sessions, SESSIONS_A_TRANSACTION)):
        yield visits, [row[1:] for row in islice(events, sum(row[7] for row in visits))]


def written(database, visits, events):
    """Write a transaction, and return the seconds for the sessions, for the events, and in total."""

    def write(at):
        begun = time.perf_counter()
        at.insert("sessions", demo.COLUMNS["sessions"], visits)
        between = time.perf_counter()
        at.insert("events", demo.COLUMNS["events"][1:], events)
        return between - begun, time.perf_counter() - between

    begun = time.perf_counter()
    taken = database.write(write)
    return *taken, time.perf_counter() - begun


def triggers(findings, sizes):
    bare = max(size for size in sizes if size <= JUDGED or size == min(sizes))
    subjects = [*((size, "with counters") for size in sizes), (bare, "without")]
    rates = {(subject, what): [] for subject in subjects for what in ("sessions", "events", "rows")}
    rows, seconds = dict.fromkeys(subjects, 0), dict.fromkeys(subjects, 0.0)
    with ExitStack() as opened:
        databases = {}
        for size, how in subjects:
            path = opened.enter_context(data.scratch(data.ours(data.Visits(size)), f"written-{len(databases)}.db"))
            databases[size, how] = database = opened.enter_context(open_database(path).closing())
            if how == "without":
                for trigger in database.rows(TRIGGERS):
                    database.write(lambda at, name=trigger["name"]: at.execute(f"drop trigger {name}"))
        print("writing: transactions", flush=True)
        for number, (visits, events) in enumerate(transactions()):
            turn = number % len(subjects)
            for subject in subjects[turn:] + subjects[:turn]:
                of_sessions, of_events, whole = written(databases[subject], visits, events)
                commit = whole / (of_sessions + of_events)  # a factor that adds the time of the commit to both
                rates[subject, "sessions"].append(len(visits) / (of_sessions * commit))
                rates[subject, "events"].append(len(events) / (of_events * commit))
                rates[subject, "rows"].append((len(visits) + len(events)) / whole)
                rows[subject] += len(visits) + len(events)
                seconds[subject] += whole
        same("counters after writes", databases[sizes[0], "with counters"].verify(), [])

    def ratio(one, other):
        return Figure.of([a / b for a, b in zip(rates[one, "rows"], rates[other, "rows"])], "x")

    small, large = (sizes[0], "with counters"), (sizes[-1], "with counters")
    at = "" if bare == JUDGED else f"at {abbreviate(bare)} events"
    ends = (
        ""
        if (sizes[0], sizes[-1]) == (LEAST, GREATEST)
        else f"{abbreviate(sizes[0])} to {abbreviate(sizes[-1])} events"
    )
    judged = (bare, "with counters")
    findings.claims += [
        Claim("events written", 60_000, Figure.of(rates[judged, "events"], "/s"), True, at),
        Claim("sessions written", 20_000, Figure.of(rates[judged, "sessions"], "/s"), True, at),
        Claim(
            f"write rate, {abbreviate(GREATEST)} against {abbreviate(LEAST)} events",
            0.7,
            ratio(large, small),
            True,
            ends,
        ),
    ]
    findings.tables.append(
        Table(
            "With triggers, including commit and sync",
            ["", "events", "sessions", "both", "both, to the smallest", "both, over all transactions"],
            [
                [f"{abbreviate(size)} events, {how}"]
                + [Figure.of(rates[(size, how), what], "/s") for what in ("events", "sessions", "rows")]
                + [ratio((size, how), small), f"{rows[size, how] / seconds[size, how]:,.0f}/s"]
                for size, how in subjects
            ]
            + [[f"{abbreviate(bare)} events, with / without", "", "", "", ratio(judged, (bare, "without")), ""]],
        )
    )
    lines = {
        what: [(size, Figure.of(rates[(size, "with counters"), what]).median) for size in sizes]
        for what in ("events", "sessions", "rows")
    }
    findings.plots.append(
        Plot("writing", "Rows written per second, with counters", "events in the database", "/s", lines)
    )


def bulk(findings, size, at):
    """Load the same number of events by `Database.bulk` and from two kinds of files. Verify each database once."""
    one = data.Visits(size)
    files = {
        "CSV": data.cached(f"{one.name}-csv", one, csv_of, "benchmarks/writing.py"),
        "access log": data.cached(f"{one.name}-log", one, log_of, "benchmarks/writing.py"),
    }
    rates = {name: [] for name in ("Database.bulk", *files)}
    for number in range(ROUNDS):
        print("writing: bulk and imports", flush=True)
        for name, taken in rates.items():
            with data.scratch(None) as path, open_database(path).closing() as database:
                taken.append(imported(database, files[name]) if name in files else loaded(database, one))
                if not number:
                    same(f"counters after {name}", database.verify(), [])
    checked = []
    with open_database(data.ours(one)).closing() as database:
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            same("counters", database.verify(), [])
            checked.append(time.perf_counter() - begun)
    labels = {
        "Database.bulk": "`Database.bulk` of generated rows, without the time of generating them",
        "CSV": "`analytics-api import` of a CSV of events",
        "access log": "`analytics-api import` of an access log",
    }
    findings.claims += [
        Claim(f"bulk: {name}", 250_000, Figure.of(taken, "/s"), True, at) for name, taken in rates.items()
    ]
    findings.claims.append(Claim(f"verify over {abbreviate(JUDGED)} events", 15, Figure.of(checked), scale=at))
    rows = [[labels[name], Figure.of(taken, "/s")] for name, taken in rates.items()]
    head = ["", "rows a second, counters built"]
    findings.tables.append(Table(f"In bulk, {abbreviate(size)} events into an empty database", head, rows))
    findings.tables.append(Table("`verify`", ["", "in all"], [[f"{abbreviate(size)} events", Figure.of(checked)]]))


def loaded(database, one):
    """Load the rows by `Database.bulk`, and return rows per second without the time to generate them."""
    making = 0.0
    batches = one.batches()

    def load(at):
        nonlocal making
        rows = 0
        while True:
            begun = time.perf_counter()
            batch = next(batches, None)
            making += time.perf_counter() - begun
            if batch is None:
                return rows
            rows += at.insert(batch[0], demo.COLUMNS[batch[0]], batch[1])

    begun = time.perf_counter()
    rows = database.bulk(load)
    return rows / (time.perf_counter() - begun - making)


def imported(database, file):
    """Import a file, and return the rows per second of the whole command."""
    with NamedTemporaryFile() as rejects:
        command = [COMMAND, "import", "-d", database.url, "--rejects", rejects.name, file]
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken = time.perf_counter() - begun
    counts = database.rows("select (select count(*) from sessions) + (select count(*) from events) as rows")
    return counts[0]["rows"] / taken


def csv_of(path, one):
    with path.open("w", newline="", encoding="utf-8") as file:
        written = csv.writer(file)
        written.writerow(demo.COLUMNS["events"])
        written.writerows(row for table, rows in one.batches() if table == "events" for row in rows)


def log_of(path, one):
    """Write an access log with as many page views as the data set has events."""
    with path.open("w", encoding="utf-8") as file:
        for at, _, session, page in by_time(one):
            number = int(session.rpartition("_")[2], 16)
            address = ".".join(str(number >> shift & 255) for shift in (8, 16, 24, 32))
            when = datetime.fromtimestamp(at // 1000, timezone.utc).strftime("%d/%b/%Y:%H:%M:%S +0000")
            target = page.removeprefix("https://example.com")
            file.write(
                f'{address} - - [{when}] "GET {target} HTTP/1.1" 200 {number % 9000} "-" '
                f'"Mozilla/5.0 (X11; Linux x86_64; rv:{number % 40 + 100}.0) Gecko/20100101 Firefox/130.0"\n'
            )


def by_time(one):
    """Yield the events in chronological order. Only events of overlapping sessions are in memory."""
    waiting = []
    last = None
    for table, rows in one.batches():
        for event, session, _, page, at, _ in rows if table == "events" else ():
            if session != last:  # sessions are sorted by their start
                while waiting and waiting[0][0] <= at:
                    yield heapq.heappop(waiting)
                last = session
            heapq.heappush(waiting, (at, event, session, page))
    while waiting:
        yield heapq.heappop(waiting)
