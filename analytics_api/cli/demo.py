"""The command that fills a database with generated data."""

from __future__ import annotations

import click

from ..context import now
from ..database import Database, Transaction, open_database
from ..maintenance import demo as generator
from .base import database_option, main
from .progress import Progress


@main.command()
@database_option
@click.option("--sessions", default=2_000, show_default=True, type=click.IntRange(1), help="Sessions; ten events each.")
@click.option("--leads", type=click.IntRange(0), help="Leads. Default: one for 20 sessions.")
@click.option("--pages", default=400, show_default=True, type=click.IntRange(1), help="Distinct pages.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 20_000), help="Days before now.")
@click.option("--seed", default=1, show_default=True, help="The same seed generates the same people.")
@click.option("--if-empty", is_flag=True, help="Do nothing if the database has rows.")
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
        has_rows = any(opened.row(f"select 1 from {table} limit 1") for table in generator.COLUMNS)
        if has_rows and if_empty:
            return
        if has_rows:
            raise click.ClickException(f"{opened.url} holds data already; the demo wants a database of its own")
        rows = load(opened, plan)
        click.echo(f"{opened.url} holds {rows:,} rows")
    if recordings:
        try:
            files = generator.recordings(plan, recordings)
        except OSError as error:
            raise click.ClickException(f"{recordings}: {error.strerror}") from error
        click.echo(f"{recordings} holds {files:,} recordings")


def load(database: Database, plan: generator.Plan) -> int:
    """Insert the generated rows in one transaction; return their number."""
    with Progress("sessions", plan.sessions, "sessions") as progress:

        def insert(at: Transaction) -> int:
            rows = 0
            for table, batch in generator.batches(plan):
                rows += at.insert(table, generator.COLUMNS[table], batch)
                if table == "sessions":
                    progress.add(len(batch))
            return rows

        return database.bulk(insert)
