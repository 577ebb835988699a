"""A threaded worker of gunicorn whose threads do not wait until the events of a request are committed."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from socket import MSG_DONTWAIT, MSG_PEEK, socket
from threading import Lock, current_thread, main_thread
from typing import Any, Final

from gunicorn.http import wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from ..http.environ import LATE_RESPONSE

log = logging.getLogger(__name__)

ACCEPT_PAUSE: Final = 0.0003  # seconds

PEEKED_BYTES: Final = 8_192  # longer requests are handled by another thread
CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,4})(?:\r|$)", re.IGNORECASE)
NEEDS_WAITING: Final = re.compile(rb"\r\n(transfer-encoding|expect):", re.IGNORECASE)


def completed(is_open: bool) -> Future[bool]:
    future: Future[bool] = Future()
    future.set_result(is_open)
    return future


KEEP_OPEN: Final = completed(True)
CLOSE: Final = completed(False)


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
        self._is_open = False  # whether the connection remains open
        self._lock = Lock()
        self._is_first_event_done = False

    def send(self, respond: Callable[[], Iterable[bytes]]) -> Callable[[], None] | None:
        """Call `respond`, which calls `start_response`, and send the body that `respond` returns.

        A client that does not read is disconnected.

        :returns: a function that wakes the worker, or None. The caller calls the function once, after it has sent the
            other responses of its batch.
        """
        try:
            self._conn.sock.setblocking(False)
            send_now(self._response, respond())
            self._is_open = not self._response.should_close()
        except OSError:
            pass  # the client has disconnected, or does not read
        except Exception:
            log.exception("a response cannot be sent")
        return self._worker.wake if self.leave() else None

    def leave(self) -> bool:
        """Record that the response is sent, or that the thread of the request has finished.

        After both, the result is True, and the connection returns to the worker when it wakes up.
        """
        with self._lock:
            is_done, self._is_first_event_done = self._is_first_event_done, True
        if is_done:
            self._worker.finished.append((self._conn, KEEP_OPEN if self._is_open else CLOSE))
        return is_done


class CollectingWorker(ThreadWorker):
    """A `gthread` worker that adds a LateResponse to the environ of POST requests, for the collector.

    Without a LateResponse, each of these requests would occupy a thread until its commit. If a commit wakes 64 threads
    at the same time, they contend for the lock of the interpreter, so that a page view takes 1.6 times the CPU time.

    The main thread, which waits for requests, handles a request for `/collect` itself if it has arrived completely.
    Waking another thread took a fifth of the CPU time of a page view, and slow clients could occupy all other threads.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.finished: deque[tuple[TConn, Future[bool]]] = deque()

    def accept(self, listener: Any) -> None:
        """Accept a connection, then pause, so that another worker accepts the next one.

        A proxy opens many connections at once and keeps them open. Without the pause, the worker that wakes up first
        accepts most of them. Two workers then accepted 58 and 6 of 64 connections. With the pause, they accept about 33
        and 31.
        """
        super().accept(listener)
        time.sleep(ACCEPT_PAUSE)

    def wake(self) -> None:
        """Let the main thread finish the requests in `finished`. This is called once for the responses of a batch.

        If each response woke the main thread, the main thread would contend with the thread that sends the other
        responses of the batch. The worker would then need 5 percent more CPU time for a page view.
        """
        self.method_queue.defer(self.finish_requests)

    def finish_requests(self) -> None:
        while self.finished:
            self.finish_request(*self.finished.popleft())

    def on_client_socket_readable(self, conn: TConn, client: socket) -> None:
        if not has_event_request(client):
            super().on_client_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        result: Future[Any] = Future()
        try:
            result.set_result(self.handle(conn))
        except Exception as error:
            result.set_exception(error)
        self._leave(conn, result)

    def enqueue_req(self, conn: TConn) -> None:
        self.tpool.submit(self.handle, conn).add_done_callback(lambda result: self._leave(conn, result))

    def _leave(self, conn: TConn, result: Future[Any]) -> None:
        late = None if result.cancelled() or result.exception() else result.result()
        if isinstance(late, LateResponse):
            if late.leave():
                self.wake()
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
        do_not_wait(conn.sock)
        send_now(response, body)
        return not response.should_close()

    def handle_error(self, req: Any, client: socket, addr: Any, exc: BaseException) -> None:
        do_not_wait(client)
        super().handle_error(req, client, addr, exc)

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> Any:
        # super() would replace a LateResponse by a boolean, and discard the rest of the body. The collector has already
        # read the whole body.
        return keepalive if isinstance(keepalive, LateResponse) else super()._keepalive_after(conn, keepalive)  # type: ignore[misc]


def has_event_request(client: socket) -> bool:
    """Return whether a whole request for `/collect` has arrived. It can be read and checked without waiting."""
    try:
        data = client.recv(PEEKED_BYTES, MSG_PEEK | MSG_DONTWAIT)
    except OSError:
        return False
    head, _, body = data.partition(b"\r\n\r\n")
    length = CONTENT_LENGTH.search(head)
    return (
        head.startswith(b"POST /collect HTTP/")
        and NEEDS_WAITING.search(head) is None
        and length is not None
        and int(length[1]) <= len(body)
    )


def do_not_wait(client: socket) -> None:
    """Disconnect a client that does not read, instead of making the main thread wait until it reads."""
    if current_thread() is main_thread():
        client.setblocking(False)


def send_now(response: Any, body: Iterable[bytes]) -> None:
    for chunk in body:
        response.write(chunk)
    response.close()
