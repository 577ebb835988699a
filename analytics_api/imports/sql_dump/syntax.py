"""Regular expressions for the statements of an export."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Each pattern can match a string in only one way. With two ways, a failed match would take exponential time.
GAP = r"(?:\s|--[^\n]*\n|/\*[^*]*\*+(?:[^*/][^*]*\*+)*/)"
QUOTED = r"""'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`|\[[^]]*\]"""
NAME = rf"(?:{QUOTED}|[^\W\d][\w$]*)"

BLANK = re.compile(r"(?:[\s;]+|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
# A string that contains quotes is split into several tokens. `cut` begins a string or a comment whose end is not in the
# window, which is the part of the file that is in memory.
TOKEN = re.compile(
    r"""(?P<bare>[^'"`\[;/\-]+|/(?!\*)|-(?!-))|(?P<end>;)|(?P<text>'[^']*'(?:'[^']*'){0,99})"""
    r"""|"[^"]*"|`[^`]*`|\[[^]]*\]|--[^\n]*\n|/\*.*?\*/|(?P<cut>.)""",
    re.DOTALL,
)
SELECT = re.compile(r"\bselect\b", re.IGNORECASE)
VERB = re.compile("[A-Za-z]+|(?![/-])")  # / or - may begin a comment whose end is not in the window
VERBS = {"analyze", "begin", "commit", "create", "delete", "end", "insert", "pragma", "replace"}
# Inserting a row into these tables could define a virtual table.
CATALOGUE = re.compile(r"sqlite_(?:temp_)?(?:master|schema)", re.IGNORECASE)


def _statement(pattern: str) -> re.Pattern[str]:
    """Compile a pattern in which a space matches any whitespace and comments between two words of SQL."""
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
    # The sqlite3 shell defines virtual tables with these statements.
    r"|pragma writable_schema=(?:on|off);"
    r"|insert into sqlite_(?:master|schema)\(type,name,tbl_name,rootpage,sql\)values\("
)

# A row of constants and calls of ROW_FUNCTIONS. Nearly every line of an export is such a row. Parentheses are balanced
# and occur only in such calls, so the rows of many lines can safely be joined into one statement. SQLite checks the
# remaining syntax.
FILLING = r"[\sNULeE0-9.,+]"
CONSTANT = r"'[^'\0]*'|[xX]'[0-9A-Fa-f]*'|-(?=[0-9])"
VALUES = rf"{FILLING}*(?:(?:{CONSTANT}){FILLING}*)*"
for _ in range(3):
    VALUES = rf"{FILLING}*(?:(?:{CONSTANT}|(?:replace|char|unistr)\({VALUES}\)){FILLING}*)*"
ROW = re.compile(rf"\s*(\({VALUES}\))\s*;\s*")
INSERT = re.compile(rf"INSERT\s+INTO\s*(?P<name>{NAME})\s*(?:\(\s*{NAME}(?:\s*,\s*{NAME})*\s*\)\s*)?VALUES(?=\s*\()")

# The following patterns are searched in a mask, see _mask().
CHECK = re.compile(r"\bcheck\s*\(", re.IGNORECASE)
GENERATED = re.compile(r"\bas\s*\(", re.IGNORECASE)
DELIMITER = re.compile(r"[(),]")
COLUMN = re.compile(rf"""{GAP}*(?:{QUOTED}|[^\s'"`\[(/-]+)""")


def unquote(name: str) -> str:
    """Remove the quotes from an SQL name."""
    quote = name[0]
    if quote == "[":
        return name[1:-1]
    return name[1:-1].replace(quote * 2, quote) if quote in "'\"`" else name


def has_select(sql: str) -> bool:
    """Return whether the statement contains the word `select` outside quotes and comments."""
    return bool(SELECT.search(sql)) and any(
        token.lastgroup == "bare" and SELECT.search(token[0]) for token in TOKEN.finditer(sql)
    )


def without_expressions(sql: str) -> str:
    """Replace the expressions of check constraints and generated columns in a CREATE TABLE statement by null.

    The import does not need them. They may call a function that is slow, or that this version of SQLite does not have.
    """
    parts: list[str] = []
    mask, done = _mask(sql), 0
    while check := CHECK.search(mask, done):
        parts += sql[done : check.end()], "null"
        _, done = next(_split(mask, check.start()), (0, len(sql)))
    sql = "".join(parts) + sql[done:]

    parts.clear()
    mask, done = _mask(sql), 0
    for begin, end in _split(mask, 0):
        if GENERATED.search(mask, begin, end) and (column := COLUMN.match(sql, begin, end)):
            parts += sql[done:begin], f"{column[0]} any as (null)"
            done = end
    return "".join(parts) + sql[done:]


def _mask(sql: str) -> str:
    """Replace quoted text by quotes, and comments by spaces. The length is unchanged."""
    return "".join(
        token[0] if token.lastgroup == "bare" else (" " if token[0][0] in "-/" else "'") * len(token[0])
        for token in TOKEN.finditer(sql)
    )


def _split(mask: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of each item of the first list in parentheses, without the commas between them."""
    depth = begin = 0
    for delimiter in DELIMITER.finditer(mask, start):
        if delimiter[0] == "(":
            depth += 1
            begin = delimiter.end() if depth == 1 else begin
            continue
        if depth == 1:
            yield begin, delimiter.start()
            begin = delimiter.end()
        if delimiter[0] == ")":
            depth -= 1
            if depth <= 0:
                return


def without_infinity(sql: str) -> str:
    """Write the number Infinity as 9e999. Versions of wrangler write the word, which SQLite takes for a column."""
    return "".join(
        token[0].replace("Infinity", "9e999") if token.lastgroup == "bare" else token[0]
        for token in TOKEN.finditer(sql)
    )
