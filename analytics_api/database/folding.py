"""Fold text for the lead search: case folding, NFD, and removal of the combining marks U+0300 to U+036F.

Triggers fold the text of leads with the table case_folds. The function `case_folds` returns the rows of this table,
which are inserted when a database is created. Search terms are folded with the same table, because the database may
have been created with a Python that has another version of Unicode.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from .base import Database, Reader

LAST_FOLDED = 0x2FFFF  # characters with larger code points have neither case nor decomposition
BLOCK_SIZE = 0x80  # characters; in a block that begins in HANGUL, folding changes no characters outside HANGUL
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
    """Return the rows of the table case_folds: characters that folding changes, with their folded text.

    ASCII and Hangul are not included, because triggers compute their folded text.
    """
    return tuple(_case_folds())


def _case_folds() -> Iterator[tuple[str, str]]:
    for first in range(0x80, LAST_FOLDED + 1, BLOCK_SIZE):
        letters = "".join(map(chr, range(first, first + BLOCK_SIZE)))
        # In most blocks, such as ideographs, no character changes. Skipping these blocks saves a third of the time.
        if first in HANGUL or (letters.casefold() == letters and unicodedata.is_normalized("NFD", letters)):
            continue
        for letter in letters:
            if ord(letter) not in HANGUL and (folded := fold_letter(letter)) != letter:
                yield letter, folded


def fold_letter(letter: str) -> str:
    """Return the folded form of a character.

    Combining marks are removed before case folding, because case folding would convert U+0345 to the letter iota.
    """
    bare = unicodedata.normalize("NFD", letter).translate(MARKS)
    return unicodedata.normalize("NFD", bare.casefold()).translate(MARKS)


def fold(at: Reader | Database, text: str) -> str:
    """Fold text in the same way as the triggers of leads."""
    [folded] = fold_all(at, [text])
    return folded


def fold_all(at: Reader | Database, texts: Sequence[str]) -> list[str]:
    """Fold strings in the same way as the triggers of leads."""
    letters = {letter for text in texts if not text.isascii() for letter in text if not letter.isascii()}
    folds = {row["letter"]: row["folded"] for row in at.rows(FOLDS, text="".join(letters))} if letters else {}
    return [
        text.lower() if text.isascii() else "".join(_fold_letter(letter, folds) for letter in text) for text in texts
    ]


def _fold_letter(letter: str, folds: Mapping[str, str]) -> str:
    if letter.isascii():
        return letter.lower()
    return unicodedata.normalize("NFD", letter) if ord(letter) in HANGUL else folds.get(letter, letter)
