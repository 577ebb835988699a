"""Compare paths of files."""

from __future__ import annotations

import os


def is_same_file(path: str, other: str) -> bool:
    """Return whether two paths are the same file, or would be if it existed."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.abspath(path) == os.path.abspath(other)
