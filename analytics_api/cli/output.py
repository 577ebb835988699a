"""Where a command writes: standard output, a device or pipe, or a file that appears once it is complete."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from tempfile import mkstemp
from typing import BinaryIO

import click

WRITE_ERRORS = frozenset({EDQUOT, EFBIG, EIO, ENOSPC})


@contextmanager
def open_output(path: str | None) -> Iterator[BinaryIO]:
    """Open standard output (None or `-`), or the path.

    A device or pipe is opened. Otherwise links are followed, and the file is replaced once everything is written; it
    keeps its mode, and a new one is readable by its owner only. After an error the old file is unchanged.

    :raises click.ClickException: the path cannot be opened or written.
    """
    if path in (None, "-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with open(path, "wb") if is_special(path) else replace_file(os.path.realpath(path)) as file:
            yield file
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error


def is_special(path: str) -> bool:
    """Return whether the path exists and is not a regular file."""
    with suppress(FileNotFoundError):
        return not stat.S_ISREG(os.stat(path).st_mode)
    return False


@contextmanager
def replace_file(path: str) -> Iterator[BinaryIO]:
    """Open a temporary file in the same folder, and rename it to the path if the block ends without an error."""
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
    """Return a line about standard output that cannot be written, such as to a full disk; None for other errors."""
    if error.filename is not None or error.errno not in WRITE_ERRORS:
        return None
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())  # Python flushes its buffer again on exit, and would fail again
    os.close(null)
    return f"standard output: {error.strerror}"
