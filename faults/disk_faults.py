"""Lock, replace, move or truncate the database of a running server, make it read-only, or fill its disk.

The script needs root to mount a tmpfs of a few megabytes and a bind mount.
"""

import json
import os
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager

from common import filled, folder, serving, tell, verify_history, wait_for

from analytics_api import open_database

FAILED = (500, {"error": "Analytics query failed"})
MOVED = (200, {"updated": True})


def timed(server, method="GET", status=None):
    """Read or update lead 1, and return the response and its seconds."""
    begun = time.monotonic()
    body = None if status is None else json.dumps({"status": status})
    answered, _, content = server.request(method, "/analytics/leads/1", body, timeout=60)
    answer = json.loads(content)
    if method == "GET" and answered == 200:
        answer = answer["lead"]["status"]
    return (answered, answer), time.monotonic() - begun


def move(server, status):
    return timed(server, "PATCH", status)


def healed(server, status, seconds=10):
    """Wait until updates and reads succeed again, and return the seconds."""
    begun = time.monotonic()
    while move(server, status)[0] != MOVED or timed(server)[0] != (200, status):
        assert time.monotonic() - begun < seconds, server.log.read_text()[-3000:]
    return time.monotonic() - begun


def logged(server, text):
    assert text in server.log.read_text(), server.log.read_text()[-3000:]


@contextmanager
def mounted(path, *how):
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", *how, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def changes(path):
    with open_database(path).closing() as database:
        return verify_history(database)


def locked(path):
    filled(path / "analytics.db")
    with serving(path, "--workers", "2") as server:
        assert move(server, "won")[0] == MOVED
        with closing(sqlite3.connect(path / "analytics.db", isolation_level=None)) as other:
            other.execute("begin immediate")
            (written, waited), (read, took) = move(server, "lost"), timed(server)
            assert (written, read) == (FAILED, (200, "won"))
            assert waited < 10
            other.execute("rollback")
        heal = healed(server, "lost")
        logged(server, "database is locked")
    assert changes(path / "analytics.db") == 2
    tell(
        "locked by another process",
        f"a PATCH is 500 after {waited:.1f} s, a GET 200 in {took * 1000:.0f} ms; healed in {heal * 1000:.0f} ms",
    )


def read_only(path):
    source = path / "kept"
    source.mkdir()
    filled(source / "analytics.db")
    with closing(sqlite3.connect(source / "analytics.db")) as other, mounted(path / "seen", "--bind", source) as view:
        other.execute("select count(*) from leads").fetchone()
        subprocess.run(["mount", "-o", "remount,ro,bind", view], check=True)
        with serving(path, "--workers", "2", database=view / "analytics.db") as server:
            (written, waited), (read, took) = move(server, "won"), timed(server)
            assert (written, read) == (FAILED, (200, "new")), (written, read)
            subprocess.run(["mount", "-o", "remount,rw,bind", view], check=True)
            heal = healed(server, "won")
            logged(server, "readonly database")
        assert changes(view / "analytics.db") == 1
    tell(
        "read-only",
        f"a PATCH is 500 in {waited * 1000:.0f} ms, a GET 200 in {took * 1000:.0f} ms; healed in {heal * 1000:.0f} ms",
    )


def full(path):
    with mounted(path / "small", "-t", "tmpfs", "-o", "size=6m", "tmpfs") as small:
        filled(small / "analytics.db")
        with serving(path, "--workers", "2", database=small / "analytics.db") as server:
            assert move(server, "won")[0] == MOVED
            with open(small / "filler", "wb", 0) as filler:
                try:
                    while True:
                        filler.write(bytes(4096))
                except OSError:
                    pass
            refused, acknowledged, slowest = 0, 0, 0.0
            for number in range(60):
                answer, took = move(server, ["lost", "won"][number % 2])
                assert answer in (FAILED, MOVED), answer
                acknowledged += answer == MOVED
                refused += answer == FAILED
                slowest = max(slowest, took)
            assert refused
            assert timed(server)[0][0] == 200
            stands = timed(server)[0][1]
            os.unlink(small / "filler")
            heal = healed(server, "qualified")
            logged(server, "disk is full")
        with open_database(small / "analytics.db").closing() as database:
            moves = verify_history(database)
            assert moves <= 1 + acknowledged + 1
        tell(
            "full disk",
            f"{refused} of 60 PATCHes are 500 (slowest {slowest * 1000:.0f} ms), GETs 200 ({stands});"
            f" healed in {heal * 1000:.0f} ms, no gap in the history",
        )


def replaced(path):
    filled(path / "analytics.db")
    with serving(path, "--workers", "2") as server:
        assert move(server, "won")[0] == MOVED
        with closing(sqlite3.connect(path / "analytics.db")) as old, closing(sqlite3.connect(path / "new.db")) as new:
            old.backup(new)
        with open_database(path / "new.db").closing() as database:
            database.write(lambda at: at.execute("update leads set contact_city = 'Pune'"))
        os.replace(path / "new.db", path / "analytics.db")
        for suffix in ("-wal", "-shm"):
            (path / f"analytics.db{suffix}").unlink(missing_ok=True)
        begun = time.monotonic()
        answers = [move(server, ["lost", "new"][number % 2])[0] for number in range(20)]
        assert answers == [MOVED] * 20, answers
        while json.loads(server.request("GET", "/analytics/leads/1")[2])["lead"]["contact_city"] != "Pune":
            assert time.monotonic() - begun < 10
        elapsed = time.monotonic() - begun
        with open_database(path / "analytics.db").closing() as database:
            count = database.row("select count(*) as n from lead_status_changes")["n"]
        assert count == 21, count
        tell(
            "replaced by another file",
            f"every later PATCH is in the new file; reads use the new file after {elapsed:.1f} s at most",
        )

        os.rename(path / "analytics.db", path / "aside.db")
        gone, waited = move(server, "won")
        while timed(server)[0][0] != 500:
            assert time.monotonic() - begun < 10
        assert gone == FAILED
        assert not (path / "analytics.db").exists()
        wait_for(lambda: server.request("GET", "/readyz")[0] == 503)
        assert server.request("GET", "/healthz")[0] == 200
        os.rename(path / "aside.db", path / "analytics.db")
        heal = healed(server, "won")
        logged(server, "No such file or directory")
    changes_before = changes(path / "analytics.db")
    tell(
        "moved away",
        f"a PATCH is 500 in {waited * 1000:.0f} ms, no new file is created; healed in {heal * 1000:.0f} ms,"
        f" {changes_before} changes without a gap",
    )


def truncated(path):
    for keep in (0, 4096, 100_000):
        home = path / str(keep)
        home.mkdir()
        filled(home / "analytics.db")
        good = (home / "analytics.db").read_bytes()
        with serving(home, "--workers", "2") as server:
            for number in range(20):  # enough requests for every thread to read the file
                assert timed(server)[0] == (200, "new"), number
            os.truncate(home / "analytics.db", keep)
            answers, slowest = [], 0.0
            for _ in range(20):
                for answer, took in (timed(server), move(server, "won")):
                    answers.append(answer)
                    slowest = max(slowest, took)
            wrong = [answer for answer in answers if answer != FAILED and answer[0] != 200]
            assert wrong == [], wrong
            assert FAILED in answers
            for suffix in ("-wal", "-shm"):
                (home / f"analytics.db{suffix}").unlink(missing_ok=True)
            (home / "restored.db").write_bytes(good)
            os.replace(home / "restored.db", home / "analytics.db")
            heal = healed(server, "won")
            log = server.log.read_text()
        lines = [
            text
            for text in ("malformed", "not a database", "is empty", "disk I/O error", "no such table")
            if text in log
        ]
        assert lines
        assert changes(home / "analytics.db") == 1
        tell(
            f"truncated to {keep} bytes",
            f"{answers.count(FAILED)} of {len(answers)} requests are 500 (slowest {slowest * 1000:.0f} ms),"
            f" the log says {lines}; healed by a restored file in {heal * 1000:.0f} ms",
        )


def main():
    with folder() as path:
        for fault in (locked, read_only, full, replaced, truncated):
            if fault in (read_only, full) and os.geteuid():
                tell(fault.__name__, "skipped, because only root can mount")
                continue
            home = path / fault.__name__
            home.mkdir()
            fault(home)


main()
