"""SQLite's query plans for the statements of the endpoints."""

import importlib
import pkgutil
import re
import shutil
import sqlite3
from functools import cache

from analytics_api import endpoints, open_database
from analytics_api.maintenance import demo
from helpers.sqlite import make_folder

NOW = 1_771_945_200_000  # 2026-02-24 15:00:00

PARAMETERS = {
    "limit": 25,
    "offset": 0,
    "rows": 25,
    "match_limit": 100,
    "key": 50,
    "null_lead_id": -(2**63),
    "status": "new",
    "index_query": '"ann"',
    "pattern": "%an%",
    "lead_id": 1,
    "lead_ids": "[1, 2]",
    "session_id": "s1",
    "session_ids": '["s1"]',
    "visitor_id": "ann",
    "begin": "2026-02-01 00:00:00",
    "end": "2026-03-01 00:00:00",
    "email": "ann@example.com",
    "phone": "98765",
    "first": 20_479,  # 2026-01-26
    "last": 20_508,  # 2026-02-24
    "day": 20_508,
    "dimension": 4,
    "now": NOW,
    "begins_at": NOW - 30 * 86_400_000,
    "ends_at": NOW,
    "utc_offset": 0,
    "until": NOW,
    "keys": '["/"]',
    "field": "project",
    "since": NOW - 3_600_000,
    "before": NOW,
    "first_minute": NOW // 60_000 - 60,
    "last_minute": NOW // 60_000,
    "whole_since": NOW - 3_600_000,
    "whole_until": NOW,
    "old_status": "new",
    "new_status": "won",
    "changed_at": NOW,
    "changed_by": "somebody",
    "demo_mark": "demo",
}

BASE_TABLES = {"sessions", "events", "leads", "lead_submissions"}

STATEMENT = re.compile(r"\s*(with|select|insert|update|delete)\b")


CAMPAIGNS = """
update sessions set entry_page = entry_page || '?utm_campaign=' || (rowid % 40)
where rowid % 4 = 0
"""


@cache
def create_demo():
    """Return the path of a database with demo data. Tests copy it."""

    def fill(at):
        for table, rows in demo.batches(plan):
            at.insert(table, demo.COLUMNS[table], rows)
        at.execute(CAMPAIGNS)

    path = make_folder() / "analytics.db"
    plan = demo.Plan(NOW, sessions=4_000, leads=1_000)
    with open_database(path).closing() as database:
        database.bulk(fill)
    return path


def connect_to_demo(path, *, analyzed):
    """Yield a connection to a new database with demo data, with or without statistics from ANALYZE."""
    connection = sqlite3.connect(shutil.copy(create_demo(), path), isolation_level=None)
    if analyzed:
        connection.execute("analyze")
    yield connection
    connection.close()


def list_statements():
    """Return the key and the text of each statement of the endpoints, by its name `resource.NAME`.

    For a statement in a dict, the name is `resource.NAME-key`. For others, the key is None.
    """
    statements = {}
    for module in pkgutil.walk_packages(endpoints.__path__, f"{endpoints.__name__}."):
        resource = module.name.split(".")[2]
        for name, value in vars(importlib.import_module(module.name)).items():
            texts = value if isinstance(value, dict) else {None: value}
            for key, text in texts.items():
                if name.isupper() and isinstance(text, str) and STATEMENT.match(text):
                    statements[f"{resource}.{name}{_suffix(key)}"] = key, text
    return statements


def _suffix(key):
    if key is None:
        return ""
    return "-" + "-".join(key if isinstance(key, tuple) else (key,)).replace(" ", "_")


def query_plan(connection, text):
    """Return the steps of SQLite's plan for a statement."""
    parameters = {name: PARAMETERS[name] for name in re.findall(r":([a-z_]+)", text)}
    return [row[3] for row in connection.execute(f"explain query plan {text}", parameters)]


class Explained:
    """A database or snapshot that also stores the query plan of each statement that is read from it."""

    def __init__(self, at):
        self.at, self.plans = at, []

    def __getattr__(self, name):
        return getattr(self.at, name)

    def rows(self, sql, **params):
        return self.read(self.at.rows, sql, params)

    def tuples(self, sql, **params):
        return self.read(self.at.tuples, sql, params)

    def read(self, method, sql, params):
        self.plans.append([row[3] for row in self.at.tuples(f"explain query plan {sql}", **params)])
        return method(sql, **params)


def full_scans(plan):
    """Return the steps that scan a base table. Scans of a subquery with the same name are not included."""
    scans = [step for step in plan if (scan := re.match(r"SCAN (\w+)", step)) and scan[1] in BASE_TABLES]
    for step in plan:
        if step.startswith("CO-ROUTINE ") and (scan := step.replace("CO-ROUTINE", "SCAN")) in scans:
            scans.remove(scan)
    return scans


def find_scans(connection, statements):
    """Return the steps that scan a base table, for each statement that has such steps."""
    scans = {label: full_scans(query_plan(connection, text)) for label, (_, text) in statements.items()}
    return {label: steps for label, steps in scans.items() if steps}
