"""Connections onto untrusted files, with limits on what SQLite may do, on time, and on the size of values."""

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
from pathlib import Path
from typing import Any

Authorizer = Callable[[int, "str | None", "str | None", "str | None", "str | None"], int]

MAX_VALUE_BYTES = 1 << 22  # of a value, and of a row
MAX_PATTERN_LENGTH = 64  # of what `replace` looks for: the shell looks for two characters
STATEMENT_SECONDS = 20  # a statement of an export takes less
PROGRESS_STEPS = 100_000  # of SQLite's machine, between two looks at the clock


class AuthorizedConnection(sqlite3.Connection):
    """A connection with an authorizer in Python, and a limit of time for each statement.

    SQLite takes an exception in the authorizer, such as that of Ctrl-C, for a refusal: a refused statement is run
    again, and when it is not refused then, the exception was KeyboardInterrupt.
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
    """Open a connection with the limits, closed with the stack."""
    # No statement is run twice: a cache would only hold long ones in memory.
    database = sqlite3.connect(name, uri=True, isolation_level=None, cached_statements=0, factory=AuthorizedConnection)
    stack.enter_context(closing(database))
    if authorizer is not None:  # Python 3.10 takes None for a function that refuses everything
        database.set_authorizer(authorizer)
    # The schema may be trusted: views are refused, and all functions are SQLite's own or those below.
    database.execute("pragma ignore_check_constraints = on")
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    database.set_progress_handler(database.is_over_time, PROGRESS_STEPS)
    database.create_function("replace", 3, _replace, deterministic=True)
    database.create_function("instr", 2, _instr, deterministic=True)
    for function, arguments in SLOW_FUNCTIONS:  # one call may take hours, and no progress handler is asked meanwhile
        database.create_function(function, arguments, _refuse_call, deterministic=True)
    return database


SLOW_FUNCTIONS = (
    *(("printf", -1), ("format", -1), ("like", 2), ("like", 3), ("glob", 2)),
    *(("zeroblob", 1), ("randomblob", 1)),
)


def _replace(text: object, pattern: object, by: object) -> str | None:
    """Do what SQLite's `replace` does, in time that grows with the text alone."""
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
    """Do what SQLite's `instr` does, in time that grows with the text alone."""
    if isinstance(text, bytes) and isinstance(part, bytes):
        return text.find(part) + 1
    return None if text is None or part is None else str(text).find(str(part)) + 1


def _refuse_call(*arguments: object) -> None:
    raise ValueError("not a function of exports")


def open_file(path: str, header: bytes, stack: ExitStack) -> sqlite3.Connection:
    """Open an SQLite file to read only, after a check of its structure.

    :param header: its first bytes, of which byte 19 is 2 in WAL mode.
    :raises sqlite3.Error: for a damaged file.
    """
    mode = "mode=ro"
    # Opening a file in WAL mode, even to read, makes -wal and -shm beside it, unless another process has it open.
    # If none has, read the file alone, or a copy of it with its log.
    if header[19:20] == b"\2" and not os.path.exists(path + "-shm"):
        log = path + "-wal"
        if os.path.exists(log) and os.path.getsize(log):
            copy = make_temporary_path(stack)
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy + "-wal")
            path = copy
        else:
            mode = "mode=ro&immutable=1"

    database = connect(f"{Path(path).absolute().as_uri()}?{mode}", stack, authorize_opening)
    database.execute("pragma cell_size_check = on")
    for (fault,) in database.execute("pragma quick_check").fetchall():
        # " value in " reports a null or a type that the table itself forbids, which an import can convert.
        if fault != "ok" and " value in " not in fault:
            raise sqlite3.DatabaseError(fault)
    make_read_only(database)
    return database


def open_empty(stack: ExitStack) -> sqlite3.Connection:
    """Open an empty database, in a temporary file that SQLite itself deletes."""
    database = connect("", stack)
    # A journal is needed: rows that fail together are rolled back, and inserted one by one.
    for pragma in ("journal_mode = memory", "synchronous = off", "foreign_keys = off"):
        database.execute(f"pragma {pragma}")
    try:
        database.execute("select unistr('')")
    except sqlite3.OperationalError:  # SQLite before 3.50
        database.create_function("unistr", 1, _unistr, deterministic=True)
    return database


def make_temporary_path(stack: ExitStack) -> str:
    """Return a path for a file that is deleted with the stack."""
    return os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "database")


ESCAPE = re.compile(r"\\(?:(\\)|u?([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|U([0-9A-Fa-f]{8}))?")


def _unistr(text: str | None) -> str | None:
    r"""Return the text with the escapes `\XXXX`, `\uXXXX`, `\+XXXXXX`, `\UXXXXXXXX` and `\\` as characters."""

    def character(escape: re.Match[str]) -> str:
        if escape.lastindex is None:
            raise ValueError("a backslash that begins no escape")
        return "\\" if escape[1] else chr(int(escape[escape.lastindex], 16))

    return None if text is None else ESCAPE.sub(character, text)


HARMLESS_FUNCTIONS = """
    abs avg ceil ceiling char coalesce concat concat_ws count date datetime floor format glob group_concat
    hex ifnull iif instr json json_array json_array_length json_extract json_object json_quote json_type
    json_valid julianday length like lower ltrim max min mod nullif octet_length power printf quote replace
    round rtrim sign strftime substr substring sum time timediff total trim trunc typeof unhex unicode unistr
    unixepoch upper -> ->>"""
FUNCTIONS = frozenset(HARMLESS_FUNCTIONS.split())
ROW_FUNCTIONS = frozenset(["char", "replace", "unistr"])  # what the shell and wrangler write texts with
# A unique or primary key is an index that comes with its table.
LOADING = frozenset(
    [sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_READ]
)
READING = frozenset([sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_TRANSACTION])
OPENING_PRAGMAS = frozenset(["ignore_check_constraints", "cell_size_check", "quick_check"])
READING_PRAGMAS = frozenset(["page_count", "page_size", "table_info", "table_list", "table_xinfo"])


def make_read_only(database: sqlite3.Connection) -> None:
    """Allow only reading tables and the names of their columns. Views contain code and are refused."""
    database.set_authorizer(authorize_reading)
    database.execute("pragma query_only = on")


def authorize_reading(action: int, first: str | None, second: str | None, _: str | None, view: str | None) -> int:
    """Allow to read tables."""
    allowed = view is None and (
        action in READING
        or (action == sqlite3.SQLITE_FUNCTION and second in FUNCTIONS)
        or (action == sqlite3.SQLITE_PRAGMA and first in READING_PRAGMAS)
        or (action == sqlite3.SQLITE_PRAGMA and (first, second) == ("query_only", "on"))
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def authorize_opening(action: int, first: str | None, second: str | None, third: str | None, view: str | None) -> int:
    """Allow reading tables and checking the structure of the file."""
    if action == sqlite3.SQLITE_PRAGMA and first in OPENING_PRAGMAS:
        return sqlite3.SQLITE_OK
    return authorize_reading(action, first, second, third, view)
