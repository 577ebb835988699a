"""The files of a database: the database itself, and those that SQLite puts beside it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

SCRUB_SECONDS = 30.0  # in which readers have to end, such as an export that is generated
SCRUB_ATTEMPT_MS = 250


def empty_wal(connection: sqlite3.Connection, seconds: float = SCRUB_SECONDS) -> bool:
    """Move the WAL into the file and truncate it; return False if readers or writers forbid it for so many seconds.

    A short time for each attempt: while one waits for readers, writers wait for it.
    """
    until = time.monotonic() + seconds
    connection.execute(f"pragma busy_timeout = {SCRUB_ATTEMPT_MS}")
    while True:
        [(busy, _, _)] = connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        if not busy or time.monotonic() > until:
            return not busy


def create_private_file(path: Path) -> None:
    """Create the file for its owner, and for its group where the umask lets the group write: a tracker may be of it."""
    with suppress(OSError):  # it exists, or SQLite reports why it cannot be created
        descriptor = os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o660)
        if not os.fstat(descriptor).st_mode & 0o020:
            os.fchmod(descriptor, 0o600)
        os.close(descriptor)


def remove_files(path: str) -> None:
    """Remove a database file and those that SQLite puts beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def permission_hint(path: Path) -> str:
    """Return what must be writable for a database at this path; an empty text if it is."""
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    if not os.access(path.parent, os.W_OK):
        return f"; the folder {path.parent} must be writable, for the files -wal and -shm beside the database"
    if path.exists() and not os.access(path, os.W_OK):
        return "; the file must be writable"
    return ""
