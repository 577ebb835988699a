"""Connect to PostgreSQL servers: URLs, defaults, connection pools and error messages."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from ...errors import DatabaseError, UnusableDatabase
from ..base import Row

try:
    import psycopg
    import psycopg_pool
    from psycopg import errors
    from psycopg.adapt import AdaptersMap, Dumper
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import dict_row
    from psycopg.types.numeric import Int8Dumper
except ImportError as missing:
    raise UnusableDatabase(
        f"PostgreSQL needs {missing.name}; install it with: pip install '.[postgresql]' in the source folder"
    ) from None

# The statements of a pipeline find rows by their keys. Sequential scans are disabled, because a plan that was cached
# while a table was small would scan the table when it is large.
BEGIN_PIPELINE = b"""
select current_setting('synchronous_standby_names') as synchronous_standby_names,
  set_config('enable_seqscan', 'off', true)
"""

Connection = psycopg.Connection[Row]
Pool = psycopg_pool.ConnectionPool[Connection]

# Default connection parameters, which a URL can override. With these, an unreachable host is detected within seconds.
CONNECTION_DEFAULTS: dict[str, str | int | None] = {
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "analytics_api",
}

SECRETS = {"password", "sslpassword", "oauth_client_secret"}  # parameters of a URL that messages must not contain


class Unreachable(DatabaseError):
    """No server of the URL accepts a connection."""


class RejectBytes(Dumper):
    """Raise an error for bytes. PostgreSQL would store them in a text column as hexadecimal digits."""

    def dump(self, obj: Any) -> NoReturn:
        raise psycopg.DataError("the value must be text, not bytes")


class Pools:
    """The connection pools of one process, by connection string."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}

    def get(self, dsn: str, open_pool: Callable[[str], Pool]) -> Pool:
        pool = self._pools.get(dsn)
        if pool is None:
            with self._lock:
                pool = self._pools.get(dsn) or self._pools.setdefault(dsn, open_pool(dsn))
        return pool

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


def parse_url(url: str, session: str) -> tuple[str, str]:
    """Return the connection string for a URL, and the URL without passwords for messages.

    :param session: the value of `target_session_attrs` for a URL that has several hosts and does not set it.
    :raises UnusableDatabase: the URL is not a PostgreSQL URL.
    """
    try:
        params = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:  # the message of this error would contain the password
        raise UnusableDatabase(
            "the database must be a URL such as postgresql://user:password@host:5432/name?sslmode=verify-full, with "
            "parameters of libpq; percent-encode the characters of the password that are not letters or digits"
        ) from None
    if "," in params.get("host", params.get("hostaddr", "")):
        params.setdefault("target_session_attrs", session)
    dsn = make_conninfo("", **(CONNECTION_DEFAULTS | params))

    public_params = {name: value for name, value in params.items() if name not in SECRETS}
    user, name = (quote(public_params.pop(part, ""), safe="") for part in ("user", "dbname"))
    hosts, ports = (public_params.pop(part, "").split(",") for part in ("host", "port"))
    addresses = [
        quote(host, safe="") + (f":{port}" if port else "")
        for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports)
    ]
    rest = f"?{urlencode(public_params, quote_via=quote)}" if public_params else ""
    return dsn, f"postgresql://{user}{'@' if user else ''}{','.join(addresses)}/{name}{rest}"


@contextmanager
def connect(dsn: str) -> Iterator[Connection]:
    """Open a connection outside the pools, and close it after the block. Uncommitted changes are rolled back."""
    try:
        connection = Connection.connect(dsn, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.RawCursor)
    except psycopg.OperationalError as error:
        raise Unreachable(first_line(error)) from error
    adapt(connection.adapters)
    try:
        yield connection
    finally:
        connection.close()


def adapt(adapters: AdaptersMap) -> None:
    adapters.register_dumper(int, Int8Dumper)  # one type for all integers, so that a prepared statement has one plan
    for kind in (bytes, bytearray, memoryview):
        adapters.register_dumper(kind, RejectBytes)


def is_closed(connection: Connection) -> bool:
    """Return whether an idle connection was closed, by this process or by the server.

    If the server has closed the connection, its socket is readable. A statement is sent to check the connection only if
    the socket is readable. If the connection was lost without a packet from the server, the next statement fails.
    """
    if connection.closed:
        return True
    socket = select.poll()  # one system call; a selector makes four, and takes five times as long
    socket.register(connection, select.POLLIN)
    if not socket.poll(0):
        return False
    try:
        Pool.check_connection(connection)
    except psycopg.Error:
        return True
    return False


def begin_transaction(connection: Connection, sql: str, *, is_write: bool, pipeline: bool) -> Callable[[], bool]:
    """Begin a transaction. Return a function that returns whether the commit must wait for a synchronous replica.

    For a write, the setting synchronous_standby_names is read in the round trip that begins the transaction.
    """
    if not is_write:
        connection.execute(sql.encode())
        return lambda: False
    if pipeline:
        connection.execute(sql.encode())
        cursor = connection.execute(BEGIN_PIPELINE)
    else:
        cursor = connection.execute(f"{sql}; show synchronous_standby_names".encode(), prepare=False)
        cursor.nextset()
    return lambda: cursor.fetchall()[0]["synchronous_standby_names"] != ""


def commit_to_replica(connection: Connection, name: str, seconds: float) -> None:
    """Commit, and wait at most `seconds` for a synchronous replica.

    PostgreSQL's statement timeout does not apply to a commit that waits for a replica, so a timer cancels the commit.
    The server then stops waiting, and sends a warning. The timer takes a sixth of the CPU time of a batch of page
    views, so this function is only called with synchronous replication.

    :raises DatabaseError: the transaction is committed on the primary. It is unknown whether a replica has it.
    """
    warnings: list[str] = []

    def add_warning(notice: errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(notice.message_primary or "")

    timer = threading.Timer(seconds, connection.cancel_safe, kwargs={"timeout": 3.0})
    connection.add_notice_handler(add_warning)
    timer.start()
    try:
        connection.execute("commit")
    finally:
        timer.cancel()
        timer.join()
        connection.remove_notice_handler(add_warning)
    if warnings:
        raise DatabaseError(f"{name}: {warnings[0]}")


def raise_database_error(name: str, error: psycopg.Error) -> NoReturn:
    is_denied = isinstance(error, psycopg.errors.InsufficientPrivilege)
    hint = "; docs/postgresql.md, Roles, has the privileges that the owner grants" if is_denied else ""
    raise DatabaseError(f"{name}: {first_line(error)}{hint}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    text = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (text or str(error) or type(error).__name__).strip().splitlines()[0]
