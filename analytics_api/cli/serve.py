"""The command that runs the server."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import click
from gunicorn.app.base import BaseApplication
from gunicorn.util import parse_address

from ..database import open_database
from ..server import logs, settings
from ..server.worker import Worker
from .base import main


@main.command()
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1), help="Threads of each process.")
def serve(bind: str, workers: int, threads: int) -> None:
    """Serve the API under gunicorn."""
    read = settings.Settings.read(os.environ)
    database = open_database(read.database, read_url=read.database_read)  # report errors before gunicorn starts
    database.close()  # each worker opens its own connections
    check_free(bind)
    logs.configure()
    for warning in read.warnings():
        logging.getLogger("analytics_api").warning(warning)
    options: dict[str, Any] = {
        "bind": bind,
        "worker_class": Worker,
        "workers": workers,
        "threads": threads,
        "timeout": 60,  # seconds without a sign of life, then a worker is replaced
        "graceful_timeout": 30,
        "keepalive": 5,
        "limit_request_line": 8190,
        "limit_request_fields": 64,
        "limit_request_field_size": 8190,
        "control_socket_disable": True,
    }
    if read.metrics:
        options |= metrics_options()
    Server(lambda: read.application(database), options).run()


def metrics_options() -> dict[str, Any]:
    """Share the metrics of all processes in a directory; return gunicorn's hooks that keep it clean."""
    shared = mkdtemp(prefix="analytics-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared  # prometheus_client reads it when it is first imported
    return {"child_exit": forget_worker, "on_exit": lambda server: rmtree(shared, ignore_errors=True)}


def check_free(bind: str) -> None:
    """Refuse an address that cannot be bound. gunicorn would retry for five seconds, and then print a traceback."""
    try:
        address = parse_address(bind)
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            socket.create_server(address, family=family).close()
    except (OSError, OverflowError, RuntimeError) as error:
        reason = str(error.strerror if isinstance(error, OSError) else error)
        raise click.ClickException(f"--bind {bind}: {reason.partition(' (while')[0]}") from error


def forget_worker(server: Any, worker: Any) -> None:
    """Drop the gauges of a worker that has ended."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


class Server(BaseApplication):
    """gunicorn with our settings instead of its command line. Each worker builds the application.

    That must not fail, or gunicorn stops the whole server; so the database is not opened again there.
    """

    def __init__(self, build: Callable[[], object], options: dict[str, Any]) -> None:
        self.build = build
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            if name in self.cfg.settings:  # older versions know fewer
                self.cfg.set(name, value)

    def load(self) -> Any:
        return self.build()
