"""Measure each statistics function and plain SQL on databases of different sizes, and whole WSGI calls."""

import json
import sqlite3
from contextlib import ExitStack, closing
from functools import partial

from werkzeug.test import create_environ, run_wsgi_app

from analytics_api import create_app, open_database
from analytics_api.context import Context
from analytics_api.endpoints.engagement import engagement
from analytics_api.endpoints.geo import geo
from analytics_api.endpoints.overview import overview
from analytics_api.endpoints.pages import top
from analytics_api.endpoints.realtime import realtime
from analytics_api.endpoints.sessions import daily
from analytics_api.endpoints.sources import sources

from . import data, plain
from .findings import Claim, Findings, Plot, Table, abbreviate
from .timing import side_by_side

KEY = "a-key-for-the-benchmark"
JUDGED = 2_000_000  # number of events at which targets are checked
GREATEST, LEAST = 20_000_000, 20_000

# For each endpoint: the function of this API, its query in plain SQL, and the maximum median time in seconds.
QUESTIONS = {
    "overview": (overview, plain.overview, 60e-6),
    "daily, 30 days": (partial(daily, days=30), partial(plain.daily, days=30), 60e-6),
    "daily, 90 days": (partial(daily, days=90), partial(plain.daily, days=90), 200e-6),
    "pages top": (partial(top, limit=20), plain.pages, 60e-6),
    "geo": (geo, plain.geo, 200e-6),
    "engagement": (engagement, plain.engagement, 60e-6),
    "sources": (partial(sources, limit=100), plain.sources, 60e-6),
    "realtime": (realtime, plain.realtime, 60e-6),
}
CALLS = {"/analytics/overview": 80e-6, "/analytics/pages/top": None, "/analytics/geo": None}


class Different(Exception):
    """A result differs from the result of plain SQL, so the measurement is invalid."""


def same(what, one, other):
    if one != other:
        raise Different(f"{what}:\n  ours  {one!r:.2000}\n  plain {other!r:.2000}")


def measure(options):
    sets = [data.Visits(size) for size in options.sizes]
    largest = max(size for size in options.sizes if size <= JUDGED or size == min(options.sizes))
    many = data.Visits(largest, pages=largest // 2)
    findings = Findings(
        "The statistics functions",
        [
            "Function calls in one process on an open connection. Plain SQL is one statement over the same rows, with "
            "covering indexes. Each result is compared with that of plain SQL before it is timed."
        ],
    )
    timings = {}
    with ExitStack() as opened:
        contexts, connections = {}, {}
        for one in [*sets, many]:
            database = opened.enter_context(open_database(data.ours(one)).closing())
            contexts[one] = Context(database, None, data.NOW)
            connections[one] = opened.enter_context(closing(sqlite3.connect(data.theirs(one))))
        for name, (ours, theirs, _) in QUESTIONS.items():
            print(f"functions: {name}", flush=True)
            subjects = {}
            for one in [*sets, many] if name == "pages top" else sets:
                same(f"{name} of {one.name}", ours(contexts[one]), theirs(connections[one], data.NOW))
                subjects["ours", one] = partial(ours, contexts[one])
                subjects["plain", one] = partial(theirs, connections[one], data.NOW)
            timings[name] = side_by_side(subjects)
        report(findings, timings, sets, many)
        findings.tables.append(calls(findings, contexts[data.Visits(largest)].db, largest))
    lines = {
        name + end: [(one.events, timing.figure((side, one)).median) for one in sets]
        for name, timing in timings.items()
        for side, end in (("ours", ""), ("plain", ", plain"))
    }
    findings.plots.append(Plot("functions", "A call; dashed: plain SQL", "events", "seconds", lines))
    return findings


def report(findings, timings, sets, many):
    largest = data.Visits(many.events)
    at = "" if largest.events == JUDGED else f"at {abbreviate(largest.events)} events"
    ends = (
        ""
        if (sets[0].events, sets[-1].events) == (LEAST, GREATEST)
        else f"{abbreviate(sets[0].events)} to {abbreviate(sets[-1].events)} events"
    )
    rows, growth = [], []
    for name, (_, _, bar) in QUESTIONS.items():
        timing = timings[name]
        figure = timing.figure(("ours", largest))
        findings.claims.append(Claim(f"{name}, {abbreviate(JUDGED)} events", bar, figure, scale=at))
        times = timing.ratio(("plain", largest), ("ours", largest))
        rows.append([name, figure, timing.figure(("plain", largest)), times])
        ratio = timing.ratio(("ours", sets[-1]), ("ours", sets[0]))
        findings.claims.append(
            Claim(f"{name}, {abbreviate(LEAST)} to {abbreviate(GREATEST)} events", 1.3, ratio, scale=ends)
        )
        growth.append([name, *(timing.figure(("ours", one)) for one in sets), ratio])
    ratio = timings["pages top"].ratio(("ours", many), ("ours", largest))
    findings.claims.append(Claim("pages top, 400 to 1M distinct pages", 1.5, ratio, scale=at))
    growth.append(
        [
            f"pages top of {abbreviate(many.pages)} pages",
            *("" for _ in sets[1:]),
            timings["pages top"].figure(("ours", many)),
            ratio,
        ]
    )
    findings.tables.append(
        Table(f"A call at {abbreviate(largest.events)} events", ["", "ours", "plain SQL", "plain / ours"], rows)
    )
    head = ["", *(f"{abbreviate(one.events)} events" for one in sets), "largest / smallest"]
    findings.tables.append(Table("This API with growing data", head, growth))


def calls(findings, database, events):
    """Measure one WSGI call without a server, with and without a cached response."""
    app = create_app(database, api_keys=[KEY], clock=lambda: data.NOW)
    environs = {path: create_environ(path, headers={"X-API-Key": KEY}) for path in CALLS}

    def again(path):
        return b"".join(app(dict(environs[path]), lambda status, headers: None))

    def uncached(path):
        database.response_cache().clear()
        return again(path)

    for path, environ in environs.items():
        body, status, _ = run_wsgi_app(app, dict(environ))
        if status != "200 OK" or json.loads(b"".join(body)) is None:
            raise Different(f"{path} responded with status {status}")
    timings = side_by_side({(way, path): partial(way, path) for path in CALLS for way in (uncached, again)})
    for path, bar in CALLS.items():
        if bar:
            at = "" if events == JUDGED else f"at {abbreviate(events)} events"
            findings.claims.append(Claim(f"whole WSGI call, {path}", bar, timings.figure((uncached, path)), scale=at))
    rows = [[f"`GET {path}`", timings.figure((uncached, path)), timings.figure((again, path))] for path in CALLS]
    head = ["", "key, route, query, JSON", "cached response"]
    return Table("A whole WSGI call in process", head, rows)
