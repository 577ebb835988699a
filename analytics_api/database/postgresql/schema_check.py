"""Find objects of the schema that another program has removed or changed.

The table schema_objects contains the MD5 of the definition of each object, as PostgreSQL printed it when the schema was
created.
"""

from __future__ import annotations

import re
from functools import cache

from ..base import Row
from ..expected import read_expected
from .ddl import read_ddl
from .statements import Statements

NAME = re.compile(
    r"^create (?:or replace )?(?:unlogged |unique )?(?:table|view|index|function|procedure|aggregate) "
    r"(?:if not exists )?(\w+)",
    re.MULTILINE,
)
# The DDL file creates some trigger functions in loops, with names such as `sessions_insert`. COUNTED finds the tables,
# and EVENTS has the second parts of the names.
COUNTED = re.compile(r"^call count_changes\('(\w+)'|^    \('(\w+)', '\w+'\)", re.MULTILINE)
EVENTS = ("insert", "delete", "update", "ids")

# A trigger belongs to the schema if its function does. For a table or column, the definition is an empty string, so
# only its name is compared. A changed type of a column does no harm, and is not reported.
OBJECTS = """
with relations as (
  select oid, relname::text as name, relkind
  from pg_class
  where relnamespace = current_schema()::regnamespace and relname = any (:names)),
functions as (
  select oid, proname::text as name, prokind
  from pg_proc
  where pronamespace = current_schema()::regnamespace and proname = any (:names))
select case relkind when 'r' then 'table' when 'v' then 'view' else 'index' end as kind, name,
  case relkind when 'v' then pg_get_viewdef(oid) when 'i' then pg_get_indexdef(oid) else '' end as definition
from relations
where relkind in ('r', 'v', 'i')
union all
select 'column', relations.name || '.' || attname, ''
from pg_attribute
join relations on relations.oid = attrelid and relkind = 'r'
where attnum > 0 and not attisdropped
union all
select 'function', name || '(' || pg_get_function_identity_arguments(oid) || ')',
  case prokind when 'a' then '' else pg_get_functiondef(oid) end
from functions
union all
select 'trigger', tgname::text, tgenabled::text || ' ' || pg_get_triggerdef(pg_trigger.oid)
from pg_trigger
join functions on functions.oid = tgfoid
where not tgisinternal
"""

DELETE_OBJECTS = """
delete from schema_objects
"""
INSERT_OBJECTS = f"""
insert into schema_objects (kind, name, definition, server_version)
select kind, name, md5(definition), current_setting('server_version_num')::integer / 10000
from ({OBJECTS}) as objects
"""

# The role may lack the privilege to read schema_objects, and databases of earlier versions do not have this table.
CAN_CHECK = """
select coalesce(has_table_privilege(to_regclass('schema_objects'), 'select'), false) as answer
"""

# Another major version of PostgreSQL may print a definition differently, so `is_comparable` says whether this one has
# recorded it. If pg_restore has created the views from a backup, PostgreSQL adds names of columns when it prints them.
# `restored` is the definition without these names.
DIFFERENCES = f"""
select stored.kind, stored.name, objects.name is null as is_missing,
  stored.server_version = current_setting('server_version_num')::integer / 10000 as is_comparable
from schema_objects as stored
left join ({OBJECTS}) as objects on objects.kind = stored.kind and objects.name = stored.name
cross join lateral (
  values (replace(replace(replace(
    objects.definition, '::text AS text', '::text'), '::bigint AS int8', '::bigint'), 'FROM ( VALUES', 'FROM (VALUES'))
) as restored (definition)
where objects.name is null or stored.definition not in (md5(objects.definition), md5(restored.definition))
order by stored.kind, stored.name
"""

ARE_COMPARABLE = """
select coalesce(bool_and(server_version = current_setting('server_version_num')::integer / 10000), false) as answer
from schema_objects
"""


def record_objects(statements: Statements) -> None:
    """Store the digests of the definitions of the schema's objects."""
    statements.execute(DELETE_OBJECTS)
    statements.execute(INSERT_OBJECTS, names=object_names())


def find_schema_differences(statements: Statements) -> list[str]:
    """Return a message for each object that differs, such as "the trigger events_insert is missing".

    The columns of a missing table are not listed. Definitions that another major version of PostgreSQL has recorded are
    not compared. The list is empty if the role cannot read schema_objects.
    """
    differences = [row for row in read_differences(statements) if row["is_missing"] or row["is_comparable"]]
    tables = {row["name"] for row in differences if row["kind"] == "table"}
    return [
        f"the {row['kind']} {row['name']} {'is missing' if row['is_missing'] else 'was changed'}"
        for row in differences
        if row["kind"] != "column" or row["name"].partition(".")[0] not in tables
    ]


def can_compare(statements: Statements) -> bool:
    """Return whether this major version of PostgreSQL has recorded the definitions, and the role can read them."""
    return bool(statements.rows(CAN_CHECK)[0]["answer"] and statements.rows(ARE_COMPARABLE)[0]["answer"])


def changed_indexes(statements: Statements) -> list[str]:
    """Return the names of the indexes that were changed.

    After an upgrade to another major version of PostgreSQL, they may include indexes that it only prints differently.
    """
    return [row["name"] for row in read_differences(statements) if row["kind"] == "index" and not row["is_missing"]]


def read_differences(statements: Statements) -> list[Row]:
    """Return `kind`, `name`, `is_missing` and `is_comparable` of each object that differs."""
    if not statements.rows(CAN_CHECK)[0]["answer"]:
        return []
    return statements.rows(DIFFERENCES, names=object_names())


@cache
def object_names() -> list[str]:
    """Return the names of the tables, views, indexes and functions that the DDL file creates."""
    ddl = read_ddl()
    tables = {name for names in COUNTED.findall(ddl) for name in names if name}
    return [
        *NAME.findall(ddl + read_expected()),
        *(f"{table}_{event}" for table in sorted(tables) for event in EVENTS),
    ]
