"""Rebuild the counters from the views that define them, and compare the counters with these views."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from ..base import ARCHIVING_COUNTERS, BASE_TABLES, COUNT_COLUMNS, PRIMARY_KEYS, Difference, compare, count_condition
from ..expected import expected_views
from .schema import managed_names, schema_statements
from .schema_check import expected_objects
from .statements import Statements

PREFIX = "expected_"

VIEWS = """
select name
from sqlite_schema
where type = 'view' and name like 'expected\\_%' escape '\\'
order by rowid
"""

VIEW_COLUMNS = """
select name
from pragma_table_info(:view)
order by cid
"""

# Views that several counters read, by the first counter that a rebuild fills from them. The rebuild computes their rows
# once, before it fills this counter.
SHARED_VIEWS = {"day_counts": ("visit_counts", "session_totals")}

# The tables of the views that are not named `expected_<table>`.
TABLES_OF_VIEWS = {"expected_lead_visits": "leads"}

# A rebuild fills `pages` and session_facts first, and `verify` compares them first. If session_facts is correct, they
# create this temporary view. It hides the stored view of the same name, which reads `sessions`. The views of the other
# counters then read session_facts, so the values of each session are computed only once.
COUNT_FACTS = """
create temporary view counted_sessions as
select s.*, is_vpn as vpn_suspected, entry.page as entry_page, exit.page as exit_page
from session_facts as s
left join pages as entry on entry.page_id = entry_page_id
left join pages as exit on exit.page_id = exit_page_id
"""
DROP_COUNT_FACTS = "drop view if exists temp.counted_sessions"

# Counters whose views are temporary and read the archived counts from the counter itself.
ARCHIVING_DAYS = frozenset({"visitor_days", "fingerprint_days", "session_pages"})

READ_NAME = re.compile(r"\b(?:from|join)\s+(\w+)")

WRITES = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})

# The archive refers to pages by id, so pages in the archive keep their ids.
DELETE_UNARCHIVED_PAGES = """
delete from pages
where page_id not in (
  select page_id
  from session_pages
  where archived <> 0
  union all
  select page_id
  from archived_page_counts)
"""

# Delete the pages that have no views and are neither entry nor exit pages. key_counts has a row for each entry and exit
# page.
DELETE_UNUSED_PAGES = """
delete from pages
where views = 0 and sessions = 0 and page_id not in (
  select cast(key as integer)
  from key_counts
  where dimension in (4, 5) and day = -1)
"""

CHOOSE_CODES = """
insert into project_codes (project)
select project
from frequent_projects
"""

CODE_PROJECTS = """
update leads
set project_code = (
  select code
  from project_codes
  where project = project_folded)
"""

# Remove the name of a project without leads. The row remains, because its code must not be used again.
FORGET_PROJECTS = """
update project_codes
set project = char(31) || project_id
where code not in (
  select project_code
  from leads
  where project_code is not null)
"""

# lead_changes has no rows for changes of leads that were written without triggers. Therefore these statements make all
# earlier cursors of `/changes` invalid. A cursor is the number of a change. It is invalid if the change with the next
# number was deleted. Therefore two rows are inserted, and all but the second are deleted. If there were only one, the
# change after the most recent cursor would exist, and the cursor would remain valid.
RESTART_CHANGES = (
    """
insert into lead_changes (lead_id)
values (0), (0)
""",
    """
delete from lead_changes
where change_number < (select max(change_number) from lead_changes)
""",
)

# Tables in which triggers store rows temporarily, and tables in which ANALYZE stores sample keys.
RESIDUE_TABLES = """
select name
from sqlite_schema
where type = 'table' and (name like 'replaced\\_%' escape '\\' or name = 'sqlite_stat4')
"""

# The table in which ANALYZE stores the statistics of the query planner.
STATISTICS = """
select name
from sqlite_schema
where name = 'sqlite_stat1'
"""


class Counter(NamedTuple):
    """A table whose rows, or some of whose columns, are defined by a view."""

    table: str
    view: str
    columns: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row. For pages this is the text, because a rebuild may change the ids."""
        if self.table == "pages":
            return ("page",)
        return tuple(PRIMARY_KEYS[self.table].split(", "))


def list_counters(statements: Statements) -> list[Counter]:
    """Return the counters in the order of their views, and create the views of expected.sql as temporary views.

    A counter may be computed from counters before it in this order.
    """
    for sql in expected_views().values():
        statements.execute(sql.replace("create view", "create temporary view if not exists", 1))
    stored = [view["name"] for view in statements.rows(VIEWS) if view["name"] in managed_names()]
    return [
        Counter(
            TABLES_OF_VIEWS.get(view, view.removeprefix(PREFIX)),
            view,
            tuple(column["name"] for column in statements.rows(VIEW_COLUMNS, view=view)),
        )
        for view in (*expected_views(), *stored)
        if view.startswith(PREFIX)
    ]


@contextmanager
def written_tables(connection: sqlite3.Connection) -> Iterator[set[str]]:
    """Collect the tables that statements within the block write, also through triggers."""
    tables: set[str] = set()

    def record(action: int, table: str | None, *_: Any) -> int:
        if action in WRITES:
            tables.add(str(table))
        return sqlite3.SQLITE_OK

    connection.set_authorizer(record)
    try:
        yield tables
    finally:
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)  # Python 3.10 cannot remove an authorizer


def rebuild(statements: Statements, on_progress: Callable[[str], object], written: Set[str] | None = None) -> None:
    """Fill the counters from their views. The triggers must be disabled.

    :param written: the tables that were written since all counters were exact. Only the counters that depend on
        these tables are filled. With None, all counters are filled.
    """
    _update_statistics(statements)
    counters = list_counters(statements)
    if written is not None:
        counters = _dependent_counters(counters, written)
    for counter in counters:
        on_progress(counter.table)
        for view in SHARED_VIEWS.get(counter.table, ()):
            _store_view(statements, view)
        if counter.table in BASE_TABLES:
            _update_derived(statements, counter)
        else:
            _fill(statements, counter)
        if counter.table == "session_facts":
            statements.execute(COUNT_FACTS)
    statements.execute(DROP_COUNT_FACTS)
    for counter in counters:
        for view in SHARED_VIEWS.get(counter.table, ()):
            statements.execute(f"drop table temp.{view}")
    if any(counter.view == "expected_leads" for counter in counters):
        for sql in RESTART_CHANGES:
            statements.execute(sql)
        on_progress("lead_search")
        statements.execute("insert into lead_search (lead_search) values ('rebuild')")
    # These tables have copies of rows, which triggers write and read. Without triggers, the copies became outdated.
    for table in statements.rows(RESIDUE_TABLES):
        if table["name"] != "sqlite_stat4":
            statements.execute(f"delete from {table['name']}")


def _update_statistics(statements: Statements) -> None:
    """Update the statistics of site_offsets if somebody ran ANALYZE, because the time zone may have changed since.

    UTC has one offset, other time zones up to 16,000. If SQLite expected one row, it would read all offsets for each
    session and each event.
    """
    if statements.rows(STATISTICS):
        statements.execute("analyze site_offsets")


def _dependent_counters(counters: list[Counter], written: Set[str]) -> list[Counter]:
    """Return the counters whose views read a table that was written, or read a counter that is itself returned."""
    changed, dependent = set(written), []
    for counter in counters:
        if names_read_by(counter.view) & changed:
            changed.add(counter.table)
            dependent.append(counter)
    return dependent


@cache
def names_read_by(view: str) -> frozenset[str]:
    """Return the names of the tables and views that a view of the schema reads, also through other views."""
    stored = {item.name: str(item.sql) for item in expected_objects(schema_statements()) if item.type == "view"}
    views = stored | expected_views()
    names = frozenset(READ_NAME.findall(views[view])) - {view}
    return names.union(*map(names_read_by, names & views.keys()))


def _store_view(statements: Statements, view: str) -> None:
    """Compute the rows of a temporary view once, and replace the view by a temporary table with these rows."""
    statements.execute(f"drop view temp.{view}")
    statements.execute(expected_views()[view].replace("create view", "create temporary table", 1))


def _update_derived(statements: Statements, counter: Counter) -> None:
    """Update the derived columns of a base table. The key is not set, because SQLite would then write every index."""
    [key] = counter.key
    columns = ", ".join(column for column in counter.columns if column not in (key, "project_code"))
    statements.execute(f"""
update {counter.table} set ({columns}) = (
  select {columns}
  from {counter.view} as expected
  where expected.{key} = {counter.table}.{key})
""")
    if counter.view == "expected_leads":  # a rebuild assigns the codes of projects again
        statements.execute("delete from project_codes")
        statements.execute(CHOOSE_CODES)
        statements.execute(CODE_PROJECTS)


def _fill(statements: Statements, counter: Counter) -> None:
    columns = ", ".join(counter.columns)
    insert = f"insert into main.{counter.table} ({columns}) select {columns} from {counter.view}"
    if counter.table not in ARCHIVING_COUNTERS:
        statements.execute(f"delete from main.{counter.table}")
        statements.execute(insert)
    elif counter.table in ARCHIVING_DAYS:
        with _hidden_by_archive(statements, counter.table):
            statements.execute(f"delete from main.{counter.table}")
            statements.execute(insert)
    else:
        statements.execute(
            DELETE_UNARCHIVED_PAGES if counter.table == "pages" else f"delete from {counter.table} where archived = 0"
        )
        updates = ", ".join(f"{column} = excluded.{column}" for column in counter.columns if column not in counter.key)
        statements.execute(f"{insert} where true on conflict ({', '.join(counter.key)}) do update set {updates}")


@contextmanager
def _hidden_by_archive(statements: Statements, table: str) -> Iterator[None]:
    """Create a temporary table with the name and the archived rows of a table.

    Within the block, temporary views read the temporary table. If a view read the table into which its rows are
    inserted, SQLite would first store all these rows.
    """
    statements.execute(f"create temporary table {table} as select * from main.{table} where archived <> 0")
    yield
    statements.execute(f"drop table temp.{table}")


def empty_row_deletions(statements: Statements) -> list[str]:
    """Return a statement for each counter that deletes the rows whose counts are all 0.

    Triggers do not delete them, because searching for them would slow every write.
    """
    deletions = []
    for counter in list_counters(statements):
        columns = [f"{column} = 0" for column in counter.columns if column in COUNT_COLUMNS]
        if columns and counter.table not in (*ARCHIVING_COUNTERS, *BASE_TABLES):
            deletions.append(f"delete from {counter.table} where {' and '.join(columns)}")
    return [*deletions, DELETE_UNUSED_PAGES]


def delete_residue(statements: Statements) -> None:
    """Delete the data of deleted rows that remains in other tables.

    These are the tables replaced_*, sqlite_stat4, counters (the rows whose counts are all 0), project_codes and the
    search index.
    """
    for table in statements.rows(RESIDUE_TABLES):
        statements.execute(f"delete from {table['name']}")
    for deletion in empty_row_deletions(statements):
        statements.execute(deletion)
    statements.execute(FORGET_PROJECTS)
    statements.execute("insert into lead_search (lead_search) values ('rebuild')")


def find_differences(statements: Statements, on_progress: Callable[[str], object]) -> Iterator[Difference]:
    """Yield the differences between the counters and their views. Rows whose counts are all 0 are ignored."""
    try:
        for counter in list_counters(statements):
            on_progress(counter.table)
            if not _matches(statements, counter):
                yield from compare(statements, counter.table, counter.view, ", ".join(counter.columns))
            elif counter.table == "session_facts":
                statements.execute(COUNT_FACTS)
    finally:
        statements.execute(DROP_COUNT_FACTS)


def _matches(statements: Statements, counter: Counter) -> bool:
    """Return whether a counter and its view have the same rows.

    The keys are unique. The rows are the same if the counter, the view and their intersection have equally many rows.
    """
    where = count_condition(counter.columns)
    same = " and ".join(f"stored.{column} is expected.{column}" for column in counter.columns)
    [counts] = statements.tuples(f"""
select (select count(*) from {counter.table} {where}), count(*),
  count(nullif(exists (select 1 from {counter.table} as stored where {same}), false))
from {counter.view} as expected
{where}
""")
    return len(set(counts)) == 1
