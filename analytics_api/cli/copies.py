"""Commands that copy a database, export a table or write a backup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import click

from ..context import Context
from ..database import BASE_TABLES, open_database
from ..endpoints.leads import LIST_ORDERS
from ..endpoints.leads.export import export_chunks
from ..endpoints.leads.filters import parse
from ..endpoints.leads.orders import DEFAULT_ORDER
from ..maintenance.copy import copy as copy_database
from ..maintenance.export import Format
from ..maintenance.export import export as export_table
from ..values.paths import is_same_file
from ..values.statuses import STATUSES
from ..values.timestamps import now
from .base import database_option, main, open_or_create
from .output import database_files, open_output
from .progress import Progress


@main.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy a database into an empty one, and compare the two.

    FROM and TO are paths of SQLite files or postgresql:// URLs.
    """
    with open_database(source, create=False).closing() as there, open_or_create(target) as here:
        with Progress("copying", None, "rows") as progress:
            counts = copy_database(there, here, on_write=progress.add)
        for table, rows in counts.items():
            click.echo(f"{table}: {rows:,} rows")
        click.echo(f"{here.url} has the same rows as {there.url}, and all counters are correct")


@main.command()
@database_option
@click.argument("table", type=click.Choice(list(BASE_TABLES)), metavar="TABLE")
@click.option(
    "--format", type=click.Choice(get_args(Format)), help="Default: csv if FILE ends with .csv or .csv.gz, else ndjson."
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Compressed if FILE ends with .gz. Default: standard output.",
)
@click.option("--q", metavar="TEXT", help="Leads: export only leads that contain this text.")
@click.option("--status", type=click.Choice(STATUSES), help="Leads: export only leads with this status.")
@click.option("--sort", type=click.Choice(list(LIST_ORDERS)), help="Leads: the order of the rows.")
def export(
    database: str,
    table: str,
    format: Format | None,
    output: str | None,
    q: str | None,
    status: str | None,
    sort: str | None,
) -> None:
    """Export a table from one snapshot. `import` can read the file.

    Tables: sessions, events, leads, lead_submissions, lead_status_changes. With --q, --status or --sort, export the
    same list of leads as the API. In the CSV of this list, text is escaped, so that a spreadsheet does not evaluate the
    text as a formula.
    """
    as_list = q or status or sort
    if as_list and table != "leads":
        raise click.UsageError("--q, --status and --sort are only valid for the table leads")
    format = format or ("csv" if (output or "").lower().endswith((".csv", ".csv.gz")) else "ndjson")
    with open_database(database, create=False).closing() as opened:
        if output and any(is_same_file(output, file) for file in database_files(opened)):
            raise click.ClickException(f"--output {output} is the database")
        if as_list:
            ctx = Context(db=opened, storage=None, now=now())
            chunks: Iterable[str] = export_chunks(ctx, format, q, parse(None, status), sort or DEFAULT_ORDER)
        else:
            chunks = export_table(opened, table, format)
        with open_output(output) as file:
            for chunk in chunks:
                file.write(chunk.encode())


@main.command()
@database_option
@click.argument("file", type=click.Path(dir_okay=False))
def backup(database: str, file: str) -> None:
    """Copy a snapshot of the SQLite database to a new file. Other programs can write to the database meanwhile."""
    with open_database(database, create=False).closing() as opened:
        opened.backup(file)
        click.echo(f"{file} is a copy of {opened.url}")
