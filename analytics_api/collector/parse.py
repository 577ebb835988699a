"""Parse the body of `POST /collect`."""

from __future__ import annotations

import json
from math import isinf
from typing import Any, Final, NoReturn

from ..errors import InvalidRequest, RequestError
from .schema import InvalidValue, check

MAX_BODY_BYTES = 8 * 1024
MAX_LEAD_BYTES = 64 * 1024  # for a body with a lead, and for reading any body
MAX_DATA_BYTES = 4 * 1024

Event = dict[str, Any]


class TooLarge(RequestError):
    """The body is too long."""

    status = 413


def parse_events(body: bytes) -> list[Event]:
    """Parse the events of a body, check them against schema.json, and sort them by `at`.

    `data` of an event becomes JSON text. The values of `fields` become strings: null becomes "", and other values
    that are not strings become JSON.

    :raises InvalidRequest: the body is not JSON, or does not match the schema.
    :raises TooLarge: the body is longer than MAX_BODY_BYTES and has no lead.
    """
    try:
        value = DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body must be JSON in UTF-8") from None
    try:
        check(value, "the body" if isinstance(value, list) else "the event")
    except InvalidValue as error:
        raise InvalidRequest(str(error)) from None
    events: list[Event] = value if isinstance(value, list) else [value]
    if len(body) > MAX_BODY_BYTES and all(event["type"] != "lead" for event in events):
        raise TooLarge(f"The request body must have at most {MAX_BODY_BYTES} bytes, unless it has a lead")
    try:
        for event in events:
            _encode_members(event)
    except RecursionError:  # the decoder accepts a deeper nesting than the encoder
        raise InvalidRequest("data and fields are nested too deeply") from None
    events.sort(key=lambda event: float(event["at"]))
    return events


def _encode_members(event: Event) -> None:
    if event["type"] == "event" and "data" in event:
        event["data"] = encode(event["data"])
        if len(event["data"]) > MAX_DATA_BYTES:
            raise InvalidRequest(f"data must have at most {MAX_DATA_BYTES} bytes as JSON")
    if event["type"] == "lead":
        event["fields"] = {name: _to_text(value) for name, value in event["fields"].items()}


def _to_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def encode(value: object) -> str:
    """Encode a value as compact JSON in ASCII, because a database cannot store some characters, such as U+0000."""
    return json.dumps(value, separators=(",", ":"))


def _parse_float(text: str) -> float:
    number = float(text)
    if isinf(number):  # JSON has no infinity, so the number could not be encoded again
        raise ValueError(text)
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_float)
