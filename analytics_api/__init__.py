"""A JSON API over HTTP for statistics of a site's visitors and for its sales leads."""

from typing import TYPE_CHECKING

from .context import Context
from .database import Database, open_database
from .errors import AnalyticsError, DatabaseError, IngestError, SettingError, StorageError
from .keys import Principal
from .storage.base import Statistics, StorageStats

if TYPE_CHECKING:
    from .app import create_app
else:

    def __getattr__(name):
        """Import `create_app` when it is used, because importing the application takes longer than most commands."""
        if name == "create_app":
            from .app import create_app

            return create_app
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
