"""Send large responses from a temporary file, with limits on their number and duration.

A download is aborted when its API key becomes invalid.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from errno import ECONNRESET
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from ..errors import Unavailable
from .environ import IS_KEY_VALID, REQUEST_ID
from .requests import drain_body
from .responses import CACHE_CONTROL
from .streams import Stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

MAX_EXPORTS = 2  # concurrent exports; the server has four threads by default
EXPORT_TIMEOUT = 300  # seconds
CHECK_SECONDS = 2.0  # interval between checks of the key and the deadline
MAX_MEMORY_BYTES = 256 * 1024  # larger responses are spooled to disk
CHUNK_SIZE = 64 * 1024


class Downloads:
    """Send streams from temporary files, so that a slow client does not keep a database snapshot open.

    All chunks are written to the file before the first byte is sent.

    :param limit: maximum number of concurrent downloads.
    :param timeout: maximum time in seconds of a download, until its last byte is sent.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self.slots = threading.BoundedSemaphore(limit)
        self.timeout = timeout

    def send(self, environ: WSGIEnvironment, start_response: StartResponse, stream: Stream) -> Iterable[bytes]:
        """Send a stream with its Content-Length. A response to HEAD has no body.

        An error in the stream is raised before the first byte is sent.

        :raises Unavailable: the limit of concurrent downloads is reached.
        :raises TimeoutError: generating the chunks took longer than the timeout.
        """
        if not self.slots.acquire(blocking=False):
            raise Unavailable("Too many exports are running; try again in a few seconds")
        download = Download(environ, self.timeout, self.slots.release)
        try:
            download.spool(stream.chunks)
            drain_body(environ)
            if environ["REQUEST_METHOD"] != "HEAD":
                download.watch()
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
        return download


class Download:
    """A response in a temporary file. The server iterates over the response and then closes it (PEP 3333).

    A second thread checks the deadline and the key, because the server's thread blocks in `send` if the client does not
    read.

    :param timeout: seconds from now until the download is aborted.
    :param on_close: called once, when the download is closed.
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
        """Write all chunks to the file.

        :raises TimeoutError: the deadline has passed.
        """
        with closing(chunks):
            for chunk in chunks:
                self.size += self.file.write(chunk.encode())
                if time.monotonic() > self.deadline:
                    raise TimeoutError(f"the export took longer than its timeout of {self.timeout:g} s")
        self.file.seek(0)

    def watch(self) -> None:
        """Start the thread that checks the deadline and the key."""
        threading.Thread(target=self._watch, name="export-watch", daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self.file.read(CHUNK_SIZE):
                if self.abort_reason:  # servers treat this error as a disconnected client and close the connection
                    raise ConnectionResetError(ECONNRESET, self.abort_reason)
                yield chunk
        finally:
            self.close()  # some callers, such as test clients, do not call close()

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
            return f"it took longer than its timeout of {self.timeout:g} s"
        try:
            return "" if self.is_key_valid() else "its API key is no longer valid"
        except Exception:
            log.warning("the API key of an export cannot be checked", exc_info=True)
            return ""

    def _abort(self) -> None:
        """Discard the socket's send buffer and shut the socket down, which ends a blocking `send`."""
        if self.connection is not None:
            with suppress(OSError):  # the socket may already be closed
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # SSLSocket.shutdown would also end the encryption of the socket, so that a thread that is still sending
                # would send unencrypted bytes.
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
