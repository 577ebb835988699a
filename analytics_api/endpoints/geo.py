"""Sessions by country."""

from __future__ import annotations

from typing import TypedDict

from ..context import Context


class Country(TypedDict):
    country: str
    sessions: int
    unique_visitors: int


COUNTRIES = """
select country, sessions, unique_visitors
from rollup_countries
order by sessions desc, country
"""


def geo(ctx: Context) -> list[Country]:
    """Every country, most sessions first, ties by country; `XX` is what is not known."""
    return [
        {"country": country, "sessions": sessions, "unique_visitors": visitors}
        for country, sessions, visitors in ctx.db.tuples(COUNTRIES)
    ]
