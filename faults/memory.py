"""Measure the memory of a worker over 100,000 requests."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from common import KEY, filled, folder, serving, tell

REQUESTS, CALLERS, ROUNDS = 100_000, 4, 10
ENDPOINTS = [
    ("GET", "/analytics/overview"),
    ("GET", "/analytics/leads?q=ann&limit=5"),
    ("GET", "/analytics/leads/{n}"),
    ("GET", "/analytics/leads?q=nobody{n}"),
    ("GET", "/analytics/pages/top?limit={n}"),
    ("PATCH", "/analytics/leads/{n}"),
    ("GET", "/analytics/nothing/{n}"),
    ("GET", "/analytics/geo?made-up-{n}=1"),
    ("GET", "/analytics/leads?limit=many"),
    ("GET", "/metrics"),
]


def main():
    with folder() as path:
        filled(path / "analytics.db")
        with serving(path, "--workers", "1", "--threads", "4", ANALYTICS_METRICS="1", TMPDIR=str(path)) as server:

            def ask(numbers):
                connection = HTTPConnection(*server.address, timeout=60)
                for number in numbers:
                    method, path = ENDPOINTS[number % len(ENDPOINTS) if number % 1000 else -1]
                    if path == "/metrics" and number % 1000:
                        path = "/healthz"
                    body = json.dumps({"status": ["won", "lost"][number % 2]}) if method == "PATCH" else None
                    connection.request(method, path.format(n=number % 977), body, {"X-API-Key": KEY})
                    response = connection.getresponse()
                    response.read()
                    assert response.status < 500, (method, path, response.status)
                connection.close()

            sizes, begun = [], time.monotonic()
            (worker,) = server.workers() or [None] if server.get("/healthz") else []
            with ThreadPoolExecutor(CALLERS) as pool:
                for round in range(ROUNDS):
                    share = REQUESTS // ROUNDS // CALLERS
                    first = round * share * CALLERS
                    list(pool.map(ask, [range(first + n * share, first + (n + 1) * share) for n in range(CALLERS)]))
                    status = Path(f"/proc/{worker}/status").read_text()
                    sizes.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
            took = time.monotonic() - begun
            assert server.workers() == [worker]
        # The first rounds fill the caches of pages, statements and connections.
        assert sizes[-1] < sizes[1] * 1.05, sizes
        tell(
            f"one worker over {REQUESTS:,} requests ({REQUESTS / took:.0f} a second)",
            "MiB after each tenth: " + ", ".join(f"{size:.1f}" for size in sizes),
        )


main()
