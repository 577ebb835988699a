"""Parse the header of a CSV file to find the names, the delimiter, and whether fields are quoted."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import IngestError

DELIMITERS = ",;\t|"
NAMED_DELIMITERS = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
MAX_SNIFFED_LINES = 10
SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel reads and writes this line


class Header:
    """The header of a CSV file.

    :param lines: the number of lines up to the end of the header.
    :param is_quoted: whether the header begins with a quote.
    :param is_spaced: whether blanks follow the delimiters, as in `a, b`. They do not belong to the fields.
    """

    def __init__(
        self, names: tuple[str, ...], lines: int, delimiter: str, is_quoted: bool, is_spaced: bool = False
    ) -> None:
        self.names = names
        self.lines = lines
        self.delimiter = delimiter
        self.is_quoted = is_quoted
        self.is_spaced = is_spaced
        mark, blanks = re.escape(delimiter), " *" if is_spaced else ""
        self._field = re.compile(rf'{blanks}("(?:[^"]|"")*"|[^{mark}]*?)(?:{mark}|\r?\n?\Z)')

    def read(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Parse rows that have the delimiter of the header."""
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.is_spaced, strict=True)

    def empty_texts(self, row: str) -> list[int]:
        """Return the indexes of the fields `""`, which are empty strings. An empty field without quotes is null.

        If the header is quoted, the program that wrote the file quotes every field, so `""` is null as well.
        """
        if self.is_quoted:
            return []
        fields = zip(range(len(self.names)), self._field.finditer(row))
        return [index for index, match in fields if match[1] == '""']


def read_header(lines: Sequence[bytes], encoding: str = "utf-8", delimiter: str | None = None) -> Header | None:
    """Parse the header in the first lines of a file. Return None if there is no header.

    Empty lines, lines that begin with `#`, and a line such as `sep=;` before the header are skipped.

    :param delimiter: None for the delimiter that splits the header into the most fields.
    """
    start = 0
    marks = DELIMITERS if delimiter is None else delimiter
    while start < len(lines):
        line = lines[start].removeprefix(codecs.BOM_UTF8)
        separator = SEPARATOR_LINE.fullmatch(line.decode(encoding, "replace"))
        if separator:
            marks = delimiter or separator[1]
        elif line.strip() and not line.startswith(b"#"):
            break
        start += 1
    if start == len(lines):
        return None
    first = lines[start].removeprefix(codecs.BOM_UTF8)
    text = [line.decode(encoding, "replace") for line in [first, *lines[start + 1 : start + MAX_SNIFFED_LINES]]]
    rows = {mark: row for mark in marks if (row := _first_row(text, mark)) is not None}
    if not rows:
        return None
    mark = max(rows, key=lambda mark: len(rows[mark][0]))
    is_spaced = mark != " " and any(name.startswith(" ") for name in rows[mark][0][1:])
    names, length = (_first_row(text, mark, is_spaced) if is_spaced else None) or rows[mark]
    return Header(tuple(name.strip() for name in names), start + length, mark, first.startswith(b'"'), is_spaced)


def check_delimiter(delimiter: str | None) -> str | None:
    """Convert the option `--delimiter` to one character.

    :raises IngestError: the delimiter is not a single character.
    """
    if delimiter is None:
        return None
    mark = NAMED_DELIMITERS.get(delimiter.lower(), delimiter)
    if len(mark) != 1 or mark in '"\r\n\0' or not mark.isascii():
        raise IngestError(f"--delimiter {delimiter!r}: use one character, such as , or ; or | or \\t for a tab")
    return mark


def check_encoding(encoding: str) -> str:
    """Validate the option `--encoding`.

    :raises IngestError: the encoding does not exist, or is not for text.
    """
    try:
        "".encode(encoding)
        if not isinstance(b"".decode(encoding), str) or codecs.lookup(encoding).name in ("idna", "punycode"):
            raise LookupError(encoding)
    except (LookupError, UnicodeError, ValueError):
        raise IngestError(f"--encoding {encoding!r}: unknown encoding; use utf-8, cp1252, latin-1 …") from None
    return encoding


def _first_row(text: list[str], mark: str, is_spaced: bool = False) -> tuple[list[str], int] | None:
    reader = csv.reader(text, delimiter=mark, skipinitialspace=is_spaced)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return None
