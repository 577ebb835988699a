"""Run gunicorn with this package's settings instead of its command line."""

from __future__ import annotations

import gc
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

COLLECTING_WORKER = "analytics_api.server.worker.CollectingWorker"
OPTIONS: dict[str, Any] = {
    "worker_class": "gthread",
    "logger_class": JSONLogger,
    "timeout": 60,  # seconds; a worker that does not respond within this time is replaced
    "graceful_timeout": 30,
    "keepalive": 5,
    "limit_request_line": 8190,
    "limit_request_fields": 64,
    "limit_request_field_size": 8190,
    "control_socket_disable": True,
    # Let gunicorn ignore forwarded headers. ProxyFix evaluates them if ANALYTICS_TRUSTED_PROXIES is set.
    "forwarded_allow_ips": "",
    "forwarder_headers": "",
    "secure_scheme_headers": {},
}


class Server(BaseApplication):
    """A gunicorn server for the API. It runs until a signal stops it, and reloads its settings on SIGHUP.

    gunicorn stops the whole server if a worker cannot build the application. Therefore the main process checks all
    settings, by calling `read`, before it starts workers.

    :param read: called at the start and on SIGHUP to read the settings. If `read` raises an AnalyticsError on SIGHUP,
        the error is logged and the server continues with the old settings.
    :param options: gunicorn's settings `bind`, `workers` and `threads`.
    """

    def __init__(self, read: Callable[[], Settings], options: dict[str, Any]) -> None:
        self.read = read
        self.settings = read()
        self.options = OPTIONS | options
        self.metrics_directory: str | None = None
        super().__init__()

    def load_config(self) -> None:
        options = dict(self.options)
        if self.settings.collect_hosts:
            options = options | {"worker_class": COLLECTING_WORKER}
        if self.settings.metrics:
            options = options | {"child_exit": forget_worker}
            self._share_metrics()
        options = options | {"on_exit": self._remove_metrics, "post_worker_init": start_worker}
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self.settings.application(max_exports=max(1, self.options["threads"] // 2))

    def reload(self) -> None:
        try:
            self.settings = self.read()
        except AnalyticsError as error:
            log.error("the settings are not reloaded: %s", error)
        except Exception:  # an unhandled exception would stop the server
            log.exception("the settings are not reloaded")
        else:
            super().reload()

    def run(self) -> None:
        guard_starting_workers()
        super().run()

    def _share_metrics(self) -> None:
        """Create the directory in which all workers store their metrics."""
        if self.metrics_directory is None:
            self.metrics_directory = mkdtemp(prefix="analytics-metrics-")
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = self.metrics_directory  # prometheus_client reads it on import

    def _remove_metrics(self, arbiter: object) -> None:
        if self.metrics_directory is not None:
            rmtree(self.metrics_directory, ignore_errors=True)


def forget_worker(arbiter: object, worker: Any) -> None:
    """Delete the gauges of a worker that has exited."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def start_worker(worker: Any) -> None:
    quit_gracefully(worker)
    store_settings(worker.cfg)
    # After this call, the garbage collector skips the objects that exist now. Without the call, garbage collection took
    # half of the time of recording page views.
    gc.freeze()


def store_settings(cfg: Any) -> None:
    """Store gunicorn's settings as attributes of their object. They do not change in a worker.

    gunicorn otherwise calls two functions each time it reads a setting. The workers then needed a tenth more CPU time
    for a page view or a short read.
    """
    vars(cfg).update((name, setting.get()) for name, setting in cfg.settings.items())


def quit_gracefully(worker: Any) -> None:
    """Make a worker finish its requests on SIGINT and SIGQUIT, as it does on SIGTERM.

    gunicorn's own handler for these signals can deadlock: it waits for a lock that the interrupted thread may hold.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, worker.handle_exit)


def guard_starting_workers() -> None:
    """Ensure that a stop signal ends a worker that has not installed its signal handlers yet.

    A new worker inherits the handlers of gunicorn's main process. They append the signal to a queue, and the worker's
    copy of that queue is never read, so the worker would run until it is killed after `graceful_timeout`. This function
    blocks the signals during the fork and resets them to their default action in the worker. Without this function, 6
    of 60 stops within 0.1 seconds of the start took 30 seconds.
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
