"""A threaded worker of gunicorn in which no thread waits for the commit of a request to the collector."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from threading import Lock
from typing import Any, Final

from gunicorn.http import wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from ..http.environ import LATE_RESPONSE

log = logging.getLogger(__name__)

ACCEPT_PAUSE: Final = 0.0003  # seconds


class LateResponse:
    """A response that another thread sends later, so that the thread of the request can serve other requests.

    The connection belongs to the request until two events have occurred, in any order: the response is sent, and the
    thread of the request has finished.

    :ivar is_expected: the application sets this to true if it will call `send` later. The value that the application
        returns is then ignored.
    """

    def __init__(self, worker: CollectingWorker, conn: TConn, response: Any) -> None:
        self.is_expected = False
        self._worker = worker
        self._conn = conn
        self._response = response
        self._is_open: Future[bool] = Future()  # whether the connection remains open
        self._lock = Lock()
        self._is_first_event_done = False

    def send(self, respond: Callable[[], Iterable[bytes]]) -> None:
        """Call `respond`, which calls `start_response`, and send the body that it returns.

        A client that does not read is disconnected.
        """
        is_open = False
        try:
            self._conn.sock.setblocking(False)
            send_now(self._response, respond())
            is_open = not self._response.should_close()
        except OSError:
            pass  # the client has disconnected, or does not read
        except Exception:
            log.exception("a response cannot be sent")
        self._is_open.set_result(is_open)
        self.leave()

    def leave(self) -> None:
        """Record that the response is sent, or that the thread of the request has finished.

        After both, return the connection to the worker.
        """
        with self._lock:
            is_done, self._is_first_event_done = self._is_first_event_done, True
        if is_done:
            self._worker.method_queue.defer(self._worker.finish_request, self._conn, self._is_open)


class CollectingWorker(ThreadWorker):
    """A `gthread` worker that adds a LateResponse to the environ of POST requests, for the collector.

    Without a LateResponse, each of these requests would occupy a thread until its commit. 64 threads that wake up at
    the same time contend for the lock of the interpreter, so that a page view takes 1.6 times the CPU time.
    """

    def accept(self, listener: Any) -> None:
        """Accept a connection, then pause, so that another worker accepts the next one.

        A proxy opens many connections at once and keeps them open. Without the pause, the worker that wakes up first
        accepts most of them. Two workers then accepted 58 and 6 of 64 connections. With the pause, they accept about 33
        and 31.
        """
        super().accept(listener)
        time.sleep(ACCEPT_PAUSE)

    def enqueue_req(self, conn: TConn) -> None:
        self.tpool.submit(self.handle, conn).add_done_callback(lambda result: self._leave(conn, result))

    def _leave(self, conn: TConn, result: Future[Any]) -> None:
        late = None if result.cancelled() or result.exception() else result.result()
        if isinstance(late, LateResponse):
            late.leave()
        else:
            self.method_queue.defer(self.finish_request, conn, result)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Return whether the connection remains open, or a LateResponse."""
        if req.method != "POST":
            return super().handle_request(req, conn)
        response: Any
        response, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg)
        environ["wsgi.multithread"] = True
        if not self.alive or not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        late = environ[LATE_RESPONSE] = LateResponse(self, conn, response)
        body = self.wsgi(environ, response.start_response)
        if late.is_expected:
            return late
        send_now(response, body)
        return not response.should_close()

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> Any:
        # super() would replace a LateResponse by a boolean, and discard the rest of the body. The collector has already
        # read the whole body.
        return keepalive if isinstance(keepalive, LateResponse) else super()._keepalive_after(conn, keepalive)  # type: ignore[misc]


def send_now(response: Any, body: Iterable[bytes]) -> None:
    for chunk in body:
        response.write(chunk)
    response.close()
