"""Create and delete a database file and the files -wal, -shm and -journal beside it, and empty the file -wal."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

SCRUB_SECONDS = 30.0  # time to wait for readers, such as an export
SCRUB_ATTEMPT_MS = 250  # ms that one checkpoint waits for readers


def empty_wal(connection: sqlite3.Connection, seconds: float) -> bool:
    """Run a checkpoint and truncate the WAL. Return False if other connections have prevented this for `seconds`.

    A checkpoint blocks writers while it waits for readers. Therefore it waits briefly, and is tried repeatedly.
    """
    until = time.monotonic() + seconds
    connection.execute(f"pragma busy_timeout = {SCRUB_ATTEMPT_MS}")
    while True:
        [(busy, _, _)] = connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        if not busy or time.monotonic() > until:
            return not busy


def create_private_file(path: Path) -> None:
    """Create a file that only its owner can access. If the umask permits group writes, its group can also access it.

    A tracker may run as a user of this group.
    """
    with suppress(OSError):  # the file exists, or SQLite will report the reason
        descriptor = os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o660)
        if not os.fstat(descriptor).st_mode & 0o020:
            os.fchmod(descriptor, 0o600)
        os.close(descriptor)


def remove_files(path: str) -> None:
    """Remove a database file, and the files that SQLite created beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def permission_hint(path: Path) -> str:
    """Return the reason why a database cannot be opened, to append to an error message, or "" if it is unknown."""
    if path.is_dir():
        return f"; it is a folder: use the path of a file, such as {path / 'analytics.db'}"
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    if not os.access(path.parent, os.W_OK):
        return f"; the folder {path.parent} must be writable, for the files -wal and -shm beside the database"
    if path.exists() and not os.access(path, os.W_OK):
        return "; the file must be writable"
    return ""
