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
from typing import Any, NamedTuple, NoReturn, TypeVar

from ...errors import DatabaseError, StatementTimeout
from ..base import BASE_TABLES, DERIVED_COLUMNS, Column, Database, Difference, Row, ignore_progress
from ..limits import current_limit, timeout_text
from .cache_sweeper import CacheSweeper
from .counters import RESIDUE_TABLES, find_differences
from .counters import rebuild as rebuild_counters
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
from .statements import Deadline, Snapshot, Statements, bulk_pragmas
from .upgrade import upgrade

__all__ = ["APPLICATION_ID", "VERSION", "SQLite", "upgrade"]

T = TypeVar("T")

log = logging.getLogger(__name__)

OLDEST_LIBRARY = (3, 37, 0)  # the first with strict tables
LOOK = 1.0  # seconds between two looks at whether a file that is read is still the one at its path
SCRUB_SECONDS = 30.0  # in which readers have to end, such as an export that is generated
SCRUB_ATTEMPT_MS = 250
WAL_PATIENCE = 0.25  # seconds to wait for readers before a file that is not in WAL mode is used as it is
READ_ONLY_ERRORS = ("attempt to write a readonly database", "unable to open database file")
STEPS_PER_CHECK = 20_000  # of SQLite's virtual machine, about a millisecond, between two looks at the clock
# Pages of 4 KiB in the log after which a commit writes them into the file. Of many rows each changes other pages, which
# are written once for all that they gather until then: a fifth more rows a second than with SQLite's own 1000. The
# commit that does it takes a tenth of a second; nobody who reads waits for it.
CHECKPOINT = 8_000

# Generated columns are left out by pragma_table_info itself.
COLUMNS = """
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

# Connections that came over a fork. Closing one could take the locks of the process that opened it
# (https://sqlite.org/howtocorrupt.html, "carrying an open database across a fork"), so they are kept and not used.
_inherited: list[sqlite3.Connection] = []


class SQLite(Database):
    """A database file in WAL mode, one connection a thread.

    `busy_timeout` is how many seconds a statement waits for another's lock before it fails. A file that takes this
    one's place is opened in turn: a write finds it at once, a read within LOOK seconds.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True, busy_timeout: float = 5.0) -> None:
        if sqlite3.sqlite_version_info < OLDEST_LIBRARY:
            raise DatabaseError(
                f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or later is needed; use a newer Python"
            )
        self.path = Path(path).absolute()
        self.url = str(self.path)
        self.busy_timeout = busy_timeout
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._sweepers: dict[int, CacheSweeper] = {}  # one a process
        if not create and not self.path.exists():
            raise DatabaseError(f"{path}: there is no such database; `analytics-api init` makes one")
        with self._telling():
            if create:
                _create_private_file(self.path)
            connection = self._connect()
            try:
                if not is_managed(connection, self.path):
                    if not create:
                        raise DatabaseError(f"{path}: {EMPTY_FILE}")
                    create_schema(connection, self.path, busy_timeout)
                self._use_wal(connection)
                for line in find_schema_differences(connection, schema_statements()):
                    log.warning("%s: %s; `analytics-api upgrade` restores it", self.path, line)
                self._local.handle = self._taken(connection, self._file())
            except BaseException:
                connection.close()
                raise

    def read(self, work: Callable[[Statements], T]) -> T:
        return self._within("begin", work)

    @contextmanager
    def snapshot(self) -> Iterator[Statements]:
        file = self._file()
        with self._telling(), closing(self._connect()) as connection:
            connection.execute("begin")
            yield Snapshot(connection, self._telling)
        if file.is_immutable and self._file() != file:
            raise DatabaseError(f"{self.path}: changed while it was read from a read-only folder; run it again")

    def write(self, work: Callable[[Statements], T]) -> T:
        return self._within("begin immediate", work)

    def bulk(self, work: Callable[[Statements], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        def loaded(statements: Statements) -> T:
            with triggers_disabled(statements), indexes_dropped(statements, {"leads"}):
                with indexes_dropped(statements, BASE_TABLES.keys()), bulk_pragmas(statements):
                    result = work(statements)
                rebuild_counters(statements, on_progress)
            return result

        with self._sorting():
            return self.write(loaded)

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._using(lambda handle: handle.statements.rows(sql, **params))

    def row(self, sql: str, /, **params: Any) -> Row | None:
        rows = self.rows(sql, **params)
        return rows[0] if rows else None

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._using(lambda handle: handle.statements.tuples(sql, **params))

    def response_cache(self) -> dict[Any, Any]:
        if not (sweeper := self._sweepers.get(os.getpid())) or not sweeper.is_running:
            self._sweepers.setdefault(os.getpid(), CacheSweeper(self)).start()
        return self._using(_Handle.response_cache)

    def sweep_caches(self) -> None:
        try:
            is_written = self._using(_Handle.is_written)
        except DatabaseError:  # then nobody knows
            is_written = True
        if is_written:
            for handle in list(self._handles):
                handle.answers = {}

    def columns(self, table: str) -> tuple[Column, ...]:
        return tuple(
            Column(
                column["name"],
                column["type"],
                bool(column["required"]),
                self.rows(f"select {column['default'] or 'null'} as value")[0]["value"],
            )
            for column in self.rows(COLUMNS, table=table)
            if column["name"] not in DERIVED_COLUMNS
        )

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

        with self._sorting():
            self.write(recompute)

    def verify(self, *, on_progress: Callable[[str], object] = ignore_progress) -> list[Difference]:
        with self._sorting():
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
            if isinstance(error.__cause__, sqlite3.OperationalError):  # it was not looked at: locked, or no disk
                raise
            differences.append(Difference("lead_search", None, None))
        return differences

    def backup(self, path: str | os.PathLike[str]) -> None:
        if os.path.lexists(path):
            raise DatabaseError(f"{path}: the file exists already; a backup needs a new one")
        part = f"{os.fspath(path)}.part"  # so that a file under the requested name is always complete
        try:
            _remove_files(part)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._copy_into(part)
            os.rename(part, path)
        except sqlite3.Error as error:
            raise DatabaseError(f"{path}: {error}") from error
        except OSError as error:
            raise DatabaseError(f"{path}: {error.strerror}") from error
        finally:
            with suppress(OSError):
                _remove_files(part)

    def _copy_into(self, path: str) -> None:
        with closing(self._connect()) as connection, closing(sqlite3.connect(path)) as copy:
            if self._is_immutable():  # `vacuum into` cannot copy generated columns of an immutable file
                connection.backup(copy)
            else:
                connection.execute("vacuum into ?", (path,))
            copy.execute("pragma journal_mode = wal")  # the copy is not in WAL mode
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # SQLite does not

    def scrub(self) -> None:
        # Deleted rows live on in free pages, and copies of them wherever a page was once split, secure_delete or not:
        # only a file that is written anew has none. Triggers keep what they think of in replaced_*, the search index
        # what a deleted lead was found by, and project_codes its project.
        with self._telling(), closing(self._connect()) as connection:
            connection.execute("pragma secure_delete = on")
            statements = Statements(connection)
            connection.execute("begin immediate")
            for table in statements.rows(RESIDUE_TABLES):
                statements.execute(f"delete from {table['name']}")
            statements.execute(FORGET_PROJECTS)
            statements.execute("insert into lead_search (lead_search) values ('rebuild')")
            connection.execute("commit")
            connection.execute("vacuum")
            is_empty = _empty_wal(connection)
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
        return self._using(lambda handle: find_schema_differences(handle.statements.connection, schema_statements()))

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

    def _handle(self, *, look: bool = False) -> _Handle:
        """This thread's connection, to the file that is at the path: by a new look, or one of the last second's."""
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None or handle.closed or handle.pid != os.getpid():
            handle = None
        elif not look and time.monotonic() < handle.looked + LOOK and not handle.file.is_immutable:
            return handle
        file = self._file()
        if handle is None or handle.file != file:
            handle = self._local.handle = self._open(file)
        handle.looked = time.monotonic()
        return handle

    @contextmanager
    def _sorting(self) -> Iterator[None]:
        """What this thread sorts until the block ends may be more than memory holds."""
        with self._telling():
            statements = self._handle(look=True).statements
            statements.execute("pragma temp_store = default")
            statements.execute("pragma threads = 1")  # beside this one
            try:
                yield
            finally:
                with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                    statements.execute("pragma temp_store = memory")
                    statements.execute("pragma threads = 0")

    def _file(self) -> _File:
        try:
            file = os.stat(self.url)
        except OSError as error:
            raise DatabaseError(f"{self.path}: {error.strerror}") from error
        immutable = self._is_immutable()
        return _File(file.st_dev, file.st_ino, immutable, file.st_mtime_ns if immutable else 0)

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

    def _open(self, file: _File) -> _Handle:
        connection = self._connect()
        try:
            if not is_managed(connection, self.path):
                raise DatabaseError(f"{self.path}: {EMPTY_FILE}")
            self._use_wal(connection)
            return self._taken(connection, file)
        except BaseException:
            connection.close()
            raise

    def _taken(self, connection: sqlite3.Connection, file: _File) -> _Handle:
        # Triggers make SQLite note what every statement overwrites; in a file that costs a third of the writes' speed.
        connection.execute("pragma temp_store = memory")
        connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT}")
        # Reads the schema, and how the search index stands, which takes longer than most questions: here, not in one.
        connection.execute("select rowid from lead_search limit 0")
        handle = _Handle(connection, file)
        self._handles.add(handle)
        return handle

    def _within(self, begin: str, work: Callable[[Statements], T]) -> T:
        def transaction(handle: _Handle) -> T:
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
                handle.answers = {}  # data_version does not change by what the connection itself writes
            return result

        return self._using(transaction, look=begin != "begin")

    def _using(self, work: Callable[[_Handle], T], *, look: bool = False) -> T:
        """What `work` returns of this thread's connection, which nobody closes before that."""
        try:
            while True:
                handle = self._handle(look=look)
                with handle.lock:
                    if not handle.closed:  # since it was handed out
                        return work(handle)
        except sqlite3.Error as error:
            self._tell(error)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._tell(error)

    def _tell(self, error: sqlite3.Error) -> NoReturn:
        self._local.handle = None  # it may have been opened before what is wrong was mended
        if str(error) == "interrupted":
            raise StatementTimeout(f"{self.path}: {timeout_text(current_limit())}") from error
        if str(error) in READ_ONLY_ERRORS and not self.is_read_only():
            self.close()  # a process shares the file -shm, read-only until the last connection of that time is closed
        raise DatabaseError(f"{self.path}: {error}{self._permission_hint(error)}") from error

    def _permission_hint(self, error: sqlite3.Error) -> str:
        """Return what must be writable, if that is the cause of the error."""
        if str(error) not in READ_ONLY_ERRORS:
            return ""
        if not self.path.parent.is_dir():
            return f"; the folder {self.path.parent} does not exist"
        if not os.access(self.path.parent, os.W_OK):
            return f"; the folder {self.path.parent} must be writable, for the files -wal and -shm beside the database"
        if self.path.exists() and not os.access(self.path, os.W_OK):
            return "; the file must be writable"
        return ""


class _File(NamedTuple):
    """Identifies a database file, whatever its name; an immutable one with its time of modification."""

    device: int
    inode: int
    is_immutable: bool
    modified_ns: int


class _Handle:
    """One thread's connection, closed when its thread ends or the database is closed, but never in use."""

    def __init__(self, connection: sqlite3.Connection, file: _File) -> None:
        deadline = Deadline()  # not the statements, which refer to the connection: a cycle
        connection.set_progress_handler(deadline.is_over, STEPS_PER_CHECK)
        self.statements = Statements(connection, deadline)
        self.answers: dict[Any, Any] = {}
        self.version = 0  # of the data that these are of
        self.file = file  # which one it is, whatever it is called now
        self.looked = 0.0
        self.pid = os.getpid()
        self.lock = threading.RLock()
        # Not __del__: of garbage in a ring the connection may be ended first, where it must not be, over a fork, too.
        self.close = weakref.finalize(self, _close, connection, self.lock, self.pid)

    @property
    def closed(self) -> bool:
        return not self.close.alive

    def response_cache(self) -> dict[Any, Any]:
        """As Database has it; nothing within a transaction, which may yet be undone."""
        connection = self.statements.connection
        if connection.in_transaction:
            return {}
        # moves when another connection commits, of this process or another one (https://sqlite.org/pragma.html)
        [(version,)] = connection.execute("pragma data_version").fetchall()
        if version != self.version:
            self.answers = {}
            self.version = version
        return self.answers

    def is_written(self) -> bool:
        """Return whether the database was written to since the last call; True at the first one."""
        former = self.version
        self.response_cache()
        return self.version != former


def _close(connection: sqlite3.Connection, lock: threading.RLock, pid: int) -> None:
    if pid == os.getpid():
        with lock:
            connection.close()
    else:
        _inherited.append(connection)


def _empty_wal(connection: sqlite3.Connection) -> bool:
    """Move the WAL into the file and truncate it; return False if readers or writers forbid it for SCRUB_SECONDS.

    A short time for each attempt: while one waits for readers, writers wait for it.
    """
    until = time.monotonic() + SCRUB_SECONDS
    connection.execute(f"pragma busy_timeout = {SCRUB_ATTEMPT_MS}")
    while True:
        [(busy, _, _)] = connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        if not busy or time.monotonic() > until:
            return not busy


def _create_private_file(path: Path) -> None:
    """Create the file for its owner, and for its group where the umask lets the group write: a tracker may be of it."""
    with suppress(OSError):  # it exists, or SQLite reports why it cannot be created
        descriptor = os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o660)
        if not os.fstat(descriptor).st_mode & 0o020:
            os.fchmod(descriptor, 0o600)
        os.close(descriptor)


def _remove_files(path: str) -> None:
    """Remove a database file and those that SQLite puts beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)
