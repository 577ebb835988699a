"""An HTTP client for one server, with retries, a timeout for each attempt and a total deadline."""

from __future__ import annotations

import functools
import io
import logging
import random
import socket
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from ..errors import SettingError, StorageError

log = logging.getLogger(__name__)

ATTEMPTS = 5
BACKOFF = 0.5  # seconds; the maximum of the first pause. The maximum doubles after each attempt.
RETRIED = frozenset({429, 500, 502, 503, 504})
BODY_LIMIT = 16 << 20  # bytes; more than five times the size of 1000 percent-encoded keys of S3's maximum length


def parse_url(url: str, what: str) -> SplitResult:
    """Parse and validate a URL for a `Client`.

    :param what: description of the URL for error messages. No message contains the URL, which may have a password.
    :raises SettingError: the URL is invalid.
    """
    try:
        parts = urlsplit(url)
        parts.netloc.encode("ascii")
        (parts.hostname or "").encode("idna")
        _ = parts.port
    except ValueError:
        raise SettingError(f"{what} has an invalid host or port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"{what} must begin with http:// or https:// and have a host")
    if "@" in parts.netloc:
        raise SettingError(f"{what} must not contain a user or password; use the settings for access keys")
    if "#" in url:
        raise SettingError(f"{what} contains a #; write it as %23")
    return parts


class Client:
    """An HTTP client with one persistent connection to the server of `url`.

    The timeout does not include name resolution. If a name has several addresses, connecting to each of them may take
    the whole timeout.

    :param timeout: maximum time in seconds of an attempt, from connecting to the last byte of the body.
    :param deadline: maximum time in seconds of all requests together.
    """

    def __init__(self, url: SplitResult, *, timeout: float, deadline: float) -> None:
        connection = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self._connection = connection(url.hostname or "", url.port)
        self._server = url.netloc
        self._timeout = timeout
        self._deadline = deadline
        self._end = time.monotonic() + deadline

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    def fetch(
        self, method: str, target: str, headers: Callable[[], Mapping[str, str]], body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Send a request, and return the status and body of the response.

        The request is repeated if there is no response, or if the response is truncated or has a status in RETRIED.
        The pause is random, or `Retry-After` if that is longer. The status of the last attempt is returned. No attempt
        begins after the deadline.

        :param headers: called for each attempt, because each one needs a new signature.
        :raises StorageError: the last attempt had no response.
        """
        attempt = 0
        while True:
            attempt += 1
            retry_after = 0.0
            try:
                response, content = self._once(method, target, headers(), body)
            except (OSError, HTTPException) as error:
                self._connection.close()
                failure = (
                    f"no response within {self._timeout:g} s" if isinstance(error, TimeoutError) else _one_line(error)
                )
                result = None
            else:
                if response.status not in RETRIED:
                    return response.status, content
                failure = f"HTTP {response.status}"
                retry_after = _seconds(response.headers.get("Retry-After"))
                result = response.status, content
            # The pause is random, so that workers on many hosts do not retry at the same time.
            pause = max(retry_after, random.uniform(0, BACKOFF * 2 ** (attempt - 1)))
            if attempt == ATTEMPTS or time.monotonic() + pause >= self._end:
                if result is not None:
                    return result
                if time.monotonic() >= self._end:
                    failure = f"all requests together took longer than {self._deadline:g} s"
                raise StorageError(f"{self._server} did not respond: {failure}")
            log.info("%s: %s; attempt %d in %.1f s", self._server, failure, attempt + 1, pause)
            time.sleep(pause)

    def _once(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[HTTPResponse, bytes]:
        end = min(self._end, time.monotonic() + self._timeout)
        connection = self._connection
        connection.timeout = _time_left(end)
        connection.response_class = cast(Any, functools.partial(_Response, end=end))
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        connection.request(method, target, body, headers)
        with connection.getresponse() as response:
            content = response.read(BODY_LIMIT + 1)
            if len(content) > BODY_LIMIT:
                raise StorageError(f"{self._server} responded with more than {BODY_LIMIT} bytes")
            if response.length:
                raise IncompleteRead(content, response.length)
            return response, content


class _Response(HTTPResponse):
    """A response whose last byte must arrive before `end`. The timeout of a socket would restart with every read."""

    def __init__(self, sock: socket.socket, *args: Any, end: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, end))


class _Timed(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, end: float) -> None:
        self._raw = raw
        self._sock = sock
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_time_left(self._end))
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


def _time_left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _seconds(retry_after: str | None) -> float:
    """Return the seconds to wait from a `Retry-After` header (RFC 9110, 10.2.3), or 0 if it is invalid."""
    if retry_after is None:
        return 0.0
    try:
        if retry_after.isdigit():
            return float(retry_after)
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return 0.0


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())
