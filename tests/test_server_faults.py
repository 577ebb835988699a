"""Database failures while the application runs. faults/disk_faults.py tests a server process and mounts."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from helpers.client import KEY, NOW, APIClient

from analytics_api import create_app
from analytics_api.database import SQLite

FAILED = (500, {"error": "Analytics query failed"})
MOVED = (200, {"updated": True})
STATUSES = ["new", "contacted", "qualified", "proposal", "won", "lost"]


@pytest.fixture
def file(tmp_path):
    """Return an open database with one lead. Its busy timeout is short, and it checks its file before each read."""
    with SQLite(tmp_path / "analytics.db", busy_timeout=0.05).closing() as database:
        database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], [(1, "2026-02-23 11:15:00")]))
        yield database


@pytest.fixture
def dashboard(file, monkeypatch):
    monkeypatch.setattr("analytics_api.database.sqlite.FILE_CHECK_SECONDS", 0.0)
    return APIClient(create_app(file, api_keys=[KEY], clock=lambda: NOW))


@pytest.fixture
def read(dashboard):
    def read():
        response = dashboard.get("/analytics/leads/1")
        return response.status_code, response.json["lead"]["status"] if response.status_code == 200 else response.json

    return read


@pytest.fixture
def move(dashboard):
    def move(status):
        response = dashboard.patch("/analytics/leads/1", json={"status": status})
        return response.status_code, response.json

    return move


def copy(file, path, **lead):
    """Copy the database to another path, and update the lead in the copy."""
    with closing(sqlite3.connect(file.url)) as old, closing(sqlite3.connect(path)) as new:
        old.backup(new)
        for column, value in lead.items():
            new.execute(f"update leads set {column} = ?", [value])
        new.commit()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.slow
def test_history_of_64_concurrent_updates_is_a_chain(database, insert, serve, monkeypatch):
    monkeypatch.setattr(database, "busy_timeout", 60.0, raising=False)  # a busy machine may take longer than 5 s
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    application = serve().application

    def move(number):
        body = {"status": STATUSES[number % 6]}
        return APIClient(application).patch("/analytics/leads/1", json=body).status_code

    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(move, range(96)))

    history = database.rows("select old_status, new_status from lead_status_changes order by change_id")
    assert statuses == [200] * 96
    assert [row["old_status"] for row in history] == ["new", *(row["new_status"] for row in history[:-1])]
    assert history[-1]["new_status"] == database.row("select status from leads")["status"]
    assert all(row["old_status"] != row["new_status"] for row in history)
    assert database.verify() == []


def test_locked_database_serves_reads_and_recovers(file, read, move, caplog):
    with closing(sqlite3.connect(file.url, isolation_level=None)) as other:
        other.execute("begin immediate")
        meanwhile = [read(), move("won"), read()]

    assert meanwhile == [(200, "new"), FAILED, (200, "new")]
    assert "database is locked" in caplog.text
    assert [move("won"), read()] == [MOVED, (200, "won")]


def test_read_only_database_serves_reads_and_recovers(file, read, move, monkeypatch, caplog):
    connect = file._connect

    def only_read():
        connection = connect()
        connection.execute("pragma query_only = on")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(file, "_connect", only_read)
        file.close()
        meanwhile = [read(), move("won"), read()]
    after = [move("won"), move("won"), read()]

    assert meanwhile == [(200, "new"), FAILED, (200, "new")]
    assert "readonly" in caplog.text
    assert after == [FAILED, MOVED, (200, "won")]


def test_replaced_file_is_used_at_once(file, read, move, tmp_path):
    before = move("contacted")
    copy(file, tmp_path / "new.db", status="qualified")
    os.replace(tmp_path / "new.db", file.url)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"analytics.db{suffix}").unlink(missing_ok=True)

    after = [read(), move("won"), read()]

    assert before == MOVED
    assert after == [(200, "qualified"), MOVED, (200, "won")]
    with closing(sqlite3.connect(file.url)) as new:
        assert new.execute("select status from leads").fetchall() == [("won",)]


@pytest.mark.parametrize("left", ["-wal", "-shm"])
def test_restored_file_waits_for_the_deletion_of_the_old_wal(file, read, move, tmp_path, caplog, left):
    copy(file, tmp_path / "new.db", status="qualified")
    before = move("contacted")
    os.replace(tmp_path / "new.db", file.url)
    (tmp_path / f"analytics.db{'-shm' if left == '-wal' else '-wal'}").unlink()
    meanwhile = [read(), move("lost")]
    (tmp_path / f"analytics.db{left}").unlink()

    after = [read(), move("won"), read()]

    assert before == MOVED
    assert meanwhile == [FAILED] * 2
    assert f"{file.url}: the database was replaced; delete the old {file.url}{left}" in caplog.text
    assert after == [(200, "qualified"), MOVED, (200, "won")]
    assert file.verify() == []


def test_restart_before_the_deletion_of_the_old_wal_is_safe(file, read, move, tmp_path):
    copy(file, tmp_path / "new.db", status="qualified")
    move("contacted")
    os.replace(file.url, tmp_path / "old.db")
    os.replace(tmp_path / "new.db", file.url)
    meanwhile = read()
    file.close()

    with SQLite(file.url).closing() as restarted:
        differences = restarted.verify()

    assert meanwhile == FAILED
    assert differences == []
    with closing(sqlite3.connect(file.url)) as new, closing(sqlite3.connect(tmp_path / "old.db")) as old:
        assert new.execute("select status from leads").fetchall() == [("qualified",)]
        assert old.execute("select status from leads").fetchall() == [("contacted",)]


def test_missing_file_is_an_error_and_not_created(file, read, move, tmp_path, caplog):
    os.rename(file.url, tmp_path / "aside.db")
    gone = [read(), move("won"), read()]
    exists = (tmp_path / "analytics.db").exists()
    os.rename(tmp_path / "aside.db", file.url)

    back = [read(), move("won"), read()]

    assert gone == [FAILED] * 3
    assert not exists
    assert "No such file or directory" in caplog.text
    assert back == [(200, "new"), MOVED, (200, "won")]


@pytest.mark.parametrize(
    ("left", "message"), [(0, "this file is empty"), (4096, "malformed"), (100_000, "malformed"), (50, "malformed")]
)
def test_truncated_file_is_an_error_until_restored(file, read, move, tmp_path, caplog, left, message):
    copy(file, tmp_path / "whole.db")
    file.close()
    os.truncate(file.url, left)
    cut_off = [read(), move("won"), read()]
    os.replace(tmp_path / "whole.db", file.url)

    whole = [read(), move("won"), read()]

    assert cut_off == [FAILED] * 3
    assert message in caplog.text
    assert whole == [(200, "new"), MOVED, (200, "won")]


@pytest.mark.slow
def test_close_waits_for_threads_that_read(file):
    def ask(_):
        for _ in range(5):
            file.rows("select * from leads, case_folds limit 500")
        return True

    with ThreadPoolExecutor(8) as pool:
        results = pool.map(ask, range(16))
        for _ in range(25):
            file.close()

    assert all(results)
