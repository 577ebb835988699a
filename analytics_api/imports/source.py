"""Read the lines of a file, a stream or an iterable with a limited amount of memory."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from operator import length_hint
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import IngestError
from ..values.paths import is_special

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_SIZE = 1 << 18  # bytes of each read
MAX_LINE_BYTES = 1 << 24  # longer lines are truncated, to limit the memory
MAX_SAMPLE_LINES = 1_000
MAX_SAMPLE_BYTES = 1 << 20

GZIP = b"\x1f\x8b"
WIDE_SAMPLE_BYTES = 32
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # used by PowerShell's `>` and Excel's "Unicode text"

GZIP_FACTOR = 9  # typical compression ratio of logs and tables


class Readable(Protocol):
    """A binary stream, such as an open file, a pipe, `sys.stdin.buffer` or an io.BytesIO."""

    def read(self, size: int, /) -> bytes: ...


Input = str | os.PathLike[str] | Readable | Iterable[bytes]
NOT_REPEATABLE = "the transaction must be repeated, but this input can be read only once; run the import again"

OnRead = Callable[[int], object]


def ignore_read(size: int) -> None:
    """Do nothing. This is the default `on_read` callback."""


class Source:
    """The lines of a file, a stream or an iterable, as bytes including the newline.

    Gzip is decompressed, UTF-16 is converted to UTF-8, and the line ending CR is converted to LF. A line is truncated
    at MAX_LINE_BYTES. A stream, an iterator, a pipe or a device can be read only once, unless `sample` has returned all
    of its lines. This also applies to a pipe or a device that is named by a path.

    :param encoding: the encoding of the text if it is UTF-16 or UTF-32. Other encodings have no effect here, because
        `import_csv` decodes the lines.
    :param on_read: called with the number of bytes that were read since the last call.
    :raises IngestError: the input cannot be read, or is read a second time although it can be read only once.
    """

    def __init__(
        self,
        input: Input,
        *,
        name: str | None = None,
        encoding: str = "utf-8",
        on_read: OnRead = ignore_read,
    ) -> None:
        self.encoding = wide_encoding(encoding)
        self.path = os.fspath(input) if isinstance(input, (str, os.PathLike)) else None
        self.name = name or self.path or "the input"
        self._on_read = on_read
        self._lines: Iterable[bytes]
        if isinstance(input, (str, os.PathLike)):
            self._lines = ()
            if is_special(path := os.fspath(input)):
                self._lines = chain.from_iterable(_read_path(path, self.encoding, on_read))
                self.path = None
        elif isinstance(input, Iterable) and not hasattr(input, "read"):
            self._lines = input
        else:
            self._lines = chain.from_iterable(_read_chunks(input, self.name, self.encoding, on_read))
        self._is_single_use = self.path is None and iter(self._lines) is self._lines
        self._is_started = False

    def __iter__(self) -> Iterator[bytes]:
        if self.path is not None:
            return chain.from_iterable(_read_path(self.path, self.encoding, self._on_read))
        if self._is_single_use:
            if self._is_started:
                raise IngestError(f"{self.name}: {NOT_REPEATABLE}")
            self._is_started = True
        return iter(self._lines)

    def batches(self) -> Iterator[list[bytes]]:
        """Yield the lines in lists of about CHUNK_SIZE bytes."""
        return _chunks_of(self) if self.path is None else _read_path(self.path, self.encoding, self._on_read)

    def sample(self) -> list[bytes]:
        """Return the first lines. Iterating over the source yields these lines, too."""
        if self.path is None:
            lines = iter(self._lines)
        else:
            lines = chain.from_iterable(_read_path(self.path, self.encoding, ignore_read))
        head = []
        size = 0
        for line in islice(lines, MAX_SAMPLE_LINES):
            head.append(line)
            size += len(line)
            if size >= MAX_SAMPLE_BYTES:
                break
        if self._is_single_use:
            is_whole = size < MAX_SAMPLE_BYTES and len(head) < MAX_SAMPLE_LINES
            self._lines = head if is_whole else chain(head, lines)
            self._is_single_use = not is_whole
        return head

    @property
    def estimated_lines(self) -> int | None:
        """Return the number of lines, estimated from the length of the first lines, or None if it is unknown."""
        if self.path is None:
            return length_hint(self._lines) or None
        try:
            with open(self.path, "rb") as file:
                factor = GZIP_FACTOR if file.read(2) == GZIP else 1
                size = os.fstat(file.fileno()).st_size * factor
        except OSError as error:
            raise cannot_be_read(self.path, error) from error
        head = self.sample()
        return size * len(head) // max(sum(map(len, head)), 1)


def wide_encoding(encoding: str) -> str | None:
    """Return the encoding if it is UTF-16 or UTF-32, otherwise None."""
    return encoding if re.sub("[-_ ]", "", encoding).lower().startswith(("utf16", "utf32")) else None


def _read_path(path: str, encoding: str | None, on_read: OnRead) -> Iterator[list[bytes]]:
    try:
        with open(path, "rb", buffering=0) as file:
            yield from _read_chunks(file, path, encoding, on_read)
    except OSError as error:
        raise cannot_be_read(path, error) from error


def _read_chunks(stream: Any, name: str, encoding: str | None, on_read: OnRead) -> Iterator[list[bytes]]:
    try:
        file: Any = io.BufferedReader(_CountingStream(stream, on_read), CHUNK_SIZE)
        if file.peek(2)[:2] == GZIP:
            file = io.BufferedReader(gzip.GzipFile(fileobj=file), CHUNK_SIZE)
        encoding = encoding or guess_wide_encoding(file.peek(WIDE_SAMPLE_BYTES)[:WIDE_SAMPLE_BYTES])
        if encoding:
            file = io.BufferedReader(UTF8Stream(file, encoding), CHUNK_SIZE)
        head = file.peek(CHUNK_SIZE)
        if b"\r" in head and b"\n" not in head and b"\0" not in head:
            file = io.BufferedReader(_CRStream(file), CHUNK_SIZE)
        while chunk := file.read1(CHUNK_SIZE):
            lines = io.BytesIO(chunk).readlines()
            if not lines[-1].endswith(b"\n"):
                lines[-1] += _read_line(file.readline, MAX_LINE_BYTES - len(lines[-1]))
            yield lines
    except UnicodeError as error:
        raise IngestError(f"{name}: {error}; use --encoding {encoding}-le or {encoding}-be") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IngestError(f"{name}: the gzip data is damaged or truncated ({error}); get the file again") from error
    except OSError as error:
        raise cannot_be_read(name, error) from error


def guess_wide_encoding(head: bytes) -> str | None:
    """Return the encoding of UTF-16 text, with or without a byte order mark, or None for other text."""
    if head[:2] in UTF_16:
        return "utf-16"
    even, odd = head[::2], head[1::2]
    if len(head) < 8 or b"\0" * 2 in head:
        return None
    if set(odd) == {0} and 0 not in even:
        return "utf-16-le"
    return "utf-16-be" if set(even) == {0} and 0 not in odd else None


def _chunks_of(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines in lists of about CHUNK_SIZE bytes."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line) + 1
        if size >= CHUNK_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_line(readline: Callable[[int], bytes], max_bytes: int) -> bytes:
    """Read a line, or the rest of a line, and truncate it to `max_bytes`."""
    line = more = readline(max_bytes)
    if len(line) >= max_bytes:
        while not more.endswith(b"\n") and (more := readline(CHUNK_SIZE)):
            pass
    return line


def cannot_be_read(name: str, error: OSError) -> IngestError:
    return IngestError(f"{name}: cannot be read: {error.strerror or error}")


class _CountingStream(io.RawIOBase):
    """A stream that reports the number of bytes read. Closing it does not close the underlying stream."""

    def __init__(self, stream: Readable, on_read: OnRead) -> None:
        # read() of a pipe blocks until all requested bytes are available; read1() does not.
        self._read_some: Callable[[int], bytes | None] = getattr(stream, "read1", stream.read)
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._read_some(len(view)) or b""
        view[: len(data)] = data
        self._on_read(len(data))
        return len(data)


class UTF8Stream(io.RawIOBase):
    """A stream that converts text to UTF-8. Invalid bytes are replaced by U+FFFD."""

    def __init__(self, file: Any, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._data = b""
        self._is_first = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._data:
            data = self._file.read1(CHUNK_SIZE)
            text = self._decoder.decode(data, final=not data)
            if self._is_first:
                text, self._is_first = text.removeprefix("\ufeff"), not text
            self._data = text.encode()
            if not data:
                break
        part, self._data = self._data[: len(view)], self._data[len(view) :]
        view[: len(part)] = part
        return len(part)


class _CRStream(io.RawIOBase):
    """A stream that converts the line ending CR to LF."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data: bytes = self._file.read1(len(view)).replace(b"\r", b"\n")
        view[: len(data)] = data
        return len(data)
