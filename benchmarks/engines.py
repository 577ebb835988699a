"""Measure the functions in QUESTIONS on Python's SQLite and on the newest one, and run the benchmark of PostgreSQL."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Timer

from analytics_api import open_database
from analytics_api.context import Context

from . import data
from .findings import Claim, Findings, Table, abbreviate
from .functions import QUESTIONS, same
from .machine import ROOT
from .timing import MOST_CALLS, ROUNDS, Timings, timed

JUDGED = 2_000_000
TIMEOUT = 600  # seconds after which the measurement of PostgreSQL is interrupted
LIBRARIES = ("sqlite3", "pysqlite3")  # Python's own SQLite library, and the newest one on PyPI

# Replace the module sqlite3 before the package imports it, so that the package uses the given library.
CHILD = """
import sys
sys.modules["sqlite3"] = __import__(sys.argv[1])
from benchmarks.engines import answer
answer(*sys.argv[2:])
"""


def measure(options):
    size = max(size for size in options.sizes if size <= JUDGED or size == min(options.sizes))
    one = data.Visits(size)
    timings = {name: Timings() for name in QUESTIONS}
    with ExitStack() as opened:
        callers = {library: opened.enter_context(asking(library, one)) for library in LIBRARIES}
        versions = {library: ask("version") for library, ask in callers.items()}
        for name in QUESTIONS:
            print(f"engines: {name}", flush=True)
            answers = [ask("answer", name) for ask in callers.values()]
            same(f"{name} of both libraries", *answers)
            for number in range(ROUNDS):
                for library in LIBRARIES if number % 2 else LIBRARIES[::-1]:
                    timings[name].add(library, number, callers[library]("seconds", name))
    findings = Findings(
        "On other engines",
        [
            "The linked SQLite and the newest from PyPI, in separate processes that run in turn; all results equal "
            "those of plain SQL. PostgreSQL is a temporary server with default durability."
        ],
    )
    rows = []
    for name, (_, _, bar) in QUESTIONS.items():
        figures = [timings[name].figure(library) for library in LIBRARIES]
        rows.append([name, *figures, timings[name].ratio(*reversed(LIBRARIES))])
        at = "" if size == JUDGED else f"at {abbreviate(size)} events"
        findings.claims.append(Claim(f"{name}, SQLite {versions['pysqlite3']}", bar, figures[1], scale=at))
    head = ["", *(f"SQLite {versions[library]}" for library in LIBRARIES), "newest / linked"]
    findings.tables.append(Table(f"A call at {abbreviate(size)} events", head, rows))
    findings.tables += postgresql(size // data.EVENTS_A_SESSION)
    return findings


@contextmanager
def asking(library, one):
    """Yield a function that sends requests to a process with this library, one request per line."""
    command = [sys.executable, "-c", CHILD, library, str(data.ours(one)), str(data.theirs(one))]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(what, name=None):
            print(json.dumps([what, name]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        try:
            yield ask
        finally:
            process.stdin.close()


def answer(ours, theirs):
    """Read requests from standard input, and print the results."""
    with open_database(ours).closing() as database, closing(sqlite3.connect(theirs)) as connection:
        ctx = Context(database, None, data.NOW)
        for line in sys.stdin:
            what, name = json.loads(line)
            if what == "version":
                result = sqlite3.sqlite_version
            else:
                question = partial(QUESTIONS[name][0], ctx)
                if what == "answer":
                    result = question()
                    same(f"{name}, SQLite {sqlite3.sqlite_version}", result, QUESTIONS[name][1](connection, data.NOW))
                else:
                    result = [timed(question) for _ in range(MOST_CALLS)]
            print(json.dumps(result), flush=True)


def postgresql(sessions):
    """Yield the output of benchmarks/postgresql.py as a table, even if it was interrupted.

    Yield nothing if PostgreSQL is not installed.
    """
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("engines: PostgreSQL is not installed and is skipped; run apt-get install postgresql", flush=True)
        return
    print("engines: PostgreSQL", flush=True)
    command = [sys.executable, "benchmarks/postgresql.py", "--sessions", str(sessions)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        clock = Timer(TIMEOUT, process.send_signal, [signal.SIGINT])  # on SIGINT it stops its server
        clock.start()
        try:
            title, *lines = process.stdout.read().splitlines() or ["which did not start"]
        except BaseException:
            process.send_signal(signal.SIGINT)
            raise
        finally:
            clock.cancel()
    rows = [row for line in lines if len(row := re.split(r"  +", line.strip())) == 3]
    ended = "" if process.returncode == 0 else ", broken off"
    yield Table(f"PostgreSQL, {title}{ended}", ["", "SQLite", "PostgreSQL"], rows)
