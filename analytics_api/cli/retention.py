"""Commands that delete old rows, or all rows of a person."""

from __future__ import annotations

import sys
from datetime import date, datetime

import click

from ..database import Database, open_database
from ..errors import ErasureError
from ..http.parameters import MAX_INT64
from ..maintenance import erase as erasure
from ..maintenance.purge import count_old_rows
from ..maintenance.purge import purge as delete_before
from ..statistics.ranges import find_today
from ..values.calendar import to_day
from ..values.timestamps import now
from .base import database_option, main, parse_day
from .progress import Progress


@main.command()
@database_option
@click.option(
    "--before",
    required=True,
    metavar="YYYY-MM-DD",
    callback=parse_day,
    help="Delete days before this one, in the site's time zone.",
)
@click.option("--keep-totals", is_flag=True, help="Keep counting the deleted rows in all statistics except realtime.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation, not even in a terminal.")
def purge(database: str, before: datetime, keep_totals: bool, yes: bool) -> None:
    """Delete the sessions and events of old days, but not leads.

    The API then counts only the remaining rows. With --keep-totals, the API still counts the deleted rows. The database
    keeps their counts, and the ids of visitors and fingerprints, so that a returning visitor is not counted twice.

    In a terminal, the command first shows the number of rows and asks for confirmation. In a cron job, no question is
    asked.

    The command can be interrupted and run again. The size of an SQLite file does not change. New rows use the free
    space.
    """
    with open_database(database, create=False).closing() as opened:
        if to_day(before.date()) > find_today(opened, now()).day:
            raise click.BadParameter("the date must not be in the future", param_hint="--before")
        if not yes and sys.stdin.isatty():
            confirm_purge(opened, before.date(), keep_totals)
        with Progress("deleting", None, "rows") as progress:
            counts = delete_before(opened, before.date(), keep_totals=keep_totals, on_delete=progress.add)
        for table, rows in counts.items():
            click.echo(f"{table}: {rows:,} deleted{', still counted' if keep_totals else ''}")


def confirm_purge(database: Database, before: date, keep_totals: bool) -> None:
    """Show the numbers of rows to delete and ask for confirmation, unless there are no such rows."""
    old = count_old_rows(database, before)
    if any(old.values()):
        click.confirm(
            f"events: {old['events']:,}, sessions: {old['sessions']:,}. Delete them from {database.url}, "
            f"{'but still count them' if keep_totals else 'and no longer count them'}?",
            abort=True,
            err=True,
        )


@main.command()
@database_option
@click.option("--visitor", metavar="ID", help="The person with this visitor id.")
@click.option("--email", metavar="ADDRESS", help="The person with this address; case is ignored.")
@click.option("--lead", metavar="N", type=click.IntRange(-MAX_INT64, MAX_INT64), help="The person with this lead id.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def erase(database: str, visitor: str | None, email: str | None, lead: int | None, yes: bool) -> None:
    """Erase all rows of a person, and print the number of erased rows.

    Leads with the same e-mail address belong to one person, and so do the visitors in these leads and in their
    submissions. All sessions and events of these visitors are erased.

    Then the remains of deleted rows are removed from the database files. To do so, an SQLite file is rewritten, which
    blocks writers. Backups, replicas, logs and recordings are not changed.
    """
    with open_database(database, create=False).closing() as opened:
        try:
            person = erasure.find(opened, visitor=visitor, email=email, lead=lead)
        except ErasureError:
            raise click.ClickException("pass exactly one of --visitor, --email and --lead, with a value") from None
        if not yes and erasure.has_rows(opened, person):
            click.confirm(
                f"leads: {len(person.leads):,}, visitors: {len(person.visitors):,}, "
                f"sessions: {len(person.sessions):,}. Erase them and all their events and submissions?",
                abort=True,
                err=True,
            )
        with Progress("erasing", None, "steps") as progress:
            receipt = erasure.erase(opened, visitor=visitor, email=email, lead=lead, on_progress=progress.step)
        if not any(receipt.values()):
            raise click.ClickException(
                "no rows of this person were found; only the remains of deleted rows were removed"
            )
        for table, rows in receipt.items():
            click.echo(f"{table}: {rows:,} {'removed from rows of other people' if table == 'links' else 'erased'}")
