"""Generate the data sets from seeds. They are cached in .cache/bench until the code that generates them changes."""

import shutil
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import islice

from analytics_api import open_database
from analytics_api.maintenance import demo

from . import plain
from .findings import abbreviate
from .machine import ROOT

CACHE = ROOT / ".cache" / "bench"
NOW = 1_771_945_200_000
EVENTS_A_SESSION = 10
RIVERSIDE = "Riverside Gardens"
RECIPE = (
    "schema.sql",
    "analytics_api/maintenance/demo.py",
    "analytics_api/database/sqlite/__init__.py",
    "benchmarks/data.py",
)


@dataclass(frozen=True)
class Visits:
    """A data set of about `events` events, with ten events per session.

    `pages` is the number of pages with one view each, which are added to the popular pages of the demo.
    """

    events: int
    pages: int | None = None

    @property
    def name(self):
        return f"events-{abbreviate(self.events)}" + (f"-pages-{abbreviate(self.pages)}" if self.pages else "")

    def batches(self):
        plan = demo.Plan(NOW, sessions=self.events // EVENTS_A_SESSION)
        viewed = 0
        for table, rows in demo.batches(plan):
            if table == "events" and self.pages:
                for place, row in enumerate(rows):
                    # Nineteen of twenty page views get a page of their own. The twentieth keeps its popular page.
                    if row[2] == "page_view" and row[0] % 20 and viewed < self.pages:
                        rows[place] = (*row[:3], f"https://example.com/listings/{viewed}", *row[4:])
                        viewed += 1
            yield table, rows


@dataclass(frozen=True)
class Enquiries:
    """A data set of leads with submissions and one session each, without events."""

    leads: int

    @property
    def name(self):
        return f"leads-{abbreviate(self.leads)}"

    def batches(self):
        plan = demo.Plan(NOW, sessions=self.leads, leads=self.leads)
        # Half of the leads have the same project.
        leads = ((*row[:5], RIVERSIDE if row[0] % 2 else row[5], *row[6:]) for row in demo.leads(plan))
        return in_batches({"sessions": demo.sessions(plan), "leads": leads, "lead_submissions": demo.submissions(plan)})


@dataclass(frozen=True)
class Customers:
    """A data set of sessions in two years, and of leads with their submissions and moves, without events."""

    sessions: int
    leads: int

    @property
    def name(self):
        return f"customers-{abbreviate(self.sessions)}-{abbreviate(self.leads)}"

    def batches(self):
        plan = demo.Plan(NOW, sessions=self.sessions, leads=self.leads, days=730)
        return in_batches(
            {
                "sessions": demo.sessions(plan),
                "leads": demo.leads(plan),
                "lead_submissions": demo.submissions(plan),
                "lead_status_changes": demo.moves(plan),
            }
        )


def in_batches(tables):
    """Generate pairs of a table and up to 10,000 of its rows."""
    for table, rows in tables.items():
        while batch := list(islice(rows, 10_000)):
            yield table, batch


def ours(recipe):
    """Return the path of the data set in a database of this project."""
    return cached(recipe.name, recipe, _load)


def theirs(recipe):
    """Return the path of a database with the same rows in plain tables."""
    return cached(f"{recipe.name}-plain", recipe, _copy, "benchmarks/plain.py")


@contextmanager
def scratch(path, name="scratch.db"):
    """Yield the path of a temporary copy of a database, or of a new file if `path` is None."""
    copied = CACHE / name
    _remove(copied)
    try:
        if path:
            shutil.copyfile(path, copied)
        yield copied
    finally:
        _remove(copied)


def cached(name, recipe, make, *sources):
    """Return the cached file, or create it with `make(path, recipe)`.

    It is created again after a change of a file in RECIPE or `sources`.
    """
    path = CACHE / f"{name}.{digest(*RECIPE, *sources)}.db"
    if not path.exists():
        for stale in CACHE.glob(f"{name}.*"):
            stale.unlink()
        print(f"making {name}", flush=True)
        part = CACHE / f"{name}.part"  # renamed at the end, so that a cached file is always complete
        make(part, recipe)
        part.rename(path)
    return path


@cache
def digest(*sources):
    return blake2b(b"".join((ROOT / file).read_bytes() for file in sources), digest_size=6).hexdigest()


def _load(path, recipe):
    with open_database(path).closing() as database:
        database.bulk(lambda at: sum(at.insert(table, demo.COLUMNS[table], rows) for table, rows in recipe.batches()))


def _copy(path, recipe):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = off")  # the file can be generated again
    connection.execute("pragma synchronous = off")
    connection.execute("attach ? as ours", [str(ours(recipe))])
    for statement in plain.TABLES:
        connection.execute(statement)
    for (table,) in connection.execute("select name from main.sqlite_schema where type = 'table'").fetchall():
        names = connection.execute("select name from pragma_table_info(?, 'main')", [table])
        columns = ", ".join(name for (name,) in names)
        connection.execute(f"insert into main.{table} ({columns}) select {columns} from ours.{table} order by rowid")
    for statement in plain.INDEXES:
        connection.execute(statement)
    connection.execute("detach ours")
    connection.execute("pragma journal_mode = wal")
    connection.close()


def _remove(path):
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).unlink()
