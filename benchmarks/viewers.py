"""Measure the CPU time of a server while many viewers poll the current visitors, and visits are written.

    python -m benchmarks.viewers [--viewers 1000] [--interval 5] [--seconds 20]

The server has one process and an SQLite database with the visits of a demo. The requests arrive evenly. Ten sessions
a second are written meanwhile. The result is the server's CPU time per second, where 1.0 is one core. Other programs
have little effect on it.
"""

import argparse
import os
import subprocess
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from analytics_api import open_database
from analytics_api.maintenance import demo
from analytics_api.values.timestamps import now

from .functions import KEY
from .serving import Server, serve, ticks, wait_for_port

CLIENTS = 4  # threads that send requests, each over one connection
SESSIONS = 20_000
PORT = 8765
WRITES = 0.1  # seconds between sessions


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.viewers", description=__doc__.partition("\n")[0])
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=5, help="seconds between two requests of a viewer")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    rate = options.viewers / options.interval
    with TemporaryDirectory() as folder:
        path = Path(folder) / "analytics.db"
        with open_database(path).closing() as database:
            fill(database)
            environ = os.environ | {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": str(path)}
            process = subprocess.Popen(
                serve(workers=1)(PORT), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                wait_for_port(process, PORT)
                server = Server(process, PORT, {})
                requests, cpu, seconds = poll(server, database, rate, options.seconds)
            finally:
                process.terminate()
                process.wait()
    print(f"{requests / seconds:.0f} requests/s for {seconds:.0f} s: {cpu / seconds:.2f} cores")


def fill(database):
    """Insert the visits of a demo, the last of which end now."""
    plan = demo.Plan(now(), sessions=SESSIONS, leads=0)
    database.bulk(lambda at: sum(at.insert(table, demo.COLUMNS[table], rows) for table, rows in demo.batches(plan)))


def poll(server, database, rate, seconds):
    """Send requests at a rate, and return their number, the server's CPU time and the elapsed time."""
    stop = threading.Event()
    counts = [0] * CLIENTS

    def send(client):
        connection = HTTPConnection("127.0.0.1", server.port)
        started = time.monotonic()
        while not stop.is_set():
            connection.request("GET", "/analytics/current", headers={"X-API-Key": KEY})
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
            counts[client] += 1
            time.sleep(max(0.0, started + counts[client] * CLIENTS / rate - time.monotonic()))

    def write():
        number = 0
        while not stop.wait(WRITES):
            number += 1
            row = (f"viewer-{number}", f"viewer-{number}", now())
            database.write(lambda at, row=row: at.insert("sessions", ("session_id", "visitor_id", "started_at"), [row]))

    threads = [threading.Thread(target=send, args=[client]) for client in range(CLIENTS)]
    threads.append(threading.Thread(target=write))
    before, started = cpu_seconds(server), time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    cpu, elapsed, requests = cpu_seconds(server) - before, time.monotonic() - started, sum(counts)
    stop.set()
    for thread in threads:
        thread.join()
    return requests, cpu, elapsed


def cpu_seconds(server):
    """Return the CPU time of the server's processes."""
    return sum(map(ticks, server.processes())) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
