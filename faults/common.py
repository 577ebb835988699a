"""Helpers of the fault tests: a server, a temporary folder, a database with rows, and printing results."""

import os
import random
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.client import KEY
from helpers.server import Server, listen, serving, start, wait_for

from analytics_api import open_database

__all__ = [
    "KEY",
    "SEED",
    "Server",
    "filled",
    "folder",
    "listen",
    "serving",
    "start",
    "tell",
    "verify_history",
    "wait_for",
]

SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
random.seed(SEED)


def tell(claim, figure):
    print(f"{claim}: {figure}", flush=True)


@contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="analytics-faults-") as path:
        print(f"-- {Path(sys.argv[0]).stem}, seed {SEED}", flush=True)
        yield Path(path)


def filled(path, leads=40):
    """Create a database with leads and sessions."""
    with open_database(path).closing() as database:

        def fill(at):
            at.insert(
                "leads",
                ["lead_id", "enquiry_datetime", "contact_name", "contact_email", "visitor_id"],
                [
                    (n, f"2026-02-23 11:{n % 60:02}:00", f"Ann {n}", f"ann{n}@example.com", f"v{n}")
                    for n in range(1, leads + 1)
                ],
            )
            at.insert(
                "sessions",
                ["session_id", "visitor_id", "started_at", "country", "engagement_score", "ended_at"],
                [(f"s{n}", f"v{n % 50}", 1_771_900_000_000 + n, "IN", n % 100, 1_771_900_001_000) for n in range(200)],
            )
            at.insert(
                "events",
                ["session_id", "event_type", "page_url", "occurred_at"],
                [(f"s{n % 200}", "page_view", f"/{n % 20}", 1_771_900_000_000 + n) for n in range(1000)],
            )

        database.write(fill)


def verify_history(database):
    """Check that each lead's history goes from `new` to its status without a gap. Return the number of changes."""
    stands = {row["lead_id"]: "new" for row in database.rows("select lead_id from leads")}
    changes = database.rows("select lead_id, old_status, new_status from lead_status_changes order by change_id")
    for change in changes:
        assert change["old_status"] == stands[change["lead_id"]] != change["new_status"], change
        stands[change["lead_id"]] = change["new_status"]
    assert stands == {row["lead_id"]: row["status"] for row in database.rows("select lead_id, status from leads")}
    assert database.verify() == []
    return len(changes)
