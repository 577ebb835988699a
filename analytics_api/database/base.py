"""The seam between the queries, which are the same everywhere, and the engine that runs them.

SQL is written once, portable, with `:named` parameters. An engine opens, runs, retries and loads in bulk;
what else it needs (tables, triggers, search index) is its DDL file.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

Row = dict[str, Any]
T = TypeVar("T")


def ignore_progress(_: str) -> None:
    """Tell nobody how far the work is."""


# What trackers and hosts write, each with its key; all else is made from these and from what is past.
BASE_TABLES = {
    "sessions": "session_id",
    "events": "event_id",
    "leads": "lead_id",
    "lead_submissions": "submission_id",
    "lead_status_changes": "change_id",
}

# The site's settings; a new database has rows of them.
SITE_TABLES = {
    "site": "site_id",
    "site_offsets": "begins_at",
}

# Counters of which the column `archived` says how much is due to purged rows, and the pages, which these name by id.
ARCHIVING_COUNTERS = {
    "pages": "page_id",
    "visitor_days": "visitor_id, day, country_code",
    "fingerprint_days": "fingerprint, day",
    "session_pages": "session_id, page_id, day",
}

# What purged rows count for, beside that.
ARCHIVE_TABLES = {
    "archived_session_counts": "dimension, day, key",
    "archived_event_counts": "day",
    "archived_page_counts": "page_id, day",
}

# What this project itself has to remember, likewise.
INTERNAL_TABLES = {
    "secrets": "name",
    "api_keys": "name",
    "storage_snapshots": "source",
    "storage_ratios": "source",
}
PRIMARY_KEYS = BASE_TABLES | SITE_TABLES | ARCHIVING_COUNTERS | ARCHIVE_TABLES | INTERNAL_TABLES

# What triggers keep in them, whatever a writer says.
DERIVED_COLUMNS = frozenset({"follow_ups_count", "last_follow_up_at", "search_text", "project_code", "is_sharded"})

# So many values in a statement: its text is the same however many there are, for `lists` repeats the last.
IN_LIST_SIZE = 500
IN_LIST = ", ".join(f":listed_{place}" for place in range(IN_LIST_SIZE))

BATCH = 1000  # rows that `batches` gives at a time

MAX_REPORTED = 20  # a rollup, each way

# The columns of counters that count; a row in which all are 0 is as good as none.
COUNT_COLUMNS = frozenset(
    {
        "sessions",
        "visitors",
        "fingerprints",
        "duration_sum",
        "duration_count",
        "score_sum",
        "score_count",
        "vpn_suspected",
        "events",
        "open_sessions",
        "views",
        "leads",
    }
)

# What becomes of a row whose key is there already.
OnConflict = Literal["error", "ignore", "update"]


def in_list_batches(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The values as the parameters of IN_LIST, IN_LIST_SIZE of them at a time."""
    rest = iter(values)
    while some := list(islice(rest, IN_LIST_SIZE)):
        some += some[-1:] * (IN_LIST_SIZE - len(some))
        yield {f"listed_{place}": value for place, value in enumerate(some)}


# In the log, of a table of which batches were read.
REPLACED_TEXT_WARNING = "%s: texts that are no UTF-8, and have U+FFFD for what is none: %d"


class Reader(Protocol):
    """Reads that see one state of the data."""

    replaced_text: (
        int  # how many texts `batches` gave so far that are no UTF-8 in the database, and have U+FFFD for that
    )

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        """Every row that the statement gives."""

    def row(self, sql: str, /, **params: Any) -> Row | None:
        """The first row that the statement gives; None when there is none."""

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """Every row that the statement gives, as the values of its columns in order: quicker, where rows are many."""

    def needle(self, text: str) -> str | None:
        """Casefolded text as this engine's `lead_search(:needle)` takes it now; None when it is too short for that."""

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        """Every row that the statement gives, as tuples, BATCH at a time, so that memory does not grow with them."""


class Transaction(Reader, Protocol):
    """Reads and writes that happen together or not at all."""

    def execute(self, sql: str, /, **params: Any) -> int:
        """Run one statement; how many rows it wrote."""

    def archiving(self) -> AbstractContextManager[None]:
        """Do not count what is deleted until the block ends: the same transaction archives it."""

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, on_conflict: OnConflict = "error"
    ) -> int:
        """Write rows into a table in the engine's fastest way; how many were written.

        A row whose key is there already is an error, or is left as it is, or takes the values that are given.
        Raises RowError when one of the rows can't be taken, and then none of them is.
        """


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a base table. `required`: it takes no null; then `default` is what it has when nothing is said."""

    name: str
    type: Literal["integer", "text"]
    required: bool
    default: int | str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A row on which a rollup and the plain question over the base tables and what is past disagree.

    With neither row it is the rollup as a whole that does not hold: the search index.
    """

    rollup: str
    stored: Row | None  # None: the rollup lacks it
    expected: Row | None  # None: nothing stands behind it


def count_condition(columns: Iterable[str]) -> str:
    """Return the `where` clause for the rows that count something; empty if none of the columns counts."""
    counts = [f"{column} <> 0" for column in columns if column in COUNT_COLUMNS]
    return f"where {' or '.join(counts)}" if counts else ""


def compare(at: Reader, rollup: str, expected: str, columns: str) -> Iterator[Difference]:
    """Generate where a rollup differs from the view that says what it is to hold, at most MAX_REPORTED rows each way.

    Rows that count nothing are ignored.
    """
    where = count_condition(columns.split(", "))
    # each is read once, where `except` would read it twice
    for row in at.rows(f"""
select {columns}, side
from (
  select {columns}, sum(side) as side, row_number() over (partition by sum(side) > 0) as place
  from (
    select {columns}, 1 as side
    from {rollup}
    {where}
    union all
    select {columns}, -1
    from {expected}
    {where}) as both_sides
  group by {columns}
  having sum(side) <> 0) as differing
where place <= {MAX_REPORTED}
"""):
        side = row.pop("side")
        yield Difference(rollup, row, None) if side > 0 else Difference(rollup, None, row)


class Database(ABC):
    """An opened database. Safe to share between threads, and to carry across a fork."""

    url: str

    @abstractmethod
    def read(self, work: Callable[[Reader], T]) -> T:
        """What `work` returns, its reads all seeing one state."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Reader]:
        """Reads that see one state for as long as the block lasts, on a connection that nothing else uses."""

    @abstractmethod
    def write(self, work: Callable[[Transaction], T]) -> T:
        """What `work` returns, its writes committed together.

        An exception undoes them all. `work` may be run again, when the engine asks for that.
        """

    @abstractmethod
    def bulk(self, work: Callable[[Transaction], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        """Like `write`, for many rows at once: the triggers rest meanwhile and the rollups are made anew at the end."""

    @abstractmethod
    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        """Every row of one statement by itself."""

    @abstractmethod
    def row(self, sql: str, /, **params: Any) -> Row | None:
        """The first row of one statement by itself; None when there is none."""

    def primary_row(self, sql: str, /, **params: Any) -> Row | None:
        """Like `row`, but never from a replica, which may lag, while the primary answers."""
        return self.row(sql, **params)

    @abstractmethod
    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """Every row of one statement by itself, as the values of its columns in their order."""

    def response_cache(self) -> dict[Any, Any]:
        """What this thread has put into it since the database was last written to, by whomever.

        An engine that can't tell gives an empty one each time.
        """
        return {}

    @abstractmethod
    def columns(self, table: str) -> tuple[Column, ...]:
        """The columns of a base table that a writer may set, in order."""

    @abstractmethod
    def rebuild(
        self,
        work: Callable[[Transaction], object] | None = None,
        *,
        on_progress: Callable[[str], object] = ignore_progress,
    ) -> None:
        """Rebuild every rollup from the base tables and the archive, in one transaction.

        `work` runs first in it, with the triggers disabled. `on_progress` is called with the name of each rollup.
        """

    @abstractmethod
    def verify(self, *, on_progress: Callable[[str], object] = ignore_progress) -> list[Difference]:
        """Compare the rollups with the plain query over what they count, in one state; `on_progress` as above."""

    def schema_differences(self) -> list[str]:
        """Return a line for each part of our schema that another program has removed or changed.

        An engine that does not compare returns none.
        """
        return []

    @abstractmethod
    def is_read_only(self) -> bool:
        """Return whether nothing can be written: for lack of permission, or since the server takes reads only."""

    @abstractmethod
    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a new database of all that is in this one at one instant, while others read and write it.

        The owner alone can read it. Raises DatabaseError when the file exists or cannot be written, or the engine has
        a better way of its own; then it leaves no file.
        """

    @abstractmethod
    def scrub(self) -> None:
        """Leave as little as the engine can of deleted rows in the files that it writes.

        Raises DatabaseError when that could not be done; run again, it does the whole.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection. The object can be used again: it opens what it needs."""

    @contextmanager
    def closing(self) -> Iterator[Database]:
        """`with open_database(…).closing() as database: …`"""
        try:
            yield self
        finally:
            self.close()
