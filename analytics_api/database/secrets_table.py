"""Read and write the table `secrets`: values by name, such as the salt for hashing visitors."""

from __future__ import annotations

from .base import Database, Reader, Transaction

DEMO_MARK = "demo"  # the name of a value that only a database with demo data has

SELECT_VALUE = """
select value
from secrets
where name = :name
"""

ADD_VALUE = """
insert into secrets (name, value)
values (:name, :value)
on conflict (name) do nothing
"""

SET_VALUE = """
insert into secrets (name, value)
values (:name, :value)
on conflict (name) do update set value = excluded.value
"""


def find_value(reader: Database | Reader, name: str) -> str | None:
    """Return the value with this name, or None if it does not exist."""
    row = reader.row(SELECT_VALUE, name=name)
    return None if row is None else str(row["value"])


def add_value(at: Transaction, name: str, value: str) -> str:
    """Store a value unless the name exists, and return the stored value."""
    at.execute(ADD_VALUE, name=name, value=value)
    return str(at.rows(SELECT_VALUE, name=name)[0]["value"])


def set_value(at: Transaction, name: str, value: str) -> None:
    """Store a value. It replaces an existing value with the same name."""
    at.execute(SET_VALUE, name=name, value=value)
