"""The mark of a database whose rows are made up, so that real rows are not mixed with them by mistake."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import NamedTuple

from ..database import Database, Reader, Transaction
from .demo import COLUMNS

NAME = "demo"  # of the row in the table `secrets`, which has what the project remembers by name

SELECT_MARK = """
select value
from secrets
where name = :name
"""

SET_MARK = """
insert into secrets (name, value)
values (:name, :value)
on conflict (name) do update set value = excluded.value
"""


class DemoMark(NamedTuple):
    """The instant in ms up to which rows were made up, and how many rows of COLUMNS there were."""

    now: int
    rows: int

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.now / 1000, timezone.utc).date()


def find_mark(db: Database) -> DemoMark | None:
    """Return the mark of a demo database; None for any other."""
    row = db.row(SELECT_MARK, name=NAME)
    return DemoMark(*map(int, row["value"].split())) if row else None


def set_mark(at: Transaction, mark: DemoMark) -> None:
    """Mark the database as a demo."""
    at.execute(SET_MARK, name=NAME, value=f"{mark.now} {mark.rows}")


def count_rows(at: Reader) -> int:
    """Return the number of rows in the tables that a demo fills."""
    return sum(int(at.rows(f"select count(*) as rows from {table}")[0]["rows"]) for table in COLUMNS)
