"""The last good statistics, kept in the database: shared by every worker, refreshed by one of them at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ..database import Database, Row, Transaction
from ..errors import AnalyticsError, StorageError
from .base import Statistics, StorageStats

log = logging.getLogger(__name__)

# Milliseconds. A listing of n objects is ceil(n / 1000) billed calls: at once an hour a bucket of a million objects
# stays within the million class A operations a month that R2 gives away (Cloudflare's "R2 pricing" page).
MAX_AGE = 3600_000
PATIENCE = 10_000  # how long a request waits when there is nothing yet to serve
CLAIM = 60_000  # who refreshes says so again before that; when it doesn't, another may begin
PAUSE = 60_000  # after a failure

KEPT = """
select total_objects, estimated_sessions, taken_at, claimed_until, failed_at
from storage_snapshots
where source = :source
"""

KNOW = """
insert into storage_snapshots (source)
values (:source)
on conflict (source) do nothing
"""

BEGIN = """
update storage_snapshots
set claimed_until = :until,
  failed_at = null
where source = :source
  and claimed_until <= :now
  and (taken_at is null or taken_at <= :stale)
"""

CLAIM_AGAIN = """
update storage_snapshots
set claimed_until = :until
where source = :source
"""

KEEP = """
update storage_snapshots
set total_objects = :total_objects,
  estimated_sessions = :estimated_sessions,
  taken_at = :taken_at,
  claimed_until = 0,
  failed_at = null
where source = :source
"""

MEASURE = """
insert into storage_ratios (source, objects_per_session, measured_at)
values (:source, :objects_per_session, :measured_at)
on conflict (source) do update set
  objects_per_session = excluded.objects_per_session,
  measured_at = excluded.measured_at
"""

RATIO = """
select objects_per_session
from storage_ratios
where source = :source
"""

FAIL = """
update storage_snapshots
set claimed_until = :until,
  failed_at = :now
where source = :source
"""


def now() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Snapshot:
    """A provider whose `statistics` are those that were taken last, at once.

    When they are older than `max_age`, one worker of all that share the database takes them anew, off the request;
    meanwhile, and when that fails, the last good ones are served. When there never were any, a request waits for
    them, `patience` at most; all in milliseconds.
    """

    def __init__(
        self,
        provider: StorageStats,
        db: Database,
        *,
        max_age: int = MAX_AGE,
        patience: int = PATIENCE,
        clock: Callable[[], int] = now,
    ) -> None:
        self.provider = provider
        self.db = db
        # statistics of one place are not taken for those of another
        self.source = str(getattr(provider, "source", type(provider).__qualname__))
        self.max_age = max_age
        self.patience = patience
        self.clock = clock

    def statistics(self) -> Statistics:
        """The statistics taken last. Raises StorageError when there never were any and none came in time."""
        kept = self._kept()
        good = None if kept is None or kept["taken_at"] is None else _statistics(kept)
        if good is None or good.taken_at <= self.clock() - self.max_age:
            try:
                self._refresh_behind(kept)
            except AnalyticsError:  # of a database that can't be written the last good answer can still be read
                if good is None:
                    raise
                log.exception("the storage statistics can't be refreshed")
        return self._awaited() if good is None else good

    def refresh(self) -> Statistics:
        """Take them now, whoever else does, and keep them. Raises StorageError when they can't be had."""
        self._write(KNOW)
        statistics = self.provider.statistics()
        for number in (statistics.total_objects, statistics.estimated_sessions):
            if number is not None and (not isinstance(number, int) or number < 0):
                raise StorageError(f"{self.source} tells {number!r}, which is no count")
        statistics = self._with_sessions(statistics)
        self._write(
            KEEP,
            total_objects=statistics.total_objects,
            estimated_sessions=statistics.estimated_sessions,
            taken_at=statistics.taken_at,
        )
        return statistics

    def measure(self, listed: Statistics) -> float:
        """Keep how many objects a listing found to a session, for a provider that counts objects only; that ratio.

        Raises StorageError when the listing found no session.
        """
        if not listed.total_objects or not listed.estimated_sessions:
            raise StorageError("the listing found no session, so it tells nothing of objects to a session")
        ratio = listed.total_objects / listed.estimated_sessions
        self._write(MEASURE, objects_per_session=ratio, measured_at=listed.taken_at)
        return ratio

    def _with_sessions(self, statistics: Statistics) -> Statistics:
        if statistics.total_objects is None or statistics.estimated_sessions is not None:
            return statistics
        measured = self.db.row(RATIO, source=self.source)
        if measured is None:
            return statistics
        return replace(statistics, estimated_sessions=round(statistics.total_objects / measured["objects_per_session"]))

    def _kept(self) -> Row | None:
        return self.db.row(KEPT, source=self.source)

    def _write(self, sql: str, **params: float | None) -> int:
        def write(at: Transaction) -> int:
            return at.execute(sql, source=self.source, **params)

        return self.db.write(write)

    def _refresh_behind(self, kept: Row | None) -> None:
        """Begin a refresh in a thread of its own, unless somebody is at it or has just failed."""
        now = self.clock()
        if kept is not None and kept["claimed_until"] > now:
            return
        self._write(KNOW)
        if self._write(BEGIN, now=now, until=now + CLAIM, stale=now - self.max_age):
            threading.Thread(target=self._refresh, name="storage-refresh", daemon=True).start()

    def _refresh(self) -> None:
        over = threading.Event()
        threading.Thread(target=self._hold, args=(over,), name="storage-claim", daemon=True).start()
        try:
            self.refresh()
        except Exception:
            log.exception("the storage statistics can't be taken; those taken last are served")
            with suppress(AnalyticsError):  # then the claim lasts as long as the pause would
                self._write(FAIL, now=self.clock(), until=self.clock() + PAUSE)
        finally:
            over.set()

    def _hold(self, over: threading.Event) -> None:
        """Say every now and then that the refresh goes on."""
        while not over.wait(CLAIM / 3000):
            with suppress(AnalyticsError):  # the next time will do
                self._write(CLAIM_AGAIN, until=self.clock() + CLAIM)

    def _awaited(self) -> Statistics:
        give_up = time.monotonic() + self.patience / 1000
        while True:
            kept = self._kept()
            if kept is not None and kept["taken_at"] is not None:
                return _statistics(kept)
            if kept is not None and kept["failed_at"] is not None:
                raise StorageError("the storage statistics can't be taken, and never were")
            if time.monotonic() >= give_up:
                raise StorageError("the storage statistics were never taken, and did not come in time")
            time.sleep(0.05)


def _statistics(kept: Row) -> Statistics:
    return Statistics(kept["total_objects"], kept["estimated_sessions"], kept["taken_at"])
