"""Storage statistics that all workers share in the database. One worker at a time refreshes them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ..database import Database, Row, Transaction
from ..errors import AnalyticsError, StorageError
from ..http.parameters import MAX_INT64
from ..values.calendar import HOUR_MS
from ..values.timestamps import LAST_TIMESTAMP, MIN_SECONDS, MIN_TIMESTAMP, now
from .base import Statistics, StorageStats

log = logging.getLogger(__name__)

# All times are in milliseconds. A listing of n objects takes ceil(n / 1000) class A operations. To list a million
# objects every hour takes 720,000 operations a month. In R2, the first million operations of a month are free ("R2
# pricing" in its documentation).
MAX_AGE = HOUR_MS
TIMEOUT = 10_000  # maximum time that a request waits for the first statistics
CLAIM_TIME = 60_000  # another worker may refresh if a claim is not renewed within this time
RETRY_PAUSE = 60_000  # after a failed refresh

SELECT_SNAPSHOT = """
select total_objects, estimated_sessions, taken_at, claimed_until, failed_at
from storage_snapshots
where source = :source
"""

ENSURE_ROW = """
insert into storage_snapshots (source)
values (:source)
on conflict (source) do nothing
"""

CLAIM = """
update storage_snapshots
set claimed_until = :until,
  failed_at = null
where source = :source
  and claimed_until <= :now
  and (taken_at is null or taken_at <= :stale)
"""

RENEW_CLAIM = """
update storage_snapshots
set claimed_until = :until
where source = :source
"""

SAVE = """
update storage_snapshots
set total_objects = :total_objects,
  estimated_sessions = :estimated_sessions,
  taken_at = :taken_at,
  claimed_until = 0,
  failed_at = null
where source = :source
"""

SAVE_RATIO = """
insert into storage_ratios (source, objects_per_session, measured_at)
values (:source, :objects_per_session, :measured_at)
on conflict (source) do update set
  objects_per_session = excluded.objects_per_session,
  measured_at = excluded.measured_at
"""

SELECT_RATIO = """
select objects_per_session
from storage_ratios
where source = :source
"""

SAVE_FAILURE = """
update storage_snapshots
set claimed_until = :until,
  failed_at = :now
where source = :source
"""


class Snapshot:
    """A provider that stores the statistics of another provider in the database.

    If the stored statistics are older than `max_age`, one worker refreshes them in the background. The old statistics
    are returned until the refresh succeeds. If no statistics are stored yet, a request waits for the first refresh.

    :param max_age: milliseconds after which statistics are refreshed.
    :param timeout: maximum time in milliseconds that a request waits for the first statistics.
    """

    def __init__(
        self,
        provider: StorageStats,
        db: Database,
        *,
        max_age: int = MAX_AGE,
        timeout: int = TIMEOUT,
        clock: Callable[[], int] = now,
    ) -> None:
        self.provider = provider
        self.db = db
        # Each source has its own row, so that statistics of one storage are not returned for another.
        self.source = str(getattr(provider, "source", type(provider).__qualname__))
        self.max_age = max_age
        self.timeout = timeout
        self.clock = clock

    def statistics(self) -> Statistics:
        """Return the latest statistics.

        :raises StorageError: no statistics are stored yet, and the first refresh failed or was slower than the timeout.
        """
        row = self._row()
        latest = None if row is None or row["taken_at"] is None else _statistics(row)
        if latest is None or latest.taken_at <= self.clock() - self.max_age:
            try:
                self._refresh_in_background(row)
            except AnalyticsError:  # a read-only database can still return the old statistics
                if latest is None:
                    raise
                log.exception("the storage statistics cannot be refreshed")
        return self._wait_for_first() if latest is None else latest

    def refresh(self) -> Statistics:
        """Get new statistics from the provider, and save and return them, even while another worker refreshes them.

        :raises StorageError: the provider failed.
        """
        self._write(ENSURE_ROW)
        statistics = self._with_sessions(self._check(self.provider.statistics()))
        self._write(
            SAVE,
            total_objects=statistics.total_objects,
            estimated_sessions=statistics.estimated_sessions,
            taken_at=statistics.taken_at,
        )
        return statistics

    def calibrate(self, listed: Statistics) -> float:
        """Save and return the number of objects per session, for a provider that counts only objects.

        :param listed: the statistics from a listing of the same storage.
        :raises StorageError: the listing found no session.
        """
        if not listed.total_objects or not listed.estimated_sessions:
            raise StorageError("the listing found no session, so the number of objects per session is unknown")
        ratio = listed.total_objects / listed.estimated_sessions
        self._write(SAVE_RATIO, objects_per_session=ratio, measured_at=listed.taken_at)
        return ratio

    def _check(self, statistics: Statistics) -> Statistics:
        """Return the statistics of the provider, which may be an object of the host application.

        :raises StorageError: the provider returned something else.
        """
        if not isinstance(statistics, Statistics):
            raise StorageError(f"{self.source} returned {statistics!r}, which is not an analytics_api.Statistics")
        for number in (statistics.total_objects, statistics.estimated_sessions):
            if number is not None and (not isinstance(number, int) or not 0 <= number <= MAX_INT64):
                raise StorageError(f"{self.source} returned {number!r}, which is not a count")
        taken_at = statistics.taken_at
        # With a time in seconds, each request would cause a refresh; with one in microseconds, no request would.
        if (
            not isinstance(taken_at, int)
            or not 0 <= taken_at <= LAST_TIMESTAMP
            or MIN_SECONDS <= taken_at < MIN_TIMESTAMP
        ):
            raise StorageError(f"{self.source} returned the time {taken_at!r}, which is not in milliseconds since 1970")
        return statistics

    def _with_sessions(self, statistics: Statistics) -> Statistics:
        if statistics.total_objects is None or statistics.estimated_sessions is not None:
            return statistics
        ratio = self.db.row(SELECT_RATIO, source=self.source)
        if ratio is None:
            return statistics
        return replace(statistics, estimated_sessions=round(statistics.total_objects / ratio["objects_per_session"]))

    def _row(self) -> Row | None:
        return self.db.row(SELECT_SNAPSHOT, source=self.source)

    def _write(self, sql: str, **params: float | None) -> int:
        def write(at: Transaction) -> int:
            return at.execute(sql, source=self.source, **params)

        return self.db.write(write)

    def _refresh_in_background(self, row: Row | None) -> None:
        """Start a refresh in a thread, unless one is in progress or has failed within the last RETRY_PAUSE."""
        now = self.clock()
        if row is not None and row["claimed_until"] > now:
            return
        self._write(ENSURE_ROW)
        if self._write(CLAIM, now=now, until=now + CLAIM_TIME, stale=now - self.max_age):
            threading.Thread(target=self._refresh, name="storage-refresh", daemon=True).start()

    def _refresh(self) -> None:
        done = threading.Event()
        threading.Thread(target=self._renew_claim, args=(done,), name="storage-claim", daemon=True).start()
        try:
            self.refresh()
        except Exception:
            log.exception("the storage statistics cannot be refreshed; the old ones remain in use")
            with suppress(AnalyticsError):  # the claim then expires after CLAIM_TIME, which is as long as RETRY_PAUSE
                self._write(SAVE_FAILURE, now=self.clock(), until=self.clock() + RETRY_PAUSE)
        finally:
            done.set()

    def _renew_claim(self, done: threading.Event) -> None:
        """Renew the claim until the refresh ends."""
        while not done.wait(CLAIM_TIME / 3000):
            with suppress(AnalyticsError):  # the next attempt is before the claim expires
                self._write(RENEW_CLAIM, until=self.clock() + CLAIM_TIME)

    def _wait_for_first(self) -> Statistics:
        deadline = time.monotonic() + self.timeout / 1000
        while True:
            row = self._row()
            if row is not None and row["taken_at"] is not None:
                return _statistics(row)
            if row is not None and row["failed_at"] is not None:
                raise StorageError("the storage statistics cannot be read, and there are no earlier ones")
            if time.monotonic() >= deadline:
                raise StorageError("the first storage statistics were not available within the timeout")
            time.sleep(0.05)


def _statistics(row: Row) -> Statistics:
    return Statistics(row["total_objects"], row["estimated_sessions"], row["taken_at"])
