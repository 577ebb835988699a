"""Read exports at 30 KB/s with eight clients while a writer runs, with and without nginx.

The WAL must stay small, and `erase` must complete.
"""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from statistics import median

from common import folder, serving, tell, wait_for
from helpers.nginx import proxying

from analytics_api import open_database
from analytics_api.keys import KeyStore
from analytics_api.values.timestamps import now

SECONDS = int(os.environ.get("EXPORT_SECONDS", "120"))
READERS = 8
BYTES_PER_SECOND = 30_000
LEADS = 40_000  # the database then has 57 MiB, and an export 19 MB
MAX_WAL = 64 * 2**20
MEDIAN, WORST = 0.1, 1.0  # limits in seconds for the median and the worst time of /healthz behind nginx
READER, VISITOR = "127.0.0.2", "127.0.0.3"
COMMAND = Path(sys.executable).with_name("analytics-api")


class Reader(threading.Thread):
    """Read exports slowly, one after the other. After a 503, wait for the seconds in `Retry-After`."""

    def __init__(self, address, key, is_over):
        super().__init__(daemon=True)
        self.address, self.key, self.is_over = address, key, is_over
        self.exports = self.refused = self.received = 0
        self.is_reading = False

    def run(self):
        while not self.is_over():
            self.read_one()

    def read_one(self):
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(30)
            connection.bind((READER, 0))
            connection.connect(self.address)
            request = "GET /analytics/leads/export?format=ndjson HTTP/1.1\r\nHost: shop.example\r\n"
            connection.sendall(f"{request}X-API-Key: {self.key}\r\nConnection: close\r\n\r\n".encode())
            status = connection.recv(12).partition(b" ")[2]
            if status == b"200":
                self.exports += 1
                self.is_reading = True
                self.read_slowly(connection)
                self.is_reading = False
                return
        self.refused += 1
        time.sleep(1)

    def read_slowly(self, connection):
        with suppress(OSError):
            while (data := connection.recv(BYTES_PER_SECOND // 10)) and not self.is_over():
                self.received += len(data)
                time.sleep(len(data) / BYTES_PER_SECOND)


def fill(path):
    """Create a database with LEADS leads, and return a key for exports."""
    with open_database(path).closing() as database:
        columns = ["lead_id", "enquiry_datetime", "contact_name", "contact_email"]
        rows = ((n, "2026-02-23 11:15:00", f"Ann {n} {'x' * 200}", f"ann{n}@example.com") for n in range(1, LEADS + 1))
        database.bulk(lambda at: at.insert("leads", columns, rows))
        key = KeyStore(database).add("exports", ["leads:read"], now=now())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    return key


class Writer(threading.Thread):
    """Write 50 sessions per transaction. The same 5,000 sessions are updated, so that the file does not grow."""

    def __init__(self, path, is_over):
        super().__init__(daemon=True)
        self.path, self.is_over = path, is_over
        self.transactions = 0

    def run(self):
        columns = ["session_id", "visitor_id", "started_at", "event_count"]
        with open_database(self.path).closing() as database:
            while not self.is_over():
                first = self.transactions % 100 * 50
                rows = [
                    (f"s{n:04}", f"v{n:04}", 1_771_900_000_000 + n, self.transactions) for n in range(first, first + 50)
                ]
                database.write(lambda at, rows=rows: at.insert("sessions", columns, rows, on_conflict="update"))
                self.transactions += 1
                time.sleep(0.005)


class Sizes(threading.Thread):
    """Record the size of the WAL."""

    def __init__(self, path, is_over):
        super().__init__(daemon=True)
        self.path, self.is_over = Path(f"{path}-wal"), is_over
        self.sizes = []

    def run(self):
        while not self.is_over():
            self.sizes.append((time.monotonic(), self.path.stat().st_size))
            time.sleep(0.005)

    def largest(self, start, end):
        return max(size for instant, size in self.sizes if start <= instant <= end)


def probe(server):
    """Return the duration of a request to /healthz in seconds."""
    started = time.monotonic()
    status, _, _ = server.request("GET", "/healthz", source=VISITOR)
    assert status == 200
    return time.monotonic() - started


def probe_for(server, seconds):
    until, delays = time.monotonic() + seconds, []
    while time.monotonic() < until:
        delays.append(probe(server))
        time.sleep(0.1)
    return delays


def erase(path):
    """Erase a lead, and return the seconds that it took."""
    started = time.monotonic()
    command = [COMMAND, "erase", "-d", path, "--lead", "5", "--yes"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert result.returncode == 0, result.stderr
    return time.monotonic() - started


def revoke(path, readers):
    """Revoke the key of the readers, and return the seconds until all their exports have ended."""
    revoked = time.monotonic()
    with open_database(path).closing() as database:
        KeyStore(database).revoke("exports", now=now())
    wait_for(lambda: not any(reader.is_reading for reader in readers), 30)
    return time.monotonic() - revoked


def withstand(folder, proxy):
    """Read exports for SECONDS, with an erasure after half the time. Behind nginx, check the time of /healthz."""
    path = folder / "analytics.db"
    key, over = fill(path), threading.Event()
    settings = {"ANALYTICS_TRUSTED_PROXIES": "1"}
    with serving(folder, "--workers", "2", "--threads", "4", **settings) as server, proxy(server) as front:
        readers = [Reader(front.address, key, over.is_set) for _ in range(READERS)]
        writer, sizes = Writer(path, over.is_set), Sizes(path, over.is_set)
        try:
            for thread in (writer, sizes, *readers):
                thread.start()
            delays = probe_for(front, SECONDS / 2)
            start = time.monotonic()
            erased_after = erase(path)
            end = time.monotonic()
            delays += probe_for(front, SECONDS / 2)
            ended = None if proxy is proxying else revoke(path, readers)  # nginx has already buffered the exports
        finally:
            over.set()
        for thread in (writer, sizes, *readers):
            thread.join(10)
    wal_of_erasure = sizes.largest(start, end)
    wal = max(sizes.largest(0, start), sizes.largest(end, end + SECONDS))
    tell("exports started, and responses 503", f"{sum(r.exports for r in readers)}, {sum(r.refused for r in readers)}")
    tell("bytes read", f"{sum(reader.received for reader in readers):,}")
    tell("transactions of the writer", f"{writer.transactions:,}")
    tell("-wal at most", f"{wal / 2**20:.1f} MiB, during the erasure {wal_of_erasure / 2**20:.1f} MiB")
    tell("erase", f"exit 0 after {erased_after:.1f} s")
    tell("/healthz", f"median {median(delays) * 1000:.0f} ms, slowest {max(delays) * 1000:.0f} ms")
    assert max(wal, wal_of_erasure) < MAX_WAL, (wal, wal_of_erasure)
    with open_database(path).closing() as database:
        assert database.verify() == []
    if ended is not None:
        tell("after the key was revoked all exports ended", f"in {ended:.1f} s")
        assert ended < 10, ended  # five seconds, plus the time to read the client's receive buffer
    return median(delays), max(delays)


def main():
    for name, proxy in ("alone", nullcontext), ("behind nginx", proxying):
        with folder() as path:
            tell("serve", name)
            middle, slowest = withstand(path, proxy)
            assert proxy is nullcontext or (middle < MEDIAN, slowest < WORST) == (True, True)


if __name__ == "__main__":
    main()
