"""Kill workers, writers and the server with SIGKILL at random during PATCH requests and direct writes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from http.client import HTTPException
from threading import Event, Thread

from common import filled, folder, listen, start, tell, verify_history

from analytics_api import open_database

SECONDS = 60
CALLERS = 8
STATUSES = ["contacted", "qualified", "proposal", "won", "lost", "new"]

WRITER = """
import sys
from analytics_api import open_database

database, told = open_database("analytics.db"), open(sys.argv[1], "ab", 0)
number = int(sys.argv[2])
while True:
    number += 1
    session = f"{sys.argv[1]}-{number}"

    def write(at):
        at.insert("sessions", ["session_id", "visitor_id", "started_at"],
                  [(session, f"v{number % 97}", 1_771_900_000_000)])
        at.insert("events", ["session_id", "event_type", "page_url", "occurred_at"],
                  [(session, "page_view", f"/{number % 30}", 1_771_900_000_000)] * 3)
        at.insert("lead_submissions", ["lead_id", "submitted_at", "is_primary_lead"],
                  [(number % 40 + 1, "2026-02-24 10:00:00", 0)])

    database.write(write)
    told.write(f"{session}\\n".encode())  # only after the commit
"""


def call(server, lead_id, over, attempts):
    """Update one lead until `over` is set, and record each attempt with the status of its response."""
    number = 0
    while not over.is_set():
        stage = STATUSES[number % len(STATUSES)]
        number += 1
        acknowledged = False
        try:
            status, _, body = server.request(
                "PATCH", f"/analytics/leads/{lead_id}", json.dumps({"status": stage}), timeout=20
            )
            assert status in (200, 500), (status, body)
            acknowledged = status == 200
            attempts.append((stage, acknowledged, status))
        except (OSError, HTTPException):
            attempts.append((stage, acknowledged, None))


def compare(history, attempts):
    """Check that the history has every acknowledged update in order, and no update that was not sent."""
    stands, left = "new", iter(history)
    entry = next(left, None)
    for stage, acknowledged, _ in attempts:
        if entry == stage:
            stands, entry = stage, next(left, None)
        else:
            assert not acknowledged or stands == stage, (stage, stands, entry)
    assert entry is None, entry


def main():
    with folder() as path, listen() as listener:
        filled(path / "analytics.db")
        server = start(listener, path, "--workers", "2", "--threads", "4")
        over, attempts = Event(), {lead: [] for lead in range(1, CALLERS + 1)}
        callers = [Thread(target=call, args=(server, lead, over, attempts[lead])) for lead in attempts]
        for caller in callers:
            caller.start()

        def writer(name):
            log = path / name
            lines = log.read_bytes().count(b"\n") if log.exists() else 0
            # Leave a gap in the numbers. The last transaction may be committed although it is not in the log, so the
            # next number may already be in the database.
            return subprocess.Popen(
                [sys.executable, "-c", WRITER, name, str(lines * 2 + 1000 * random.randrange(1, 10**6))], cwd=path
            )

        writers = {name: writer(name) for name in ("w1", "w2")}
        killed = {"worker": 0, "server": 0, "writer": 0}
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(random.uniform(0.2, 1.2))
            victim = random.choices(list(killed), [6, 2, 2])[0]
            killed[victim] += 1
            if victim == "worker" and (workers := server.workers()):
                os.kill(random.choice(workers), signal.SIGKILL)
            elif victim == "server":
                for pid in [server.process.pid, *server.workers()]:
                    os.kill(pid, signal.SIGKILL)
                server.process.wait()
                server.process = start(listener, path, "--workers", "2", "--threads", "4").process
            elif victim == "writer":
                name = random.choice(list(writers))
                writers[name].kill()
                writers[name].wait()
                writers[name] = writer(name)
        over.set()
        for process in writers.values():
            process.kill()
            process.wait()
        for caller in callers:
            caller.join()
        server.process.terminate()
        server.process.wait(40)
        with open_database(path / "analytics.db").closing() as database:
            changes = verify_history(database)
            for lead, updates in attempts.items():
                rows = database.rows(
                    "select new_status from lead_status_changes where lead_id = :lead order by change_id", lead=lead
                )
                compare([row["new_status"] for row in rows], updates)
            written = {row["session_id"] for row in database.rows("select session_id from sessions")}
            logged = {line for name in writers for line in (path / name).read_text().splitlines()}
            assert logged <= written, sorted(logged - written)[:5]
            assert database.row("pragma integrity_check") == {"integrity_check": "ok"}
        came = [status for updates in attempts.values() for *_, status in updates]
        tell("killed", ", ".join(f"{number} x {what}" for what, number in killed.items()))
        tell(
            "PATCHes",
            f"{came.count(200):,} acknowledged, {came.count(None)} cut off, {came.count(500)} failed;"
            f" {changes:,} in the history, no gap, none lost",
        )
        tell(
            "transactions of direct writers",
            f"{len(logged):,} acknowledged, none lost; verify and integrity_check pass",
        )


main()
