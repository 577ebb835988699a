"""Logging to standard error: one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from typing import Any

from ..middleware.request_log import format_timestamp

_encode = json.JSONEncoder(default=str).encode  # ASCII only, so no character in a value ends the line


class JSONFormatter(logging.Formatter):
    """Format a record as JSON: time, level, logger, message, its `fields`, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": format_timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


def configure() -> None:
    """Write every log record to standard error as JSON: those of this package from INFO up, others from WARNING up."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logger = logging.getLogger("analytics_api")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.captureWarnings(True)


def log_line(line: str) -> None:
    """Write a line to standard error at once; ignore errors.

    A pipe takes up to 4096 bytes (PIPE_BUF, pipe(7)) in one piece, so lines of other threads and processes do not mix
    with it. Only a key with a very long name makes a longer line.
    """
    if sys.__stderr__ is None:  # closed before the start: descriptor 2 may be another file now
        return
    with suppress(OSError):
        os.write(2, line.encode())
