"""Run the statements of an export in an empty database."""

from __future__ import annotations

import codecs
import io
import sqlite3

from ...errors import IngestError
from .files import ACCEPTED_KINDS, CHUNK_SIZE, is_housekeeping, refusal
from .scratch import LOADING, ROW_FUNCTIONS, make_read_only
from .syntax import (
    BEGIN,
    BLANK,
    CATALOGUE,
    COMMIT,
    CREATE,
    INSERT,
    ROW,
    SKIPPED,
    TABLE,
    TOKEN,
    TRIGGER,
    TRIGGER_END,
    VERB,
    VERBS,
    has_select,
    unquote,
    without_expressions,
    without_infinity,
)

MAX_STATEMENT_LENGTH = 1 << 23  # characters; D1 limits a row to 2 MB, which is 4 MB in hexadecimal
MAX_PREFIX_LENGTH = 1 << 16  # maximum length of `insert into … values`; it limits the memory of regular expressions
ROWS_PER_STATEMENT = 250  # rows that are joined into one statement; larger statements are not faster


class DumpLoader:
    """Run the SQL of an export in a database. Only a part of the text, the window, is in memory (a few megabytes)."""

    def __init__(self, name: str, stream: io.BufferedIOBase, database: sqlite3.Connection) -> None:
        self.name = name
        self.stream = stream
        self.database = database
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.is_at_end = False
        self.text = ""  # the window
        self.line = 1  # line number of the window's first character
        self.position = 0  # index of the next statement in the window
        self.has_run = False  # whether a statement has run; if so, the file is an export
        self.is_in_transaction = False  # between BEGIN and COMMIT
        self.is_values = False  # whether the current statement has no SELECT

    def load(self) -> None:
        """Run all statements, and make the connection read-only."""
        self.database.set_authorizer(self.authorize)
        while self._insert_rows() or self._run_next():
            self.has_run = True
        if self.is_in_transaction:
            raise self._refusal("the file has a BEGIN without COMMIT", -1)
        make_read_only(self.database)

    def authorize(self, action: int, first: str | None, second: str | None, _: str | None, __: str | None) -> int:
        """Allow only creating tables and inserting rows."""
        allowed = (
            action in LOADING
            # SQLite treats the values of several rows as a SELECT.
            or (action == sqlite3.SQLITE_SELECT and self.is_values)
            or (action == sqlite3.SQLITE_FUNCTION and second in ROW_FUNCTIONS)
            # CREATE TABLE needs this right, because it updates sqlite_master. SQLite rejects UPDATE statements for this
            # table even with the right.
            or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master")
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _refusal(self, reason: str, lines: int = 0) -> IngestError:
        """Return an error with the line number of the statement plus `lines`."""
        advice = "export it again" if self.has_run else ACCEPTED_KINDS
        if "no such table: " in reason:
            advice = "export the schema, too, without --no-schema"
        line = self.line + self.text.count("\n", 0, self.position) + lines
        return refusal(self.name, f"{reason}; {advice}", line)

    def _not_allowed(self, sql: str) -> IngestError:
        shown = " ".join(sql[:200].split())[:60]
        return self._refusal(f"{shown!r} is not allowed in an export")

    def _read_more(self) -> bool:
        """Read more text, and discard the text before the current statement. Return False at the end of the file."""
        if self.is_at_end:
            return False
        self.line += self.text.count("\n", 0, self.position)
        self.text, self.position = self.text[self.position :], 0
        if len(self.text) > MAX_STATEMENT_LENGTH:
            raise self._refusal(f"this statement is longer than {MAX_STATEMENT_LENGTH:,} characters")

        # A long statement is scanned again after each read. Each read doubles the text, so all scans together take at
        # most twice the time of the last scan.
        data = self.stream.read(max(CHUNK_SIZE, len(self.text)))
        self.is_at_end = not data
        try:
            # The newline at the end terminates a comment on the last line.
            self.text += self.decoder.decode(data, self.is_at_end) + "\n" * self.is_at_end
        except UnicodeDecodeError as exc:
            lines = self.text.count("\n") + exc.object.count(b"\n", 0, exc.start)
            raise self._refusal("this line contains a byte that is not UTF-8", lines) from exc
        return True

    def _skip_blank(self) -> None:
        if blank := BLANK.match(self.text, self.position):
            self.position = blank.end()

    def _find_end(self) -> int:
        """Return the index of the end of the statement, or 0 if the end is not in the window.

        :raises IngestError: the first word of the statement is not allowed.
        """
        verb = VERB.match(self.text, self.position)
        if verb and verb.end() < len(self.text) and verb[0].lower() not in VERBS:
            raise self._not_allowed(self.text[self.position : self.position + 200])
        trigger = TRIGGER.match(self.text, self.position, self.position + MAX_PREFIX_LENGTH)
        for token in TOKEN.finditer(self.text, self.position):
            if token.lastgroup == "end":
                at = token.start()
                last = TRIGGER_END.match(self.text, at, at + MAX_PREFIX_LENGTH) if trigger else token
                if last:
                    return last.end()
            elif token.lastgroup == "cut":
                break
        return 0

    def _insert_rows(self) -> bool:
        """Insert the next rows of one table if their values are constants. Return whether rows were inserted."""
        self._skip_blank()
        text, begin = self.text, self.position
        insert = INSERT.match(text, begin, begin + MAX_PREFIX_LENGTH)
        if insert is None or "\0" in insert[0] or is_housekeeping(unquote(insert["name"])):
            return False
        into, size, at = insert[0], len(insert[0]), begin
        rows: list[str] = []
        while text.startswith(into, at) and (row := ROW.match(text, at + size, at + size + MAX_PREFIX_LENGTH)):
            rows.append(row[1])
            at = row.end()
            if len(rows) == ROWS_PER_STATEMENT:
                self._insert(into, rows, at)
                rows.clear()
        if rows:
            self._insert(into, rows, at)
        return self.position > begin

    def _insert(self, into: str, rows: list[str], end: int) -> None:
        """Insert the rows in the window between the position and `end`."""
        self.is_values = True
        try:
            self.database.execute(into + ",".join(rows))
        except sqlite3.Error:
            # No row was inserted. Insert the rows one by one, so that the error names the line of the invalid row.
            while self.position < end and (row := ROW.match(self.text, self.position + len(into))):
                self._run(into + row[0], is_values=True)
                self.position = row.end()
        self.position = end

    def _run_next(self) -> bool:
        """Run the next statement. Return False at the end of the file."""
        self._skip_blank()
        while not (end := self._find_end()):
            if not self._read_more():
                if self.position == len(self.text):
                    return False
                raise self._refusal("the file ends in the middle of this statement")
            self._skip_blank()
        self._run_or_skip(self.text[self.position : end])
        self.position = end
        return True

    def _run_or_skip(self, sql: str) -> None:
        """Run a statement, or skip it if the import does not need it.

        :raises IngestError: the statement is not allowed.
        """
        if BEGIN.match(sql, 0, MAX_PREFIX_LENGTH):
            self.is_in_transaction = True
        elif COMMIT.match(sql, 0, MAX_PREFIX_LENGTH):
            self.is_in_transaction = False
        elif SKIPPED.match(sql, 0, MAX_PREFIX_LENGTH):
            return
        elif table := TABLE.match(sql, 0, MAX_PREFIX_LENGTH):
            name = unquote(table["name"])
            if CATALOGUE.fullmatch(name) or (table["delete"] and not is_housekeeping(name)):
                raise self._not_allowed(sql)
            if not is_housekeeping(name):
                sql = self._without_nul(sql)
                self._run(without_expressions(sql) if CREATE.match(sql) else sql, is_values=not has_select(sql))
        else:
            raise self._not_allowed(sql)

    def _run(self, sql: str, *, is_values: bool) -> None:
        self.is_values = is_values
        try:
            self.database.execute(sql)
        except (sqlite3.Error, sqlite3.Warning) as exc:
            if str(exc) == "not authorized":
                raise self._not_allowed(sql) from exc
            if str(exc) == "no such column: Infinity" and (finite := without_infinity(sql)) != sql:
                return self._run(finite, is_values=is_values)
            raise self._refusal(f"SQLite rejects this statement ({str(exc)[:200]})") from exc

    def _without_nul(self, sql: str) -> str:
        """Write each string literal that contains NUL in hexadecimal, because NUL would end the statement."""
        if "\0" not in sql:
            return sql

        parts: list[str] = []
        done, begin = 0, -1
        for token in TOKEN.finditer(sql):
            if token.lastgroup == "text":
                begin = token.start() if begin < 0 else begin
            elif begin >= 0:
                text = sql[begin + 1 : token.start() - 1]
                if "\0" in text and sql[begin - 1] not in "xX":  # a blob has the prefix x
                    data = text.replace("''", "'").encode()
                    parts += sql[done:begin], f"cast(x'{data.hex()}' as text)"
                    done = token.start()
                begin = -1
        sql = "".join(parts) + sql[done:]
        if "\0" in sql:
            raise self._refusal("this statement contains a NUL byte outside a string literal")
        return sql
