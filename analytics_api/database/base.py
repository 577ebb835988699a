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
from typing import Any, ClassVar, Literal, Protocol, TypeVar

Row = dict[str, Any]
T = TypeVar("T")


def ignore_progress(_: str) -> None:
    """Do nothing: the default for `on_progress`."""


# Tables that trackers and hosts write, with their keys. The others derive from these and from purged rows.
BASE_TABLES = {
    "sessions": "session_id",
    "events": "event_id",
    "leads": "lead_id",
    "lead_submissions": "submission_id",
    "lead_status_changes": "change_id",
}

# Tables of the site's settings, which have rows in a new database, too.
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

# Rows that belong to one installation: neither a backup nor a copy has them, and an upgrade may drop them.
TRANSIENT_TABLES = {"browser_sessions": "token_digest"}

PRIMARY_KEYS = BASE_TABLES | SITE_TABLES | ARCHIVING_COUNTERS | ARCHIVE_TABLES | INTERNAL_TABLES

# What triggers keep in them, whatever a writer says.
DERIVED_COLUMNS = frozenset({"follow_ups_count", "last_follow_up_at", "search_text", "project_code", "is_sharded"})

# Short lists repeat their last value, so that the statement text stays constant and cacheable.
IN_LIST_SIZE = 500
IN_LIST = ", ".join(f":listed_{place}" for place in range(IN_LIST_SIZE))

BATCH = 1000  # rows in each list of `batches`

MAX_REPORTED = 20  # a rollup, each way

# The columns of counters that hold counts. A row in which all of them are 0 is ignored.
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

# What happens to a row whose key exists.
OnConflict = Literal["error", "ignore", "update"]


def in_list_batches(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield the values as parameters of IN_LIST, IN_LIST_SIZE at a time; the last value fills the list."""
    rest = iter(values)
    while some := list(islice(rest, IN_LIST_SIZE)):
        some += some[-1:] * (IN_LIST_SIZE - len(some))
        yield {f"listed_{place}": value for place, value in enumerate(some)}


# Logged after a table was read in batches.
REPLACED_TEXT_WARNING = "%s: texts with invalid UTF-8, replaced by U+FFFD: %d"


class Reader(Protocol):
    """Reads of one snapshot."""

    replaced_text: int
    """The number of texts in `batches` so far whose invalid UTF-8 was replaced by U+FFFD."""

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        """Return all rows of a statement."""

    def row(self, sql: str, /, **params: Any) -> Row | None:
        """Return the first row of a statement, or None."""

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a statement as tuples, which is faster for many rows."""

    def needle(self, text: str) -> str | None:
        """Return casefolded text as the argument of `lead_search(:needle)`, or None if it is too short."""

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all rows of a statement as lists of BATCH tuples, in constant memory."""


class Transaction(Reader, Protocol):
    """Reads and writes of one transaction."""

    def execute(self, sql: str, /, **params: Any) -> int:
        """Run one statement and return the number of rows that it wrote."""

    def archiving(self) -> AbstractContextManager[None]:
        """Do not count what is deleted until the block ends: the same transaction archives it."""

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, on_conflict: OnConflict = "error"
    ) -> int:
        """Write rows in the engine's fastest way, and return the number of rows written.

        :param on_conflict: a row whose key exists is an error, is ignored, or updates the existing one.
        :raises RowError: when a row cannot be stored; then none of them is written.
        """


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a base table. `required` columns are not null, and have `default` when no value is given."""

    name: str
    type: Literal["integer", "text"]
    required: bool
    default: int | str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A row where a rollup differs from the query that it caches.

    Without either row the rollup as a whole is inconsistent, as the search index can be.
    """

    rollup: str
    stored: Row | None  # None: the rollup does not have the row
    expected: Row | None  # None: no data produces the row


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
    """An open database. It may be shared by threads, and used after a fork."""

    url: str
    select_columns: ClassVar[str]  # name, type, required and default of the columns of :table, in order

    @abstractmethod
    def read(self, work: Callable[[Reader], T]) -> T:
        """Call `work` with a reader of one snapshot, and return its result."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Reader]:
        """Return a reader of one snapshot for the length of a block, on a connection of its own."""

    @abstractmethod
    def write(self, work: Callable[[Transaction], T]) -> T:
        """Call `work` in a transaction, commit it and return the result.

        An exception rolls the transaction back. `work` may be called again after a conflict.
        """

    @abstractmethod
    def bulk(self, work: Callable[[Transaction], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        """Like `write`, with triggers disabled and one rebuild at the end."""

    @abstractmethod
    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        """Return all rows of one statement."""

    @abstractmethod
    def row(self, sql: str, /, **params: Any) -> Row | None:
        """Return the first row of one statement, or None."""

    def primary_row(self, sql: str, /, **params: Any) -> Row | None:
        """Like `row`, but never from a replica, which may lag, while the primary answers."""
        return self.row(sql, **params)

    @abstractmethod
    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """Return all rows of one statement as tuples."""

    def response_cache(self) -> dict[Any, Any]:
        """Return the cache of this thread, which any commit by any program empties.

        An engine that cannot tell whether something was written returns a new one each time.
        """
        return {}

    def columns(self, table: str) -> tuple[Column, ...]:
        """Return the columns of a base table that a writer may set, in order."""
        return tuple(
            Column(
                column["name"],
                column["type"],
                bool(column["required"]),
                self.rows(f"select {column['default'] or 'null'} as value")[0]["value"],
            )
            for column in self.rows(self.select_columns, table=table)
            if column["name"] not in DERIVED_COLUMNS
        )

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
        """Compare the counters with their plain queries, in one snapshot; `on_progress` as above."""

    def schema_differences(self) -> list[str]:
        """Return a line for each part of our schema that another program has removed or changed.

        An engine without this check returns no line.
        """
        return []

    @abstractmethod
    def is_read_only(self) -> bool:
        """Return whether nothing can be written, for lack of permission or because the server is read-only."""

    @abstractmethod
    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the database into a new file, as of one instant, while others read and write it.

        Only the owner can read the file.

        :raises DatabaseError: when the file exists or cannot be written, or the engine has its own tool for backups; it
            then leaves no file.
        """

    @abstractmethod
    def scrub(self) -> None:
        """Remove deleted rows from the engine's files, as far as it can.

        :raises DatabaseError: when that failed; it can be run again.
        """

    @abstractmethod
    def close(self) -> None:
        """Close every connection. The object can be used again, and then opens new ones."""

    @contextmanager
    def closing(self) -> Iterator[Database]:
        """`with open_database(…).closing() as database: …`"""
        try:
            yield self
        finally:
            self.close()
