"""The snapshot of the storage statistics: which worker refreshes it, when, and the responses until then."""

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
from analytics_api.storage.snapshot import CLAIM_TIME, MAX_AGE, RETRY_PAUSE, Snapshot

sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Bucket:
    """A custom provider that returns its results in turn, and waits while the gate is closed."""

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
    """Return a function that creates a snapshot of a provider with these results."""

    def keep(*answers, **options):
        return Snapshot(Bucket(*answers), database, **{"clock": clock, "timeout": 5_000} | options)

    return keep


def test_first_request_waits_for_the_snapshot(keep):
    snapshot = keep(FIRST)

    statistics = snapshot.statistics()

    assert statistics == FIRST


def test_snapshot_is_served_until_it_is_old(keep, clock):
    snapshot = keep(FIRST, SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE - 1

    statistics = [snapshot.statistics() for _ in range(5)]

    assert (statistics, snapshot.provider.looks) == ([FIRST] * 5, 1)


def test_old_snapshot_is_served_while_it_is_refreshed(keep, clock):
    snapshot = keep(FIRST, SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE
    snapshot.provider.gate.clear()

    meanwhile = [snapshot.statistics() for _ in range(5)]
    snapshot.provider.gate.set()
    wait_for(lambda: snapshot.statistics() == SECOND)

    assert (meanwhile, snapshot.provider.looks) == ([FIRST] * 5, 2)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_one_of_many_threads_refreshes(keep, clock):
    snapshot = keep(FIRST, SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE
    snapshot.provider.gate.clear()

    with ThreadPoolExecutor(16) as pool:
        statistics = list(pool.map(lambda _: snapshot.statistics(), range(64)))
    snapshot.provider.gate.set()
    wait_for(lambda: snapshot.statistics() == SECOND)

    assert (statistics, snapshot.provider.looks) == ([FIRST] * 64, 2)


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

snapshot = Snapshot(Slow(), open_database(url), timeout=20_000)
print("ready", flush=True)
while not Path(start).exists():
    time.sleep(0.0002)  # so that all processes begin at the same time
with ThreadPoolExecutor(4) as pool:
    statistics = set(pool.map(lambda _: snapshot.statistics().total_objects, range(40)))
print(statistics, flush=True)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.slow
def test_one_of_several_processes_refreshes(database, tmp_path):
    looks, start = tmp_path / "looks", tmp_path / "start"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, database.url, looks, start], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"

    start.touch()
    statistics = [worker.communicate(timeout=60)[0] for worker in workers]

    assert statistics == ["{5}\n"] * 4
    assert looks.read_bytes() == b"x"


@sqlite
@pytest.mark.slow
def test_claim_of_a_killed_process_expires(database, tmp_path, keep, clock):
    looks, start = tmp_path / "looks", tmp_path / "start"
    start.touch()
    forever = WORKER.replace("time.sleep(0.5)", "time.sleep(60)").replace("slow bucket", "bucket")
    with subprocess.Popen(
        [sys.executable, "-c", forever, database.url, looks, start], stdout=subprocess.PIPE, text=True
    ) as worker:
        wait_for(looks.exists)
        os.kill(worker.pid, signal.SIGKILL)
    clock.now = time.time_ns() // 1_000_000
    snapshot = keep(FIRST, timeout=100)

    with pytest.raises(StorageError, match="were not available within the timeout"):
        snapshot.statistics()
    clock.now += CLAIM_TIME + 1
    snapshot.timeout = 20_000
    statistics = snapshot.statistics()

    assert (statistics, snapshot.provider.looks) == (FIRST, 1)


@sqlite
def test_long_refresh_renews_its_claim(database, keep, monkeypatch):
    monkeypatch.setattr(snapshot, "CLAIM_TIME", 600)
    real = {"clock": snapshot.now, "timeout": 20_000}
    one, other = keep(FIRST, **real), keep(SECOND, **real)
    gate = one.provider.gate = other.provider.gate
    gate.clear()

    with ThreadPoolExecutor(2) as pool:
        statistics = [pool.submit(one.statistics), pool.submit(other.statistics)]
        wait_for(lambda: one.provider.looks + other.provider.looks == 1)
        Event().wait(0.9)
        looks = one.provider.looks + other.provider.looks
        gate.set()
        answers = {future.result() for future in statistics}

    assert (looks, len(answers)) == (1, 1)


def test_failed_refresh_leaves_the_snapshot_and_pauses(keep, clock, caplog):
    snapshot = keep(FIRST, StorageError("503 from the bucket"), SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE

    assert snapshot.statistics() == FIRST
    wait_for(lambda: "503 from the bucket" in caplog.text)
    wait_for(lambda: snapshot._row()["failed_at"] is not None)
    clock.now += RETRY_PAUSE - 1
    assert [snapshot.statistics() for _ in range(5)] == [FIRST] * 5
    assert snapshot.provider.looks == 2
    clock.now += 1
    wait_for(lambda: snapshot.statistics() == SECOND)

    assert snapshot.provider.looks == 3


def test_failed_first_refresh_is_an_error_without_a_wait(keep, clock, caplog):
    snapshot = keep(StorageError("403 from the bucket"), FIRST, timeout=20_000)
    begun = time.monotonic()

    for _ in range(5):
        with pytest.raises(StorageError, match="there are no earlier ones"):
            snapshot.statistics()
    took = time.monotonic() - begun
    clock.now += RETRY_PAUSE
    statistics = snapshot.statistics()

    assert took < 10
    assert (statistics, snapshot.provider.looks) == (FIRST, 2)
    assert "403 from the bucket" in caplog.text


def test_slow_first_refresh_is_an_error_after_the_timeout(keep):
    snapshot = keep(FIRST, timeout=200)
    snapshot.provider.gate.clear()
    begun = time.monotonic()

    with pytest.raises(StorageError, match="were not available within the timeout"):
        snapshot.statistics()
    took = time.monotonic() - begun
    snapshot.provider.gate.set()
    wait_for(lambda: snapshot._row()["taken_at"] is not None)

    assert 0.2 <= took < 10
    assert (snapshot.statistics(), snapshot.provider.looks) == (FIRST, 1)


@pytest.mark.parametrize("number", [-1, 1.5, float("nan"), "5", object(), 2**63])
def test_invalid_numbers_are_not_saved(keep, clock, number, caplog):
    snapshot = keep(FIRST, Statistics(number, 1, NOW), SECOND)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE

    snapshot.statistics()
    wait_for(lambda: "which is not a count" in caplog.text)

    assert snapshot.statistics() == FIRST


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "returned None, which is not an analytics_api.Statistics"),
        (Statistics(1, 1, None), "returned the time None, which is not in milliseconds since 1970"),
        (Statistics(1, 1, NOW // 1000), f"returned the time {NOW // 1000}, which is not in milliseconds since 1970"),
        (Statistics(1, 1, NOW * 1000), f"returned the time {NOW * 1000}, which is not in milliseconds since 1970"),
    ],
    ids=["none", "no-time", "seconds", "microseconds"],
)
def test_statistics_of_a_faulty_provider_are_not_saved(keep, answer, message, caplog):
    snapshot = keep(answer)

    with pytest.raises(StorageError, match="there are no earlier ones"):
        snapshot.statistics()

    assert message in caplog.text


@sqlite
def test_read_only_database_serves_the_snapshot(database, keep, clock, caplog):
    snapshot = keep(FIRST)
    snapshot.statistics()
    clock.now = NOW + MAX_AGE
    database.busy_timeout = 0.01
    database.close()
    other = sqlite3.connect(database.url, isolation_level=None)
    other.execute("begin immediate")

    statistics = snapshot.statistics()
    other.close()

    assert (statistics, snapshot.provider.looks) == (FIRST, 1)
    assert "cannot be refreshed" in caplog.text


@sqlite
def test_read_only_database_without_snapshot_is_an_error(database, keep):
    snapshot = keep(FIRST, timeout=20_000)
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


def test_snapshots_of_other_sources_are_not_served(keep):
    here, there = keep(FIRST), keep(SECOND)
    there.source = "another bucket"

    statistics = [here.statistics(), there.statistics(), here.statistics()]

    assert statistics == [FIRST, SECOND, FIRST]


def test_sessions_are_estimated_by_the_saved_ratio(database, keep, clock):
    counted = Statistics(1_000, None, NOW)
    snapshot = keep(counted, counted, max_age=1)

    before = snapshot.statistics()
    ratio = snapshot.calibrate(Statistics(660, 60, NOW - 5))
    after = snapshot.refresh()

    assert before == counted
    assert (ratio, after) == (11.0, Statistics(1_000, 91, NOW))
    assert database.rows("select * from storage_ratios") == [
        {"source": "bucket", "objects_per_session": 11.0, "measured_at": NOW - 5}
    ]


def test_ratio_is_replaced_and_needs_a_session(database, keep):
    snapshot = keep()
    snapshot.calibrate(Statistics(660, 60, NOW))

    for nothing in (Statistics(660, 0, NOW), Statistics(0, 0, NOW), Statistics(660, None, NOW)):
        with pytest.raises(StorageError, match="no session"):
            snapshot.calibrate(nothing)
    snapshot.calibrate(Statistics(20, 10, NOW + 1))

    assert database.rows("select objects_per_session, measured_at from storage_ratios") == [
        {"objects_per_session": 2.0, "measured_at": NOW + 1}
    ]


def test_counted_sessions_take_precedence_over_a_ratio(keep):
    snapshot = keep(Statistics(1_000, 7, NOW))
    snapshot.calibrate(Statistics(20, 10, NOW))

    assert snapshot.statistics() == Statistics(1_000, 7, NOW)


def test_response_has_the_age(serve):
    client = serve(storage=Bucket(Statistics(100, 10, NOW - 90_999), *[StorageError("no more")] * 9))

    response = client.get("/analytics/storage")
    known = client.get("/analytics/storage", headers={"If-None-Match": response.headers["ETag"]})

    assert response.json == {"total_objects": 100, "estimated_sessions": 10}
    assert response.headers["Age"] == "90"
    assert (known.status_code, known.headers["Age"]) == (304, "90")


@sqlite
def test_age_is_never_negative_and_absent_without_storage(serve):
    ahead = serve(storage=Bucket(Statistics(100, 10, NOW + 5_000), *[StorageError("no more")] * 9))

    assert ahead.get("/analytics/storage").headers["Age"] == "0"
    assert "Age" not in serve().get("/analytics/storage").headers
    assert "Age" not in ahead.get("/analytics/geo").headers
