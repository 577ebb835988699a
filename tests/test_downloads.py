"""Exports over HTTP: temporary files, limits on their number and duration, and revoked keys."""

import resource
import sqlite3
import tempfile
import threading
from contextlib import closing, contextmanager

import pytest
from helpers.client import KEY, NOW
from helpers.server import wait_for
from werkzeug.test import create_environ

from analytics_api import create_app
from analytics_api.http import downloads
from analytics_api.http.downloads import Downloads
from analytics_api.http.streams import Stream
from analytics_api.keys import KeyStore

EXPORT = "/analytics/leads/export"


@pytest.fixture
def filled(insert):
    """Insert enough leads for an export that has several chunks and is written to disk."""
    rows = [
        {"lead_id": n, "enquiry_datetime": "2026-02-23 11:15:00", "engagement_label": "x" * 800} for n in range(1, 501)
    ]
    insert("leads", *rows)


@contextmanager
def limited_file_size(size):
    """Limit the size of files that this process can write, to simulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_length_is_that_of_the_body_also_for_head(filled, client):
    get, head = client.get(EXPORT), client.head(EXPORT)

    assert len(get.data) > downloads.MAX_MEMORY_BYTES
    assert get.headers["Content-Length"] == head.headers["Content-Length"] == str(len(get.data))
    assert (head.status_code, head.data) == (200, b"")


def test_started_export_holds_no_snapshot(database, filled, client):
    expected = client.get(EXPORT).data

    with client.get(EXPORT, buffered=False) as response:
        body = response.iter_encoded()
        first = next(body)
        database.write(lambda at: at.execute("delete from leads"))
        database.close()

        assert first + b"".join(body) == expected


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_started_export_lets_the_wal_be_emptied(database, filled, client):
    with client.get(EXPORT, buffered=False) as response:
        next(response.iter_encoded())
        with closing(sqlite3.connect(database.path)) as connection:
            assert connection.execute("pragma wal_checkpoint(truncate)").fetchone() == (0, 0, 0)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_started_export_holds_no_transaction(database, filled, client):
    with client.get(EXPORT, buffered=False) as response:
        next(response.iter_encoded())
        assert database.rows(
            "select count(*) as open from pg_stat_activity where state like 'idle in transaction%' "
            "and datname = current_database()"
        ) == [{"open": 0}]


@pytest.mark.any_engine
def test_too_many_exports_are_503(filled, serve):
    client = serve(max_exports=2)
    with client.get(EXPORT, buffered=False):
        with client.get(EXPORT, buffered=False):
            refused = client.get(EXPORT)
        again = client.get(EXPORT)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json == {"error": "Too many exports are running; try again in a few seconds"}
    assert again.status_code == 200


@pytest.mark.any_engine
def test_finished_exports_allow_new_ones(filled, database):
    app = create_app(database, api_keys=[KEY], clock=lambda: NOW)
    environ = create_environ(EXPORT, headers={"X-API-Key": KEY})

    # Read each response to its end without calling close(), as some test clients do.
    bodies = [b"".join(app(dict(environ), lambda status, headers: None)) for _ in range(downloads.MAX_EXPORTS + 1)]

    assert bodies[0]
    assert bodies == [bodies[0]] * len(bodies)


def test_failed_exports_allow_new_ones(filled, serve):
    client = serve(max_exports=1)
    for _ in range(3):
        with limited_file_size(4096):
            assert client.get(EXPORT).status_code == 500
        assert client.head(EXPORT).status_code == 200

    assert client.get(EXPORT).status_code == 200


@pytest.mark.any_engine
def test_export_without_a_second_thread_allows_new_ones(filled, serve):
    client = serve(max_exports=1)
    former = threading.stack_size(1 << 46)  # more than the address space, so that no thread can be started
    try:
        assert client.get(EXPORT).status_code == 500
    finally:
        threading.stack_size(former)

    assert client.get(EXPORT).status_code == 200


@pytest.mark.any_engine
def test_full_disk_is_500_with_the_cause_in_the_log(filled, client, caplog):
    with limited_file_size(4096):
        response = client.get(EXPORT)

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert "File too large" in caplog.text


@pytest.mark.any_engine
def test_missing_temporary_folder_is_500(filled, client, caplog, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    response = client.get(EXPORT)

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert "No such file or directory" in caplog.text


@pytest.mark.any_engine
def test_slow_query_is_500_and_the_log_names_route_and_budget(filled, serve, caplog):
    response = serve(export_timeout=1e-6).get(EXPORT)

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert "GET /leads/export failed" in caplog.text
    assert "its timeout of 1e-06 s" in caplog.text


def test_revoked_key_ends_its_export(database, filled, client, caplog, monkeypatch):
    monkeypatch.setattr(downloads, "CHECK_SECONDS", 0.05)
    keys = KeyStore(database)
    key = keys.add("wall", ["leads:read"], now=NOW)

    with client.get(EXPORT, buffered=False, key=key) as response:
        body = response.iter_encoded()
        next(body)
        keys.revoke("wall", now=NOW)
        wait_for(lambda: "export aborted: its API key is no longer valid" in caplog.text)

        with pytest.raises(ConnectionResetError):
            list(body)


def test_slow_reader_is_ended_when_the_time_is_up(caplog, monkeypatch):
    monkeypatch.setattr(downloads, "CHECK_SECONDS", 0.01)
    stream = Stream("text/plain", "a.txt", (chunk for chunk in ["x" * 1_000_000]))

    body = Downloads(1, 0.5).send({"REQUEST_METHOD": "GET"}, lambda *started: None, stream)
    chunks = iter(body)
    next(chunks)
    wait_for(lambda: "export aborted: it took longer than its timeout of 0.5 s" in caplog.text)

    with pytest.raises(ConnectionResetError):
        next(chunks)
    body.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_exports", 0), ("max_exports", "2"), ("export_timeout", 0), ("export_timeout", float("inf"))],
    ids=["zero", "text", "no-time", "endless"],
)
def test_invalid_limit_names_the_argument(tmp_path, option, value):
    with pytest.raises(Exception, match=f"^{option}: pass a positive "):
        create_app(tmp_path / "a.db", api_keys=[KEY], **{option: value})


@pytest.mark.any_engine
def test_abandoned_export_allows_a_new_one(filled, serve):
    client = serve(max_exports=1)
    for _ in range(3):
        with client.get(EXPORT, buffered=False) as response:
            next(response.iter_encoded())

    assert client.get(EXPORT).status_code == 200
