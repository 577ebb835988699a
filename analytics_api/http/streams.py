"""The response body of a download."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """A response body in chunks, with the file name for `Content-Disposition`."""

    content_type: str
    filename: str
    chunks: Generator[str, None, None]
