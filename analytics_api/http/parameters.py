"""What a parameter may be. Each kind reads its text, or says what it takes; the route table holds them as data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import InvalidRequest

MAX_INT64 = 2**63 - 1  # what a column of the database can hold


class Parameter(Protocol):
    """One parameter of a route, under the name that it has in the URL and in the function."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def default(self) -> object:
        """What an absent or empty parameter is."""

    @property
    def schema(self) -> dict[str, object]:
        """What it takes, as JSON Schema."""

    def parse(self, text: str) -> object:
        """The value of `text`, which is not empty.

        Raises InvalidRequest, naming the parameter and what it takes.
        """


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number. What lies outside the bounds is brought to the nearer one."""

    name: str
    description: str
    default: int
    minimum: int
    maximum: int = MAX_INT64

    @property
    def schema(self) -> dict[str, object]:
        # no `minimum` and `maximum`: what lies outside is taken too
        most = str(self.maximum) if self.maximum < MAX_INT64 else "any"
        return {
            "type": "integer",
            "description": f"From {self.minimum} to {most}; a number outside is brought to the nearer bound",
            "default": self.default,
            "x-minimum": self.minimum,
            "x-maximum": self.maximum,
        }

    def parse(self, text: str) -> int:
        number = re.fullmatch(r"\s*([+-]?)([0-9]+)\s*", text, re.ASCII)
        if not number:
            raise InvalidRequest(f"{self.name} takes a whole number")
        sign, digits = number.groups()
        digits = digits.lstrip("0") or "0"
        if len(digits) > len(str(MAX_INT64)):  # int() refuses thousands of digits
            return self.minimum if sign == "-" else self.maximum
        return min(max(int(sign + digits), self.minimum), self.maximum)


@dataclass(frozen=True, slots=True)
class Enum:
    """One of a list of words, in any case."""

    name: str
    description: str
    choices: Sequence[str]
    default: str | None = None

    @property
    def schema(self) -> dict[str, object]:
        given: dict[str, object] = {"type": "string", "enum": list(self.choices)}
        return given if self.default is None else {**given, "default": self.default}

    def parse(self, text: str) -> str:
        word = text.strip().lower()
        if word not in self.choices:
            raise InvalidRequest(f"{self.name} takes one of: {', '.join(self.choices)}")
        return word


@dataclass(frozen=True, slots=True)
class Text:
    """Any text of so many characters, taken literally."""

    name: str
    description: str
    maximum: int | None = None
    default: None = None

    @property
    def schema(self) -> dict[str, object]:
        given: dict[str, object] = {"type": "string", "pattern": "^[^\\u0000]*$"}
        return given if self.maximum is None else {**given, "maxLength": self.maximum}

    def parse(self, text: str) -> str:
        if "\0" in text:  # no database searches beyond it
            raise InvalidRequest(f"{self.name} takes text without NUL characters")
        if self.maximum is not None and len(text) > self.maximum:
            raise InvalidRequest(f"{self.name} takes {self.maximum} characters at most")
        return text


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list, as a page of that list named it: text of a regular expression."""

    name: str
    description: str
    pattern: str
    default: None = None

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "string", "pattern": f"^({self.pattern})$"}

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise InvalidRequest(f"{self.name} takes what the Link header of a page named")
        return text


@dataclass(frozen=True, slots=True)
class Identifier:
    """The key of a row, in a path: decimal digits from 1 up to the largest integer of the database."""

    name: str
    description: str

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "integer", "minimum": 1, "maximum": MAX_INT64}

    def parse(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INT64)) and 0 < int(text) <= MAX_INT64):
            raise InvalidRequest(f"Invalid {self.name.replace('_', ' ')}")
        return int(text)
