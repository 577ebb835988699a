"""Opening a file that nobody vouches for: an export of a D1 database, or any SQLite file.

An export is a program in SQL. It is cut into statements; the few kinds that an export needs are run, one by one, in a
temporary database, while SQLite refuses all but creating tables and inserting rows. The connection that reads the
result can only read.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ..source import GZIP, OnRead, ignore_read
from .files import ACCEPTED_KINDS, CHUNK_SIZE, is_housekeeping, refusal
from .loader import DumpLoader
from .scratch import make_temporary_path, open_empty, open_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["is_housekeeping", "open_scratch"]

PROGRESS_BYTES = 1 << 18  # of the file, at most, between two calls of on_read
SQLITE = b"SQLite format 3\0"


@contextmanager
def open_scratch(path: str | os.PathLike[str], *, on_read: OnRead = ignore_read) -> Iterator[sqlite3.Connection]:
    """Open a connection that can only read, onto a database with the contents of the file.

    The file is the SQL of `wrangler d1 export` or of the sqlite3 shell's `.dump`, or an SQLite database, each plain or
    gzipped; its first bytes tell which. SQL is run into a temporary database of its tables and rows, without indexes,
    views, triggers and the tables of `is_housekeeping`. An SQLite file is opened where it is, is never written to, and
    has the rows of a write-ahead log beside it. The connection and the temporary files last until the block ends.
    READING_PRAGMAS are available; views of an SQLite file cannot be read.

    :param on_read: called with so many more bytes of the file; in all, its size.
    :raises IngestError: one line with the name of a file that cannot be read, is of another kind, is damaged or cut
        short, or does more than an export does; of SQL with the line on which the statement begins.
    :raises sqlite3.OperationalError: in the block, for a text of an SQLite file that is not UTF-8.
    """
    name = os.fspath(path)
    with ExitStack() as stack:
        try:
            database = _open(name, stack, on_read)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise refusal(name, f"the gzip data are damaged or cut short ({error}); fetch it again") from error
        except OSError as error:
            raise refusal(name, f"cannot be read: {error.strerror or error}") from error
        except sqlite3.Error as error:
            raise refusal(name, f"SQLite cannot read it ({error}); pass an export of it instead") from error
        yield database


class CountingFile(io.FileIO):
    """A file that reports how much of it is read."""

    def __init__(self, path: str, on_read: OnRead) -> None:
        super().__init__(path)
        self.on_read = on_read
        self.total = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer)
        self.total += count
        self.on_read(count)
        return count


def _open(path: str, stack: ExitStack, on_read: OnRead) -> sqlite3.Connection:
    raw = CountingFile(path, on_read)
    file = stack.enter_context(io.BufferedReader(raw, PROGRESS_BYTES))
    is_gzipped = file.peek(2).startswith(GZIP)
    stream = stack.enter_context(gzip.GzipFile(fileobj=file)) if is_gzipped else file
    header = stream.peek(len(SQLITE))
    if not header:
        raise refusal(path, f"is empty; {ACCEPTED_KINDS}")

    if not header.startswith(SQLITE):
        database = open_empty(stack)
        DumpLoader(path, stream, database).load()
    elif is_gzipped:
        copy = make_temporary_path(stack)
        with open(copy, "wb") as target:
            shutil.copyfileobj(stream, target, CHUNK_SIZE)
        database = open_file(copy, header, stack)
    else:
        database = open_file(path, header, stack)
        on_read(os.path.getsize(path) - raw.total)

    if not database.execute("select 1 from sqlite_master where type = 'table'").fetchone():
        raise refusal(path, f"has no table; {ACCEPTED_KINDS}")
    return database
