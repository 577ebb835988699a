"""Find objects of schema.sql that another program has removed or changed.

Tools that replace a table by a copy, such as `sqlite-utils transform`, drop the table's triggers. The counters are then
no longer updated.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

OBJECTS = """
select type, name, sql
from sqlite_schema
order by rowid
"""

# Includes generated columns, because they are missing if another program has replaced a table with a copy.
COLUMNS = """
select name
from pragma_table_xinfo(:table)
order by cid
"""

# The tables that FTS5 creates for the search index. A new version of SQLite may define them differently.
FTS_TABLES = frozenset(f"lead_search_{part}" for part in ("config", "content", "data", "docsize", "idx"))


class SchemaObject(NamedTuple):
    """A table, index, view or trigger of schema.sql. `columns` is empty unless the object is a table."""

    type: str
    name: str
    sql: str | None  # None for an index that SQLite creates itself
    columns: tuple[str, ...]

    @property
    def is_defined(self) -> bool:
        """Whether schema.sql has a statement for the object.

        SQLite creates the other objects itself: indexes of constraints, and the tables of FTS5. Their definitions
        depend on its version, so they are not compared.
        """
        return self.sql is not None and not self.name.startswith("sqlite_") and self.name not in FTS_TABLES


def find_schema_differences(connection: sqlite3.Connection, schema: tuple[str, ...]) -> list[str]:
    """Return a message for each object that differs, such as "the trigger events_insert is missing".

    :param schema: the statements that create the schema.
    """
    actual = {(type_, name): sql for type_, name, sql in connection.execute(OBJECTS).fetchall()}
    lines: list[str] = []
    for item in filter(attrgetter("is_defined"), expected_objects(schema)):
        sql = actual.get((item.type, item.name))
        if sql is None:
            lines.append(f"the {item.type} {item.name} is missing")
        elif sql != item.sql:
            lines += (
                missing_columns(connection, item)
                if item.type == "table"
                else [f"the {item.type} {item.name} was changed"]
            )
    return lines


def missing_columns(connection: sqlite3.Connection, table: SchemaObject) -> list[str]:
    columns = read_columns(connection, table.name)
    return [f"the column {table.name}.{name} is missing" for name in table.columns if name not in columns]


@lru_cache(maxsize=1)
def expected_objects(schema: tuple[str, ...]) -> tuple[SchemaObject, ...]:
    """Return the objects that the statements of the schema create, including those that SQLite creates for FTS5."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in schema:
            connection.execute(statement)
        return tuple(
            SchemaObject(type_, name, sql, read_columns(connection, name) if type_ == "table" else ())
            for type_, name, sql in connection.execute(OBJECTS).fetchall()
        )


def read_columns(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    return tuple(column for (column,) in connection.execute(COLUMNS, {"table": table}).fetchall())
