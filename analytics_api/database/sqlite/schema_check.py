"""Find objects of schema.sql that another program has removed or changed.

Tools that replace a table by a copy, such as `sqlite-utils transform`, drop the table's triggers. The counters are then
no longer updated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from typing import NamedTuple

OBJECTS = """
select type, name, sql
from sqlite_schema
where name not like 'sqlite\\_%' escape '\\'
  and sql is not null
order by rowid
"""

# Includes generated columns, which a copy of a table lacks.
COLUMNS = """
select name
from pragma_table_xinfo(:table)
order by cid
"""

# The tables that FTS5 creates for the search index. A new version of SQLite may define them differently.
FTS_TABLES = frozenset(f"lead_search_{part}" for part in ("config", "content", "data", "docsize", "idx"))


class SchemaObject(NamedTuple):
    """A table, index, view or trigger. `columns` is empty except for a table."""

    type: str
    name: str
    sql: str
    columns: tuple[str, ...]


def find_schema_differences(connection: sqlite3.Connection, schema: tuple[str, ...]) -> list[str]:
    """Return a message for each object that differs from the schema: "the trigger events_insert is missing".

    :param schema: the statements that create the schema.
    """
    actual = {(item.type, item.name): item for item in read_objects(connection)}
    lines: list[str] = []
    for item in expected_objects(schema):
        current = actual.get((item.type, item.name))
        if current is None:
            lines.append(f"the {item.type} {item.name} is missing")
        elif item.type == "table":
            lines += (
                f"the column {item.name}.{name} is missing" for name in item.columns if name not in current.columns
            )
        elif current.sql != item.sql:
            lines.append(f"the {item.type} {item.name} was changed")
    return lines


@lru_cache(maxsize=1)
def expected_objects(schema: tuple[str, ...]) -> tuple[SchemaObject, ...]:
    """Return the objects that the statements of the schema create."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in schema:
            connection.execute(statement)
        return tuple(read_objects(connection))


def read_objects(connection: sqlite3.Connection) -> Iterator[SchemaObject]:
    """Yield the objects of a database, except those that SQLite creates itself."""
    objects: Iterable[tuple[str, str, str]] = connection.execute(OBJECTS).fetchall()
    for type_, name, sql in objects:
        if name in FTS_TABLES:
            continue
        columns = connection.execute(COLUMNS, {"table": name}).fetchall() if type_ == "table" else []
        yield SchemaObject(type_, name, sql, tuple(column for (column,) in columns))
