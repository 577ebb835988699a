"""Commands that manage the named API keys."""

from __future__ import annotations

from datetime import datetime, timezone

import click

from ..context import now
from ..database import open_database
from ..keys import SCOPES, KeyStore
from .base import DATE_FORMAT, database_option, main


@main.group()
def keys() -> None:
    """Manage named API keys with scopes, in addition to the key from the settings."""


@keys.command("add")
@database_option
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="May be repeated.")
@click.option(
    "--expires",
    type=click.DateTime([DATE_FORMAT]),
    metavar="YYYY-MM-DD",
    help="Expiry date (UTC): the key is rejected from this day on.",
)
def add(database: str, name: str, scopes: tuple[str, ...], expires: datetime | None) -> None:
    """Create a key and print it. It cannot be shown again."""
    expires_at = None if expires is None else int(expires.replace(tzinfo=timezone.utc).timestamp() * 1000)
    with open_database(database).closing() as opened:
        click.echo(KeyStore(opened).add(name, scopes, now=now(), expires_at=expires_at))


@keys.command("list")
@database_option
def list_(database: str) -> None:
    """List all keys: name, first letters, scopes and dates."""
    with open_database(database, create=False).closing() as opened:
        for key in KeyStore(opened).list():
            dates = [f"created {day(key['created_at'])}", f"last used {key['last_used_on'] or 'never'}"]
            if key["expires_at"] is not None:
                dates.append(f"expires {day(key['expires_at'])}")
            if key["revoked_at"] is not None:
                dates.append(f"revoked {day(key['revoked_at'])}")
            click.echo(f"{key['name']}  {key['prefix']}…  {key['scopes']}  {', '.join(dates)}")


@keys.command("revoke")
@database_option
@click.argument("name")
def revoke(database: str, name: str) -> None:
    """Revoke a key: it is rejected from the next request on."""
    with open_database(database, create=False).closing() as opened:
        KeyStore(opened).revoke(name, now=now())
        click.echo(f"key {name} revoked")


def day(milliseconds: int) -> str:
    """Return the UTC date of an instant."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).date().isoformat()
