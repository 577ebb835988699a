"""Measure conversions, the pipeline, the board, filters of leads and `/analytics/changes`, as WSGI calls.

    python -m benchmarks --parts customers

Times are CPU times of this process on SQLite. Before anything is measured, the number of sessions of each source is
compared with the result of plain SQL.
"""

import json
import time

from analytics_api import open_database

from . import data
from .filters import QUERY_TIMEOUT
from .findings import Claim, Findings, Table
from .functions import same
from .ranges import asking
from .timing import side_by_side

NOTE = (
    "Whole WSGI calls in the process, in CPU time, without cached responses. Conversions and the pipeline are those of "
    "2M sessions and 100k leads in 730 days; a filter by country leaves 8% of the sessions, by countries 60%."
)
MANY_SESSIONS, MANY_LEADS = 2_000_000, 100_000
MOST_LEADS = 1_000_000

PLAIN_SESSIONS = """
select coalesce(nullif(referrer_domain, ''), '(direct)'), count(*)
from sessions
where started_at >= :first
group by 1
"""

# Name, path with its query, and the maximum time in milliseconds or None.
OF_MANY_SESSIONS = (
    ("conversions by source, 30 days", "conversions?days=30", 15),
    ("conversions by source, all time", "conversions", 100),
    ("conversions by source, first session, all time", "conversions?attribution=first", 100),
    ("conversions by campaign, all time", "conversions?by=campaign", None),
    ("conversions by entry page, all time", "conversions?by=entry_page", None),
    ("conversions of 30 days, by country", "conversions?days=30&country=OM", 60),
    ("conversions of 30 days, by countries", "conversions?days=30&country.not=IN&country.not=US", 120),
    ("pipeline, 30 days", "pipeline?days=30", 15),
    ("pipeline, all time", "pipeline", 60),
    ("board", "board", 3),
    ("board, filtered by country", "board?country={frequent}", 20),
    ("board, filtered by source", "board?source=WebSite", 20),
    ("board, filtered by score", "board?score_min=0", 20),
    ("board, with visits", "board?has_visits=true", 20),
    ("feed with nothing new", "changes?since={cursor}", 0.06),
)
OF_MOST_LEADS = (
    ("leads, by a rare country", "leads?country={rare}", 5),
    ("leads, by a rare country with visits", "leads?country={rare}&has_visits=true", 100),
    ("leads, by a rare city", "leads?city=K%C3%B6ln", 5),
    ("leads, by a frequent country", "leads?country={frequent}", 100),
    ("leads, by status and score", "leads?status=won&score_min=90", 100),
    ("leads, by the last two days of enquiries", "leads?from=2026-02-23", 5),
    ("leads, with visits", "leads?has_visits=true", 100),
    ("leads, without visits", "leads?has_visits=false", 100),
    ("leads, by a high score", "leads?score_min=95", 5),
    ("facets", "leads/facets", 5),
    ("facets, filtered by status", "leads/facets?status=won", 600),
    ("facets, with visits", "leads/facets?has_visits=true", 600),
    ("board of 1M leads", "board", 3),
)


def measure(options):
    findings = Findings("From visit to customer", [NOTE])
    for title, recipe, questions in (
        ("2M sessions, 100k leads", data.Customers(MANY_SESSIONS, MANY_LEADS), OF_MANY_SESSIONS),
        ("1M leads", data.Customers(MOST_LEADS, MOST_LEADS), OF_MOST_LEADS),
    ):
        with open_database(data.ours(recipe)).closing() as database:
            compare(database)
            report(findings, database, title, questions)
    return findings


def compare(database):
    """Check the sessions of each source against plain SQL."""
    rows = json.loads(asking(database, "conversions?limit=1000")())
    sessions = dict(database.tuples(PLAIN_SESSIONS, first=0))
    same("sessions by source", {row["source"]: row["sessions"] for row in rows if row["sessions"]}, sessions)


def report(findings, database, title, questions):
    countries = [row["value"] for row in json.loads(asking(database, "leads/facets")())["country"]]
    cursor = json.loads(asking(database, "changes")())["cursor"]
    values = {"frequent": countries[0], "rare": countries[-1], "cursor": cursor}
    calls = {name: asking(database, path.format(**values), query_timeout=QUERY_TIMEOUT) for name, path, _ in questions}
    timings = side_by_side(calls, clock=time.process_time)
    findings.claims += [Claim(name, bar / 1000, timings.figure(name)) for name, _, bar in questions if bar is not None]
    findings.tables.append(Table(title, ["", "a call"], [[name, timings.figure(name)] for name in calls]))
