"""A thread's connection with its response cache."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from typing import Any, NamedTuple

from .statements import Deadline, Statements

# Number of instructions of SQLite's virtual machine between two checks of the deadline, about a millisecond.
STEPS_PER_CHECK = 20_000

# Connections that a child process inherited in a fork. Closing one would release the locks of the parent process
# (https://sqlite.org/howtocorrupt.html, "Carrying an open database across a fork"). They stay open and are not used.
_inherited: list[sqlite3.Connection] = []


class FileIdentity(NamedTuple):
    """The identity of a database file: device and inode, for an immutable file also size and modification time."""

    device: int
    inode: int
    is_immutable: bool
    modified_ns: int


class Handle:
    """One thread's connection. It is closed when the thread ends or the database is closed, but not while in use."""

    def __init__(self, connection: sqlite3.Connection, file: FileIdentity) -> None:
        deadline = Deadline()  # a reference to `statements` in the handler would form a cycle with the connection
        connection.set_progress_handler(deadline.is_over, STEPS_PER_CHECK)
        self.statements = Statements(connection, deadline)
        self.responses: dict[Any, Any] = {}
        self.version = 0  # SQLite's data_version for the cached `responses`
        self.file = file
        self.checked_at = 0.0
        self.pid = os.getpid()
        self.lock = threading.RLock()
        # With __del__, garbage collection of a cycle could close the connection first, even after a fork.
        self.close = weakref.finalize(self, _close, connection, self.lock, self.pid)

    @property
    def is_closed(self) -> bool:
        return not self.close.alive

    def response_cache(self) -> dict[Any, Any]:
        """Return the thread's cache. Within a transaction, which may be rolled back, return a new cache."""
        connection = self.statements.connection
        if connection.in_transaction:
            return {}
        # data_version changes when another connection of any process commits (https://sqlite.org/pragma.html).
        [(version,)] = connection.execute("pragma data_version").fetchall()
        if version != self.version:
            self.responses = {}
            self.version = version
        return self.responses

    def is_written(self) -> bool:
        """Return whether the database was written since the last call. The first call returns True."""
        former = self.version
        self.response_cache()
        return self.version != former


def _close(connection: sqlite3.Connection, lock: threading.RLock, pid: int) -> None:
    if pid == os.getpid():
        with lock:
            connection.close()
    else:
        _inherited.append(connection)
