"""The command that imports files."""

from __future__ import annotations

import gc
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import click

from ..database import Database
from ..errors import AnalyticsError, IngestError
from ..imports import FORMATS, Rejects, Site, import_file
from ..imports.access_log import ASSETS, own_hosts_of_files
from ..imports.access_log.site import Bots
from ..imports.columns import name_key
from ..imports.derive import SessionsToCheck
from ..imports.report import Report, printable
from ..imports.write import count_events
from ..maintenance.demo_marker import find_mark
from ..values.paths import is_special
from .base import RenamedOptions, database_option, main, open_or_create
from .output import database_files
from .progress import Progress

# The number of allocations between two runs of the garbage collector. With the default, these runs take 10% of the time
# of an import, and find nothing, because rows do not form reference cycles.
GC_THRESHOLD = 100_000

SITE_URL = re.compile(r"(https?)://([^][\s/?#@:]+|\[[0-9a-f:.]+])(?::([0-9]{1,5}))?/?")
DEFAULT_PORTS = {"http": "80", "https": "443"}
EXTENSION = re.compile(r"\.?[\w-]+(\.[\w-]+)*")

FORMER_BOTS: dict[str, Bots] = {"apart": "separate", "alike": "include"}


def parse_map(ctx: click.Context, option: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """Parse each `THEIRS=OURS`, split at the last `=`. If OURS is empty, the column is ignored."""
    names: dict[str, str] = {}
    targets: dict[str, str] = {}
    for pair in value:
        theirs, _, ours = pair.rpartition("=")
        if not theirs:
            raise click.BadParameter(f"{pair!r} is not THEIRS=OURS")
        check_target(theirs, targets.setdefault(name_key(theirs), ours), ours)
        names[theirs] = ours
    return names


def parse_map_values(ctx: click.Context, option: click.Parameter, value: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Parse each `COLUMN:THEIRS=OURS`, split at the first `:` and the last `=`."""
    columns: dict[str, dict[str, str]] = {}
    targets: dict[tuple[str, str], str] = {}
    for text in value:
        column, _, pair = text.partition(":")
        theirs, _, ours = pair.rpartition("=")
        column, theirs, ours = column.strip().lower(), theirs.strip(), ours.strip()
        if not column or not theirs:
            raise click.BadParameter(f"{text!r} is not COLUMN:THEIRS=OURS")
        check_target(f"{column}:{theirs}", targets.setdefault((column, theirs.lower()), ours), ours)
        columns.setdefault(column, {})[theirs] = ours
    return columns


def check_target(theirs: str, first: str, ours: str) -> None:
    """Reject two options that map the same name or value of a file to different ones."""
    if first != ours:
        raise click.BadParameter(f"{theirs!r} is mapped to both {first!r} and {ours!r}; use one of them")


def parse_bots(ctx: click.Context, option: click.Parameter, value: str) -> Bots:
    """Parse the option --bots. Former values are accepted with a warning."""
    if value in FORMER_BOTS:
        click.echo(f"Warning: --bots {value} is deprecated; use --bots {FORMER_BOTS[value]}", err=True)
        return FORMER_BOTS[value]
    for name in get_args(Bots):
        if value == name:
            return cast(Bots, name)
    raise click.BadParameter(f"{value!r} is not one of {', '.join(map(repr, get_args(Bots)))}.")


def parse_files(ctx: click.Context, argument: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that the first file exists. Without this check, a missing file would leave an empty new database."""
    try:
        if value[0] != "-":
            os.stat(value[0])
    except OSError as error:
        raise click.ClickException(printable(f"{value[0]}: cannot be read: {error.strerror}")) from None
    return value


def parse_site(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Return --site as browsers write it: in lower case, and without the default port.

    A later import cannot correct these pages, because it does not change existing events.
    """
    if value is None:
        return None
    match = SITE_URL.fullmatch(value.lower())
    if match is None:
        raise click.BadParameter(f"{value!r} is not a URL such as https://example.com, without a path")
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != DEFAULT_PORTS[scheme] else "")


def parse_extensions(ctx: click.Context, option: click.Parameter, value: str | None) -> list[str] | None:
    """Split --asset-extensions at the commas. Reject other separators and patterns, which no page would match."""
    if value is None:
        return None
    extensions = [extension.strip() for extension in value.split(",")]
    if not all(map(EXTENSION.fullmatch, extensions)):
        raise click.BadParameter(f"{value!r} is not a list such as css,js,png")
    return extensions


def parse_hosts(ctx: click.Context, option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Reject a URL as the value of the option --host, because the value is compared with the hosts of referrers."""
    for host in value:
        if "/" in host:
            raise click.BadParameter(f"{host!r} is not a host name such as example.com")
    return value


def parse_timeout(ctx: click.Context, option: click.Parameter, value: float) -> float:
    """Reject `inf` and `nan`, which FloatRange accepts."""
    if not math.isfinite(value):
        raise click.BadParameter(f"'{value}' is not a number of minutes")
    return value


@main.command("import", cls=RenamedOptions, renamed={"--assets": "--asset-extensions"})
@database_option
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(dir_okay=False, allow_dash=True),
    callback=parse_files,
)
@click.option("--format", type=click.Choice(FORMATS), help="The format of the files. Default: detected.")
@click.option("--update", is_flag=True, help="Update existing rows with the values of the file.")
@click.option("--strict", is_flag=True, help="Stop at the first bad row and leave the database unchanged.")
@click.option("--into-demo", is_flag=True, help="Import into a database with rows that `demo` generated.")
@click.option("--rejects", default="rejects.tsv", show_default=True, metavar="FILE", help="File for invalid rows.")
@click.option("--table", metavar="NAME", help="CSV, NDJSON: the table. Default: the one with matching columns.")
@click.option(
    "--map",
    metavar="THEIRS=OURS",
    multiple=True,
    callback=parse_map,
    help="Import the column THEIRS as OURS. May be repeated.",
)
@click.option(
    "--map-value",
    "map_values",
    metavar="COLUMN:THEIRS=OURS",
    multiple=True,
    callback=parse_map_values,
    help="Import the value THEIRS of our COLUMN as OURS. May be repeated.",
)
@click.option("--date-format", metavar="FORMAT", help="The format of dates, such as %d/%m/%Y.")
@click.option("--delimiter", metavar="CHARACTER", help="CSV: the field separator. Default: detected.")
@click.option("--encoding", default="utf-8", show_default=True, metavar="NAME", help="CSV: the text encoding.")
@click.option("--site", metavar="URL", callback=parse_site, help="Logs: the scheme and host to prepend to paths.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    callback=parse_hosts,
    help="Logs: a host name of the site. Default: detected.",
)
@click.option(
    "--asset-extensions",
    metavar="EXT",
    callback=parse_extensions,
    help="Logs: extensions that are not pages, such as css,js,png.",
)
@click.option("--no-query", is_flag=True, help="Logs: remove query strings from pages.")
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1),
    callback=parse_timeout,
    help="Logs: minutes of inactivity that end a session.",
)
@click.option(
    "--bots",
    default="separate",
    show_default=True,
    metavar="[separate|include]",
    callback=parse_bots,
    help="Logs: count bots separately, or include them as visitors.",
)
def import_(
    database: str,
    files: tuple[str, ...],
    update: bool,
    into_demo: bool,
    rejects: str,
    site: str | None,
    hosts: tuple[str, ...],
    asset_extensions: list[str] | None,
    no_query: bool,
    timeout: float,
    bots: Bots,
    **options: Any,
) -> None:
    """Import D1 exports, SQLite files, access logs, CSV or NDJSON. The file `-` is standard input.

    Columns are matched by name. Each file is imported in one transaction. Existing rows are not changed, so importing a
    file again has no effect. Invalid rows are skipped and reported.
    """
    options["on_conflict"] = "update" if update else "ignore"
    own_site = Site(
        url=site,
        hosts=hosts or None,
        assets=asset_extensions or ASSETS,
        query=not no_query,
        timeout=timeout * 60,
        bots=bots,
    )
    if len(files) > 1 and not hosts:
        # The site's host is detected from requests for assets, which may be in another one of the files.
        rereadable = [name for name in files if name != "-" and not is_special(name)]
        own_site = replace(own_site, other_hosts=own_hosts_of_files(own_site, rereadable))
    gc.set_threshold(GC_THRESHOLD)
    with open_or_create(database) as opened, Rejects(rejects, inputs=[*files, *database_files(opened)]) as rejected:
        if not into_demo and find_mark(opened):
            raise click.ClickException(
                f"{opened.url} has rows that `demo` generated; import into another database, or pass --into-demo"
            )
        is_file_rejected = import_all(opened, files, rejects=rejected, site=own_site, **options)
        if rejected.count:
            click.echo(f"{rejected.count:,} invalid rows, see {rejects}")
    if is_file_rejected:
        raise click.ClickException("all rows of a file are invalid")


def import_all(database: Database, files: tuple[str, ...], **options: Any) -> bool:
    """Import files and print their reports. Return whether all rows of at least one file were invalid.

    :raises IngestError: a file cannot be imported. The message lists the files after this one, which were not imported.
    """
    if len(files) == 1:
        report = import_one(database, *files, **options)
        click.echo("\n".join(report.lines()))
        return report.is_all_rejected
    is_file_rejected = False
    sessions_to_check = SessionsToCheck()  # the events of a session may be in another file
    try:
        for number, file in enumerate(files, start=1):
            try:
                report = import_one(database, file, sessions_to_check=sessions_to_check, **options)
            except AnalyticsError as error:
                raise IngestError(printable(describe_stop(error, file, files[number:]))) from error
            click.echo("\n".join([printable(f"{file}:"), *report.lines()]))
            is_file_rejected = is_file_rejected or report.is_all_rejected
    finally:
        check_sessions(database, sessions_to_check)
    return is_file_rejected


def describe_stop(error: AnalyticsError, file: str, rest: Sequence[str]) -> str:
    """Return the message of an error that ends the import of several files.

    :param file: the file with the error. The message begins with the name of the file.
    :param rest: the files after `file`, which are not imported.
    """
    message = str(error) if str(error).startswith((file, "standard input")) else f"{file}: {error}"
    if "--map" in message:
        message += "; options apply to all files of a command, so import this file with a command of its own"
    return f"{message} (not imported: {', '.join(rest)})" if rest else message


def check_sessions(database: Database, sessions_to_check: SessionsToCheck) -> None:
    """Set the missing `event_count` of imported sessions, and print their number. Warn of missing sessions."""
    with Progress("counting", None, "counters") as counting:
        counted = count_events(database, sessions_to_check, counting.step)
    if counted:
        click.echo(f"sessions: event_count of {counted:,} rows was computed from their events")
    for warning in database.read(sessions_to_check.warnings):
        click.echo(f"warning: {warning}")


def import_one(database: Database, file: str, **options: Any) -> Report:
    """Import one file and show progress.

    :param options: keyword arguments of `import_file`.
    :raises IngestError: the file cannot be imported. Control characters in the message are escaped.
    """
    size = os.path.getsize(file) if os.path.isfile(file) else None
    with (
        Progress(f"reading {printable(file)}", size, "bytes") as reading,
        Progress("writing", None, "rows") as writing,
        Progress("counting", None, "counters") as counting,
    ):
        try:
            return import_file(
                database,
                sys.stdin.buffer if file == "-" else file,
                name="standard input" if file == "-" else file,
                on_read=reading.add,
                on_write=writing.add,
                on_progress=counting.step,
                **options,
            )
        except AnalyticsError as error:
            raise IngestError(printable(str(error))) from error
