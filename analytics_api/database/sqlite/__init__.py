"""The SQLite engine: one file, any number of processes, one writer at a time."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from operator import methodcaller
from pathlib import Path
from tempfile import mkstemp
from typing import Any, NoReturn, TypeVar

from ...errors import DatabaseError, StatementTimeout
from ..base import BASE_TABLES, TRANSIENT_TABLES, Database, Difference, Row, ignore_progress
from ..limits import current_limit, timeout_text
from .cache_sweeper import CacheSweeper
from .counters import delete_residue, empty_row_deletions, find_differences, written_tables
from .counters import rebuild as rebuild_counters
from .files import (
    READ_ONLY_ERRORS,
    FileIdentity,
    create_private_file,
    empty_wal,
    identify_database,
    is_immutable,
    remove_files,
    require_file,
    to_database_error,
)
from .handle import Handle, Handles
from .schema import (
    APPLICATION_ID,
    EMPTY_FILE,
    VERSION,
    create_schema,
    indexes_dropped,
    is_managed,
    retry_locked,
    schema_statements,
    triggers_disabled,
)
from .schema_check import find_schema_differences
from .statements import Snapshot, Statements, bulk_pragmas
from .turns import Turns
from .upgrade import upgrade

__all__ = ["APPLICATION_ID", "VERSION", "SQLite", "upgrade"]

T = TypeVar("T")

log = logging.getLogger(__name__)

OLDEST_LIBRARY = (3, 37, 0)  # the first version with STRICT tables
FILE_CHECK_SECONDS = 1.0  # interval at which reads check whether the file was replaced by another one
WAL_TIMEOUT = 0.25  # seconds to wait for a switch to WAL mode. After a timeout, the current mode remains.
SCRUB_SECONDS = 30.0  # time to wait for readers, such as an export
# Number of pages (4 KiB) in the WAL after which a commit runs a checkpoint. A checkpoint writes a page only once, even
# if it changed many times, so inserting is 20% faster than with SQLite's default of 1000 pages. A checkpoint takes
# about 0.1 seconds and does not block readers.
CHECKPOINT = 8_000

# pragma_table_info omits generated columns.
SELECT_COLUMNS = """
select name, lower(type) as type, "notnull" as required, dflt_value as "default"
from pragma_table_info(:table)
order by cid
"""


class SQLite(Database):
    """A database file in WAL mode, with one connection per thread.

    If the file is replaced by another one, a write opens the new file immediately, and a read within
    FILE_CHECK_SECONDS.

    :param create: whether to create the file if it does not exist.
    :param busy_timeout: maximum time in seconds that a statement waits for a lock.
    """

    select_columns = SELECT_COLUMNS
    joins_subqueries = Statements.joins_subqueries
    json_array = Statements.json_array

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True, busy_timeout: float = 5.0) -> None:
        if sqlite3.sqlite_version_info < OLDEST_LIBRARY:
            raise DatabaseError(
                f"SQLite 3.37 or later is required, this is {sqlite3.sqlite_version}; use a newer Python"
            )
        self.path = Path(path).absolute()
        self.url = str(self.path)
        self.busy_timeout = busy_timeout
        self._local = threading.local()
        self._handles = Handles()
        self._sweepers: dict[int, CacheSweeper] = {}  # by process id
        self._turns = Turns()
        if not create:
            require_file(self.path)
        with self._database_errors():
            if create:
                create_private_file(self.path)
            connection = self._connect()
            try:
                if not is_managed(connection, self.path):
                    if not create:
                        raise DatabaseError(f"{self.path}: {EMPTY_FILE}")
                    create_schema(connection, self.path, busy_timeout)
                self._use_wal(connection)
                for line in find_schema_differences(connection, schema_statements()):
                    log.warning("%s: %s; `analytics-api upgrade` restores it", self.path, line)
                self._local.handle = self._set_up(connection, identify_database(self.path))
            except BaseException:
                connection.close()
                raise

    def read(self, work: Callable[[Statements], T]) -> T:
        return self._transaction("begin", work)

    @contextmanager
    def snapshot(self) -> Iterator[Statements]:
        file = identify_database(self.path)
        with self._database_errors(), closing(self._connect()) as connection:
            connection.execute("begin")
            yield Snapshot(connection, self._database_errors)
        if file.is_immutable and identify_database(self.path) != file:
            raise DatabaseError(f"{self.path}: the file changed while it was read from a read-only folder; try again")

    def write(self, work: Callable[[Statements], T], *, pipeline: bool = False) -> T:
        with self._database_errors(), self._turns.take(self.busy_timeout):
            return self._transaction("begin immediate", work)

    def bulk(self, work: Callable[[Statements], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        def load(statements: Statements) -> T:
            with triggers_disabled(statements), indexes_dropped(statements, {"leads"}):
                with (
                    indexes_dropped(statements, BASE_TABLES.keys()),
                    bulk_pragmas(statements),
                    written_tables(statements.connection) as written,
                ):
                    result = work(statements)
                rebuild_counters(statements, on_progress, written)
            return result

        with self._sort_on_disk():
            return self.write(load)

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._with_handle(lambda handle: handle.statements.rows(sql, **params))

    def row(self, sql: str, /, **params: Any) -> Row | None:
        rows = self.rows(sql, **params)
        return rows[0] if rows else None

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._with_handle(lambda handle: handle.statements.tuples(sql, **params))

    def response_cache(self) -> dict[Any, Any]:
        cache = self._with_handle(Handle.response_cache)
        if not cache:  # the sweeper is running before a cache gets its first response
            self._sweepers.setdefault(os.getpid(), CacheSweeper(self)).start()
        return cache

    def sweep_caches(self) -> None:
        try:
            is_written = self._with_handle(Handle.is_written)
        except DatabaseError:  # assume that the caches are out of date
            is_written = True
        if is_written:
            for handle in self._handles:
                handle.responses = {}

    def rebuild(
        self,
        work: Callable[[Statements], object] | None = None,
        *,
        on_progress: Callable[[str], object] = ignore_progress,
    ) -> None:
        def recompute(statements: Statements) -> None:
            with triggers_disabled(statements):
                if work is not None:
                    work(statements)
                rebuild_counters(statements, on_progress)

        with self._sort_on_disk():
            self.write(recompute)

    def verify(self, *, on_progress: Callable[[str], object] = ignore_progress) -> list[Difference]:
        with self._sort_on_disk():
            differences = self.read(lambda at: list(find_differences(at, on_progress)))
        on_progress("lead_search")
        if self.is_read_only():
            log.warning("%s: the search index is not checked, because the database is read-only", self.path)
            return differences
        try:
            # Rank 1 also compares the index with the table leads (https://sqlite.org/fts5.html).
            self.write(
                lambda at: at.execute("insert into lead_search (lead_search, rank) values ('integrity-check', 1)")
            )
        except DatabaseError as error:
            if isinstance(error.__cause__, sqlite3.OperationalError):  # a lock or the disk prevented the check
                raise
            differences.append(Difference("lead_search", None, None))
        return differences

    def backup(self, path: str | os.PathLike[str]) -> None:
        if os.path.lexists(path):
            raise DatabaseError(f"{path}: the file exists; choose the path of a new file")
        folder, name = os.path.split(os.path.abspath(path))
        try:
            descriptor, part = mkstemp(prefix=f"{name}-", suffix=".part", dir=folder)  # mode 0600
            os.close(descriptor)
            try:
                self._copy_into(part)
                os.rename(part, path)  # at the end, so that the file at `path` is always complete
            finally:
                with suppress(OSError):
                    remove_files(part)
        except sqlite3.Error as error:
            raise to_database_error(Path(path), error) from error
        except OSError as error:
            raise DatabaseError(f"{path}: {error.strerror}") from error

    def _copy_into(self, path: str) -> None:
        with closing(self._connect()) as connection, closing(sqlite3.connect(path)) as copy:
            if self.is_read_only():  # `vacuum into` cannot copy generated columns of a read-only file
                connection.backup(copy)
            else:
                # SQLite reads the name as UTF-8, in every locale.
                connection.execute("vacuum into ?", (os.fsencode(path).decode("utf-8", "surrogateescape"),))
            copy.execute("pragma secure_delete = on")  # otherwise free pages would contain the deleted rows
            for table in TRANSIENT_TABLES:
                copy.execute(f"delete from {table}")
            copy.commit()
            copy.execute("pragma journal_mode = wal")  # the journal mode is not copied
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # `vacuum into` does not sync the file

    def delete_empty_counters(self) -> None:
        # Each deletion is a transaction of its own, so that other writers can write between two deletions.
        for deletion in self.read(empty_row_deletions):
            self.write(methodcaller("execute", deletion))

    def scrub(self) -> None:
        # Even with secure_delete, free pages and split pages can contain deleted rows, so VACUUM rewrites the file.
        with self._database_errors(), closing(self._connect()) as connection:
            connection.execute("pragma secure_delete = on")
            statements = Statements(connection)
            retry_locked(connection, "begin immediate", self.busy_timeout)
            delete_residue(statements)
            connection.execute("commit")
            # VACUUM writes the whole file to the WAL. Empty the WAL first, so that it contains nothing else.
            empty_wal(connection, self.busy_timeout)
            retry_locked(connection, "vacuum", self.busy_timeout)
            is_empty = empty_wal(connection, SCRUB_SECONDS)
        if not is_empty:
            raise DatabaseError(f"{self.path}: a reader prevents emptying the file {self.path}-wal")

    def close(self) -> None:
        if sweeper := self._sweepers.get(os.getpid()):
            sweeper.stop()
        for handle in self._handles:
            handle.close()

    def schema_differences(self) -> list[str]:
        return self._with_handle(lambda at: find_schema_differences(at.statements.connection, schema_statements()))

    def is_read_only(self) -> bool:
        return not (os.access(self.path, os.W_OK) and os.access(self.path.resolve().parent, os.W_OK))

    def _connect(self) -> sqlite3.Connection:
        """Open a connection. Open a file in a read-only folder as immutable, because WAL mode would create files."""
        self._handles.reject_wal_of_replaced_file(self.path)
        immutable = is_immutable(self.path)
        return sqlite3.connect(
            f"{self.path.as_uri()}?immutable=1" if immutable else self.path,
            uri=immutable,
            timeout=self.busy_timeout,
            isolation_level=None,  # do not begin transactions implicitly
            check_same_thread=False,  # close() closes the connections of all threads
            cached_statements=256,
        )

    def _handle(self, *, check_file: bool = False) -> Handle:
        """Return this thread's connection, or a new one if the file at the path was replaced.

        :param check_file: check for a new file now, instead of every FILE_CHECK_SECONDS.
        """
        handle: Handle | None = getattr(self._local, "handle", None)
        if handle is None or handle.is_closed or handle.pid != os.getpid():
            handle = None
        elif (
            not check_file
            and time.monotonic() < handle.checked_at + FILE_CHECK_SECONDS
            and not handle.file.is_immutable
        ):
            return handle
        file = identify_database(self.path)
        if handle is None or handle.file != file:
            if handle is not None and handle.file[:2] != file[:2]:
                handle.empty_wal_of_replaced_file()
            handle = self._local.handle = self._open(file)
        handle.checked_at = time.monotonic()
        return handle

    @contextmanager
    def _sort_on_disk(self) -> Iterator[None]:
        """Make this thread's connection sort on disk within the block, because the rows may not fit in memory."""
        with self._database_errors():
            statements = self._handle(check_file=True).statements
            statements.execute("pragma temp_store = default")
            statements.execute("pragma threads = 1")  # one additional thread for sorting
            try:
                yield
            finally:
                with suppress(sqlite3.ProgrammingError):  # the connection may have been closed in the block
                    statements.execute("pragma temp_store = memory")
                    statements.execute("pragma threads = 0")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Set WAL mode again if another program has changed the mode. In WAL mode, readers do not block writers."""
        [(mode,)] = connection.execute("pragma journal_mode").fetchall()
        if mode == "wal" or self.is_read_only():
            return
        try:
            retry_locked(connection, "pragma journal_mode = wal", WAL_TIMEOUT)
        except sqlite3.OperationalError as error:
            log.warning("%s: the journal mode remains %s: %s", self.path, mode, error)

    def _open(self, file: FileIdentity) -> Handle:
        connection = self._connect()
        try:
            if not is_managed(connection, self.path):
                raise DatabaseError(f"{self.path}: {EMPTY_FILE}")
            self._use_wal(connection)
            return self._set_up(connection, file)
        except BaseException:
            connection.close()
            raise

    def _set_up(self, connection: sqlite3.Connection, file: FileIdentity) -> Handle:
        # SQLite writes a statement journal for triggers. A journal on disk would make writes a third slower.
        connection.execute("pragma temp_store = memory")
        connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT}")
        # Read the schema and the state of the search index now, so that no later request waits for it. Reading takes
        # longer than most requests.
        connection.execute("select rowid from lead_search limit 0")
        handle = Handle(connection, self.path, file)
        self._handles.add(handle)
        return handle

    def _transaction(self, begin: str, work: Callable[[Statements], T]) -> T:
        def transaction(handle: Handle) -> T:
            statements = handle.statements
            connection = statements.connection
            if begin == "begin":
                connection.execute(begin)
            else:
                retry_locked(connection, begin, self.busy_timeout)
            try:
                result = work(statements)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:  # after an error such as a full disk, SQLite has already rolled back
                    connection.execute("rollback")
                raise
            if begin != "begin":
                handle.responses = {}  # data_version does not change when the connection itself commits
            return result

        return self._with_handle(transaction, check_file=begin != "begin")

    def _with_handle(self, work: Callable[[Handle], T], *, check_file: bool = False) -> T:
        """Return the result of `work` with this thread's connection, which no other thread can close meanwhile."""
        try:
            while True:
                handle = self._handle(check_file=check_file)
                with handle.lock:
                    if not handle.is_closed:  # another thread may have closed it before the lock was acquired
                        return work(handle)
        except sqlite3.Error as error:
            self._raise(error)

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._raise(error)

    def _raise(self, error: sqlite3.Error) -> NoReturn:
        self._local.handle = None  # reconnect, because the cause of the error may have been fixed
        if str(error) == "interrupted":
            raise StatementTimeout(f"{self.path}: {timeout_text(current_limit())}") from error
        if str(error) in READ_ONLY_ERRORS and not self.is_read_only():
            # All connections of the process share the -shm file. It remains read-only until all of them are closed.
            self.close()
        raise to_database_error(self.path, error) from error
