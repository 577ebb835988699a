"""A whole database of ours, copied into another of whichever engine."""

from __future__ import annotations

import logging
import marshal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from typing import Any

from ..database import PRIMARY_KEYS, REPLACED_TEXT_WARNING, Database, Reader, Transaction, ignore_progress
from ..errors import DatabaseError, RowError
from ..imports.timestamps import shorten

log = logging.getLogger(__name__)

Batch = list[tuple[Any, ...]]


def copy(
    source: Database,
    target: Database,
    *,
    written: Callable[[int], object] = lambda rows: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> dict[str, int]:
    """Every row of `source`, as it is at one instant, into `target`, which is empty; how many of each table.

    One transaction, in which every row is read back before it is committed; then every rollup is compared with the
    plain query. `written` hears of rows, `on_progress` of each rollup. Text that is not UTF-8 has U+FFFD, as in
    the API, and the log counts it. Raises DatabaseError when the target holds rows, can't take one, or does not hold
    the same ones; then it is as it was.
    """
    with source.snapshot() as there:

        def load(at: Transaction) -> dict[str, int]:
            for table in PRIMARY_KEYS:
                if at.row(f"select 1 as found from {table} limit 1"):
                    raise DatabaseError(f"{target.url}: the table {table} holds rows; a copy needs an empty database")
            return {table: _copied(Table(table, source), there, at, target.url, written) for table in PRIMARY_KEYS}

        counts = target.bulk(load, on_progress=on_progress)
    if target.verify(on_progress=on_progress):
        raise DatabaseError(f"{target.url}: the rollups do not hold; `analytics-api verify` tells where")
    return counts


class Table:
    """What is copied of a table, and how it is read."""

    def __init__(self, name: str, db: Database) -> None:
        self.name = name
        self.columns = [column.name for column in db.columns(name)]
        self.key = self.columns.index(PRIMARY_KEYS[name].partition(",")[0])

    def batches(self, at: Reader) -> Iterator[Batch]:
        return at.batches(f"select {', '.join(self.columns)} from {self.name} order by {PRIMARY_KEYS[self.name]}")


def _copied(table: Table, there: Reader, here: Transaction, url: str, written: Callable[[int], object]) -> int:
    """Copy one table and compare; how many rows."""
    read, held = sha256(), sha256()

    def rows() -> Generator[tuple[Any, ...], None, None]:
        for batch in table.batches(there):
            read.update(_bytes(batch))
            yield from batch
            written(len(batch))

    mended = there.replaced_text
    try:
        with closing(rows()) as given:
            count = here.insert(table.name, table.columns, given)
    except RowError:
        _find_refused(table, there, here, url)
        raise
    if there.replaced_text > mended:
        log.warning(REPLACED_TEXT_WARNING, table.name, there.replaced_text - mended)
    for batch in table.batches(here):
        held.update(_bytes(batch))
    if read.digest() != held.digest():
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
