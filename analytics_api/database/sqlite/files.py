"""Create and delete a database file and the files -wal, -shm and -journal beside it, and empty the file -wal."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...errors import DatabaseError, UnusableDatabase

READ_ONLY_ERRORS = ("attempt to write a readonly database", "unable to open database file")
NOT_A_DATABASE = "file is not a database"
MISSING_FILE = "this database does not exist; `analytics-api init` creates it"

SCRUB_ATTEMPT_MS = 250  # ms that one checkpoint waits for readers


class FileIdentity(NamedTuple):
    """The identity of a file: device and inode. `modified_ns` is 0 unless the file is an immutable database."""

    device: int
    inode: int
    is_immutable: bool = False
    modified_ns: int = 0


def is_immutable(path: Path) -> bool:
    """Return whether the folder of a database is read-only and no other process has the database open."""
    real = os.path.realpath(path)  # SQLite creates -wal beside the file that a symbolic link names
    return not os.access(os.path.dirname(real), os.W_OK) and not os.path.exists(f"{real}-wal")


def identify_database(path: Path) -> FileIdentity:
    try:
        file = os.stat(path)
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from error
    immutable = is_immutable(path)
    return FileIdentity(file.st_dev, file.st_ino, immutable, file.st_mtime_ns if immutable else 0)


def identify_wal_files(path: Path) -> dict[str, FileIdentity]:
    """Return the identities of the files -wal and -shm of a database by their paths."""
    real = os.path.realpath(path)
    identities = {}
    for name in (f"{real}-wal", f"{real}-shm"):
        with suppress(OSError):
            file = os.stat(name)
            identities[name] = FileIdentity(file.st_dev, file.st_ino)
    return identities


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


def require_file(path: Path) -> None:
    """Raise a DatabaseError if a database file does not exist, or if its folder cannot be entered."""
    if not os.path.exists(path):
        hint = _closed_folder_hint(path)
        raise DatabaseError(f"{path}: unable to open database file{hint}" if hint else f"{path}: {MISSING_FILE}")


def to_database_error(path: Path, error: sqlite3.Error) -> DatabaseError:
    """Return the exception to raise for an error of SQLite. Its message begins with the path."""
    kind = UnusableDatabase if str(error) == NOT_A_DATABASE else DatabaseError
    return kind(f"{path}: {error}{permission_hint(path, error)}")


def permission_hint(path: Path, error: sqlite3.Error) -> str:
    """Return the reason why a database cannot be opened or written, to append to the error, or "" if it is unknown."""
    if str(error) == "disk I/O error":  # SQLite has a different message for a full disk
        return "; check the disk, its quotas and the limit of the size of files"
    if str(error) not in READ_ONLY_ERRORS:
        return ""
    if os.path.isdir(path):
        return f"; it is a folder: use the path of a file, such as {path / 'analytics.db'}"
    if hint := _closed_folder_hint(path):
        return hint
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        return f"; the folder {folder} does not exist"
    if os.path.exists(path) and not os.access(path, os.R_OK):
        return f"; its owner does not let other users read it: run the command as the user {_owner(path)}, or run chown"
    if not os.access(folder, os.W_OK):
        return f"; the folder {folder} must be writable, for the files -wal and -shm beside the database"
    if os.path.exists(path) and not os.access(path, os.W_OK):
        return "; the file must be writable"
    for name in identify_wal_files(path):
        if not os.access(name, os.R_OK | os.W_OK):
            owner = _owner(Path(name))
            return f"; this user may not write {name}, which the user {owner} created: run chmod g+s {folder}"
    return ""


def _closed_folder_hint(path: Path) -> str:
    """Return a hint if this user may not enter one of the folders in a path, or else ""."""
    for folder in reversed(path.parents):
        if os.path.isdir(folder) and not os.access(folder, os.X_OK):
            owner = _owner(folder)
            return f"; the folder {folder} is closed to this user: run the command as the user {owner}, or run chown"
    return ""


def _owner(path: Path) -> str:
    """Return the name of the owner of a file or folder, or the number of a user without a name."""
    try:
        return path.owner()
    except KeyError:
        return str(path.stat().st_uid)
