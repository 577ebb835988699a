"""Parameter types. Each one parses text, or raises an error that names the valid values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from ..errors import InvalidRequest
from ..values.statuses import STATUSES

MAX_INT64 = 2**63 - 1  # largest integer of a database column
EXPECTATIONS = ("etag", "from")  # the entity tag or the status that a lead must have to be moved
MAX_VALUES = 20  # maximum number of values of a filter


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Check that the value of the argument `name` is one of the choices.

    :raises InvalidRequest: the value is not one of the choices.
    """
    if value not in choices:
        raise InvalidRequest(f"{name} must be one of {', '.join(choices)}")


def check_limit(limit: object) -> None:
    """Check the argument `limit`.

    :raises InvalidRequest: it is not a positive integer.
    """
    if not isinstance(limit, int) or limit < 1:
        raise InvalidRequest(f"limit must be an integer of 1 or more, not {limit!r}")


class Parameter(Protocol):
    """A parameter of a route. Its name in the URL is also the name of the endpoint's argument."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def default(self) -> object:
        """The value if the parameter is absent or empty."""

    @property
    def schema(self) -> dict[str, object]:
        """The JSON Schema of the valid values."""

    def parse(self, text: str) -> object:
        """Convert non-empty text to the parameter's value.

        :raises InvalidRequest: the text is invalid; the message begins with the parameter's name.
        """


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer. Values outside the bounds are clamped."""

    name: str
    description: str
    default: int | None
    minimum: int
    maximum: int = MAX_INT64

    @property
    def schema(self) -> dict[str, object]:
        # In JSON Schema, `minimum` and `maximum` would mean that values outside the bounds are invalid.
        bounds = f"At least {self.minimum}" if self.maximum == MAX_INT64 else f"{self.minimum} to {self.maximum}"
        return {
            "type": "integer",
            "description": f"{bounds}; values outside are clamped",
            **({} if self.default is None else {"default": self.default}),
            "x-minimum": self.minimum,
            "x-maximum": self.maximum,
        }

    def parse(self, text: str) -> int:
        number = re.fullmatch(r"\s*([+-]?)([0-9]+)\s*", text, re.ASCII)
        if not number:
            raise InvalidRequest(f"{self.name} must be an integer")
        sign, digits = number.groups()
        digits = digits.lstrip("0") or "0"
        if len(digits) > len(str(MAX_INT64)):  # int() raises an error for more than 4300 digits
            return self.minimum if sign == "-" else self.maximum
        return min(max(int(sign + digits), self.minimum), self.maximum)


@dataclass(frozen=True, slots=True)
class Enum:
    """A word from a list. Case is ignored."""

    name: str
    description: str
    choices: Sequence[str]
    default: str | None = None

    @property
    def schema(self) -> dict[str, object]:
        schema: dict[str, object] = {"type": "string", "enum": list(self.choices)}
        return schema if self.default is None else {**schema, "default": self.default}

    def parse(self, text: str) -> str:
        word = text.strip().lower()
        check_choice(self.name, word, self.choices)
        return word


@dataclass(frozen=True, slots=True)
class Enums:
    """Words from a list, separated by commas. Case is ignored."""

    name: str
    description: str
    choices: Sequence[str]
    default: None = None

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "array", "items": {"type": "string", "enum": list(self.choices)}}

    def parse(self, text: str) -> frozenset[str]:
        words = frozenset(word.strip().lower() for word in text.split(",")) - {""}
        if not words <= set(self.choices):
            raise InvalidRequest(f"{self.name} must be one or more of {', '.join(self.choices)}, separated by commas")
        return words


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`. Case is ignored."""

    name: str
    description: str
    default: bool | None = False

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "boolean", **({} if self.default is None else {"default": self.default})}

    def parse(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in ("true", "false"):
            raise InvalidRequest(f"{self.name} must be true or false")
        return word == "true"


@dataclass(frozen=True, slots=True)
class Day:
    """A date as `YYYY-MM-DD`."""

    name: str
    description: str
    default: None = None

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "string", "format": "date"}

    def parse(self, text: str) -> date:
        try:
            if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text.strip(), re.ASCII):
                raise ValueError
            return date.fromisoformat(text.strip())
        except ValueError:
            raise InvalidRequest(f"{self.name} must be a date such as 2026-02-28") from None


@dataclass(frozen=True, slots=True)
class Text:
    """Text of at most `maximum` characters, without NUL. Spaces at its ends are kept."""

    name: str
    description: str
    maximum: int | None = None
    default: None = None

    @property
    def schema(self) -> dict[str, object]:
        schema: dict[str, object] = {"type": "string", "pattern": "^[^\\u0000]*$"}
        return schema if self.maximum is None else {**schema, "maxLength": self.maximum}

    @property
    def shape(self) -> str:
        return '"…"'

    def parse_json(self, value: object) -> str:
        """Return the value of a field of a JSON body.

        :raises ValueError: the value is not a string.
        """
        if not isinstance(value, str):
            raise ValueError(value)
        return value

    def parse(self, text: str) -> str:
        if "\0" in text:  # PostgreSQL does not accept NUL in text
            raise InvalidRequest(f"{self.name} must not contain NUL")
        if self.maximum is not None and len(text) > self.maximum:
            raise InvalidRequest(f"{self.name} must have at most {self.maximum} characters")
        return text


@dataclass(frozen=True, slots=True)
class LeadReferences:
    """A list of 1 to `maximum` leads in a JSON body. Each lead has its id, and may have the fields in EXPECTATIONS."""

    name: str
    description: str
    maximum: int

    @property
    def schema(self) -> dict[str, object]:
        lead_id = {"type": "integer", "minimum": 1, "maximum": MAX_INT64}
        text = {"type": ["string", "null"]}
        properties = {"lead_id": lead_id, "etag": text, "from": {**text, "enum": [*STATUSES, None]}}
        item = {
            "type": "object",
            "properties": properties,
            "required": ["lead_id"],
            "additionalProperties": False,
        }
        return {"type": "array", "minItems": 1, "maxItems": self.maximum, "items": item}

    @property
    def shape(self) -> str:
        return f'[{{"lead_id": 1, "etag": "…"}}, … up to {self.maximum}]'

    def parse_json(self, value: object) -> list[dict[str, object]]:
        """Return the value of a field of a JSON body.

        :raises ValueError: the value is not such a list.
        :raises InvalidRequest: a status in `from` is unknown, or a lead has another field. A misspelt `etag` or `from`
            must not be ignored, because the lead would be moved without the check.
        """
        if not isinstance(value, list) or not 1 <= len(value) <= self.maximum:
            raise ValueError(value)
        return [self._parse_lead(lead) for lead in value]

    def _parse_lead(self, lead: object) -> dict[str, object]:
        if not isinstance(lead, dict):
            raise ValueError(lead)
        if unknown := lead.keys() - {"lead_id", *EXPECTATIONS}:
            raise InvalidRequest(
                f"{min(unknown)[:40]!r} is not a field of a lead; use lead_id, {', '.join(EXPECTATIONS)}"
            )
        lead_id = lead.get("lead_id")
        if isinstance(lead_id, float) and lead_id.is_integer():  # in JSON Schema, 1.0 is an integer
            lead_id = int(lead_id)
        expected = {name: lead[name] for name in EXPECTATIONS if lead.get(name) is not None}
        if type(lead_id) is not int or not 1 <= lead_id <= MAX_INT64:
            raise ValueError(lead)
        if not all(isinstance(text, str) for text in expected.values()):
            raise ValueError(lead)
        if "from" in expected:
            expected["from"] = Enum("from", "", STATUSES).parse(lead["from"])
        return {"lead_id": lead_id, **expected}


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter, which can be repeated. A value is one of `choices`, ignoring case, or any text without NUL."""

    name: str
    description: str
    choices: Sequence[str] = ()
    default: None = None

    @property
    def schema(self) -> dict[str, object]:
        item = {"enum": list(self.choices)} if self.choices else {"pattern": "^[^\\u0000]*$"}
        return {"type": "array", "maxItems": MAX_VALUES, "items": {"type": "string", **item}}

    def parse(self, text: str) -> str:
        if self.choices:
            return Enum(self.name, self.description, self.choices).parse(text)
        return Text(self.name, self.description).parse(text)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a list. The text must match the regular expression `pattern`.

    :param source: where clients find the cursor of the next page.
    """

    name: str
    source: str
    pattern: str
    default: None = None

    @property
    def description(self) -> str:
        return f"Position from {self.source} of the previous page; only for the same sort"

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "string", "pattern": f"^({self.pattern})$"}

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise InvalidRequest(f"{self.name} is invalid: use the one from {self.source}")
        return text


@dataclass(frozen=True, slots=True)
class Identifier:
    """A row's primary key in a path: decimal digits, from 1 to MAX_INT64."""

    name: str
    description: str

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "integer", "minimum": 1, "maximum": MAX_INT64}

    def parse(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INT64)) and 0 < int(text) <= MAX_INT64):
            raise InvalidRequest(f"Invalid {self.name.replace('_', ' ')}")
        return int(text)
