"""The command that runs the server."""

from __future__ import annotations

import logging
import os
import socket
from ipaddress import ip_address

import click
from gunicorn.util import parse_address

from ..maintenance.description import describe_rows, is_missing
from ..server import logs
from ..server.env_file import EnvFile
from ..server.gunicorn_server import Server
from ..server.settings import Settings
from .base import database_flag, main

log = logging.getLogger(__name__)


@main.command()
@database_flag()
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1), help="Threads of each process.")
@click.pass_obj
def serve(env_file: EnvFile, database: str | None, bind: str, workers: int, threads: int) -> None:
    """Serve the API with gunicorn.

    Towards the internet, put a proxy in front that buffers requests, such as nginx. SIGHUP reads the settings and the
    key file again.
    """
    check_address(bind)
    is_public = not is_local(bind)  # gunicorn closes the descriptor of fd://N when it starts

    def read() -> Settings:
        env_file.load()
        environ = {**os.environ, "ANALYTICS_DATABASE": database} if database else os.environ
        settings = Settings.read(environ)
        if is_public:
            settings.refuse_short_keys(bind)
        check_database(settings)
        return settings

    Server(read, {"bind": bind, "workers": workers, "threads": threads}).run()


def check_database(settings: Settings) -> None:
    """Open the database once, to report errors before gunicorn starts, and log what it holds.

    :raises DatabaseError: it cannot be opened.
    """
    is_new = is_missing(settings.database)
    with settings.open_database().closing() as database:
        logs.configure()
        log.info("database %s", describe_rows(database, is_new=is_new))
        if database.is_read_only():
            log.warning("the database is read-only: updates of leads fail")
    for warning in settings.warnings():
        log.warning(warning)


def check_address(bind: str) -> None:
    """Refuse an address that cannot be bound. gunicorn would retry for five seconds, and then print a traceback."""
    if not bind.startswith(("unix:", "fd://")) and not bind.rpartition(":")[0]:
        port = bind.lstrip(":")
        raise click.ClickException(
            f"--bind must be HOST:PORT, not {bind}: 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port}"
        )
    try:
        address = parse_address(bind)
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            socket.create_server(address, family=family).close()
    except (OSError, OverflowError, RuntimeError) as error:
        reason = str(error.strerror if isinstance(error, OSError) else error)
        raise click.ClickException(f"--bind {bind}: {reason.partition(' (while')[0]}") from error


def is_local(bind: str) -> bool:
    """Return whether only this machine can connect to an address."""
    address = parse_address(bind)
    if isinstance(address, int):  # a socket that the parent process has opened
        with socket.socket(fileno=os.dup(address)) as listener:
            address = listener.getsockname()
    if not isinstance(address, tuple):  # a UNIX socket
        return True
    try:
        return ip_address(address[0]).is_loopback
    except ValueError:
        return str(address[0]) == "localhost"
