"""The lines of a file, a stream or an iterable, in little memory, and the way they take into a database."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from operator import length_hint
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..database import Database, Transaction
from ..errors import IngestError
from .sqlite_file import BULK_SHARE, ROWS

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

CHUNK = 1 << 18  # what is read at once, and what progress hears of
LONGEST = 1 << 24  # of a line, in bytes; what is over is dropped, so that no line can fill the memory
SAMPLE_LINES = 1_000
SAMPLE_BYTES = 1 << 20

GZIP = b"\x1f\x8b"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # PowerShell's `>` and Excel's "Unicode text"

GZIP_FACTOR = 9  # such text packs to about a ninth
FEW = 50_000  # rows there, when how many come is not known, up to which making the rollups anew costs next to nothing


class Readable(Protocol):
    """A binary stream: an opened file, a pipe, `sys.stdin.buffer`, an io.BytesIO."""

    def read(self, size: int, /) -> bytes: ...


Given = str | os.PathLike[str] | Readable | Iterable[bytes]
AGAIN = "the database asks to begin again, but this can be read only once; run the import again"

Heard = Callable[[int], object]


def unread(_: int) -> None:
    """Tell nobody how much is read."""


class Source:
    """The lines of a path, a stream, or an iterable: bytes, each with the newline that ended it.

    Files and streams may be gzipped or UTF-16; then the lines are those of the text within, as UTF-8. A line that
    gets to LONGEST bytes is cut there. `read` hears of so many more bytes of the file itself. What can be read only
    once, a stream or an iterator, raises IngestError the second time; and so does what can't be read at all.
    """

    def __init__(self, given: Given, *, name: str | None = None, read: Heard = unread) -> None:
        self.path = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
        self.name = name or self.path or "the input"
        self._read = read
        self._lines: Iterable[bytes]
        if isinstance(given, (str, os.PathLike)):
            self._lines = ()
        elif isinstance(given, Iterable) and not hasattr(given, "read"):
            self._lines = given
        else:
            self._lines = chain.from_iterable(_batches(given, self.name, read))
        self._once = self.path is None and iter(self._lines) is self._lines
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        if self.path is not None:
            return chain.from_iterable(_batches_at(self.path, self._read))
        if self._once:
            if self._begun:
                raise IngestError(f"{self.name}: {AGAIN}")
            self._begun = True
        return iter(self._lines)

    def batches(self) -> Iterator[list[bytes]]:
        """The lines, about as many at a time as are read at once."""
        return _together(self) if self.path is None else _batches_at(self.path, self._read)

    def sample(self) -> list[bytes]:
        """Its first lines, which it gives again when it is read."""
        lines = iter(self._lines) if self.path is None else chain.from_iterable(_batches_at(self.path, unread))
        head = []
        size = 0
        for line in islice(lines, SAMPLE_LINES):
            head.append(line)
            size += len(line)
            if size >= SAMPLE_BYTES:
                break
        if self._once:
            self._lines = chain(head, lines)
        return head

    @property
    def rows(self) -> int | None:
        """About how many lines it holds, by its first ones; None when nothing tells."""
        if self.path is None:
            return length_hint(self._lines) or None
        try:
            with open(self.path, "rb") as file:
                factor = GZIP_FACTOR if file.read(2) == GZIP else 1
                size = os.fstat(file.fileno()).st_size * factor
        except OSError as error:
            raise _unreadable(self.path, error) from error
        head = self.sample()
        return size * len(head) // max(sum(map(len, head)), 1)


def load(db: Database, rows: int | None, work: Callable[[Transaction], T], on_progress: Callable[[str], object]) -> T:
    """Run `work` in the way that is cheaper for so many rows; `on_progress` is called with each rollup rebuilt."""
    there = db.rows(ROWS)[0]["total"]
    if (there <= FEW) if rows is None else (rows > BULK_SHARE * there):
        return db.bulk(work, on_progress=on_progress)
    return db.write(work)


def _batches_at(path: str, read: Heard) -> Iterator[list[bytes]]:
    try:
        with open(path, "rb", buffering=0) as file:
            yield from _batches(file, path, read)
    except OSError as error:
        raise _unreadable(path, error) from error


def _batches(stream: Any, name: str, read: Heard) -> Iterator[list[bytes]]:
    try:
        file: Any = io.BufferedReader(_Counted(stream, read), CHUNK)
        if file.peek(2)[:2] == GZIP:
            file = io.BufferedReader(gzip.GzipFile(fileobj=file), CHUNK)
        if file.peek(2)[:2] in UTF_16:
            text = io.TextIOWrapper(file, "utf-16", errors="replace", newline="\n")
            yield from _together(iter(lambda: _line(lambda size: text.readline(size).encode(), LONGEST), b""))
            return
        while chunk := file.read1(CHUNK):
            lines = io.BytesIO(chunk).readlines()
            if not lines[-1].endswith(b"\n"):
                lines[-1] += _line(file.readline, LONGEST - len(lines[-1]))
            yield lines
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IngestError(f"{name}: the gzip data are damaged or cut short ({error}); fetch it again") from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _together(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines, so many at a time that they come to CHUNK bytes."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line) + 1
        if size >= CHUNK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _line(readline: Callable[[int], bytes], most: int) -> bytes:
    """The line that comes, or the rest of one; what is over `most` is dropped."""
    line = more = readline(most)
    if len(line) >= most:
        while not more.endswith(b"\n") and (more := readline(CHUNK)):
            pass
    return line


def _unreadable(name: str, error: OSError) -> IngestError:
    return IngestError(f"{name}: can't be read: {error.strerror or error}")


class _Counted(io.RawIOBase):
    """A stream of somebody else's, who is told how much of it was read, and who closes it."""

    def __init__(self, stream: Readable, read: Heard) -> None:
        # a pipe's read() would wait until there is as much as was asked for
        self._some: Callable[[int], bytes | None] = getattr(stream, "read1", stream.read)
        self._told = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._some(len(view)) or b""
        view[: len(data)] = data
        self._told(len(data))
        return len(data)
