"""Error messages about files, and the names of tables that are not imported."""

from __future__ import annotations

import re

from ...errors import IngestError

CHUNK_SIZE = 1 << 20  # bytes of each read
ACCEPTED_KINDS = "pass the SQL of `wrangler d1 export` or an SQLite database"


def is_housekeeping(name: str) -> bool:
    """Return whether a table with this name belongs to SQLite, Cloudflare or wrangler."""
    name = name.lower()
    return name.startswith(("sqlite_", "_cf_")) or name == "d1_migrations"


def refusal(name: str, reason: str, line: int | None = None) -> IngestError:
    """Return an error with a one-line message: file, line number and reason, without control characters."""
    text = f"{name}: {reason}" if line is None else f"{name}, line {line}: {reason}"
    return IngestError(re.sub(r"[\x00-\x1f\x7f]+", " ", text))
