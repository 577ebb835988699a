"""Copy a database into an empty one of the same or the other engine."""

from __future__ import annotations

import logging
import marshal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from typing import Any

from ..database import PRIMARY_KEYS, REPLACED_TEXT_WARNING, SITE_TABLES, Database, Reader, Transaction, ignore_progress
from ..errors import DatabaseError, RowError
from ..values.timestamps import shorten

log = logging.getLogger(__name__)

Batch = list[tuple[Any, ...]]

# Tables of which only some columns are copied. The counts in `pages` are rebuilt.
COLUMNS = {"pages": ["page_id", "page"]}
# Only the pages to which archived rows refer are copied, with their ids. They are the last table, because the condition
# reads the tables that have these rows.
ARCHIVED_PAGES = """where page_id in (
  select page_id from session_pages where archived <> 0 union select page_id from archived_page_counts) """
# Tables that count purged rows in the column `archived`. The value is the column that counts all sessions or views,
# purged or not. In the target, both columns first get the source's number in `archived`. The rebuild then adds the
# sessions or views that were not purged to the column named here.
ARCHIVED_COUNTS = {"visitor_days": "sessions", "fingerprint_days": "sessions", "session_pages": "views"}


def copy(
    source: Database,
    target: Database,
    *,
    on_write: Callable[[int], object] = lambda rows: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> dict[str, int]:
    """Copy a snapshot of `source` into the empty database `target`, and return the number of rows of each table.

    The copy is one transaction. Before the commit, all rows are read back and compared, and the counters are rebuilt.
    After the commit, the counters are verified. Invalid UTF-8 is replaced by U+FFFD, as in the API, and the log says
    how often.

    :param on_write: called with the number of rows that were copied since the last call.
    :param on_progress: called with the name of each counter.
    :raises DatabaseError: the target is not empty, cannot store a row, or returns different values. In these cases, the
        target is unchanged. After a failed verification, the target has the copy.
    """
    tables = [Table(name, source) for name in sorted(PRIMARY_KEYS, key=lambda name: name == "pages")]
    with source.snapshot() as there:

        def load(at: Transaction) -> dict[str, int]:
            for table in tables:
                if table.name in SITE_TABLES:
                    at.execute(f"delete from {table.name}")
                elif at.row(f"select 1 as found from {table.name} limit 1"):
                    raise DatabaseError(f"{target.url}: the table {table.name} is not empty; use an empty database")
            return {table.name: _copy_table(table, there, at, target.url, on_write) for table in tables}

        counts = target.bulk(load, on_progress=on_progress)
    if target.verify(on_progress=on_progress):
        raise DatabaseError(f"{target.url}: some counters are wrong; run `analytics-api verify` for details")
    return counts


class Table:
    """A table with the columns to copy and the statement that reads them."""

    def __init__(self, name: str, db: Database) -> None:
        self.name = name
        self.columns = COLUMNS.get(name) or [column.name for column in db.columns(name)]
        values, where = ", ".join(self.columns), ""
        if "archived" in self.columns:
            where = "where archived <> 0 "
        elif name == "pages":
            where = ARCHIVED_PAGES
        if name in ARCHIVED_COUNTS:
            count = ARCHIVED_COUNTS[name]
            values = values.replace(count, f"archived as {count}")
        self.sql = f"select {values} from {name} {where}order by {PRIMARY_KEYS[name]}"
        self.key = self.columns.index(PRIMARY_KEYS[name].partition(",")[0])

    def batches(self, at: Reader) -> Iterator[Batch]:
        return at.batches(self.sql)


def _copy_table(table: Table, there: Reader, here: Transaction, url: str, on_write: Callable[[int], object]) -> int:
    """Copy one table, compare the copy with the source, and return the number of rows."""
    read, stored = sha256(), sha256()

    def rows() -> Generator[tuple[Any, ...], None, None]:
        for batch in table.batches(there):
            read.update(_bytes(batch))
            yield from batch
            on_write(len(batch))

    replaced_before = there.replaced_text
    try:
        with closing(rows()) as source_rows:
            count = here.insert(table.name, table.columns, source_rows)
    except RowError:
        _raise_for_invalid_row(table, there, here, url)
        raise
    if there.replaced_text > replaced_before:
        log.warning(REPLACED_TEXT_WARNING, table.name, there.replaced_text - replaced_before)
    for batch in table.batches(here):
        stored.update(_bytes(batch))
    if read.digest() != stored.digest():
        raise DatabaseError(f"{url}: the copy of the table {table.name} differs from the source; nothing was copied")
    return count


def _bytes(batch: Batch) -> bytes:
    """Encode a batch. The results for two batches are equal if and only if their values are equal."""
    return marshal.dumps(batch, 0)  # newer versions of the format also encode whether two values are the same object


def _raise_for_invalid_row(table: Table, there: Reader, here: Transaction, url: str) -> None:
    """Find the first row that the target cannot store, and raise an error that names it and the reason."""
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
