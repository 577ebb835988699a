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
@click.option("--calibrate", is_flag=True, help="List the bucket, and save the ratio of objects to sessions.")
def storage(database: str, calibrate: bool) -> None:
    """Refresh the storage statistics, and print them.

    Listing n objects takes ceil(n / 1000) billed requests. With CLOUDFLARE_API_TOKEN, the bucket is listed only for
    --calibrate, which saves the ratio of objects to sessions. Without --calibrate, Cloudflare returns the number of
    objects, and this number divided by the saved ratio is the estimated number of sessions.
    """
    provider = settings.storage(os.environ)
    if provider is None:
        raise click.ClickException("ANALYTICS_STORAGE must be set to the directory or bucket with the recordings")
    with open_database(database, create=False).closing() as opened:
        snapshot = Snapshot(provider, opened)
        if calibrate:
            lister = settings.storage(os.environ, use_analytics=False)
            assert lister is not None
            click.echo(f"{snapshot.calibrate(lister.statistics()):.2f} objects per session")
        statistics = snapshot.refresh()
    for name, number in (("objects", statistics.total_objects), ("sessions", statistics.estimated_sessions)):
        click.echo(f"{name}: {'unknown' if number is None else f'{number:,}'}")
