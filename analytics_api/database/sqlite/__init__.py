"""SQLite: one file, any number of processes, one writer at a time."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ...errors import DatabaseError, StatementTimeout
from ..base import BASE_TABLES, TRANSIENT_TABLES, Database, Difference, Row, ignore_progress
from ..limits import current_limit, timeout_text
from .cache_sweeper import CacheSweeper
from .counters import RESIDUE_TABLES, find_differences
from .counters import rebuild as rebuild_counters
from .files import create_private_file, empty_wal, permission_hint, remove_files
from .handle import FileIdentity, Handle
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
from .upgrade import upgrade

__all__ = ["APPLICATION_ID", "VERSION", "SQLite", "upgrade"]

T = TypeVar("T")

log = logging.getLogger(__name__)

OLDEST_LIBRARY = (3, 37, 0)  # the first with strict tables
FILE_CHECK_SECONDS = 1.0  # after which a read checks again that its file is still the one at the path
WAL_PATIENCE = 0.25  # seconds to wait for readers before a file that is not in WAL mode is used as it is
READ_ONLY_ERRORS = ("attempt to write a readonly database", "unable to open database file")
# Pages of 4 KiB in the WAL after which a commit writes them into the file. Rows change pages again and again, and each
# is written once: a fifth more rows a second than with SQLite's default of 1000. The commit that writes them takes a
# tenth of a second; readers do not wait for it.
CHECKPOINT = 8_000

# Generated columns are left out by pragma_table_info itself.
SELECT_COLUMNS = """
select name, lower(type) as type, "notnull" as required, dflt_value as "default"
from pragma_table_info(:table)
order by cid
"""

# Of a project that no lead has now, all but its place, which its code keeps taken.
FORGET_PROJECTS = """
update project_codes
set project = char(31) || project_id
where code not in (
  select project_code
  from leads
  where project_code is not null)
"""


class SQLite(Database):
    """A database file in WAL mode, one connection a thread.

    `busy_timeout` is how many seconds a statement waits for another's lock before it fails. A file that takes this
    one's place is opened in turn: by a write at once, by a read within FILE_CHECK_SECONDS.
    """

    select_columns = SELECT_COLUMNS

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True, busy_timeout: float = 5.0) -> None:
        if sqlite3.sqlite_version_info < OLDEST_LIBRARY:
            raise DatabaseError(
                f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or later is needed; use a newer Python"
            )
        self.path = Path(path).absolute()
        self.url = str(self.path)
        self.busy_timeout = busy_timeout
        self._local = threading.local()
        self._handles: weakref.WeakSet[Handle] = weakref.WeakSet()
        self._sweepers: dict[int, CacheSweeper] = {}  # one a process
        if not create and not self.path.exists():
            raise DatabaseError(f"{path}: there is no such database; `analytics-api init` makes one")
        with self._database_errors():
            if create:
                create_private_file(self.path)
            connection = self._connect()
            try:
                if not is_managed(connection, self.path):
                    if not create:
                        raise DatabaseError(f"{path}: {EMPTY_FILE}")
                    create_schema(connection, self.path, busy_timeout)
                self._use_wal(connection)
                for line in find_schema_differences(connection, schema_statements()):
                    log.warning("%s: %s; `analytics-api upgrade` restores it", self.path, line)
                self._local.handle = self._set_up(connection, self._file())
            except BaseException:
                connection.close()
                raise

    def read(self, work: Callable[[Statements], T]) -> T:
        return self._transaction("begin", work)

    @contextmanager
    def snapshot(self) -> Iterator[Statements]:
        file = self._file()
        with self._database_errors(), closing(self._connect()) as connection:
            connection.execute("begin")
            yield Snapshot(connection, self._database_errors)
        if file.is_immutable and self._file() != file:
            raise DatabaseError(f"{self.path}: changed while it was read from a read-only folder; run it again")

    def write(self, work: Callable[[Statements], T]) -> T:
        return self._transaction("begin immediate", work)

    def bulk(self, work: Callable[[Statements], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        def loaded(statements: Statements) -> T:
            with triggers_disabled(statements), indexes_dropped(statements, {"leads"}):
                with indexes_dropped(statements, BASE_TABLES.keys()), bulk_pragmas(statements):
                    result = work(statements)
                rebuild_counters(statements, on_progress)
            return result

        with self._sort_on_disk():
            return self.write(loaded)

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._with_handle(lambda handle: handle.statements.rows(sql, **params))

    def row(self, sql: str, /, **params: Any) -> Row | None:
        rows = self.rows(sql, **params)
        return rows[0] if rows else None

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._with_handle(lambda handle: handle.statements.tuples(sql, **params))

    def response_cache(self) -> dict[Any, Any]:
        if not (sweeper := self._sweepers.get(os.getpid())) or not sweeper.is_running:
            self._sweepers.setdefault(os.getpid(), CacheSweeper(self)).start()
        return self._with_handle(Handle.response_cache)

    def sweep_caches(self) -> None:
        try:
            is_written = self._with_handle(Handle.is_written)
        except DatabaseError:  # it is not known, so the caches may be out of date
            is_written = True
        if is_written:
            for handle in list(self._handles):
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
            log.warning("%s: the database is read-only, so that the search index is not checked", self.path)
            return differences
        try:
            # rank 1 compares the index with the leads, too (https://sqlite.org/fts5.html)
            self.write(
                lambda at: at.execute("insert into lead_search (lead_search, rank) values ('integrity-check', 1)")
            )
        except DatabaseError as error:
            if isinstance(error.__cause__, sqlite3.OperationalError):  # the index was not checked: locked, or no disk
                raise
            differences.append(Difference("lead_search", None, None))
        return differences

    def backup(self, path: str | os.PathLike[str]) -> None:
        if os.path.lexists(path):
            raise DatabaseError(f"{path}: the file exists already; a backup needs a new one")
        part = f"{os.fspath(path)}.part"  # so that a file under the requested name is always complete
        try:
            remove_files(part)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._copy_into(part)
            os.rename(part, path)
        except sqlite3.Error as error:
            raise DatabaseError(f"{path}: {error}") from error
        except OSError as error:
            raise DatabaseError(f"{path}: {error.strerror}") from error
        finally:
            with suppress(OSError):
                remove_files(part)

    def _copy_into(self, path: str) -> None:
        with closing(self._connect()) as connection, closing(sqlite3.connect(path)) as copy:
            if self._is_immutable():  # `vacuum into` cannot copy generated columns of an immutable file
                connection.backup(copy)
            else:
                connection.execute("vacuum into ?", (path,))
            copy.execute("pragma secure_delete = on")  # deleted rows would remain in free pages
            for table in TRANSIENT_TABLES:
                copy.execute(f"delete from {table}")
            copy.commit()
            copy.execute("pragma journal_mode = wal")  # the copy is not in WAL mode
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # SQLite does not

    def scrub(self) -> None:
        # Deleted rows remain in free pages, and in pages that were split, even with secure_delete: only a file that is
        # written again has none of them. replaced_* may hold rows, the search index terms, project_codes projects.
        with self._database_errors(), closing(self._connect()) as connection:
            connection.execute("pragma secure_delete = on")
            statements = Statements(connection)
            retry_locked(connection, "begin immediate", self.busy_timeout)
            for table in statements.rows(RESIDUE_TABLES):
                statements.execute(f"delete from {table['name']}")
            statements.execute(FORGET_PROJECTS)
            statements.execute("insert into lead_search (lead_search) values ('rebuild')")
            connection.execute("commit")
            # `vacuum` writes the whole file into the WAL: with 40,000 leads 57 MiB, and 73 where it was not empty.
            empty_wal(connection, self.busy_timeout)
            retry_locked(connection, "vacuum", self.busy_timeout)
            is_empty = empty_wal(connection)
        if not is_empty:
            raise DatabaseError(
                f"{self.path}: the rows are gone, but a reader keeps their bytes in the file {self.path}-wal; "
                "run it again when the reader is done"
            )

    def close(self) -> None:
        if sweeper := self._sweepers.get(os.getpid()):
            sweeper.stop()
        for handle in list(self._handles):
            handle.close()

    def schema_differences(self) -> list[str]:
        return self._with_handle(
            lambda handle: find_schema_differences(handle.statements.connection, schema_statements())
        )

    def is_read_only(self) -> bool:
        return not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK))

    def _connect(self) -> sqlite3.Connection:
        """Connect, as to an immutable file where SQLite cannot make the files that WAL mode needs."""
        immutable = self._is_immutable()
        return sqlite3.connect(
            f"{self.path.as_uri()}?immutable=1" if immutable else self.path,
            uri=immutable,
            timeout=self.busy_timeout,
            isolation_level=None,  # transactions begin with explicit statements
            check_same_thread=False,  # close() closes those of every thread
            cached_statements=256,
        )

    def _handle(self, *, check_file: bool = False) -> Handle:
        """Return this thread's connection to the file at the path, which was checked within FILE_CHECK_SECONDS.

        :param check_file: check it now.
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
        file = self._file()
        if handle is None or handle.file != file:
            handle = self._local.handle = self._open(file)
        handle.checked_at = time.monotonic()
        return handle

    @contextmanager
    def _sort_on_disk(self) -> Iterator[None]:
        """Let this thread sort on disk until the block ends: the rows may not fit in memory."""
        with self._database_errors():
            statements = self._handle(check_file=True).statements
            statements.execute("pragma temp_store = default")
            statements.execute("pragma threads = 1")  # beside this one
            try:
                yield
            finally:
                with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                    statements.execute("pragma temp_store = memory")
                    statements.execute("pragma threads = 0")

    def _file(self) -> FileIdentity:
        try:
            file = os.stat(self.url)
        except OSError as error:
            raise DatabaseError(f"{self.path}: {error.strerror}") from error
        immutable = self._is_immutable()
        return FileIdentity(file.st_dev, file.st_ino, immutable, file.st_mtime_ns if immutable else 0)

    def _is_immutable(self) -> bool:
        """Return whether the folder is read-only and no process has the file open."""
        return not os.access(self.path.parent, os.W_OK) and not os.path.exists(f"{self.path}-wal")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Set WAL mode where another program has ended it, so that readers and writers do not block each other."""
        [(mode,)] = connection.execute("pragma journal_mode").fetchall()
        if mode == "wal" or self.is_read_only():
            return
        try:
            retry_locked(connection, "pragma journal_mode = wal", WAL_PATIENCE)
        except sqlite3.OperationalError as error:
            log.warning("%s: the journal mode stays %s: %s", self.path, mode, error)

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
        # With triggers SQLite writes a statement journal; on disk it would make writes a third slower.
        connection.execute("pragma temp_store = memory")
        connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT}")
        # This reads the schema and the state of the search index, which takes longer than most requests do.
        connection.execute("select rowid from lead_search limit 0")
        handle = Handle(connection, file)
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
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("rollback")
                raise
            if begin != "begin":
                handle.responses = {}  # data_version does not change by what the connection itself writes
            return result

        return self._with_handle(transaction, check_file=begin != "begin")

    def _with_handle(self, work: Callable[[Handle], T], *, check_file: bool = False) -> T:
        """Return what `work` returns for this thread's connection, which is not closed meanwhile."""
        try:
            while True:
                handle = self._handle(check_file=check_file)
                with handle.lock:
                    if not handle.is_closed:  # since it was handed out
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
        self._local.handle = None  # it may have been opened before the cause was mended
        if str(error) == "interrupted":
            raise StatementTimeout(f"{self.path}: {timeout_text(current_limit())}") from error
        if str(error) in READ_ONLY_ERRORS and not self.is_read_only():
            self.close()  # the process shares -shm, which stays read-only until its last connection is closed
        hint = permission_hint(self.path) if str(error) in READ_ONLY_ERRORS else ""
        raise DatabaseError(f"{self.path}: {error}{hint}") from error
