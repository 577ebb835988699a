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

# An id of which the objects lie in a folder, or that is the name of a file. The name ends at its first dot, so that
# `abc.json.gz` and `abc.meta.json` are one session; one that begins with a dot is some system's own file.
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
    """A provider. Any object with this one method will do."""

    def statistics(self) -> Statistics:
        """Look now, however long that takes; raises `StorageError` rather than answer what may be wrong."""
        ...


def session_pattern(pattern: str | re.Pattern[str] | None, folder: str) -> re.Pattern[str]:
    """The expression that is searched in a key for its group `session`; a key is told from `folder` on.

    None is the default: `sessions/<session>/…` and `sessions/<session>.<ext>`, beginning at any segment of the key.
    Where `folder` is itself called `sessions`, a key that begins with `<session>` fits too. A pattern of your own is
    run as it is, by Python's `re`, which nothing can interrupt: it should not backtrack without bound.
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

    Neither S3's order nor a directory's brings a session's keys one after the other whatever the pattern (`sessions/a-b/`
    sorts between `sessions/a/` and `sessions/a.json`), so each id is kept, as a digest of 16 bytes, in a table that SQLite
    moves from its cache to a temporary file as it grows. Keys that name no session are objects like any other; how many
    there were is logged, as a warning if there was nothing else.
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
                named = [match["session"] for key in keys if (match := pattern.search(key)) and match["session"]]
                objects += len(keys)
                unmatched += len(keys) - len(named)
                seen.executemany("insert or ignore into session values (?)", map(_digest, set(named)))
            sessions: int = seen.execute("select count(*) from session").fetchone()[0]
    except sqlite3.Error as error:
        raise StorageError(f"The sessions can't be counted in a temporary file: {error}") from error
    if unmatched:
        level = logging.INFO if sessions else logging.WARNING
        logger.log(level, "%d of %d objects name no session by the pattern %s", unmatched, objects, pattern.pattern)
    return Statistics(objects, sessions, taken_at)


def _digest(session: str) -> tuple[bytes]:
    # A file name that is not UTF-8 comes as surrogates.
    return (hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).digest(),)
