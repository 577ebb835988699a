"""`analytics-api serve` with clients that request an export and do not read it."""

import socket

import pytest
from helpers.client import KEY
from helpers.server import serving, wait_for

from analytics_api import open_database
from analytics_api.keys import KeyStore
from analytics_api.values.timestamps import now

LEADS = 300
EXPORT = "/analytics/leads/export"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a database whose export is larger than the socket buffers."""
    with open_database(tmp_path / "analytics.db").closing() as database:
        rows = [(n, "2026-02-23 11:15:00", "x" * 36_000) for n in range(1, LEADS + 1)]
        database.bulk(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "engagement_label"], rows))
    return tmp_path


def begin_export(server, key):
    """Request an export and read nothing but the status line."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(server.address)
    connection.sendall(f"GET {EXPORT} HTTP/1.1\r\nHost: shop.example\r\nX-API-Key: {key}\r\n\r\n".encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def read_all(connection):
    """Read until the connection is closed, and return the number of bytes."""
    size = 0
    try:
        while data := connection.recv(65536):
            size += len(data)
    except ConnectionResetError:
        pass
    return size


def test_revoked_key_aborts_an_unread_export(folder):
    with open_database(folder / "analytics.db").closing() as database:
        keys = KeyStore(database)
        key = keys.add("wall", ["leads:read"], now=now())
        with serving(folder, "--workers", "1", "--threads", "2") as server, begin_export(server, key) as connection:
            keys.revoke("wall", now=now())
            wait_for(lambda: "export aborted: its API key is no longer valid" in server.log.read_text())
            wait_for(lambda: server.request("HEAD", EXPORT)[0] == 200)
            status, headers, body = server.request("GET", EXPORT)

            assert read_all(connection) < int(headers["Content-Length"]) == len(body)
            assert status == 200


def test_half_of_the_threads_can_export(folder):
    with (
        serving(folder, "--workers", "1", "--threads", "4") as server,
        begin_export(server, KEY),
        begin_export(server, KEY),
    ):
        refused, headers, _ = server.request("GET", EXPORT)

        assert (refused, headers["Retry-After"]) == (503, "5")
        assert server.get("/analytics/geo") == (200, [])
