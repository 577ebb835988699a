"""Rejected rows: count them, report their line and reason, and write them to a file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, BinaryIO

from ..errors import IngestError
from ..values.paths import is_same_file
from .report import Report, printable

# The original form of a row: a line, several lines, a mapping from Python, or the values of a row in a database.
Raw = bytes | list[bytes] | Mapping[str, object] | tuple[Any, ...]


class Rejects:
    """The file for rejected rows.

    A row is written as `NAME:LINE <tab> REASON <tab> ROW <newline>` with its original bytes, so that `cut -f3-`
    extracts rows that can be corrected and imported. LINE is the row's first line.

    :param to: a path, an open binary file, or None to discard rows. A path is opened when the first row is rejected.
    :param inputs: paths of the files to import and of the database, which must not be overwritten.
    :raises IngestError: the path is one of the `inputs`, a symbolic link or a device, or cannot be written.
    """

    def __init__(self, to: str | os.PathLike[str] | BinaryIO | None = None, *, inputs: Iterable[str] = ()) -> None:
        self.path = os.fspath(to) if isinstance(to, (str, os.PathLike)) else None
        self.count = 0
        self._file = None if isinstance(to, (str, os.PathLike)) else to
        if self.path is not None and any(is_same_file(self.path, name) for name in inputs):
            raise IngestError(f"{self.path}: the file for rejected rows must not be a file to import or the database")

    def add(self, name: str, line: int, reason: str, raw: Raw) -> None:
        self.count += 1
        if self._file is None:
            if self.path is None:
                return
            self._file = _create(self.path)
        where = f"{name}:{line}\t{printable(reason)}\t"
        with self._write_errors():
            self._file.write(where.encode(errors="replace") + to_bytes(raw).rstrip(b"\r\n") + b"\n")

    def mark(self) -> Callable[[], None]:
        """Return a function that removes the rows that were added after this call.

        Each attempt of a transaction first calls the returned function, so that only the rows of the last one remain.
        A stream that is not seekable, such as a pipe, keeps the rows of all attempts.
        """
        count = self.count
        position = self._file.tell() if self._file is not None and self._file.seekable() else 0

        def remove_rows() -> None:
            if self.count > count and self._file is not None and self._file.seekable():
                self._file.seek(position)
                self._file.truncate()
            self.count = count

        return remove_rows

    def close(self) -> None:
        """Close the file if this object opened it."""
        if self.path is not None and self._file is not None:
            with self._write_errors():
                self._file.close()

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IngestError(f"{self.path or 'rejects'}: cannot be written: {error.strerror}") from error

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RejectHandler:
    """Report an invalid row and write it to `rejects`, or with `strict` raise IngestError.

    :param names: the columns of rows that are tuples. Such a row is identified by its key instead of its line.
    """

    def __init__(
        self,
        report: Report,
        table: str,
        name: str,
        rejects: Rejects,
        strict: bool,
        names: Sequence[str] | None = None,
    ) -> None:
        self.report = report
        self.table = table
        self.name = name
        self.rejects = rejects
        self.strict = strict
        self.names = names

    def __call__(self, line: int, raw: Raw, reason: str) -> None:
        reason = " ".join(reason.split())
        if self.names is None or not isinstance(raw, tuple):
            row, where, detail = f"line {line}", f"{self.name}, line {line}", reason
        else:
            row = f"{self.names[0]} {_abbreviate(raw[0])}"
            where, detail = f"{self.name}: {self.table} {row}", f"{self.table}: {reason}"
            raw = dict(zip(self.names, raw))
        if self.strict:
            raise IngestError(printable(f"{where}: {reason}; nothing was written"))
        self.report.reject(self.table, row, reason)
        self.rejects.add(self.name, line, detail, raw)


def to_bytes(raw: Raw) -> bytes:
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, Mapping):
        return json.dumps(raw, default=str).encode()
    return b"".join(raw)


def _abbreviate(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _create(path: str) -> BinaryIO:
    """Create a file that only its owner can read, or empty an existing regular file. A symbolic link is an error."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(path, flags, 0o600)
    except OSError as error:
        reason = "it is a link" if os.path.islink(path) else error.strerror
        raise IngestError(
            f"{path}: cannot be written: {reason}; name another file for invalid rows: --rejects"
        ) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise IngestError(f"{path}: cannot be written: it is not a regular file")
    os.ftruncate(file, 0)
    return os.fdopen(file, "wb")
