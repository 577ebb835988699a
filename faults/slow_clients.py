"""200 connections at once for a minute: dashboards that ask and stay, and clients that never finish a request."""

import json
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from common import KEY, filled, folder, serving, tell, verify_history

from analytics_api import open_database

SECONDS = 60
GOOD, SLOW = 140, 60
PATHS = [
    "/analytics/overview",
    "/analytics/sessions/daily",
    "/analytics/pages/top",
    "/analytics/geo",
    "/analytics/leads?q=ann&sort=name_asc",
    "/analytics/leads/7",
]
HALF = [
    f"GET /analytics/geo HTTP/1.1\r\nHost: shop.example\r\nX-API-Key: {KEY}\r\n",
    f"PATCH /analytics/leads/1 HTTP/1.1\r\nHost: shop.example\r\nX-API-Key: {KEY}\r\nContent-Length: 9999\r\n\r\n{{",
    "PATCH /analytics/leads/1 HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
]


def dashboard(server, number, until):
    """Ask now and then over one connection; the statuses and the seconds that each took."""
    connection, told = HTTPConnection(*server.address, timeout=60), []
    while time.monotonic() < until:
        time.sleep(random.uniform(0, 1))
        begun = time.monotonic()
        if number % 10 == 0:
            body = json.dumps({"status": random.choice(["new", "won", "lost"])})
            connection.request("PATCH", f"/analytics/leads/{number + 1}", body, {"X-API-Key": KEY})
        else:
            connection.request("GET", random.choice(PATHS), headers={"X-API-Key": KEY})
        response = connection.getresponse()
        response.read()
        told.append((response.status, time.monotonic() - begun))
    connection.close()
    return told


def slow(server, number, until):
    """Send a byte a second, for ever, of a request that never ends; how often the server had enough of it."""
    ended = 0
    while time.monotonic() < until:
        with socket.create_connection(server.address, timeout=30) as connection:
            try:
                connection.sendall(HALF[number % len(HALF)].encode())
                connection.settimeout(1)
                while time.monotonic() < until:
                    try:
                        if not connection.recv(1000):
                            raise ConnectionError
                    except TimeoutError:
                        connection.sendall(b"x")
            except ConnectionError:
                ended += 1
    return ended


def main():
    with folder() as path:
        filled(path / "analytics.db", leads=200)
        with serving(path, "--workers", "2", "--threads", "4") as server:
            until = time.monotonic() + SECONDS
            with ThreadPoolExecutor(GOOD + SLOW) as pool:
                lingering = [pool.submit(slow, server, number, until) for number in range(SLOW)]
                asking = [pool.submit(dashboard, server, number, until) for number in range(GOOD)]
            told = [answer for future in asking for answer in future.result()]
            ended = sum(future.result() for future in lingering)
            memory = [
                int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024
                for pid in server.workers()
            ]
        assert {status for status, _ in told} == {200}, {status for status, _ in told}
        assert "Traceback" not in server.log.read_text()
        took = sorted(seconds for _, seconds in told)
        with open_database(path / "analytics.db").closing() as database:
            changes = verify_history(database)
        tell(
            f"{GOOD} dashboards and {SLOW} endless requests for {SECONDS} s on 2 x 4 threads",
            f"{len(told):,} answers, all 200; median {took[len(took) // 2] * 1000:.1f} ms,"
            f" 99% {took[len(took) * 99 // 100] * 1000:.0f} ms, slowest {took[-1] * 1000:.0f} ms;"
            f" {ended} endless ones closed; workers of {memory} MiB; {changes} moves, history verify_history",
        )


main()
