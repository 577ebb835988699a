"""Opening a database by its path or URL."""

from __future__ import annotations

import os

from .base import BASE_TABLES as BASE_TABLES
from .base import Database as Database
from .base import Difference as Difference
from .base import Reader as Reader
from .base import Row as Row
from .base import Transaction as Transaction
from .sqlite import SQLite as SQLite


def open_database(url: str | os.PathLike[str], *, create: bool = True) -> Database:
    """The database of that path, made when there is none and `create` is true.

    Raises DatabaseError when it can't be opened, or is another program's or another version's.
    """
    return SQLite(url, create=create)
