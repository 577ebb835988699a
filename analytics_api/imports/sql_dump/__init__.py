"""Open an untrusted file: an export of a D1 database, or an SQLite file.

An export is an SQL script. It is split into statements. Only the kinds of statements that exports contain are run, in a
temporary database. An SQLite authorizer allows them only to create tables and to insert rows. The result is then read
with a read-only connection.
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

from ..source import GZIP, WIDE_SAMPLE_BYTES, OnRead, UTF8Stream, guess_wide_encoding, ignore_read
from .files import ACCEPTED_KINDS, CHUNK_SIZE, is_housekeeping, refusal
from .loader import DumpLoader
from .scratch import make_temporary_path, open_empty, open_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["is_housekeeping", "open_scratch"]

PROGRESS_BYTES = 1 << 18  # maximum number of bytes between two calls of on_read
SQLITE = b"SQLite format 3\0"


@contextmanager
def open_scratch(
    path: str | os.PathLike[str], *, name: str | None = None, on_read: OnRead = ignore_read
) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection to a database with the contents of the file.

    The file is the SQL of `wrangler d1 export` or of the sqlite3 shell's `.dump`, or an SQLite file. It can be
    compressed with gzip. SQL can be UTF-16. The kind is detected from the first bytes. The tables and rows of an SQL
    script are loaded into a temporary database. Indexes, views, triggers, and the tables of is_housekeeping() are
    omitted. An SQLite file is never written. If it has a write-ahead log, the log is read, too.

    The connection and the temporary files exist until the end of the block. Only READING_PRAGMAS are permitted, and
    views of an SQLite file cannot be read.

    :param name: the name of the file in error messages; None for its path.
    :param on_read: called with the number of bytes that were read since the last call. The sum is the file's size.
    :raises IngestError: the file cannot be read, is of another kind, is damaged or truncated, or contains a statement
        that is not allowed. The message is one line with the name of the file, and for SQL the line number.
    :raises sqlite3.OperationalError: a string in an SQLite file is not UTF-8. This is raised within the block.
    """
    name = name or os.fspath(path)
    with ExitStack() as stack:
        try:
            database = _open(os.fspath(path), name, stack, on_read)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise refusal(name, f"the gzip data is damaged or truncated ({error}); get the file again") from error
        except OSError as error:
            raise refusal(name, f"cannot be read: {error.strerror or error}") from error
        except sqlite3.Error as error:
            raise refusal(
                name, f"SQLite cannot read the file ({error}); import an export of the database instead"
            ) from error
        yield database


class CountingFile(io.FileIO):
    """A file that reports the number of bytes read."""

    def __init__(self, path: str, on_read: OnRead) -> None:
        super().__init__(path)
        self.on_read = on_read
        self.total = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer)
        self.total += count
        self.on_read(count)
        return count


def _open(path: str, name: str, stack: ExitStack, on_read: OnRead) -> sqlite3.Connection:
    raw = CountingFile(path, on_read)
    file = stack.enter_context(io.BufferedReader(raw, PROGRESS_BYTES))
    is_gzipped = file.peek(2).startswith(GZIP)
    stream = stack.enter_context(gzip.GzipFile(fileobj=file)) if is_gzipped else file
    header = stream.peek(WIDE_SAMPLE_BYTES)[:WIDE_SAMPLE_BYTES]
    if not header:
        raise refusal(name, f"is empty; {ACCEPTED_KINDS}")

    if not header.startswith(SQLITE):
        database = open_empty(stack)
        encoding = guess_wide_encoding(header)
        text = stack.enter_context(io.BufferedReader(UTF8Stream(stream, encoding))) if encoding else stream
        DumpLoader(name, text, database).load()
    elif is_gzipped:
        copy = make_temporary_path(stack)
        with open(copy, "wb") as target:
            shutil.copyfileobj(stream, target, CHUNK_SIZE)
        database = open_file(copy, header, stack)
    else:
        database = open_file(path, header, stack)
        on_read(os.path.getsize(path) - raw.total)

    if not database.execute("select 1 from sqlite_master where type = 'table'").fetchone():
        raise refusal(name, f"has no table; {ACCEPTED_KINDS}")
    return database
