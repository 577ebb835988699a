"""The PostgreSQL engine: one primary server, any number of replicas, and concurrent writers."""

from __future__ import annotations

import logging
import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from ...errors import DatabaseError, StatementTimeout
from ..base import Database, Difference, Reader, Row, Transaction, ignore_progress
from ..limits import current_limit, timeout_text
from .connections import (
    Connection,
    Pool,
    Pools,
    Unreachable,
    adapt,
    begin_transaction,
    commit_to_replica,
    connect,
    first_line,
    is_closed,
    parse_url,
    raise_database_error,
)
from .counters import (
    COUNTED_TABLES,
    DELETE_UNUSED,
    counter_tables,
    disable_triggers,
    enable_triggers,
    find_differences,
    rebuild,
)
from .schema import check_version, create_schema
from .schema_check import find_schema_differences
from .statements import Snapshot, Statements, lift_timeouts, pipelined
from .upgrade import upgrade

import psycopg  # isort: skip  (connections.py raises a helpful error if the package is missing)
from psycopg import errors  # isort: skip
from psycopg.rows import dict_row  # isort: skip

__all__ = ["PostgreSQL", "upgrade"]

T = TypeVar("T")

log = logging.getLogger(__name__)

ATTEMPTS = 50  # maximum number of times that `_run` tries a transaction, in about five seconds

READ = "begin isolation level repeatable read read only"
WRITE = "begin isolation level repeatable read"
LOAD = "begin isolation level read committed"

# With synchronous replication, a commit waits for a replica only if the transaction has written something. A
# transaction that has only read may have read rows that no replica has yet, and that are lost if the primary is lost.
# Therefore it writes a message to the WAL. Its commit then waits, too.
FORCE_WAL = """
select case
    when pg_current_xact_id_if_assigned() is null then pg_logical_emit_message(true, 'analytics_api', '')
  end
"""

IS_READ_ONLY = """
select current_setting('transaction_read_only') = 'on' as answer
"""

RETRY_PRIMARY_SECONDS = 10.0  # pause before the next attempt to connect to an unreachable primary

SELECT_COLUMNS = """
select attname as name,
  case when atttypid in ('bigint'::regtype, 'integer'::regtype) then 'integer' else 'text' end as type,
  attnotnull and attidentity = '' as required, pg_get_expr(adbin, adrelid) as default
from pg_attribute
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attrelid = to_regclass(:table) and attnum > 0 and not attisdropped and attgenerated = ''
order by attnum
"""

# Settings for short queries of tables in memory. JIT compilation or temporary files would take longer than the query.
CONFIGURE = """
select set_config('jit', 'off', false), set_config('random_page_cost', '1.1', false),
  set_config('work_mem', greatest(32768, pg_size_bytes(current_setting('work_mem')) / 1024) || 'kB', false),
  set_config('statement_timeout', $1, false)
"""

SET_TIMEOUT = """
select set_config('statement_timeout', $1, false)
"""


class PostgreSQL(Database):
    """A PostgreSQL database. It uses the first schema of the connection's search path.

    :param url: URL of the primary server.
    :param read_url: URL of the servers for reads outside write transactions, such as replicas.
    :param create: whether to create the schema if it does not exist.
    :param pool_size: maximum number of connections of a process, for each of the two URLs.
    :param wait: maximum time in seconds to wait for a free connection.
    :param statement_timeout: maximum time in seconds of a statement. Bulk operations, `rebuild` and `verify`
        have no limit.
    """

    select_columns = SELECT_COLUMNS
    joins_subqueries = Statements.joins_subqueries
    json_array = Statements.json_array

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
        self._primary, self.url = parse_url(url, "read-write")
        self._replica, self._read_name = (
            parse_url(read_url, "prefer-standby") if read_url else (self._primary, self.url)
        )
        self.pool_size = pool_size
        self.wait = wait
        self.statement_timeout = statement_timeout
        # The current statement timeouts, in seconds, of connections whose timeout was changed.
        self._limits: weakref.WeakKeyDictionary[Connection, float] = weakref.WeakKeyDictionary()
        self._primary_retry_at = 0.0  # monotonic time of the next attempt; 0 while the primary is reachable
        # Pools by process id. After a fork, the child opens new pools, because connections cannot be shared.
        self._pools: dict[int, Pools] = {}
        try:
            self._establish(self._primary, self.url, create)
        except Unreachable:
            if not read_url:
                raise
            # Reads work without the primary.
            self._establish(self._replica, self._read_name, create=False)

    def read(self, work: Callable[[Reader], T]) -> T:
        return self._run(READ, work, on_replica=True)

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        try:
            with self._connection(self._replica) as connection:
                self._set_limit(connection, self.statement_timeout)
                connection.execute(READ)
                try:
                    yield Snapshot(connection, self._read_name)
                finally:
                    connection.execute("rollback")
        except psycopg.Error as error:
            raise_database_error(self._read_name, error)

    def write(self, work: Callable[[Transaction], T], *, pipeline: bool = False) -> T:
        return self._run(WRITE, work, pipeline=pipeline)

    def bulk(self, work: Callable[[Transaction], T], *, on_progress: Callable[[str], object] = ignore_progress) -> T:
        def load(statements: Statements) -> T:
            lift_timeouts(statements)
            disable_triggers(statements)
            result = work(statements)
            rebuild(statements, on_progress)
            enable_triggers(statements)
            return result

        return self._run(LOAD, load)

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._run("", lambda at: at.rows(sql, **params), on_replica=True)

    def row(self, sql: str, /, **params: Any) -> Row | None:
        return self._run("", lambda at: at.row(sql, **params), on_replica=True)

    def primary_row(self, sql: str, /, **params: Any) -> Row | None:
        if self._replica == self._primary or self._is_primary_unreachable():
            return self.row(sql, **params)
        try:
            row = self._run("", lambda at: at.row(sql, **params))
        except DatabaseError as error:
            if self._can_connect_to_primary():
                raise
            log.warning("%s; reading from a replica until the primary is reachable", error)
            self._primary_retry_at = time.monotonic() + RETRY_PRIMARY_SECONDS
            return self.row(sql, **params)
        self._primary_retry_at = 0.0
        return row

    def _is_primary_unreachable(self) -> bool:
        """Return whether the last attempt to reach the primary failed.

        Every RETRY_PRIMARY_SECONDS, the result is False for one caller, so that this caller tries again.
        """
        if not self._primary_retry_at:
            return False
        now = time.monotonic()
        if now < self._primary_retry_at:
            return True
        self._primary_retry_at = now + RETRY_PRIMARY_SECONDS
        return False

    def _can_connect_to_primary(self) -> bool:
        try:
            with connect(self._primary):
                return True
        except Unreachable:
            return False

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._run("", lambda at: at.tuples(sql, **params), on_replica=True)

    def rebuild(
        self,
        work: Callable[[Transaction], object] | None = None,
        *,
        on_progress: Callable[[str], object] = ignore_progress,
    ) -> None:
        self.bulk(work or (lambda statements: None), on_progress=on_progress)

    def verify(self, *, on_progress: Callable[[str], object] = ignore_progress) -> list[Difference]:
        # The transaction has one connection of the pool, so a pool of one connection does not have a second.
        another = connect if self.pool_size == 1 else self._connection
        return self._run(READ, lambda statements: find_differences(statements, another(self._primary), on_progress))

    def schema_differences(self) -> list[str]:
        return self._run(READ, find_schema_differences)

    def is_read_only(self) -> bool:
        if self._replica != self._primary:  # do not ask the primary: if it is unreachable, reads would wait for it
            return False
        return bool(self.rows(IS_READ_ONLY)[0]["answer"])

    def backup(self, path: str | os.PathLike[str]) -> None:
        raise DatabaseError(
            f"{self.url}: use pg_dump or pg_basebackup to back up PostgreSQL; "
            "`analytics-api copy URL FILE` copies the database to an SQLite file"
        )

    def delete_empty_counters(self) -> None:
        """Do nothing, because deleting the rows needs a lock that blocks writers for long. `scrub` deletes the rows."""

    def scrub(self) -> None:
        try:
            with connect(self._primary) as connection:
                connection.execute(LOAD)
                connection.execute(DELETE_UNUSED.encode())
                connection.execute("commit")
                for table in (*COUNTED_TABLES, *counter_tables(), "identity_locks"):
                    # ANALYZE replaces the planner's statistics, which contain sample values of deleted rows.
                    connection.execute(f"vacuum (analyze) {table}".encode())
        except psycopg.Error as error:
            raise_database_error(self.url, error)

    def close(self) -> None:
        pools = self._pools.pop(os.getpid(), None)
        if pools:
            pools.close()

    def _run(
        self, begin: str, work: Callable[[Statements], T], *, on_replica: bool = False, pipeline: bool = False
    ) -> T:
        """Call `work` in a transaction and return its result.

        `work` is called again after a conflict with another transaction, or if the connection was lost before the
        commit was sent.

        :param begin: the statement that begins the transaction, or "" for autocommit.
        """
        dsn, name = (self._replica, self._read_name) if on_replica else (self._primary, self.url)
        is_write = begin != READ
        for attempt in range(1, ATTEMPTS + 1):
            is_committing = False
            connection: Connection | None = None
            try:
                with self._connection(dsn) as connection:
                    self._set_limit(connection, self._limit())
                    if not begin:
                        return work(Statements(connection))
                    with pipelined(connection) if pipeline else nullcontext():
                        waits_for_replica = begin_transaction(connection, begin, is_write=is_write, pipeline=pipeline)
                        result = work(Statements(connection, is_in_pipeline=pipeline))
                        if not waits_for_replica():
                            is_committing = is_write
                            connection.execute("commit")
                            return result
                    connection.execute(FORCE_WAL)
                    is_committing = True
                    commit_to_replica(connection, name, self.statement_timeout)
                    return result
            except psycopg.Error as error:
                is_lost = connection is not None and connection.broken and not is_committing
                is_conflict = isinstance(error, (errors.SerializationFailure, errors.DeadlockDetected))
                is_demoted = isinstance(error, errors.ReadOnlySqlTransaction) and self._is_primary_writable()
                if is_demoted and connection is not None:
                    connection.close()  # its server has become a replica; a new connection finds the primary
                if isinstance(error, errors.QueryCanceled):
                    raise StatementTimeout(f"{name}: {timeout_text(self._limit())}: {first_line(error)}") from error
                if attempt == ATTEMPTS or not (is_conflict or is_lost or is_demoted):
                    raise_database_error(name, error)
            time.sleep(random.uniform(0, min(0.005 * 2**attempt, 0.2)))
        raise AssertionError("the last attempt returns or raises")

    def _is_primary_writable(self) -> bool:
        """Return whether a new connection to the primary can write.

        This is called after a write failed because a pooled connection is read-only.
        """
        try:
            with connect(self._primary) as connection:
                return not Statements(connection).rows(IS_READ_ONLY)[0]["answer"]
        except (DatabaseError, psycopg.Error):
            return False

    @contextmanager
    def _connection(self, dsn: str) -> Iterator[Connection]:
        """Get a connection from the pool, and return it after the block. Discard connections that the server closed.

        The pool's own check is not used, because it waits after each closed connection, and doubles the delay each
        time. After a restart of the server, all connections are closed, so the delays would exceed the timeout of a
        request.
        """
        pool = self._pool(dsn)
        connection = pool.getconn()
        while is_closed(connection):
            pool.putconn(connection)  # discards a closed connection
            connection = pool.getconn()
        try:
            with connection:
                yield connection
        finally:
            pool.putconn(connection)

    def _pool(self, dsn: str) -> Pool:
        return self._pools.setdefault(os.getpid(), Pools()).get(dsn, self._open_pool)

    def _open_pool(self, dsn: str) -> Pool:
        return Pool(
            dsn,
            kwargs={"autocommit": True, "row_factory": dict_row, "cursor_factory": psycopg.RawCursor},
            configure=self._configure,
            min_size=0,
            max_size=self.pool_size,
            timeout=self.wait,
            reconnect_timeout=self.wait,
            max_lifetime=600.0,  # seconds; replaces connections, so that a replica that has recovered is used again
            open=True,
        )

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        adapt(connection.adapters)
        connection.execute(CONFIGURE, [milliseconds(self.statement_timeout)])

    def _limit(self) -> float:
        """Return the current statement timeout in seconds."""
        return min(current_limit() or self.statement_timeout, self.statement_timeout)

    def _set_limit(self, connection: Connection, seconds: float) -> None:
        """Set the connection's statement timeout, unless it has this value already."""
        if self._limits.get(connection, self.statement_timeout) != seconds:
            connection.execute(SET_TIMEOUT, [milliseconds(seconds)])
            self._limits[connection] = seconds

    def _establish(self, dsn: str, name: str, create: bool) -> None:
        try:
            with connect(dsn) as connection:
                statements = Statements(connection)
                connection.execute(SET_TIMEOUT, [milliseconds(self.statement_timeout)])
                if not check_version(statements, name):
                    if not create:
                        raise DatabaseError(f"{name}: this database does not exist; `analytics-api init` creates it")
                    create_schema(statements, name)
                    return
        except psycopg.Error as error:
            raise_database_error(name, error)
        # Reading the definition of a view locks the view's tables, which can cause a deadlock with a rebuild. `_run`
        # then calls the function again.
        for line in self._run(READ, find_schema_differences, on_replica=dsn != self._primary):
            log.warning("%s: %s; `analytics-api upgrade` restores it", name, line)


def milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))  # PostgreSQL interprets 0 as no limit
