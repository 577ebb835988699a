"""The command that imports files."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import replace
from typing import Any, Literal, cast, get_args

import click

from ..database import Database, open_database
from ..errors import AnalyticsError, IngestError
from ..imports import FORMATS, Rejects, Site, import_file
from ..imports.access_log import ASSETS, own_hosts_of_files
from ..imports.derive import UncountedSessions
from ..imports.report import Report, printable
from ..imports.write import count_events
from ..maintenance.demo_marker import find_mark
from .base import RenamedOptions, database_option, main
from .progress import Progress

# Objects allocated before the garbage collector runs. Rows form no cycles; the default takes a tenth of an import.
GC_THRESHOLD = 100_000

Bots = Literal["separate", "include"]
FORMER_BOTS: dict[str, Bots] = {"apart": "separate", "alike": "include"}


def parse_map(ctx: click.Context, option: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """Parse each `THEIRS=OURS`, splitting at the last `=`; an empty OURS leaves the column out."""
    pairs = [pair.rpartition("=") for pair in value]
    for theirs, _, ours in pairs:
        if not theirs:
            raise click.BadParameter(f"{ours!r} is not THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in pairs}


def parse_bots(ctx: click.Context, option: click.Parameter, value: str) -> Bots:
    """Parse the name of a way to count bots; accept the former names with a warning."""
    if value in FORMER_BOTS:
        click.echo(f"Warning: --bots {value} is deprecated; use --bots {FORMER_BOTS[value]}", err=True)
        return FORMER_BOTS[value]
    for name in get_args(Bots):
        if value == name:
            return cast(Bots, name)
    raise click.BadParameter(f"{value!r} is not one of {', '.join(map(repr, get_args(Bots)))}.")


@main.command("import", cls=RenamedOptions, renamed={"--assets": "--asset-extensions"})
@database_option
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--format", type=click.Choice(FORMATS), help="The format of the files. Default: detected.")
@click.option("--update", is_flag=True, help="Overwrite existing rows with the values of the file.")
@click.option("--strict", is_flag=True, help="Stop at the first bad row and leave the database unchanged.")
@click.option("--into-demo", is_flag=True, help="Import although the database has the made-up rows of `demo`.")
@click.option("--rejects", default="rejects.tsv", show_default=True, metavar="FILE", help="Write bad rows there.")
@click.option("--table", metavar="NAME", help="CSV, NDJSON: the table. Default: the one that has their columns.")
@click.option("--map", metavar="THEIRS=OURS", multiple=True, callback=parse_map, help="Map their column to ours.")
@click.option("--delimiter", metavar="CHARACTER", help="CSV: the field separator. Default: detected.")
@click.option("--encoding", default="utf-8", show_default=True, metavar="NAME", help="CSV: the text encoding.")
@click.option("--site", metavar="URL", help="Logs: the scheme and host to prepend to paths.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Logs: a host of the site. Default: detected.")
@click.option("--asset-extensions", metavar="EXT", help="Logs: what is not a page, such as css,js,png.")
@click.option("--no-query", is_flag=True, help="Logs: remove query strings from pages.")
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1),
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
    asset_extensions: str | None,
    no_query: bool,
    timeout: float,
    bots: Bots,
    **options: Any,
) -> None:
    """Import D1 exports, SQLite files, access logs, CSV or NDJSON; - is standard input.

    Columns are matched by name. Each file is one transaction: it is imported as a whole, or not at all. Existing rows
    stay as they are, so that a second run changes nothing. Bad rows are skipped and reported.
    """
    options["on_conflict"] = "update" if update else "ignore"
    own_site = Site(
        url=site,
        hosts=hosts or None,
        assets=asset_extensions.split(",") if asset_extensions else ASSETS,
        query=not no_query,
        timeout=timeout * 60,
        bots=bots,
    )
    if len(files) > 1 and not hosts:
        # A log without requests for assets does not show its site's host; another file of the command may show it.
        own_site = replace(own_site, other_hosts=own_hosts_of_files(own_site, [name for name in files if name != "-"]))
    gc.set_threshold(GC_THRESHOLD)
    with open_database(database).closing() as opened, Rejects(rejects, inputs=files) as rejected:
        if not into_demo and find_mark(opened):
            raise click.ClickException(
                f"{opened.url} has the made-up rows of `demo`; import into another database, or pass --into-demo"
            )
        is_nothing_taken = import_all(opened, files, rejects=rejected, site=own_site, **options)
        if rejected.count:
            click.echo(f"{rejected.count:,} bad rows, see {rejects}")
    if is_nothing_taken:
        raise click.ClickException("not one row of a file could be taken")


def import_all(database: Database, files: tuple[str, ...], **options: Any) -> bool:
    """Import files and print their reports; return whether every row of one of them was refused.

    :raises IngestError: for a file that cannot be imported; it names the files that were not begun.
    """
    if len(files) == 1:
        report = import_one(database, *files, **options)
        click.echo("\n".join(report.lines()))
        return report.is_nothing_taken
    is_nothing_taken = False
    uncounted = UncountedSessions()  # their events may be in a file behind that of the sessions
    try:
        for number, file in enumerate(files, start=1):
            try:
                report = import_one(database, file, uncounted=uncounted, **options)
            except AnalyticsError as error:
                rest = ", ".join(files[number:])
                raise IngestError(printable(f"{error}{f' (not begun: {rest})' if rest else ''}")) from error
            click.echo("\n".join([printable(f"{file}:"), *report.lines()]))
            is_nothing_taken = is_nothing_taken or report.is_nothing_taken
    finally:
        count_uncounted(database, uncounted)
    return is_nothing_taken


def count_uncounted(database: Database, uncounted: UncountedSessions) -> None:
    """Count the events of sessions that came without `event_count`, and print how many they were."""
    with Progress("counting", None, "rollups") as counting:
        counted = count_events(database, uncounted, counting.step)
    if counted:
        click.echo(f"sessions: event_count derived for {counted:,} rows from their events")


def import_one(database: Database, file: str, **options: Any) -> Report:
    """Import one file, showing progress; `options` are those of `import_file`."""
    size = os.path.getsize(file) if os.path.exists(file) else None
    with (
        Progress(f"reading {file}", size, "bytes") as reading,
        Progress("writing", None, "rows") as writing,
        Progress("counting", None, "rollups") as counting,
    ):
        return import_file(
            database,
            sys.stdin.buffer if file == "-" else file,
            name="standard input" if file == "-" else None,
            on_read=reading.add,
            on_write=writing.add,
            on_progress=counting.step,
            **options,
        )
