"""Eight clients read exports at 30 KB/s beside a writer: the WAL stays small, and `erase` completes."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

from common import KEY, folder, serving, tell, wait_for

from analytics_api import open_database
from analytics_api.context import now
from analytics_api.keys import KeyStore

SECONDS = int(os.environ.get("EXPORT_SECONDS", "120"))
READERS = 8
BYTES_PER_SECOND = 30_000
LEADS = 20_000  # a database of 30 MB, all of which an erasure writes into the WAL
MAX_WAL = 64 * 1024 * 1024
COMMAND = Path(sys.executable).with_name("analytics-api")


class Reader(threading.Thread):
    """Read exports slowly, one after the other; wait where the server says so."""

    def __init__(self, server, key, is_over):
        super().__init__(daemon=True)
        self.server, self.key, self.is_over = server, key, is_over
        self.exports = self.refused = self.received = 0
        self.ended_at = None

    def run(self):
        while not self.is_over():
            self.read_one()
        self.ended_at = time.monotonic()

    def read_one(self):
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(30)
            connection.connect(self.server.address)
            request = "GET /analytics/leads/export?format=ndjson HTTP/1.1\r\nHost: shop.example\r\n"
            connection.sendall(f"{request}X-API-Key: {self.key}\r\nConnection: close\r\n\r\n".encode())
            status = connection.recv(12).partition(b" ")[2]
            if status != b"200":
                self.refused += 1
                time.sleep(1)
                return
            self.exports += 1
            self.read_slowly(connection)

    def read_slowly(self, connection):
        while True:
            try:
                data = connection.recv(BYTES_PER_SECOND // 10)
            except OSError:
                return
            if not data:
                return
            self.received += len(data)
            time.sleep(len(data) / BYTES_PER_SECOND)


def fill(path):
    """Make a database with LEADS leads and a key for exports."""
    with open_database(path).closing() as database:
        columns = ["lead_id", "enquiry_datetime", "contact_name", "contact_email"]
        rows = ((n, "2026-02-23 11:15:00", f"Ann {n} {'x' * 200}", f"ann{n}@example.com") for n in range(1, LEADS + 1))
        database.bulk(lambda at: at.insert("leads", columns, rows))
        return KeyStore(database).add("exports", ["leads:read"], now=now())


def write(path, is_over, count):
    with open_database(path).closing() as database:
        while not is_over():
            number = len(count)
            rows = [(f"s{number}-{n}", f"v{n}", 1_771_900_000_000 + number) for n in range(50)]
            database.write(
                lambda at, rows=rows: at.insert("sessions", ["session_id", "visitor_id", "started_at"], rows)
            )
            count.append(number)
            time.sleep(0.005)


def probe(server):
    started = time.monotonic()
    status, _ = server.get("/healthz")
    assert status == 200
    return time.monotonic() - started


def erase(path):
    started = time.monotonic()
    command = [COMMAND, "erase", "-d", path, "--lead", "5", "--yes"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert result.returncode == 0, result.stderr
    return time.monotonic() - started


def main():
    with folder() as path:
        database = path / "analytics.db"
        key = fill(database)
        over, written, wal, delays = threading.Event(), [], [], []
        with serving(path, "--workers", "2", "--threads", "4") as server:
            readers = [Reader(server, key, over.is_set) for _ in range(READERS)]
            writer = threading.Thread(target=write, args=(database, over.is_set, written), daemon=True)
            for thread in (writer, *readers):
                thread.start()
            until = time.monotonic() + SECONDS
            erased_after = None
            wal_before_erasure = 0
            while time.monotonic() < until:
                wal.append(os.path.getsize(f"{database}-wal"))
                delays.append(probe(server))
                if erased_after is None:
                    wal_before_erasure = max(wal)
                if erased_after is None and time.monotonic() > until - SECONDS / 2:
                    erased_after = erase(database)
                time.sleep(0.2)
            over.set()
            revoked = time.monotonic()
            with open_database(database).closing() as opened:
                KeyStore(opened).revoke("exports", now=now())
            wait_for(lambda: all(reader.ended_at for reader in readers), 30)
            ended = max(reader.ended_at for reader in readers) - revoked
        assert max(wal) < MAX_WAL, max(wal)
        assert ended < 10, ended  # five seconds, and what a slow reader finds in its own buffer
        assert {reader.key for reader in readers} != {KEY}
        with open_database(database).closing() as opened:
            assert opened.verify() == []
        tell(
            "exports begun, and refused with 503",
            f"{sum(r.exports for r in readers)}, {sum(r.refused for r in readers)}",
        )
        tell("bytes read", f"{sum(reader.received for reader in readers):,}")
        tell("transactions of the writer", f"{len(written):,}")
        tell("-wal at most", f"{wal_before_erasure / 2**20:.1f} MiB, with the erasure {max(wal) / 2**20:.1f} MiB")
        tell("erase", f"exit 0 after {erased_after:.1f} s")
        tell("/healthz", f"median {median(delays) * 1000:.0f} ms, slowest {max(delays) * 1000:.0f} ms")
        tell("after the key was revoked all exports ended", f"in {ended:.1f} s")


main()
