"""Read cached responses while processes write, and check that no response is older than the last write."""

import json
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from multiprocessing import get_context

from common import KEY, filled, folder, serving, tell

WRITERS, EACH, CALLERS = 2, 5_000, 8
PAUSE = 0.004  # maximum seconds between two writes, so that some responses come from the cache
WRITE = "insert into sessions (session_id, visitor_id, started_at) values (?, 'somebody', 1771900000000)"


def write(path, writer, acknowledged):
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        for number in range(EACH):
            connection.execute(WRITE, [f"written-{writer}-{number}"])
            with acknowledged.get_lock():
                acknowledged.value += 1
            time.sleep(random.uniform(0, PAUSE))


def main():
    spawned = get_context("spawn")
    with folder() as path:
        filled(path / "analytics.db")
        acknowledged = spawned.Value("q", 0)
        with serving(path, "--workers", "2", "--threads", "4") as server:
            writers = [
                spawned.Process(target=write, args=[path / "analytics.db", number, acknowledged])
                for number in range(WRITERS)
            ]

            def ask(_):
                requests, again, etag, last = 0, 0, None, 0
                with closing(HTTPConnection(*server.address, timeout=60)) as connection:
                    while any(writer.is_alive() for writer in writers):
                        least = 200 + acknowledged.value
                        headers = {"X-API-Key": KEY} | ({"If-None-Match": etag} if etag else {})
                        connection.request("GET", "/analytics/overview", headers=headers)
                        response = connection.getresponse()
                        body = response.read()
                        requests += 1
                        again += response.status == 304
                        total = json.loads(body)["total_sessions"] if response.status == 200 else last
                        assert total >= max(least, last), (total, least, last)
                        etag, last = response.headers["ETag"], total
                return requests, again

            for writer in writers:
                writer.start()
            with ThreadPoolExecutor(CALLERS) as pool:
                total_requests, again = map(sum, zip(*pool.map(ask, range(CALLERS))))
            for writer in writers:
                writer.join()
                assert writer.exitcode == 0
        tell(
            f"{CALLERS} clients during {acknowledged.value:,} transactions of {WRITERS} processes",
            f"{total_requests:,} responses, {again:,} of them 304; none older than the last acknowledged write",
        )


if __name__ == "__main__":
    main()
