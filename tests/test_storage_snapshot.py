"""The storage statistics that are kept: who takes them, when, and what is served meanwhile."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from helpers.client import NOW
from helpers.server import wait_for

from analytics_api.errors import StorageError
from analytics_api.storage import Statistics, snapshot
from analytics_api.storage.snapshot import CLAIM, MAX_AGE, PAUSE, Snapshot

sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Bucket:
    """A host's own provider, which looks as often as it has answers, when the gate is open."""

    source = "bucket"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.looks = 0
        self.gate = Event()
        self.gate.set()

    def statistics(self):
        self.looks += 1
        assert self.gate.wait(30)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now


FIRST = Statistics(100, 10, NOW)
SECOND = Statistics(200, 20, NOW + MAX_AGE)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keep(database, clock):
    """A snapshot of a provider with these answers."""

    def keep(*answers, **options):
        return Snapshot(Bucket(*answers), database, **{"clock": clock, "patience": 5_000} | options)

    return keep


def test_the_first_to_ask_waits_until_they_are_taken(keep):
    snapshot = keep(FIRST)

    told = snapshot.statistics()

    assert told == FIRST


def test_what_was_taken_is_served_until_it_is_old(keep, clock):
    snapshot = keep(FIRST, SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE - 1

    told = [snapshot.statistics() for _ in range(5)]

    assert (told, snapshot.provider.looks) == ([FIRST] * 5, 1)


def test_what_is_old_is_served_at_once_while_it_is_taken_anew(keep, clock):
    snapshot = keep(FIRST, SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE
    snapshot.provider.gate.clear()

    meanwhile = [snapshot.statistics() for _ in range(5)]
    snapshot.provider.gate.set()
    wait_for(lambda: snapshot.statistics() == SECOND)

    assert (meanwhile, snapshot.provider.looks) == ([FIRST] * 5, 2)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_of_many_threads_that_find_it_old_one_looks(keep, clock):
    snapshot = keep(FIRST, SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE
    snapshot.provider.gate.clear()

    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda _: snapshot.statistics(), range(64)))
    snapshot.provider.gate.set()
    wait_for(lambda: snapshot.statistics() == SECOND)

    assert (told, snapshot.provider.looks) == ([FIRST] * 64, 2)


WORKER = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from analytics_api import Statistics, open_database
from analytics_api.storage.snapshot import Snapshot

url, looks, start = sys.argv[1:]

class Slow:
    source = "slow bucket"

    def statistics(self):
        with open(looks, "ab", 0) as file:
            file.write(b"x")
        time.sleep(0.5)
        return Statistics(5, 1, int(time.time() * 1000))

snapshot = Snapshot(Slow(), open_database(url), patience=20_000)
print("ready", flush=True)
while not Path(start).exists():
    time.sleep(0.005)
with ThreadPoolExecutor(4) as pool:
    told = set(pool.map(lambda _: snapshot.statistics().total_objects, range(40)))
print(told, flush=True)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.slow
def test_eight_processes_under_load_make_one_listing(database, tmp_path):
    looks, start = tmp_path / "looks", tmp_path / "start"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, database.url, looks, start], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"

    start.touch()
    told = [worker.communicate(timeout=60)[0] for worker in workers]

    assert told == ["{5}\n"] * 8
    assert looks.read_bytes() == b"x"


@sqlite
def test_the_claim_of_a_process_that_was_killed_runs_out(database, tmp_path, keep, clock):
    looks, start = tmp_path / "looks", tmp_path / "start"
    start.touch()
    forever = WORKER.replace("time.sleep(0.5)", "time.sleep(60)").replace("slow bucket", "bucket")
    with subprocess.Popen(
        [sys.executable, "-c", forever, database.url, looks, start], stdout=subprocess.PIPE, text=True
    ) as worker:
        wait_for(looks.exists)
        os.kill(worker.pid, signal.SIGKILL)
    clock.now = time.time_ns() // 1_000_000
    snapshot = keep(FIRST, patience=100)

    with pytest.raises(StorageError, match="did not come in time"):
        snapshot.statistics()
    clock.now += CLAIM + 1
    told = snapshot.statistics()

    assert (told, snapshot.provider.looks) == (FIRST, 1)


@sqlite
def test_a_listing_that_takes_longer_than_a_claim_keeps_it(database, keep, monkeypatch):
    monkeypatch.setattr(snapshot, "CLAIM", 600)
    real = {"clock": snapshot.now, "patience": 20_000}
    one, other = keep(FIRST, **real), keep(SECOND, **real)
    gate = one.provider.gate = other.provider.gate
    gate.clear()

    with ThreadPoolExecutor(2) as pool:
        told = [pool.submit(one.statistics), pool.submit(other.statistics)]
        wait_for(lambda: one.provider.looks + other.provider.looks == 1)
        Event().wait(0.9)
        looks = one.provider.looks + other.provider.looks
        gate.set()
        answers = {future.result() for future in told}

    assert (looks, len(answers)) == (1, 1)


def test_what_fails_leaves_what_was_taken_last_and_pauses(keep, clock, caplog):
    snapshot = keep(FIRST, StorageError("503 from the bucket"), SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE

    assert snapshot.statistics() == FIRST
    wait_for(lambda: "503 from the bucket" in caplog.text)
    wait_for(lambda: snapshot._kept()["failed_at"] is not None)
    clock.now += PAUSE - 1
    assert [snapshot.statistics() for _ in range(5)] == [FIRST] * 5
    assert snapshot.provider.looks == 2
    clock.now += 1
    wait_for(lambda: snapshot.statistics() == SECOND)

    assert snapshot.provider.looks == 3


def test_when_they_never_were_and_cannot_be_taken_that_is_an_error_without_a_wait(keep, clock, caplog):
    snapshot = keep(StorageError("403 from the bucket"), FIRST, patience=20_000)
    begun = time.monotonic()

    for _ in range(5):
        with pytest.raises(StorageError, match="never were"):
            snapshot.statistics()
    took = time.monotonic() - begun
    clock.now += PAUSE
    told = snapshot.statistics()

    assert took < 10
    assert (told, snapshot.provider.looks) == (FIRST, 2)
    assert "403 from the bucket" in caplog.text


def test_when_they_never_were_and_do_not_come_a_request_waits_so_long_and_no_longer(keep):
    snapshot = keep(FIRST, patience=200)
    snapshot.provider.gate.clear()
    begun = time.monotonic()

    with pytest.raises(StorageError, match="did not come in time"):
        snapshot.statistics()
    took = time.monotonic() - begun
    snapshot.provider.gate.set()
    wait_for(lambda: snapshot._kept()["taken_at"] is not None)

    assert 0.2 <= took < 10
    assert (snapshot.statistics(), snapshot.provider.looks) == (FIRST, 1)


@pytest.mark.parametrize("number", [-1, 1.5, float("nan"), "5", object()])
def test_what_is_no_count_is_not_kept(keep, clock, number, caplog):
    snapshot = keep(FIRST, Statistics(number, 1, NOW), SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE

    snapshot.statistics()
    wait_for(lambda: "which is no count" in caplog.text)

    assert snapshot.statistics() == FIRST


@sqlite
def test_a_database_that_cannot_be_written_still_tells_what_was_taken_last(database, keep, clock, caplog):
    snapshot = keep(FIRST)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE
    database.busy_timeout = 0.01
    database.close()
    other = sqlite3.connect(database.url, isolation_level=None)
    other.execute("begin immediate")

    told = snapshot.statistics()
    other.close()

    assert (told, snapshot.provider.looks) == (FIRST, 1)
    assert "can't be refreshed" in caplog.text


@sqlite
def test_a_database_that_cannot_be_written_and_has_none_is_an_error_without_a_wait(database, keep):
    snapshot = keep(FIRST, patience=20_000)
    database.busy_timeout = 0.01
    database.close()
    other = sqlite3.connect(database.url, isolation_level=None)
    other.execute("begin immediate")
    begun = time.monotonic()

    with pytest.raises(Exception, match="database is locked"):
        snapshot.statistics()
    took = time.monotonic() - begun
    other.close()

    assert took < 5


def test_the_statistics_of_one_place_are_not_those_of_another(keep):
    here, there = keep(FIRST), keep(SECOND)
    there.source = "another bucket"

    told = [here.statistics(), there.statistics(), here.statistics()]

    assert told == [FIRST, SECOND, FIRST]


def test_sessions_are_made_of_objects_by_a_ratio_that_was_measured_and_has_a_date(database, keep, clock):
    counted = Statistics(1_000, None, NOW)
    snapshot = keep(counted, counted, max_age=1)

    before = snapshot.statistics()
    ratio = snapshot.measure(Statistics(660, 60, NOW - 5))
    after = snapshot.refresh()

    assert before == counted
    assert (ratio, after) == (11.0, Statistics(1_000, 91, NOW))
    assert database.rows("select * from storage_ratios") == [
        {"source": "bucket", "objects_per_session": 11.0, "measured_at": NOW - 5}
    ]


def test_a_ratio_is_measured_anew_and_never_from_no_session(database, keep):
    snapshot = keep()
    snapshot.measure(Statistics(660, 60, NOW))

    for nothing in (Statistics(660, 0, NOW), Statistics(0, 0, NOW), Statistics(660, None, NOW)):
        with pytest.raises(StorageError, match="no session"):
            snapshot.measure(nothing)
    snapshot.measure(Statistics(20, 10, NOW + 1))

    assert database.rows("select objects_per_session, measured_at from storage_ratios") == [
        {"objects_per_session": 2.0, "measured_at": NOW + 1}
    ]


def test_a_count_of_sessions_is_taken_before_any_ratio(keep):
    snapshot = keep(Statistics(1_000, 7, NOW))
    snapshot.measure(Statistics(20, 10, NOW))

    assert snapshot.statistics() == Statistics(1_000, 7, NOW)


def test_a_reply_says_how_old_it_is(serve):
    client = serve(storage=Bucket(Statistics(100, 10, NOW - 90_999), *[StorageError("no more")] * 9))

    response = client.get("/analytics/storage")
    known = client.get("/analytics/storage", headers={"If-None-Match": response.headers["ETag"]})

    assert response.json == {"total_objects": 100, "estimated_sessions": 10}
    assert response.headers["Age"] == "90"
    assert (known.status_code, known.headers["Age"]) == (304, "90")


@sqlite
def test_an_age_is_never_below_zero_and_without_storage_there_is_none(serve):
    ahead = serve(storage=Bucket(Statistics(100, 10, NOW + 5_000), *[StorageError("no more")] * 9))

    assert ahead.get("/analytics/storage").headers["Age"] == "0"
    assert "Age" not in serve().get("/analytics/storage").headers
    assert "Age" not in ahead.get("/analytics/geo").headers
