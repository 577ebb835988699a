"""A whole database of ours, copied into another of whichever engine."""

from __future__ import annotations

import logging
import marshal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from typing import Any

from ..database import PRIMARY_KEYS, REPLACED_TEXT_WARNING, SITE_TABLES, Database, Reader, Transaction, ignore_progress
from ..errors import DatabaseError, RowError
from ..imports.timestamps import shorten

log = logging.getLogger(__name__)

Batch = list[tuple[Any, ...]]

# Counters hold the totals of purged rows, and the ids of pages. Only these are copied; the rest is rebuilt.
COLUMNS = {"pages": ["page_id", "page"]}
ARCHIVED_COUNTS = {"visitor_days": "sessions", "fingerprint_days": "sessions", "session_pages": "views"}


def copy(
    source: Database,
    target: Database,
    *,
    written: Callable[[int], object] = lambda rows: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> dict[str, int]:
    """Copy `source`, as it is at one instant, into `target`, which is empty; return how many rows of each table.

    One transaction, in which every row is read back before it is committed. The counters are then rebuilt, and
    compared with the plain query. Text that is not UTF-8 has U+FFFD, as in the API, and the log counts it.

    :param written: is called with numbers of rows.
    :param on_progress: is called with the name of each counter.
    :raises DatabaseError: when the target has rows, cannot take one, or reads back others; then it is as it was.
    """
    tables = [Table(name, source) for name in PRIMARY_KEYS]
    with source.snapshot() as there:

        def load(at: Transaction) -> dict[str, int]:
            for table in tables:
                if table.name in SITE_TABLES:
                    at.execute(f"delete from {table.name}")
                elif at.row(f"select 1 as found from {table.name} limit 1"):
                    raise DatabaseError(
                        f"{target.url}: the table {table.name} holds rows; a copy needs an empty database"
                    )
            return {table.name: _copied(table, there, at, target.url, written) for table in tables}

        counts = target.bulk(load, on_progress=on_progress)
    if target.verify(on_progress=on_progress):
        raise DatabaseError(f"{target.url}: the counters differ from the rows; run `analytics-api verify` for details")
    return counts


class Table:
    """What is copied of a table, and how it is read."""

    def __init__(self, name: str, db: Database) -> None:
        self.name = name
        self.columns = COLUMNS.get(name) or [column.name for column in db.columns(name)]
        values, where = ", ".join(self.columns), ""
        if name in ARCHIVED_COUNTS:
            count = ARCHIVED_COUNTS[name]
            values, where = values.replace(count, f"archived as {count}"), "where archived <> 0 "
        self.sql = f"select {values} from {name} {where}order by {PRIMARY_KEYS[name]}"
        self.key = self.columns.index(PRIMARY_KEYS[name].partition(",")[0])

    def batches(self, at: Reader) -> Iterator[Batch]:
        return at.batches(self.sql)


def _copied(table: Table, there: Reader, here: Transaction, url: str, written: Callable[[int], object]) -> int:
    """Copy one table and compare; how many rows."""
    read, stored = sha256(), sha256()

    def rows() -> Generator[tuple[Any, ...], None, None]:
        for batch in table.batches(there):
            read.update(_bytes(batch))
            yield from batch
            written(len(batch))

    mended = there.replaced_text
    try:
        with closing(rows()) as source_rows:
            count = here.insert(table.name, table.columns, source_rows)
    except RowError:
        _find_refused(table, there, here, url)
        raise
    if there.replaced_text > mended:
        log.warning(REPLACED_TEXT_WARNING, table.name, there.replaced_text - mended)
    for batch in table.batches(here):
        stored.update(_bytes(batch))
    if read.digest() != stored.digest():
        raise DatabaseError(f"{url}: the table {table.name} would not hold what was read; it stays empty")
    return count


def _bytes(batch: Batch) -> bytes:
    """The same for the same values, and for no others."""
    return marshal.dumps(batch, 0)  # later formats also tell which objects are shared


def _find_refused(table: Table, there: Reader, here: Transaction, url: str) -> None:
    """Raise what the first row that can't be taken is, and why."""
    for batch in table.batches(there):
        with suppress(RowError):
            here.insert(table.name, table.columns, batch)
            continue
        for row in batch:
            try:
                here.insert(table.name, table.columns, [row])
            except RowError as error:
                raise DatabaseError(
                    f"{url}: {table.name} {table.columns[table.key]} {shorten(row[table.key])} cannot be stored: "
                    f"{error}; nothing was copied"
                ) from error
