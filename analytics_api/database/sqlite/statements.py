"""Run statements on one connection, and insert many rows."""

from __future__ import annotations

import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import chain, islice, repeat
from math import inf
from typing import Any

from ...errors import RowError
from ..base import BATCH, PRIMARY_KEYS, TRANSIENT_TABLES, OnConflict, Row
from ..limits import current_limit
from ..value_lists import update_from

ROWS_PER_STATEMENT = 100  # inserting one row per statement would take 50% longer
# Tables whose keys are in random order. Bulk loading inserts one row per statement into these tables, because a
# statement with many rows copies each page to a statement journal before it changes the page.
RANDOM_KEY_TABLES = frozenset({"sessions"})
# A cache size in KiB. SQLite expects a negative number for this unit. Every insert reads the upper pages of all
# indexes. They fit in this cache even if the file is large.
INSERT_CACHE = -16_384
# A larger cache for bulk loading, because session ids are random, so inserts change pages everywhere in their index.
# The counters are rebuilt with the usual cache size. SQLite sorts runs that are as large as the cache, and is slower
# with large runs.
LOAD_CACHE = -65_536

CODES = """
select project, code
from project_codes
order by project_id
"""

INSERT_AUTHOR = """
insert into move_author (author_id, changed_by, changed_at)
values (1, :changed_by, :changed_at)
"""

LAST_CHANGE = """
select coalesce(max(change_number), 0)
from lead_changes
"""
CHANGE_BOUNDS = """
select coalesce(min(change_number), 1), coalesce(max(change_number), 0)
from lead_changes
"""
CHANGED_LEADS = """
select lead_id, status
from (
  select distinct lead_id
  from lead_changes
  where change_number > :cursor) as changed
left join leads using (lead_id)
order by lead_id
"""

# The trigrams of the search index that begin with two given characters.
TRIGRAMS = """
select term
from lead_search_trigrams
where term >= :first and term <= :last
limit :max_trigrams
"""
MAX_TRIGRAMS = 500  # with more trigrams, reading all leads is faster

# The beginning of the error message for text that is not UTF-8. SQLite does not check the encoding of the text that a
# tracker writes.
DECODE_ERROR = "Could not decode to UTF-8"
decode_lossy = partial(str, encoding="utf-8", errors="replace")


class Deadline:
    """The time at which the current statement is interrupted, on the clock time.monotonic()."""

    def __init__(self) -> None:
        self.instant = inf

    def start(self) -> None:
        """Set the deadline of a statement if this thread is in a StatementLimit block, otherwise remove it."""
        limit = current_limit()
        self.instant = inf if limit is None else time.monotonic() + limit

    def stop(self) -> None:
        """Remove the deadline, so that it does not apply to later statements such as `pragma data_version`."""
        self.instant = inf

    def is_over(self) -> bool:
        return time.monotonic() > self.instant


class Statements:
    """Implement base.Reader and base.Transaction for a connection.

    In a statement with the parameter `members`, the SQL function `is_member` returns whether a value is in this set.
    """

    joins_subqueries = False
    json_array = "cast(json_group_array({}) as blob)"  # not text, because a tracker may have written invalid UTF-8
    stores_visits = True

    def __init__(self, connection: sqlite3.Connection, deadline: Deadline | None = None) -> None:
        self.connection = connection
        self.deadline = deadline or Deadline()
        self.members: set[bytes] = set()
        connection.create_function("is_member", 1, self.members.__contains__)
        self.replaced_text = 0
        self.is_loading = False
        self.is_inserting = False

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        columns, rows = self._read(sql, params)
        names = [column[0] for column in columns]
        return list(map(dict, map(zip, repeat(names), rows)))

    def row(self, sql: str, /, **params: Any) -> Row | None:
        rows = self.rows(sql, **params)
        return rows[0] if rows else None

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._read(sql, params)[1]

    def _read(self, sql: str, params: dict[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        """Return the cursor's description and all rows."""
        self.deadline.start()
        self.members.update(params.get("members", ()))
        try:
            return self._fetch_all(sql, params)
        finally:
            self.deadline.stop()
            self.members.clear()

    def _fetch_all(self, sql: str, params: dict[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        """Like `_read`, but without setting a deadline."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, params)
            return cursor.description, cursor.fetchall()
        except sqlite3.OperationalError as error:
            if not str(error).startswith(DECODE_ERROR):
                raise
        # In Python 3.10, the next cursor uses the same prepared statement. If this cursor were not closed, its garbage
        # collection would reset the statement while the next cursor reads.
        cursor.close()
        with self._text_factory(decode_lossy):
            cursor = self.connection.execute(sql, params)
            return cursor.description, cursor.fetchall()

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        text: Any = str
        fetched = 0
        cursor = self.connection.cursor()
        is_executed = False
        while True:
            try:
                if not is_executed:
                    with self._text_factory(text):  # Python 3.10 reads the first row here
                        cursor.execute(sql, params)
                    is_executed = True
                    for _ in range(fetched):
                        self._fetch(cursor, text)
                batch = self._fetch(cursor, text)
            except sqlite3.OperationalError as error:
                if text is not str or not str(error).startswith(DECODE_ERROR):
                    raise
                text = self._decode  # slower than str, so it is used only after the first error
                cursor.close()  # for the reason given in _fetch_all
                cursor = self.connection.cursor()
                is_executed = False
                continue
            if not batch:
                return
            fetched += 1
            yield batch

    def index_query(self, text: str) -> str | None:
        if len(text) < 2:
            return None
        terms = [text]
        if len(text) == 2:
            # Any two characters of a search_text begin a trigram, because the text ends with a separator.
            trigrams = self.tuples(TRIGRAMS, first=text, last=text + chr(sys.maxunicode), max_trigrams=MAX_TRIGRAMS + 1)
            if len(trigrams) > MAX_TRIGRAMS:
                return None
            terms = [term for (term,) in trigrams]
        terms += [code for project, code in self.tuples(CODES) if text in project]
        return " OR ".join(map(_phrase, terms or [text]))

    def change_cursor(self) -> str:
        [[number]] = self.tuples(LAST_CHANGE)
        return str(number)

    def changed_leads(self, cursor: str) -> list[Row] | None:
        if not re.fullmatch("[0-9]{1,18}", cursor, re.ASCII):
            raise ValueError(cursor)
        [[first, last]] = self.tuples(CHANGE_BOUNDS)
        if not first - 1 <= int(cursor) <= last:
            return None
        return self.rows(CHANGED_LEADS, cursor=int(cursor))

    def _fetch(self, cursor: sqlite3.Cursor, text: Any) -> list[tuple[Any, ...]]:
        with self._text_factory(text):
            return cursor.fetchmany(BATCH)

    @contextmanager
    def _text_factory(self, factory: Any) -> Iterator[None]:
        """Set the connection's text_factory within the block.

        Each batch has a block of its own, because other statements may run between two batches and need `str`.
        """
        self.connection.text_factory = factory
        try:
            yield
        finally:
            self.connection.text_factory = str

    def _decode(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError:
            self.replaced_text += 1
            return decode_lossy(text)

    def query(self, sql: str, /, **params: Any) -> Iterator[Row]:
        return iter(self.rows(sql, **params))

    def execute(self, sql: str, /, **params: Any) -> int:
        self.deadline.start()
        try:
            return self.connection.execute(sql, params).rowcount
        finally:
            self.deadline.stop()

    @contextmanager
    def archiving(self) -> Iterator[None]:
        self.execute("insert into counting_paused (pause_id) values (1)")
        yield
        self.execute("delete from counting_paused")

    @contextmanager
    def secure_delete(self) -> Iterator[None]:
        [(former,)] = self.connection.execute("pragma secure_delete").fetchall()
        self.connection.execute("pragma secure_delete = on").fetchall()
        try:
            yield
        finally:
            self.connection.execute(f"pragma secure_delete = {former}").fetchall()

    @contextmanager
    def moving(self, changed_by: str, changed_at: int) -> Iterator[None]:
        self.execute(INSERT_AUTHOR, changed_by=changed_by, changed_at=changed_at)
        yield
        self.execute("delete from move_author")

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, on_conflict: OnConflict = "error"
    ) -> int:
        if not (self.is_inserting or self.is_loading):
            self.is_inserting = True
            self.connection.execute(f"pragma cache_size = {INSERT_CACHE}")
        key = PRIMARY_KEYS.get(table) or TRANSIENT_TABLES[table]
        placeholders = f"({', '.join('?' for _ in columns)})"
        updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
        conflict = {
            "error": "",
            "ignore": f"on conflict ({key}) do nothing",
            "update": f"on conflict ({key}) do update set {updates}",
        }[on_conflict]
        self.connection.execute("savepoint inserted_rows")
        try:
            into = f"insert into {table} ({', '.join(columns)}) values"
            if self.is_loading and table in RANDOM_KEY_TABLES:
                return self.connection.executemany(f"{into} {placeholders} {conflict}", rows).rowcount
            written = 0
            rows = iter(rows)
            while batch := list(islice(rows, ROWS_PER_STATEMENT)):
                values = ", ".join([placeholders] * len(batch))
                written += self.connection.execute(
                    f"{into} {values} {conflict}", tuple(chain.from_iterable(batch))
                ).rowcount
        except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError) as error:
            self.connection.execute("rollback to inserted_rows")
            raise RowError(str(error)) from error
        finally:
            if self.connection.in_transaction:  # after an error such as a full disk, SQLite has already rolled back
                self.connection.execute("release inserted_rows")
        return written

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], sql: str) -> None:
        update_from(self, sql, columns, rows)

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()


class Snapshot(Statements):
    """The statements of a snapshot. The messages of errors in `batches` contain the path of the file.

    Otherwise, a copy could report the error as an error of the database that it writes.
    """

    def __init__(
        self, connection: sqlite3.Connection, translate_errors: Callable[[], AbstractContextManager[None]]
    ) -> None:
        super().__init__(connection)
        self.translate_errors = translate_errors

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        with self.translate_errors():
            yield from super().batches(sql, **params)


@contextmanager
def bulk_pragmas(statements: Statements) -> Iterator[None]:
    """Set LOAD_CACHE for inserting millions of rows, and restore the former cache size after the block."""
    before = statements.rows("pragma cache_size")[0]["cache_size"]
    statements.execute(f"pragma cache_size = {LOAD_CACHE}")
    statements.is_loading = True
    try:
        yield
    finally:
        statements.is_loading = False
        statements.execute(f"pragma cache_size = {before}")


def _phrase(text: str) -> str:
    """Quote text as an FTS5 string, in which only the double quote is escaped (https://sqlite.org/fts5.html)."""
    return '"' + text.replace('"', '""') + '"'
