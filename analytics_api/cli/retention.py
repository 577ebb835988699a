"""Commands that delete old days, or everything about a person."""

from __future__ import annotations

from datetime import datetime

import click

from ..calendar import to_day
from ..context import now
from ..database import open_database
from ..maintenance import erase as erasure
from ..maintenance.purge import purge as delete_before
from ..ranges import find_today
from .base import database_option, main, parse_day
from .progress import Progress


@main.command()
@database_option
@click.option(
    "--before",
    required=True,
    metavar="YYYY-MM-DD",
    callback=parse_day,
    help="The first day of the site that stays.",
)
@click.option("--keep-totals", is_flag=True, help="Keep every number of the API as it is, except those of realtime.")
def purge(database: str, before: datetime, keep_totals: bool) -> None:
    """Delete the sessions and events of older days; leads stay. It can be stopped, and run again.

    The numbers are then those of the remaining rows. With --keep-totals they stay as they were: counts are kept, and
    the ids of visitors and fingerprints, so that a visitor who returns is not counted again. SQLite's file keeps its
    size, and reuses the space.
    """
    with open_database(database, create=False).closing() as opened:
        if to_day(before.date()) > find_today(opened, now()).day:
            raise click.BadParameter("a day in the future would leave nothing", param_hint="--before")
        with Progress("deleting", None, "rows") as progress:
            counts = delete_before(opened, before.date(), keep_totals=keep_totals, deleted=progress.add)
        for table, rows in counts.items():
            click.echo(f"{table}: {rows:,} deleted{', still counted' if keep_totals else ''}")


@main.command()
@database_option
@click.option("--visitor", metavar="ID", help="The person with this visitor id.")
@click.option("--email", metavar="ADDRESS", help="The person with this address, in any case.")
@click.option("--lead", metavar="N", type=int, help="The person of this lead.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def erase(database: str, visitor: str | None, email: str | None, lead: int | None, yes: bool) -> None:
    """Erase a person from every table, and print the number of rows of each.

    Leads that share an address belong to one person, as do the visitors that these leads and their submissions name,
    with all their sessions and events. Then the deleted bytes are removed from the files: SQLite's is rewritten, and
    writers wait meanwhile. Backups, replicas, logs and recordings are not changed.
    """
    with open_database(database, create=False).closing() as opened:
        person = erasure.find(opened, visitor=visitor, email=email, lead=lead)
        if not yes:
            click.confirm(
                f"leads: {len(person.leads):,}, visitors: {len(person.visitors):,}, "
                f"sessions: {len(person.sessions):,}. Erase them with everything that belongs to them?",
                abort=True,
                err=True,
            )
        with Progress("erasing", None, "steps") as progress:
            receipt = erasure.erase(opened, visitor=visitor, email=email, lead=lead, on_progress=progress.step)
        for table, rows in receipt.items():
            click.echo(f"{table}: {rows:,} {'removed from what others have' if table == 'links' else 'erased'}")
        if not any(receipt.values()):
            raise click.ClickException("no row belongs to this person: nothing was erased")
