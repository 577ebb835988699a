"""Identify the version of a database file, create the schema, and drop triggers or indexes temporarily."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

from ...errors import UnusableDatabase
from ..base import Row
from ..expected import expected_views
from ..folding import case_folds
from .files import NOT_A_DATABASE
from .schema_check import expected_objects
from .statements import Statements

# Triggers that record moves of leads from one status to another.
MOVE_TRIGGERS = frozenset({"leads_move", "move_change"})

APPLICATION_ID = 0x616E6170
VERSION = 5
EMPTY_FILE = "this file is empty; `analytics-api init` creates a database in it"
BUSY_POLL_MS = 3  # ms that SQLite itself waits for a lock before `retry_locked` tries again
MIN_FILE_SIZE = 512  # bytes; SQLite treats a shorter file as empty

# This is one statement, so that its values are consistent while another process creates the schema.
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

OBJECTS_OF_TYPE = """
select name, tbl_name, sql
from sqlite_schema
where type = :type and sql is not null
order by rowid
"""

# Prefixes of derived tables and views. `rollup_` and `plain_` are from older versions.
DERIVED_PREFIXES = ("rollup_", "plain_", "replaced_")
# Objects of older versions that schema.sql no longer creates, and whose names do not begin with one of the prefixes.
# Triggers of removed views are not listed, because SQLite drops them with their views.
REMOVED_NAMES = frozenset(
    {
        "archive_changes",
        "collector_sessions_by_time",
        "distinct_visit_days",
        "fingerprint_days_erase",
        "heartbeat_changes",
        "late_visit_changes",
        "late_visits",
        "lead_search_runs",
        "leads_attribute",
        "leads_delete_stays",
        "leads_in_hand",
        "leads_in_stage_by_enquiry",
        "leads_in_stage_by_follow_up",
        "leads_in_stage_by_name",
        "leads_in_stage_by_risk",
        "leads_in_stage_by_score",
        "leads_keep",
        "leads_keep_follow_ups",
        "leads_keep_text",
        "leads_refresh_text",
        "leads_reindex",
        "leads_replace",
        "leads_stay",
        "leads_unattribute",
        "open_sessions",
        "past_bucket_changes",
        "past_country_changes",
        "past_country_visitor_changes",
        "past_day_changes",
        "past_day_visitor_changes",
        "past_event_changes",
        "past_fingerprint_changes",
        "past_source_changes",
        "searched_projects",
        "searched_projects_room",
        "session_changes",
        "session_day_changes",
        "session_key_changes",
        "session_measure_changes",
        "session_visit_changes",
        "sessions_attribute",
        "sessions_by_fingerprint",
        "sessions_by_visitor_and_country",
        "sessions_reattribute",
        "sessions_unattribute",
        "stage_changes",
        "status_count_changes",
        "submissions_replace",
    }
)


def read_identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the application_id and the user_version of the file, and the number of objects in its schema."""
    application_id, version, objects = connection.execute(IDENTITY).fetchone()
    return application_id, version, objects


def is_managed(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the file has the current schema; False if it is empty.

    :raises UnusableDatabase: the file has another version, or belongs to another program.
    """
    application_id, version, objects = read_identity(connection)
    if application_id != APPLICATION_ID:
        if objects == 0:
            if 0 < path.stat().st_size < MIN_FILE_SIZE:
                raise UnusableDatabase(f"{path}: {NOT_A_DATABASE}")
            return False
        raise UnusableDatabase(
            f"{path}: this is another program's database; `analytics-api import` can import its tables"
        )
    if version < VERSION:
        raise UnusableDatabase(
            f"{path}: this database has version {version}, older than {VERSION}; run `analytics-api upgrade`"
        )
    if version > VERSION:
        raise UnusableDatabase(
            f"{path}: this database has version {version}, newer than {VERSION}; use a newer analytics_api"
        )
    return True


def retry_locked(connection: sqlite3.Connection, sql: str, seconds: float) -> None:
    """Run a statement, and repeat it while the database is locked.

    SQLite's busy handler polls at growing intervals, so it can miss the short moments in which a busy writer releases
    the lock. If two connections wait for each other, SQLite does not call the handler but fails immediately.

    :param seconds: maximum time for all attempts.
    """
    until = time.monotonic() + seconds
    connection.execute(f"pragma busy_timeout = {BUSY_POLL_MS}")
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


def create_schema(connection: sqlite3.Connection, path: Path, seconds: float) -> None:
    """Create the schema in an empty file, in WAL mode.

    :param seconds: maximum time to wait for each lock.
    """
    retry_locked(connection, "pragma journal_mode = wal", seconds)  # the mode is stored in the file
    connection.execute("begin exclusive")
    try:
        if not is_managed(connection, path):  # another process may have created it
            for statement in schema_statements():
                connection.execute(statement)
            fill_case_folds(connection)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:  # after an error such as a full disk, SQLite has already rolled back
            connection.execute("rollback")
        raise


def fill_case_folds(connection: sqlite3.Connection) -> None:
    connection.executemany("insert into case_folds (letter, folded) values (?, ?)", case_folds())


def is_ours(name: str) -> bool:
    """Return whether the schema of this version or of an older one has an object with this name."""
    return (
        name in managed_names()
        or name in REMOVED_NAMES
        or name in expected_views()  # older versions stored these views in the file; now they are temporary
        or name.startswith(DERIVED_PREFIXES)
    )


@cache
def managed_names() -> frozenset[str]:
    """Return the names of all objects that schema.sql creates."""
    return frozenset(item.name for item in expected_objects(schema_statements()))


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def triggers_disabled(statements: Statements) -> AbstractContextManager[None]:
    """Drop the triggers of the schema, and create them again after the block. Triggers of other programs remain.

    MOVE_TRIGGERS remain as well. A rebuild can count rows again, but it cannot find moves that were not recorded.

    After an exception, the triggers are not created again. The caller must roll back the transaction.
    """
    return _drop_within_block(
        statements, "trigger", lambda trigger: is_ours(trigger["name"]) and trigger["name"] not in MOVE_TRIGGERS
    )


def indexes_dropped(statements: Statements, tables: Set[str]) -> AbstractContextManager[None]:
    """Drop the indexes of these tables, and create them again after the block, unless it raises an exception."""
    return _drop_within_block(statements, "index", lambda index: index["tbl_name"] in tables)


@contextmanager
def _drop_within_block(statements: Statements, kind: str, which: Callable[[Row], bool]) -> Iterator[None]:
    objects = list(filter(which, statements.rows(OBJECTS_OF_TYPE, type=kind)))
    for item in objects:
        statements.execute(f"drop {kind} {quote(item['name'])}")
    yield
    for item in objects:
        statements.execute(item["sql"])


@cache
def schema_statements() -> tuple[str, ...]:
    """Return the statements of schema.sql."""
    statements = [""]
    text = Path(__file__).parents[2].joinpath("schema.sql").read_text(encoding="utf-8")
    for line in text.splitlines(keepends=True):
        if not statements[-1] and not line.split("--")[0].strip():
            continue
        statements[-1] += line
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return tuple(statements[:-1])
