"""How text is folded to be searched: lower case, NFD, and without the accents U+0300 to U+036F.

The triggers fold the text of leads by the table case_folds, which is filled from here when a database is created. A
term is folded by the same table, so that a database and a Python that know different versions of Unicode agree.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

from .base import Reader

LAST_FOLDED = 0x2FFFF  # beyond it, no letter has a case or a decomposition
MARKS = dict.fromkeys(range(0x300, 0x370))
HANGUL = range(0xAC00, 0xD7A4)

FOLDS = """
with recursive letters (letter, rest) as (
  select substr(:text, 1, 1), substr(:text, 2)
  union all
  select substr(rest, 1, 1), substr(rest, 2)
  from letters
  where rest <> '')
select case_folds.letter, folded
from letters
join case_folds on case_folds.letter = letters.letter
"""


@cache
def case_folds() -> tuple[tuple[str, str], ...]:
    """Return the rows of case_folds, (letter, text): those that change, but ASCII and Hangul."""
    return tuple(_case_folds())


def _case_folds() -> Iterator[tuple[str, str]]:
    for code in range(0x80, LAST_FOLDED + 1):
        letter = chr(code)
        if (unicodedata.decomposition(letter) or letter.casefold() != letter or code in MARKS) and code not in HANGUL:
            folded = fold_letter(letter)
            if folded != letter:
                yield letter, folded


def fold_letter(letter: str) -> str:
    """Return what a letter is searched as; of U+03B1 U+0345, the mark is removed and not its capital's iota added."""
    bare = unicodedata.normalize("NFD", letter).translate(MARKS)
    return unicodedata.normalize("NFD", bare.casefold()).translate(MARKS)


def fold(at: Reader, text: str) -> str:
    """Return the text as the triggers fold that of leads."""
    if text.isascii():
        return text.lower()
    others = "".join(letter for letter in set(text) if not letter.isascii())
    folds = {row["letter"]: row["folded"] for row in at.rows(FOLDS, text=others)}
    return "".join(_folded(letter, folds) for letter in text)


def _folded(letter: str, folds: Mapping[str, str]) -> str:
    if letter.isascii():
        return letter.lower()
    return unicodedata.normalize("NFD", letter) if ord(letter) in HANGUL else folds.get(letter, letter)
