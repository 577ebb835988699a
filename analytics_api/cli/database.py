"""Commands that create, upgrade and check a database."""

from __future__ import annotations

import click

from ..database import Difference, open_database
from ..database import upgrade as upgrade_database
from ..errors import DatabaseError
from ..maintenance.description import describe_rows, is_missing
from ..maintenance.site import find_outdated_offset, outdated_message, read_settings
from .base import database_option, main
from .progress import Progress

SCHEMA_CHANGED = (
    "the schema was changed; `analytics-api upgrade` restores it"  # open_database has logged each difference
)


@main.command()
@database_option
def init(database: str) -> None:
    """Create an empty database."""
    is_new = is_missing(database)
    with open_database(database).closing() as opened:
        click.echo(describe_rows(opened, is_new=is_new))


@main.command()
@database_option
def upgrade(database: str) -> None:
    """Upgrade a database of an older version. No row is lost. Missing schema objects are restored, too."""
    steps = []  # empty if nothing was changed

    def on_progress(step: str) -> None:
        steps.append(step)
        progress.step(step)

    with Progress("upgrading", None, "tables") as progress:
        before = upgrade_database(database, on_progress=on_progress)
    with open_database(database, create=False).closing() as opened:
        done = "schema and counters were rebuilt" if steps else "nothing was changed"
        click.echo(f"{opened.url} is up to date; its version was {before}; {done}")


@main.command()
@database_option
def verify(database: str) -> None:
    """Compare all counters with the rows that they count.

    List the differences, and exit with status 1 if there are any.
    """
    with open_database(database, create=False).closing() as opened, Progress("checking", None, "counters") as progress:
        if opened.schema_differences():
            raise click.ClickException(SCHEMA_CHANGED)
        differences = opened.verify(on_progress=progress.step)
        time_zone = read_settings(opened).time_zone
        outdated = find_outdated_offset(opened)
    for difference in differences:
        click.echo(describe(difference))
    if differences:
        raise click.ClickException("some counters are wrong; `analytics-api rebuild` computes them again")
    if outdated is not None:
        raise click.ClickException(outdated_message(time_zone, outdated))
    click.echo("all counters are correct")


def describe(difference: Difference) -> str:
    """Describe a difference in one line."""
    if difference.expected is not None:
        return f"{difference.counter} lacks {difference.expected}"
    if difference.stored is not None:
        return f"{difference.counter} should not have {difference.stored}"
    return f"{difference.counter} is damaged"


@main.command()
@database_option
def rebuild(database: str) -> None:
    """Compute all counters again from the base tables."""
    with open_database(database, create=False).closing() as opened:
        try:
            with Progress("building", None, "counters") as progress:
                opened.rebuild(on_progress=progress.step)
        except DatabaseError as error:
            if opened.schema_differences():
                raise click.ClickException(SCHEMA_CHANGED) from error
            raise
        click.echo(f"{opened.url}: all counters were rebuilt")
