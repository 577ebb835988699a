"""Responses that wait for a commit occupy no thread. The tests run gunicorn, and lock the database to delay commits."""

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


def exchange(connection, request):
    """Send a request without a body in its response. Return the status."""
    connection.sendall(request)
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        chunk = connection.recv(65536)
        assert chunk, "the server closed the connection"
        received += chunk
    return int(received.split()[1])


def count_events(folder):
    with closing(sqlite3.connect(folder / "analytics.db")) as connection:
        return connection.execute("select count(*) from events").fetchone()[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("late")


@pytest.fixture(scope="module")
def shared(folder):
    """Return a server that several tests use. Each test sends visits with numbers that no other test uses."""
    with serving(folder, *OPTIONS, **SETTINGS) as server:
        assert post(server, 0) == 204
        yield server


def test_reads_are_served_while_visits_wait(shared, folder):
    """More visits wait than the server has threads."""
    before = count_events(folder)
    with ThreadPoolExecutor(16) as pool, locked(folder):
        visits = [pool.submit(post, shared, number) for number in range(100, 116)]
        time.sleep(0.3)  # time for most requests to arrive, so that many of them wait
        status, _ = shared.get("/analytics/overview")
        waiting = [visit for visit in visits if not visit.done()]

    assert (status, len(waiting)) == (200, 16)
    assert {visit.result() for visit in visits} == {204}
    assert count_events(folder) == before + 16


def chunked_request(number):
    content = body(number)
    return (
        "POST /collect HTTP/1.1\r\nHost: stats.example\r\nContent-Type: text/plain\r\n"
        f"User-Agent: {BROWSER}\r\nTransfer-Encoding: chunked\r\n\r\n{len(content):x}\r\n{content}\r\n0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(("request_visit", "number"), [(raw_request, 200), (chunked_request, 300)])
def test_responses_of_a_connection_are_in_order(shared, folder, request_visit, number):
    before = count_events(folder)
    with shared.connect() as connection:
        connection.sendall(
            request_visit(number)
            + raw_request(number + 1)
            + b"GET /a.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while chunk := connection.recv(65536):
            received += chunk

    statuses = [line.split()[1] for line in received.splitlines() if line.startswith(b"HTTP/1.1 ")]
    assert statuses == [b"204", b"204", b"200"]
    assert count_events(folder) == before + 2


def test_visit_of_a_closed_connection_is_stored(shared, folder):
    before, lines = count_events(folder), len(shared.lines())
    with locked(folder), shared.connect() as connection:
        connection.sendall(raw_request(400))
        time.sleep(0.3)
    wait_for(lambda: count_events(folder) == before + 1)

    assert post(shared, 401) == 204
    assert not [line for line in shared.lines()[lines:] if line["level"] == "error"]


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


def test_locked_database_is_answered_with_503(shared, folder):
    before = count_events(folder)
    with locked(folder):
        status, headers, reply = shared.request("POST", "/collect", body(500), HEADERS.items())

    assert (status, headers["Retry-After"]) == (503, "5")
    assert json.loads(reply) == {"error": "The events cannot be written now"}
    assert post(shared, 500) == 204
    assert count_events(folder) == before + 1


def test_slow_clients_in_all_threads_delay_no_event(shared):
    with shared.connect() as kept_open, shared.connect() as slow, shared.connect() as slower:
        assert exchange(kept_open, raw_request(600)) == 204
        for client in (slow, slower):
            client.sendall(raw_request(601)[:20])
        time.sleep(0.3)  # time for both threads to read a request

        assert exchange(kept_open, raw_request(602)) == 204


@pytest.mark.parametrize(
    ("request_visit", "cut"), [(raw_request, 10), (raw_request, 60), (raw_request, -10), (chunked_request, -10)]
)
def test_incomplete_event_delays_no_other_client(shared, request_visit, cut):
    with shared.connect() as slow, shared.connect() as fast:
        assert [exchange(client, raw_request(700)) for client in (slow, fast)] == [204, 204]
        slow.sendall(request_visit(701)[:cut])
        time.sleep(0.1)

        assert exchange(fast, raw_request(702)) == 204
        assert exchange(slow, request_visit(701)[cut:]) == 204
