"""Check a JSON value against schema.json. This implements the keywords of JSON Schema that the file uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

Schema = Mapping[str, Any]

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "array": list,
    "boolean": bool,
    "number": (int, float),
    "object": dict,
    "string": str,
}
ANNOTATIONS = frozenset({"$schema", "$defs", "title", "description", "then", "else"})


class InvalidValue(ValueError):
    """The value does not match the schema. The message begins with its name."""


@cache
def load_schema() -> Schema:
    text = files("analytics_api.collector").joinpath("schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def check(value: object, schema: Schema, name: str) -> None:
    """Check a value that json.loads returned.

    :param name: the value's name in error messages.
    :raises InvalidValue: the value does not match.
    """
    for keyword, argument in schema.items():
        if keyword not in ANNOTATIONS:
            CHECKS[keyword](value, argument, schema, name)


def is_type(value: object, type_: str) -> bool:
    return isinstance(value, TYPES[type_]) and (type_ == "boolean" or not isinstance(value, bool))


def _check_type(value: object, type_: str, schema: Schema, name: str) -> None:
    if not is_type(value, type_):
        raise InvalidValue(f"{name} must be {'an' if type_[0] in 'ao' else 'a'} {type_}")


def _check_enum(value: object, values: list[object], schema: Schema, name: str) -> None:
    if not (isinstance(value, str) and value in values):
        raise InvalidValue(f"{name} must be one of {', '.join(map(str, values))}")


def _check_const(value: object, constant: object, schema: Schema, name: str) -> None:
    if value != constant:
        raise InvalidValue(f"{name} must be {constant}")


def _check_pattern(value: object, pattern: str, schema: Schema, name: str) -> None:
    if isinstance(value, str) and not _compile(pattern).search(value):
        raise InvalidValue(f"{name} must match {pattern}")


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    # In Python, `$` also matches before a final newline.
    return re.compile(re.sub(r"\$\Z", r"\\Z", pattern))


def _check_max_length(value: object, length: int, schema: Schema, name: str) -> None:
    if isinstance(value, str) and len(value) > length:
        raise InvalidValue(f"{name} must have at most {length:,} letters")


def _check_minimum(value: object, minimum: float, schema: Schema, name: str) -> None:
    if is_type(value, "number") and not value >= minimum:  # type: ignore[operator]
        raise InvalidValue(f"{name} must be at least {minimum:,}")


def _check_maximum(value: object, maximum: float, schema: Schema, name: str) -> None:
    if is_type(value, "number") and not value <= maximum:  # type: ignore[operator]
        raise InvalidValue(f"{name} must be at most {maximum:,}")


def _check_min_items(value: object, number: int, schema: Schema, name: str) -> None:
    if isinstance(value, list) and len(value) < number:
        raise InvalidValue(f"{name} must have at least {number} events")


def _check_max_items(value: object, number: int, schema: Schema, name: str) -> None:
    if isinstance(value, list) and len(value) > number:
        raise InvalidValue(f"{name} must have at most {number} events")


def _check_items(value: object, items: Schema, schema: Schema, name: str) -> None:
    if isinstance(value, list):
        for number, item in enumerate(value, start=1):
            check(item, items, f"event {number}")


def _check_required(value: object, names: list[str], schema: Schema, name: str) -> None:
    if isinstance(value, dict):
        for member in names:
            if member not in value:
                raise InvalidValue(f"{name} must have the member {member}")


def _check_properties(value: object, properties: Mapping[str, Schema], schema: Schema, name: str) -> None:
    if isinstance(value, dict):
        for member, of_member in properties.items():
            if member in value:
                check(value[member], of_member, f"{name}: {member}")


def _check_all_of(value: object, schemas: list[Schema], schema: Schema, name: str) -> None:
    for part in schemas:
        check(value, part, name)


def _check_condition(value: object, condition: Schema, schema: Schema, name: str) -> None:
    try:
        check(value, condition, name)
    except InvalidValue:
        check(value, schema.get("else", {}), name)
    else:
        check(value, schema.get("then", {}), name)


def _check_reference(value: object, reference: str, schema: Schema, name: str) -> None:
    check(value, load_schema()["$defs"][reference.removeprefix("#/$defs/")], name)


CHECKS: Mapping[str, Callable[[object, Any, Schema, str], None]] = {
    "$ref": _check_reference,
    "allOf": _check_all_of,
    "const": _check_const,
    "enum": _check_enum,
    "if": _check_condition,
    "items": _check_items,
    "maxItems": _check_max_items,
    "maxLength": _check_max_length,
    "maximum": _check_maximum,
    "minItems": _check_min_items,
    "minimum": _check_minimum,
    "pattern": _check_pattern,
    "properties": _check_properties,
    "required": _check_required,
    "type": _check_type,
}
