"""The real thing: `analytics-api serve` as a process of its own, asked over sockets."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from helpers.client import KEY

COMMAND = Path(sys.executable).with_name("analytics-api")


class Server:
    """A running server. Each of its requests has a connection of its own."""

    def __init__(self, process, address, log):
        self.process = process
        self.address = address
        self.log = log

    def ask(self, method, path, body=None, headers=(("X-API-Key", KEY),), timeout=30):
        """Status, headers and the bytes of the body."""
        connection = HTTPConnection(*self.address, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get(self, path, **options):
        status, _, body = self.ask("GET", path, **options)
        return status, json.loads(body)

    def connect(self):
        """A connection to do with as one likes."""
        return socket.create_connection(self.address, timeout=30)

    def lines(self):
        """What the application has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def workers(self):
        """The process ids of the workers that live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def wait_for(true, seconds=20):
    """Return when `true()` is, which is soon."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, true
        time.sleep(0.02)


def listen():
    """A socket that listens before the server has begun: who connects is answered as soon as there is a worker."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def start(listener, folder, *options, database="analytics.db", **environ):
    """A server on that socket, in that folder."""
    log = Path(folder, "server.log")
    given = {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": str(database), "HOME": str(folder), **environ}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_", "AWS_", "PROM"))}
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [COMMAND, "serve", "--bind", f"fd://{listener.fileno()}", *options],
            cwd=folder,
            env={**kept, **given},
            pass_fds=[listener.fileno()],
            stdout=errors,
            stderr=errors,
        )
    return Server(process, listener.getsockname(), log)


@contextmanager
def serving(folder, *options, **settings):
    """`with serving(tmp_path, "--workers", "2", ANALYTICS_METRICS="1") as server: …`"""
    with listen() as listener:
        server = start(listener, folder, *options, **settings)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(40)
