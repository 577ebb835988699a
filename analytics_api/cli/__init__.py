"""The command `analytics-api`. Each module implements a group of subcommands."""

from __future__ import annotations

try:
    from . import copies, database, demo, imports, keys, openapi, retention, serve, site, storage
    from .base import main
except ModuleNotFoundError as error:
    raise SystemExit(
        f"analytics-api needs the package {error.name}; install it with: pip install '.[server]' in the source folder"
    ) from None

__all__ = ["copies", "database", "demo", "imports", "keys", "main", "openapi", "retention", "serve", "site", "storage"]
