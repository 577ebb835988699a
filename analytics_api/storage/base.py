"""The interface of storage statistics, and a function that counts objects and sessions by their keys."""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from ..errors import SettingError, StorageError

log = logging.getLogger(__name__)

Clock = Callable[[], float]

# A session id is the name of a folder, or the name of a file up to its first dot. So `abc.json.gz` and `abc.meta.json`
# have the same session. Names that begin with a dot are ignored, because operating systems create such files.
_ID = r"(?P<session>[^/.][^/]*?)(?:/|\.[^/]+\Z)"
SESSION = re.compile(rf"(?:\A|/)sessions/{_ID}")
SESSION_IN_FOLDER = re.compile(rf"\A(?:sessions/)?{_ID}")


@dataclass(frozen=True, slots=True)
class Statistics:
    """The number of objects and sessions in the storage. None means that a number is unknown.

    `taken_at` is the start of the count in milliseconds since the epoch, UTC.
    """

    total_objects: int | None
    estimated_sessions: int | None
    taken_at: int


class StorageStats(Protocol):
    """A provider of storage statistics: any object with a `statistics` method.

    A provider may have an attribute `source`, a string that identifies the storage and the session pattern. Statistics
    that are stored under another `source` are not used.
    """

    def statistics(self) -> Statistics:
        """Count the objects and sessions now. This may take minutes.

        :raises StorageError: the storage could not be counted completely.
        """
        ...


def session_pattern(pattern: str | re.Pattern[str] | None, folder: str) -> re.Pattern[str]:
    """Return the regular expression whose group `session` matches the session id in a key.

    The default matches `sessions/<session>/…` and `sessions/<session>.<ext>` at the beginning of a key or after any
    `/`. If `folder` is `sessions`, the default matches only at the beginning, and `sessions/` may be absent. Python's
    `re` cannot be interrupted, so a custom pattern must not need exponential time.

    :param pattern: a custom regular expression; None for the default.
    :param folder: name of the folder. Keys are relative to this folder.
    :raises SettingError: the pattern is not a regular expression, or has no group `session`.
    """
    if pattern is None:
        return SESSION_IN_FOLDER if folder == "sessions" else SESSION
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingError(f"The session pattern is not a regular expression: {error}") from None
    if "session" not in compiled.groupindex:
        raise SettingError("The session pattern needs a named group: (?P<session>…)")
    return compiled


def count(pages: Iterable[list[str]], pattern: re.Pattern[str], clock: Clock) -> Statistics:
    """Count keys and distinct sessions with a limited amount of memory.

    Keys of other sessions can come between two keys of a session: in the order of S3, `sessions/a.x/…` is between
    `sessions/a.json` and `sessions/a/…`, and a directory has no order. Therefore a digest of each session id (16 bytes)
    is inserted into a temporary SQLite table. SQLite moves a large table to disk. A key without a session is counted as
    an object. The number of such keys is logged, with level WARNING if no key has a session.

    :raises StorageError: there is no disk space for the temporary table.
    """
    taken_at = int(clock() * 1000)
    objects = unmatched = 0
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as scratch:
            scratch.execute("pragma journal_mode = off")
            scratch.execute("pragma cache_size = -8192")  # KiB
            scratch.execute("create table session (digest blob primary key) without rowid")
            scratch.execute("begin")
            for keys in pages:
                matches = map(pattern.search, keys)
                named = [match["session"] for match in matches if match and match["session"]]
                objects += len(keys)
                unmatched += len(keys) - len(named)
                scratch.executemany("insert or ignore into session values (?)", map(_digest, set(named)))
            sessions: int = scratch.execute("select count(*) from session").fetchone()[0]
    except sqlite3.Error as error:
        raise StorageError(f"The sessions cannot be counted in a temporary file: {error}") from error
    if unmatched:
        level = logging.INFO if sessions else logging.WARNING
        log.log(level, "%d of %d keys have no session according to %r", unmatched, objects, pattern.pattern)
    return Statistics(objects, sessions, taken_at)


def _digest(session: str) -> tuple[bytes]:
    # In a file name that is not UTF-8, Python replaces the invalid bytes by surrogates. Without surrogatepass, they
    # could not be encoded.
    return (hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).digest(),)
