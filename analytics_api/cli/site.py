"""The command that shows or changes the settings of the site."""

from __future__ import annotations

import click

from ..context import Context
from ..database import Database, open_database
from ..endpoints.site import site as describe_site
from ..maintenance.site import change_settings, find_outdated_offset, outdated_message
from ..values.timestamps import now
from .base import database_option, main
from .progress import Progress

PAGE_QUERY = {
    "keep": "pages are counted with query and fragment, and keys with the scope stats can read both",
    "drop": "pages are counted without query and fragment",
}


@main.command()
@database_option
@click.option("--time-zone", metavar="NAME", help="Time zone of days, from the IANA database, such as Asia/Kolkata.")
@click.option(
    "--page-query",
    type=click.Choice(list(PAGE_QUERY)),
    help="Count pages with or without query and fragment.",
)
def site(database: str, time_zone: str | None, page_query: str | None) -> None:
    """Show or change the time zone and how pages are counted.

    Pages are counted with or without query and fragment.

    A change rebuilds all counters in one transaction, which blocks writers. Counts of purged rows do not change.
    """
    with open_database(database, create=False).closing() as opened:
        if time_zone is not None or page_query is not None:
            with Progress("building", None, "counters") as progress:
                changed = change_settings(opened, time_zone=time_zone, page_query=page_query, on_progress=progress.step)
            click.echo("all counters were rebuilt" if changed else "nothing changed")
        show(opened)


def show(database: Database) -> None:
    described = describe_site(Context(db=database, storage=None, now=now()))
    click.echo(f"time zone: {described['time_zone']} (today is {described['today']})")
    click.echo(f"page query: {described['page_query']}: {PAGE_QUERY[described['page_query']]}")
    click.echo(f"first day: {described['first_day'] or 'none'}")
    click.echo(f"days purged with --keep-totals: {describe_purged(described['raw_since'])}")
    outdated = find_outdated_offset(database)
    if outdated is not None:
        click.echo(f"Warning: {outdated_message(described['time_zone'], outdated)}", err=True)


def describe_purged(raw_since: str | None) -> str:
    return "none" if raw_since is None else f"before {raw_since}, still counted"
