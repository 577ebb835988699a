"""The command that prints the OpenAPI document."""

from __future__ import annotations

import json

import click

from ..openapi import document
from .base import main


@main.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    click.echo(json.dumps(document(), indent=2, ensure_ascii=False))
