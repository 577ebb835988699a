"""gunicorn's threaded worker, for clients that take their time.

It stands on gunicorn's insides, so setup.cfg says up to which version: tests/test_server_limits.py tries a newer one.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from io import SEEK_END
from selectors import EVENT_READ

from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn, ThreadWorker

# Seconds and bytes.
PATIENCE = 10.0  # in which a request has to arrive
READ = 30.0  # in which a thread has to have the rest of one
STALLED = 30  # without a byte of the reply being taken
ENOUGH = 32 * 1024  # of a request, however long: the rest is for its thread to read, or to refuse

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})", re.IGNORECASE)
IN_TURNS = re.compile(rb"\r\nexpect:", re.IGNORECASE)  # a client that sends its body when it is told to
CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Worker(ThreadWorker):
    """Gives a request a thread when it has arrived, and takes that back from a client who goes on sending, or stalls.

    gunicorn's own gives it one at its first byte, for ever: eight clients that send half a line and stay would keep
    eight threads from everybody else.
    """

    def init_process(self) -> None:
        self.read_until: dict[TConn, float] = {}
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        self.admit(conn, time.monotonic() + PATIENCE)

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        self.admit(conn, conn.timeout or 0)

    def admit(self, conn: TConn, deadline: float) -> None:
        """Take what has come; find the request a thread, or wait for more until `deadline`."""
        if conn.parser is None:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", STALLED, 0))
            conn.parser = get_parser(self.cfg, conn.sock, conn.client)
        taken = conn.parser.unreader.buf  # type: ignore[union-attr]
        conn.sock.setblocking(False)
        piece: bytes | None = b""  # the end
        try:
            piece = conn.sock.recv(ENOUGH)
        except BlockingIOError:
            piece = None
        except OSError:
            pass
        if piece:
            taken.seek(0, SEEK_END)
            taken.write(piece)
        if piece == b"" or arrived(taken.getvalue()):
            conn.data_ready = True
            super().enqueue_req(conn)
        elif time.monotonic() < deadline:
            conn.timeout = deadline
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        else:
            self.nr_conns -= 1
            conn.close()

    def handle(self, conn: TConn) -> bool:
        self.read_until[conn] = time.monotonic() + READ
        try:
            return super().handle(conn)
        finally:
            del self.read_until[conn]

    def notify(self) -> None:
        super().notify()
        now = time.monotonic()
        for conn, until in list(self.read_until.items()):
            if until < now:
                with suppress(OSError):  # it may be gone
                    conn.sock.shutdown(socket.SHUT_RD)  # who still reads finds the end; a long reply goes on


def arrived(data: bytes) -> bool:
    """Whether this is a whole request, or as much of one as is waited for."""
    head, blank_line, body = data.partition(b"\r\n\r\n")
    if len(data) >= ENOUGH or not blank_line:
        return len(data) >= ENOUGH
    if IN_TURNS.search(head):
        return True
    if length := LENGTH.search(head):
        return len(body) >= int(length[1])
    return not CHUNKED.search(head) or body.endswith(b"\r\n\r\n")
