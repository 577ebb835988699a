"""Read the DDL file, postgresql.sql."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def read_ddl() -> str:
    return Path(__file__).with_name("postgresql.sql").read_text(encoding="utf-8")
