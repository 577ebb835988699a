"""Send 100,000 random requests to the WSGI application, and check responses against WSGI and the OpenAPI document."""

import json
import logging
import time
import warnings
from collections import Counter

from common import KEY, SEED, filled, folder, tell, verify_history
from helpers.fuzzing import fuzz

from analytics_api import create_app, open_database
from analytics_api.server.serve import build_server_app

REQUESTS = 100_000


def main():
    warnings.filterwarnings("ignore", "Unknown REQUEST_METHOD")
    errors = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = errors.append
    logging.getLogger("analytics_api").addHandler(handler)
    with folder() as path:
        filled(path / "analytics.db")
        with open_database(path / "analytics.db").closing() as database:
            api = create_app(database, api_keys=[KEY], cors_origins=["https://dashboard.example"])
            lines: list[str] = []
            application = build_server_app(api, database, trusted_proxies=1, metrics=True, write=lines.append)
            begun = time.monotonic()
            came = fuzz(application, REQUESTS, SEED)
            took = time.monotonic() - begun
            changes = verify_history(database)
    assert errors == [], errors[0].getMessage()
    statuses = Counter(
        json.loads(line)["status"] for line in lines if line.isascii() and line.index("\n") == len(line) - 1
    )
    assert statuses == came
    tell(
        f"{REQUESTS:,} fuzzed requests in {took:.0f} s",
        f"by status {dict(sorted(came.items()))}; no 500, no warning in the log, every response"
        f" matches the document and has a JSON line in the log; {changes:,} moves, no gap in the history",
    )


main()
