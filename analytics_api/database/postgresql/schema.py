"""Identify the version of a PostgreSQL database, and create the schema from the DDL file."""

from __future__ import annotations

from hashlib import sha256

import psycopg

from ...errors import DatabaseError, UnusableDatabase
from ..base import PRIMARY_KEYS, TRANSIENT_TABLES
from ..expected import read_expected
from ..folding import case_folds
from .connections import first_line
from .ddl import read_ddl
from .schema_check import record_objects
from .statements import Statements

VERSION = 3
OLDEST_SERVER = 150_000

INSPECT = """
select current_setting('server_version_num')::integer as server, current_setting('server_encoding') = 'UTF8' as is_utf8,
  current_schema() as schema, array(
    select relname::text
    from pg_class
    where relnamespace = current_schema()::regnamespace and relname = any (:names)) as names
"""

META_COLUMNS = """
select attname
from pg_attribute
where attrelid = 'analytics_meta'::regclass and attnum > 0 and not attisdropped
"""

# Returns the digest of the DDL file that created the schema.
DIGEST = """
select obj_description('analytics_meta'::regclass, 'pg_class') as digest
"""

# Sets the search path with which functions are created. pg_temp is last, so that a temporary table cannot hide a table
# of the schema.
SET_SEARCH_PATH = """
select set_config('search_path', format('%I, %I, pg_temp', current_schema(), nspname), true)
from pg_extension
join pg_namespace on pg_namespace.oid = extnamespace
where extname = 'pg_trgm'
"""


def read_version(statements: Statements, name: str) -> int | None:
    """Return the version of the schema, or None if it does not exist.

    :raises UnusableDatabase: another program's tables have the same names, or the server is not supported.
    """
    state = statements.rows(INSPECT, names=["analytics_meta", *PRIMARY_KEYS, *TRANSIENT_TABLES])[0]
    if state["server"] < OLDEST_SERVER:
        raise UnusableDatabase(f"{name}: PostgreSQL 15 or later is required; this server is older")
    if state["schema"] is None:
        raise UnusableDatabase(f"{name}: no schema of the connection's search_path exists")
    if not state["is_utf8"]:  # checked before the names, which are bytes in a database without an encoding
        raise UnusableDatabase(
            f"{name}: the encoding must be UTF8: create the database by createdb -E UTF8 -T template0"
        )
    if "analytics_meta" in state["names"] and [row["attname"] for row in statements.rows(META_COLUMNS)] == ["version"]:
        versions = statements.rows("select version from analytics_meta")
        if len(versions) == 1:
            version: int = versions[0]["version"]
            return version
    elif not state["names"]:
        return None
    raise UnusableDatabase(
        f"{name}: the schema {state['schema']} contains another program's tables ({', '.join(sorted(state['names']))})"
        "; select another schema: ?options=-csearch_path%3Danalytics"
    )


def check_version(statements: Statements, name: str) -> bool:
    """Return whether the schema exists and has the current version; False if it does not exist.

    :raises UnusableDatabase: the schema has another version, or belongs to another program.
    """
    version = read_version(statements, name)
    if version is None:
        return False
    if version < VERSION:
        raise UnusableDatabase(
            f"{name}: this database has version {version}, older than {VERSION}; run `analytics-api upgrade`"
        )
    if version > VERSION:
        raise UnusableDatabase(
            f"{name}: this database has version {version}, newer than {VERSION}; use a newer analytics_api"
        )
    return True


def create_schema(statements: Statements, name: str) -> None:
    """Create the schema, unless another process has created it meanwhile."""
    statements.execute("begin")
    # Only one process at a time may create a schema in the database. All schemas share the extension, and if two
    # processes created it at the same time, one of them would fail.
    statements.execute("select pg_advisory_xact_lock(hashtextextended('analytics_api', 0))")
    if not check_version(statements, name):
        apply_ddl(statements, name)
        record_objects(statements)
    statements.execute("commit")


def apply_ddl(statements: Statements, name: str) -> None:
    """Run the DDL file in the first schema of the search path."""
    try:
        statements.execute("create extension if not exists pg_trgm")
    except psycopg.Error as error:
        raise DatabaseError(
            f"{name}: the extension pg_trgm cannot be created ({first_line(error)}); install PostgreSQL's contrib "
            "modules, and as the owner of the database run: create extension pg_trgm"
        ) from error
    statements.execute(SET_SEARCH_PATH)
    statements.connection.execute((read_ddl() + read_expected()).encode())
    statements.copy("case_folds (letter, folded)", case_folds())
    # Without statistics, the planner assumes that these tables have hundreds of rows.
    statements.execute("analyze site, site_offsets")
    statements.execute("delete from analytics_meta")
    statements.execute("insert into analytics_meta (version) values (:version)", version=VERSION)
    statements.execute(f"comment on table analytics_meta is '{ddl_digest()}'")


def is_current(statements: Statements) -> bool:
    """Return whether the schema was created from this DDL file, not from an unreleased one with the same version."""
    return bool(statements.rows(DIGEST)[0]["digest"] == ddl_digest())


def ddl_digest() -> str:
    return sha256((read_ddl() + read_expected()).encode()).hexdigest()
