"""Update one lead from 64 threads concurrently."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor

from common import filled, folder, serving, tell, verify_history

from analytics_api import open_database

THREADS, EACH = 64, 50
STATUSES = ["new", "contacted", "qualified", "proposal", "won", "lost"]


def main():
    with folder() as path:
        filled(path / "analytics.db")
        with serving(path, "--workers", "2", "--threads", "16") as server:

            def move(_):
                begun = time.monotonic()
                body = json.dumps({"status": random.choice(STATUSES)})
                status = server.request("PATCH", "/analytics/leads/7", body)[0]
                return status, time.monotonic() - begun

            begun = time.monotonic()
            with ThreadPoolExecutor(THREADS) as pool:
                responses = list(pool.map(move, range(THREADS * EACH)))
            took = time.monotonic() - begun
        assert {status for status, _ in responses} == {200}, [status for status, _ in responses if status != 200]
        with open_database(path / "analytics.db").closing() as database:
            changes = verify_history(database)
        slowest = max(seconds for _, seconds in responses)
        tell(
            f"{THREADS} threads, {len(responses):,} PATCHes of one lead",
            f"all 200 in {took:.1f} s ({len(responses) / took:.0f} a second), slowest {slowest:.1f} s;"
            f" {changes:,} changes in the history, a chain without a gap",
        )


main()
