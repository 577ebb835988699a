"""What storage statistics are, and how keys are counted into them."""

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

logger = logging.getLogger(__name__)

Clock = Callable[[], float]

# An id is a folder's name, or a file's up to its first dot, so that `abc.json.gz` and `abc.meta.json` are one
# session; what begins with a dot is some system's own.
_ID = r"(?P<session>[^/.][^/]*?)(?:/|\.[^/]+\Z)"
SESSION = re.compile(rf"(?:\A|/)sessions/{_ID}")
SESSION_IN_FOLDER = re.compile(rf"\A(?:sessions/)?{_ID}")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one look at the storage found; None where it could not tell, which is not 0."""

    total_objects: int | None
    estimated_sessions: int | None
    taken_at: int
    """When the look began, in milliseconds since the epoch, UTC."""


class StorageStats(Protocol):
    """A provider. Any object with this one method will do.

    Ours also have a `source`, a line that tells the statistics of one place and pattern from those of another.
    """

    def statistics(self) -> Statistics:
        """Look now, however long that takes; raises `StorageError` rather than answer what may be wrong."""
        ...


def session_pattern(pattern: str | re.Pattern[str] | None, folder: str) -> re.Pattern[str]:
    """The expression to search in each key, which is told from `folder` on, for its group `session`.

    None is the default: `sessions/<session>/…` and `sessions/<session>.<ext>`, from any segment of the key
    on; where `folder` is itself called `sessions`, a key that begins with `<session>` fits too. A pattern of
    one's own is taken as it is. Python's `re` runs it, which nothing can interrupt, so it should not
    backtrack without bound.
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
    """Count keys, and the distinct sessions they name, in memory that doesn't grow with them.

    The keys of a session need not come together: in S3's order `sessions/a.x/…` lies between
    `sessions/a.json` and `sessions/a/…`, a directory has no order, and a pattern may look anywhere. So each id
    is kept, as a digest of 16 bytes, in a table that SQLite moves from its cache to a temporary file as it
    grows. Keys that name no session are objects like any other; how many there were is logged, as a warning
    if no key named one.
    """
    taken_at = int(clock() * 1000)
    objects = unmatched = 0
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as seen:
            seen.execute("pragma journal_mode = off")
            seen.execute("pragma cache_size = -8192")  # KiB
            seen.execute("create table session (digest blob primary key) without rowid")
            seen.execute("begin")
            for keys in pages:
                matches = map(pattern.search, keys)
                named = [match["session"] for match in matches if match and match["session"]]
                objects += len(keys)
                unmatched += len(keys) - len(named)
                seen.executemany("insert or ignore into session values (?)", map(_digest, set(named)))
            sessions: int = seen.execute("select count(*) from session").fetchone()[0]
    except sqlite3.Error as error:
        raise StorageError(f"The sessions can't be counted in a temporary file: {error}") from error
    if unmatched:
        level = logging.INFO if sessions else logging.WARNING
        logger.log(level, "%d of %d keys name no session by %r", unmatched, objects, pattern.pattern)
    return Statistics(objects, sessions, taken_at)


def _digest(session: str) -> tuple[bytes]:
    # A file name that is not UTF-8 comes as surrogates.
    return (hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).digest(),)
