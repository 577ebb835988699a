"""The 404 response of an unknown path, and a warning with the path that was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from logging import Logger
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_path_info

from .origins import WarningLog
from .requests import mount_path
from .responses import send_error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class UnknownPaths:
    """Send 404. If a known path has the last segment of the requested path, suggest the known path in the log, once.

    The requested path is not logged, because anybody can choose it.

    :param known: the paths of the application that have no parameters.
    """

    def __init__(self, known: Collection[str], log: Logger) -> None:
        self.known = known
        self.warnings = WarningLog(log)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name = last_segment(get_path_info(environ).lower().rstrip("/"))
        if meant := next((path for path in self.known if last_segment(path) == name), None):
            self.warnings.warn(
                f"an unknown path was requested; did you mean {mount_path(environ)}{meant}? "
                "Paths begin with the path of the mounted application and its prefix, and do not end with a slash"
            )
        return send_error(environ, start_response, 404, "Unknown analytics endpoint")


def last_segment(path: str) -> str:
    return path.rpartition("/")[2]
