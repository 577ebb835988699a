"""Measure requests per second over HTTP: this API, an empty application, and frameworks with plain SQL."""

from contextlib import ExitStack

from . import data
from .apps import REQUESTS
from .findings import Claim, Figure, Findings, Plot, Table, abbreviate
from .functions import same
from .serving import WORKERS, granian, gunicorn, needed, running, serve, uvicorn, wait_until_idle

JUDGED = 2_000_000
ROUNDS, SECONDS, CONNECTIONS = 10, 1, 8  # with many short rounds, changes in the machine's load affect all servers
SLOW_ROUNDS, SLOW_SECONDS = 3, 4  # slow servers get as many concurrent requests as they have workers
THREADED = ("--worker-class", "gthread", "--threads", "4", "--keep-alive", "5")

# For each server, the commands that serve this API and the empty application.
PAIRS = {
    "gunicorn sync": (gunicorn("ours"), gunicorn("empty")),
    "`analytics-api serve`": (serve(), gunicorn("empty_served", *THREADED)),
    "granian": (granian("ours"), granian("empty")),
}
PLAIN = {
    "Flask, gunicorn sync": gunicorn("flask"),
    "Flask, granian": granian("flask"),
    "FastAPI, uvicorn": uvicorn("fastapi"),
    "Datasette, uvicorn": uvicorn("datasette"),
}
UNCACHED = gunicorn("ours_uncached")
AGAINST_FLASK = {"gunicorn sync": "Flask, gunicorn sync", "granian": "Flask, granian"}


def measure(options):
    needed()
    size = max(size for size in options.sizes if size <= JUDGED or size == min(options.sizes))
    visits, at = data.Visits(size), "" if size == JUDGED else f"at {abbreviate(size)} events"
    findings = Findings(
        "Over HTTP",
        [
            f"{WORKERS} workers each; `wrk` runs on the same machine with {CONNECTIONS} connections; "
            f"{abbreviate(size)} events. The empty application sends the same bytes as this API. "
            "gunicorn's sync workers close each connection, other workers keep it open. Datasette runs canned queries.",
            "The database is not written, so this API sends cached responses. With gunicorn sync it is also measured "
            "without cached responses, as if something were written before every request.",
        ],
    )
    canned = {question: f"/plain/{question}.json?_shape=array&limit=20" for question in REQUESTS}
    with ExitStack() as opened:
        servers = {}
        for server, (ours, empty) in PAIRS.items():
            servers["ours", server] = opened.enter_context(running(ours, visits))
            servers["empty", server] = opened.enter_context(running(empty, visits))
        servers["uncached", "gunicorn sync"] = opened.enter_context(running(UNCACHED, visits))
        for server, command in PLAIN.items():
            paths = canned if server.startswith("Datasette") else None
            servers["plain", server] = opened.enter_context(running(command, visits, paths))
        checked(servers)
        rates = {}
        for question in REQUESTS:
            print(f"throughput: {question}", flush=True)
            rates[question] = rounds(servers, question)
    report(findings, rates, at)
    return findings


def checked(servers):
    """Check that all servers return the same data.

    The empty application must send the same bytes as this API, and headers with the same names.
    """
    for question in REQUESTS:
        answer = servers["ours", "gunicorn sync"].json(question)
        for (side, server), other in servers.items():
            same(f"{question} of {side}, {server}", answer, other.json(question))
        for server in PAIRS:
            (headers, body), (others, other) = (servers[side, server].ask(question) for side in ("ours", "empty"))
            same(f"bytes of {question}, {server}", body, other)
            same(f"headers of {question}, {server}", sorted(headers.keys()), sorted(others.keys()))


def rounds(servers, question):
    """Return the requests per second of each server in each round."""
    rates = {name: {} for name in servers}
    names = list(servers)
    for number in range(ROUNDS):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name[0] != "plain":
                rates[name][number] = servers[name].rate(question, SECONDS, CONNECTIONS)
            elif number < SLOW_ROUNDS:
                rates[name][number] = servers[name].rate(question, SLOW_SECONDS, WORKERS)
            wait_until_idle(servers[name].process.pid)
    return rates


def report(findings, rates, at):
    def ratio(question, name, base):
        both = rates[question][name].keys() & rates[question][base].keys()
        least = 1 / SLOW_SECONDS  # the rate of a server that sent no response
        return Figure.of(
            [rates[question][name][number] / max(rates[question][base][number], least) for number in both], "x"
        )

    def rate(question, name):
        return Figure.of(rates[question][name].values(), "/s")

    for server in PAIRS:
        rows, head = [], ["", "ours", "empty", "ours / empty"]
        for question, (path, _) in REQUESTS.items():
            against = ratio(question, ("ours", server), ("empty", server))
            both_rates = [rate(question, (side, server)) for side in ("ours", "empty")]
            rows.append([f"`GET {path}`", *both_rates, against])
            if ("uncached", server) in rates[question]:
                head[4:] = ["uncached", "uncached / empty"]
                rows[-1] += [
                    rate(question, ("uncached", server)),
                    ratio(question, ("uncached", server), ("empty", server)),
                ]
            if server != "granian":
                findings.claims.append(Claim(f"{path} against an empty app, {server}", 0.85, against, True, at))
        findings.tables.append(Table(f"On {server}, against an empty application", head, rows))
    rows = []
    for question, (path, _) in REQUESTS.items():
        for server in PLAIN:
            name = ("plain", server)
            times = [ratio(question, (side, ours), name) for ours in AGAINST_FLASK for side in ("ours", "empty")]
            rows.append([f"`GET {path}`: {server}", rate(question, name), *times])
        for server, flask in AGAINST_FLASK.items():
            times = ratio(question, ("ours", server), ("plain", flask))
            findings.claims.append(Claim(f"{path} against Flask with plain SQL, {server}", 500, times, True, at))
    head = ["", "requests a second"]
    head += [f"{side} on {server} / this" for server in AGAINST_FLASK for side in ("ours", "an empty app")]
    findings.tables.append(Table("Against plain SQL", head, rows))
    for question in REQUESTS:
        bars = {
            f"{side}, {server}".replace("`", ""): [(0, rate(question, (side, server)).median)]
            for side, server in rates[question]
        }
        findings.plots.append(Plot(f"throughput-{question}", f"{question}: requests a second", "", "/s", bars, "bars"))
