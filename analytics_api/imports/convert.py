"""Convert values from any source to the values of a column.

`Converter.convert` converts one value, a string or a number. `Converter.convert_all` converts many values, and is
faster if all of them have the same type. Both raise ValueError with the reason if a value is invalid.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from functools import partial
from types import NoneType
from typing import Any, Literal

from ..database import BASE_TABLES, Column
from ..values.formulas import unescape_formula
from ..values.hosts import MAX_HOST_LENGTH, normalize_host
from ..values.statuses import STATUSES
from ..values.timestamps import (
    LAST_TIMESTAMP,
    MAX_PLAIN_TIMESTAMP,
    MIN_PLAIN_TIMESTAMP,
    MIN_TIMESTAMP,
    NUMBER,
    TIMESTAMP_COLUMNS,
    parse_date,
    shorten,
    to_datetime,
    to_timestamp,
)


class Keep(Enum):
    """The type of KEEP. In an update, KEEP replaces an empty value, so that the column of the row is not changed."""

    KEEP = "keep"


KEEP = Keep.KEEP
Value = int | str | None
Cell = Value | Literal[Keep.KEEP]

BOUNDED_TIMESTAMP_COLUMNS = frozenset({"started_at", "occurred_at"})
DATETIME_COLUMNS = frozenset({"enquiry_datetime", "submitted_at"})
STATUS_COLUMNS = frozenset({"status", "old_status", "new_status"})
ID_COLUMNS = frozenset({"session_id", "visitor_id", *BASE_TABLES.values()})

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
HASHABLE_TYPES = {str, int, NoneType}
MAX_EXACT_FLOAT = 2**53 - 1  # a larger float may be a rounded integer
MAX_TEXT_LENGTH = 4_000_000  # characters; no text of D1 is longer, because a row of D1 has at most 2 MB

# The name of a source has a letter or a digit, and none of the characters by which domains, URLs, addresses and
# placeholders such as `(not set)` are recognized.
SOURCE_NAME = re.compile(r"(?=.*\w)[^\0-\x1f\x7f./:@?#\\\[\]<(\u3002\uff0e\uff61]+")
WHOLE_FLOAT = re.compile(r"[+-]?[0-9]{1,16}\.0*")  # pandas writes 70.0 in a column with empty cells
BOOLEANS = {"true": 1, "t": 1, "yes": 1, "y": 1, "false": 0, "f": 0, "no": 0, "n": 0}


class Converter:
    """The conversion of one column's values.

    :param is_update: whether an empty value of a required column leaves the stored value unchanged.
    :param empty_means_absent: whether a row cannot omit a column, as in CSV, so that an empty value may stand for none.
        If so, with `is_update`, an empty value of any column leaves the stored value unchanged.
    :param is_escaped: whether the file is an export of leads for spreadsheets. In such a file, formulas are escaped.
    :param date_format: the format of dates for `datetime.strptime`.
    :param value_map: mapping of values in the file to the values that replace them before the conversion. Upper and
        lower case are not distinguished.
    :raises ValueError: a value of `value_map` is invalid. The message has the pair and the reason.
    """

    def __init__(
        self,
        table: str,
        column: Column,
        *,
        is_update: bool = False,
        empty_means_absent: bool = False,
        is_escaped: bool = False,
        date_format: str | None = None,
        value_map: Mapping[str, str] | None = None,
    ) -> None:
        function = self.to_value = _function_of(table, column)
        if date_format is not None and column.name in TIMESTAMP_COLUMNS | DATETIME_COLUMNS:
            self.to_value = _add_parsing(self.to_value, date_format)
        self.unused_values: set[str] = set()
        if value_map:
            self.unused_values.update(value_map)
            self.to_value = _add_mapping(self.to_value, value_map, self.unused_values)
        if is_escaped and column.type == "text":
            self.to_value = _add_unescaping(self.to_value)
        self.is_required = column.required or column.name == BASE_TABLES[table]
        self.empty: Cell = column.default if self.is_required else None
        if is_update and column.name != BASE_TABLES[table] and (self.is_required or empty_means_absent):
            self.empty = KEEP
        self.is_integer = column.type == "integer" and self.to_value is function
        is_timestamp = column.name in TIMESTAMP_COLUMNS
        self.min_unchanged = MIN_PLAIN_TIMESTAMP if is_timestamp else 1 if function is to_lead_id else MIN_INTEGER
        self.max_unchanged = MAX_PLAIN_TIMESTAMP if is_timestamp else MAX_INTEGER
        self.unchanged_types: set[type] = set()
        if self.to_value in (to_text, to_text_id):
            self.unchanged_types = {str} if self.is_required or self.empty is KEEP else {str, NoneType}

    def convert(self, value: object) -> Cell:
        """Convert a value to the value to store.

        :raises ValueError: the value is invalid; the message is the reason.
        """
        result = self.to_value(value)
        if result is not None:
            return result
        if self.is_required and self.empty is None:
            raise ValueError("a value is required")
        return self.empty

    def convert_all(self, values: Sequence[Any], size: int | None = None) -> Sequence[Cell]:
        """Convert all values. Return the same sequence if no value changes.

        :param size: upper bound for the total size of the values in bytes; None if it is unknown.
        :raises ValueError: a value is invalid.
        """
        types = set(map(type, values))
        if types <= self.unchanged_types and (
            (size is not None and size <= MAX_TEXT_LENGTH)
            or max(map(len, filter(None, values)), default=0) <= MAX_TEXT_LENGTH
        ):
            return values
        if self.is_integer and types == {str} and _are_digits(values):
            values, types = list(map(int, values)), {int}
        if (
            self.is_integer
            and types == {int}
            and self.min_unchanged <= min(values)
            and max(values) <= self.max_unchanged
        ):
            return values
        if types <= HASHABLE_TYPES:
            # These types include neither float nor bool, because 1, 1.0 and True would be the same key.
            results = {value: self.convert(value) for value in set(values)}
            return [results[value] for value in values]
        return list(map(self.convert, values))


def to_text(value: object) -> str | None:
    """Convert a value to text: numbers as in JavaScript; booleans, lists and objects as JSON."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT_LENGTH:
            raise ValueError(f"the text is longer than {MAX_TEXT_LENGTH:,} characters")
        return value
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ValueError(f"{shorten(bytes(value))} is not text")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number")
        if value == int(value) and abs(value) < 10**21:
            value = int(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


def to_integer(value: object) -> int | None:
    """Convert a value to an integer, rounded half away from zero. Booleans become 1 or 0, blank text becomes None."""
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
        truth = BOOLEANS.get(value.lower())
        if truth is not None:
            return truth
        if not NUMBER.fullmatch(value):
            raise ValueError(f"{shorten(value)} is not a number")
        number = float(value) if re.search(r"[.eE]", value) else int(value)
    elif value is None:
        return None
    elif isinstance(value, (int, float)):
        number = value
    else:
        raise ValueError(f"{shorten(value)} is not a number")
    if isinstance(number, float):
        if not math.isfinite(number):
            raise ValueError(f"{shorten(value)} is not a number")
        number = math.floor(abs(number) + 0.5) * (-1 if number < 0 else 1)
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise ValueError(f"{shorten(value)} is beyond 64 bits")
    return int(number)


def to_id(value: object) -> int | None:
    """Convert an id to an integer. A fraction or an inexact number is invalid, as it may be the id of another row."""
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
        if WHOLE_FLOAT.fullmatch(value) and abs(float(value)) <= MAX_EXACT_FLOAT:
            value = value.partition(".")[0]
        elif not re.fullmatch(r"[+-]?[0-9]{1,30}", value):
            if NUMBER.fullmatch(value) and re.search("[eE]", value):
                raise ValueError(f"{shorten(value)} has lost digits; export the id as a whole number")
            raise ValueError(f"{shorten(value)} is not a whole number")
        return to_integer(value)
    if isinstance(value, bool) or (isinstance(value, float) and value != math.floor(value or 0)):
        raise ValueError(f"{shorten(value)} is not a whole number")
    if isinstance(value, float) and abs(value) > MAX_EXACT_FLOAT:
        raise ValueError(f"{shorten(value)} has lost digits; export the id as a whole number")
    return to_integer(value)


def to_lead_id(value: object) -> int | None:
    """Convert the id of a lead, which must be at least 1, because it is part of URLs."""
    id = to_id(value)
    if id is not None and id < 1:
        raise ValueError(f"{shorten(value)} is not at least 1")
    return id


def to_event_id(value: object) -> int | None:
    """Convert the id of an event. If the id is not a number but, say, a UUID, the message says what to do."""
    try:
        return to_id(value)
    except ValueError as error:
        raise ValueError(f"{error}; with --map event_id= the ids are computed from the events") from None


def to_text_id(value: object) -> str | None:
    """Convert a text id. An integer becomes its decimal digits."""
    if isinstance(value, (bool, float)):
        value = to_id(value)
    return to_text(value)


def to_bounded_timestamp(value: object) -> int | None:
    """Convert the timestamp of a session or an event, which must be in the years 1973 to 9999."""
    timestamp = to_timestamp(value)
    if timestamp is not None and not MIN_TIMESTAMP <= timestamp <= LAST_TIMESTAMP:
        raise ValueError(f"{shorten(value)} is not within the years 1973 to 9999")
    return timestamp


def to_status(value: object, column: str = "status") -> str | None:
    """Convert the status of a lead. Case is ignored, and blank text becomes None.

    :param column: the name of the column, for the error message.
    """
    text = to_text(value)
    status = text.strip().lower() if text else None
    if not status or status in STATUSES:
        return status or None
    if near := get_close_matches(status, STATUSES, n=1):
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"map it to one of them with --map-value {shlex.quote(f'{column}:{str(value).strip()[:60]}=STATUS')}"
    raise ValueError(f"{shorten(value)} is not one of {', '.join(STATUSES)}; {hint}")


def to_country(value: object) -> str | None:
    """Convert a country. A code of two letters becomes upper case."""
    text = to_text(value)
    return text.strip().upper() if text and re.fullmatch(r"\s*[A-Za-z]{2}\s*", text) else text


def to_host(value: object) -> str | None:
    """Convert a host name or URL to its normalized host, and the name of a source to lower case.

    Return '' for empty text, and None for other text. The collector stores names such as `news letter` from
    `utm_source`.
    """
    text = to_text(value)
    name = text.strip().lower() if text else ""
    if name and len(name) <= MAX_HOST_LENGTH and SOURCE_NAME.fullmatch(name):
        return name
    return normalize_host(text) if text else text


def _function_of(table: str, column: Column) -> Callable[[object], Value]:
    name = column.name
    if name in TIMESTAMP_COLUMNS:
        return to_bounded_timestamp if name in BOUNDED_TIMESTAMP_COLUMNS else to_timestamp
    if name in DATETIME_COLUMNS:
        return to_datetime
    if name in STATUS_COLUMNS:
        return partial(to_status, column=name)
    if name == "event_id":
        return to_event_id
    if table == "leads" and name == "lead_id":
        return to_lead_id
    if name in ID_COLUMNS:
        return to_id if column.type == "integer" else to_text_id
    if table == "sessions" and name == "country":
        return to_country
    if name == "referrer_domain":
        return to_host
    return to_integer if column.type == "integer" else to_text


def _add_unescaping(to_value: Callable[[object], Value]) -> Callable[[object], Value]:
    return lambda value: to_value(unescape_formula(value) if isinstance(value, str) else value)


def _add_parsing(to_value: Callable[[object], Value], date_format: str) -> Callable[[object], Value]:
    return lambda value: to_value(parse_date(value, date_format) if isinstance(value, str) and value.strip() else value)


class MappedText(str):
    """A string of `value_map`. `original` is the string in the file that it replaces.

    Event ids are computed from the text of the file, so that an event has the same id with and without `value_map`.
    """

    original: str

    __slots__ = ("original",)


def _add_mapping(
    to_value: Callable[[object], Value], value_map: Mapping[str, str], unused: set[str]
) -> Callable[[object], Value]:
    """Return a function that replaces values before their conversion, and removes them from `unused`."""
    pairs: dict[str, tuple[str, Value]] = {}
    for theirs, ours in value_map.items():
        try:
            pairs[theirs.strip().lower()] = theirs, to_value(ours or None)
        except ValueError as error:
            raise ValueError(f"{theirs}={ours}: {error}") from None

    def convert(value: object) -> Value:
        pair = None if value is None else pairs.get(str(value).strip().lower())
        if pair is None:
            return to_value(value)
        unused.discard(pair[0])
        if not isinstance(pair[1], str) or not isinstance(value, str):
            return pair[1]
        result = MappedText(pair[1])
        result.original = value
        return result

    return convert


def _are_digits(values: Sequence[str]) -> bool:
    """Return whether each value consists of 1 to 19 decimal digits."""
    digits = "".join(values)
    return digits.isascii() and digits.isdecimal() and all(values) and max(map(len, values)) < 20
