"""Fold text for the lead search with the module unicodedata, to compare it with the database."""

import unicodedata


def folded(text):
    """Return the text in lower case and NFD, without the marks U+0300 to U+036F."""
    decomposed = "".join(unicodedata.normalize("NFD", letter) for letter in text)
    return _bare("".join(unicodedata.normalize("NFD", letter.casefold()) for letter in _bare(decomposed)))


def _bare(text):
    return "".join(mark for mark in text if not "\u0300" <= mark <= "\u036f")
