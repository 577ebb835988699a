"""Parse the setting ANALYTICS_DATABASE, and check the folder of a setting. Most commands need no other setting."""

from __future__ import annotations

import os
from collections.abc import Mapping
from stat import S_ISDIR

from ..database import POSTGRESQL
from ..errors import SettingError

DATABASE = "analytics.db"


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
    require_folder("ANALYTICS_DATABASE", folder)
    if os.path.isdir(value):
        raise SettingError(
            f"ANALYTICS_DATABASE: {value} is a folder: use the path of a file, such as {os.path.join(value, DATABASE)}"
        )
    return value


def require_folder(setting: str, folder: str) -> None:
    """Raise an error that names the setting if a folder does not exist, or if this user may not reach it."""
    try:
        is_folder = S_ISDIR(os.stat(folder).st_mode)
    except PermissionError as error:
        raise SettingError(f"{setting}: the folder {folder}: {error.strerror}") from None
    except OSError:
        is_folder = False
    if not is_folder:
        raise SettingError(f"{setting}: the folder {folder} does not exist")
