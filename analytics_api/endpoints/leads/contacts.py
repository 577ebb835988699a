"""Normalize e-mail addresses and phone numbers, and list the fields that changed between two submissions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final, TypedDict

# Translations for str.translate. They convert only ASCII letters to lower case, as lower() does in OTHER_LEADS.
EMAIL: Final = str.maketrans(ascii_uppercase, ascii_lowercase, " ")
PHONE: Final = str.maketrans("", "", " +().-/")

COMPARED: Final = ("project_name", "contact_email", "contact_phone", "source", "cta_name")

Change = TypedDict("Change", {"field": str, "from": "str | None", "to": "str | None"})


def comparable(field: str, value: object) -> object:
    """Return a field's value in the form in which it is compared. E-mail addresses and phone numbers are normalized."""
    if value is None or value == "":
        return ""
    if isinstance(value, str) and "mail" in field.lower():
        return comparable_email(value)
    if isinstance(value, str) and "phone" in field.lower():
        return comparable_phone(value)
    return value


def comparable_email(email: str | None) -> str | None:
    """Return an e-mail address without spaces and in lower case, or None if nothing is left."""
    return email.translate(EMAIL) or None if email else None


def comparable_phone(phone: str | None) -> str | None:
    """Return a phone number without spaces and the characters `+().-/`, or None if nothing is left."""
    return phone.translate(PHONE) or None if phone else None


def is_same(field: str, old: object, new: object) -> bool:
    """Return whether two values of a field are equal when normalized."""
    if old is new or (isinstance(old, str) and old == new):  # most values
        return True
    return (_text(comparable(field, old)) or "") == (_text(comparable(field, new)) or "")


def list_changes(submission: Mapping[str, Any], before: Mapping[str, Any]) -> list[Change]:
    """Return the fields that differ from the submission `before`: those in COMPARED, then those of the payload."""
    pairs = [(field, before[field], submission[field]) for field in COMPARED]
    old, new = _payload(before["payload_json"]), _payload(submission["payload_json"])
    if old is not None and new is not None:
        pairs += [(f"payload.{_text(key)}", old.get(key), new.get(key)) for key in dict.fromkeys((*old, *new))]
    return [
        {"field": field, "from": _text(old_value), "to": _text(new_value)}
        for field, old_value, new_value in pairs
        if not is_same(field, old_value, new_value)
    ]


def with_changes(submissions: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each submission with the list of its `changes` since the previous submission.

    :param submissions: the submissions of a lead, newest first.
    """
    newest_first = list(submissions)
    for submission, before in zip(newest_first, [*newest_first[1:], None]):
        yield {**submission, "changes": [] if before is None else list_changes(submission, before)}


def _payload(text: str | None) -> dict[str, Any] | None:
    """Return the payload, or None if the text is not a JSON object."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    """Return a string unchanged, None for null, and any other value as JSON."""
    if value is None:
        return None
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:  # json.loads() accepts a deeper nesting than json.dumps()
        return "…"
    return text.encode(errors="replace").decode()  # JSON strings can contain lone surrogates
