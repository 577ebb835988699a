"""The exceptions of this package. The text of each is one line."""

from __future__ import annotations


class AnalyticsError(Exception):
    """Base class: the text says what is wrong and what to do about it."""


class SettingError(AnalyticsError):
    """A setting or an argument is missing or invalid; the text begins with its name."""


class DatabaseError(AnalyticsError):
    """The database cannot be opened, does not answer, or has another version."""


class StatementTimeout(DatabaseError):
    """A statement took longer than its time budget, and was ended."""


class RowError(DatabaseError):
    """A row breaks a rule of its table; the text comes from the database."""


class StorageError(AnalyticsError):
    """The object storage could not be counted."""


class IngestError(AnalyticsError):
    """A file cannot be imported; none of its rows were."""


class ExportError(AnalyticsError):
    """The table to export does not exist."""


class ErasureError(AnalyticsError):
    """The person to erase is missing or ambiguous; nothing was erased."""


class APIKeyError(AnalyticsError):
    """A key cannot be created or revoked."""


class RequestError(AnalyticsError):
    """The client has to change the request, or send it later.

    `status` is the HTTP status, and `headers` are those that the response has besides.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()


class InvalidRequest(RequestError):
    """A parameter or the body is invalid; the text begins with its name."""

    status = 400


class Forbidden(RequestError):
    """The key lacks a scope; the text names it."""

    status = 403


class NotFound(RequestError):
    """The lead or the status does not exist."""

    status = 404


class LengthRequired(RequestError):
    """The body has no Content-Length and the server does not pass chunked bodies on."""

    status = 411


class PreconditionFailed(RequestError):
    """If-Match or If-None-Match is not met; nothing was changed."""

    status = 412


class Unavailable(RequestError):
    """Too much is being done at once."""

    status = 503
    headers = (("Retry-After", "5"),)
