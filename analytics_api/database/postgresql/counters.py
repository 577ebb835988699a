"""Rebuild the counters from the views that define them, and compare the counters with these views."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from ..base import ARCHIVING_COUNTERS, BASE_TABLES, COUNT_COLUMNS, SITE_TABLES, Difference, compare
from ..expected import read_expected
from .connections import Connection
from .ddl import read_ddl
from .statements import Statements, lift_timeouts

# The tables whose triggers update counters, in the order in which a rebuild locks them. Another order could cause a
# deadlock with a purge, which writes to the archive before it deletes rows of the base tables.
COUNTED_TABLES = (*ARCHIVING_COUNTERS, *BASE_TABLES)

# Triggers that are never disabled, because a rebuild cannot normalize values or find moves that were not recorded.
# leads_refresh_new is faster than updating each inserted lead in the rebuild, and leaves no dead rows in the table.
ENABLED_TRIGGERS = (
    ("leads", "leads_normalize"),
    ("leads", "leads_refresh_new"),
    ("leads", "leads_move"),
    ("lead_submissions", "lead_submissions_normalize"),
)

COLUMNS = """
select name, array_agg(attname::text order by attnum) as columns
from unnest(cast(:names as text[])) as names (name)
join pg_attribute on attrelid = to_regclass('expected_' || name) and attnum > 0
group by name
"""

PRIMARY_KEY = """
select conname as name, pg_get_constraintdef(oid) as definition
from pg_constraint
where conrelid = to_regclass(:table) and contype = 'p'
"""

UPDATE_LEADS = """
update leads set
  follow_ups_count = expected.follow_ups_count,
  last_follow_up_at = expected.last_follow_up_at,
  stage_since = expected.stage_since,
  search_text = expected.search_text
from expected_leads as expected
where leads.lead_id = expected.lead_id
  and (leads.follow_ups_count, leads.last_follow_up_at, leads.stage_since, leads.search_text)
    is distinct from (
      expected.follow_ups_count, expected.last_follow_up_at, expected.stage_since, expected.search_text)
"""

# lead_changes has no rows for changes of leads that were written without triggers. Therefore these statements make all
# earlier cursors of `/changes` invalid: a cursor is a snapshot, and is valid only if the transaction in
# lead_changes_end had ended before it.
RESTART_CHANGES = (
    """
delete from lead_changes
""",
    """
update lead_changes_end
set transaction_id = pg_current_xact_id()
""",
)

# A transaction that began before the rebuild reads the former rows and settings, but may count after the rebuild. Its
# counts would be wrong. Therefore the rebuild writes the row that writer_shard() inserts for each shard. The snapshot
# of such a transaction does not contain the new rows, so the transaction fails, and is tried again.
WRITE_SHARDS = """
insert into day_counts (day, shard)
select -1, shard
from generate_series(1, 8) as shards (shard)
on conflict (day, shard) do update set sessions = day_counts.sessions
"""

# The archive refers to pages by id, so pages in the archive keep their ids.
DELETE_PAGES = (
    """
create temporary table counted_pages on commit drop as
select page, views, sessions
from expected_pages
""",
    """
delete from pages
where page_id not in (select page_id from session_pages where archived <> 0)
  and page_id not in (select page_id from archived_page_counts)
""",
)
FILL_PAGES = (
    """
update pages set
  views = counted_pages.views,
  sessions = counted_pages.sessions,
  is_sharded = false
from counted_pages
where pages.page = counted_pages.page
""",
    """
insert into pages (page, views, sessions)
select page, views, sessions
from counted_pages
where not exists (select from pages where pages.page = counted_pages.page)
order by page
""",
    """
drop table counted_pages
""",
)

# Delete the rows of keys whose sum over all shards is 0, because keys may be personal data. The lock blocks writers,
# because they could be about to increment a count in such a row. A transaction with an older snapshot fails, as after a
# rebuild, because it could refer to a deleted page.
DELETE_UNUSED = f"""
lock table sessions, events, leads, lead_submissions in share row exclusive mode;
{WRITE_SHARDS.strip()};
delete from pages
where page_id not in (select page_id from session_pages)
  and page_id not in (select page_id from archived_page_counts)
  and page_id not in (
    select key::bigint
    from key_counts
    where dimension in (4, 5) and day = -1
    group by key
    having sum(sessions) <> 0);
delete from counter_page_counts
where page_id not in (select page_id from pages);
delete from page_returns
where page_id not in (select page_id from pages);
delete from key_counts
where (dimension, day, key) not in (
  select dimension, day, key
  from key_counts
  group by dimension, day, key
  having sum(sessions) <> 0 or sum(visitors) <> 0);
delete from facet_counts
where (field, key) not in (
  select field, key
  from facet_counts
  group by field, key
  having sum(leads) <> 0);
delete from counter_follow_up_counts
where follow_ups_count = 0;
delete from identity_locks;
"""


class Counter(NamedTuple):
    """A counter with its columns. The view `expected_<name>` defines its rows."""

    name: str
    columns: tuple[str, ...]

    @property
    def view(self) -> str:
        return f"expected_{self.name}"

    @property
    def table(self) -> str:
        """The table that stores the counter. In a sharded counter, a key has several rows."""
        return f"counter_{self.name}" if f"counter_{self.name}" in counter_tables() else self.name

    @property
    def summed(self) -> str:
        """A subquery or table that has one row for each key, with the sums of its shards."""
        source = "all_time_pages" if self.name == "pages" else self.name
        counts = [column for column in self.columns if column in COUNT_COLUMNS]
        if not counts:
            return source
        keys = ", ".join(column for column in self.columns if column not in COUNT_COLUMNS)
        sums = ", ".join(f"sum({column})::bigint as {column}" for column in counts)
        return f"(select {keys}, {sums} from {source} group by {keys}) as {self.name}"


def list_counters(statements: Statements) -> list[Counter]:
    """Return the counters in the order of their views. A counter may be computed from earlier counters."""
    columns = {row["name"]: row["columns"] for row in statements.rows(COLUMNS, names=list(counter_names()))}
    return [Counter(name, tuple(columns[name])) for name in counter_names()]


@cache
def counter_names() -> tuple[str, ...]:
    return tuple(re.findall(r"^create view expected_(\w+)", read_expected() + read_ddl(), re.MULTILINE))


@cache
def counter_tables() -> tuple[str, ...]:
    """Return the tables that contain only counters, which the DDL file creates without `if not exists`."""
    return tuple(re.findall(r"^create table (?!if |case_folds|schema_objects)(\w+)", read_ddl(), re.MULTILINE))


def disable_triggers(statements: Statements) -> None:
    """Disable the triggers that update counters. Other writers wait until the transaction ends, but readers do not."""
    statements.execute(f"lock table {', '.join(COUNTED_TABLES)} in share row exclusive mode")
    for table in COUNTED_TABLES:
        statements.execute(f"alter table {table} disable trigger user")
    for table, trigger in ENABLED_TRIGGERS:
        statements.execute(f"alter table {table} enable trigger {trigger}")


def enable_triggers(statements: Statements) -> None:
    for table in COUNTED_TABLES:
        statements.execute(f"alter table {table} enable trigger user")


def rebuild(statements: Statements, on_progress: Callable[[str], object]) -> None:
    """Fill all counters from their views. The triggers must be disabled."""
    for table in (*BASE_TABLES, *SITE_TABLES):
        analyze(statements, table)
    for counter in list_counters(statements):
        on_progress(counter.name)
        if counter.name == "leads":
            statements.execute(UPDATE_LEADS)
            continue
        if counter.name == "pages":
            _run(statements, DELETE_PAGES)
            _raise_sequences(statements)  # so that new pages do not get the ids of archived pages
            _run(statements, FILL_PAGES)
        elif counter.name in ARCHIVING_COUNTERS:
            _fill_archiving_counter(statements, counter)
        else:
            columns = ", ".join(counter.columns)
            statements.execute(f"delete from {counter.table}")
            # Inserting rows in the order of the key is faster, because it fills one index page after another.
            statements.execute(
                f"insert into {counter.table} ({columns}) select {columns} from {counter.view} order by {columns}"
            )
        analyze(statements, counter.table)
    statements.execute(WRITE_SHARDS)
    _run(statements, RESTART_CHANGES)


def _run(statements: Statements, sqls: tuple[str, ...]) -> None:
    for sql in sqls:
        statements.execute(sql)


def _fill_archiving_counter(statements: Statements, counter: Counter) -> None:
    """Fill a counter whose view reads the archived counts from the counter itself.

    The table is not truncated, because a transaction whose snapshot is older than the rebuild would then see it empty.
    """
    columns = ", ".join(counter.columns)
    key = statements.rows(PRIMARY_KEY, table=counter.table)[0]
    statements.execute(f"create temporary table expected_rows on commit drop as select {columns} from {counter.view}")
    statements.execute(f"delete from {counter.table}")
    statements.execute(f"alter table {counter.table} drop constraint {key['name']}")
    statements.execute(f"insert into {counter.table} ({columns}) select {columns} from expected_rows")
    # Creating the index after inserting all rows takes half the time.
    statements.execute(f"alter table {counter.table} add constraint {key['name']} {key['definition']}")
    statements.execute("drop table expected_rows")


def _raise_sequences(statements: Statements) -> None:
    """Advance the sequences of generated ids beyond the largest id in each table."""
    for table, key in {**BASE_TABLES, "pages": "page_id"}.items():
        if table != "sessions":
            statements.execute(
                f"select setval(pg_get_serial_sequence('{table}', '{key}'), highest) "
                f"from (select max({key}) as highest from {table}) as ids where highest > 0"
            )


def analyze(statements: Statements, table: str) -> None:
    """Update the planner's statistics of a table, unless it is empty. Plans for an empty table would be slow later."""
    if statements.rows(f"select from {table} limit 1"):
        statements.execute(f"analyze {table}")


def find_differences(
    statements: Statements, second: AbstractContextManager[Connection], on_progress: Callable[[str], object]
) -> list[Difference]:
    """Return the differences between the counters and their views, in the order of the views.

    :param second: another connection, which shares the work in the same snapshot.
    """
    counters = list_counters(statements)
    remaining = iter(counters)  # each connection takes the next counter when it is free
    by_counter: dict[str, list[Difference]] = {}
    reporting = threading.Lock()

    def compare_remaining(at: Statements) -> None:
        for counter in remaining:
            with reporting:
                on_progress(counter.name)
            differences = compare(at, counter.summed, counter.view, ", ".join(counter.columns))
            by_counter[counter.name] = [replace(difference, counter=counter.name) for difference in differences]

    lift_timeouts(statements)  # first, so that no timeout ends the idle transaction while the connection opens
    snapshot = statements.rows("select pg_export_snapshot() as name")[0]["name"]
    with second as connection, ThreadPoolExecutor(1) as thread:
        other = Statements(connection)
        other.execute("begin isolation level repeatable read read only")
        lift_timeouts(other)
        other.execute(f"set transaction snapshot '{snapshot}'")
        running = thread.submit(compare_remaining, other)
        try:
            compare_remaining(statements)
        except BaseException:  # includes KeyboardInterrupt, after which the program must end soon
            list(remaining)  # exhaust the iterator, so that the thread does not start with another counter
            while not running.done():  # repeat the cancellation, because it has no effect between two statements
                connection.cancel_safe(timeout=3.0)
                wait([running], 0.1)
            raise
        running.result()
    return [difference for counter in counters for difference in by_counter[counter.name]]
