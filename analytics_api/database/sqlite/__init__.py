"""SQLite: one file, any number of processes, one writer at a time."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cache, partial
from importlib.resources import files
from itertools import chain, islice, repeat
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from ...errors import DatabaseError, RowError, StatementTimeout
from ..base import (
    BASE_TABLES,
    BATCH,
    DERIVED_COLUMNS,
    PRIMARY_KEYS,
    Column,
    Database,
    Difference,
    OnConflict,
    Row,
    compare,
    ignore_progress,
)
from ..limits import current_limit, timeout_text
from .cache_sweeper import CacheSweeper
from .schema_check import find_schema_differences

T = TypeVar("T")

log = logging.getLogger(__name__)

APPLICATION_ID = 0x616E6170
VERSION = 4
OLDEST_LIBRARY = (3, 37, 0)  # the first with strict tables
LOOK = 1.0  # seconds between two looks at whether a file that is read is still the one at its path
EMPTY = "this file is empty; `analytics-api init` makes a database of it"
PATIENCE = 3  # milliseconds that SQLite waits for a lock by itself: it looks after 1, 2 more, and is asked again
SCRUB_SECONDS = 30.0  # in which readers have to end, such as an export that is generated
SCRUB_ATTEMPT_MS = 250
WAL_PATIENCE = 0.25  # seconds to wait for readers before a file that is not in WAL mode is used as it is
READ_ONLY_ERRORS = ("attempt to write a readonly database", "unable to open database file")
SMALLEST = 512  # bytes; SQLite takes a shorter file, whatever is in it, for an empty one
STEPS_PER_CHECK = 20_000  # of SQLite's virtual machine, about a millisecond, between two looks at the clock
ROWS_AT_ONCE = 100  # in one statement; one by one takes half as long again
# But without triggers it is the other way round where keys come in no order: a statement of many rows takes note of
# every page that it changes.
UNORDERED = frozenset({"sessions"})
# KiB, negative. In what has grown large, the upper pages of every index are read for each row unless they are kept.
INSERT_CACHE = -16_384
# Pages of 4 KiB in the log after which a commit writes them into the file. Of many rows each changes other pages, which
# are written once for all that they gather until then: a fifth more rows a second than with SQLite's own 1000. The
# commit that does it takes a tenth of a second; nobody who reads waits for it.
CHECKPOINT = 8_000
# Session ids come in no order, so that every page of their index is written to again and again. This is
# not for the rollups, too: SQLite sorts as much at once as its cache is large, and slower then.
LOAD_CACHE = -65_536

# Generated columns are left out by pragma_table_info itself.
COLUMNS = """
select name, lower(type) as type, "notnull" as required, dflt_value as "default"
from pragma_table_info(:table)
order by cid
"""

# One statement, which sees one state of a file that another may be making in this moment.
IDENTITY = """
select
  application_id,
  user_version,
  (
    select count(*)
    from sqlite_schema
  )
from pragma_application_id, pragma_user_version
"""

CODES = """
select project, code
from searched_projects
order by project_id
"""

CODE_PROJECTS = """
update leads
set search_code = (
  select code
  from searched_projects
  where project = project_folded)
"""

# Of a project that no lead has now, all but its place, which its code keeps taken.
FORGET_PROJECTS = """
update searched_projects
set project = char(31) || project_id
where code not in (
  select search_code
  from leads
  where search_code is not null)
"""

# Of three letters that begin with two.
RUNS = """
select term
from lead_search_runs
where term >= :first and term <= :last
limit :most
"""
MOST_RUNS = 500  # of more than that, each lead is looked into sooner

# What triggers remember of rows, and samples of keys that `analyze` took.
LEFT_OVER = """
select name
from sqlite_schema
where type = 'table' and (name like 'replaced\\_%' escape '\\' or name = 'sqlite_stat4')
"""

# SQLite takes any bytes for text, and a tracker may have written some that are none.
UNDECODED = "Could not decode to UTF-8"
LENIENT = partial(str, encoding="utf-8", errors="replace")

# What else is not the writers', by the beginnings of its name.
MADE = ("rollup_", "plain_", "replaced_")
# And what an older version made under a name that nothing has any more.
RETIRED = frozenset({"sessions_by_visitor_and_country"})

OLD = "_of_the_older_version"

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
                if not _check(connection, self.path):
                    if not create:
                        raise DatabaseError(f"{path}: {EMPTY}")
                    _create(connection, self.path, busy_timeout)
                self._use_wal(connection)
                for line in find_schema_differences(connection, _schema()):
                    log.warning("%s: %s; `analytics-api upgrade` restores it", self.path, line)
                self._local.handle = self._taken(connection, self._file())
            except BaseException:
                connection.close()
                raise

    def read(self, work: Callable[[_Statements], T]) -> T:
        return self._within("begin", work)

    @contextmanager
    def snapshot(self) -> Iterator[_Statements]:
        file = self._file()
        with self._telling(), closing(self._connect()) as connection:
            connection.execute("begin")
            yield _Snapshot(connection, self._telling)
        if file.is_immutable and self._file() != file:
            raise DatabaseError(f"{self.path}: changed while it was read from a read-only folder; run it again")

    def write(self, work: Callable[[_Statements], T]) -> T:
        return self._within("begin immediate", work)

    def bulk(self, work: Callable[[_Statements], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        def loaded(statements: _Statements) -> T:
            with _resting(statements), _without_indexes(statements, {"leads"}):
                with _without_indexes(statements, BASE_TABLES.keys()), _loading(statements):
                    result = work(statements)
                _rebuild(statements, on_progress)
            return result

        with self._sorting():
            return self.write(loaded)

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._using(lambda handle: handle.statements.rows(sql, **params))

    def row(self, sql: str, /, **params: Any) -> Row | None:
        found = self.rows(sql, **params)
        return found[0] if found else None

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

    def rebuild(self, *, on_progress: Callable[[str], object] = ignore_progress) -> None:
        def anew(statements: _Statements) -> None:
            with _resting(statements):
                _rebuild(statements, on_progress)

        with self._sorting():
            self.write(anew)

    def verify(self, *, on_progress: Callable[[str], object] = ignore_progress) -> list[Difference]:
        def differences(statements: _Statements) -> list[Difference]:
            found: list[Difference] = []
            for rollup, plain, columns in _rollups(statements):
                on_progress(rollup)
                if not _same(statements, rollup, plain, columns):
                    found += compare(statements, rollup, plain, columns)
            return found

        with self._sorting():
            found = self.read(differences)
        on_progress("lead_search")
        if self.is_read_only():
            log.warning("%s: the database is read-only, so that the search index is not checked", self.path)
            return found
        try:
            # rank 1: against the leads too, not only within itself (https://sqlite.org/fts5.html)
            self.write(
                lambda at: at.execute("insert into lead_search (lead_search, rank) values ('integrity-check', 1)")
            )
        except DatabaseError as error:
            if isinstance(error.__cause__, sqlite3.OperationalError):  # it was not looked at: locked, or no disk
                raise
            found.append(Difference("lead_search", None, None))
        return found

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
        # what a deleted lead was found by, and searched_projects its project.
        with self._telling(), closing(self._connect()) as connection:
            connection.execute("pragma secure_delete = on")
            statements = _Statements(connection)
            connection.execute("begin immediate")
            for table in statements.rows(LEFT_OVER):
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
        return self._using(lambda handle: find_schema_differences(handle.statements.connection, _schema()))

    def is_read_only(self) -> bool:
        return not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK))

    def _connect(self) -> sqlite3.Connection:
        """Connect, as to an immutable file where SQLite cannot make the files that WAL mode needs."""
        immutable = self._is_immutable()
        return sqlite3.connect(
            f"{self.path.as_uri()}?immutable=1" if immutable else self.path,
            uri=immutable,
            timeout=self.busy_timeout,
            isolation_level=None,  # transactions are begun by name
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
            found = os.stat(self.url)
        except OSError as error:
            raise DatabaseError(f"{self.path}: {error.strerror}") from error
        immutable = self._is_immutable()
        return _File(found.st_dev, found.st_ino, immutable, found.st_mtime_ns if immutable else 0)

    def _is_immutable(self) -> bool:
        """Return whether the folder is read-only and no process has the file open."""
        return not os.access(self.path.parent, os.W_OK) and not os.path.exists(f"{self.path}-wal")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Set WAL mode where another program has ended it, so that readers and writers do not block each other."""
        [(mode,)] = connection.execute("pragma journal_mode").fetchall()
        if mode == "wal" or self.is_read_only():
            return
        try:
            _insist(connection, "pragma journal_mode = wal", WAL_PATIENCE)
        except sqlite3.OperationalError as error:
            log.warning("%s: the journal mode stays %s: %s", self.path, mode, error)

    def _open(self, file: _File) -> _Handle:
        connection = self._connect()
        try:
            if not _check(connection, self.path):
                raise DatabaseError(f"{self.path}: {EMPTY}")
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

    def _within(self, begin: str, work: Callable[[_Statements], T]) -> T:
        def transaction(handle: _Handle) -> T:
            statements = handle.statements
            connection = statements.connection
            if begin == "begin":
                connection.execute(begin)
            else:
                _insist(connection, begin, self.busy_timeout)
            try:
                result = work(statements)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("rollback")
                raise
            handle.answers = {}  # of what the connection itself writes its data_version does not tell
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


class _Deadline:
    """When the statement that runs has to end, as an instant of time.monotonic()."""

    def __init__(self) -> None:
        self.instant = inf

    def start(self) -> None:
        """Begin the time budget of a statement, if this thread has one."""
        limit = current_limit()
        self.instant = inf if limit is None else time.monotonic() + limit

    def stop(self) -> None:
        """End the budget: statements that have none follow, such as `pragma data_version`, perhaps much later."""
        self.instant = inf

    def is_over(self) -> bool:
        return time.monotonic() > self.instant


class _Statements:
    """A connection, as base.Reader and base.Transaction."""

    def __init__(self, connection: sqlite3.Connection, deadline: _Deadline | None = None) -> None:
        self.connection = connection
        self.deadline = deadline or _Deadline()
        self.replaced_text = 0
        self.loading = False
        self.inserting = False

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        columns, found = self._read(sql, params)
        names = [column[0] for column in columns]
        return list(map(dict, map(zip, repeat(names), found)))

    def row(self, sql: str, /, **params: Any) -> Row | None:
        found = self.rows(sql, **params)
        return found[0] if found else None

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._read(sql, params)[1]

    def _read(self, sql: str, params: dict[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        """The cursor's description of the columns, and the rows."""
        self.deadline.start()
        try:
            return self._fetch(sql, params)
        finally:
            self.deadline.stop()

    def _fetch(self, sql: str, params: dict[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        """Like `_read`, without a time budget of its own."""
        try:
            cursor = self.connection.execute(sql, params)
            return cursor.description, cursor.fetchall()
        except sqlite3.OperationalError as error:
            if not str(error).startswith(UNDECODED):
                raise
        with self._texts(LENIENT):
            cursor = self.connection.execute(sql, params)
            return cursor.description, cursor.fetchall()

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        text: Any = str
        given = 0
        cursor = self.connection.cursor()
        begun = False
        while True:
            try:
                if not begun:
                    with self._texts(text):  # Python 3.10 reads the first row here
                        cursor.execute(sql, params)
                    begun = True
                    for _ in range(given):
                        self._fetched(cursor, text)
                batch = self._fetched(cursor, text)
            except sqlite3.OperationalError as error:
                if text is not str or not str(error).startswith(UNDECODED):
                    raise
                text = self._mended  # slower, so only from here on, over what was given already
                cursor.close()  # else Python 3.10 runs the next on its statement, and resets that when this one goes
                cursor = self.connection.cursor()
                begun = False
                continue
            if not batch:
                return
            given += 1
            yield batch

    def needle(self, text: str) -> str | None:
        if len(text) < 2:
            return None
        terms = [text]
        if len(text) == 2:
            # The index knows runs of three letters. Any two begin one, since what is searched ends in a separator.
            runs = self.tuples(RUNS, first=text, last=text + chr(sys.maxunicode), most=MOST_RUNS + 1)
            if len(runs) > MOST_RUNS:
                return None
            terms = [term for (term,) in runs]
        terms += [code for project, code in self.tuples(CODES) if text in project]
        return " OR ".join(map(_phrase, terms or [text]))

    def _fetched(self, cursor: sqlite3.Cursor, text: Any) -> list[tuple[Any, ...]]:
        with self._texts(text):
            return cursor.fetchmany(BATCH)

    @contextmanager
    def _texts(self, factory: Any) -> Iterator[None]:
        """What becomes of bytes. It is the whole connection's, and other statements may run between two batches."""
        self.connection.text_factory = factory
        try:
            yield
        finally:
            self.connection.text_factory = str

    def _mended(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError:
            self.replaced_text += 1
            return LENIENT(text)

    def execute(self, sql: str, /, **params: Any) -> int:
        self.deadline.start()
        try:
            return self.connection.execute(sql, params).rowcount
        finally:
            self.deadline.stop()

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, on_conflict: OnConflict = "error"
    ) -> int:
        if not (self.inserting or self.loading):
            self.inserting = True
            self.connection.execute(f"pragma cache_size = {INSERT_CACHE}")
        key = PRIMARY_KEYS[table]
        one = f"({', '.join('?' for _ in columns)})"
        updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
        conflict = {
            "error": "",
            "ignore": f"on conflict ({key}) do nothing",
            "update": f"on conflict ({key}) do update set {updates}",
        }[on_conflict]
        self.connection.execute("savepoint rows_given")
        try:
            into = f"insert into {table} ({', '.join(columns)}) values"
            if self.loading and table in UNORDERED:
                return self.connection.executemany(f"{into} {one} {conflict}", rows).rowcount
            written = 0
            rows = iter(rows)
            while some := list(islice(rows, ROWS_AT_ONCE)):
                values = ", ".join([one] * len(some))
                written += self.connection.execute(
                    f"{into} {values} {conflict}", tuple(chain.from_iterable(some))
                ).rowcount
        except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError) as error:
            self.connection.execute("rollback to rows_given")
            raise RowError(str(error)) from error
        finally:
            if self.connection.in_transaction:  # a full disk has rolled back already
                self.connection.execute("release rows_given")
        return written


class _Snapshot(_Statements):
    """Tells what fails as its own: another database may be at work around it."""

    def __init__(self, connection: sqlite3.Connection, telling: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(connection)
        self.telling = telling

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        with self.telling():
            yield from super().batches(sql, **params)


class _Handle:
    """One thread's connection, closed when its thread ends or the database is closed, but never in use."""

    def __init__(self, connection: sqlite3.Connection, file: _File) -> None:
        deadline = _Deadline()  # not the statements, which refer to the connection: a cycle
        connection.set_progress_handler(deadline.is_over, STEPS_PER_CHECK)
        self.statements = _Statements(connection, deadline)
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


def upgrade(path: str | os.PathLike[str], *, busy_timeout: float = 5.0) -> int:
    """Bring an older file to this version, every row of it kept; the version that it was of.

    One transaction: a file that can't be brought forward, or is not let go within `busy_timeout` seconds, is left as it
    was. The rollups are made anew, and what others keep in the file stays.
    """
    path = Path(path).absolute()
    if not path.exists():
        raise DatabaseError(f"{path}: there is no such database; `analytics-api init` makes one")
    failing = str(path)
    try:
        # closing it undoes what is not committed
        with closing(sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)) as connection:
            # the views and triggers of others are not to follow a table to its old name
            connection.execute("pragma legacy_alter_table = on")
            connection.execute("begin exclusive")
            was, version, _ = _identity(connection)
            if was != APPLICATION_ID or version >= VERSION:
                if not _check(connection, path):
                    raise DatabaseError(f"{path}: {EMPTY}")
                if not find_schema_differences(connection, _schema()):
                    return version
            failing = f"{path}: it stays as it was, of the older version"
            _renew(_Statements(connection))
            connection.execute("commit")
            return version
    except sqlite3.Error as error:
        raise DatabaseError(f"{failing}: {error}") from error


def _identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """The file's application_id and version, and how many tables and the like it has."""
    application_id, version, things = connection.execute(IDENTITY).fetchone()
    return application_id, version, things


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is one of ours, of this version; False when it is empty.

    Raises DatabaseError when it is of another version or another program's.
    """
    application_id, version, things = _identity(connection)
    if application_id != APPLICATION_ID:
        if things == 0:
            if 0 < path.stat().st_size < SMALLEST:
                raise DatabaseError(f"{path}: file is not a database")
            return False
        raise DatabaseError(
            f"{path}: this is another program's database; `analytics-api import` copies one into a database of ours"
        )
    if version < VERSION:
        raise DatabaseError(
            f"{path}: this database is of version {version}, older than {VERSION}; run `analytics-api upgrade`"
        )
    if version > VERSION:
        raise DatabaseError(
            f"{path}: this database is of version {version}, newer than {VERSION}; use a newer analytics_api"
        )
    return True


def _insist(connection: sqlite3.Connection, sql: str, seconds: float) -> None:
    """Run a statement that others may stand in the way of, for so many seconds at most.

    SQLite's own waiting looks ever less often, and misses the moments in which a busy writer lets go; and of two that
    want a whole file it tells one at once that it is locked.
    """
    until = time.monotonic() + seconds
    connection.execute(f"pragma busy_timeout = {PATIENCE}")
    try:
        while True:
            try:
                connection.execute(sql)
                return
            except sqlite3.OperationalError as error:
                if str(error) != "database is locked" or time.monotonic() >= until:
                    raise
    finally:
        connection.execute(f"pragma busy_timeout = {int(seconds * 1000)}")


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


def _create(connection: sqlite3.Connection, path: Path, seconds: float) -> None:
    _insist(connection, "pragma journal_mode = wal", seconds)  # kept in the file
    connection.execute("begin exclusive")
    try:
        if not _check(connection, path):  # nobody else was quicker
            for statement in _schema():
                connection.execute(statement)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _renew(statements: _Statements) -> None:
    """Lay the schema anew under the rows that are not made from others."""
    schema = _schema()
    things = statements.rows("select type, name, tbl_name, sql from sqlite_schema where sql is not null order by rowid")
    others = [  # they go with the tables that they are on
        thing["sql"]
        for thing in things
        if thing["type"] in ("trigger", "index") and thing["tbl_name"] in PRIMARY_KEYS and not _ours(thing["name"])
    ]
    statements.execute("drop table if exists lead_search")  # and with it the tables behind it
    for thing in things:
        kind, name = thing["type"], thing["name"]
        if kind == "table" and name in PRIMARY_KEYS:
            statements.execute(f"alter table {name} rename to {name}{OLD}")
        elif kind in ("table", "view") and _ours(name):
            statements.execute(f"drop {kind} if exists {_quoted(name)}")
    for thing in things:
        if thing["type"] in ("trigger", "index") and (thing["tbl_name"] in PRIMARY_KEYS or _ours(thing["name"])):
            statements.execute(f"drop {thing['type']} if exists {_quoted(thing['name'])}")
    for statement in schema:
        if not statement.startswith("create trigger"):
            statements.execute(statement)
    for thing in things:
        name = thing["name"]
        if thing["type"] == "table" and name in PRIMARY_KEYS:
            shared = ", ".join(
                column["name"]
                for column in statements.rows(
                    "select name from pragma_table_info(:new) where name in (select name from pragma_table_info(:old))",
                    new=name,
                    old=name + OLD,
                )
            )
            statements.execute(f"insert into {name} ({shared}) select {shared} from {name}{OLD}")
            statements.execute(f"drop table {name}{OLD}")
    _rebuild(statements, ignore_progress)
    for statement in (*(statement for statement in schema if statement.startswith("create trigger")), *others):
        statements.execute(statement)


def _ours(name: str) -> bool:
    """Whether something of that name is made by schema.sql, or was by an older version's."""
    return name in _names() or name in RETIRED or name.startswith(MADE)


@cache
def _names() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in _schema():
            connection.execute(statement)
        return frozenset(name for (name,) in connection.execute("select name from sqlite_schema"))


def _phrase(text: str) -> str:
    """Text as a phrase of FTS5 (https://sqlite.org/fts5.html#fts5_strings): nothing in it is special but the quote."""
    return '"' + text.replace('"', '""') + '"'


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _resting(statements: _Statements) -> AbstractContextManager[None]:
    """Our triggers are gone until the block has ended well; those of others go on."""
    return _aside(statements, "trigger", lambda trigger: _ours(trigger["name"]))


def _without_indexes(statements: _Statements, tables: Set[str]) -> AbstractContextManager[None]:
    """The indexes of these tables are gone until the block has ended well."""
    return _aside(statements, "index", lambda index: index["tbl_name"] in tables)


@contextmanager
def _aside(statements: _Statements, kind: str, which: Callable[[Row], bool]) -> Iterator[None]:
    things = statements.rows(
        "select name, tbl_name, sql from sqlite_schema where type = :kind and sql is not null order by rowid", kind=kind
    )
    things = list(filter(which, things))
    for thing in things:
        statements.execute(f"drop {kind} {_quoted(thing['name'])}")
    yield
    for thing in things:
        statements.execute(thing["sql"])


@contextmanager
def _loading(statements: _Statements) -> Iterator[None]:
    """Until the block ends, rows come by the million."""
    before = statements.rows("pragma cache_size")[0]["cache_size"]
    statements.execute(f"pragma cache_size = {LOAD_CACHE}")
    statements.loading = True
    try:
        yield
    finally:
        statements.loading = False
        statements.execute(f"pragma cache_size = {before}")


def _rollups(statements: _Statements) -> list[tuple[str, str, str]]:
    """Each rollup, the view that says what is to be in it, and that view's columns; in the order of the schema."""
    return [
        (
            view["name"].replace("plain_", "" if view["name"] == "plain_leads" else "rollup_"),
            view["name"],
            ", ".join(
                column["name"]
                for column in statements.rows("select name from pragma_table_info(:view)", view=view["name"])
            ),
        )
        for view in statements.rows(
            "select name from sqlite_schema where type = 'view' and name like 'plain\\_%' escape '\\' order by rowid"
        )
    ]


def _same(statements: _Statements, rollup: str, plain: str, columns: str) -> bool:
    """Whether a rollup holds the rows of its view and no others. Their keys being distinct, it is enough to count."""
    alike = " and ".join(f"kept.{column} is plain.{column}" for column in columns.split(", "))
    counts = statements.rows(
        f"select (select count(*) from {rollup}) as kept, count(*) as plain, "
        f"count(nullif(exists (select 1 from {rollup} as kept where {alike}), false)) as alike from {plain} as plain"
    )[0]
    return len({*counts.values()}) == 1


def _rebuild(statements: _Statements, on_progress: Callable[[str], object]) -> None:
    for rollup, plain, columns in _rollups(statements):
        on_progress(rollup)
        if rollup == "leads":
            # With their key all their indexes would be written anew; the codes are chosen when the texts are right.
            kept = ", ".join(column for column in columns.split(", ") if column not in ("lead_id", "search_code"))
            statements.execute(
                f"update leads set ({kept}) = (select {kept} from {plain} where lead_id = leads.lead_id)"
            )
            statements.execute("delete from searched_projects")
            statements.execute("insert into searched_projects (project) select project from frequent_projects")
            statements.execute(CODE_PROJECTS)
        else:
            statements.execute(f"delete from {rollup}")
            statements.execute(f"insert into {rollup} ({columns}) select {columns} from {plain}")
    on_progress("lead_search")
    statements.execute("insert into lead_search (lead_search) values ('rebuild')")
    for table in statements.rows(LEFT_OVER):  # triggers believe it, and rows may have come and gone without them
        if table["name"] != "sqlite_stat4":
            statements.execute(f"delete from {table['name']}")


@cache
def _schema() -> tuple[str, ...]:
    """The statements of schema.sql."""
    statements = [""]
    for line in files("analytics_api").joinpath("schema.sql").read_text(encoding="utf-8").splitlines(keepends=True):
        if not statements[-1] and not line.split("--")[0].strip():
            continue
        statements[-1] += line
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return tuple(statements[:-1])
