"""Check JSON values against schema.json. Only the keywords of JSON Schema that this file uses are supported.

The schema is compiled into functions once. Checking a page view then takes a third of the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

Schema = Mapping[str, Any]


class Fault(NamedTuple):
    """A mismatch. Its message is `name` + `text`. If `name` is empty, check() inserts its own parameter `name`."""

    text: str
    name: str = ""


Check = Callable[[object], "Fault | None"]

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "array": list,
    "boolean": bool,
    "number": (int, float),
    "object": dict,
    "string": str,
}
ANNOTATIONS = frozenset({"$schema", "$defs", "title", "description", "then", "else"})


class InvalidValue(ValueError):
    """The value does not match the schema. The message begins with the name of the value."""


@cache
def load_schema() -> Schema:
    text = Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


@cache
def _root() -> Check:
    return _compile(load_schema())


def check(value: object, name: str) -> None:
    """Check that a value from json.loads matches schema.json.

    :param name: the value's name in error messages.
    :raises InvalidValue: the value does not match the schema.
    """
    if fault := _root()(value):
        raise InvalidValue(f"{fault.name or name}{fault.text}")


def _compile(schema: Schema) -> Check:
    checks = [KEYWORDS[keyword](value, schema) for keyword, value in schema.items() if keyword not in ANNOTATIONS]
    return checks[0] if len(checks) == 1 else _all(checks)


def _all(checks: list[Check]) -> Check:
    def find_fault(value: object) -> Fault | None:
        for check_part in checks:
            if fault := check_part(value):
                return fault
        return None

    return find_fault


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _type(name: str, schema: Schema) -> Check:
    classes = TYPES[name]
    is_number = name == "number"
    fault = Fault(f" must be {'an' if name[0] in 'ao' else 'a'} {name}")
    # In Python, bool is a subclass of int.
    return lambda value: None if isinstance(value, classes) and not (is_number and isinstance(value, bool)) else fault


def _enum(values: list[object], schema: Schema) -> Check:
    fault = Fault(f" must be one of {', '.join(map(str, values))}")
    return lambda value: None if isinstance(value, str) and value in values else fault


def _const(constant: object, schema: Schema) -> Check:
    fault = Fault(f" must be {constant}")
    return lambda value: None if value == constant else fault


def _pattern(pattern: str, schema: Schema) -> Check:
    fault = Fault(f" must match {pattern}")
    # In Python, `$` also matches before a final newline.
    search = re.compile(re.sub(r"\$\Z", r"\\Z", pattern)).search
    return lambda value: fault if isinstance(value, str) and not search(value) else None


def _max_length(length: int, schema: Schema) -> Check:
    fault = Fault(f" must have at most {length:,} characters")
    return lambda value: fault if isinstance(value, str) and len(value) > length else None


def _minimum(minimum: float, schema: Schema) -> Check:
    fault = Fault(f" must be at least {minimum:,}")
    return lambda value: fault if _is_number(value) and not value >= minimum else None  # type: ignore[operator]


def _maximum(maximum: float, schema: Schema) -> Check:
    fault = Fault(f" must be at most {maximum:,}")
    return lambda value: fault if _is_number(value) and not value <= maximum else None  # type: ignore[operator]


def _min_items(number: int, schema: Schema) -> Check:
    fault = Fault(f" must have at least {number} events")
    return lambda value: fault if isinstance(value, list) and len(value) < number else None


def _max_items(number: int, schema: Schema) -> Check:
    fault = Fault(f" must have at most {number} events")
    return lambda value: fault if isinstance(value, list) and len(value) > number else None


def _items(items: Schema, schema: Schema) -> Check:
    check_item = _compile(items)

    def find_fault(value: object) -> Fault | None:
        if isinstance(value, list):
            for number, item in enumerate(value, start=1):
                if fault := check_item(item):
                    return Fault(fault.text, f"event {number}")
        return None

    return find_fault


def _check_required(names: list[str], schema: Schema) -> Check:
    faults = [(name, Fault(f" must have the member {name}")) for name in names]

    def find_fault(value: object) -> Fault | None:
        if isinstance(value, dict):
            for name, fault in faults:
                if name not in value:
                    return fault
        return None

    return find_fault


def _properties(properties: Mapping[str, Schema], schema: Schema) -> Check:
    checks = [(name, _compile(of_member)) for name, of_member in properties.items()]

    def find_fault(value: object) -> Fault | None:
        if isinstance(value, dict):
            for name, check_member in checks:
                if name in value and (fault := check_member(value[name])):
                    return Fault(f": {name}{fault.text}")
        return None

    return find_fault


def _all_of(schemas: list[Schema], schema: Schema) -> Check:
    return _all([_compile(part) for part in schemas])


def _condition(condition: Schema, schema: Schema) -> Check:
    check_condition = _compile(condition)
    check_then, check_else = (_compile(schema.get(name, {})) for name in ("then", "else"))
    return lambda value: (check_else if check_condition(value) else check_then)(value)


def _reference(reference: str, schema: Schema) -> Check:
    return _compile(load_schema()["$defs"][reference.removeprefix("#/$defs/")])


KEYWORDS: Mapping[str, Callable[[Any, Schema], Check]] = {
    "$ref": _reference,
    "allOf": _all_of,
    "const": _const,
    "enum": _enum,
    "if": _condition,
    "items": _items,
    "maxItems": _max_items,
    "maxLength": _max_length,
    "maximum": _maximum,
    "minItems": _min_items,
    "minimum": _minimum,
    "pattern": _pattern,
    "properties": _properties,
    "required": _check_required,
    "type": _type,
}
