"""Measure the page views that the collector commits per second, and the response times of page views and of reads."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, nullcontext
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from statistics import median

from analytics_api import open_database

from .findings import Claim, Figure, Findings, Table
from .machine import ROOT
from .serving import BIN, WORKERS, listens, needed, processes, ticks, wait_until_idle

sys.path.insert(0, str(ROOT / "tests"))

from helpers import postgres

ROUNDS, SECONDS, CONNECTIONS = 3, 8, 64
READS = 1_000  # few enough to end before the page views
PACED = 1_500  # page views a second that are sent without reads
BESIDE = 1_000  # page views a second that are sent during reads
REACHED = 0.98  # the share of PACED and BESIDE that must be reached, so that the other figures are valid
KEY = "a-key-of-the-benchmarks-only"
READ = "/analytics/sessions/daily"


class Load:
    """The result of `wrk --latency`."""

    def __init__(self, output):
        if "Non-2xx" in output:
            raise RuntimeError(f"wrk counted failed responses: {output}")
        self.requests = int(re.search(r"(\d+) requests in", output)[1])
        self.rate = float(re.search(r"Requests/sec: +([\d.]+)", output)[1])
        self.median, self.p99 = (self.seconds(output, percentile) for percentile in ("50", "99"))

    @staticmethod
    def seconds(output, percentile):
        number, unit = re.search(rf"{percentile}% +([\d.]+)(us|ms|s)", output).groups()
        return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]


def measure(options):
    needed()
    findings = Findings(
        "Collecting",
        [
            f"`POST /collect` with one page view each, of 20,000 visitors; {WORKERS} workers; `wrk` runs on the same "
            f"machine with {CONNECTIONS} connections, in a closed loop and at {PACED:,} a second. Each response comes "
            f"after the commit. The reads are `GET {READ}`, in turn with no page views and with {BESIDE:,} a second.",
        ],
    )
    for engine in ("SQLite", "PostgreSQL"):
        with database(engine) as (url, database_pids), serving(url) as (port, server_pid):
            loads, paced, beside, idle, busy, cpu = [], [], [], [], [], []
            for number in range(ROUNDS):
                print(f"collecting: {engine}, round {number + 1} of {ROUNDS}", flush=True)
                before = cpu_seconds(server_pid, *database_pids)
                loads.append(load(port, f"{engine}-{number}"))
                cpu.append((cpu_seconds(server_pid, *database_pids) - before) / loads[-1].requests)
                paced.append(load(port, f"{engine}-paced-{number}", PACED))
                idle.append(reads(port, nullcontext()))
                busy.append(reads(port, loading(port, f"{engine}-beside-{number}", beside)))
            with open_database(url).closing() as opened:
                assert opened.verify() == []
                [(views,)] = opened.tuples("select count(*) from events")
        report(findings, engine, loads, paced, beside, idle, busy, cpu, views)
    return findings


def cpu_seconds(*pids):
    """Return the CPU time of processes and their children."""
    return sum(ticks(child) for pid in pids for child in processes(pid)) / os.sysconf("SC_CLK_TCK")


def report(findings, engine, loads, paced, beside, idle, busy, cpu, views):
    rate = Figure.of([load.rate for load in loads], "/s")
    response, p99 = Figure.of([load.median for load in loads]), Figure.of([load.p99 for load in loads])
    paced_rate, paced_median = (
        Figure.of([load.rate for load in paced], "/s"),
        Figure.of([load.median for load in paced]),
    )
    beside_rate = Figure.of([load.rate for load in beside], "/s")
    ratios = [median(after) / median(before) for before, after in zip(idle, busy)]
    findings.claims += [
        Claim(f"page views, {engine}", 2_500, rate, least=True),
        Claim(f"median response, {engine}", 0.040, response),
        Claim(f"99th percentile, {engine}", 0.150, p99),
        Claim(f"page views, paced at {PACED:,} a second, {engine}", REACHED * PACED, paced_rate, least=True),
        Claim(f"median response at {PACED:,} a second, {engine}", 0.015, paced_median),
        Claim(
            f"page views beside reads, paced at {BESIDE:,} a second, {engine}",
            REACHED * BESIDE,
            beside_rate,
            least=True,
        ),
        Claim(f"reads beside collecting, {engine}", 2, Figure.of(ratios, "x")),
    ]
    rows = [
        *(["page views", rate], ["median", response], ["99th percentile", p99]),
        ["CPU time of a page view, without `wrk`", Figure.of(cpu)],
        *(["page views, paced", paced_rate], ["median, paced", paced_median]),
        ["page views beside reads", beside_rate],
        ["read alone", Figure.of(chain.from_iterable(idle))],
        ["read beside", Figure.of(chain.from_iterable(busy))],
        ["stored views, verified", f"{views:,}"],
    ]
    findings.tables.append(Table(engine, ["", ""], rows))


@contextmanager
def database(engine):
    if engine == "SQLite":
        with tempfile.TemporaryDirectory(prefix="analytics-collecting-") as folder:
            open_database(Path(folder, "analytics.db")).close()
            yield str(Path(folder, "analytics.db")), []
    else:
        cluster = postgres.Cluster("collecting", fsync="on", full_page_writes="on").create()
        try:
            open_database(cluster.url()).close()
            yield cluster.url(), [cluster.process.pid]
        finally:
            cluster.remove()


@contextmanager
def serving(url):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        "PATH": os.environ["PATH"],
        "ANALYTICS_API_KEY": KEY,
        "ANALYTICS_DATABASE": url,
        "ANALYTICS_COLLECT_HOSTS": "shop.example",
        "ANALYTICS_TRUSTED_PROXIES": "1",
    }
    command = [BIN / "analytics-api", "serve", "--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS)]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the server did not start")
            time.sleep(0.05)
        wait_until_idle(process.pid)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(40)


def load(port, prefix, rate=None):
    """Send `rate` page views a second, or as many as the server accepts if there is no rate. Return the Load."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "--timeout", "30s"]
    command += ["-s", str(ROOT / "benchmarks" / "collect.lua"), f"http://127.0.0.1:{port}", "--", prefix]
    command += [] if rate is None else [str(rate)]
    return Load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@contextmanager
def loading(port, prefix, loads):
    """Send BESIDE page views a second while the block runs, and append the Load to `loads`."""
    thread = threading.Thread(target=lambda: loads.append(load(port, prefix, BESIDE)))
    thread.start()
    time.sleep(0.5)
    yield
    thread.join()


def reads(port, beside):
    """Return the durations of reads on one connection, while the context manager `beside` is active."""
    durations = []
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    with beside:
        for number in range(READS):
            begun = time.perf_counter()
            connection.request("GET", f"{READ}?days={number % 90 + 1}", headers={"X-API-Key": KEY})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
            durations.append(time.perf_counter() - begun)
    connection.close()
    return durations
