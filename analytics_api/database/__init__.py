"""Open a database by its path or URL."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import DatabaseError
from . import sqlite
from .base import (
    ARCHIVING_COUNTERS,
    BASE_TABLES,
    DERIVED_COLUMNS,
    IN_LIST,
    PRIMARY_KEYS,
    REPLACED_TEXT_WARNING,
    SITE_TABLES,
    Column,
    Database,
    Difference,
    OnConflict,
    Reader,
    Row,
    Transaction,
    ignore_progress,
    in_list_batches,
)
from .limits import StatementLimit
from .sqlite import SQLite

__all__ = [
    "ARCHIVING_COUNTERS",
    "BASE_TABLES",
    "DERIVED_COLUMNS",
    "IN_LIST",
    "PRIMARY_KEYS",
    "REPLACED_TEXT_WARNING",
    "SITE_TABLES",
    "Column",
    "Database",
    "Difference",
    "OnConflict",
    "Reader",
    "Row",
    "SQLite",
    "StatementLimit",
    "Transaction",
    "find_url_fault",
    "ignore_progress",
    "in_list_batches",
    "open_database",
    "upgrade",
]


def open_database(url: str | os.PathLike[str], *, read_url: str | None = None, create: bool = True) -> Database:
    """Open the database at a path or `postgresql://` URL.

    :param read_url: the PostgreSQL servers to read from, such as replicas.
    :param create: create the database if there is none.
    :raises DatabaseError: when the database cannot be opened, or belongs to another program or version.
    """
    if _is_postgresql(url):
        from .postgresql import PostgreSQL  # only here, since psycopg is an extra

        return PostgreSQL(os.fspath(url), read_url=read_url, create=create)
    if fault := find_url_fault(url):
        raise DatabaseError(fault)
    if read_url:
        raise DatabaseError("only a PostgreSQL database has replicas to read from; this one is a file")
    return SQLite(url, create=create)


def upgrade(url: str | os.PathLike[str], *, on_progress: Callable[[str], object] = ignore_progress) -> int:
    """Bring an older database to this version and return the version that it was of; no row is lost.

    One transaction: a database that cannot be upgraded stays as it was. `on_progress` is called with the name of each
    table; the log says which values had to be converted. Raises DatabaseError.
    """
    if _is_postgresql(url):
        from . import postgresql

        return postgresql.upgrade(os.fspath(url), on_progress=on_progress)
    return sqlite.upgrade(url, on_progress=on_progress)


def find_url_fault(url: str | os.PathLike[str]) -> str | None:
    """Return what is wrong with the name of a database; None for a path or a PostgreSQL URL."""
    if _is_postgresql(url):
        return None
    text = os.fsdecode(url)
    if text == ":memory:" or text.startswith("file:"):
        return f"{text}: a database is a file; name its path, in tests one in a temporary folder"
    if "://" in text:
        return f"{text}: URLs other than postgresql:// are not supported; name the path of an SQLite file"
    return None


def _is_postgresql(url: str | os.PathLike[str]) -> bool:
    return os.fspath(url).startswith(("postgresql://", "postgres://"))
