"""gunicorn, run with our settings instead of its command line."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from gunicorn.app.base import BaseApplication

from ..errors import AnalyticsError
from .gunicorn_logger import JSONLogger
from .settings import Settings

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)

OPTIONS: dict[str, Any] = {
    "worker_class": "gthread",
    "logger_class": JSONLogger,
    "timeout": 60,  # seconds without a sign of life, then a worker is replaced
    "graceful_timeout": 30,
    "keepalive": 5,
    "limit_request_line": 8190,
    "limit_request_fields": 64,
    "limit_request_field_size": 8190,
    "control_socket_disable": True,
    # Forwarded headers are for werkzeug's ProxyFix alone, which counts the proxies that the settings name.
    "forwarded_allow_ips": "",
    "forwarder_headers": "",
    "secure_scheme_headers": {},
}


class Server(BaseApplication):
    """Serve what the settings name until a signal stops it. SIGHUP reads the settings again.

    Each worker builds the application. That must not fail, or gunicorn stops the whole server; so `read` checks
    everything in the main process.

    :param read: returns the settings, or raises an AnalyticsError; called at the start and on SIGHUP. Where that
        raises on SIGHUP, the error is logged and the server goes on with the former settings.
    :param options: gunicorn's settings `bind`, `workers` and `threads`.
    """

    def __init__(self, read: Callable[[], Settings], options: dict[str, Any]) -> None:
        self.read = read
        self.settings = read()
        self.options = OPTIONS | options
        self.metrics_directory: str | None = None
        super().__init__()

    def load_config(self) -> None:
        options = self.options
        if self.settings.metrics:
            options = options | {"child_exit": forget_worker}
            self._share_metrics()
        options = options | {"on_exit": self._remove_metrics, "post_worker_init": quit_gracefully}
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self.settings.application(max_exports=max(1, self.cfg.threads // 2))

    def reload(self) -> None:
        try:
            self.settings = self.read()
        except AnalyticsError as error:
            log.error("the settings are not reloaded: %s", error)
        except Exception:  # it would stop the server
            log.exception("the settings are not reloaded")
        else:
            super().reload()

    def run(self) -> None:
        guard_starting_workers()
        super().run()

    def _share_metrics(self) -> None:
        """Let all workers write their metrics into one directory."""
        if self.metrics_directory is None:
            self.metrics_directory = mkdtemp(prefix="analytics-metrics-")
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = self.metrics_directory  # read when prometheus_client is imported

    def _remove_metrics(self, arbiter: object) -> None:
        if self.metrics_directory is not None:
            rmtree(self.metrics_directory, ignore_errors=True)


def forget_worker(arbiter: object, worker: Any) -> None:
    """Drop the gauges of a worker that has ended."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def quit_gracefully(worker: Any) -> None:
    """Let a worker finish its requests on SIGINT and SIGQUIT, too.

    gunicorn's handler of these waits for a lock that the interrupted thread may hold, and then for ever.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, worker.handle_exit)


def guard_starting_workers() -> None:
    """Let a signal stop a worker from its first instant.

    A new worker has the handlers of gunicorn's main process until it installs its own. These put the signal in a copy
    of a queue that nobody reads: the worker would run on until it is killed when graceful_timeout ends. So signals are
    blocked during the fork, and then end a worker that has no handlers yet. Without this, 6 of 60 stops in the first
    tenth of a second took 30 seconds.
    """

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def reset() -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=reset)
