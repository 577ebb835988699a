"""The counters of a database file: rebuilt from the views that say what they are to hold, and compared with these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..base import ARCHIVING_COUNTERS, BASE_TABLES, PRIMARY_KEYS, Difference, compare, count_condition
from .schema import managed_names
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

# What is archived refers to pages by their ids.
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

# What triggers remember of rows, and samples of keys that `analyze` took.
RESIDUE_TABLES = """
select name
from sqlite_schema
where type = 'table' and (name like 'replaced\\_%' escape '\\' or name = 'sqlite_stat4')
"""


class Counter(NamedTuple):
    """A table whose rows, or whose derived columns, are what a view says."""

    table: str
    view: str
    columns: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that name a row: a page is named by its text, since ids may differ."""
        if self.table == "pages":
            return ("page",)
        return tuple(PRIMARY_KEYS[self.table].split(", "))


def list_counters(statements: Statements) -> list[Counter]:
    """Return the counters in the order of the schema, in which one may be computed from those before it."""
    return [
        Counter(
            view["name"].removeprefix(PREFIX),
            view["name"],
            tuple(column["name"] for column in statements.rows(VIEW_COLUMNS, view=view["name"])),
        )
        for view in statements.rows(VIEWS)
        if view["name"] in managed_names()
    ]


def rebuild(statements: Statements, on_progress: Callable[[str], object]) -> None:
    """Fill every counter from its view; our triggers must be disabled."""
    for counter in list_counters(statements):
        on_progress(counter.table)
        if counter.table in BASE_TABLES:
            _update_derived(statements, counter)
        else:
            _fill(statements, counter)
    on_progress("lead_search")
    statements.execute("insert into lead_search (lead_search) values ('rebuild')")
    for table in statements.rows(RESIDUE_TABLES):  # triggers believe it, and rows may have come and gone without them
        if table["name"] != "sqlite_stat4":
            statements.execute(f"delete from {table['name']}")


def _update_derived(statements: Statements, counter: Counter) -> None:
    """Update the derived columns of a base table; not its key, so that not all its indexes are written."""
    [key] = counter.key
    columns = ", ".join(column for column in counter.columns if column not in (key, "project_code"))
    statements.execute(f"""
update {counter.table} set ({columns}) = (
  select {columns}
  from {counter.view} as expected
  where expected.{key} = {counter.table}.{key})
""")
    if counter.table == "leads":  # the codes go by the texts
        statements.execute("delete from project_codes")
        statements.execute(CHOOSE_CODES)
        statements.execute(CODE_PROJECTS)


def _fill(statements: Statements, counter: Counter) -> None:
    if counter.table == "pages":
        statements.execute(DELETE_UNARCHIVED_PAGES)
    elif counter.table in ARCHIVING_COUNTERS:  # the view reads what is archived from the table itself
        statements.execute(f"delete from {counter.table} where archived = 0")
    else:
        statements.execute(f"delete from {counter.table}")
    columns = ", ".join(counter.columns)
    conflict = ""
    if counter.table in ARCHIVING_COUNTERS:
        updates = ", ".join(f"{column} = excluded.{column}" for column in counter.columns if column not in counter.key)
        conflict = f"where true on conflict ({', '.join(counter.key)}) do update set {updates}"
    statements.execute(f"insert into {counter.table} ({columns}) select {columns} from {counter.view} {conflict}")


def find_differences(statements: Statements, on_progress: Callable[[str], object]) -> Iterator[Difference]:
    """Generate where the counters differ from their views; rows that count nothing are ignored."""
    for counter in list_counters(statements):
        on_progress(counter.table)
        if not _matches(statements, counter):
            yield from compare(statements, counter.table, counter.view, ", ".join(counter.columns))


def _matches(statements: Statements, counter: Counter) -> bool:
    """Return whether a counter holds the rows of its view and no others. Their keys are distinct, so counts suffice."""
    where = count_condition(counter.columns)
    same = " and ".join(f"stored.{column} is expected.{column}" for column in counter.columns)
    [counts] = statements.tuples(f"""
select (select count(*) from {counter.table} {where}), count(*),
  count(nullif(exists (select 1 from {counter.table} as stored where {same}), false))
from {counter.view} as expected
{where}
""")
    return len(set(counts)) == 1
