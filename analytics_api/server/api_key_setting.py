"""Read the API keys of the settings, and describe values that are probably mistakes."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import SettingError

MIN_KEY_LENGTH = 16  # characters; a shorter key causes a warning
WEAK_KEYS = frozenset({"changeme", "dev", "password", "secret", "test", "your-api-key", "your-api-key-here"})
MAKE_A_KEY = "make one with: openssl rand -hex 32"


class MissingKey(SettingError):
    """Neither ANALYTICS_API_KEY nor ANALYTICS_API_KEY_FILE is set."""


def find_mistakes(variable: str, keys: Mapping[str, str]) -> list[str]:
    """Return a warning for each key that is weak or probably not the intended one. No warning contains a key.

    :param variable: the variable that contains the keys or names their file.
    :param keys: key names to keys.
    """
    return [
        f"{variable}: the key {name} {mistake}"
        for find_mistake in (find_weakness, find_enclosure)
        for name, key in keys.items()
        if (mistake := find_mistake(key))
    ]


def read_keys(environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the variable that is set, ANALYTICS_API_KEY or ANALYTICS_API_KEY_FILE, and a mapping of names to keys.

    :raises SettingError: both variables are set, there are no keys, or a key is invalid.
    """
    text, path = environ.get("ANALYTICS_API_KEY", ""), environ.get("ANALYTICS_API_KEY_FILE", "").strip()
    if text.strip() and path:
        raise SettingError("ANALYTICS_API_KEY and ANALYTICS_API_KEY_FILE are both set; keep one of them")
    variable = "ANALYTICS_API_KEY_FILE" if path else "ANALYTICS_API_KEY"
    keys = (_read_key_file(path) if path else text).split()
    if not keys and path:
        raise SettingError(f"{variable} must name a file with an API key: {path} is empty")
    if not keys:
        raise MissingKey(f"{variable} or ANALYTICS_API_KEY_FILE must be set: an API key is required; {MAKE_A_KEY}")
    by_name = {f"key-{number}": key for number, key in enumerate(keys, start=1)}
    for name, key in by_name.items():
        _check_key(variable, name, key)
    return variable, by_name


def _check_key(variable: str, name: str, key: str) -> None:
    if "," in key:
        raise SettingError(f"{variable}: the key {name} has a comma; separate keys with spaces")
    if key.startswith("$("):
        raise SettingError(f"{variable} contains the command {key}…), which is not run; set the key that it prints")
    if key.startswith("`") and not key.endswith("`"):  # the message does not quote the value, which may be keys
        raise SettingError(f"{variable} contains a command in `…`, which is not run; set the key that it prints")
    if not (key.isascii() and key.isprintable()):
        raise SettingError(f"{variable}: the key {name} has characters other than printable ASCII; {MAKE_A_KEY}")


def _read_key_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(f"ANALYTICS_API_KEY_FILE must name a file with an API key: {path}: {reason}") from error


def find_weakness(key: str) -> str:
    if key.lower() in WEAK_KEYS:
        return f"is a well-known word; {MAKE_A_KEY}"
    if len(key) < MIN_KEY_LENGTH:
        return f"is shorter than {MIN_KEY_LENGTH} characters; {MAKE_A_KEY}"
    return ""


def find_enclosure(key: str) -> str:
    """Describe characters that were probably not meant to belong to the key: quotes, brackets, the name of a variable.

    A quote or bracket at one end of the key is enough. If quotes or brackets enclose several keys, the first key has
    only the opening one, and the last key only the closing one.
    """
    if key[0] in "'\"`" or key[-1] in "'\"`":
        return "is in quotes, which are part of the key; remove them (docker run --env-file does not remove quotes)"
    if key[0] == "<" or key[-1] == ">":
        return "is in angle brackets, which are part of the key; replace a placeholder by a key, without brackets"
    if key[0] == "$":
        return "begins with $, which is part of the key; the name of a variable is not replaced by its value"
    if key.startswith("ANALYTICS_API_KEY="):
        return "begins with ANALYTICS_API_KEY=, which is read as part of the key; remove it"
    return ""
