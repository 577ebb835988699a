"""A whole database of ours, copied into another of whichever engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from ..database import KEYS, Database, Reader, Transaction, unheard
from ..errors import DatabaseError


def copy(
    source: Database,
    target: Database,
    *,
    written: Callable[[int], object] = lambda rows: None,
    told: Callable[[str], object] = unheard,
) -> dict[str, int]:
    """Every row of `source`, as it is at one instant, into `target`, which is empty; how many of each table.

    One transaction. At the end every row is read back, and every rollup compared with the plain query. `written` hears
    of rows, `told` of each rollup. Raises DatabaseError when the target holds rows, or does not hold the same ones.
    """
    for table in KEYS:
        if target.rows(f"select 1 as found from {table} limit 1"):
            raise DatabaseError(f"{target.url}: the table {table} holds rows; a copy needs an empty database")
    with source.snapshot() as there:

        def load(at: Transaction) -> dict[str, Content]:
            contents = {}
            for table in KEYS:
                content = contents[table] = Content()
                for rows in _rows(source, there, table):
                    at.insert(table, _columns(source, table), rows)
                    content.add(rows)
                    written(len(rows))
            return contents

        contents = target.bulk(load, told=told)
    with target.snapshot() as there:
        for table, content in contents.items():
            found = Content()
            for rows in _rows(target, there, table):
                found.add(rows)
            if found != content:
                raise DatabaseError(f"{target.url}: the table {table} does not hold what {source.url} does")
    if target.verify(told=told):
        raise DatabaseError(f"{target.url}: the rollups do not hold; `analytics-api verify` tells where")
    return {table: content.rows for table, content in contents.items()}


class Content:
    """How many rows a table has, and a sum over them that no order changes."""

    def __init__(self) -> None:
        self.rows = 0
        self.sum = 0

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in rows:
            self.rows += 1
            self.sum += int.from_bytes(blake2b(repr(row).encode(), digest_size=16).digest(), "big")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and (self.rows, self.sum) == (other.rows, other.sum)

    __hash__ = None  # type: ignore[assignment]


def _columns(db: Database, table: str) -> Sequence[str]:
    return [column.name for column in db.columns(table)]


def _rows(db: Database, at: Reader, table: str) -> Iterator[list[tuple[Any, ...]]]:
    return at.batches(f"select {', '.join(_columns(db, table))} from {table} order by {KEYS[table]}")
