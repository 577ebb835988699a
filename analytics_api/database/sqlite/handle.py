"""A thread's connection, with the responses that are cached for the thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from typing import Any, NamedTuple

from .statements import Deadline, Statements

STEPS_PER_CHECK = 20_000  # of SQLite's virtual machine, about a millisecond, between two checks of the clock

# Connections that a fork inherited. Closing one could take the locks of the process that opened it
# (https://sqlite.org/howtocorrupt.html, "carrying an open database across a fork"), so they are kept and not used.
_inherited: list[sqlite3.Connection] = []


class FileIdentity(NamedTuple):
    """Identifies a database file, whatever its name; an immutable one with its time of modification."""

    device: int
    inode: int
    is_immutable: bool
    modified_ns: int


class Handle:
    """One thread's connection, closed when its thread ends or the database is closed, but never in use."""

    def __init__(self, connection: sqlite3.Connection, file: FileIdentity) -> None:
        deadline = Deadline()  # the statements themselves would refer back to the connection
        connection.set_progress_handler(deadline.is_over, STEPS_PER_CHECK)
        self.statements = Statements(connection, deadline)
        self.responses: dict[Any, Any] = {}
        self.version = 0  # of the data in `responses`: SQLite's data_version
        self.file = file
        self.checked_at = 0.0
        self.pid = os.getpid()
        self.lock = threading.RLock()
        # Not __del__: in a garbage cycle the connection could be closed first, which must not happen after a fork.
        self.close = weakref.finalize(self, _close, connection, self.lock, self.pid)

    @property
    def is_closed(self) -> bool:
        return not self.close.alive

    def response_cache(self) -> dict[Any, Any]:
        """Return the cache, as Database does; an empty one within a transaction, which may be rolled back."""
        connection = self.statements.connection
        if connection.in_transaction:
            return {}
        # moves when another connection commits, of this process or another one (https://sqlite.org/pragma.html)
        [(version,)] = connection.execute("pragma data_version").fetchall()
        if version != self.version:
            self.responses = {}
            self.version = version
        return self.responses

    def is_written(self) -> bool:
        """Return whether the database was written to since the last call; True at the first one."""
        former = self.version
        self.response_cache()
        return self.version != former


def _close(connection: sqlite3.Connection, lock: threading.RLock, pid: int) -> None:
    if pid == os.getpid():
        with lock:
            connection.close()
    else:
        _inherited.append(connection)
