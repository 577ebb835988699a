"""Open the output of a command: standard output, a device, a pipe or a file."""

from __future__ import annotations

import gzip
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from tempfile import mkstemp
from typing import BinaryIO, cast

import click

from ..database import Database
from ..values.paths import is_special

WRITE_ERRORS = frozenset({EDQUOT, EFBIG, EIO, ENOSPC})
GZIP_LEVEL = 6  # the default of the command gzip


@contextmanager
def open_output(path: str | None) -> Iterator[BinaryIO]:
    """Open standard output if the path is None or `-`, otherwise the file at the path.

    For a regular file, a temporary file is written, which replaces the file at the end of the block. So the old file is
    unchanged after an error. Symbolic links are followed. The mode of an existing file does not change. A new file can
    only be read by its owner. If the name ends with `.gz`, the output is compressed with gzip.

    :raises click.ClickException: the path is empty, or cannot be opened or written.
    """
    if path == "":
        raise click.ClickException("the name of the output file is empty")
    if path in (None, "-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with open(path, "wb") if is_special(path) else replace_file(os.path.realpath(path)) as file:
            if path.lower().endswith(".gz"):
                with gzip.GzipFile("", "wb", GZIP_LEVEL, file) as compressed:
                    yield cast(BinaryIO, compressed)
            else:
                yield file
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error


def database_files(database: Database) -> list[str]:
    """Return the paths that no output may overwrite: an SQLite database and the files beside it."""
    return [f"{os.path.realpath(database.url)}{suffix}" for suffix in ("", "-journal", "-wal", "-shm")]


@contextmanager
def replace_file(path: str) -> Iterator[BinaryIO]:
    """Open a temporary file in the same directory. If there is no error in the block, rename the file to the path."""
    descriptor, part = mkstemp(prefix=".export-", suffix=".part", dir=os.path.dirname(path))  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(os.stat(path).st_mode))
            os.fsync(descriptor)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def describe_write_error(error: OSError) -> str | None:
    """Return a message if a write to standard output failed, for example on a full disk, otherwise None."""
    if error.filename is not None or error.errno not in WRITE_ERRORS:
        return None
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())  # Python flushes stdout again on exit, which would fail
    os.close(null)
    return f"standard output: {error.strerror}"
