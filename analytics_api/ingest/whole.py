"""A whole database of ours, copied into another of whichever engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import zip_longest
from typing import Any

from ..database import KEYS, MENDED, Database, Reader, Transaction, unheard
from ..errors import DatabaseError, RowError
from .rows import shown

log = logging.getLogger(__name__)

Batch = list[tuple[Any, ...]]


def copy(
    source: Database,
    target: Database,
    *,
    written: Callable[[int], object] = lambda rows: None,
    told: Callable[[str], object] = unheard,
) -> dict[str, int]:
    """Every row of `source`, as it is at one instant, into `target`, which is empty; how many of each table.

    One transaction, in which every row is read back before it is committed; then every rollup is compared with the
    plain query. `written` hears of rows, `told` of each rollup. Text that is no UTF-8 has U+FFFD, as the API answers
    it, and the log counts it. Raises DatabaseError when the target holds rows, can't take one, or does not hold the
    same ones; then it is as it was.
    """
    with source.snapshot() as there:

        def load(at: Transaction) -> dict[str, int]:
            for table in KEYS:
                if at.row(f"select 1 as found from {table} limit 1"):
                    raise DatabaseError(f"{target.url}: the table {table} holds rows; a copy needs an empty database")
            return {table: _copied(Table(table, source), there, at, target.url, written) for table in KEYS}

        counts = target.bulk(load, told=told)
    if target.verify(told=told):
        raise DatabaseError(f"{target.url}: the rollups do not hold; `analytics-api verify` tells where")
    return counts


class Table:
    """What is copied of a table, and how it is read."""

    def __init__(self, name: str, db: Database) -> None:
        self.name = name
        self.columns = [column.name for column in db.columns(name)]
        self.key = self.columns.index(KEYS[name].partition(",")[0])

    def batches(self, at: Reader) -> Iterator[Batch]:
        return at.batches(f"select {', '.join(self.columns)} from {self.name} order by {KEYS[self.name]}")


def _copied(table: Table, there: Reader, here: Transaction, url: str, written: Callable[[int], object]) -> int:
    """Copy one table and compare; how many rows."""

    def read() -> Generator[tuple[Any, ...], None, None]:
        with closing(_ahead(table.batches(there))) as batches:
            for batch in batches:
                yield from batch
                written(len(batch))

    mended = there.mended
    try:
        with closing(read()) as given:
            rows = here.insert(table.name, table.columns, given)
    except RowError:
        _find_refused(table, there, here, url)
        raise
    if there.mended > mended:
        log.warning(MENDED, table.name, there.mended - mended)
    for theirs, ours in zip_longest(table.batches(there), table.batches(here)):
        if theirs != ours:
            raise DatabaseError(f"{url}: the table {table.name} would not hold what was read; it stays empty")
    return rows


def _ahead(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """The same, the next one being read while one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while batch := coming.result():
            coming = thread.submit(next, batches, None)
            yield batch


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
                    f"{url}: {table.name} {table.columns[table.key]} {shown(row[table.key])} can't be taken: {error}; "
                    "nothing was copied"
                ) from error
