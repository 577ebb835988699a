"""Everything that this package raises on purpose: one tree, one line of text each."""

from __future__ import annotations


class AnalyticsError(Exception):
    """The root. Its text is one line that says what is wrong and what to do about it."""


class SettingError(AnalyticsError):
    """A setting is missing or can't be used; the text names it and says what it takes."""


class DatabaseError(AnalyticsError):
    """The database can't be opened, or is not (or not any more) what this version works on."""


class RowError(DatabaseError):
    """A row breaks a rule of its table; the text is the engine's."""


class StorageError(AnalyticsError):
    """The object storage could not be counted."""


class IngestError(AnalyticsError):
    """A file can't be imported; nothing of it was."""


class ExportError(AnalyticsError):
    """There is nothing of that name to be exported."""


class ErasureError(AnalyticsError):
    """It is not said, or not clear, who is to be erased; nobody was."""


class APIKeyError(AnalyticsError):
    """A key can't be made or revoked as was asked."""


class Refusal(AnalyticsError):
    """What was asked is not answered, and that is the asker's to mend; `status` is HTTP's number for it."""

    status: int


class InvalidRequest(Refusal):
    """What was asked can't be understood; the text names the parameter and what it takes."""

    status = 400


class Forbidden(Refusal):
    """The key that was sent does not reach so far; the text names the scope that it lacks."""

    status = 403


class NotFound(Refusal):
    """What was asked for is not there."""

    status = 404
