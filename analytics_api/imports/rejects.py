"""Rows that can't be taken: counted, told with their line and reason, and kept as they came."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import BinaryIO

from ..errors import IngestError
from .report import Report

# A row as it came: its bytes, the lines that it lies on, or what a host gave.
Raw = bytes | Sequence[bytes] | Mapping[str, object]


class Rejects:
    """Where refused rows go: a path, made when the first one comes, an opened binary file, or None for nowhere.

    A row is `NAME:LINE <tab> REASON <tab> THE ROW <newline>`, the row's bytes as they were, so that `cut -f3-` gives
    rows which can be mended and imported. A row on several lines goes under the first one's number.
    """

    def __init__(self, to: str | os.PathLike[str] | BinaryIO | None = None) -> None:
        self.path = os.fspath(to) if isinstance(to, (str, os.PathLike)) else None
        self.count = 0
        self._file = None if isinstance(to, (str, os.PathLike)) else to

    def add(self, name: str, line: int, reason: str, raw: Raw) -> None:
        self.count += 1
        if self._file is None:
            if self.path is None:
                return
            try:
                self._file = open(self.path, "wb")  # noqa: SIM115 closed by close()
            except OSError as error:
                raise IngestError(f"{self.path}: can't be written: {error.strerror}") from error
        self._file.write(f"{name}:{line}\t{reason}\t".encode(errors="replace") + as_bytes(raw).rstrip(b"\r\n") + b"\n")

    def close(self) -> None:
        """Close the file, when it was opened here."""
        if self.path is not None and self._file is not None:
            self._file.close()

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Refusal:
    """What one import does with a row that it can't take. With `strict` that is to raise IngestError."""

    def __init__(self, report: Report, table: str, name: str, rejects: Rejects, strict: bool) -> None:
        self.report = report
        self.table = table
        self.name = name
        self.rejects = rejects
        self.strict = strict

    def __call__(self, line: int, raw: Raw, reason: str) -> None:
        if self.strict:
            raise IngestError(f"{self.name}, line {line}: {reason}; nothing was written")
        self.report.reject(self.table, f"line {line}", reason)
        self.rejects.add(self.name, line, reason, raw)


def as_bytes(raw: Raw) -> bytes:
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, Mapping):
        return json.dumps(raw, default=str).encode()
    return b"".join(raw)
