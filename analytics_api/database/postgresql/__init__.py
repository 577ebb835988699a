"""PostgreSQL: one primary, any number of replicas, many processes and writers."""

from __future__ import annotations

import logging
import os
import random
import re
import selectors
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode

from ...errors import DatabaseError, RowError, StatementTimeout
from ..base import (
    BASE_TABLES,
    BATCH,
    DERIVED_COLUMNS,
    PAST_TABLES,
    PRIMARY_KEYS,
    Column,
    Database,
    Difference,
    OnConflict,
    Reader,
    Row,
    Transaction,
    compare,
    ignore_progress,
)
from ..limits import current_limit, timeout_text
from ..sqlite import _schema as sqlite_schema

try:
    import psycopg
    import psycopg_pool
    from psycopg import errors
    from psycopg.adapt import AdaptersMap, Dumper
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import dict_row, tuple_row
    from psycopg.types.numeric import Int8Dumper
except ImportError as missing:
    raise DatabaseError(
        f"a database on PostgreSQL needs {missing.name}, which comes with: pip install 'analytics_api[postgresql]'"
    ) from None

T = TypeVar("T")

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Row]
Pool = psycopg_pool.ConnectionPool[Connection]

VERSION = 2
OLDEST_SERVER = 150_000
ATTEMPTS = 50  # of a transaction that others got in the way of: some five seconds

READ = "begin isolation level repeatable read read only"
WRITE = "begin isolation level repeatable read"
LOAD = "begin isolation level read committed"

# What a connection has unless its URL says otherwise: a host that does not answer, or is gone without a word, is given
# up in seconds.
MANNERS: dict[str, str | int | None] = {
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "analytics_api",
}

SECRETS = {"password", "sslpassword", "oauth_client_secret"}

# A commit that wrote nothing does not wait for a replica, and what it has seen and acknowledges may be on none yet: so
# it writes a note into the log that replicas follow.
SEEN = """
select pg_logical_emit_message(true, 'analytics_api', '')
where current_setting('synchronous_standby_names') <> '' and pg_current_xact_id_if_assigned() is null
"""

FOUND = """
select current_setting('server_version_num')::integer as server, current_setting('server_encoding') as encoding,
  current_schema() as schema, array(
    select relname::text
    from pg_class
    where relnamespace = current_schema()::regnamespace and relname = any (:names)) as names
"""

META = """
select attname
from pg_attribute
where attrelid = 'analytics_meta'::regclass and attnum > 0 and not attisdropped
"""

IS_READ_ONLY = """
select current_setting('transaction_read_only') = 'on' as answer
"""

AWAY_SECONDS = 10.0  # until the next look-up asks a primary again that was away

# What rollups are made from, in the order in which a purge takes them.
COUNTED = (*PAST_TABLES, *BASE_TABLES)

# What the DDL file makes anew around the base tables.
DERIVED = """
select format('drop %s if exists %I cascade', case relkind when 'v' then 'view' else 'table' end, relname) as sql
from pg_class
where relnamespace = current_schema()::regnamespace and relkind in ('r', 'v')
  and relname ~ '^((plain|rollup|kept|split)_.*|case_folds)$'
"""

PRIMARY_KEY = """
select conname as name, pg_get_constraintdef(oid) as definition
from pg_constraint
where conrelid = to_regclass(:table) and contype = 'p'
"""

COLUMNS = """
select attname as name, case atttypid when 'bigint'::regtype then 'integer' else 'text' end as type,
  attnotnull and attidentity = '' as required, pg_get_expr(adbin, adrelid) as default
from pg_attribute
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attrelid = to_regclass(:table) and attnum > 0 and not attisdropped and attgenerated = ''
order by attnum
"""

# A placeholder, or something that only looks as if it held one.
TOKENS = re.compile(
    r"""'(?:[^']|'')*' | "[^"]*" | --[^\n]* | /\*.*?\*/ | :: | :(?P<name>[a-z_][a-z0-9_]*)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


class PostgreSQL(Database):
    """A schema of a PostgreSQL database: the first one of the connection's search path.

    Reads go to `read_url`, which may name replicas, unless they are part of a write. `pool_size` is how many
    connections a process has at most to each, `wait` how many seconds one waits for a free one, and
    `statement_timeout` how many a statement may take; bulk work and what goes over every row may take any time.
    """

    def __init__(
        self,
        url: str,
        *,
        read_url: str | None = None,
        create: bool = True,
        pool_size: int = 8,
        wait: float = 5.0,
        statement_timeout: float = 10.0,
    ) -> None:
        self._primary, self.url = _parsed(url, "read-write")
        self._replica, self._read_name = _parsed(read_url, "prefer-standby") if read_url else (self._primary, self.url)
        self.pool_size = pool_size
        self.wait = wait
        self.statement_timeout = statement_timeout
        self._limits: weakref.WeakKeyDictionary[Connection, float] = weakref.WeakKeyDictionary()  # other than that one
        self._primary_asked_at = 0.0  # when to try a primary again that was away; 0 while it answers
        # Of each process, since connections can't be shared over a fork: those that came over one stay unused.
        self._pools: dict[int, _Pools] = {}
        try:
            self._establish(self._primary, self.url, create)
        except _Unreachable:
            if not read_url:
                raise
            self._establish(self._replica, self._read_name, create=False)  # reads go on while the primary is away

    def read(self, work: Callable[[Reader], T]) -> T:
        return self._within(READ, work, on_replica=True)

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        try:
            with self._pool(self._replica).connection() as connection:
                self._set_limit(connection, self.statement_timeout)
                connection.execute(READ)
                try:
                    yield _Snapshot(connection, self._read_name)
                finally:
                    connection.execute("rollback")
        except psycopg.Error as error:
            _tell(self._read_name, error)

    def write(self, work: Callable[[Transaction], T]) -> T:
        return self._within(WRITE, work)

    def bulk(self, work: Callable[[Transaction], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        def loaded(statements: _Statements) -> T:
            _unhurried(statements)
            # Writers wait, readers do not; who holds what is changed here has committed.
            statements.execute(f"lock table {', '.join(COUNTED)} in share row exclusive mode")
            for table in COUNTED:
                statements.execute(f"alter table {table} disable trigger user")
            result = work(statements)
            _rebuild(statements, on_progress)
            for table in COUNTED:
                statements.execute(f"alter table {table} enable trigger user")
            return result

        return self._within(LOAD, loaded)

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._within("", lambda at: at.rows(sql, **params), on_replica=True)

    def row(self, sql: str, /, **params: Any) -> Row | None:
        return self._within("", lambda at: at.row(sql, **params), on_replica=True)

    def primary_row(self, sql: str, /, **params: Any) -> Row | None:
        if self._replica == self._primary or self._is_primary_away():
            return self.row(sql, **params)
        try:
            found = self._within("", lambda at: at.row(sql, **params))
        except DatabaseError as error:
            if self._is_primary_reachable():
                raise
            log.warning("%s; until it is back, a replica is read instead", error)
            self._primary_asked_at = time.monotonic() + AWAY_SECONDS
            return self.row(sql, **params)
        self._primary_asked_at = 0.0
        return found

    def _is_primary_away(self) -> bool:
        """Return whether the primary was away a moment ago. Every AWAY_SECONDS one caller is told to try it again."""
        if not self._primary_asked_at:
            return False
        now = time.monotonic()
        if now < self._primary_asked_at:
            return True
        self._primary_asked_at = now + AWAY_SECONDS
        return False

    def _is_primary_reachable(self) -> bool:
        try:
            with _connected(self._primary):
                return True
        except _Unreachable:
            return False

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._within("", lambda at: at.tuples(sql, **params), on_replica=True)

    def columns(self, table: str) -> tuple[Column, ...]:
        return tuple(
            Column(
                column["name"],
                column["type"],
                column["required"],
                self.rows(f"select {column['default'] or 'null'} as value")[0]["value"],
            )
            for column in self.rows(COLUMNS, table=table)
            if column["name"] not in DERIVED_COLUMNS
        )

    def rebuild(self, *, on_progress: Callable[[str], object] = ignore_progress) -> None:
        self.bulk(lambda statements: None, on_progress=on_progress)

    def verify(self, *, on_progress: Callable[[str], object] = ignore_progress) -> list[Difference]:
        def differences(statements: _Statements) -> list[Difference]:
            coming = iter(_rollups())
            found: dict[str, list[Difference]] = {}
            telling = threading.Lock()

            def verify_next(at: _Statements) -> None:
                _unhurried(at)
                for name in coming:  # each is taken by whoever is free
                    rollup, plain = "leads" if name == "leads" else f"rollup_{name}", f"plain_{name}"
                    with telling:
                        on_progress(rollup)
                    found[name] = list(compare(at, rollup, plain, _columns_of(at, plain)))

            state = statements.rows("select pg_export_snapshot() as name")[0]["name"]
            with _connected(self._primary) as others, ThreadPoolExecutor(1) as thread:
                others.execute(READ)
                others.execute(f"set transaction snapshot '{state}'")
                beside = thread.submit(verify_next, others)
                try:
                    verify_next(statements)
                except BaseException:  # Ctrl-C too: the thread is not to be waited for
                    list(coming)  # so that it begins no other
                    while not beside.done():  # it may be between two statements
                        others.connection.cancel_safe(timeout=3.0)
                        wait([beside], 0.1)
                    raise
                beside.result()
            return [difference for name in _rollups() for difference in found[name]]

        return self._within(READ, differences)

    def is_read_only(self) -> bool:
        if self._replica != self._primary:  # reads must not wait for a primary that is away
            return False
        return bool(self.rows(IS_READ_ONLY)[0]["answer"])

    def backup(self, path: str | os.PathLike[str]) -> None:
        raise DatabaseError(
            f"{self.url}: PostgreSQL is backed up by its own pg_dump or pg_basebackup; "
            "`analytics-api copy URL FILE` makes an SQLite file of it"
        )

    def scrub(self) -> None:
        try:
            with _connected(self._primary) as statements:
                statements.execute(LOAD)
                # what nothing counts any more; writers wait meanwhile, since one may be about to count it
                statements.execute("lock table sessions, events, leads, lead_submissions in share row exclusive mode")
                statements.execute("delete from kept_pages where views = 0 and unique_sessions = 0 and not split")
                statements.execute("delete from kept_sources where sessions = 0 and not split")
                statements.execute("delete from kept_follow_ups where follow_ups_count = 0")
                statements.execute("commit")
                for table in (*COUNTED, *(table for tables in _rollups().values() for table in tables)):
                    statements.execute(f"vacuum (analyze) {table}")  # the planner keeps samples of rows
        except psycopg.Error as error:
            _tell(self.url, error)

    def close(self) -> None:
        pools = self._pools.pop(os.getpid(), None)
        if pools:
            pools.close()

    def _within(self, begin: str, work: Callable[[_Statements], T], *, on_replica: bool = False) -> T:
        """What `work` returns, in a transaction that begins so, or with "" by itself.

        It is run again when others got in its way, or the connection was lost before the commit was sent.
        """
        dsn, name = (self._replica, self._read_name) if on_replica else (self._primary, self.url)
        for attempt in range(1, ATTEMPTS + 1):
            committing = False
            connection: Connection | None = None
            try:
                with self._pool(dsn).connection() as connection:
                    self._set_limit(connection, self._limit())
                    if not begin:
                        return work(_Statements(connection))
                    connection.execute(begin)
                    result = work(_Statements(connection))
                    if begin == READ:  # no commit of it waits for a replica, and a timer takes longer than most reads
                        connection.execute("commit")
                        return result
                    if begin == WRITE:
                        connection.execute(SEEN)
                    committing = True
                    with _confirmed(connection, self.statement_timeout) as warnings:
                        connection.execute("commit")
                    if warnings:
                        # the replica that is waited for is away: what is committed here may be lost with this server
                        raise DatabaseError(f"{name}: {warnings[0]}")
                    return result
            except psycopg.Error as error:
                lost = connection is not None and connection.broken and not committing
                in_the_way = isinstance(error, (errors.SerializationFailure, errors.DeadlockDetected))
                demoted = isinstance(error, errors.ReadOnlySqlTransaction) and self._is_primary_writable()
                if demoted and connection is not None:
                    connection.close()  # its server is a replica now: the next connection finds the primary
                if isinstance(error, errors.QueryCanceled):
                    raise StatementTimeout(f"{name}: {timeout_text(self._limit())}: {_line(error)}") from error
                if attempt == ATTEMPTS or not (in_the_way or lost or demoted):
                    _tell(name, error)
            time.sleep(random.uniform(0, min(0.005 * 2**attempt, 0.2)))
        raise AssertionError("the last attempt returns or raises")

    def _is_primary_writable(self) -> bool:
        """Return whether a new connection to the primary can write.

        Asked when a connection of the pool cannot: to close it helps only then, and would keep reads waiting.
        """
        try:
            with _connected(self._primary) as statements:
                return not statements.rows(IS_READ_ONLY)[0]["answer"]
        except (DatabaseError, psycopg.Error):
            return False

    def _pool(self, dsn: str) -> Pool:
        return self._pools.setdefault(os.getpid(), _Pools()).of(dsn, self._opened)

    def _opened(self, dsn: str) -> Pool:
        return Pool(
            dsn,
            kwargs={"autocommit": True, "row_factory": dict_row, "cursor_factory": psycopg.RawCursor},
            configure=self._configure,
            check=_ask_if_told,
            min_size=0,
            max_size=self.pool_size,
            timeout=self.wait,
            reconnect_timeout=self.wait,
            max_lifetime=600.0,  # a replica that is back is found again
            open=True,
        )

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        _adapt(connection.adapters)
        connection.execute(
            # the rollups are in memory, and their reads too short to be compiled
            "select set_config('jit', 'off', false), set_config('random_page_cost', '1.1', false), "
            "set_config('statement_timeout', $1, false)",
            [_milliseconds(self.statement_timeout)],
        )

    def _limit(self) -> float:
        """Return the time budget of a statement in seconds."""
        return min(current_limit() or self.statement_timeout, self.statement_timeout)

    def _set_limit(self, connection: Connection, seconds: float) -> None:
        """Give the statements of a connection a time budget. Only a change costs a statement."""
        if self._limits.get(connection, self.statement_timeout) != seconds:
            connection.execute("select set_config('statement_timeout', $1, false)", [_milliseconds(seconds)])
            self._limits[connection] = seconds

    def _establish(self, dsn: str, name: str, create: bool) -> None:
        try:
            with _connected(dsn) as statements:
                statements.execute(
                    "select set_config('statement_timeout', :limit, false)", limit=_milliseconds(self.statement_timeout)
                )
                if _check(statements, name):
                    return
                if not create:
                    raise DatabaseError(f"{name}: there is no such database; `analytics-api init` makes one")
                _create(statements, name)
        except psycopg.Error as error:
            _tell(name, error)


class _Statements:
    """A connection, as base.Reader and base.Transaction."""

    replaced_text = 0

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._keys_met = False  # whether `insert` came upon one that was there

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._executed(sql, params).fetchall()

    def row(self, sql: str, /, **params: Any) -> Row | None:
        return self._executed(sql, params).fetchone()

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        numbered, names = _numbered(sql)
        cursor = self.connection.cursor(row_factory=tuple_row)
        return cursor.execute(numbered, [params[name] for name in names]).fetchall()

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        numbered, names = _numbered(sql)
        with psycopg.RawServerCursor(self.connection, "batches", row_factory=tuple_row) as cursor:
            cursor.execute(numbered, [params[name] for name in names], binary=True)  # quicker to read than digits
            while batch := cursor.fetchmany(BATCH):
                yield batch

    def needle(self, text: str) -> str | None:
        return re.sub(r"([\\%_])", r"\\\1", text) if len(text) > 2 else None

    def execute(self, sql: str, /, **params: Any) -> int:
        return self._executed(sql, params).rowcount

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, on_conflict: OnConflict = "error"
    ) -> int:
        names = ", ".join(columns)
        keyed = on_conflict != "error" and set(PRIMARY_KEYS[table].split(", ")).issubset(columns)
        try:
            if keyed and self._keys_met:
                return self._merged(table, names, rows, on_conflict)
            if keyed and not isinstance(rows, Sequence):
                rows = list(rows)
            try:
                with self.connection.transaction():  # a savepoint
                    return self._copied(f"{table} ({names})", rows)
            except errors.UniqueViolation:
                if not keyed:
                    raise
                self._keys_met = True  # then others will be
                return self._merged(table, names, rows, on_conflict)
        except (
            psycopg.IntegrityError,
            psycopg.DataError,
            errors.ProgramLimitExceeded,  # a key longer than an index takes
            UnicodeEncodeError,
        ) as error:
            raise RowError(_line(error)) from error

    def _merged(self, table: str, names: str, rows: Iterable[Sequence[Any]], on_conflict: OnConflict) -> int:
        """Insert rows of which some may be there, or come twice: twice as slow."""
        key = PRIMARY_KEYS[table]
        # of rows with one key the first stays, or the last one's values
        order, conflict = {
            "ignore": ("position", "nothing"),
            "update": (
                "position desc",
                f"update set {', '.join(f'{column} = excluded.{column}' for column in names.split(', '))}",
            ),
        }[on_conflict]
        with self.connection.transaction():  # a savepoint
            self.execute(f"create temporary table incoming on commit drop as select {names} from {table} with no data")
            self.execute("alter table incoming add position bigint generated always as identity")
            self._copied(f"incoming ({names})", rows)
            written = self.execute(
                f"insert into {table} ({names}) "
                f"select {names} "
                f"from (select distinct on ({key}) * from incoming order by {key}, {order}) as given "
                f"on conflict ({key}) do {conflict}"
            )
            self.execute("drop table incoming")
            return written

    def _copied(self, into: str, rows: Iterable[Sequence[Any]]) -> int:
        cursor = self.connection.cursor()
        with cursor.copy(f"copy {into} from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        return cursor.rowcount

    def _executed(self, sql: str, params: dict[str, Any]) -> psycopg.Cursor[Row]:
        numbered, names = _numbered(sql)
        return self.connection.execute(numbered, [params[name] for name in names])


class _Snapshot(_Statements):
    """Tells what fails as its own: another database may be at work around it."""

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection)
        self.name = name

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        try:
            yield from super().batches(sql, **params)
        except psycopg.Error as error:
            _tell(self.name, error)


class _Pools:
    """What one process has opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}

    def of(self, dsn: str, opened: Callable[[str], Pool]) -> Pool:
        pool = self._pools.get(dsn)
        if pool is None:
            with self._lock:
                pool = self._pools.get(dsn) or self._pools.setdefault(dsn, opened(dsn))
        return pool

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


class _Unreachable(DatabaseError):
    """No server answers."""


class _NoText(Dumper):
    """Bytes would go into a text column as hexadecimal digits."""

    def dump(self, obj: Any) -> NoReturn:
        raise psycopg.DataError("bytes are no text")


def upgrade(url: str) -> int:
    """Bring an older database to this version, every row of it kept; the version that it was of.

    One transaction: one that can't be brought forward is left as it was. The rollups are made anew; base tables stay in
    place, and so do the rights on them.
    """
    dsn, name = _parsed(url, "read-write")
    try:
        with _connected(dsn) as statements:
            statements.execute(LOAD)
            version = _version(statements, name)
            if version is None:
                raise DatabaseError(f"{name}: there is no such database; `analytics-api init` makes one")
            if version >= VERSION:
                _check(statements, name)
                return version
            _unhurried(statements)
            statements.execute(f"lock table {', '.join(BASE_TABLES)} in share row exclusive mode")
            for derived in statements.rows(DERIVED):
                statements.execute(derived["sql"])
            _lay(statements, name)
            _rebuild(statements, ignore_progress)
            statements.execute("commit")
            return version
    except psycopg.Error as error:
        raise DatabaseError(f"{name}: it stays as it was, of the older version: {_line(error)}") from error


def _parsed(url: str, session: str) -> tuple[str, str]:
    """What to connect with, and the URL without its secrets.

    Of several hosts it is the first that takes such a session, unless the URL says something else.
    """
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:  # its text has the password
        raise DatabaseError(
            "a PostgreSQL database is named like postgresql://user:password@host:5432/name?sslmode=verify-full"
        ) from None
    if "," in given.get("host", given.get("hostaddr", "")):
        given.setdefault("target_session_attrs", session)
    dsn = make_conninfo("", **(MANNERS | given))

    told = {name: value for name, value in given.items() if name not in SECRETS}
    user, name = (quote(told.pop(part, ""), safe="") for part in ("user", "dbname"))
    hosts, ports = (told.pop(part, "").split(",") for part in ("host", "port"))
    places = [
        quote(host, safe="") + (f":{port}" if port else "")
        for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports)
    ]
    rest = f"?{urlencode(told, quote_via=quote)}" if told else ""
    return dsn, f"postgresql://{user}{'@' if user else ''}{','.join(places)}/{name}{rest}"


def _ask_if_told(connection: Connection) -> None:
    """Raise OperationalError when the server has ended a connection that was idle.

    It then has something to read. Only of such a one the server is asked; that another was lost without a word is found
    by its first statement.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        if selector.select(0):
            Pool.check_connection(connection)


@contextmanager
def _connected(dsn: str) -> Iterator[_Statements]:
    """A connection of one's own, closed at the end, and with it a transaction that was not committed."""
    try:
        connection = psycopg.Connection[Row].connect(
            dsn, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.RawCursor
        )
    except psycopg.OperationalError as error:
        raise _Unreachable(_line(error)) from error
    _adapt(connection.adapters)
    try:
        yield _Statements(connection)
    finally:
        connection.close()


def _adapt(adapters: AdaptersMap) -> None:
    adapters.register_dumper(int, Int8Dumper)  # one type, one plan, however large
    for kind in (bytes, bytearray, memoryview):
        adapters.register_dumper(kind, _NoText)


def _version(statements: _Statements, name: str) -> int | None:
    """The version of ours that is there; None when there is none of our tables.

    Raises DatabaseError when another program's tables stand in the way.
    """
    found = statements.rows(FOUND, names=["analytics_meta", *PRIMARY_KEYS])[0]
    if found["server"] < OLDEST_SERVER:
        raise DatabaseError(f"{name}: this server is too old: PostgreSQL 15 or later is needed")
    if found["schema"] is None:
        raise DatabaseError(f"{name}: no schema of the connection's search_path exists")
    if "analytics_meta" in found["names"] and [column["attname"] for column in statements.rows(META)] == ["version"]:
        kept = statements.rows("select version from analytics_meta")
        if len(kept) == 1:
            version: int = kept[0]["version"]
            return version
    elif not found["names"]:
        if found["encoding"] != "UTF8":
            raise DatabaseError(f"{name}: a database of encoding UTF8 is needed; this one is of {found['encoding']}")
        return None
    raise DatabaseError(
        f"{name}: the schema {found['schema']} holds another program's tables ({', '.join(sorted(found['names']))}); "
        "name another schema: ?options=-csearch_path%3Danalytics"
    )


def _check(statements: _Statements, name: str) -> bool:
    """Whether a database of ours is there, of this version; False when there is none.

    Raises DatabaseError when it is of another version or another program's.
    """
    version = _version(statements, name)
    if version is None:
        return False
    if version < VERSION:
        raise DatabaseError(
            f"{name}: this database is of version {version}, older than {VERSION}; run `analytics-api upgrade`"
        )
    if version > VERSION:
        raise DatabaseError(
            f"{name}: this database is of version {version}, newer than {VERSION}; use a newer analytics_api"
        )
    return True


def _create(statements: _Statements, name: str) -> None:
    statements.execute("begin")
    # one at a time, in any schema: the extension is the whole database's
    statements.execute("select pg_advisory_xact_lock(hashtextextended('analytics_api', 0))")
    if not _check(statements, name):  # nobody else was quicker
        _lay(statements, name)
    statements.execute("commit")


def _lay(statements: _Statements, name: str) -> None:
    """Run the DDL file in the first schema of the search path."""
    try:
        statements.execute("create extension if not exists pg_trgm")
    except psycopg.Error as error:
        raise DatabaseError(
            f"{name}: the extension pg_trgm can't be had ({_line(error)}); where it is installed (contrib), "
            "the owner of the database runs: create extension pg_trgm"
        ) from error
    # the functions keep this path, whoever calls them; temporary tables come last in it, so that none can stand before
    # one of ours
    statements.execute("""
select set_config('search_path', format('%I, %I, pg_temp', current_schema(), nspname), true)
from pg_extension
join pg_namespace on pg_namespace.oid = extnamespace
where extname = 'pg_trgm'
""")
    statements.connection.execute(_schema())
    statements._copied("case_folds (letter, folded)", _case_folds())
    statements.execute("delete from analytics_meta")
    statements.execute("insert into analytics_meta (version) values (:version)", version=VERSION)


def _rebuild(statements: _Statements, on_progress: Callable[[str], object]) -> None:
    for table in COUNTED:
        _analyze(statements, table)
    for name, tables in _rollups().items():
        columns = _columns_of(statements, f"plain_{name}")
        if name == "leads":
            on_progress("leads")
            plain, kept = (", ".join(f"{of}.{column}" for column in columns.split(", ")) for of in ("plain", "leads"))
            statements.execute(
                f"update leads set ({columns}) = row({plain}) from plain_leads as plain "
                f"where leads.lead_id = plain.lead_id and row({kept}) is distinct from row({plain})"
            )
            continue
        on_progress(f"rollup_{name}")
        fill = f"insert into {tables[0]} ({columns}) select {columns} from plain_{name}"
        if tables[0].startswith("rollup_"):  # no reader asks these, so none waits for what locks them until the commit
            unique = statements.rows(PRIMARY_KEY, table=tables[0])[0]
            statements.execute(f"truncate {tables[0]}")
            statements.execute(f"alter table {tables[0]} drop constraint {unique['name']}")
            statements.execute(fill)
            # made of all rows at once, an index takes half the time
            statements.execute(f"alter table {tables[0]} add constraint {unique['name']} {unique['definition']}")
        else:
            for table in tables:
                statements.execute(f"delete from {table}")
            statements.execute(f"{fill} order by {columns}")  # in order, an index is filled page by page
        for table in tables:
            _analyze(statements, table)
    for table, key in BASE_TABLES.items():
        if table != "sessions":
            statements.execute(
                f"select setval(pg_get_serial_sequence('{table}', '{key}'), highest) "
                f"from (select max({key}) as highest from {table}) as ids where highest > 0"
            )


def _analyze(statements: _Statements, table: str) -> None:
    """Let the planner know what a table holds. Were it known to be empty, bad plans would be made once it is not."""
    if statements.rows(f"select from {table} limit 1"):
        statements.execute(f"analyze {table}")


def _columns_of(statements: _Statements, view: str) -> str:
    return ", ".join(
        column["attname"]
        for column in statements.rows(
            "select attname from pg_attribute where attrelid = to_regclass(:view) and attnum > 0 order by attnum",
            view=view,
        )
    )


def _unhurried(statements: _Statements) -> None:
    """Let the transaction go over every row: it may take any time, and sorts and hashes more in memory than most."""
    statements.execute("set local statement_timeout = 0")
    statements.execute("set local idle_in_transaction_session_timeout = 0")  # a file may be slow to read
    statements.execute("set local work_mem = '64MB'")


@contextmanager
def _confirmed(connection: Connection, seconds: float) -> Iterator[list[str]]:
    """Around a commit: the warnings that it gave.

    One that waits for a replica is not under the statement time-out. After so many seconds it is told to stop waiting,
    which it does with a warning that the replica may lack it.
    """
    heard: list[str] = []

    def hear(notice: errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            heard.append(notice.message_primary or "")

    timer = threading.Timer(seconds, connection.cancel_safe, kwargs={"timeout": 3.0})
    connection.add_notice_handler(hear)
    timer.start()
    try:
        yield heard
    finally:
        timer.cancel()
        timer.join()
        connection.remove_notice_handler(hear)


def _tell(name: str, error: psycopg.Error) -> NoReturn:
    raise DatabaseError(f"{name}: {_line(error)}") from error


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))  # 0 would be no limit


def _line(error: Exception) -> str:
    """What went wrong, in one line."""
    text = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (text or str(error) or type(error).__name__).strip().splitlines()[0]


@cache
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement with $1, $2 … in place of :names, and the names in that order."""
    names: list[str] = []

    def number(token: re.Match[str]) -> str:
        name = token["name"]
        if name is None:
            return token[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return TOKENS.sub(number, sql).encode(), tuple(names)


@cache
def _schema() -> bytes:
    return files("analytics_api.database.postgresql").joinpath("postgresql.sql").read_bytes()


@cache
def _rollups() -> dict[str, tuple[str, ...]]:
    """The rollups in the order of the DDL file, each with the tables it is kept in; the first one is filled anew."""
    tables = set(re.findall(r"^create table (\w+)", _schema().decode(), re.MULTILINE))
    return {
        name: tuple(f"{kind}_{name}" for kind in ("rollup", "kept", "split") if f"{kind}_{name}" in tables)
        for name in re.findall(r"^create view plain_(\w+)", _schema().decode(), re.MULTILINE)
    }


def _case_folds() -> list[tuple[str, str]]:
    """The letters that fold, as schema.sql has them."""
    connection = sqlite3.connect(":memory:")
    try:
        for statement in sqlite_schema():
            if re.match(r"create table case_folds|insert into case_folds", statement.lstrip()):
                connection.execute(statement)
        return connection.execute("select letter, folded from case_folds").fetchall()
    finally:
        connection.close()
