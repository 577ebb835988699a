"""Logging to standard error, as one JSON object per line."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from typing import Any

from ..middleware.request_log import format_timestamp

_encode = json.JSONEncoder(default=str).encode  # writes ASCII without newlines


class JSONFormatter(logging.Formatter):
    """Format a record as JSON: time, level, logger, message, `fields` of the record, and traceback."""

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
    """Log to standard error as JSON: from level INFO for this package, and from WARNING for other packages."""
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
    """Write a line to standard error without buffering. Errors are ignored.

    Writing up to 4096 bytes (PIPE_BUF, pipe(7)) to a pipe is atomic, so lines of several threads and processes are not
    mixed. Only a key with a very long name can cause a longer line.
    """
    if sys.__stderr__ is None:  # standard error was closed before the start, so descriptor 2 may be another file
        return
    with suppress(OSError):
        os.write(2, line.encode())
