"""The database interface that SQLite and PostgreSQL implement.

Queries are written once, in portable SQL with `:named` parameters. An engine implements connections, transactions,
retries and bulk loading. Tables, triggers and the search index are in the engine's DDL file.
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
    """Do nothing. This is the default `on_progress` callback."""


# Tables that trackers and host applications write, with their primary keys. The counters are computed from these tables
# and from the archive of purged rows.
BASE_TABLES = {
    "sessions": "session_id",
    "events": "event_id",
    "leads": "lead_id",
    "lead_submissions": "submission_id",
    "lead_status_changes": "change_id",
}

# Tables of the site's settings. They have rows even in a new database, so a copy must delete these rows first.
SITE_TABLES = {
    "site": "site_id",
    "site_offsets": "begins_at",
}

# Tables that contain both counts of existing rows and counts of purged rows, with their primary keys. The column
# `archived` is the part of a count that comes from purged rows. `lead_attributions` is included because its sessions
# may be purged, and `pages` because archived rows refer to page ids.
ARCHIVING_COUNTERS = {
    "pages": "page_id",
    "visitor_days": "visitor_id, day, country_code",
    "fingerprint_days": "fingerprint, day",
    "session_pages": "day, session_id, page_id",
    "lead_attributions": "lead_id",
}

# Tables that contain only counts of purged rows, with their primary keys.
ARCHIVE_TABLES = {
    "archived_session_counts": "dimension, day, key",
    "archived_event_counts": "day",
    "archived_page_counts": "page_id, day",
}

# Tables of the application itself, with their primary keys.
INTERNAL_TABLES = {
    "secrets": "name",
    "api_keys": "name",
    "storage_snapshots": "source",
    "storage_ratios": "source",
    "collector_machines": "day, reason",
}

# Tables with temporary rows of one installation, with their primary keys. Backups and copies do not contain the rows.
TRANSIENT_TABLES = {
    "browser_sessions": "token_digest",
    "collector_salts": "day",
    "collector_sessions": "visitor_id",
    "collector_events": "event_id",
    "collector_leads": "event_id",
}

PRIMARY_KEYS = BASE_TABLES | SITE_TABLES | ARCHIVING_COUNTERS | ARCHIVE_TABLES | INTERNAL_TABLES

# Columns that triggers compute. Triggers overwrite a value that a writer sets.
DERIVED_COLUMNS = frozenset(
    {"follow_ups_count", "last_follow_up_at", "stage_since", "has_visits", "search_text", "project_code", "is_sharded"}
)

# Number of parameters in an IN list. A list with fewer values is filled up with its last value, so that the statement
# text is always the same and a prepared statement can be reused.
IN_LIST_SIZE = 500
IN_LIST = ", ".join(f":listed_{index}" for index in range(IN_LIST_SIZE))

BATCH = 1000  # maximum number of rows in a list that `batches` yields

MAX_REPORTED = 20  # maximum number of rows that `compare` yields from the table, and from the view

# Columns of counters that contain counts or sums. If all of them are 0, comparisons ignore the counter's row, because
# triggers do not delete such rows.
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

# The action for a row whose primary key exists.
OnConflict = Literal["error", "ignore", "update"]


def in_list_batches(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield the values as parameters of IN_LIST, up to IN_LIST_SIZE at a time."""
    rest = iter(values)
    while batch := list(islice(rest, IN_LIST_SIZE)):
        batch += batch[-1:] * (IN_LIST_SIZE - len(batch))
        yield {f"listed_{index}": value for index, value in enumerate(batch)}


# Log message after a table was read in batches. Its arguments are the name of the table and the number of texts.
REPLACED_TEXT_WARNING = "%s: strings with invalid UTF-8, replaced by U+FFFD: %d"


class Reader(Protocol):
    """Reads from one database snapshot. Parameters of this type are named `at`: `at.rows(…)`."""

    stores_visits: bool
    """Whether `leads` has the column has_visits, which is 1 if the lead has a session."""

    replaced_text: int
    """The number of strings from `batches` so far in which invalid UTF-8 was replaced by U+FFFD."""

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        """Return all rows of a statement."""

    def row(self, sql: str, /, **params: Any) -> Row | None:
        """Return the first row of a statement, or None."""

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a statement as tuples. This is faster than `rows` for many rows."""

    def index_query(self, text: str) -> str | None:
        """Convert a folded search term to a query of the search index, for `lead_search(…)`.

        Return None if the term cannot use the search index, because it is too short, or because too many trigrams begin
        with it.
        """

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all rows of a statement in lists of at most BATCH tuples, in constant memory."""

    def change_cursor(self) -> str:
        """Return the position of this snapshot in `lead_changes`, the inserts, moves and deletes of leads."""

    def changed_leads(self, cursor: str) -> list[Row] | None:
        """Return `lead_id` and `status` of each lead that changed after a position. A deleted lead has the status None.

        Return None if some changes after the position have already been deleted from `lead_changes`.

        :param cursor: a position from `change_cursor`.

        :raises ValueError: the text is not a position.
        """


class Transaction(Reader, Protocol):
    """Reads and writes in one transaction."""

    def query(self, sql: str, /, **params: Any) -> Iterator[Row]:
        """Like `rows`. In a pipeline, the rows are awaited only when they are used."""

    def execute(self, sql: str, /, **params: Any) -> int:
        """Run one statement, and return the number of rows that it inserted, updated or deleted."""

    def archiving(self) -> AbstractContextManager[None]:
        """Keep the counters as they are when rows are deleted within the block.

        The caller archives the counts of these rows in the same transaction.
        """

    def secure_delete(self) -> AbstractContextManager[None]:
        """Overwrite the bytes of rows that are deleted within the block, if the engine can do that."""

    def moving(self, changed_by: str, changed_at: int) -> AbstractContextManager[None]:
        """Record moves of leads within the block with this name and time. Outside such a block, the name is `sql`.

        :param changed_at: milliseconds since the epoch.
        """

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, on_conflict: OnConflict = "error"
    ) -> int:
        """Insert many rows as fast as possible, and return the number of rows written.

        :param on_conflict: what to do if a row's primary key exists: raise an error, ignore the row, or update the
            existing row.
        :raises RowError: a row cannot be stored. No row is written then.
        """

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], sql: str) -> None:
        """Update a table by the statement `sql`, which reads the rows from `changes`.

        :param columns: the columns of the rows. One of them is the table's key.
        :param sql: an `update` that ends with a `where` clause.
        """

    def together(self) -> AbstractContextManager[None]:
        """In a pipeline, send the inserts and updates of the block as one statement. They must write different rows."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a base table. A `required` column is not null; `default` is its value if an insert omits it."""

    name: str
    type: Literal["integer", "text"]
    required: bool
    default: int | str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between a counter and its defining view.

    If `stored` and `expected` are both None, the counter as a whole is damaged. A damaged search index is reported in
    this way.
    """

    counter: str
    stored: Row | None  # None if the row is missing in the counter
    expected: Row | None  # None if the view does not have the row


def count_condition(columns: Iterable[str]) -> str:
    """Return a `where` clause for rows with a count other than 0, or "" if no column contains counts."""
    counts = [f"{column} <> 0" for column in columns if column in COUNT_COLUMNS]
    return f"where {' or '.join(counts)}" if counts else ""


def compare(at: Reader, counter: str, expected: str, columns: str) -> Iterator[Difference]:
    """Yield the differences between a counter and its defining view: the rows that only one of the two sides has.

    At most MAX_REPORTED rows of each side are yielded. Rows whose counts are all 0 are ignored.

    :param counter: a table or subquery with the stored counts.
    :param expected: the defining view.
    :param columns: the columns to compare, separated by commas.
    """
    where = count_condition(columns.split(", "))
    # This statement reads each relation once. Two statements with `except` would read each relation twice.
    for row in at.rows(f"""
select {columns}, side
from (
  select {columns}, sum(side) as side, row_number() over (partition by sum(side) > 0) as number
  from (
    select {columns}, 1 as side
    from {counter}
    {where}
    union all
    select {columns}, -1
    from {expected}
    {where}) as both_sides
  group by {columns}
  having sum(side) <> 0) as differences
where number <= {MAX_REPORTED}
"""):
        side = row.pop("side")
        yield Difference(counter, row, None) if side > 0 else Difference(counter, None, row)


class Database(ABC):
    """An open database. Threads can share it, and it can be used after a fork."""

    url: str
    joins_subqueries: ClassVar[bool]  # whether the planner can convert a subquery after `exists` to a join
    json_array: ClassVar[str]  # an aggregate: the JSON array of the expression {}
    select_columns: ClassVar[str]  # a statement that returns name, type, required and default of each column of :table

    @abstractmethod
    def read(self, work: Callable[[Reader], T]) -> T:
        """Call `work` with a Reader of a new snapshot, and return its result."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Reader]:
        """Open a snapshot on a separate connection for the duration of a `with` block, and return its Reader."""

    @abstractmethod
    def write(self, work: Callable[[Transaction], T], *, pipeline: bool = False) -> T:
        """Call `work` in a transaction, commit the transaction, and return the result.

        An exception rolls back the transaction. After a conflict with another transaction, `work` is called again.

        :param pipeline: send the statements without waiting for their results, except the rows that `work` reads, if
            the engine can do that. Then `work` must not use the results of `execute` and `insert`, and must insert only
            a few rows with different keys.
        """

    @abstractmethod
    def bulk(self, work: Callable[[Transaction], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        """Like `write`, but with the triggers of counters disabled. Counters of written tables are then rebuilt."""

    @abstractmethod
    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        """Return all rows of one statement."""

    @abstractmethod
    def row(self, sql: str, /, **params: Any) -> Row | None:
        """Return the first row of one statement, or None."""

    def primary_row(self, sql: str, /, **params: Any) -> Row | None:
        """Like `row`, but read from the primary server, because a replica may lag.

        If the primary is unreachable, read from a replica.
        """
        return self.row(sql, **params)

    @abstractmethod
    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """Return all rows of one statement as tuples."""

    def response_cache(self) -> dict[Any, Any]:
        """Return this thread's cache. It is emptied after a commit by any process.

        An engine that cannot detect commits returns a new, empty cache each time.
        """
        return {}

    def columns(self, table: str) -> tuple[Column, ...]:
        """Return the columns that writers can set in a base table, in the order of the table."""
        columns = [row for row in self.rows(self.select_columns, table=table) if row["name"] not in DERIVED_COLUMNS]
        [defaults] = self.tuples(f"select {', '.join(column['default'] or 'null' for column in columns)}")
        return tuple(
            Column(column["name"], column["type"], bool(column["required"]), default)
            for column, default in zip(columns, defaults)
        )

    @abstractmethod
    def rebuild(
        self,
        work: Callable[[Transaction], object] | None = None,
        *,
        on_progress: Callable[[str], object] = ignore_progress,
    ) -> None:
        """Rebuild all counters from the base tables and the archive, in one transaction.

        :param work: called first in the transaction, with triggers disabled.
        :param on_progress: called with the name of each counter.
        """

    @abstractmethod
    def verify(self, *, on_progress: Callable[[str], object] = ignore_progress) -> list[Difference]:
        """Compare all counters with their defining queries in one snapshot, and return the differences.

        :param on_progress: called with the name of each counter.
        """

    @abstractmethod
    def schema_differences(self) -> list[str]:
        """Return a message for each object of the schema that another program has removed or changed."""

    @abstractmethod
    def is_read_only(self) -> bool:
        """Return whether the database cannot be written, because of file permissions or a read-only server."""

    @abstractmethod
    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy a snapshot of the database to a new file. Other connections can read and write meanwhile.

        Only the file's owner can read it. After an error there is no file.

        :raises DatabaseError: the file exists or cannot be written, or the engine has its own backup tool.
        """

    @abstractmethod
    def delete_empty_counters(self) -> None:
        """Delete the rows of counters whose counts are all 0, unless this would block other writers for long."""

    @abstractmethod
    def scrub(self) -> None:
        """Remove the data of deleted rows from the database files, as far as the engine supports it.

        :raises DatabaseError: an error occurred. The operation can be repeated.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections. The next use of this object opens new ones."""

    @contextmanager
    def closing(self) -> Iterator[Database]:
        """Close the database at the end of a `with` block: `with open_database(…).closing() as database: …`."""
        try:
            yield self
        finally:
            self.close()
