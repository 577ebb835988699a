"""Statistics of a local directory, by walking it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator
from contextlib import closing, suppress
from itertools import islice

from ..errors import StorageError
from .base import Clock, Statistics, count, session_pattern

_PAGE = 1000


class Directory:
    """The regular files below `path`, which need not exist yet; links are not followed, nor counted.

    A key is a file's path below the directory, with `/` between its segments. In a directory that is called
    `sessions` keys may begin with `<session>`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        pattern: str | re.Pattern[str] | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._path = os.path.abspath(path)  # now, since a server may change its directory later on
        self._pattern = session_pattern(pattern, os.path.basename(self._path))
        self._clock = clock
        self.source = self._path if pattern is None else f"{self._path} {self._pattern.pattern}"

    def __repr__(self) -> str:
        return f"<Directory {self.source}>"

    def statistics(self) -> Statistics:
        """Walk the directory once; `StorageError` if it is missing, or any directory in it can't be read."""
        try:
            with closing(self._pages()) as pages:
                return count(pages, self._pattern, self._clock)
        except OSError as error:
            raise StorageError(f"The directory {self._path} can't be counted: {error}") from error

    def _pages(self) -> Generator[list[str], None, None]:
        with closing(self._keys()) as keys:
            while page := list(islice(keys, _PAGE)):
                yield page

    def _keys(self) -> Generator[str, None, None]:
        # Kept are the open iterators of the levels down to here, and no list of what is still to be walked: a
        # directory may hold a million others.
        levels = [("", os.scandir(self._path))]
        try:
            while levels:
                prefix, entries = levels[-1]
                entry = next(entries, None)
                if entry is None:
                    levels.pop()[1].close()
                elif entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError, NotADirectoryError):  # gone since its parent was read
                        levels.append((f"{prefix}{entry.name}/", os.scandir(entry.path)))
                elif entry.is_file(follow_symlinks=False):
                    yield prefix + entry.name
        finally:
            for _, entries in levels:
                entries.close()
