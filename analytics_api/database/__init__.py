"""Open a database by its path (SQLite) or URL (PostgreSQL)."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import DatabaseError, SettingError
from . import sqlite
from .base import (
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

POSTGRESQL = ("postgresql://", "postgres://")  # the beginnings of URLs of PostgreSQL

__all__ = [
    "BASE_TABLES",
    "DERIVED_COLUMNS",
    "IN_LIST",
    "POSTGRESQL",
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
    "ignore_progress",
    "in_list_batches",
    "open_database",
    "resolve_database",
    "upgrade",
]


def open_database(url: str | os.PathLike[str], *, read_url: str | None = None, create: bool = True) -> Database:
    """Open the database at a path or a `postgresql://` URL.

    :param read_url: URL of the PostgreSQL servers to read from, such as replicas.
    :param create: whether to create the database if it does not exist.
    :raises DatabaseError: the database cannot be opened, belongs to another program, or has another version.
    """
    if _is_postgresql(url):
        from .postgresql import PostgreSQL  # imported here because psycopg is optional

        return PostgreSQL(os.fspath(url), read_url=read_url, create=create)
    if fault := _find_url_fault(url):
        raise DatabaseError(fault)
    if read_url:
        raise DatabaseError("read_url is only for PostgreSQL; this database is a file")
    return SQLite(url, create=create)


def resolve_database(database: str | os.PathLike[str] | Database) -> Database:
    """Return an open Database as it is, or open the database at a path or URL.

    :param database: the argument `database` of create_app or create_collector.
    :raises DatabaseError: the database cannot be opened.
    :raises SettingError: the argument has another type, or the URL is not supported.
    """
    if isinstance(database, Database):
        return database
    if not isinstance(database, (str, os.PathLike)):
        raise SettingError(f"database: pass a path, a URL or an opened database, not {type(database).__name__}")
    if fault := _find_url_fault(database):
        raise SettingError(f"database: {fault}")
    return open_database(database)


def upgrade(url: str | os.PathLike[str], *, on_progress: Callable[[str], object] = ignore_progress) -> int:
    """Upgrade a database to this version, and return its former version.

    No row is lost. The upgrade is one transaction, so after an error the database is unchanged. The log says how many
    values of which columns were converted.

    :param on_progress: called with the name of each table.
    :raises DatabaseError: the database cannot be upgraded.
    """
    if _is_postgresql(url):
        from . import postgresql

        return postgresql.upgrade(os.fspath(url), on_progress=on_progress)
    if fault := _find_url_fault(url):
        raise DatabaseError(fault)
    return sqlite.upgrade(url, on_progress=on_progress)


def _find_url_fault(url: str | os.PathLike[str]) -> str | None:
    """Return an error message for an unsupported URL, or None for a path or a PostgreSQL URL."""
    if _is_postgresql(url):
        return None
    text = os.fsdecode(url)
    if text == ":memory:" or text.startswith("file:"):
        return f"{text}: an SQLite database must be a file; use a path, in tests one in a temporary folder"
    if "://" in text:
        return f"{text}: URLs other than postgresql:// are not supported; use the path of an SQLite file"
    return None


def _is_postgresql(url: str | os.PathLike[str]) -> bool:
    return os.fspath(url).startswith(POSTGRESQL)
