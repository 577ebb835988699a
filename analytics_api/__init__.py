"""A JSON API over HTTP for statistics of a site's visitors and for its sales leads."""

from .app import create_app
from .context import Context
from .database import Database, open_database
from .errors import AnalyticsError, DatabaseError, IngestError, SettingError, StorageError
from .keys import Principal
from .storage.base import Statistics, StorageStats

__all__ = [
    "AnalyticsError",
    "Context",
    "Database",
    "DatabaseError",
    "IngestError",
    "Principal",
    "SettingError",
    "Statistics",
    "StorageError",
    "StorageStats",
    "create_app",
    "open_database",
]
