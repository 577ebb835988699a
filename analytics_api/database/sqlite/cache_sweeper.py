"""A background thread that empties outdated response caches of idle threads."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

INTERVAL = 0.5  # seconds between two checks, so that caches do not contain a deleted row for more than a second


class Sweepable(Protocol):
    def sweep_caches(self) -> None:
        """Empty the response caches of all threads if the database was written since the last call."""


class CacheSweeper:
    """Call `sweep_caches` periodically, until the sweeper is stopped or the database object is garbage-collected.

    A thread empties its own cache when it serves a request. Without the sweeper, erased data would remain in the caches
    of idle threads. Each process needs its own sweeper, because a child process does not inherit threads.
    """

    def __init__(self, database: Sweepable) -> None:
        self._database = weakref.ref(database)
        self._lock = threading.Lock()
        self._stopped = threading.Event()  # each thread has its own, so that a new thread does not revive the old one
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread if it is not running."""
        with self._lock:
            if self._thread is None:
                self._stopped = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stopped,), name="cache-sweeper", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait until it has ended. `start` can start a new thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopped.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(INTERVAL):
            database = self._database()
            if database is None:
                return
            database.sweep_caches()
            del database  # a reference during the wait would prevent garbage collection
