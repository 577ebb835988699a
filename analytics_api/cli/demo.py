"""The command that fills a database with generated data."""

from __future__ import annotations

import click

from ..context import now
from ..database import BASE_TABLES, Database, Transaction, open_database
from ..maintenance import demo as generator
from ..maintenance.demo_marker import DemoMark, count_rows, find_mark, set_mark
from .base import database_option, main
from .progress import Progress


@main.command()
@database_option
@click.option("--sessions", default=2_000, show_default=True, type=click.IntRange(1), help="Sessions; ten events each.")
@click.option("--leads", type=click.IntRange(0), help="Leads. Default: one for 20 sessions.")
@click.option("--pages", default=400, show_default=True, type=click.IntRange(1), help="Distinct pages.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 19_000), help="Days before now.")
@click.option("--seed", default=1, show_default=True, help="The same seed generates the same people.")
@click.option(
    "--if-empty", is_flag=True, help="Do nothing if the database has rows, except replace a demo of an earlier day."
)
@click.option("--recordings", metavar="DIRECTORY", type=click.Path(file_okay=False), help="Write recordings there too.")
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
    """Fill a new database with made-up visitors and leads up to now."""
    plan = generator.Plan(now(), sessions=sessions, leads=leads, pages=pages, days=days, seed=seed)
    with open_database(database).closing() as opened:
        if not prepare(opened, plan, if_empty=if_empty):
            return
        rows = load(opened, plan)
        click.echo(f"{opened.url} holds {rows:,} made-up rows up to now")
    if recordings:
        try:
            files = generator.recordings(plan, recordings)
        except OSError as error:
            raise click.ClickException(f"{recordings}: {error.strerror}") from error
        click.echo(f"{recordings} holds {files:,} recordings")


def prepare(database: Database, plan: generator.Plan, *, if_empty: bool) -> bool:
    """Return whether the demo can be loaded, replacing one of an earlier day; say why not.

    :raises click.ClickException: the database has rows, and not `if_empty`.
    """
    has_rows = any(database.row(f"select 1 from {table} limit 1") for table in generator.COLUMNS)
    if not has_rows:
        return True
    if not if_empty:
        raise click.ClickException(f"{database.url} has rows already; use another database for the demo")
    mark = find_mark(database)
    if mark is None:
        click.echo(f"{database.url} has rows already, and is not marked as a demo; it is left as it is")
        return False
    if mark.day == DemoMark(plan.now, 0).day:
        return False
    if database.read(count_rows) != mark.rows:
        click.echo(
            f"{database.url}: the made-up rows end on {mark.day}, and others were added since; "
            "delete the file for a new demo"
        )
        return False
    return True


def load(database: Database, plan: generator.Plan) -> int:
    """Replace all rows by generated ones, in one transaction, and mark the database; return their number."""
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
