"""Log lines: one object of JSON each, on standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from contextlib import suppress
from functools import lru_cache
from typing import Any

_encode = json.JSONEncoder(default=str).encode  # ASCII, so that nothing in it ends a line
_name = lru_cache(maxsize=256)(_encode)


def access_log_line(
    request_id: str, method: str, route: str | None, status: int, seconds: float, key: str | None
) -> str:
    """The line of a request, in the form of all others.

    Made here, not by logging, which takes four times as long, about as much as all else that a quick answer needs.
    `request_id` is ASCII that JSON takes as it is.
    """
    return (
        f'{{"time": "{_instant(time.time())}", "level": "info", "logger": "analytics_api.requests", '
        f'"message": "answered", "request_id": "{request_id}", "method": {_name(method)}, "route": {_name(route)}, '
        f'"status": {status}, "ms": {seconds * 1000:.3f}, "key": {_name(key)}}}\n'
    )


def log_line(line: str) -> None:
    """Write it to standard error at once, between those of other threads and processes; or not, where none reads it.

    A pipe takes 4096 bytes in one piece (PIPE_BUF, pipe(7)), which no line has unless a key is named at length.
    """
    if sys.__stderr__ is None:  # closed before we began: the number may be another file's by now
        return
    with suppress(OSError):
        os.write(2, line.encode())


def _instant(seconds: float) -> str:
    second = int(seconds)
    return f"{_second(second)}.{int((seconds - second) * 1000):03}Z"


@lru_cache(maxsize=1)  # thousands of lines may be of one
def _second(instant: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(instant))


class JSONFormatter(logging.Formatter):
    """A record as JSON: when, how grave, whose, what, its `fields`, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _instant(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


def configure() -> None:
    """Write what this package logs, from INFO up, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    logger = logging.getLogger("analytics_api")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
