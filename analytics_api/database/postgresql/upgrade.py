"""Upgrade a PostgreSQL database of an older version."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator

import psycopg

from ...errors import DatabaseError
from ...values.timestamps import MIN_SECONDS, MIN_TIMESTAMP
from ..base import BASE_TABLES, ignore_progress
from ..campaigns import archive_campaigns
from ..expected import read_expected
from .connections import connect, first_line, parse_url
from .counters import disable_triggers, enable_triggers, rebuild
from .ddl import read_ddl
from .past import archive_past
from .schema import VERSION, apply_ddl, check_version, is_current, read_version
from .schema_check import can_compare, changed_indexes, find_schema_differences, record_objects
from .statements import Statements, lift_timeouts

log = logging.getLogger(__name__)

# Returns statements that drop the views, and the tables whose rows are not kept, such as counters. The DDL file creates
# them again. Versions before 3 used other names, most of them with the prefix `plain_`, `rollup_`, `kept_` or `split_`.
DERIVED = """
select format('drop %s if exists %I cascade', case relkind when 'v' then 'view' else 'table' end, relname) as sql
from pg_class
where relnamespace = current_schema()::regnamespace and relkind in ('r', 'v')
  and (relname ~ '^(plain|rollup|kept|split)_|^visit_days$|^distinct_visits$' or relname = any (:names))
  and not (relname = any (:kept_tables) and relkind = 'r')
"""

# Returns statements that drop trigger functions with their triggers, functions that only older versions have, and
# functions whose parameters had other names in older versions. `create or replace function` cannot rename a parameter.
OLD_FUNCTIONS = """
select format('drop routine if exists %s cascade', pg_proc.oid::regprocedure) as sql
from pg_proc
where pronamespace = current_schema()::regnamespace
  and proname ~ concat(
    '^((sessions|events|leads|lead_submissions|lead_status_changes|past_[a-z_]+)_(insert|update|delete|truncate|ids)',
    '|keep_lead|writer_slot|past_truncate|delete_uncounted|adding_to_pages|session_dimensions|build_page_counts',
    '|count_changes|session_pages_erase|stages_refresh|casefold|site_day)$')
"""

# Changes to columns, constraints and indexes of older tables.
PREPARE_TABLES = """
alter table sessions
  drop constraint if exists sessions_started_at_check,
  drop column if exists day,
  drop column if exists minute,
  drop column if exists geo,
  drop column if exists source,
  drop column if exists bucket;
alter table events
  drop constraint if exists events_occurred_at_check,
  drop column if exists minute,
  drop column if exists page;
alter table leads
  drop constraint if exists enquiry_datetime_of_1300_bytes_at_most;
drop index if exists status_changes_by_lead;
alter table lead_submissions
  drop constraint if exists submitted_at_of_1300_bytes_at_most;
drop function if exists utc_day;
drop index if exists session_pages_by_day;
alter table if exists session_pages
  drop constraint if exists session_pages_pkey,
  add constraint session_pages_pkey primary key (day, session_id, page_id) include (views, archived);
alter index if exists leads_in_stage_by_enquiry rename to leads_in_status_by_enquiry;
alter index if exists leads_in_stage_by_follow_up rename to leads_in_status_by_follow_up;
alter index if exists leads_in_stage_by_score rename to leads_in_status_by_score;
alter index if exists leads_in_stage_by_score_falling rename to leads_in_status_by_score_falling;
alter index if exists leads_in_stage_by_risk rename to leads_in_status_by_risk;
alter index if exists leads_in_stage_by_name rename to leads_in_status_by_name;
"""

# Older versions accepted any integer from 0 as a timestamp, so trackers may have written seconds.
INSTANTS = {"sessions": "started_at", "events": "occurred_at"}

MULTILINE_DOTALL = re.MULTILINE | re.DOTALL

DATES = {"leads": "enquiry_datetime", "lead_submissions": "submitted_at"}

CONSTRAINT = re.compile(r"^ +constraint (\w+)(?:\n +| )(check \(.*\)),?(?: +--.*)?$", re.MULTILINE)


def upgrade(url: str, *, on_progress: Callable[[str], object] = ignore_progress) -> int:
    """Upgrade a database to this version, and return its former version.

    No row is lost. The upgrade is one transaction, so after an error the database is unchanged. Base tables and archive
    tables are altered in place and keep their privileges. The counters are rebuilt. The log says how many values were
    converted to satisfy new constraints.

    :param on_progress: called with the name of each counter.
    :raises DatabaseError: the database cannot be upgraded.
    """
    dsn, name = parse_url(url, "read-write")
    try:
        with connect(dsn) as connection:
            statements = Statements(connection)
            statements.execute("begin isolation level read committed")
            version = read_version(statements, name)
            if version is None:
                raise DatabaseError(f"{name}: this database does not exist; `analytics-api init` creates it")
            if version > VERSION:
                check_version(statements, name)
            is_unchanged = version == VERSION and is_current(statements) and can_compare(statements)
            if is_unchanged and not find_schema_differences(statements):
                return version
            lines = list(_migrate(statements, name, on_progress))
            statements.execute("commit")
            for line in lines:
                log.warning("%s: %s", name, line)
            return version
    except psycopg.Error as error:
        raise DatabaseError(f"{name}: not upgraded, nothing was changed: {first_line(error)}") from error


def _migrate(statements: Statements, name: str, on_progress: Callable[[str], object]) -> Iterator[str]:
    """Drop and create all objects except the tables with data. Yield a message for each kind of converted value."""
    lift_timeouts(statements)
    statements.execute(f"lock table {', '.join(BASE_TABLES)} in share row exclusive mode")
    created = set(re.findall(r"^create (?:view|table) (\w+)", read_ddl() + read_expected(), re.MULTILINE))
    kept_tables = re.findall(r"^create table if not exists (\w+)", read_ddl(), re.MULTILINE)
    indexes = changed_indexes(statements)  # read before schema_objects is dropped
    for sql in (
        *statements.rows(DERIVED, names=[*created, *kept_tables], kept_tables=kept_tables),
        *statements.rows(OLD_FUNCTIONS),
    ):
        statements.execute(sql["sql"])
    statements.execute("drop type if exists page_count cascade")
    for index in indexes:
        statements.execute(f"drop index if exists {index}")
    statements.connection.execute(PREPARE_TABLES.encode())
    _add_columns(statements)
    for table, column in INSTANTS.items():
        yield from _convert_instants(statements, table, column)
    apply_ddl(statements, name)
    disable_triggers(statements)
    for table, column in DATES.items():
        yield from _convert_dates(statements, table, column)
    _add_constraints(statements)
    archive_past(statements)
    archive_campaigns(statements)
    rebuild(statements, on_progress)
    enable_triggers(statements)
    record_objects(statements)


def _add_columns(statements: Statements) -> None:
    """Add missing columns to the tables. An older version did not have them, or another program dropped them."""
    for table, body in re.findall(
        r"^create (?:unlogged )?table if not exists (\w+) \((.*?)^\)", read_ddl(), MULTILINE_DOTALL
    ):
        for item in split_definitions(body):
            if not item.startswith(("constraint ", "primary key ", "check ", "unique ")):
                statements.execute(f"alter table if exists {table} add column if not exists {item}")


def split_definitions(body: str) -> list[str]:
    """Split the columns and constraints of a table at the commas outside parentheses. Comments are removed."""
    items, depth = [""], 0
    for letter in re.sub(r"--.*", "", body):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            items.append("")
        else:
            items[-1] += letter
    return [item.strip() for item in items]


def _convert_instants(statements: Statements, table: str, column: str) -> Iterator[str]:
    early = statements.execute(
        f"update {table} set {column} = {MIN_TIMESTAMP} where {column} < {MIN_SECONDS}",
    )
    seconds = statements.execute(f"update {table} set {column} = {column} * 1000 where {column} < {MIN_TIMESTAMP}")
    if early:
        yield f"{table}.{column}: {early} values before 1973-03-03 were changed to 1973-03-03"
    if seconds:
        yield f"{table}.{column}: {seconds} values in seconds were converted to milliseconds"


def _convert_dates(statements: Statements, table: str, column: str) -> Iterator[str]:
    pattern = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)?$"
    normalized = statements.execute(
        f"update {table} set {column} = normalized_date({column}) where normalized_date({column}) <> {column}"
    )
    emptied = statements.execute(f"update {table} set {column} = '' where {column} !~ :pattern", pattern=pattern)
    if emptied:
        yield f"{table}.{column}: {emptied} values that are not dates were changed to empty strings"
    if normalized:
        yield f"{table}.{column}: {normalized} values in other formats were converted to YYYY-MM-DD HH:MM:SS"


def _add_constraints(statements: Statements) -> None:
    """Add the named check constraints of the DDL file to the base tables. Replace existing ones."""
    for table in BASE_TABLES:
        [body] = re.findall(rf"^create table if not exists {table} \((.*?)^\);", read_ddl(), MULTILINE_DOTALL)
        for constraint, check in CONSTRAINT.findall(body):
            statements.execute(f"alter table {table} drop constraint if exists {constraint}")
            statements.execute(f"alter table {table} add constraint {constraint} {check}")
