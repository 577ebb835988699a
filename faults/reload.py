"""Send SIGHUP repeatedly under load, each time with a new key, and check that no request fails."""

import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import count

from common import KEY, filled, folder, serving, tell, wait_for
from helpers.nginx import proxying

REQUESTS, THREADS = 10_000, 4
SETTINGS = {"ANALYTICS_API_KEY": "", "ANALYTICS_TRUSTED_PROXIES": "1"}


def send(address, number):
    """Send a request over a new connection from one of many addresses, and return its status or the error."""
    connection = HTTPConnection(*address, timeout=30, source_address=(f"127.1.{number // 250}.{number % 250 + 1}", 0))
    try:
        if number % 10 == 0:
            connection.request("PATCH", "/analytics/leads/7", b'{"status": "won"}', {"X-API-Key": KEY})
        else:
            connection.request("GET", "/analytics/overview", headers={"X-API-Key": KEY})
        response = connection.getresponse()
        response.read()
        return response.status
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def send_all(address, stopped):
    """Send all requests, set `stopped`, and return the number of responses with each status."""
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            return Counter(pool.map(lambda number: send(address, number), range(REQUESTS)))
    finally:
        stopped.set()


def reload_until(stopped, server, key_file):
    """Reload with a different second key until `stopped` is set, and return the number of reloads."""
    for reloads in count():
        former = set(server.workers())
        if stopped.wait(0.5):
            return reloads
        key_file.write_text(f"{KEY} another-key-of-many-letters-{reloads}")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda former=former: len(server.workers()) == 2 and former.isdisjoint(server.workers()), 60)


def withstand(name, server, address, key_file):
    """Print the statuses of the requests while the server reloads, and check that all are 200."""
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_all, address, stopped)
        reloads = reload_until(stopped, server, key_file)
        statuses = sending.result()
    tell(name, f"{dict(statuses)} of {REQUESTS:,} requests; {reloads} reloads")
    assert statuses == {200: REQUESTS}


def main():
    with folder() as path:
        filled(path / "analytics.db")
        key_file = path / "key"
        key_file.write_text(KEY)
        with serving(path, "--workers", "2", ANALYTICS_API_KEY_FILE=str(key_file), **SETTINGS) as server:
            server.get("/healthz")
            withstand("SIGHUP, a connection for each request", server, server.address, key_file)
            with proxying(server) as nginx:
                withstand("SIGHUP, through nginx", server, nginx.address, key_file)


if __name__ == "__main__":
    main()
