"""Sessions by country."""

from __future__ import annotations

from ..context import Context
from ..database import Row

COUNTRIES = """
select country, sessions, unique_visitors
from rollup_countries
order by sessions desc, country
"""


def geo(ctx: Context) -> list[Row]:
    """Every country, most sessions first, ties by country; `XX` is what is not known."""
    return ctx.db.rows(COUNTRIES)
