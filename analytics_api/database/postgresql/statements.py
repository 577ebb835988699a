"""Run statements with `:named` parameters on one connection."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property, lru_cache
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import tuple_row

from ...errors import RowError
from ..base import BATCH, PRIMARY_KEYS, TRANSIENT_TABLES, OnConflict, Row
from .connections import Connection, first_line, raise_database_error

# Matches placeholders, and also strings, comments and casts, because a colon in them does not begin a placeholder.
TOKENS = re.compile(
    r"""'(?:[^']|'')*' | "[^"]*" | --[^\n]* | /\*.*?\*/ | :: | :(?P<name>[a-z_][a-z0-9_]*)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

ROW_ERRORS = (
    psycopg.IntegrityError,
    psycopg.DataError,
    errors.ProgramLimitExceeded,  # a value is too long for an index
    UnicodeEncodeError,
)

# After ten executions, PostgreSQL may use one plan for all values of a prepared statement. It would then expect few
# sessions in a range, and search other tables for each session. Therefore statements with these names are not prepared.
UNPREPARED = re.compile(rb"session_facts|facts_of_sessions")

SET_AUTHOR = """
select set_config('analytics.changed_by', :changed_by, true), set_config('analytics.changed_at', :changed_at, true)
"""


# A cursor of `/changes` is a snapshot, which says which transactions were visible. On a standby server, the current
# snapshot does not always list all transactions in progress. The changes of those that are not listed would never be
# returned. Therefore the cursor on a standby server is a snapshot in which the oldest transaction in progress, xmin,
# and all later ones are not visible.
CHANGE_CURSOR = """
select
  case
    when pg_is_in_recovery() then concat(pg_snapshot_xmin(snapshot), ':', pg_snapshot_xmin(snapshot), ':')
    else snapshot::text
  end
from pg_current_snapshot() as snapshot
"""
IS_COMPLETE = """
select pg_snapshot_xmin(cast(:cursor as pg_snapshot)) > transaction_id
from lead_changes_end
"""
CHANGED_LEADS = """
select lead_id, status
from (
  select distinct lead_id
  from lead_changes
  where transaction_id >= pg_snapshot_xmin(cast(:cursor as pg_snapshot))
    and not pg_visible_in_snapshot(transaction_id, cast(:cursor as pg_snapshot))) as changed
left join leads using (lead_id)
order by lead_id
"""
SNAPSHOT = re.compile("([0-9]{1,18}):([0-9]{1,18}):((?:[0-9]{1,18}(?:,[0-9]{1,18})*)?)")


class Statements:
    """Implement base.Reader and base.Transaction for a connection."""

    joins_subqueries = True
    json_array = "cast(json_agg({}) as text)"
    stores_visits = False

    replaced_text = 0

    def __init__(self, connection: Connection, *, is_in_pipeline: bool = False) -> None:
        self.connection = connection
        self.is_in_pipeline = is_in_pipeline
        self._parts: list[tuple[str, dict[str, Any]]] | None = None  # the statements of `together`
        self._has_found_existing_keys = False  # whether a row of an earlier `insert` existed already

    def rows(self, sql: str, /, **params: Any) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def row(self, sql: str, /, **params: Any) -> Row | None:
        return self._execute(sql, params).fetchone()

    def tuples(self, sql: str, /, **params: Any) -> list[tuple[Any, ...]]:
        numbered, names = number_placeholders(sql)
        cursor = self.connection.cursor(row_factory=tuple_row)
        return cursor.execute(numbered, [params[name] for name in names], prepare=_prepare(numbered)).fetchall()

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        numbered, names = number_placeholders(sql)
        with psycopg.RawServerCursor(self.connection, "batches", row_factory=tuple_row) as cursor:
            # Binary integers are faster to parse than decimal digits.
            cursor.execute(numbered, [params[name] for name in names], binary=True)
            while batch := cursor.fetchmany(BATCH):
                yield batch

    def index_query(self, text: str) -> str | None:
        return re.sub(r"([\\%_])", r"\\\1", text) if len(text) > 2 else None

    def change_cursor(self) -> str:
        [[cursor]] = self.tuples(CHANGE_CURSOR)
        return str(cursor)

    def changed_leads(self, cursor: str) -> list[Row] | None:
        if not is_snapshot(cursor):
            raise ValueError(cursor)
        [[is_complete]] = self.tuples(IS_COMPLETE, cursor=cursor)
        return self.rows(CHANGED_LEADS, cursor=cursor) if is_complete else None

    def query(self, sql: str, /, **params: Any) -> Iterator[Row]:
        cursor = self._execute(sql, params)
        return iter(cursor if self.is_in_pipeline else cursor.fetchall())

    def execute(self, sql: str, /, **params: Any) -> int:
        if self._parts is not None:
            self._parts.append((sql, params))
            return 0
        return self._execute(sql, params).rowcount

    @contextmanager
    def archiving(self) -> Iterator[None]:
        self.execute("select set_config('analytics.paused', 'on', true)")
        yield
        self.execute("select set_config('analytics.paused', '', true)")
        # If the settings in `site` have changed since the snapshot, this statement fails, and the transaction is
        # tried again. This statement is the last one of the block, because the command `site`, too, locks the
        # counted tables first and then this row. In another order, the two transactions could deadlock.
        self.execute("select from site for share")

    @contextmanager
    def secure_delete(self) -> Iterator[None]:
        yield  # PostgreSQL overwrites deleted rows only when it vacuums the table

    @contextmanager
    def moving(self, changed_by: str, changed_at: int) -> Iterator[None]:
        self.execute(SET_AUTHOR, changed_by=changed_by, changed_at=str(changed_at))
        yield
        self.execute(SET_AUTHOR, changed_by="", changed_at="")

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, on_conflict: OnConflict = "error"
    ) -> int:
        names = ", ".join(columns)
        if self.is_in_pipeline:  # `copy` is not possible in a pipeline
            key = PRIMARY_KEYS.get(table) or TRANSIENT_TABLES[table]
            conflict = {
                "error": "",
                "ignore": f"on conflict ({key}) do nothing",
                "update": f"on conflict ({key}) do update set {_assignments(columns)}",
            }[on_conflict]
            return self.execute(
                f"insert into {table} ({names}) {_select_json(table, names)} {conflict}", rows=_encode(columns, rows)
            )
        has_key = on_conflict != "error" and set(PRIMARY_KEYS[table].split(", ")).issubset(columns)
        try:
            if has_key and self._has_found_existing_keys:
                return self._merge(table, names, rows, on_conflict)
            if has_key and not isinstance(rows, Sequence):
                rows = list(rows)
            try:
                with self.connection.transaction():  # a savepoint
                    return self.copy(f"{table} ({names})", rows)
            except errors.UniqueViolation:
                if not has_key:
                    raise
                self._has_found_existing_keys = True  # the keys of later rows probably exist, too
                return self._merge(table, names, rows, on_conflict)
        except ROW_ERRORS as error:
            raise RowError(first_line(error)) from error

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], sql: str) -> None:
        key = PRIMARY_KEYS[table]
        self.execute(
            f"with changes as ({_select_json(table, ', '.join(columns))})\n{sql.rstrip()}\n"
            # Without this condition, the planner, which does not know the number of changes, may read the whole table.
            f"  and {table}.{key} = any (array(select {key} from changes))",
            rows=_encode(columns, rows),
        )

    @contextmanager
    def together(self) -> Iterator[None]:
        if not self.is_in_pipeline:
            yield
            return
        parts = self._parts = []
        try:
            yield
        finally:
            self._parts = None
        if parts:
            sql = ", ".join(f"part_{number} as ({_rename(sql, number)})" for number, (sql, _) in enumerate(parts))
            params = {
                f"{name}_{number}": value for number, (_, values) in enumerate(parts) for name, value in values.items()
            }
            self._execute(f"with {sql} select", params)

    def copy(self, target: str, rows: Iterable[Sequence[Any]]) -> int:
        cursor = self.connection.cursor()
        with cursor.copy(f"copy {target} from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        return cursor.rowcount

    def _merge(self, table: str, names: str, rows: Iterable[Sequence[Any]], on_conflict: OnConflict) -> int:
        """Insert rows whose keys may exist or be repeated. This takes twice as long as `copy`."""
        key = PRIMARY_KEYS[table]
        # If several rows have the same key, `ignore` inserts the first of them and `update` the last.
        order, conflict = {
            "ignore": ("position", "nothing"),
            "update": (
                "position desc",
                f"update set {_assignments(names.split(', '))}",
            ),
        }[on_conflict]
        with self.connection.transaction():  # a savepoint
            self.execute(f"create temporary table incoming on commit drop as select {names} from {table} with no data")
            self.execute("alter table incoming add position bigint generated always as identity")
            self.copy(f"incoming ({names})", rows)
            written = self.execute(
                f"insert into {table} ({names}) "
                f"select {names} "
                f"from (select distinct on ({key}) * from incoming order by {key}, {order}) as incoming_rows "
                f"on conflict ({key}) do {conflict}"
            )
            self.execute("drop table incoming")
            return written

    def _execute(self, sql: str, params: dict[str, Any]) -> psycopg.Cursor[Row]:
        numbered, names = number_placeholders(sql)
        # In a pipeline, the result of a statement may arrive while the next one runs, so each has its own cursor.
        cursor = self.connection.cursor() if self.is_in_pipeline else self._cursor
        return cursor.execute(numbered, [params[name] for name in names], prepare=_prepare(numbered))

    @cached_property
    def _cursor(self) -> psycopg.Cursor[Row]:
        """The cursor for all statements outside a pipeline.

        Creating a cursor takes a quarter of the client's time for a short statement.
        """
        return self.connection.cursor()


class Snapshot(Statements):
    """The statements of a snapshot. The messages of errors in `batches` contain the URL of the database.

    A copy uses two databases. Without the URL, an error of the source could be taken for an error of the target.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection)
        self.name = name

    def batches(self, sql: str, /, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        try:
            yield from super().batches(sql, **params)
        except psycopg.Error as error:
            raise_database_error(self.name, error)


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send the statements of the block without waiting. Wait when their rows are used, and at the end of the block.

    :raises RowError: a row cannot be stored.
    """
    try:
        with connection.pipeline():
            yield
    except ROW_ERRORS as error:
        raise RowError(first_line(error)) from error


@lru_cache(maxsize=1000)
def _prepare(sql: bytes) -> bool | None:
    """Return False for statements that are never prepared, or None for those that are prepared if they are repeated."""
    return False if UNPREPARED.search(sql) else None


def _select_json(table: str, names: str) -> str:
    return f"select {names} from json_populate_recordset(null::{table}, :rows)"


def _encode(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return json.dumps([dict(zip(columns, row)) for row in rows])


@cache
def _rename(sql: str, number: int) -> str:
    """Append a number to the names of placeholders."""
    return TOKENS.sub(lambda token: f"{token[0]}_{number}" if token["name"] else token[0], sql)


def _assignments(columns: Iterable[str]) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


@lru_cache(maxsize=1000)  # requests with filters have many different statements
def number_placeholders(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """Replace `:name` placeholders by $1, $2 and so on. Return the statement, and the name of each number."""
    names: list[str] = []

    def number(token: re.Match[str]) -> str:
        name = token["name"]
        if name is None:
            return token[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return TOKENS.sub(number, sql).encode(), tuple(names)


def lift_timeouts(statements: Statements) -> None:
    """Disable the transaction's timeouts, and raise its memory for sorting and hashing."""
    statements.execute("set local statement_timeout = 0")
    statements.execute("set local idle_in_transaction_session_timeout = 0")  # an import may wait for a slow file
    statements.execute("set local work_mem = '64MB'")


def is_snapshot(text: str) -> bool:
    """Return whether PostgreSQL accepts the text as a pg_snapshot: `xmin:xmax:xip_list`, with ascending ids."""
    match = SNAPSHOT.fullmatch(text)
    if match is None:
        return False
    first, last = int(match[1]), int(match[2])
    running = [int(number) for number in match[3].split(",") if number]
    return 0 < first <= last and running == sorted(set(running)) and all(first <= number < last for number in running)
