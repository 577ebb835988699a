"""The command that runs the server."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from functools import partial
from ipaddress import ip_address
from typing import Any

import click

from ..errors import AnalyticsError, SettingError
from ..maintenance.description import describe_rows, is_missing
from ..server import logs
from ..server.api_key_setting import MissingKey
from ..server.env_file import EnvFile
from ..server.settings import Settings
from .base import ConfigError, database_flag, main

log = logging.getLogger(__name__)


class ServeCommand(click.Command):
    """A command that suggests --bind to users of servers with the options --host and --port."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in ("--host", "--port"):
                raise
            raise click.UsageError(f"No such option {error.option_name!r}. Use --bind HOST:PORT.", ctx) from error


@main.command(cls=ServeCommand)
@database_flag()
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Address to listen on.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Number of processes.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1), help="Threads per process.")
@click.pass_obj
def serve(env_file: EnvFile, database: str | None, bind: str, workers: int, threads: int) -> None:
    """Serve the API with gunicorn.

    On the internet, run the server behind a reverse proxy that buffers requests, such as nginx. SIGHUP reloads the
    settings and the key file.
    """
    # gunicorn is imported here, because the import would take a fifth of the start time of other commands.
    from ..server.gunicorn_server import Server

    # The address is evaluated now, because gunicorn closes the descriptor of fd://N when it starts.
    is_public = not is_local(check_address(bind))

    read = partial(read_settings, env_file, database, bind, is_public=is_public)
    Server(read, {"bind": bind, "workers": workers, "threads": threads}).run()


def read_settings(env_file: EnvFile, database: str | None, bind: str, *, is_public: bool) -> Settings:
    """Read the settings, and check the settings and the database.

    :param database: the value of the option --database, which overrides ANALYTICS_DATABASE.
    :param is_public: whether other machines can connect to the address `bind`.
    """
    env_file.load()
    environ = {**os.environ, "ANALYTICS_DATABASE": database} if database else os.environ
    try:
        settings = Settings.read(environ)
        if is_public:
            settings.reject_short_keys(bind)
        check_database(settings)
    except MissingKey as error:
        raise SettingError(f"{error}{env_file.missing_note()}") from error
    except AnalyticsError as error:
        raise type(error)(name_option(str(error)) if database else str(error)) from error
    return settings


def name_option(message: str) -> str:
    """Replace ANALYTICS_DATABASE at the beginning of an error by the option --database, which overrides the setting."""
    return re.sub(r"^ANALYTICS_DATABASE\b", "--database", message)


def check_database(settings: Settings) -> None:
    """Open the database, so that errors are reported before gunicorn starts, and log the number of its rows.

    :raises DatabaseError: the database cannot be opened.
    """
    is_new = is_missing(settings.database)
    with settings.open_database().closing() as database:
        logs.configure()
        log.info("database %s", describe_rows(database, is_new=is_new))
        if database.is_read_only():
            log.warning("the database is read-only; updating the status of leads will fail")
    for warning in settings.warnings():
        log.warning(warning)


def check_address(bind: str) -> Any:
    """Return the address as gunicorn parses it: a host and a port, a path, or a file descriptor.

    :raises ConfigError: `bind` is not an address.
    :raises ClickException: the address cannot be bound. gunicorn would retry for 5 seconds and print a traceback.
    """
    from gunicorn.util import parse_address

    if bind.startswith(("http://", "https://")):
        raise ConfigError(f"--bind must be HOST:PORT, not {bind}: leave out {bind.partition('//')[0]}//")
    if not bind.startswith(("unix:", "fd://")) and not bind.rpartition(":")[0]:
        part = bind.lstrip(":")
        hint = f"127.0.0.1:{part} for local clients, or 0.0.0.0:{part} for all"
        if not part.isdigit():
            hint = f"add a port, such as {part or '127.0.0.1'}:8000"
        raise ConfigError(f"--bind must be HOST:PORT, not {bind}: {hint}")
    try:
        address = parse_address(bind)
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            with socket.socket(family) as listener:  # as gunicorn does; create_server would leave some sockets open
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except (OverflowError, RuntimeError) as error:
        raise ConfigError(f"--bind {bind}: {error}") from error
    except OSError as error:
        hint = "; use another port" if error.errno == errno.EADDRINUSE else ""
        raise click.ClickException(f"--bind {bind}: {error.strerror}{hint}") from error
    return address


def is_local(address: Any) -> bool:
    """Return whether only this machine can connect to the address."""
    if isinstance(address, int):  # the descriptor of a socket that the parent process opened
        with socket.socket(fileno=os.dup(address)) as listener:
            address = listener.getsockname()
    if not isinstance(address, tuple):  # a UNIX socket
        return True
    try:
        return ip_address(address[0]).is_loopback
    except ValueError:
        return str(address[0]) == "localhost"
