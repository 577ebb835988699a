"""Log lines: one object of JSON each, on standard error."""

from __future__ import annotations

import json
import logging
import time
from functools import lru_cache
from typing import Any

_encode = json.JSONEncoder(default=str).encode


@lru_cache(maxsize=1)  # thousands of lines may be of one
def _second(instant: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(instant))


class JSONLines(logging.Formatter):
    """A record as JSON: when, how grave, whose, what, its `fields`, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)  # ASCII, so that nothing in it ends a line


def configure() -> None:
    """Write what this package logs, from INFO up, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONLines())
    logger = logging.getLogger("analytics_api")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
