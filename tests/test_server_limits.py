"""`analytics-api serve` with clients that send too much or too slowly, or do not disconnect."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.client import KEY
from helpers.server import serving

from analytics_api import open_database

HEAD = f"GET /analytics/geo HTTP/1.1\r\nHost: shop.example\r\nX-API-Key: {KEY}\r\n".encode()
BODY = b'{"status": "won"}'
PATCH = (
    f"PATCH /analytics/leads/1 HTTP/1.1\r\nHost: shop.example\r\nX-API-Key: {KEY}\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run a server of one process with two threads."""
    folder = tmp_path_factory.mktemp("limits")
    with open_database(folder / "analytics.db").closing() as database:
        database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], [(1, "2026-02-23 11:15:00")]))
    with serving(folder, "--workers", "1", "--threads", "2") as server:
        yield server


def reply(connection):
    """Read the response, and return its status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        piece = connection.recv(65536)
        assert piece, data
        body += piece
    return int(head.split()[1]), body


def test_overlong_request_is_rejected_and_the_next_served(server):
    too_much = [
        b"GET /analytics/geo?x=" + b"x" * 8200 + b" HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        HEAD + b"X-Long: " + b"x" * 8200 + b"\r\n\r\n",
        HEAD + b"".join(b"X-%d: x\r\n" % number for number in range(70)) + b"\r\n",
        HEAD + b"X-Endless: " + b"x" * 3_000_000,
        b"x" * 3_000_000,
        "GET /analytics/sessions/daily?days=\u0667 HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode(),
    ]

    statuses = []
    for data in too_much:
        with server.connect() as connection:
            try:
                connection.sendall(data)
                statuses.append(int(connection.recv(65536).split()[1]))
            except ConnectionError:  # the response arrives before the client has sent the whole body
                statuses.append(400)

    assert all(status in (400, 414, 431) for status in statuses), statuses
    assert server.get("/analytics/geo") == (200, [])


def test_request_may_arrive_byte_by_byte(server):
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in PATCH + BODY:
            connection.sendall(bytes([byte]))

        answer = reply(connection)

    assert answer == (200, b'{"updated":true}')


def test_connection_is_reused_and_pipelined(server):
    with server.connect() as connection:
        one_by_one = []
        for _ in range(3):
            connection.sendall(PATCH + BODY)
            one_by_one.append(reply(connection))
        connection.sendall((HEAD + b"\r\n") * 3)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 3 or not data.endswith(b"[]"):
            piece = connection.recv(65536)
            assert piece, data
            data += piece

    assert one_by_one == [(200, b'{"updated":true}')] * 3


def test_expect_continue_is_answered(server):
    with server.connect() as connection:
        connection.sendall(PATCH[:-2] + b"Expect: 100-continue\r\n\r\n")
        response = connection.recv(65536)
        connection.sendall(BODY)

        answer = reply(connection)

    assert response == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer == (200, b'{"updated":true}')


def test_body_over_the_limit_is_a_json_error(server):
    status, _, body = server.request("PATCH", "/analytics/leads/1", b" " * 1_000_000 + BODY)

    assert (status, json.loads(body)) == (400, {"error": "The request body must have at most 65536 bytes"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [("Content-Length: 9", 401), (f"X-API-Key: {KEY}\r\nContent-Length: 1000000", 400)],
    ids=["without-key", "over-the-limit"],
)
def test_rejection_does_not_wait_for_the_body(server, headers, status):
    with server.connect() as connection:
        connection.sendall(f"PATCH /analytics/leads/1 HTTP/1.1\r\nHost: shop.example\r\n{headers}\r\n\r\n".encode())

        answer = reply(connection)

    assert answer[0] == status


def test_incomplete_request_is_rejected(server):
    with server.connect() as connection:
        connection.sendall(PATCH + BODY[:-1])
        connection.shutdown(socket.SHUT_WR)

        answer = reply(connection)

    assert answer == (400, b'{"error":"The request body is incomplete"}')


def test_more_connections_than_threads_are_served(server):
    def ask(number):
        return server.get("/analytics/overview")[0]

    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(ask, range(200)))

    assert statuses == [200] * 200
