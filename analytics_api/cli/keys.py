"""Commands that manage named API keys."""

from __future__ import annotations

import re
from typing import Final

import click

from ..database import open_database
from ..keys import SCOPES, KeyStore
from ..values.calendar import DAY_MS, HOUR_MS, MINUTE_MS, utc_date
from ..values.timestamps import now
from .base import SuggestingGroup, database_option, main, open_or_create, parse_day

MILLISECONDS: Final = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS}


@main.group(cls=SuggestingGroup)
def keys() -> None:
    """Manage named API keys with scopes. They are valid in addition to the keys from the settings."""


def parse_expiry(ctx: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Parse an expiry date, and return its midnight UTC in milliseconds since the epoch."""
    day = parse_day(ctx, option, value)
    return None if day is None else int(day.timestamp() * 1000)


expires_option = click.option(
    "--expires",
    "expires_at",
    metavar="YYYY-MM-DD",
    help="Expiry date: the key is invalid from midnight UTC of this day.",
    callback=parse_expiry,
)


def parse_overlap(ctx: click.Context, option: click.Parameter, value: str | None) -> int:
    """Parse a duration such as `1d`, `12h` or `30m`, and return milliseconds; 0 for None."""
    if value is None:
        return 0
    match = re.fullmatch(r"([0-9]{1,6})([dhm])", value)
    if not match:
        raise click.BadParameter(f"{value!r} is not a duration such as 1d, 12h or 30m")
    return int(match[1]) * MILLISECONDS[match[2]]


@keys.command("add")
@database_option
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="May be repeated.")
@expires_option
def add(database: str, name: str, scopes: tuple[str, ...], expires_at: int | None) -> None:
    """Create a key and print it. The key cannot be shown again."""
    with open_or_create(database) as opened:
        click.echo(KeyStore(opened).add(name, scopes, now=now(), expires_at=expires_at))


@keys.command("rotate")
@database_option
@click.argument("name")
@click.option(
    "--overlap", callback=parse_overlap, metavar="TIME", help="How long the old key remains valid, such as 1d."
)
@expires_option
def rotate(database: str, name: str, overlap: int, expires_at: int | None) -> None:
    """Replace a key by a new one of the same name, and print the new key.

    The new key has the same scopes. The old key is revoked, or remains valid for the duration of --overlap.
    """
    with open_database(database, create=False).closing() as opened:
        click.echo(KeyStore(opened).rotate(name, now=now(), overlap=overlap, expires_at=expires_at))


@keys.command("list")
@database_option
def list_(database: str) -> None:
    """List the named keys with their scopes, states and dates."""
    with open_database(database, create=False).closing() as opened:
        listed = KeyStore(opened).list(now=now())
        if not listed:
            click.echo("there are no named keys; the keys from the settings are not listed", err=True)
        for key in listed:
            dates = [
                key["state"],
                f"created {utc_date(key['created_at'])}",
                f"last used {key['last_used_on'] or 'never'}",
            ]
            if key["expires_at"] is not None:
                dates.append(f"expires {utc_date(key['expires_at'])}")
            if key["revoked_at"] is not None:
                dates.append(f"revoked on {utc_date(key['revoked_at'])}")
            click.echo(f"{key['name']}  {key['prefix']}…  {key['scopes']}  {', '.join(dates)}")


@keys.command("revoke")
@database_option
@click.argument("name")
def revoke(database: str, name: str) -> None:
    """Revoke a key. The key is invalid from the next request on."""
    with open_database(database, create=False).closing() as opened:
        KeyStore(opened).revoke(name, now=now())
        click.echo(f"key {name} revoked")
