"""Open connections to untrusted files, with limits on operations, time and the size of values."""

from __future__ import annotations

import math
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

Authorizer = Callable[[int, "str | None", "str | None", "str | None", "str | None"], int]

MAX_VALUE_BYTES = 1 << 22  # maximum size of a value and of a row
MAX_PATTERN_LENGTH = 64  # for the pattern of `replace`; the sqlite3 shell writes patterns of two characters
STATEMENT_SECONDS = 20  # timeout of a statement
PROGRESS_STEPS = 1_000  # instructions of SQLite's virtual machine between two checks of the timeout


class AuthorizedConnection(sqlite3.Connection):
    """A connection with an authorizer in Python, and a timeout for each statement.

    If the user presses Ctrl+C while the authorizer runs, the KeyboardInterrupt is lost, and SQLite reports "not
    authorized". Therefore a statement with this error is run a second time. If the second run succeeds, the statement
    is allowed, so the user has pressed Ctrl+C, and KeyboardInterrupt is raised.
    """

    deadline = math.inf

    def is_over_time(self) -> bool:
        return time.monotonic() > self.deadline

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        self.deadline = time.monotonic() + STATEMENT_SECONDS
        try:
            return super().execute(*statement)
        except sqlite3.DatabaseError as error:
            if str(error) == "interrupted":
                raise sqlite3.OperationalError(f"a statement took more than {STATEMENT_SECONDS} s") from None
            if not str(error).startswith(("not authorized", "access to ")):
                raise
            super().execute(*statement)
            raise KeyboardInterrupt from None


def connect(name: str, stack: ExitStack, authorizer: Authorizer | None = None) -> sqlite3.Connection:
    """Open a connection with the limits of this module. The stack closes it."""
    # No statement is repeated, so a statement cache would only use memory.
    database = sqlite3.connect(name, uri=True, isolation_level=None, cached_statements=0, factory=AuthorizedConnection)
    stack.enter_context(closing(database))
    if authorizer is not None:  # Python 3.10 interprets None as a function that denies everything
        database.set_authorizer(authorizer)
    # `pragma trusted_schema = off` is not needed for untrusted files, because views are denied, and the only functions
    # are SQLite's own and those below.
    database.execute("pragma ignore_check_constraints = on")
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    database.set_progress_handler(database.is_over_time, PROGRESS_STEPS)
    database.create_function("replace", 3, _replace, deterministic=True)
    database.create_function("instr", 2, _instr, deterministic=True)
    _replace_unsafe_functions(database, _refuse_call)
    return database


# One call of one of these functions can take hours. The time limit does not interrupt it, because SQLite does not call
# the progress handler during the call.
SLOW_FUNCTIONS = (
    *(("printf", -1), ("format", -1), ("like", 2), ("like", 3), ("glob", 2)),
    *(("trim", 2), ("ltrim", 2), ("rtrim", 2), ("unhex", 2)),
)
# A number below -1 is a minimum of arguments. Only functions like `coalesce` have one, and they cannot be replaced.
ALL_FUNCTIONS = """
select name, narg
from pragma_function_list
where type = 's'
  and narg >= -1
"""


@cache
def _list_unsafe_functions() -> list[tuple[str, int]]:
    """Return the slow functions, and those that are not in FUNCTIONS, with the number of their arguments.

    The authorizer is not enough, because SQLite does not ask it about the functions in the default of a column.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        functions = database.execute(ALL_FUNCTIONS).fetchall()
    return [function for function in functions if function in SLOW_FUNCTIONS or function[0] not in FUNCTIONS]


def _replace_unsafe_functions(database: sqlite3.Connection, by: Callable[..., None]) -> None:
    for function, arguments in _list_unsafe_functions():
        database.create_function(function, arguments, by, deterministic=True)


def _replace(text: object, pattern: object, by: object) -> str | None:
    """Implement SQLite's `replace` in time proportional to the length of the text."""
    if text is None or pattern is None or by is None:
        return None
    text, pattern, by = str(text), str(pattern), str(by)
    if not pattern:
        return text
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ValueError("a long pattern")
    if len(text) + text.count(pattern) * max(len(by) - len(pattern), 0) > MAX_VALUE_BYTES:
        raise ValueError("a long result")
    return text.replace(pattern, by)


def _instr(text: object, part: object) -> int | None:
    """Implement SQLite's `instr` in time proportional to the length of the text."""
    if isinstance(text, bytes) and isinstance(part, bytes):
        return text.find(part) + 1
    return None if text is None or part is None else str(text).find(str(part)) + 1


def _refuse_call(*arguments: object) -> None:
    raise ValueError("this function is not allowed in an export")


def _return_null(*arguments: object) -> None:
    """Do nothing. Only the check of a file calls this function, for generated columns, which are not imported."""


# Tables are checked one by one, without virtual tables, whose `rootpage` is 0. Since SQLite 3.44, a check of the whole
# database includes virtual tables, which needs rights that the authorizer denies.
CHECK_TABLES = """
select quick_check
from sqlite_master as tables
join pragma_quick_check(tables.name)
where type = 'table'
  and rootpage > 0
"""


def open_file(path: str, header: bytes, stack: ExitStack) -> sqlite3.Connection:
    """Open an SQLite file read-only, and check its structure.

    :param header: the first bytes of the file; byte 19 is 2 in WAL mode.
    :raises sqlite3.Error: the file is damaged.
    """
    path, mode = os.path.realpath(path), "mode=ro"  # the files -wal and -shm are beside the file that a link names
    # SQLite creates the files -wal and -shm when it opens a file in WAL mode, even for reading. To prevent this, open
    # the file as immutable, or open a copy if the file has a write-ahead log. If -shm exists, another process may have
    # the file open, so open the file itself.
    if header[19:20] == b"\2" and not os.path.exists(path + "-shm"):
        log = path + "-wal"
        if os.path.exists(log) and os.path.getsize(log):
            copy = make_temporary_path(stack)
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy + "-wal")
            path = copy
        else:
            mode = "mode=ro&immutable=1"

    database = connect(f"{Path(path).as_uri()}?{mode}", stack, authorize_opening)
    database.execute("pragma cell_size_check = on")
    _replace_unsafe_functions(database, _return_null)
    for (fault,) in database.execute(CHECK_TABLES).fetchall():
        # A fault with " value in " is a null or a type that violates the declaration. The import converts such values.
        if fault != "ok" and " value in " not in fault:
            raise sqlite3.DatabaseError(fault)
    make_read_only(database)
    return database


def open_empty(stack: ExitStack) -> sqlite3.Connection:
    """Open an empty database in a temporary file, which SQLite deletes."""
    database = connect("", stack)
    # The journal is needed to roll back a failed statement of several rows. The rows are then inserted one by one.
    for pragma in ("journal_mode = memory", "synchronous = off", "foreign_keys = off"):
        database.execute(f"pragma {pragma}")
    try:
        database.execute("select unistr('')")
    except sqlite3.OperationalError:  # SQLite before 3.50
        database.create_function("unistr", 1, _unistr, deterministic=True)
    return database


def make_temporary_path(stack: ExitStack) -> str:
    """Return a path for a temporary file. The stack deletes it."""
    return os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "database")


ESCAPE = re.compile(r"\\(?:(\\)|u?([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|U([0-9A-Fa-f]{8}))?")


def _unistr(text: str | None) -> str | None:
    r"""Decode the escapes `\XXXX`, `\uXXXX`, `\+XXXXXX`, `\UXXXXXXXX` and `\\`."""

    def character(escape: re.Match[str]) -> str:
        if escape.lastindex is None:
            raise ValueError("invalid escape after a backslash")
        return "\\" if escape[1] else chr(int(escape[escape.lastindex], 16))

    return None if text is None else ESCAPE.sub(character, text)


HARMLESS_FUNCTIONS = """
    abs avg ceil ceiling char coalesce concat concat_ws count current_date current_time current_timestamp date
    datetime floor format glob group_concat hex ifnull iif instr json json_array json_array_length json_extract
    json_object json_quote json_type json_valid julianday length like lower ltrim max min mod nullif octet_length
    power printf quote replace round rtrim sign strftime substr substring sum time timediff total trim trunc typeof
    unhex unicode unistr unixepoch upper -> ->>"""
FUNCTIONS = frozenset(HARMLESS_FUNCTIONS.split())
# The sqlite3 shell and wrangler write some strings as calls of these functions.
ROW_FUNCTIONS = frozenset(["char", "replace", "unistr"])
# Creating a table with a unique or primary key also creates an index.
LOADING = frozenset(
    [sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_READ]
)
READING = frozenset([sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_TRANSACTION])
OPENING_PRAGMAS = frozenset(["ignore_check_constraints", "cell_size_check", "quick_check"])
READING_PRAGMAS = frozenset(["page_count", "page_size", "table_info", "table_list", "table_xinfo"])


def make_read_only(database: sqlite3.Connection) -> None:
    """Allow only reading tables and the names of their columns. Views are denied, because they contain expressions."""
    database.set_authorizer(authorize_reading)
    database.execute("pragma query_only = on")


def authorize_reading(action: int, first: str | None, second: str | None, _: str | None, view: str | None) -> int:
    """Allow only reading tables."""
    allowed = view is None and (
        action in READING
        or (action == sqlite3.SQLITE_FUNCTION and second in FUNCTIONS)
        or (action == sqlite3.SQLITE_PRAGMA and first in READING_PRAGMAS)
        or (action == sqlite3.SQLITE_PRAGMA and (first, second) == ("query_only", "on"))
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def authorize_opening(action: int, first: str | None, second: str | None, third: str | None, view: str | None) -> int:
    """Allow only reading tables and checking the structure of the file."""
    if action == sqlite3.SQLITE_PRAGMA and first in OPENING_PRAGMAS:
        return sqlite3.SQLITE_OK
    # Older versions of SQLite request this right for `pragma_quick_check`. Nothing is written to the read-only file.
    if (action, first) == (sqlite3.SQLITE_UPDATE, "sqlite_master"):
        return sqlite3.SQLITE_OK
    return authorize_reading(action, first, second, third, view)
