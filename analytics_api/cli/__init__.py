"""The command `analytics-api`: one module for each group of commands."""

from __future__ import annotations

try:
    from . import copies, database, demo, imports, keys, openapi, retention, serve, site, storage
    from .base import main
except ModuleNotFoundError as error:
    raise SystemExit(
        f"analytics-api needs {error.name}, which comes with: pip install 'analytics_api[server]'"
    ) from None

__all__ = ["copies", "database", "demo", "imports", "keys", "main", "openapi", "retention", "serve", "site", "storage"]
