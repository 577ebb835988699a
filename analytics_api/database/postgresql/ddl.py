"""Read the DDL file, postgresql.sql."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def read_ddl() -> str:
    return files("analytics_api.database.postgresql").joinpath("postgresql.sql").read_text(encoding="utf-8")
