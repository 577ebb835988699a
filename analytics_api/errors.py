"""The exceptions of this package. Every message is one line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class AnalyticsError(Exception):
    """Base class of all exceptions. The message says what is wrong and how to fix it."""


class SettingError(AnalyticsError):
    """A setting or an argument is missing or invalid. The message names the setting or argument."""


class DatabaseError(AnalyticsError):
    """The database cannot be opened, does not respond, or has an unsupported version."""


class UnusableDatabase(DatabaseError):
    """The database has another version or belongs to another program, or its URL is invalid. A retry does not help."""


class StatementTimeout(DatabaseError):
    """A statement exceeded its timeout and was cancelled."""


class RowError(DatabaseError):
    """A row violates a constraint of its table. The message comes from the database."""


class StorageError(AnalyticsError):
    """The objects in the storage could not be counted."""


class IngestError(AnalyticsError):
    """A file cannot be imported. None of its rows was imported."""


class ExportError(AnalyticsError):
    """The table to export does not exist."""


class ErasureError(AnalyticsError):
    """Exactly one of the arguments that identify a person must be set, and not be empty. Nothing was erased."""


class APIKeyError(AnalyticsError):
    """An API key cannot be created, replaced or revoked."""


class RequestError(AnalyticsError):
    """The request is invalid, or the client must send it again later.

    `status` is the HTTP status; `headers` are additional response headers.

    :param fields: fields to add to the JSON body of the response, which always has `error`.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, message: str, fields: Mapping[str, object] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.fields = fields


class InvalidRequest(RequestError):
    """A parameter or the body is invalid. The message names the parameter."""

    status = 400


class Forbidden(RequestError):
    """The key lacks the scope that the message names."""

    status = 403


class NotFound(RequestError):
    """The lead or the status does not exist."""

    status = 404


class Gone(RequestError):
    """The requested data is no longer available."""

    status = 410


class LengthRequired(RequestError):
    """The body has no Content-Length, and the server does not support chunked bodies."""

    status = 411


class PreconditionFailed(RequestError):
    """An If-Match or If-None-Match condition is not met. Nothing was changed."""

    status = 412


class ReadOnly(RequestError):
    """The database cannot be written."""

    status = 503


class Unavailable(RequestError):
    """Too many requests are running or waiting, or a commit takes too long. The client may send the request again."""

    status = 503
    headers = (("Retry-After", "5"),)
