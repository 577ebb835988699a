"""The command `analytics-api`."""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, BinaryIO, Literal, TypeVar

try:
    import click
    from dotenv import load_dotenv
    from gunicorn.app.base import BaseApplication
    from gunicorn.util import parse_address

    from ..server.worker import Worker
    from .progress import Progress
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"analytics-api needs {missing.name}, which comes with: pip install 'analytics_api[server]'"
    ) from None

from ..context import Context, now
from ..database import BASE_TABLES, Difference, Transaction, open_database
from ..database import upgrade as bring_forward
from ..endpoints import leads
from ..errors import AnalyticsError
from ..imports import FORMATS, Format, Rejects, Site, import_file
from ..imports.access_log import ASSETS
from ..keys import SCOPES, KeyStore
from ..maintenance import erase as erasure
from ..maintenance.export import export as export_table
from ..maintenance.purge import purge as delete_before
from ..openapi import document
from ..server import logs, settings
from ..storage.snapshot import Snapshot

T = TypeVar("T")

# How many objects an import makes until Python looks for those that hold each other. Rows do not, and come by the
# million: with Python's own number a tenth of the time goes into looking.
UNCOLLECTED = 100_000


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
        help=f"The database, or a postgresql:// URL; else ANALYTICS_DATABASE, else {settings.DATABASE}.",
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
    before = bring_forward(database)
    with open_database(database, create=False).closing() as opened:
        click.echo(f"{opened.url} was of version {before} and is up to date")


@main.command()
@on_database
@click.option("--sessions", default=2_000, show_default=True, type=click.IntRange(1), help="How many; ten events each.")
@click.option("--leads", type=click.IntRange(0), help="How many; one in twenty sessions unless said.")
@click.option("--pages", default=400, show_default=True, type=click.IntRange(1), help="How many distinct pages.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 20_000), help="How far back they go.")
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
    from ..maintenance import demo as made_up

    plan = made_up.Plan(now(), sessions=sessions, leads=leads, pages=pages, days=days, seed=seed)
    with open_database(database).closing() as opened:
        there = any(opened.row(f"select 1 from {table} limit 1") for table in made_up.COLUMNS)
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
        try:
            files = made_up.recordings(plan, recordings)
        except OSError as error:
            raise click.ClickException(f"{recordings}: {error.strerror}") from error
        click.echo(f"{recordings} holds {files:,} recordings")


def mapped(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`theirs=ours`, split at the last `=`."""
    pairs = [pair.rpartition("=") for pair in given]
    for theirs, _, ours in pairs:
        if not theirs or not ours:
            raise click.BadParameter(f"{theirs or ours!r} is not THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in pairs}


@main.command("import")
@on_database
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--format", type=click.Choice(FORMATS), help="What the files are; else found by looking.")
@click.option("--update", is_flag=True, help="Rows that are there already take the file's values.")
@click.option("--strict", is_flag=True, help="Stop at the first bad row, and leave the database as it was.")
@click.option("--rejects", default="rejects.tsv", show_default=True, metavar="FILE", help="Where bad rows go.")
@click.option("--table", metavar="NAME", help="CSV, NDJSON: the table; else the one whose columns they have.")
@click.option("--map", "names", multiple=True, metavar="THEIRS=OURS", callback=mapped, help="CSV, NDJSON: our column.")
@click.option("--delimiter", metavar="CHARACTER", help="CSV: what stands between fields; else found by looking.")
@click.option("--encoding", default="utf-8", show_default=True, metavar="NAME", help="CSV: how text is encoded.")
@click.option("--site", metavar="URL", help="Logs: what stands before the paths of pages.")
@click.option(
    "--host", "hosts", multiple=True, metavar="NAME", help="Logs: one of the site's own; else found by looking."
)
@click.option("--assets", metavar="ENDINGS", help="Logs: what is no page, such as css,js,png.")
@click.option("--no-query", is_flag=True, help="Logs: leave out what stands behind a page's question mark.")
@click.option(
    "--timeout", default=30.0, show_default=True, type=click.FloatRange(1), help="Logs: minutes end a session."
)
@click.option(
    "--bots",
    type=click.Choice(["apart", "alike"]),
    default="apart",
    show_default=True,
    help="Logs: as no visitors, or as.",
)
def import_(
    database: str,
    files: tuple[str, ...],
    format: Format | None,
    update: bool,
    strict: bool,
    rejects: str,
    table: str | None,
    names: dict[str, str],
    delimiter: str | None,
    encoding: str,
    site: str | None,
    hosts: tuple[str, ...],
    assets: str | None,
    no_query: bool,
    timeout: float,
    bots: Literal["apart", "alike"],
) -> None:
    """Copy D1 exports, SQLite files, access logs, CSV or NDJSON into the database; - is standard input.

    Columns go by name. Each file is one transaction: all of it is taken, or, when it breaks half-way, nothing. Rows
    that are there already stay as they are, so that a second run changes nothing. Bad rows are left out and told.
    """
    understood = Site(
        url=site,
        hosts=hosts or None,
        assets=assets.split(",") if assets else ASSETS,
        query=not no_query,
        timeout=timeout * 60,
        bots=bots,
    )
    gc.set_threshold(UNCOLLECTED)
    with open_database(database).closing() as opened, Rejects(rejects) as bad:
        for file in files:
            size = os.path.getsize(file) if os.path.exists(file) else None
            with (
                Progress(f"reading {file}", size, "bytes") as reading,
                Progress("writing", None, "rows") as writing,
                Progress("counting", None, "rollups") as counting,
            ):
                report = import_file(
                    opened,
                    sys.stdin.buffer if file == "-" else file,
                    name="standard input" if file == "-" else None,
                    format=format,
                    table=table,
                    map=names,
                    delimiter=delimiter,
                    encoding=encoding,
                    site=understood,
                    on_conflict="update" if update else "ignore",
                    strict=strict,
                    rejects=bad,
                    read=reading.add,
                    written=writing.add,
                    on_progress=counting.step,
                )
            click.echo("\n".join(report.lines()))
        if bad.count:
            click.echo(f"{bad.count:,} bad rows, see {rejects}")


@main.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy a whole database into an empty one, a path or a postgresql:// URL each, and compare the two."""
    from ..maintenance.copy import copy as copy_whole

    with open_database(source, create=False).closing() as there, open_database(target).closing() as here:
        with Progress("copying", None, "rows") as progress:
            counts = copy_whole(there, here, written=progress.add)
        for table, rows in counts.items():
            click.echo(f"{table}: {rows:,} rows")
        click.echo(f"{here.url} holds what {there.url} does, row for row, and every rollup holds")


@main.command()
@on_database
@click.argument("table", type=click.Choice(list(BASE_TABLES)), metavar="TABLE")
@click.option(
    "--format", type=click.Choice(["ndjson", "csv"]), default="ndjson", show_default=True, help="How rows are written."
)
@click.option(
    "--output", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True), help="Where to; else standard output."
)
@click.option("--q", metavar="TEXT", help="Leads: those in which it is found.")
@click.option("--status", type=click.Choice(leads.STATUSES), help="Leads: those of a stage.")
@click.option("--sort", type=click.Choice(list(leads.ORDERS)), help="Leads: their order.")
def export(
    database: str,
    table: str,
    format: Literal["ndjson", "csv"],
    output: str | None,
    q: str | None,
    status: str | None,
    sort: str | None,
) -> None:
    """Write every row of a table, as they are at one instant, for `import` to read back.

    Tables: sessions, events, leads, lead_submissions, lead_status_changes. With --q, --status or --sort it is the list
    of leads that the API gives instead, for people: in CSV a spreadsheet runs no formula of it.
    """
    listed = q or status or sort
    if listed and table != "leads":
        raise click.UsageError("--q, --status and --sort are for the table leads")
    with open_database(database, create=False).closing() as opened:
        if listed:
            ctx = Context(db=opened, storage=None, now=now())
            pieces: Iterable[str] = leads.export(ctx, format=format, q=q, status=status, sort=sort or "newest").chunks
        else:
            pieces = export_table(opened, table, format)
        with writing(output) as file:
            for piece in pieces:
                file.write(piece.encode())


@contextmanager
def writing(output: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that has its name only once it is whole."""
    if output in (None, "-"):
        yield sys.stdout.buffer
        return
    part = f"{output}.part"
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, output)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error


@main.command()
@on_database
@click.argument("file", type=click.Path(dir_okay=False))
def backup(database: str, file: str) -> None:
    """Copy the SQLite database into a new file, all of it as it is at one instant, while others write."""
    with open_database(database, create=False).closing() as opened:
        opened.backup(file)
        click.echo(f"{file} holds what {opened.url} did")


@main.command()
@on_database
@click.option("--before", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The first day (UTC) that stays.")
@click.option("--keep-totals", is_flag=True, help="Every number of the API stays as it is, but for realtime's.")
def purge(database: str, before: datetime, keep_totals: bool) -> None:
    """Delete the sessions and events of older days; leads stay. It can be stopped, and run again.

    The numbers then are those of what is left; or, with --keep-totals, what they were: then counts are kept, and the
    ids of visitors and fingerprints, so that who comes again is not counted anew. SQLite's file keeps its size, and
    uses the room again.
    """
    if before > datetime.fromtimestamp(now() / 1000, timezone.utc).replace(tzinfo=None):
        raise click.BadParameter("a day that is still to come would leave nothing", param_hint="--before")
    with open_database(database, create=False).closing() as opened:
        with Progress("deleting", None, "rows") as progress:
            counts = delete_before(opened, before.date(), keep_totals=keep_totals, deleted=progress.add)
        for table, rows in counts.items():
            click.echo(f"{table}: {rows:,} deleted{', still counted' if keep_totals else ''}")


@main.command()
@on_database
@click.option("--visitor", metavar="ID", help="A visitor, and whose leads name it.")
@click.option("--email", metavar="ADDRESS", help="Who left this address, in any case.")
@click.option("--lead", metavar="N", type=int, help="Who is behind this lead.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def erase(database: str, visitor: str | None, email: str | None, lead: int | None, yes: bool) -> None:
    """Remove a person everywhere, and print what went from where.

    Leads that share an address are one person's, and theirs are the visitors that these and their submissions name,
    with all their sessions and events. Then the files are cleaned of what was deleted: SQLite's is written anew, for
    which writers wait. Backups, replicas, logs and recordings are not reached.
    """
    with open_database(database, create=False).closing() as opened:
        found = erasure.find(opened, visitor=visitor, email=email, lead=lead)
        if not yes:
            click.confirm(
                f"leads: {len(found.leads):,}, visitors: {len(found.visitors):,}, sessions: {len(found.sessions):,}. "
                "Erase them, and all that is theirs?",
                abort=True,
                err=True,
            )
        with Progress("erasing", None, "steps") as progress:
            receipt = erasure.erase(opened, visitor=visitor, email=email, lead=lead, on_progress=progress.step)
        for table, rows in receipt.items():
            click.echo(f"{table}: {rows:,} {'removed from what others have' if table == 'links' else 'erased'}")


@main.command()
@on_database
def verify(database: str) -> None:
    """Compare every rollup with the plain query over the tables; exit 1 with the differences."""
    with open_database(database, create=False).closing() as opened, Progress("checking", None, "rollups") as progress:
        differences = opened.verify(on_progress=progress.step)
    for difference in differences:
        click.echo(described(difference))
    if differences:
        raise click.ClickException("the rollups do not hold; `analytics-api rebuild` makes them anew")
    click.echo("every rollup holds")


def described(difference: Difference) -> str:
    if difference.expected is not None:
        return f"{difference.rollup} lacks {difference.expected}"
    if difference.stored is not None:
        return f"{difference.rollup} should not have {difference.stored}"
    return f"{difference.rollup} is damaged"


@main.command()
@on_database
def rebuild(database: str) -> None:
    """Make every rollup anew from the tables."""
    with open_database(database, create=False).closing() as opened:
        with Progress("building", None, "rollups") as progress:
            opened.rebuild(on_progress=progress.step)
        click.echo(f"{opened.url}: every rollup is made anew")


@main.command()
@on_database
@click.option("--measure", is_flag=True, help="List the bucket, and keep how many objects a session has.")
def storage(database: str, measure: bool) -> None:
    """Take the storage statistics anew, keep them for the API, and print them.

    A listing of n objects is ceil(n / 1000) billed calls. With CLOUDFLARE_API_TOKEN nothing is listed, but for
    --measure, whose ratio makes sessions of Cloudflare's count of objects.
    """
    provider = settings.storage(os.environ)
    if provider is None:
        raise click.ClickException("ANALYTICS_STORAGE is not set: there is no storage to look at")
    with open_database(database).closing() as opened:
        snapshot = Snapshot(provider, opened)
        if measure:
            lister = settings.storage(os.environ, counted=False)
            assert lister is not None
            click.echo(f"{snapshot.measure(lister.statistics()):.2f} objects to a session")
        statistics = snapshot.refresh()
    for name, number in (("objects", statistics.total_objects), ("sessions", statistics.estimated_sessions)):
        click.echo(f"{name}: {'not known' if number is None else f'{number:,}'}")


@main.command("openapi")
def openapi_() -> None:
    """Print the OpenAPI document of the API."""
    click.echo(json.dumps(document(), indent=2, ensure_ascii=False))


@main.group()
def keys() -> None:
    """Named API keys with scopes, beside the one of the settings."""


@keys.command("add")
@on_database
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="May be repeated.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="The first day (UTC) on which it is not let in.")
def keys_add(database: str, name: str, scopes: tuple[str, ...], expires: datetime | None) -> None:
    """Make a key and print it, once: it can't be told again."""
    expires_at = None if expires is None else int(expires.replace(tzinfo=timezone.utc).timestamp() * 1000)
    with open_database(database).closing() as opened:
        click.echo(KeyStore(opened).add(name, scopes, now=now(), expires_at=expires_at))


@keys.command("list")
@on_database
def keys_list(database: str) -> None:
    """Every key there is or was: name, first letters, scopes, and its days."""
    with open_database(database, create=False).closing() as opened:
        for key in KeyStore(opened).list():
            days = [f"made {_day(key['created_at'])}", f"last used {key['last_used_on'] or 'never'}"]
            if key["expires_at"] is not None:
                days.append(f"expires {_day(key['expires_at'])}")
            if key["revoked_at"] is not None:
                days.append(f"revoked {_day(key['revoked_at'])}")
            click.echo(f"{key['name']}  {key['prefix']}…  {key['scopes']}  {', '.join(days)}")


@keys.command("revoke")
@on_database
@click.argument("name")
def keys_revoke(database: str, name: str) -> None:
    """Let a key in no more, from the next request on."""
    with open_database(database, create=False).closing() as opened:
        KeyStore(opened).revoke(name, now=now())
        click.echo(f"{name} is let in no more")


def _day(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, timezone.utc).date().isoformat()


@main.command()
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1), help="Threads of each process.")
def serve(bind: str, workers: int, threads: int) -> None:
    """Serve the API under gunicorn."""
    read = settings.Settings.read(os.environ)
    database = open_database(read.database, read_url=read.database_read)  # what is wrong is told at once
    database.close()  # each worker has connections of its own
    check_free(bind)
    logs.configure()
    for warning in read.warnings():
        logging.getLogger("analytics_api").warning(warning)
    options: dict[str, Any] = {
        "bind": bind,
        "worker_class": Worker,
        "workers": workers,
        "threads": threads,
        "timeout": 60,  # a worker that answers nothing for so long is replaced
        "graceful_timeout": 30,
        "keepalive": 5,
        "limit_request_line": 8190,
        "limit_request_fields": 64,
        "limit_request_field_size": 8190,
        "control_socket_disable": True,
    }
    if read.metrics:
        # each process writes its numbers into files, which the one that is asked adds up; read when first imported
        shared = mkdtemp(prefix="analytics-metrics-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        options["child_exit"] = forget
        options["on_exit"] = lambda server: rmtree(shared, ignore_errors=True)  # the server's end, not a worker's
    Server(lambda: read.application(database), options).run()


def check_free(bind: str) -> None:
    """Refuse an address that can't be listened at. gunicorn would try for five seconds, and then say so at length."""
    try:
        address = parse_address(bind)
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            socket.create_server(address, family=family).close()
    except (OSError, OverflowError, RuntimeError) as error:
        reason = str(error.strerror if isinstance(error, OSError) else error)
        raise click.ClickException(f"--bind {bind}: {reason.partition(' (while')[0]}") from error


def forget(server: Any, worker: Any) -> None:
    """Leave a worker that has ended out of what is told of those that live."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


class Server(BaseApplication):
    """gunicorn, on settings instead of its command line. The application is made in each worker.

    That must not fail: gunicorn would give up the whole server. So the database is not looked at again there.
    """

    def __init__(self, application: Callable[[], object], options: dict[str, Any]) -> None:
        self.application = application
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            if name in self.cfg.settings:  # older gunicorns know fewer
                self.cfg.set(name, value)

    def load(self) -> Any:
        return self.application()
