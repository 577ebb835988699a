"""The command `analytics-api`, and the options and the error handling that its subcommands share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

import click

from ..database import Database, open_database
from ..errors import AnalyticsError, SettingError, UnusableDatabase
from ..maintenance.description import describe_rows, is_missing
from ..server.database_setting import DATABASE, read_database
from ..server.env_file import EnvFile
from ..values.timestamps import shorten
from .output import describe_write_error

T = TypeVar("T")

# The module of each command. The module is imported when the command is used. The import of all modules would take most
# of the start time of a command.
MODULES = {
    "backup": "copies",
    "copy": "copies",
    "demo": "demo",
    "erase": "retention",
    "export": "copies",
    "import": "imports",
    "init": "database",
    "keys": "keys",
    "openapi": "openapi",
    "purge": "retention",
    "rebuild": "database",
    "serve": "serve",
    "site": "site",
    "storage": "storage",
    "upgrade": "database",
    "verify": "database",
}

# The option --database. If the option is not passed, its value is None, and the command itself finds the database.
database_flag = partial(
    click.option,
    "-d",
    "--database",
    metavar="PATH",
    help=f"The database file, or a postgresql:// URL. Default: ANALYTICS_DATABASE, then {DATABASE}.",
)


def parse_day(ctx: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """Parse a date `YYYY-MM-DD`, and return midnight UTC of that day."""
    if value is None:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a date YYYY-MM-DD") from None


class ConfigError(click.ClickException):
    """A configuration error. Running the command again does not help."""

    exit_code = os.EX_CONFIG


class SuggestingGroup(click.Group):
    """A command group that suggests the most similar command for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error


class Group(SuggestingGroup):
    """A command group that prints an AnalyticsError as one line and exits with status 1.

    `serve` exits with status 78 (EX_CONFIG) if a setting is invalid or names an unusable database, so that a supervisor
    does not restart it.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in MODULES:
            import_module(f".{MODULES[cmd_name]}", __package__)  # the module adds its commands to the group
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AnalyticsError as error:
            is_config_error = ctx.invoked_subcommand == "serve" and isinstance(error, (SettingError, UnusableDatabase))
            message = f"{error}{ctx.obj.origin_note(str(error)) if ctx.obj else ''}"
            raise (ConfigError if is_config_error else click.ClickException)(message) from error
        except KeyboardInterrupt:
            click.echo("\nAborted!", err=True)  # the terminal has printed ^C
            sys.exit(130)
        except BrokenPipeError:  # the program that reads the output has exited
            sys.exit(141)
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                raise
            is_utf8 = sys.getfilesystemencoding() == "utf-8"
            reason = "UTF-8" if is_utf8 else "in the encoding of the locale; set LC_ALL=C.UTF-8"
            raise click.ClickException(f"{shorten(error.object)} is not {reason}") from error
        except OSError as error:
            line = describe_write_error(error)
            if line is None:
                raise
            raise click.ClickException(line) from error


class RenamedOptions(click.Command):
    """A command that accepts former names of its options, and prints a deprecation warning.

    :param renamed: maps each former name to the current name.
    """

    def __init__(self, *args: Any, renamed: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.renamed = renamed

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [self._current(arg) for arg in args])

    def _current(self, arg: str) -> str:
        name, equals, value = arg.partition("=")
        if name not in self.renamed:
            return arg
        click.echo(f"Warning: {name} is deprecated; use {self.renamed[name]}", err=True)
        return self.renamed[name] + equals + value


def database_option(command: Callable[..., T]) -> Callable[..., T]:
    """Add the option --database, whose default is ANALYTICS_DATABASE."""
    return database_flag(callback=lambda ctx, option, value: value or read_database(os.environ))(command)


@contextmanager
def open_or_create(url: str) -> Iterator[Database]:
    """Open a database, and close it after the block. If the file is new, say so on standard error.

    A command in the wrong folder would otherwise create a database unnoticed.
    """
    is_new = is_missing(url)
    with open_database(url).closing() as opened:
        if is_new:
            click.echo(describe_rows(opened, is_new=True), err=True)
        yield opened


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="analytics_api")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Web analytics and lead statistics over HTTP.

    Settings are read from environment variables and from the file .env in the working directory.
    """
    try:
        ctx.obj = EnvFile()
    except FileNotFoundError:
        raise click.ClickException("the working directory was deleted; change to another one") from None
    ctx.obj.load()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
