"""The application in gunicorn's workers, with requests over sockets."""

import json
import os
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
from helpers.client import KEY, MOUNT
from helpers.tls import make_certificate

ROOT = Path(__file__).parents[1]

MODULE = """
from analytics_api import create_app, open_database

database = open_database({url!r})
database.rows("select * from site")  # so that a worker that is forked after this inherits a connection
application = create_app(database, api_keys={{"dashboard": {key!r}, "other": "another-secret-key"}})
"""

KINDS = {
    "sync": ["--worker-class", "sync"],
    "gthread": ["--worker-class", "gthread", "--threads", "4"],
    "preloaded": ["--preload", "--workers", "2"],
}


class Server:
    """A gunicorn server. Every request uses a new connection."""

    def __init__(self, address, log):
        self.address = address
        self.log = log

    def request(self, method, path, body=None, headers=(("X-API-Key", KEY),)):
        connection = HTTPConnection(*self.address, timeout=30)
        try:
            with suppress(ConnectionError):  # if a body is too large, the server responds before it has read the body
                connection.request(method, MOUNT + path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get(self, path, **headers):
        status, _, body = self.request("GET", path, **headers)
        return status, json.loads(body)

    def send(self, request):
        """Send bytes, shut down the sending side, and return the response."""
        with socket.create_connection(self.address, timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
            return int(head.split()[1]), json.loads(body)


@contextmanager
def gunicorn(*arguments, folder, cwd, **environ):
    """Start a Server, and write its output to a file in `folder`."""
    log = folder / "gunicorn.log"
    # The socket listens before the server starts, so a connection waits until there is a worker.
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as printed:
        address = listener.getsockname()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--graceful-timeout", "5"),
                *arguments,
            ],
            cwd=cwd,
            env={**os.environ, "SCRIPT_NAME": MOUNT, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), **environ},
            pass_fds=[listener.fileno()],
            stdout=printed,
            stderr=printed,
        )
    try:
        yield Server(address, log)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def server(request, database, insert, tmp_path):
    insert("leads", lead_id=42, enquiry_datetime="2026-02-23 11:15:00", contact_name="Zoë")
    (tmp_path / "served.py").write_text(MODULE.format(url=database.url, key=KEY), encoding="utf-8")
    with gunicorn(*KINDS[request.param], "served:application", folder=tmp_path, cwd=tmp_path) as server:
        yield server


@pytest.mark.any_engine
@pytest.mark.parametrize("server", ["sync", "gthread"], indirect=True)
def test_host_serves_the_api_below_its_path(server):
    status, headers, body = server.request("GET", "/analytics/leads?q=ZO%C3%8B")

    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "private, no-cache"
    assert json.loads(body)["total"] == 1
    assert server.get("/analytics/nothing") == (404, {"error": "Unknown analytics endpoint"})
    assert server.get("//analytics/geo") == (404, {"error": "Unknown analytics endpoint"})
    assert server.get("/analytics/geo", headers={"Authorization": "Bearer wrong"}) == (
        401,
        {"error": "Invalid API key"},
    )
    assert server.get("/analytics/geo", headers={"X-API-Key": "another-secret-key"}) == (200, [])
    etag = {"X-API-Key": KEY, "If-None-Match": headers["ETag"]}
    assert server.request("GET", "/analytics/leads?q=ZO%C3%8B", headers=etag)[::2] == (304, b"")
    assert server.request("HEAD", "/analytics/leads?q=ZO%C3%8B")[::2] == (200, b"")
    assert server.request("OPTIONS", "/analytics/leads")[::2] == (204, b"")
    in_chunks = iter([b'{"sta', b'tus": "won"}'])
    assert server.request("PATCH", "/analytics/leads/42", in_chunks)[::2] == (200, b'{"updated":true}')
    assert server.get("/analytics/leads/42")[1]["lead"]["status"] == "won"
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("server", ["gthread", "preloaded"], indirect=True)
def test_concurrent_status_updates_succeed(server, database):
    answers = []

    def ask(number):
        status = ("new", "won")[number % 2]
        answers.append(server.request("PATCH", "/analytics/leads/42", json.dumps({"status": status}).encode())[::2])
        answers.append(server.get("/analytics/overview")[0])

    threads = [Thread(target=ask, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers, key=str) == [(200, b'{"updated":true}')] * 16 + [200] * 16
    history = database.rows("select old_status, new_status, changed_by from lead_status_changes order by change_id")
    assert all(later["old_status"] == earlier["new_status"] for earlier, later in pairwise(history))
    assert {row["changed_by"] for row in history} == {"dashboard"}
    assert history[-1]["new_status"] == database.row("select status from leads")["status"]
    assert database.verify() == []


@pytest.mark.any_engine
@pytest.mark.parametrize("server", ["gthread"], indirect=True)
def test_broken_bodies_change_nothing(server):
    huge = b'{"status": "won", "more": "' + b"x" * 20_000_000
    head = f"PATCH {MOUNT}/analytics/leads/42 HTTP/1.1\r\nHost: shop.example\r\nX-API-Key: {KEY}\r\n".encode()
    cut_off = [
        b'Content-Length: 100\r\n\r\n{"status": "won"}',
        b'Content-Length: 18\r\n\r\n{"status": "won"}',
        b'Transfer-Encoding: chunked\r\n\r\n11\r\n{"status": "won"}',
        b'Transfer-Encoding: chunked\r\n\r\n11\r\n{"status": "won"}\r\n',
        b'Transfer-Encoding: chunked\r\n\r\nzz\r\n{"status": "won"}\r\n0\r\n\r\n',
        b'Transfer-Encoding: chunked\r\n\r\n11\r\n{"status": "won"}\r\n0\r\nno trailer\r\n\r\n',
    ]

    huge_replies = [
        server.request("PATCH", "/analytics/leads/42", huge)[::2],
        server.request("PATCH", "/analytics/leads/42", iter([huge[:1_000_000]] * 20))[::2],
        server.request("PATCH", "/analytics/leads/abc", huge)[::2],
        server.request("POST", "/analytics/overview", huge)[::2],
        server.request("PATCH", "/analytics/leads/42", huge, {"X-API-Key": "wrong"})[::2],
    ]
    cut_off_replies = {rest: server.send(head + rest) for rest in cut_off}

    assert huge_replies == [
        (400, b'{"error":"The request body must have at most 65536 bytes"}'),
        (400, b'{"error":"The request body must have at most 65536 bytes"}'),
        (400, b'{"error":"Invalid lead id"}'),
        (405, b'{"error":"Method not allowed"}'),
        (401, b'{"error":"Invalid API key"}'),
    ]
    assert cut_off_replies == dict.fromkeys(cut_off, (400, {"error": "The request body is incomplete"}))
    assert server.get("/analytics/leads/42")[1]["lead"]["status"] == "new"


@pytest.mark.any_engine
def test_wsgi_module_serves_tls(tmp_path):
    certificate, key = make_certificate(tmp_path)
    settings = {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": str(tmp_path / "analytics.db")}
    options = ["--worker-class", "gthread", "--certfile", str(certificate), "--keyfile", str(key)]

    with gunicorn("wsgi", *options, folder=tmp_path, cwd=ROOT, **settings) as server:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = HTTPSConnection(*server.address, timeout=30, context=context)
        connection.request("GET", MOUNT + "/analytics/geo", headers={"X-API-Key": KEY})
        status = connection.getresponse().status
        connection.close()
        with pytest.raises((OSError, HTTPException)):
            server.get("/analytics/geo")

    assert status == 200
