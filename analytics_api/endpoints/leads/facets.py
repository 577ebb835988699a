"""The values of leads in four columns that can be filtered, with the number of leads for each value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypedDict, cast, get_type_hints

from ...context import Context
from ...database import Reader
from ...statistics.session_filters import Filters
from .filtered_search import COVERED_COLUMNS, COVERING_COLUMN, FilteredSearch
from .filters import LEAD_FILTERS, Condition, FilterValues, join_params, list_conditions, parse
from .orders import DEFAULT_ORDER

MAX_LISTED: Final = 100


class Value(TypedDict):
    value: str
    count: int


class Facets(TypedDict):
    project: list[Value]
    source: list[Value]
    country: list[Value]
    label: list[Value]


# The counts without filters are read from counters.
COUNTED: Final = f"""
select key as value, cast(sum(leads) as bigint) as count
from facet_counts
where field = :field
group by key
having sum(leads) > 0
order by 2 desc, 1
limit {MAX_LISTED}
"""


def facets(ctx: Context, *, q: str | None = None, status: str | None = None, filters: Filters | None = None) -> Facets:
    """Return the projects, sources, countries and labels of the leads that match, each with the number of leads.

    Each list has at most 100 values, sorted by descending count, then by value. A list counts the leads that match all
    filters except the filter of this list. Leads without a value are not counted.

    :param filters: as in the list.
    :raises InvalidRequest: a filter is invalid.
    """
    values = parse(filters, status)
    return ctx.db.read(lambda at: cast(Facets, _count_all(at, q, values)))


def _count_all(at: Reader, q: str | None, values: FilterValues) -> dict[str, list[Value]]:
    lists: dict[str, list[Value]] = {name: [] for name in get_type_hints(Facets)}
    # All lists whose own filter is not in the request count the same leads, so one statement reads these lists.
    filtered = [[name] for name in lists if name in values]
    for names in (*filtered, [name for name in lists if name not in values]):
        others = {other: value for other, value in values.items() if other not in names}
        conditions = list_conditions(at, q, others)
        for name in names:
            if not conditions:
                lists[name] = cast("list[Value]", at.rows(COUNTED, field=name))
        if conditions and names:
            for name, value, count in at.tuples(_select_counts(at, names, conditions), **join_params(conditions)):
                lists[name].append({"value": value, "count": count})
    return lists


def _select_counts(at: Reader, names: Sequence[str], conditions: list[Condition]) -> str:
    """Return a statement that counts the leads by the values of each list in `names`.

    The leads are grouped by the columns of all these lists first. Then these groups are grouped by each column.

    The index that begins with COVERING_COLUMN has the order of the first `group by`. It is used only if it has all
    columns of the statement. Otherwise `coalesce` prevents its use, because looking up each lead in the order of the
    index is slow.
    """
    search = FilteredSearch(at, conditions, DEFAULT_ORDER, {})
    columns = [LEAD_FILTERS[name].column for name in names]
    is_covered = (
        not search.driver
        and COVERING_COLUMN in columns
        and all(condition.column in COVERED_COLUMNS for condition in conditions)
    )
    grouped = columns if is_covered else [f"coalesce({column}, null)" for column in columns]
    keys = ", ".join(f"{key} as {name}" for key, name in zip(grouped, names))
    positions = ", ".join(str(position) for position in range(1, len(names) + 1))
    lists = "\nunion all".join(
        f"""
select *
from (
  select '{name}' as name, {name} as value, cast(sum(leads) as bigint) as count
  from matches
  where {name} <> ''
  group by {name}
  order by 3 desc, 2
  limit {MAX_LISTED}) as {name}_counts"""
        for name in names
    )
    return f"""
with matches as materialized (
  select {keys}, count(*) as leads
  from leads
  where {search.where}
  group by {positions})
{lists.strip()}
"""
