"""The queries for a page of leads with filters.

1. For each condition with an index, count its matches, up to a maximum of MAX_GATHERED or 2% of the leads.
2. If a condition has at most that many matches, it is the driver: look its matches up, check the other conditions, and
   sort. One statement returns the page and the total.
3. Otherwise count the total. If there are several filters, this scans the index that has the columns of all filters.
4. If enough leads match, read the next leads in the sort order and check them. If the page is not full, repeat this
   with eight times as many leads.
5. Otherwise look up and sort all matches.

The board counts the matches of all stages with one statement, and then reads the page of each stage.

Measured on SQLite with 100,000 leads: a page takes 1 ms for rare values, 3 to 15 ms for frequent values, and 165 ms for
`has_visits`, which has no index. The board takes 2 ms without filters, and 20 ms with the most frequent country.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from ...database import Reader, Row
from .filters import LEAD_FILTERS, TERM, Condition, join_params, list_conditions
from .orders import ORDERS
from .search import COLUMN_LIST, COUNT_BY_STATUS, OVERSAMPLING, Page

MAX_GATHERED: Final = 2_000
# 1/50 is 2%. Looking up 2% of a million leads takes 60 ms. Reading the index that has all columns takes 150 ms.
GATHERED_PART: Final = 50
# The first attempt reads three times as many leads as evenly distributed matches would need.
# This fills nearly every page.
FIRST_OVERSAMPLING: Final = 3
# The index of this column also has the columns of the other filters.
COVERING_COLUMN: Final = "project_name"
COVERED_COLUMNS: Final = frozenset(
    filter_.column for filter_ in LEAD_FILTERS.values() if filter_.column not in ("", "last_follow_up_at")
)


@dataclass(frozen=True)
class FilteredSearch:
    """The search for one page of the leads that satisfy all conditions.

    :param conditions: one or more conditions.
    :param params: statement parameters: `limit` and `offset`; with a cursor also `key`, `lead_id` and `null_lead_id`.
    :param known: the driver and the total, if they have already been computed.
    """

    at: Reader
    conditions: Sequence[Condition]
    sort: str
    params: dict[str, Any]
    known: tuple[list[Condition], int] | None = None

    @property
    def has_cursor(self) -> bool:
        return "key" in self.params

    @cached_property
    def driver(self) -> list[Condition]:
        """The conditions of the column whose index is used to look up matches; empty if each has too many matches."""
        if self.known is not None:
            return self.known[0]
        columns: dict[str, list[Condition]] = {}
        for condition in self.conditions:
            if condition.has_index:
                columns.setdefault(condition.column, []).append(condition)
        groups = list(columns.values())
        maximum = max(MAX_GATHERED, self.at.rows(COUNT_BY_STATUS, status=None)[0]["total"] // GATHERED_PART)
        counts = [(_count_up_to(self.at, group, maximum), place) for place, group in enumerate(groups)]
        count, place = min(counts, default=(maximum + 1, 0))
        return groups[place] if count <= maximum else []

    @cached_property
    def total(self) -> int:
        """The number of leads that satisfy all conditions."""
        if self.known is not None:
            return self.known[1]
        is_one_column = len({condition.column for condition in self.conditions}) == 1
        driver = self.conditions if is_one_column else self.driver  # the index of that column suffices to count
        sql = f"select count(*) as total\nfrom leads\nwhere {where_all(self.conditions, driver)}"
        [row] = self.at.rows(sql, **join_params(self.conditions))
        total: int = row["total"]
        return total

    @property
    def where(self) -> str:
        return where_all(self.conditions, self.driver)

    def by_status(self) -> dict[str, FilteredSearch]:
        """Return a search for each status that has matches. One statement counts the matches of all of them."""
        sql = f"select status, count(*)\nfrom leads\nwhere {self.where}\ngroup by status"
        return {
            status: replace(
                self,
                conditions=[*self.conditions, *list_conditions(self.at, None, {"status": (status,)})],
                known=(self.driver, total),
            )
            for status, total in self.at.tuples(sql, **join_params(self.conditions))
        }


def where_all(conditions: Iterable[Condition], driver: Sequence[Condition]) -> str:
    """Join the conditions with `and`.

    Only the conditions of the driver can use an index. Without a driver, those of COVERING_COLUMN can.
    """
    return " and ".join(
        condition.indexed
        if condition in driver or (not driver and condition.column == COVERING_COLUMN)
        else condition.scanned
        for condition in conditions
    )


def select_sorted(search: FilteredSearch) -> str:
    """Return the statement that selects all leads that match."""
    return f"""
select {COLUMN_LIST}
from leads
where lead_id in (
  select lead_id
  from leads
  where {search.where})
order by {ORDERS[search.sort].order_by}
"""


def find_filtered_page(search: FilteredSearch) -> Page:
    """Return the page and the total number of matches."""
    if not search.driver:
        page = _walk(search)
        if page is not None:
            return page
    return _gather(search)


def _count_up_to(at: Reader, group: Sequence[Condition], maximum: int) -> int:
    """Return the number of leads that match the conditions of one column, but at most `maximum` + 1."""
    matching = " and ".join(condition.indexed for condition in group)
    source = "lead_search(:needle)" if group[0].name == TERM else f"leads where {matching}"
    sql = f"select count(*) as matches\nfrom (select 1 from {source} limit {maximum + 1}) as matches"
    count: int = at.rows(sql, **join_params(group))[0]["matches"]
    return count


def _gather(search: FilteredSearch) -> Page:
    """Look up all matches and sort them."""
    order = ORDERS[search.sort]
    after = f"and ({' or '.join(order.after.values())})" if search.has_cursor else ""
    offset = "" if search.has_cursor else "offset :offset"
    sql = f"""
with matches as materialized (
  select lead_id
  from leads
  where {search.where})
select {COLUMN_LIST}, (select count(*) from matches) as total
from leads
where lead_id in (select lead_id from matches) {after}
order by {order.order_by}
limit :limit {offset}
"""
    rows = search.at.rows(sql, **search.params, **join_params(search.conditions))
    totals = [row.pop("total") for row in rows]
    return Page(rows, totals[0] if totals else search.total)


def _walk(search: FilteredSearch) -> Page | None:
    """Read the next leads in the sort order and check them. Return None if sorting all matches reads fewer leads."""
    total = search.total
    if not total:
        return Page([], 0)
    rows = search.params["limit"]
    offset = 0 if search.has_cursor else search.params["offset"]
    candidates, every = _count_candidates(search)
    reads = FIRST_OVERSAMPLING * (offset + rows) * candidates // total
    is_index_read_whole = all(condition.column != COVERING_COLUMN for condition in search.conditions)
    while reads < max(total, every // OVERSAMPLING if is_index_read_whole else 0):
        leads = _check_next(search, reads, rows, offset)
        if len(leads) == rows or reads >= candidates:
            return Page(leads, total)
        reads *= OVERSAMPLING
    return None


def _count_candidates(search: FilteredSearch) -> tuple[int, int]:
    """Return two numbers: the leads that the index of the sort order must read, and all leads.

    If the search has a single status, the index only reads the leads with this status.
    """
    status = next((condition.params["status_0"] for condition in search.conditions if _is_one_status(condition)), None)
    candidates, every = (search.at.rows(COUNT_BY_STATUS, status=each)[0]["total"] for each in (status, None))
    return candidates, every


def _is_one_status(condition: Condition) -> bool:
    return condition.column == "status" and len(condition.params) == 1


def _check_next(search: FilteredSearch, reads: int, rows: int, offset: int) -> list[Row]:
    """Read the next `reads` leads in the sort order. Return those that match: `rows` leads after `offset`."""
    order = ORDERS[search.sort]
    sql = f"""
select {COLUMN_LIST}
from ({_select_next(search)}) as leads
where {" and ".join(condition.check or condition.indexed for condition in search.conditions)}
order by {order.order_by}
limit :rows offset :skipped
"""
    counts = {"reads": reads, "rows": rows, "skipped": offset}
    return search.at.rows(sql, **search.params, **join_params(search.conditions), **counts)


def _select_next(search: FilteredSearch) -> str:
    """Return the statement for the next leads in the sort order: with a cursor, a union for `Order.after`."""
    order = ORDERS[search.sort]
    # The index of the sort order is also searched for bounds of its column, and for a single status.
    bounds = "".join(
        f"{condition.indexed} and "
        for condition in search.conditions
        if condition.column == order.column or _is_one_status(condition)
    )
    parts = [
        f"""
  select *
  from leads
  where {bounds}{condition}
  order by {order.order_by}
  limit :reads"""
        for condition in (order.after.values() if search.has_cursor else ["true"])
    ]
    if len(parts) == 1:
        return parts[0]
    union = "\nunion all".join(f"\nselect *\nfrom ({part}) as part" for part in parts)
    return f"select *\nfrom ({union}) as parts\norder by {order.order_by}\nlimit :reads"
