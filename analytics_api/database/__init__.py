"""Opening a database by its path or URL."""

from __future__ import annotations

import os

from .base import BASE_TABLES, KEPT_COLUMNS, Column, Database, Difference, Existing, Reader, Row, Transaction, unheard
from .sqlite import SQLite

__all__ = [
    "BASE_TABLES",
    "KEPT_COLUMNS",
    "Column",
    "Database",
    "Difference",
    "Existing",
    "Reader",
    "Row",
    "SQLite",
    "Transaction",
    "open_database",
    "unheard",
]


def open_database(url: str | os.PathLike[str], *, create: bool = True) -> Database:
    """The database of that path, made when there is none and `create` is true.

    Raises DatabaseError when it can't be opened, or is another program's or another version's.
    """
    return SQLite(url, create=create)
