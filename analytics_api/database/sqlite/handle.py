"""The connection of a thread, with the thread's response cache."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import DatabaseError
from .files import FileIdentity, identify_database, identify_wal_files
from .statements import Deadline, Statements

# Number of instructions of SQLite's virtual machine between two checks of the deadline. They take about a millisecond.
STEPS_PER_CHECK = 20_000

# Connections that a child process inherited in a fork. Closing one would release the locks of the parent process
# (https://sqlite.org/howtocorrupt.html, "Carrying an open database across a fork"). They stay open and are not used.
_inherited: list[sqlite3.Connection] = []


class Handle:
    """The connection of one thread. It is closed when the thread ends or the database is closed.

    While a thread holds `lock`, no other thread closes the connection.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, file: FileIdentity) -> None:
        # The handler refers only to the deadline. A reference to the statements would form a cycle with the connection.
        deadline = Deadline()
        connection.set_progress_handler(deadline.is_over, STEPS_PER_CHECK)
        self.statements = Statements(connection, deadline)
        self.responses: dict[Any, Any] = {}
        self.data_version = 0  # for the cached `responses`
        self.file = file
        self.wal_files = identify_wal_files(path)
        self.checked_at = 0.0
        self.pid = os.getpid()
        self.lock = threading.RLock()
        # The garbage collector may delete the objects of a reference cycle in any order. With __del__ instead of
        # finalize, the connection could be closed before __del__ is called. In a child process, the connection must not
        # be closed.
        self._finalize = weakref.finalize(self, _close, connection, self.lock, self.pid)
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True  # before _close() waits for the lock: no other thread may start to use the connection
        self._finalize()

    def empty_wal_of_replaced_file(self) -> None:
        """Write the pages in the WAL to the replaced database, and truncate the WAL.

        Otherwise, after a restart of the server, SQLite would write these old pages to the new database.
        """
        connection = self.statements.connection
        with self.lock, suppress(sqlite3.Error):
            [(timeout,)] = connection.execute("pragma busy_timeout").fetchall()
            connection.execute("pragma busy_timeout = 0")  # do not wait for readers that prevent the checkpoint
            connection.execute("pragma wal_checkpoint(truncate)").fetchall()
            connection.execute(f"pragma busy_timeout = {timeout}")

    def response_cache(self) -> dict[Any, Any]:
        """Return the thread's cache. Within a transaction, which may be rolled back, return a new cache."""
        connection = self.statements.connection
        if connection.in_transaction:
            return {}
        # data_version changes when another connection of any process commits (https://sqlite.org/pragma.html).
        [(version,)] = connection.execute("pragma data_version").fetchall()
        if version != self.data_version:
            self.responses = {}
            self.data_version = version
        return self.responses

    def is_written(self) -> bool:
        """Return whether the database was written since the last call. The first call returns True."""
        former = self.data_version
        self.response_cache()
        return self.data_version != former


class Handles:
    """The handles of all threads. A thread may add its handle while another thread iterates over the handles."""

    def __init__(self) -> None:
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()

    def add(self, handle: Handle) -> None:
        self._handles[id(handle)] = handle

    def __iter__(self) -> Iterator[Handle]:
        # valuerefs() copies the references in one step. Iterating over a WeakSet fails if a handle is added meanwhile.
        return filter(None, [reference() for reference in self._handles.valuerefs()])

    def reject_wal_of_replaced_file(self, path: Path) -> None:
        """Raise an error while the file -wal or -shm of a replaced database is still beside the new one.

        SQLite would read the old pages in the WAL as pages of the new database, and write them to that database.
        """
        handles = [handle for handle in self if not handle.is_closed]
        if not handles:
            return
        # A handle keeps its files open, so no other file can get their inodes. A file with such an inode is the
        # handle's file.
        file, wal_files = identify_database(path), identify_wal_files(path).items()
        for handle in handles:
            if handle.file[:2] != file[:2] and (left := wal_files & handle.wal_files.items()):
                names = " and ".join(sorted(name for name, _ in left))
                raise DatabaseError(f"{path}: the database was replaced; delete the old {names}")


def _close(connection: sqlite3.Connection, lock: threading.RLock, pid: int) -> None:
    if pid == os.getpid():
        with lock:
            connection.close()
    else:
        _inherited.append(connection)
