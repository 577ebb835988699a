"""Mark a database that contains demo data, so that demo data and real data are not mixed by mistake."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import NamedTuple

from ..database import BASE_TABLES, Database, Reader, Transaction
from ..database.secrets_table import DEMO_MARK, find_value, set_value


class DemoMark(NamedTuple):
    """The mark of a database with demo data.

    `now` is the end of the demo data in milliseconds since the epoch, and `rows` the number of generated rows.
    """

    now: int
    rows: int

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.now / 1000, timezone.utc).date()


def find_mark(db: Database) -> DemoMark | None:
    """Return the mark of a demo database, or None if the database is not marked."""
    value = find_value(db, DEMO_MARK)
    return None if value is None else DemoMark(*map(int, value.split()))


def set_mark(at: Transaction, mark: DemoMark) -> None:
    """Mark the database as demo data."""
    set_value(at, DEMO_MARK, f"{mark.now} {mark.rows}")


def count_base_rows(at: Reader) -> int:
    """Return the total number of rows in the base tables. `demo` fills all of these tables."""
    return sum(int(at.rows(f"select count(*) as rows from {table}")[0]["rows"]) for table in BASE_TABLES)
