"""Measure /healthz while other clients stall, keep connections open or read slowly, with and without nginx."""

import multiprocessing
import resource
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from common import KEY, filled, folder, serving, tell
from helpers.nginx import proxying

SECONDS, ALL_SECONDS = 15, 60  # duration of each attack, and of all attacks together
TIMEOUT = 40  # timeout of a probe in seconds
MEDIAN, WORST = 0.1, 1.0  # limits in seconds for the median and the worst probe behind nginx
ATTACKER, VISITOR = "127.0.0.2", "127.0.0.3"
LEADS = 40_000  # enough for an export of several megabytes

PATCH = "PATCH /analytics/leads/1 HTTP/1.1\r\nHost: x\r\n"
EXPORT = f"GET /analytics/leads/export?format=ndjson HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n"


@dataclass(frozen=True)
class Attack:
    """Connections that are kept open, and opened again when the server closes them.

    :param clients: number of connections.
    :param first: bytes that each connection sends immediately.
    :param drip: bytes that each connection sends every second after that.
    :param reads: number of bytes that each connection reads every second.
    :param stays: seconds for which a connection stays open after the server has closed its side.
    """

    clients: int
    first: str
    drip: str = ""
    reads: int = 65536
    stays: int = 0


ATTACKS = {
    "bodies that wait for 100 Continue": Attack(12, f"{PATCH}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
    "bodies of 100 MB": Attack(12, f"{PATCH}Content-Length: 100000000\r\n\r\n" + "x" * 32768),
    "chunked bodies": Attack(12, f"{PATCH}Transfer-Encoding: chunked\r\n\r\n64\r\n\r\n\r\n"),
    "half a body, with a key": Attack(12, f"{PATCH}X-API-Key: {KEY}\r\nContent-Length: 9999\r\n\r\n{{", drip="x"),
    "half a header": Attack(300, "GET /healthz HTTP/1.1\r\nHost: x\r\n", drip="X-A: b\r\n"),
    "sockets that never close": Attack(400, "GET /healthz HTTP/1.0\r\n\r\n", stays=20),
    "idle sockets": Attack(1500, ""),
    "slow readers of exports": Attack(8, EXPORT, reads=30_000),
}


class Client:
    """One connection of an attack."""

    def __init__(self, address, attack):
        self.address = address
        self.attack = attack
        self.socket = None
        self.until = 0.0

    def step(self):
        """Send and read the bytes of this second."""
        try:
            if self.socket is None:
                self.connect()
            elif self.attack.drip:
                self.socket.send(self.attack.drip.encode())
            if not self.socket.recv(self.attack.reads):
                raise ConnectionError
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def connect(self):
        self.socket = socket.socket()
        if self.attack.reads < 65536:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind((ATTACKER, 0))
        self.socket.settimeout(1)
        self.socket.connect(self.address)
        self.socket.setblocking(False)
        self.until = time.monotonic() + self.attack.stays
        self.socket.send(self.attack.first.encode())

    def close(self):
        if time.monotonic() > self.until:
            self.socket.close()
            self.socket = None


def attack(address, attacks, stop):
    """Run attacks until `stop` is set."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    clients = [Client(address, kind) for kind in attacks for _ in range(kind.clients)]
    while not stop.is_set():
        begun = time.monotonic()
        for client in clients:
            client.step()
        stop.wait(max(0, begun + 1 - time.monotonic()))


def probe(address):
    """Return the duration of a request to /healthz in seconds, or None if it fails."""
    begun = time.monotonic()
    connection = HTTPConnection(*address, timeout=TIMEOUT, source_address=(VISITOR, 0))
    try:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status":"ok"}'
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return time.monotonic() - begun


def probe_under(address, attacks, seconds):
    """Return the sorted times of the probes during attacks, and the number that failed."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    attacker = context.Process(target=attack, args=(address, attacks, stop))
    attacker.start()
    time.sleep(3)  # wait for all connections
    times, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        times.append(probe(address))
        time.sleep(0.02)
    stop.set()
    attacker.join(20)
    with suppress(AttributeError):
        attacker.kill()
    answered = sorted(seconds for seconds in times if seconds is not None)
    return answered, len(times) - len(answered)


def killed_workers(server):
    """Return the number of workers that gunicorn has killed."""
    return server.log.read_text().count("WORKER TIMEOUT")


def withstand(server, address, name, attacks, seconds):
    """Print the times of /healthz. Return their median and maximum, and the number of failures and killed workers."""
    killed = killed_workers(server)
    times, failed = probe_under(address, attacks, seconds)
    median, worst = (times[len(times) // 2], times[-1]) if times else (TIMEOUT, TIMEOUT)
    killed = killed_workers(server) - killed
    tell(
        name,
        f"{len(times)} probes, median {median * 1000:.1f} ms, worst {worst * 1000:.0f} ms; "
        f"{failed} failed; {killed} workers killed",
    )
    return median, worst, failed + killed


def main():
    settings = {"ANALYTICS_TRUSTED_PROXIES": "1"}
    with folder() as path:
        filled(path / "analytics.db", leads=LEADS)
        for name, kind in ATTACKS.items():
            with serving(path, "--workers", "2", "--threads", "4", **settings) as server:
                withstand(server, server.address, f"serve alone, {name}", [kind], SECONDS)
        with serving(path, "--workers", "2", "--threads", "4", **settings) as server, proxying(server) as nginx:
            for name, kind in [*ATTACKS.items(), ("all at once", None)]:
                attacks, seconds = ([kind], SECONDS) if kind else (list(ATTACKS.values()), ALL_SECONDS)
                median, worst, failed = withstand(server, nginx.address, f"behind nginx, {name}", attacks, seconds)
                assert (median < MEDIAN, worst < WORST, failed) == (True, True, 0), name
            assert "Traceback" not in server.log.read_text()


if __name__ == "__main__":
    main()
