"""Measure the memory of a worker of `analytics-api serve` over many requests."""

from pathlib import Path
from statistics import median

from . import data
from .findings import Claim, Figure, Findings, Plot, Table, abbreviate
from .serving import load, needed, running, serve

REQUESTS = 100_000
JUDGED = 2_000_000
SECONDS, CONNECTIONS = 1, 8
FULL = 0.2  # after this share of the requests, the caches are full
PATHS = (
    *("/analytics/overview", "/analytics/sessions/daily?days=90", "/analytics/pages/top", "/analytics/geo"),
    *("/analytics/engagement", "/analytics/sources", "/analytics/realtime", "/analytics/leads?limit=100"),
    *("/analytics/leads?q=sharma", "/analytics/leads?sort=name_asc&status=won", "/analytics/leads/77", "/healthz"),
)


def measure(options):
    needed()
    size = max(size for size in options.sizes if size <= JUDGED or size == min(options.sizes))
    findings = Findings(
        "Memory",
        [
            f"Resident memory of one worker with four threads, over {abbreviate(size)} events, with all kinds of "
            "requests in turn. The growth is the memory at the end, divided by the memory after "
            f"{FULL:.0%} of the requests."
        ],
    )
    with running(serve(workers=1), data.Visits(size)) as server:
        server.ask("overview")
        *_, worker = server.processes()
        sizes = [(0, resident(worker))]
        while sizes[-1][0] < REQUESTS:
            _, requests = load(server.port, PATHS, SECONDS, CONNECTIONS)
            sizes.append((sizes[-1][0] + requests, resident(worker)))
        if worker not in server.processes():
            raise RuntimeError("the worker was replaced during the measurement")
    settled = [memory for requests, memory in sizes if requests >= FULL * REQUESTS]
    last = settled[-max(1, len(settled) // 5) :]
    most = Figure(max(settled), max(settled), max(settled), "MB")
    growth = Figure.of([median(last) / settled[0]], "x")
    at = "" if size == JUDGED else f"at {abbreviate(size)} events"
    findings.claims += [
        Claim(f"memory of a worker over {abbreviate(REQUESTS)} requests", 60, most, scale=at),
        Claim("its growth after the first fifth", 1.05, growth, scale=at),
    ]
    marks = sizes[:: max(1, len(sizes) // 10)]
    findings.tables.append(
        Table("Megabytes", ["requests", "resident"], [[f"{n:,}", Figure.of([mb], "MB")] for n, mb in marks])
    )
    findings.plots.append(Plot("memory", "A worker's memory, MB", "requests", "MB", {"resident": sizes}, "linear"))
    return findings


def resident(pid):
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024 / 1e6
