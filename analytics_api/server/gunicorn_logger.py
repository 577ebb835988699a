"""A logger class for gunicorn."""

from __future__ import annotations

import sys
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from .logs import JSONFormatter


class JSONLogger(Logger):
    """Write gunicorn's log messages as JSON, without text from a request.

    When gunicorn cannot parse a request, its message quotes the request line or a header, which may contain a key or
    a query string. This class logs only the name of the exception.
    """

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JSONFormatter())

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        if isinstance(msg, str) and msg.startswith("Invalid request from"):
            msg = f"invalid request: {getattr(sys.exc_info()[0], '__name__', 'unknown')}"
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        if isinstance(msg, str) and msg.startswith("Error handling request"):
            msg, args = "error handling a request", ()
        super().exception(msg, *args, **kwargs)
