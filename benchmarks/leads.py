"""Measure the list of leads in every order, its search, one lead and its update, and compare them with plain SQL."""

import random
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from functools import partial
from itertools import cycle
from urllib.parse import parse_qs

from analytics_api import open_database
from analytics_api.collector.leads import SELECT_BY_EMAIL, SELECT_BY_PHONE
from analytics_api.context import Context
from analytics_api.endpoints.leads import LIST_ORDERS, STATUSES, detail, list_leads, update_status

from . import data, plain
from .findings import Claim, Figure, Findings, Plot, Table, abbreviate
from .functions import same
from .machine import ROOT
from .timing import side_by_side

JUDGED = 1_000_000
LIMIT = 25
PAGES = 40
FRESH = 7  # new processes per search term
SETTLING = 2_000  # updates before the measured ones, because the first updates after a bulk load split full index pages

CHILD = "import sys; from benchmarks.leads import first; first(*sys.argv[1:])"


def needles(leads):
    """Return search terms with different numbers of matches, each with the limit of its median in seconds, or None."""
    return {
        "under 100": ("sharma" + "5432"[: len(str(leads)) - 4], 3e-3),
        "half": ("riverside", 60e-3),
        "half, at length": (data.RIVERSIDE.lower(), None),
        "two letters": ("sh", 100e-3),
    }


def measure(options):
    findings = Findings(
        "The leads",
        [
            f"Pages of {LIMIT}; each result is compared with that of plain SQL before it is timed. *The first time* is "
            "in a process that has just opened the database; the file is in the system's cache."
        ],
    )
    with ExitStack() as opened:
        contexts, connections = {}, {}
        for size in options.leads:
            one = data.Enquiries(size)
            contexts[size] = Context(opened.enter_context(open_database(data.ours(one)).closing()), None, data.NOW)
            connections[size] = opened.enter_context(closing(sqlite3.connect(data.theirs(one))))
        largest = options.leads[-1]
        at = "" if largest == JUDGED else f"at {abbreviate(largest)} leads"
        in_list_batches(findings, contexts[largest], connections[largest], largest, at)
        sizes(findings, contexts, connections)
        searches(findings, contexts[largest], connections[largest], largest, at)
        singles(findings, contexts[largest], connections[largest], largest, at)
    return findings


def ours(ctx, q=None, status=None, sort="newest", offset=0, cursor=None):
    return list_leads(ctx, limit=LIMIT, offset=offset, q=q, status=status, sort=sort, cursor=cursor)


def cursor_to(ctx, sort, offset):
    """Return the cursor for the page at an offset."""
    [cursor] = parse_qs(ours(ctx, sort=sort, offset=offset - LIMIT).next_query)["cursor"]
    return cursor


def theirs(connection, q=None, status=None, sort="newest", offset=0):
    return plain.leads(connection, LIMIT, offset, q, status, sort)


def in_list_batches(findings, ctx, connection, leads, at):
    print("leads: lists", flush=True)
    queries, halfway = {}, leads // 2
    for sort in LIST_ORDERS:
        for status in (None, *STATUSES):
            for page in (1, PAGES):
                queries[sort, status, page] = {"sort": sort, "status": status, "offset": (page - 1) * LIMIT}
        queries[sort, None, "deep"] = {"sort": sort, "offset": halfway}
    for what, page in queries.items():
        same(f"leads {what}", ours(ctx, **page), theirs(connection, **page))
    for sort in LIST_ORDERS:
        queries[sort, None, "cursor"] = {"sort": sort, "cursor": cursor_to(ctx, sort, halfway)}
        same(f"leads by cursor, {sort}", *(ours(ctx, **queries[sort, None, way]) for way in ("cursor", "deep")))
    timings = side_by_side({what: partial(ours, ctx, **page) for what, page in queries.items()})

    def worst(of):
        return max((timings.figure(what) for what in of), key=lambda figure: figure.median)

    def pages(sort, number):
        return [what for what in queries if what[0] == sort and what[2] == number]

    deep = [what for what in queries if what[2] == "deep"]
    behind = [what for what in queries if what[2] == "cursor"]
    shallow = [what for what in queries if what[2] in (1, PAGES)]
    findings.claims += [
        Claim(f"leads, any order and status, page 1 to {PAGES}", 1e-3, worst(shallow), scale=at),
        Claim(f"leads, any order, offset {abbreviate(JUDGED // 2)}", 30e-3, worst(deep), scale=at),
        Claim(f"leads, any order, the same {abbreviate(JUDGED // 2)} deep by cursor", 1e-3, worst(behind), scale=at),
    ]
    findings.tables.append(
        Table(
            f"A page of {abbreviate(leads)} leads, the slowest of all statuses",
            ["order", "page 1", f"page {PAGES}", f"offset {halfway:,}", "there by cursor"],
            [[sort, *(worst(pages(sort, number)) for number in (1, PAGES, "deep", "cursor"))] for sort in LIST_ORDERS],
        )
    )


def sizes(findings, contexts, connections):
    """Measure the first page and plain SQL at all sizes."""
    subjects = {}
    for size, ctx in contexts.items():
        for name, query in {
            "newest": {},
            "score_desc": {"sort": "score_desc"},
            "search of half": {"q": "riverside"},
        }.items():
            same(f"leads {name}", ours(ctx, **query), theirs(connections[size], **query))
            subjects[f"{name}", size] = partial(ours, ctx, **query)
            subjects[f"{name}, plain", size] = partial(theirs, connections[size], **query)
    timings = side_by_side(subjects)
    names = dict.fromkeys(name for name, _ in subjects)
    lines = {name: [(size, timings.figure((name, size)).median) for size in contexts] for name in names}
    findings.plots.append(
        Plot("leads", "The first page of the leads, with the total; dashed: plain SQL", "leads", "seconds", lines)
    )
    findings.tables.append(
        Table(
            "The first page with growing data",
            ["", *(f"{abbreviate(size)} leads" for size in contexts)],
            [[name, *(timings.figure((name, size)) for size in contexts)] for name in names],
        )
    )


def searches(findings, ctx, connection, leads, at):
    print("leads: search", flush=True)
    terms = needles(leads)
    subjects, counts = {}, {}
    for name, (needle, _) in terms.items():
        answer = ours(ctx, q=needle)
        counts[name] = answer["total"]
        same(f"leads with {needle!r}", answer, theirs(connection, q=needle))
        subjects["ours", name] = partial(ours, ctx, q=needle)
        subjects["plain", name] = partial(theirs, connection, q=needle)
    timings = side_by_side(subjects)
    fresh = {name: [] for name in terms}
    for _ in range(FRESH):
        for name, (needle, _) in terms.items():
            command = [sys.executable, "-c", CHILD, ctx.db.url, needle]
            fresh[name].append(float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout))
    rows = []
    for name, (needle, bar) in terms.items():
        again, first_time = timings.figure(("ours", name)), Figure.of(fresh[name])
        if bar:
            findings.claims += [
                Claim(f"search that finds {name}, the first time", bar, first_time, scale=at),
                Claim(f"search that finds {name}, again", bar, again, scale=at),
            ]
        ratio = timings.ratio(("plain", name), ("ours", name))
        rows.append([f"`{needle}`, {counts[name]:,} found", first_time, again, timings.figure(("plain", name)), ratio])
    head = ["", "the first time", "again", "plain SQL", "plain / ours"]
    findings.tables.append(Table(f"Search in {abbreviate(leads)} leads, with the total", head, rows))


def first(path, needle):
    """Print the time of the first response in this process, in seconds."""
    with open_database(path).closing() as database:
        ctx = Context(database, None, data.NOW)
        begun = time.perf_counter()
        ours(ctx, q=needle)
        print(time.perf_counter() - begun)


def without_comparisons(answer):
    """Return the detail of a lead without the parts that plain.py does not compute."""
    lead, submissions = answer["lead"], answer["submissions"]
    return {
        **answer,
        "lead": {name: value for name, value in lead.items() if name not in ("first_session", "other_leads")},
        "submissions": [{name: value for name, value in row.items() if name != "changes"} for row in submissions],
    }


def singles(findings, ctx, connection, leads, at):
    """Measure a random lead: its detail, and its update in a copy of the database."""
    print("leads: detail and move", flush=True)
    numbers = random.Random(1).choices(range(1, leads + 1), k=2_000)
    for lead in numbers[:50]:
        same(f"lead {lead}", without_comparisons(detail(ctx, lead)), plain.lead(connection, lead))
    ids, moves = cycle(numbers), cycle(zip(numbers * len(STATUSES), cycle(STATUSES)))
    with data.scratch(data.ours(data.Enquiries(leads))) as path, open_database(path).closing() as database:
        copy = Context(database, None, data.NOW, "benchmark")

        def synchronous(how):
            # The default is `full`, which the API does not change.
            database._with_handle(lambda handle: handle.statements.execute(f"pragma synchronous = {how}"))

        def moved():
            lead, stage = next(moves)
            update_status(copy, lead, stage)

        subjects = {
            "detail, ours": lambda: detail(ctx, next(ids)),
            "detail, plain": lambda: plain.lead(connection, next(ids)),
            "move, without the disk's sync": moved,
        }
        synchronous("off")
        timings = side_by_side(subjects)
        for _ in range(SETTLING):
            moved()
        later = f"the same, {SETTLING:,} moves later"
        settled = side_by_side({later: moved})
        synchronous("full")
        durable = side_by_side({"move, as it is": moved})
        same("counters after moves", database.verify(), [])
    findings.claims += [
        Claim("lead detail", 0.3e-3, timings.figure("detail, ours"), scale=at),
        Claim("PATCH function without sync to disk", 0.3e-3, timings.figure("move, without the disk's sync"), scale=at),
    ]
    rows = [[name, timings.figure(name)] for name in subjects]
    matches = side_by_side(match_subjects(ctx.db, connection))
    findings.claims += [Claim(name, 0.1e-3, matches.figure(name), scale=at) for name in matches.rounds]
    rows += [[name, matches.figure(name)] for name in matches.rounds]
    rows += [[name, taken.figure(name)] for taken in (settled, durable) for name in taken.rounds]
    findings.tables.append(Table(f"One of {abbreviate(leads)} leads", ["", "a call"], rows))


def match_subjects(database, connection):
    """Return the collector's searches for a lead with the e-mail address, and with the phone number, of a form."""
    select = (
        "select contact_email, contact_phone from leads where contact_email is not null and contact_phone is not null"
    )
    mails, phones = zip(*connection.execute(f"{select} and lead_id % 331 = 0 limit 2000"))
    mails, phones = cycle(mails), cycle([{"digits": re.sub("[^0-9]", "", phone), "phone": phone} for phone in phones])
    return {
        "match of a mail": lambda: database.rows(SELECT_BY_EMAIL, email=next(mails)),
        "match of a phone": lambda: database.rows(SELECT_BY_PHONE, **next(phones)),
    }
