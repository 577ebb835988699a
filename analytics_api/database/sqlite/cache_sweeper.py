"""A thread that empties the response caches of idle threads once they are out of date."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

INTERVAL = 0.5  # seconds between two looks, so that a deleted row leaves memory within a second


class Sweepable(Protocol):
    def sweep_caches(self) -> None:
        """Empty the response caches of every thread if the database was written to since the last call."""


class CacheSweeper:
    """Calls `sweep_caches` of a database until it is stopped, or the database is garbage.

    A thread checks its own cache whenever it uses it, but a thread that serves no request would keep what was erased.
    One sweeper serves one process: a thread does not survive a fork.
    """

    def __init__(self, database: Sweepable) -> None:
        self._database = weakref.ref(database)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Start the thread unless it is running."""
        with self._lock:
            if self._thread is None:
                self._stopped.clear()
                self._thread = threading.Thread(target=self._run, name="cache-sweeper", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it. `start` starts another one."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopped.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            database = self._database()
            if database is None:
                return
            database.sweep_caches()
            del database  # or it would be referenced during the next wait
