"""Run statements with a list of values or rows.

The length of a list is rounded up to a power of two, by repeating its last row. So a statement has few different texts,
and the database can reuse the prepared statements. A statement must allow duplicates in its list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

from .base import Row, Transaction

MAX_ROWS = 64

Rows = Sequence[Sequence[Any]]


def select_in(at: Transaction, sql: str, values: Iterable[str]) -> Iterator[Row]:
    """Replace `:values` in a query by a list of values, and return the rows."""
    queries = []
    for chunk in _chunks([(value,) for value in sorted(set(values))]):
        names = ", ".join(f":value_{index}" for index in range(len(chunk)))
        queries.append(at.query(sql.replace(":values", names), **_params(("value",), chunk)))
    return chain.from_iterable(queries)


def update_from(at: Transaction, sql: str, columns: Sequence[str], rows: Rows) -> None:
    """Run an update that reads `rows` from the common table expression `changes`."""
    columns = tuple(columns)
    for chunk in _chunks(rows):
        at.execute(_with_changes(sql, columns, len(chunk)), **_params(columns, chunk))


def _chunks(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), MAX_ROWS):
        chunk = list(rows[start : start + MAX_ROWS])
        chunk += chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))
        yield chunk


@cache
def _with_changes(sql: str, columns: tuple[str, ...], number: int) -> str:
    rows = (f"({', '.join(f':{column}_{index}' for column in columns)})" for index in range(number))
    return f"with changes ({', '.join(columns)}) as (values {', '.join(rows)})\n{sql}"


def _params(columns: tuple[str, ...], rows: Rows) -> dict[str, Any]:
    return dict(zip(_names(columns, len(rows)), chain.from_iterable(rows)))


@cache
def _names(columns: tuple[str, ...], number: int) -> tuple[str, ...]:
    return tuple(f"{column}_{index}" for index in range(number) for column in columns)
