"""Parse the setting ANALYTICS_DATABASE. Most commands need no other setting."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import SettingError

DATABASE = "analytics.db"
POSTGRESQL = ("postgresql://", "postgres://")


def read_database(environ: Mapping[str, str]) -> str:
    """Return the path or URL of the database."""
    value = environ.get("ANALYTICS_DATABASE", "").strip() or DATABASE
    if value.startswith(POSTGRESQL):
        return value
    if "://" in value:
        hint = f": write {value.partition(':///')[2] or DATABASE}" if value.startswith("sqlite:///") else ""
        raise SettingError(
            f"ANALYTICS_DATABASE must be the path of an SQLite file or a URL that begins with {POSTGRESQL[0]}{hint}"
        )
    if value.startswith((":memory:", "file:")):
        raise SettingError("ANALYTICS_DATABASE must be a file: every process needs the same database")
    folder = os.path.dirname(os.path.abspath(value))
    if not os.path.isdir(folder):
        raise SettingError(f"ANALYTICS_DATABASE: the folder {folder} does not exist")
    if os.path.isdir(value):
        raise SettingError(
            f"ANALYTICS_DATABASE: {value} is a folder: use the path of a file, such as {os.path.join(value, DATABASE)}"
        )
    return value
