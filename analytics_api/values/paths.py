"""Compare and check paths of files."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def is_special(path: str) -> bool:
    """Return whether the path exists and is not a regular file, such as a pipe or a device."""
    with suppress(OSError):
        return not stat.S_ISREG(os.stat(path).st_mode)
    return False


def is_same_file(path: str, other: str) -> bool:
    """Return whether two paths are the same file, or would be if it existed."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.abspath(path) == os.path.abspath(other)
