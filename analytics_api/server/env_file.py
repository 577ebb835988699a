"""Load settings from a `.env` file."""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path

from ..errors import SettingError


class EnvFile:
    """The file `.env`, which need not exist. The variables in its `NAME=value` lines are added to the environment.

    Existing environment variables take precedence over the file. A second call of `load` first removes the variables
    that the previous call added.
    """

    def __init__(self) -> None:
        self.path = Path(".env").absolute()
        self.added: set[str] = set()

    def load(self) -> None:
        """Add the file's variables to the environment.

        :raises SettingError: the file cannot be read, or a line is not `NAME=value`. The environment is not modified.
        """
        text = self._read()
        values = self._parse(text) if text else {}
        for name in self.added:
            os.environ.pop(name, None)
        self.added = {name for name in values if name not in os.environ}
        os.environ.update({name: values[name] or "" for name in self.added})

    def missing_note(self) -> str:
        """Return the end of an error message: that the file does not exist, or "" if it exists."""
        return "" if os.path.exists(self.path) else f"; there is no file {self.path.name} in {self.path.parent}"

    def origin_note(self, message: str) -> str:
        """Return the end of an error message: which variables in the message are set by the file, or "" if none is."""
        names = [name for name in sorted(self.added) if os.environ[name] and re.search(rf"\b{name}\b", message)]
        return f"; {self.path} sets {', '.join(names)}" if names else ""

    def _parse(self, text: str) -> dict[str, str | None]:
        # Imported here, because most commands run without the file, and the import takes 2.5% of the start time.
        from dotenv import dotenv_values
        from dotenv.parser import parse_stream

        for binding in parse_stream(StringIO(text)):
            if binding.error or (binding.key is not None and binding.value is None):
                raise SettingError(f"{self.path}, line {binding.original.line}: expected NAME=value")
        values = dotenv_values(stream=StringIO(text))
        for name, value in values.items():
            try:
                os.fsencode(f"{name}={value}")
            except UnicodeEncodeError:
                raise SettingError(
                    f"{self.path}: {name} has characters that the locale cannot encode; set LC_ALL=C.UTF-8"
                ) from None
        return values

    def _read(self) -> str:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
            if "\0" in text:  # UTF-16 without a byte order mark
                raise SettingError(f"{self.path} is not UTF-8; save it as UTF-8")
            return text
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            raise SettingError(f"{self.path} is not UTF-8; save it as UTF-8") from None
        except OSError as error:
            # After sudo, the user may have no access to the directory. The command then runs without the file.
            if not os.access(self.path.parent, os.X_OK):
                return ""
            raise SettingError(f"{self.path}: {error.strerror}") from error
