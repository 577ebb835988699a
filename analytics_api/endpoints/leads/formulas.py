"""Text that a spreadsheet would run as a formula: escape it, and remove the escape.

A cell is a formula when it begins with one of `= + - @`, also in full width (OWASP, "CSV Injection"). A spreadsheet may
split lines at another separator than the comma, so a cell may begin after any of them, and after blanks and quotes.
"""

from __future__ import annotations

import re
from typing import Final

SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20"
SEPARATORS: Final = frozenset("\t\r\n;,|")
# A run of separators, blanks and quotes. It is matched from its first character on, so that long runs take linear time.
RUN: Final = r'((?:^|(?<![\s";,|])(?=[\s";,|]))[\s";,|]*)'
FORMULA: Final = re.compile(f"{RUN}(?='*[{SIGNS}])")
ESCAPED_FORMULA: Final = re.compile(f"{RUN}'(?='*[{SIGNS}])")


def escape_formula(text: str) -> str:
    """Put an apostrophe before each part of the text that could become a formula."""
    return FORMULA.sub(lambda match: match[0] + "'" if _begins_cell(match) else match[0], text)


def unescape_formula(text: str) -> str:
    """Return the text that `escape_formula` has escaped."""
    return ESCAPED_FORMULA.sub(lambda match: match[1] if _begins_cell(match) else match[0], text)


def _begins_cell(match: re.Match[str]) -> bool:
    return match.start() == 0 or not SEPARATORS.isdisjoint(match[1])
