"""The command that refreshes the storage statistics."""

from __future__ import annotations

import os

import click

from ..database import open_database
from ..server import settings
from ..storage.snapshot import Snapshot
from .base import RenamedOptions, database_option, main


@main.command(cls=RenamedOptions, renamed={"--measure": "--calibrate"})
@database_option
@click.option("--calibrate", is_flag=True, help="List the bucket, and save the number of objects for each session.")
def storage(database: str, calibrate: bool) -> None:
    """Refresh the storage statistics, save them for the API, and print them.

    A listing of n objects costs ceil(n / 1000) billed calls. With CLOUDFLARE_API_TOKEN nothing is listed except for
    --calibrate, whose ratio converts Cloudflare's count of objects to sessions.
    """
    provider = settings.storage(os.environ)
    if provider is None:
        raise click.ClickException("ANALYTICS_STORAGE is not set: name the directory or bucket of the recordings")
    with open_database(database).closing() as opened:
        snapshot = Snapshot(provider, opened)
        if calibrate:
            lister = settings.storage(os.environ, use_analytics=False)
            assert lister is not None
            click.echo(f"{snapshot.measure(lister.statistics()):.2f} objects to a session")
        statistics = snapshot.refresh()
    for name, number in (("objects", statistics.total_objects), ("sessions", statistics.estimated_sessions)):
        click.echo(f"{name}: {'unknown' if number is None else f'{number:,}'}")
