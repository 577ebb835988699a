"""Write the items of many requests in one transaction, so that they share one commit and one sync of the disk."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from ..errors import DatabaseError, RowError, Unavailable

T = TypeVar("T")

# A callback of an item, which takes None or the error of the item. It may return a function, which is called after the
# callbacks of all items of the batch. If several callbacks return the same function, the function is called once.
OnDone = Callable[[Exception | None], Callable[[], object] | None]

log = logging.getLogger(__name__)

# Before a batch, the thread sleeps for PAUSE_SECONDS, and then waits until there are ENOUGH items, or until the oldest
# item has waited for GATHER_SECONDS. The pause lets another process acquire the write lock of SQLite. The wait gathers
# several items into one commit. Each commit empties the caches of responses, so fewer commits keep statistics fast. If
# ENOUGH items arrive while a transaction runs, waiting for more would only be a delay.
PAUSE_SECONDS: Final = 0.001
GATHER_SECONDS: Final = 0.009
ENOUGH: Final = 30
MAX_BATCH: Final = 256  # maximum number of items of a transaction
MAX_WAITING: Final = 4_096  # maximum number of waiting items; further items are rejected
REPLY_SECONDS: Final = 20.0  # how long a request waits for its commit
TIDY_SECONDS: Final = 10.0  # pause between two deletions of old rows


class Pending(Generic[T]):
    """An item that waits for its commit since the instant `enqueued_at` of the monotonic clock."""

    __slots__ = ("enqueued_at", "error", "item", "on_done")

    def __init__(self, item: T, on_done: OnDone) -> None:
        self.item = item
        self.error: Exception | None = None
        self.on_done = on_done
        self.enqueued_at = time.monotonic()


class GroupWriter(Generic[T]):
    """A thread that writes items in batches. The first item starts it. After a fork, the next item starts another.

    :param write: writes a list of items in one transaction. It returns an error for each item that it did not write, by
        the index of the item. If it raises an error because of an item, it is called again with each item alone.
    :param tidy: deletes old rows. It is called every TIDY_SECONDS, or again at once if it returned True.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Mapping[int, Exception]],
        tidy: Callable[[], bool],
    ) -> None:
        self._write = write
        self._tidy = tidy
        self._starting = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self.pid = os.getpid()
        self._waiting: list[Pending[T]] = []
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, item: T) -> None:
        """Write an item, and return after the commit.

        :raises RowError: the database cannot store the item.
        :raises DatabaseError: the database is locked or unreachable.
        :raises Unavailable: too many items are waiting, or the commit takes longer than REPLY_SECONDS.
        """
        errors: list[Exception | None] = []
        committed = threading.Lock()  # a lock takes half the time of a threading.Event
        committed.acquire()

        def on_done(error: Exception | None) -> None:
            errors.append(error)
            committed.release()

        self.enqueue(item, on_done)
        if not committed.acquire(timeout=REPLY_SECONDS):
            raise Unavailable("Writing the events takes too long")
        if errors[0] is not None:
            raise errors[0]

    def enqueue(self, item: T, on_done: OnDone) -> None:
        """Write an item without waiting. Call `on_done` after the commit.

        :param on_done: takes None, or an error that submit() would raise. See OnDone.

        :raises Unavailable: too many items are waiting.
        """
        self.start()
        with self._wake:
            if len(self._waiting) >= MAX_WAITING:
                raise Unavailable("Too many events are waiting to be written")
            self._waiting.append(Pending(item, on_done))
            if len(self._waiting) in (1, ENOUGH):
                self._wake.notify()

    def start(self) -> None:
        """Start the thread if it is not running in this process."""
        if self.pid == os.getpid() and self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self.pid != os.getpid():
                self._reset()
            if self._thread is None or not self._thread.is_alive():
                self._is_closed = False
                self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write the waiting items, and stop the thread."""
        if self.pid == os.getpid() and self._thread is not None:
            with self._wake:
                self._is_closed = True
                self._wake.notify()
            self._thread.join()

    def _run(self) -> None:
        tidy_at = time.monotonic()
        while True:
            with self._wake:
                if not self._waiting and not self._is_closed:
                    self._wake.wait(max(0.0, tidy_at - time.monotonic()))
                if not self._waiting and self._is_closed:
                    return
                has_items = bool(self._waiting)
            if has_items:
                time.sleep(PAUSE_SECONDS)
                with self._wake:
                    timeout = max(0.0, self._waiting[0].enqueued_at + GATHER_SECONDS - time.monotonic())
                    self._wake.wait_for(lambda: len(self._waiting) >= ENOUGH or self._is_closed, timeout)
                    batch = self._waiting[:MAX_BATCH]
                    del self._waiting[:MAX_BATCH]
                self._write_batch(batch)
            if time.monotonic() >= tidy_at:
                tidy_at = time.monotonic() + (0 if self._run_tidy() else TIDY_SECONDS)

    def _write_batch(self, batch: Sequence[Pending[T]]) -> None:
        try:
            for index, rejection in self._write([pending.item for pending in batch]).items():
                batch[index].error = rejection
        except Exception as error:
            if len(batch) > 1 and (isinstance(error, RowError) or not isinstance(error, DatabaseError)):
                for pending in batch:
                    self._write_batch([pending])
                return
            for pending in batch:
                pending.error = error
        for finish in {pending.on_done(pending.error) for pending in batch}:
            if finish is not None:
                finish()

    def _run_tidy(self) -> bool:
        try:
            return self._tidy()
        except DatabaseError as error:
            log.warning("the old rows of the collector cannot be deleted: %s", error)
        except Exception:
            log.exception("the old rows of the collector cannot be deleted")
        return False
