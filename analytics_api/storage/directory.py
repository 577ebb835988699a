"""Statistics of a local directory."""

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
    """Count the regular files in a directory and its subdirectories. Symbolic links are not followed or counted.

    The key of a file is its path relative to the directory, with `/` as separator. If the directory is named
    `sessions`, a key may begin with the session id. The directory need not exist when this object is created.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        pattern: str | re.Pattern[str] | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._path = os.path.abspath(path)  # the working directory may change later
        self._pattern = session_pattern(pattern, os.path.basename(self._path))
        self._clock = clock
        self.source = self._path if pattern is None else f"{self._path} {self._pattern.pattern}"

    def __repr__(self) -> str:
        return f"<Directory {self.source}>"

    def statistics(self) -> Statistics:
        """Walk the directory and count its files.

        :raises StorageError: the directory or a subdirectory does not exist or cannot be read.
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
        # A directory may have a million subdirectories. A stack with an open iterator for each level uses less memory
        # than a list of the subdirectories.
        levels = [("", os.scandir(self._path))]
        try:
            while levels:
                prefix, entries = levels[-1]
                entry = next(entries, None)
                if entry is None:
                    levels.pop()[1].close()
                elif entry.is_dir(follow_symlinks=False):
                    # The subdirectory may have been removed after its parent was read.
                    with suppress(FileNotFoundError, NotADirectoryError):
                        levels.append((f"{prefix}{entry.name}/", os.scandir(entry.path)))
                elif entry.is_file(follow_symlinks=False):
                    yield prefix + entry.name
        finally:
            for _, entries in levels:
                entries.close()
