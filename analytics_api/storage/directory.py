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
    """The regular files below `path`, which need not exist yet. Links are neither followed nor counted.

    A key is the path of a file below the directory, with `/` between segments. Below a directory named `sessions`,
    keys may begin with `<session>`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        pattern: str | re.Pattern[str] | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._path = os.path.abspath(path)  # now, since a server may change its working directory
        self._pattern = session_pattern(pattern, os.path.basename(self._path))
        self._clock = clock
        self.source = self._path if pattern is None else f"{self._path} {self._pattern.pattern}"

    def __repr__(self) -> str:
        return f"<Directory {self.source}>"

    def statistics(self) -> Statistics:
        """Walk the directory once.

        :raises StorageError: it is missing, or a directory in it cannot be read.
        """
        try:
            with closing(self._pages()) as pages:
                return count(pages, self._pattern, self._clock)
        except OSError as error:
            raise StorageError(f"The directory {self._path} cannot be counted: {error}") from error

    def _pages(self) -> Generator[list[str], None, None]:
        with closing(self._keys()) as keys:
            while page := list(islice(keys, _PAGE)):
                yield page

    def _keys(self) -> Generator[str, None, None]:
        # A stack of open iterators, rather than a list of directories to walk: a directory may have a million others.
        levels = [("", os.scandir(self._path))]
        try:
            while levels:
                prefix, entries = levels[-1]
                entry = next(entries, None)
                if entry is None:
                    levels.pop()[1].close()
                elif entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError, NotADirectoryError):  # removed since its parent was read
                        levels.append((f"{prefix}{entry.name}/", os.scandir(entry.path)))
                elif entry.is_file(follow_symlinks=False):
                    yield prefix + entry.name
        finally:
            for _, entries in levels:
                entries.close()
