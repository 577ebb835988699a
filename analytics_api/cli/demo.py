"""The command that fills a database with generated data."""

from __future__ import annotations

import click

from ..database import BASE_TABLES, Database, Transaction, open_database
from ..maintenance import demo as generator
from ..maintenance.demo_marker import DemoMark, count_base_rows, find_mark, set_mark
from ..values.timestamps import now
from .base import database_option, main
from .progress import Progress


@main.command()
@database_option
@click.option("--sessions", default=2_000, show_default=True, type=click.IntRange(1), help="Number of sessions.")
@click.option("--leads", type=click.IntRange(0), help="Number of leads. Default: sessions / 20.")
@click.option(
    "--pages", default=400, show_default=True, type=click.IntRange(1), help="Number of pages, without queries."
)
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 19_000), help="Number of days up to now.")
@click.option("--seed", default=1, show_default=True, help="The same seed generates the same data.")
@click.option("--if-empty", is_flag=True, help="If the database has rows, only replace demo rows of an earlier day.")
@click.option(
    "--recordings", metavar="DIRECTORY", type=click.Path(file_okay=False), help="Write session recordings, too."
)
def demo(
    database: str,
    sessions: int,
    leads: int | None,
    pages: int,
    days: int,
    seed: int,
    if_empty: bool,
    recordings: str | None,
) -> None:
    """Fill a new database with generated sessions, events and leads. The last day is today."""
    plan = generator.Plan(now(), sessions=sessions, leads=leads, pages=pages, days=days, seed=seed)
    with open_database(database).closing() as opened:
        if not may_load(opened, plan, if_empty=if_empty):
            return
        rows = load(opened, plan)
        click.echo(f"{opened.url} has {rows:,} generated rows up to now")
    if recordings:
        try:
            files = generator.recordings(plan, recordings)
        except OSError as error:
            raise click.ClickException(f"{recordings}: {error.strerror}") from error
        click.echo(f"{recordings} has {files:,} recordings")


def may_load(database: Database, plan: generator.Plan, *, if_empty: bool) -> bool:
    """Return whether new demo rows may be loaded: the database is empty, or has only demo rows of an earlier day.

    If the database has other rows than demo rows, print a message.

    :raises click.ClickException: the database has rows, and `if_empty` is false.
    """
    has_rows = any(database.row(f"select 1 from {table} limit 1") for table in generator.COLUMNS)
    if not has_rows:
        return True
    if not if_empty:
        raise click.ClickException(f"{database.url} is not empty; use another database for the demo")
    mark = find_mark(database)
    if mark is None:
        click.echo(f"{database.url} is not changed: it has rows that `demo` did not generate")
        return False
    if mark.day == DemoMark(plan.now, 0).day:
        return False
    if database.read(count_base_rows) != mark.rows:
        click.echo(
            f"{database.url} is not changed: it has generated rows up to {mark.day}, and other rows; "
            "delete the file for a new demo"
        )
        return False
    return True


def load(database: Database, plan: generator.Plan) -> int:
    """Replace all rows by generated ones in one transaction, and return the number of rows.

    The database is marked as a demo.
    """
    with Progress("sessions", plan.sessions, "sessions") as progress:

        def insert(at: Transaction) -> int:
            rows = 0
            for table in BASE_TABLES:
                at.execute(f"delete from {table}")
            for table, batch in generator.batches(plan):
                rows += at.insert(table, generator.COLUMNS[table], batch)
                if table == "sessions":
                    progress.add(len(batch))
            set_mark(at, DemoMark(plan.now, rows))
            return rows

        return database.bulk(insert)
