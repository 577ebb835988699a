"""Start servers as subprocesses, and measure them under load."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from . import apps, data
from .machine import ROOT

BIN = Path(sys.executable).parent
WORKERS = 2
START = 60  # maximum time in seconds until a server has started
TICKS = 1  # maximum clock ticks of CPU time that an idle server uses in a tenth of a second


class Server:
    """A server process at `port`, with its child processes."""

    def __init__(self, process, port, paths):
        self.process = process
        self.port = port
        self.paths = paths

    def ask(self, question):
        """Send a request, and return the headers and the body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=START)
        try:
            connection.request("GET", self.paths[question], headers={"X-API-Key": apps.KEY})
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                path, status = self.paths[question], response.status
                raise RuntimeError(f"{path} responded with status {status}: {body!r:.500}")
            return response.headers, body
        finally:
            connection.close()

    def json(self, question):
        answer = json.loads(self.ask(question)[1])
        return answer[0] if question == "overview" and isinstance(answer, list) else answer

    def rate(self, question, seconds, connections):
        return load(self.port, [self.paths[question]], seconds, connections)[0]

    def processes(self):
        return processes(self.process.pid)


def wait_until_idle(pid):
    """Wait until a process and its children use no CPU time, so that they do not affect the next measurement."""
    until, before = time.monotonic() + START, -TICKS - 1
    while (spent := sum(map(ticks, processes(pid)))) > before + TICKS and time.monotonic() < until:
        before = spent
        time.sleep(0.1)


def processes(pid):
    """Return the process ids of a process and its children."""
    pids, waiting = [], [pid]
    while waiting:
        pids.append(waiting.pop())
        for children in Path(f"/proc/{pids[-1]}/task").glob("*/children"):
            waiting += map(int, children.read_text().split())
    return pids


def ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def load(port, paths, seconds, connections):
    """Run `wrk` with these paths in turn, and return the requests per second and the number of requests."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-H", f"X-API-Key: {apps.KEY}"]
    command += ["-s", str(ROOT / "benchmarks" / "paths.lua"), f"http://127.0.0.1:{port}", "--", *paths]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output:
        raise RuntimeError(f"wrk counted failed responses: {output}")
    return float(re.search(r"Requests/sec: +([\d.]+)", output)[1]), int(re.search(r"(\d+) requests in", output)[1])


def needed():
    if not shutil.which("wrk"):
        sys.exit("wrk is required: apt-get install wrk")


def gunicorn(app, *options):
    return lambda port: [
        *(BIN / "gunicorn", f"benchmarks.apps:{app}()", "--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS)),
        *("--timeout", "120", "--log-level", "error", "--no-control-socket", *options),
    ]


def uvicorn(app):
    return lambda port: [
        *(BIN / "uvicorn", f"benchmarks.apps:{app}", "--factory", "--port", str(port), "--workers", str(WORKERS)),
        *("--log-level", "error"),
    ]


def granian(app):
    return lambda port: [
        *(BIN / "granian", "--interface", "wsgi", "--factory", f"benchmarks.apps:{app}", "--port", str(port)),
        *("--workers", str(WORKERS), "--log-level", "error"),
    ]


def serve(workers=WORKERS):
    return lambda port: [BIN / "analytics-api", "serve", "--bind", f"127.0.0.1:{port}", "--workers", str(workers)]


@contextmanager
def running(command, visits, paths=None):
    """Yield a Server for a data set, and stop it and its child processes after the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours, theirs = data.ours(visits), data.theirs(visits)
    environ = os.environ | {
        apps.OURS: str(ours),
        apps.THEIRS: str(theirs),
        apps.NOW: str(data.NOW),
        "ANALYTICS_API_KEY": apps.KEY,
        "ANALYTICS_DATABASE": str(ours),
        "PYTHONPATH": str(ROOT),
    }
    with (data.CACHE / f"server-{port}.log").open("w+") as log:
        process = subprocess.Popen(
            command(port), cwd=data.CACHE, env=environ, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for_port(process, port, Path(log.name))
            yield Server(process, port, paths or {question: path for question, (path, _) in apps.REQUESTS.items()})
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            Path(log.name).unlink()


def wait_for_port(process, port, log=None):
    until = time.monotonic() + START
    while not listens(port):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the server did not start: {log.read_text() if log else process.args}")
        time.sleep(0.05)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
