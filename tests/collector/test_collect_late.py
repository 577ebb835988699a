"""Responses wait for a commit without a thread. The tests use gunicorn processes, and lock the database meanwhile."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from helpers.collecting import BROWSER
from helpers.server import serving, wait_for

pytestmark = pytest.mark.slow

OPTIONS = ["--workers", "1", "--threads", "2"]
SETTINGS = {"ANALYTICS_COLLECT_HOSTS": "shop.example"}
HEADERS = {"User-Agent": BROWSER, "Content-Type": "text/plain"}


def body(number):
    return json.dumps({"type": "page_view", "id": f"view-{number:08}", "url": "https://shop.example/", "at": 0})


def post(server, number):
    return server.request("POST", "/collect", body(number), HEADERS.items())[0]


def raw_request(number):
    content = body(number)
    return (
        f"POST /collect HTTP/1.1\r\nHost: stats.example\r\nUser-Agent: {BROWSER}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(content)}\r\n\r\n{content}"
    ).encode()


@contextmanager
def locked(folder):
    """Hold the write lock of the database within the block."""
    with closing(sqlite3.connect(folder / "analytics.db", isolation_level=None)) as connection:
        connection.execute("begin immediate")
        yield
        connection.execute("commit")


def count_events(folder):
    with closing(sqlite3.connect(folder / "analytics.db")) as connection:
        return connection.execute("select count(*) from events").fetchone()[0]


def test_reads_are_served_while_visits_wait(tmp_path):
    """More visits wait than the server has threads."""
    with serving(tmp_path, *OPTIONS, **SETTINGS) as server, ThreadPoolExecutor(16) as pool:
        assert post(server, 100) == 204
        with locked(tmp_path):
            visits = [pool.submit(post, server, number) for number in range(16)]
            time.sleep(0.3)  # time for most requests to arrive, so that many of them wait
            status, _ = server.get("/analytics/overview")
            waiting = [visit for visit in visits if not visit.done()]

        assert (status, len(waiting)) == (200, 16)
        assert {visit.result() for visit in visits} == {204}
    assert count_events(tmp_path) == 17


def chunked_request(number):
    content = body(number)
    return (
        "POST /collect HTTP/1.1\r\nHost: stats.example\r\nContent-Type: text/plain\r\n"
        f"User-Agent: {BROWSER}\r\nTransfer-Encoding: chunked\r\n\r\n{len(content):x}\r\n{content}\r\n0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("request_visit", [raw_request, chunked_request])
def test_responses_of_a_connection_are_in_order(tmp_path, request_visit):
    with serving(tmp_path, *OPTIONS, **SETTINGS) as server, server.connect() as connection:
        connection.sendall(
            request_visit(1) + raw_request(2) + b"GET /a.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while chunk := connection.recv(65536):
            received += chunk

    statuses = [line.split()[1] for line in received.splitlines() if line.startswith(b"HTTP/1.1 ")]
    assert statuses == [b"204", b"204", b"200"]
    assert count_events(tmp_path) == 2


def test_visit_of_a_closed_connection_is_stored(tmp_path):
    with serving(tmp_path, *OPTIONS, **SETTINGS) as server:
        assert post(server, 1) == 204
        with locked(tmp_path), server.connect() as connection:
            connection.sendall(raw_request(2))
            time.sleep(0.3)
        wait_for(lambda: count_events(tmp_path) == 2)

        assert post(server, 3) == 204
        assert not [line for line in server.lines() if line["level"] == "error"]


def test_stopping_server_stores_waiting_visits(tmp_path):
    with serving(tmp_path, *OPTIONS, **SETTINGS) as server, ThreadPoolExecutor(1) as pool:
        assert post(server, 1) == 204
        with locked(tmp_path):
            visit = pool.submit(post, server, 2)
            time.sleep(0.3)
            server.process.terminate()
            time.sleep(0.3)
        status = visit.result()

    assert status == 204
    assert count_events(tmp_path) == 2


def test_locked_database_is_answered_with_503(tmp_path):
    with serving(tmp_path, *OPTIONS, **SETTINGS) as server:
        assert post(server, 1) == 204
        with locked(tmp_path):
            status, headers, reply = server.request("POST", "/collect", body(2), HEADERS.items())

        assert (status, headers["Retry-After"]) == (503, "5")
        assert json.loads(reply) == {"error": "The events cannot be written now"}
        assert post(server, 2) == 204
    assert count_events(tmp_path) == 2
