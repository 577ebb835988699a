"""Start `analytics-api serve` as a subprocess and send it requests over sockets."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

from helpers.client import KEY

COMMAND = Path(sys.executable).with_name("analytics-api")


class HTTPProcess:
    """A process that serves HTTP. Every request opens a new connection."""

    def __init__(self, process, address, log):
        self.process = process
        self.address = address
        self.log = log

    def request(self, method, path, body=None, headers=(("X-API-Key", KEY),), timeout=30, source=""):
        """Send a request, and return status, headers and body. `source` is the client's address."""
        connection = HTTPConnection(*self.address, timeout=timeout, source_address=(source, 0))
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def connect(self):
        """Return a raw connection."""
        return socket.create_connection(self.address, timeout=30)

    def listens(self):
        """Return whether the process accepts connections."""
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return False
        return True


@contextmanager
def truncating_server():
    """Run a server that sends the beginning of one chunked response, and then closes the connection."""

    def answer():
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.sendall(b"7d0\r\n" + b"x" * 2000 + b"\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(30)  # the thread ends even if no request comes
        answered = pool.submit(answer)
        yield SimpleNamespace(address=listener.getsockname())
        answered.result()


class Server(HTTPProcess):
    """A running `analytics-api serve`."""

    def get(self, path, **options):
        """Send a GET request and return status and decoded JSON."""
        status, _, body = self.request("GET", path, **options)
        return status, json.loads(body)

    def lines(self):
        """Return the JSON lines of the log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def workers(self):
        """Return the process ids of the running workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def wait_for(condition, seconds=20):
    """Poll until `condition()` is true; fail after `seconds`. The pauses grow, as some conditions take long."""
    until, pause = time.monotonic() + seconds, 0.01
    while not condition():
        assert time.monotonic() < until, condition
        time.sleep(pause)
        pause = min(0.1, 1.5 * pause)


def free_port():
    """Return a TCP port that is free, for a server that cannot inherit a socket.

    It is below the range from which the system chooses ports for connections (from 32768 on under Linux). Otherwise a
    connection could get the port before the server starts.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)  # `random` has the same seed in each process of pytest-xdist
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listen():
    """Return a listening socket for a server to inherit, so that clients can connect before the server has started."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def start(listener, folder, *options, database="analytics.db", **environ):
    """Start a server on a listening socket, with `folder` as its working directory."""
    log = Path(folder, "server.log")
    defaults = {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": str(database), "HOME": str(folder), **environ}
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_", "AWS_", "PROM"))
    }
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [COMMAND, "serve", "--bind", f"fd://{listener.fileno()}", *options],
            cwd=folder,
            env={**inherited, **defaults},
            pass_fds=[listener.fileno()],
            stdout=errors,
            stderr=errors,
        )
    return Server(process, listener.getsockname(), log)


@contextmanager
def serving(folder, *options, **settings):
    """Run a server within a block: `with serving(tmp_path, "--workers", "2", ANALYTICS_METRICS="1") as server: …`."""
    with listen() as listener:
        server = start(listener, folder, *options, **settings)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(40)
