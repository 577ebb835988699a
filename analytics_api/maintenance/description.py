"""Describe the contents of a database in one line."""

from __future__ import annotations

import os

from ..database import Database
from ..database.row_counts import count_rows
from .demo_marker import find_mark

LEADS = """
select count(*) as leads
from leads
"""


def is_missing(url: str) -> bool:
    """Return whether the URL is the path of a file that does not exist."""
    return "://" not in url and not os.path.exists(url)


def describe_rows(database: Database, *, is_new: bool = False) -> str:
    """Return the number of rows as one line, such as `/srv/a.db: 2,000 sessions, 20,339 events, 100 leads`.

    The line also says whether `analytics-api demo` generated the rows.

    :param is_new: whether the database was just created.
    """
    counts = {**count_rows(database), **database.rows(LEADS)[0]}
    if any(counts.values()):
        mark = find_mark(database)
        note = f" (generated rows up to {mark.day})" if mark else ""
        rows = (f"{number:,} {table[:-1] if number == 1 else table}" for table, number in counts.items())
        return f"{database.url}: {', '.join(rows)}{note}"
    return f"{database.url}: {'created, ' if is_new else ''}empty"
