"""The command `analytics-api`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

try:
    import click
    from dotenv import load_dotenv
    from gunicorn.app.base import BaseApplication

    from .progress import Progress
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"analytics-api needs {missing.name}, which comes with: pip install 'analytics_api[server]'"
    ) from None

from . import settings
from .database import Difference, Transaction, open_database
from .database.sqlite import upgrade as upgrade_file
from .errors import AnalyticsError

T = TypeVar("T")


class Group(click.Group):
    """Turns our errors into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AnalyticsError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:  # the reader of our output has seen enough
            sys.exit(141)


def on_database(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the option that names the database."""
    return click.option(
        "-d",
        "--database",
        metavar="PATH",
        help=f"The database; else ANALYTICS_DATABASE, else {settings.DATABASE}.",
        callback=lambda ctx, option, given: given or settings.database(os.environ),
    )(command)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="analytics_api")
def main() -> None:
    """A site's visitors and sales leads: the numbers over HTTP.

    Settings come from the environment, and from a file .env in this folder.
    """
    load_dotenv(Path(".env"))  # what the environment says already stays
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


@main.command()
@on_database
def init(database: str) -> None:
    """Make an empty database."""
    with open_database(database).closing() as opened:
        click.echo(f"{opened.url} is ready")


@main.command()
@on_database
def upgrade(database: str) -> None:
    """Bring a database of an older version forward, every row kept."""
    before = upgrade_file(database)
    with open_database(database, create=False).closing() as opened:
        click.echo(f"{opened.url} was of version {before} and is up to date")


@main.command()
@on_database
@click.option("--sessions", default=2_000, show_default=True, type=click.IntRange(1), help="How many; ten events each.")
@click.option("--leads", type=click.IntRange(0), help="How many; one in twenty sessions unless said.")
@click.option("--pages", default=400, show_default=True, type=click.IntRange(1), help="How many distinct pages.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1), help="How far back they go.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same people.")
@click.option("--if-empty", is_flag=True, help="Leave a database that holds data as it is, without complaint.")
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
    """Fill a new database with made-up visitors and leads, the last of them now."""
    from . import demo as made_up
    from .app import now

    plan = made_up.Plan(now(), sessions=sessions, leads=leads, pages=pages, days=days, seed=seed)
    with open_database(database).closing() as opened:
        there = opened.rows("select sessions + events as rows from rollup_totals")[0]["rows"]
        if there and if_empty:
            return
        if there:
            raise click.ClickException(f"{opened.url} holds data already; the demo wants a database of its own")
        with Progress("sessions", plan.sessions, "sessions") as progress:

            def load(at: Transaction) -> int:
                rows = 0
                for table, batch in made_up.batches(plan):
                    rows += at.insert(table, made_up.COLUMNS[table], batch)
                    if table == "sessions":
                        progress.add(len(batch))
                return rows

            rows = opened.bulk(load)
        click.echo(f"{opened.url} holds {rows:,} rows")
    if recordings:
        files = made_up.recordings(plan, recordings)
        click.echo(f"{recordings} holds {files:,} recordings")


@main.command("import")
@on_database
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(dir_okay=False))
@click.option("--update", is_flag=True, help="Rows that are there already take the file's values.")
def import_(database: str, files: tuple[str, ...], update: bool) -> None:
    """Copy what D1 exports (.sql, .sql.gz) or SQLite files hold into the database.

    Columns go by name. Each file is one transaction: all of it is taken, or, when it breaks half-way, nothing. Rows
    that are there already stay as they are, so that a second run changes nothing.
    """
    from .ingest.tables import import_database

    with open_database(database).closing() as opened:
        for file in files:
            size = os.path.getsize(file) if os.path.exists(file) else None
            with Progress(f"reading {file}", size, "bytes") as reading, Progress("writing", None, "rows") as writing:
                report = import_database(
                    opened, file, existing="update" if update else "keep", read=reading.add, written=writing.add
                )
            click.echo("\n".join(report.lines()))


@main.command()
@on_database
def verify(database: str) -> None:
    """Compare every rollup with the plain query over the tables; exit 1 with the differences."""
    with open_database(database, create=False).closing() as opened, Progress("checking", None, "rollups") as progress:
        differences = opened.verify(told=progress.step)
    for difference in differences:
        click.echo(described(difference))
    if differences:
        raise click.ClickException("the rollups do not hold; `analytics-api rebuild` makes them anew")
    click.echo("every rollup holds")


def described(difference: Difference) -> str:
    if difference.plain is not None:
        return f"{difference.rollup} lacks {difference.plain}"
    if difference.kept is not None:
        return f"{difference.rollup} should not have {difference.kept}"
    return f"{difference.rollup} is damaged"


@main.command()
@on_database
def rebuild(database: str) -> None:
    """Make every rollup anew from the tables."""
    with open_database(database, create=False).closing() as opened:
        with Progress("building", None, "rollups") as progress:
            opened.rebuild(told=progress.step)
        click.echo(f"{opened.url}: every rollup is made anew")


@main.command()
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1), help="Threads of each process.")
def serve(bind: str, workers: int, threads: int) -> None:
    """Serve the API under gunicorn."""
    read = settings.Settings.read(os.environ)
    with open_database(read.database).closing():  # what is wrong is told before a worker is started
        pass
    for warning in read.warnings():
        logging.getLogger("analytics_api").warning(warning)
    Server(read, {"bind": bind, "workers": workers, "threads": threads, "worker_class": "gthread"}).run()


class Server(BaseApplication):
    """gunicorn, on settings instead of its command line. The application is made in each worker."""

    def __init__(self, read: settings.Settings, options: dict[str, Any]) -> None:
        self.settings = read
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self.settings.application()
