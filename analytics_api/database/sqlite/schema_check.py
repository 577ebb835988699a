"""What another program has changed in the schema of a database file: objects of schema.sql that are gone or differ.

Tools that copy a table into a new one, such as `sqlite-utils transform`, drop its triggers; the counters then stand
still.
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

# With generated columns, which a copied table lacks.
COLUMNS = """
select name
from pragma_table_xinfo(:table)
order by cid
"""

# Tables that the module FTS5 creates for the search index; an update of SQLite may change them.
FTS_TABLES = frozenset(f"lead_search_{part}" for part in ("config", "content", "data", "docsize", "idx"))


class SchemaObject(NamedTuple):
    """A table, index, view or trigger of schema.sql; only a table has columns."""

    type: str
    name: str
    sql: str
    columns: tuple[str, ...]


def find_schema_differences(connection: sqlite3.Connection, schema: tuple[str, ...]) -> list[str]:
    """Return a line for each object that differs from the schema, such as "the trigger events_insert is missing".

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
    """Return the objects of the schema."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in schema:
            connection.execute(statement)
        return tuple(read_objects(connection))


def read_objects(connection: sqlite3.Connection) -> Iterator[SchemaObject]:
    """Generate the objects of a database, except those that SQLite makes itself."""
    objects: Iterable[tuple[str, str, str]] = connection.execute(OBJECTS).fetchall()
    for type_, name, sql in objects:
        if name in FTS_TABLES:
            continue
        columns = connection.execute(COLUMNS, {"table": name}).fetchall() if type_ == "table" else []
        yield SchemaObject(type_, name, sql, tuple(column for (column,) in columns))
