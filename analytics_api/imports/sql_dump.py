"""Opening a file that nobody vouches for: an export of a D1 database, or any SQLite file.

An export is a program in SQL. It is cut into statements; the few kinds that an export needs are run, one by
one, in a database that goes away, while SQLite refuses all but creating tables and putting values into them.
Whoever reads the result can do nothing but read.
"""

from __future__ import annotations

import codecs
import gzip
import io
import math
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IngestError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Progress = Callable[[int], object]
Judge = Callable[[int, "str | None", "str | None", "str | None", "str | None"], int]

CHUNK = 1 << 20  # what is read at once
STEP = 1 << 18  # what of the file, at most, between two calls of progress
LONGEST = 1 << 23  # a statement, in characters; a row of D1 has 2 MB, and twice as many digits in hexadecimal
MAX_VALUE_BYTES = 1 << 22  # of a value, and of a row
MAX_PATTERN_LENGTH = 64  # of what `replace` looks for: the shell looks for two characters
STATEMENT_SECONDS = 20  # a statement of an export takes less
PROGRESS_STEPS = 100_000  # of SQLite's machine, between two looks at the clock
WIDEST = 1 << 16  # a row that may be joined to others; it bounds what its pattern has to remember, too
BATCH = 250  # rows joined into one statement; more gain nothing

GZIP = b"\x1f\x8b"
SQLITE = b"SQLite format 3\0"
KINDS = "give the SQL of `wrangler d1 export` or an SQLite database"


@contextmanager
def open_scratch(path: str | os.PathLike[str], *, progress: Progress | None = None) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, onto a database holding what the file at `path` holds.

    The file is the SQL of `wrangler d1 export` or of the sqlite3 shell's `.dump`, or an SQLite database;
    either may be gzipped. What it is shows in its first bytes, its name is of no account. SQL is run into a
    temporary database of its tables and rows, without indexes, views, triggers and what `housekeeping` names.
    An SQLite file is opened where it lies, is never written to, and shows what is in a write-ahead log beside
    it. Connection and temporary files are gone when the block ends. Of the pragmas `table_info`, `table_list`
    and `table_xinfo` can be asked; views of an SQLite file can't be read.

    `progress` is told how many bytes of the file were read since it was last told; together, the file's size.

    Raises `IngestError`, one line naming the file, for one that can't be read, is neither kind, is damaged or
    cut short, or does more than an export does; for SQL it names the line on which the statement begins. A
    text in an SQLite file that is no UTF-8 is not looked for: reading its row raises
    `sqlite3.OperationalError`.
    """
    name = os.fspath(path)
    with ExitStack() as stack:
        try:
            database = _opened(name, stack, progress or (lambda count: None))
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            raise _refused(name, f"the gzip data are damaged or cut short ({exc}); fetch it again") from exc
        except OSError as exc:
            raise _refused(name, f"can't be read: {exc.strerror or exc}") from exc
        except sqlite3.Error as exc:
            raise _refused(name, f"SQLite can't read it ({exc}); give an export of it instead") from exc
        yield database


def housekeeping(name: str) -> bool:
    """Whether a table of that name is one that SQLite, Cloudflare or wrangler keeps for itself."""
    name = name.lower()
    return name.startswith(("sqlite_", "_cf_")) or name == "d1_migrations"


def _refused(path: str, what: str, line: int | None = None) -> IngestError:
    text = f"{path}: {what}" if line is None else f"{path}, line {line}: {what}"
    return IngestError(re.sub(r"[\x00-\x1f\x7f]+", " ", text))


class _Told(io.FileIO):
    """A file that tells how much of it is read."""

    def __init__(self, path: str, progress: Progress) -> None:
        super().__init__(path)
        self.progress = progress
        self.total = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer)
        self.total += count
        self.progress(count)
        return count


def _opened(path: str, stack: ExitStack, progress: Progress) -> sqlite3.Connection:
    told = _Told(path, progress)
    file = stack.enter_context(io.BufferedReader(told, STEP))
    packed = file.peek(2).startswith(GZIP)
    stream = stack.enter_context(gzip.GzipFile(fileobj=file)) if packed else file
    first = stream.peek(len(SQLITE))
    if not first:
        raise _refused(path, f"is empty; {KINDS}")

    if not first.startswith(SQLITE):
        database = _scratch(stack)
        _Dump(path, stream, database).load()
    elif packed:
        copy = _temporary(stack)
        with open(copy, "wb") as target:
            shutil.copyfileobj(stream, target, CHUNK)
        database = _attached(copy, first, stack)
    else:
        database = _attached(path, first, stack)
        progress(os.path.getsize(path) - told.total)

    if not database.execute("select 1 from sqlite_master where type = 'table'").fetchone():
        raise _refused(path, f"holds no table; {KINDS}")
    return database


def _temporary(stack: ExitStack) -> str:
    """The path of a file to be made, that is gone once the stack is."""
    return os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "database")


class _Judged(sqlite3.Connection):
    """A connection with an authorizer in Python, and a limit of time for each statement.

    An exception in the authorizer, such as Ctrl-C may raise anywhere, is a no.
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
            super().execute(*statement)  # what is not allowed is refused again
            raise KeyboardInterrupt from None


def _connection(name: str, stack: ExitStack, judge: Judge | None = None) -> sqlite3.Connection:
    # No statement is run twice: a cache would only keep long ones alive.
    database = sqlite3.connect(name, uri=True, isolation_level=None, cached_statements=0, factory=_Judged)
    stack.enter_context(closing(database))
    database.set_authorizer(judge)
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


def _attached(path: str, header: bytes, stack: ExitStack) -> sqlite3.Connection:
    """A connection onto the SQLite file, whose structure was found sound."""
    mode = "mode=ro"
    # Byte 19 is 2 in WAL mode. Whoever opens such a file, even to read, makes two more beside it, unless they
    # are there since someone has it open. When nobody has, look at it alone, or at a copy of it with its log.
    if header[19:20] == b"\2" and not os.path.exists(path + "-shm"):
        log = path + "-wal"
        if os.path.exists(log) and os.path.getsize(log):
            copy = _temporary(stack)
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy + "-wal")
            path = copy
        else:
            mode = "mode=ro&immutable=1"

    database = _connection(f"{Path(path).absolute().as_uri()}?{mode}", stack, _judge_opening)
    database.execute("pragma cell_size_check = on")
    for (fault,) in database.execute("pragma quick_check").fetchall():
        # " value in " tells of a null, or a number, where the table's own rules want none: odd, but sound.
        if fault != "ok" and " value in " not in fault:
            raise sqlite3.DatabaseError(fault)
    _read_only(database)
    return database


def _scratch(stack: ExitStack) -> sqlite3.Connection:
    """A connection onto an empty database, in a file of SQLite's own which even a crash leaves nothing of."""
    database = _connection("", stack)
    # There must be a journal: rows that fail together are taken back, and run again one by one.
    for pragma in ("journal_mode = memory", "synchronous = off", "foreign_keys = off"):
        database.execute(f"pragma {pragma}")
    try:
        database.execute("select unistr('')")
    except sqlite3.OperationalError:  # SQLite before 3.50
        database.create_function("unistr", 1, _unistr, deterministic=True)
    return database


ESCAPE = re.compile(r"\\(?:(\\)|u?([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|U([0-9A-Fa-f]{8}))?")


def _unistr(text: str | None) -> str | None:
    r"""The text with `\XXXX`, `\uXXXX`, `\+XXXXXX` and `\UXXXXXXXX` made characters, and `\\` made `\`."""

    def character(escape: re.Match[str]) -> str:
        if escape.lastindex is None:
            raise ValueError("a backslash that begins no escape")
        return "\\" if escape[1] else chr(int(escape[escape.lastindex], 16))

    return None if text is None else ESCAPE.sub(character, text)


HARMLESS = """
    abs avg ceil ceiling char coalesce concat concat_ws count date datetime floor format glob group_concat
    hex ifnull iif instr json json_array json_array_length json_extract json_object json_quote json_type
    json_valid julianday length like lower ltrim max min mod nullif octet_length power printf quote replace
    round rtrim sign strftime substr substring sum time timediff total trim trunc typeof unhex unicode unistr
    unixepoch upper -> ->>"""
FUNCTIONS = frozenset(HARMLESS.split())
ROW_FUNCTIONS = frozenset(["char", "replace", "unistr"])  # what the shell and wrangler write texts with
# A unique or primary key is an index that comes with its table.
LOADING = frozenset(
    [sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_READ]
)
READING = frozenset([sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_TRANSACTION])
OPENING_PRAGMAS = frozenset(["ignore_check_constraints", "cell_size_check", "quick_check"])
READING_PRAGMAS = frozenset(["page_count", "page_size", "table_info", "table_list", "table_xinfo"])


def _read_only(database: sqlite3.Connection) -> None:
    """From here on the connection reads tables and tells of their columns; views, being code, it refuses."""

    database.set_authorizer(_judge_reading)
    database.execute("pragma query_only = on")


def _judge_reading(action: int, first: str | None, second: str | None, _: str | None, view: str | None) -> int:
    allowed = view is None and (
        action in READING
        or (action == sqlite3.SQLITE_FUNCTION and second in FUNCTIONS)
        or (action == sqlite3.SQLITE_PRAGMA and first in READING_PRAGMAS)
        or (action == sqlite3.SQLITE_PRAGMA and (first, second) == ("query_only", "on"))
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _judge_opening(action: int, first: str | None, second: str | None, third: str | None, view: str | None) -> int:
    """Allow what looks at the structure of a file, beside what reads it."""
    if action == sqlite3.SQLITE_PRAGMA and first in OPENING_PRAGMAS:
        return sqlite3.SQLITE_OK
    return _judge_reading(action, first, second, third, view)


# Matches in one way only: what could be matched in two takes for ever to find that it doesn't.
GAP = r"(?:\s|--[^\n]*\n|/\*[^*]*\*+(?:[^*/][^*]*\*+)*/)"
QUOTED = r"""'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`|\[[^]]*\]"""
NAME = rf"(?:{QUOTED}|[^\W\d][\w$]*)"

BLANK = re.compile(r"(?:[\s;]+|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
# A text with quotes in it is so many tokens, one right after the other. `cut` is a quote or a comment that is
# not closed, at least not in the text at hand.
TOKEN = re.compile(
    r"""(?P<bare>[^'"`\[;/\-]+|/(?!\*)|-(?!-))|(?P<end>;)|(?P<text>'[^']*'(?:'[^']*'){0,99})"""
    r"""|"[^"]*"|`[^`]*`|\[[^]]*\]|--[^\n]*\n|/\*.*?\*/|(?P<cut>.)""",
    re.DOTALL,
)
SELECT = re.compile(r"\bselect\b", re.IGNORECASE)
VERB = re.compile("[A-Za-z]+|(?![/-])")  # with these begins a comment that is not closed yet
VERBS = {"analyze", "begin", "commit", "create", "delete", "end", "insert", "pragma", "replace"}
# Rows written there would make virtual tables.
CATALOGUE = re.compile(r"sqlite_(?:temp_)?(?:master|schema)", re.IGNORECASE)


def _statement(pattern: str) -> re.Pattern[str]:
    """A pattern in which a space stands for whatever may be between two words of SQL."""
    return re.compile(pattern.replace(" ", GAP + "+"), re.IGNORECASE | re.DOTALL)


BEGIN = _statement(r"begin\b")
CREATE = _statement(r"create\b")
COMMIT = _statement(r"(?:commit|end)\b")
TRIGGER = _statement(r"create (?:temp |temporary )?trigger\b")
TRIGGER_END = _statement(rf";{GAP}*end{GAP}*;")
TABLE = _statement(
    r"(?:create table(?: if not exists)?|(?:insert(?: or \w+)?|replace) into|(?P<delete>delete from))"
    rf"{GAP}*(?:{NAME}{GAP}*\.{GAP}*)?(?P<name>{NAME})"
)
SKIPPED = _statement(
    r"create (?:temp |temporary )?(?:view|trigger)\b|create (?:unique )?index\b|analyze\b"
    rf"|pragma (?:defer_)?foreign_keys{GAP}*={GAP}*(?:on|off|true|false|yes|no|0|1){GAP}*;"
)

# What nearly every line of an export looks like: constants, and calls of the functions that exports write
# texts with. All brackets are in pairs, and but for those of a call there are none, so the rows of many lines
# can be joined into one statement and ask for nothing more than they do alone. Whether they make sense SQLite
# tells.
FILLING = r"[\sNULeE0-9.,+]"
CONSTANT = r"'[^'\0]*'|[xX]'[0-9A-Fa-f]*'|-(?=[0-9])"
VALUES = rf"{FILLING}*(?:(?:{CONSTANT}){FILLING}*)*"
for _ in range(3):
    VALUES = rf"{FILLING}*(?:(?:{CONSTANT}|(?:replace|char|unistr)\({VALUES}\)){FILLING}*)*"
ROW = re.compile(rf"\s*(\({VALUES}\))\s*;\s*")
INSERT = re.compile(rf"INSERT\s+INTO\s*(?P<name>{NAME})\s*(?:\(\s*{NAME}(?:\s*,\s*{NAME})*\s*\)\s*)?VALUES(?=\s*\()")


class _Dump:
    """The text of an export, seen through a window that moves on, and the database that it is run into."""

    def __init__(self, path: str, stream: io.BufferedIOBase, database: sqlite3.Connection) -> None:
        self.path = path
        self.stream = stream
        self.database = database
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.ended = False
        self.text = ""  # the window
        self.line = 1  # of the window's first character
        self.at = 0  # in the window: all before it is done
        self.ran = False  # anything, so it is an export
        self.begun = False  # a BEGIN had no COMMIT yet
        self.values = False  # what runs is known to select nothing
        self.inserting = False  # what runs is a row

    def load(self) -> None:
        """Run the text to its end; then the connection can only read."""
        self.database.set_authorizer(self.judge)
        while self.rows() or self.statement():
            self.ran = True
        if self.begun:
            raise self.refused("the file ends before the COMMIT of its BEGIN", -1)
        _read_only(self.database)

    def judge(self, action: int, first: str | None, second: str | None, _: str | None, __: str | None) -> int:
        allowed = (
            action in LOADING
            # To SQLite the values of several rows are a select, though of nothing.
            or (action == sqlite3.SQLITE_SELECT and self.values)
            or (action == sqlite3.SQLITE_FUNCTION and second in (ROW_FUNCTIONS if self.inserting else FUNCTIONS))
            # Part of creating a table. Written out, SQLite refuses it by itself.
            or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master")
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def refused(self, what: str, lines: int = 0) -> IngestError:
        """What is wrong, on the line where the statement at hand begins or so many below."""
        advice = "export it again" if self.ran else KINDS
        line = self.line + self.text.count("\n", 0, self.at) + lines
        return _refused(self.path, f"{what}; {advice}", line)

    def out_of_place(self, sql: str) -> IngestError:
        shown = " ".join(sql[:200].split())[:60]
        return self.refused(f"{shown!r} has no place in an export of tables and rows")

    def more(self) -> bool:
        """Whether there was more to read; then the window begins at the statement at hand, and is longer."""
        if self.ended:
            return False
        self.line += self.text.count("\n", 0, self.at)
        self.text, self.at = self.text[self.at :], 0
        if len(self.text) > LONGEST:
            raise self.refused(f"a statement of more than {LONGEST} characters")

        # As much again as is there already: then going through a long statement anew each time costs, in all,
        # no more than going through it twice.
        data = self.stream.read(max(CHUNK, len(self.text)))
        self.ended = not data
        try:
            # The last line ends, too, so that a comment on it does.
            self.text += self.decoder.decode(data, self.ended) + "\n" * self.ended
        except UnicodeDecodeError as exc:
            lines = self.text.count("\n") + exc.object.count(b"\n", 0, exc.start)
            raise self.refused("a byte that is no UTF-8", lines) from exc
        return True

    def skip_blank(self) -> None:
        if blank := BLANK.match(self.text, self.at):
            self.at = blank.end()

    def end(self) -> int:
        """Where the statement at hand ends, 0 if not in the window; refuses a first word that is wrong."""
        verb = VERB.match(self.text, self.at)
        if verb and verb.end() < len(self.text) and verb[0].lower() not in VERBS:
            raise self.out_of_place(self.text[self.at : self.at + 200])
        trigger = TRIGGER.match(self.text, self.at, self.at + WIDEST)
        for token in TOKEN.finditer(self.text, self.at):
            if token.lastgroup == "end":
                at = token.start()
                last = TRIGGER_END.match(self.text, at, at + WIDEST) if trigger else token
                if last:
                    return last.end()
            elif token.lastgroup == "cut":
                break
        return 0

    def rows(self) -> bool:
        """Take in the plain rows of one table that come next; whether there were any."""
        self.skip_blank()
        text, begin = self.text, self.at
        insert = INSERT.match(text, begin, begin + WIDEST)
        if insert is None or "\0" in insert[0] or housekeeping(_unquoted(insert["name"])):
            return False
        into, size, at = insert[0], len(insert[0]), begin
        rows: list[str] = []
        while text.startswith(into, at) and (row := ROW.match(text, at + size, at + size + WIDEST)):
            rows.append(row[1])
            at = row.end()
            if len(rows) == BATCH:
                self.insert(into, rows, at)
                rows.clear()
        if rows:
            self.insert(into, rows, at)
        return self.at > begin

    def insert(self, into: str, rows: list[str], end: int) -> None:
        """Put in the rows, which the window has from here to `end`."""
        self.values = self.inserting = True
        try:
            self.database.execute(into + ",".join(rows))
        except sqlite3.Error:
            # One is at fault, and none is in now. Run alone, it is found.
            while self.at < end and (row := ROW.match(self.text, self.at + len(into))):
                self.run(into + row[0], values=True)
                self.at = row.end()
        self.at = end

    def statement(self) -> bool:
        """Do the next statement, of whatever kind; whether there was one."""
        self.skip_blank()
        while not (end := self.end()):
            if not self.more():
                if self.at == len(self.text):
                    return False
                raise self.refused("the file ends in the middle of this statement")
            self.skip_blank()
        self.do(self.text[self.at : end])
        self.at = end
        return True

    def do(self, sql: str) -> None:
        """Run one statement, or pass over it when nothing of it is wanted, or refuse it."""
        if BEGIN.match(sql, 0, WIDEST):
            self.begun = True
        elif COMMIT.match(sql, 0, WIDEST):
            self.begun = False
        elif table := TABLE.match(sql, 0, WIDEST):
            name = _unquoted(table["name"])
            if CATALOGUE.fullmatch(name) or (table["delete"] and not housekeeping(name)):
                raise self.out_of_place(sql)
            if not housekeeping(name):
                self.run(self.without_nul(sql), values=not _selects(sql))
        elif not SKIPPED.match(sql, 0, WIDEST):
            raise self.out_of_place(sql)

    def run(self, sql: str, *, values: bool) -> None:
        self.values = values
        self.inserting = CREATE.match(sql) is None
        try:
            self.database.execute(sql)
        except (sqlite3.Error, sqlite3.Warning) as exc:
            if str(exc) == "not authorized":
                raise self.out_of_place(sql) from exc
            raise self.refused(f"SQLite refuses this statement ({str(exc)[:200]})") from exc

    def without_nul(self, sql: str) -> str:
        """The statement with its texts that have NUL bytes in them written so that those don't end it."""
        if "\0" not in sql:
            return sql

        parts: list[str] = []
        done, begin = 0, -1
        for token in TOKEN.finditer(sql):
            if token.lastgroup == "text":
                begin = token.start() if begin < 0 else begin
            elif begin >= 0:
                text = sql[begin + 1 : token.start() - 1]
                if "\0" in text and sql[begin - 1] not in "xX":  # else it is a blob
                    data = text.replace("''", "'").encode()
                    parts += sql[done:begin], f"cast(x'{data.hex()}' as text)"
                    done = token.start()
                begin = -1
        sql = "".join(parts) + sql[done:]
        if "\0" in sql:
            raise self.refused("a NUL byte that is in no text")
        return sql


def _unquoted(name: str) -> str:
    quote = name[0]
    if quote == "[":
        return name[1:-1]
    return name[1:-1].replace(quote * 2, quote) if quote in "'\"`" else name


def _selects(sql: str) -> bool:
    """Whether that word is in the statement, outside of quotes and comments."""
    return bool(SELECT.search(sql)) and any(
        token.lastgroup == "bare" and SELECT.search(token[0]) for token in TOKEN.finditer(sql)
    )
