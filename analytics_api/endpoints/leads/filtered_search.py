"""The queries for a page of leads with filters.

First each condition with an index counts its matches, up to MAX_GATHERED or 2% of the leads. If one has fewer, these
are looked up, checked and sorted: one statement returns the page and the total. Otherwise the total is counted, by
scanning the index that has the columns of all filters if there are several. If enough leads match, the next leads in
the order are read and checked, and then eight times as many as long as these do not fill the page; else all matches
are gathered and sorted. For the board, the matches of all stages are counted at once, and then those of each stage
are read.

Measured on SQLite with 100,000 leads: a page of rare values takes 1 ms, one of frequent values 5 to 33 ms, and one of
leads with or without visits 165 ms, as no index has these. The board takes 2 ms, with filters 5 to 75 ms.
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
# To look up 2% of a million leads takes 60 ms, to read the index with all columns 150.
GATHERED_PART: Final = 50
# Its index has the columns of the other filters, too.
COVERING_COLUMN: Final = "project_name"
COVERED_COLUMNS: Final = frozenset(
    filter_.column for filter_ in LEAD_FILTERS.values() if filter_.column not in ("", "last_follow_up_at")
)


@dataclass(frozen=True)
class FilteredSearch:
    """The search for one page of leads that satisfy conditions, at least one.

    :param params: `limit` and `offset`; with a cursor `key`, `lead_id` and `null_lead_id`.
    :param known: the driver and the total, if they are known already.
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
        """The conditions of the column whose matches are looked up; none if each has too many."""
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
        if self.known is not None:
            return self.known[1]
        is_one_column = len({condition.column for condition in self.conditions}) == 1
        driver = self.conditions if is_one_column else self.driver  # then its index has all that is counted
        sql = f"select count(*) as total\nfrom leads\nwhere {where_all(self.conditions, driver)}"
        [row] = self.at.rows(sql, **join_params(self.conditions))
        total: int = row["total"]
        return total

    @property
    def where(self) -> str:
        return where_all(self.conditions, self.driver)

    def by_status(self) -> dict[str, FilteredSearch]:
        """Return a search for each status that has matches. All matches are counted by one statement."""
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
    """Return the conjunction of the conditions, of which only the driver can use an index."""
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
    """Return how many leads match the conditions of one column, up to `maximum` + 1."""
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
    """Read the next leads in the order, and check the conditions. Return None if reading all matches is less work."""
    total = search.total
    if not total:
        return Page([], 0)
    rows = search.params["limit"]
    offset = 0 if search.has_cursor else search.params["offset"]
    candidates, every = _count_candidates(search)
    reads = OVERSAMPLING * (offset + rows) * candidates // total
    is_index_read_whole = all(condition.column != COVERING_COLUMN for condition in search.conditions)
    while reads < max(total, every // OVERSAMPLING if is_index_read_whole else 0):
        leads = _check_next(search, reads, rows, offset)
        if len(leads) == rows or reads >= candidates:
            return Page(leads, total)
        reads *= OVERSAMPLING
    return None


def _count_candidates(search: FilteredSearch) -> tuple[int, int]:
    """Return how many leads the index of the order has, for one status if the search is for one, and of all leads."""
    status = next((condition.params["status_0"] for condition in search.conditions if _is_one_status(condition)), None)
    candidates, every = (search.at.rows(COUNT_BY_STATUS, status=each)[0]["total"] for each in (status, None))
    return candidates, every


def _is_one_status(condition: Condition) -> bool:
    return condition.column == "status" and len(condition.params) == 1


def _check_next(search: FilteredSearch, reads: int, rows: int, offset: int) -> list[Row]:
    order = ORDERS[search.sort]
    sql = f"""
select {COLUMN_LIST}
from (
  select *
  from ({_select_next(search)}) as parts
  order by {order.order_by}
  limit :reads) as leads
where {" and ".join(condition.check or condition.indexed for condition in search.conditions)}
order by {order.order_by}
limit :rows offset :skipped
"""
    counts = {"reads": reads, "rows": rows, "skipped": offset}
    return search.at.rows(sql, **search.params, **join_params(search.conditions), **counts)


def _select_next(search: FilteredSearch) -> str:
    """Return the statement for the next leads in the order; for each part of `Order.after` the next ones."""
    order = ORDERS[search.sort]
    # The index of the order also finds the bounds of its column, and one status.
    bounds = "".join(
        f"{condition.indexed} and "
        for condition in search.conditions
        if condition.column == order.column or _is_one_status(condition)
    )
    parts = order.after if search.has_cursor else {"first": "true"}
    return "\nunion all".join(
        f"""
select *
from (
  select *
  from leads
  where {bounds}{condition}
  order by {order.order_by}
  limit :reads) as {part}"""
        for part, condition in parts.items()
    )
