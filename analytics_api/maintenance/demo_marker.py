"""The mark of a database whose rows are made up, so that real rows are not mixed with them by mistake."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import NamedTuple

from ..database import Database, Reader, Transaction
from ..database.remembered import find_value, set_value
from .demo import COLUMNS

MARK = "demo"  # the name under which it is remembered


class DemoMark(NamedTuple):
    """The instant in ms up to which rows were made up, and how many rows of COLUMNS there were."""

    now: int
    rows: int

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.now / 1000, timezone.utc).date()


def find_mark(db: Database) -> DemoMark | None:
    """Return the mark of a demo database; None for any other."""
    value = find_value(db, MARK)
    return None if value is None else DemoMark(*map(int, value.split()))


def set_mark(at: Transaction, mark: DemoMark) -> None:
    """Mark the database as a demo."""
    set_value(at, MARK, f"{mark.now} {mark.rows}")


def count_rows(at: Reader) -> int:
    """Return the number of rows in the tables that a demo fills."""
    return sum(int(at.rows(f"select count(*) as rows from {table}")[0]["rows"]) for table in COLUMNS)
