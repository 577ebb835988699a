"""Send large responses: spooled to a temporary file first, limited in number and time, and ended with their key."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from errno import ECONNRESET
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from ..errors import Unavailable
from .environ import IS_KEY_VALID, REQUEST_ID
from .requests import drain_body
from .responses import CACHE_CONTROL

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

MAX_EXPORTS = 2  # at once: half of the four threads that servers have by default
EXPORT_TIMEOUT = 300.0  # seconds
CHECK_SECONDS = 2.0  # between two looks at the key and the clock
MAX_MEMORY_BYTES = 256 * 1024  # larger responses are spooled to disk
CHUNK_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Stream:
    """A response that is generated in chunks and saved under a file name."""

    content_type: str
    filename: str
    chunks: Generator[str, None, None]


class Downloads:
    """Send streams, so that a slow reader holds nothing but its thread and a file.

    The chunks are generated before the first byte is sent. What they hold, such as a snapshot of the database, is
    released then.

    :param limit: how many may be generated or sent at once.
    :param timeout: seconds for each, until its last byte is sent.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self.slots = threading.BoundedSemaphore(limit)
        self.timeout = timeout

    def send(self, environ: WSGIEnvironment, start_response: StartResponse, stream: Stream) -> Iterable[bytes]:
        """Send a stream with its length; no body for HEAD. An error of the stream propagates before the first byte.

        :raises Unavailable: too many others are being sent.
        :raises TimeoutError: the chunks took too long.
        """
        if not self.slots.acquire(blocking=False):
            raise Unavailable("Too many exports are running; try again in a few seconds")
        download = Download(environ, self.timeout, self.slots.release)
        try:
            download.spool(stream.chunks)
            drain_body(environ)
            start_response(
                "200 OK",
                [
                    CACHE_CONTROL,
                    ("Content-Type", stream.content_type),
                    ("Content-Disposition", f'attachment; filename="{stream.filename}"'),
                    ("Content-Length", str(download.size)),
                ],
            )
        except BaseException:
            download.close()
            raise
        if environ["REQUEST_METHOD"] == "HEAD":
            download.close()
            return []
        download.watch()
        return download


class Download:
    """One spooled response; the server iterates over it and closes it (PEP 3333).

    A thread looks after it, since the server's own thread waits in `send` for as long as the reader takes nothing.

    :param timeout: seconds from now on.
    :param on_close: called once.
    """

    def __init__(self, environ: WSGIEnvironment, timeout: float, on_close: Callable[[], object]) -> None:
        self.is_key_valid: Callable[[], bool] = environ.get(IS_KEY_VALID, lambda: True)
        self.connection: socket.socket | None = environ.get("gunicorn.socket")
        self.request_id = environ.get(REQUEST_ID)
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.on_close = on_close
        self.file = SpooledTemporaryFile(MAX_MEMORY_BYTES)  # noqa: SIM115 closed by close()
        self.size = 0
        self.closed = threading.Event()
        self.abort_reason = ""

    def spool(self, chunks: Generator[str, None, None]) -> None:
        """Write all chunks into the file.

        :raises TimeoutError: the time budget is used up.
        """
        with closing(chunks):
            for chunk in chunks:
                self.size += self.file.write(chunk.encode())
                if time.monotonic() > self.deadline:
                    raise TimeoutError(f"the export took longer than its time budget of {self.timeout:g} s")
        self.file.seek(0)

    def watch(self) -> None:
        """Start to look after the time and the key."""
        threading.Thread(target=self._watch, name="export-watch", daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self.file.read(CHUNK_SIZE):
                if self.abort_reason:  # servers take this for a client that has gone, and end the connection
                    raise ConnectionResetError(ECONNRESET, self.abort_reason)
                yield chunk
        finally:
            self.close()  # for callers that do not close what they iterate over, such as test clients

    def close(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self.file.close()
            self.on_close()

    def _watch(self) -> None:
        while not self.closed.wait(CHECK_SECONDS):
            self.abort_reason = self._find_abort_reason()
            if self.abort_reason:
                log.warning("export aborted: %s", self.abort_reason, extra={"fields": {"request_id": self.request_id}})
                self._abort()
                return

    def _find_abort_reason(self) -> str:
        if time.monotonic() > self.deadline:
            return f"it took longer than its time budget of {self.timeout:g} s"
        try:
            return "" if self.is_key_valid() else "its API key is no longer valid"
        except Exception:
            log.warning("the API key of an export cannot be checked", exc_info=True)
            return ""

    def _abort(self) -> None:
        """Wake the server's thread, and discard what is in the socket's buffer."""
        if self.connection is not None:
            with suppress(OSError):  # closed meanwhile
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # not SSLSocket.shutdown, which lets a thread that sends at this instant send in the clear
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
