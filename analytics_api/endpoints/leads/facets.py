"""The values that the leads have in the columns of filters, with the number of leads."""

from __future__ import annotations

from typing import Final, TypedDict, cast, get_type_hints

from ...context import Context
from ...database import Reader
from ...filters import Filters
from .filtered import FilteredSearch
from .filters import FILTERS, Condition, FilterValues, join_params, list_conditions, parse
from .orders import DEFAULT_ORDER

MAX_VALUES: Final = 100


class Value(TypedDict):
    value: str
    count: int


class Facets(TypedDict):
    project: list[Value]
    source: list[Value]
    country: list[Value]
    label: list[Value]


def facets(ctx: Context, *, q: str | None = None, status: str | None = None, filters: Filters | None = None) -> Facets:
    """Return the projects, sources, countries and labels of the leads that match, each with the number of leads.

    Each list has at most 100 values, by count, then by value. It counts the leads that match all filters except the one
    of the list. Leads without a value are left out.

    :param filters: as in the list.
    :raises InvalidRequest: a filter is invalid.
    """
    values = parse(filters, status)
    return ctx.db.read(lambda at: cast(Facets, {name: _count(at, name, q, values) for name in get_type_hints(Facets)}))


def _count(at: Reader, name: str, q: str | None, values: FilterValues) -> list[Value]:
    others = {other: value for other, value in values.items() if other != name}
    conditions = list_conditions(at, q, others)
    sql = _select_counts(at, FILTERS[name].column, conditions)
    return cast("list[Value]", at.rows(sql, **join_params(conditions)))


def _select_counts(at: Reader, column: str, conditions: list[Condition]) -> str:
    if not conditions:  # the column's index has all that is needed
        where, value = "true", column
    else:
        where, value = FilteredSearch(at, conditions, DEFAULT_ORDER, {}).where, f"{column} || ''"
    return f"""
select {value} as value, count(*) as count
from leads
where {where} and {value} <> ''
group by {value}
order by count(*) desc, {value}
limit {MAX_VALUES}
"""
