"""gunicorn's threaded worker, for requests that wait for a commit without a thread."""

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
    """A response that another thread can send, when the request's thread has other work.

    The worker takes the connection back when that thread has left it and the response is sent, in either order.

    :ivar is_expected: the application sets it if it will call `send`. The result that it returns is then ignored.
    """

    def __init__(self, worker: CollectingWorker, conn: TConn, response: Any) -> None:
        self.is_expected = False
        self._worker = worker
        self._conn = conn
        self._response = response
        self._is_open: Future[bool] = Future()  # whether the connection remains open
        self._lock = Lock()
        self._is_half_done = False

    def send(self, respond: Callable[[], Iterable[bytes]]) -> None:
        """Send what `respond` returns; it calls `start_response`. A client that does not read is disconnected."""
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
        with self._lock:
            is_done, self._is_half_done = self._is_half_done, True
        if is_done:
            self._worker.method_queue.defer(self._worker.finish_request, self._conn, self._is_open)


class CollectingWorker(ThreadWorker):
    """A `gthread` worker that gives the requests of the collector a LATE_RESPONSE.

    Otherwise each of them would need a thread until its commit. 64 threads that wake up at once contend for the lock of
    the interpreter: a page view then takes 1.6 times the CPU time.
    """

    def accept(self, listener: Any) -> None:
        """Accept a connection, and leave the next to another worker.

        A proxy keeps its connections open. Without the pause, the worker that is awake first accepts most of those that
        come at once, and the others have nothing to do: 64 connections were divided 58 to 6, and now about 33 to 31.
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
        # The collector has read the whole body.
        return keepalive if isinstance(keepalive, LateResponse) else super()._keepalive_after(conn, keepalive)  # type: ignore[misc]


def send_now(response: Any, body: Iterable[bytes]) -> None:
    for chunk in body:
        response.write(chunk)
    response.close()
