"""The queries for a page of leads with filters.

1. For each index, count the matches of the conditions on its columns: on one column, or on the status and a column.
   Stop above a maximum: MAX_LOOKED_UP, or 2% of the leads if that is more.
2. The conditions with the fewest matches are the driver, unless they have more than the maximum. Look up the matches of
   the driver, check the other conditions, and sort. One statement returns the page and the total.
3. Without a driver, count the total. Unless an index of step 1 is enough, this scans the index that has the columns of
   all filters.
4. If enough leads match, read the next leads in the sort order and check them. If the page is not full, repeat this
   with eight times as many leads.
5. Otherwise look up and sort all matches.

The board counts the matches of all stages with one statement, and then reads the page of each stage.

Measured on SQLite with 100,000 leads: a page takes 1 ms for rare values, and 3 to 15 ms for frequent values. The board
takes 2 ms without filters, and 20 ms with the most frequent country.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from ...database import Reader, Row
from ...values.statuses import STATUSES
from .filters import LEAD_FILTERS, TERM, Condition, join_params, list_conditions
from .orders import ORDERS
from .search import COLUMN_LIST, COUNT_BY_STATUS, OVERSAMPLING, Page

MAX_LOOKED_UP: Final = 2_000
# 1/50 is 2%. Looking up 2% of a million leads takes 60 ms. Reading the index that has all columns takes 150 ms.
LOOKUP_DIVISOR: Final = 50
# The first attempt reads three times as many leads as evenly distributed matches would need. This fills nearly every
# page.
FIRST_OVERSAMPLING: Final = 3
# The index of this column also has the columns of all other filters except last_follow_up_at.
COVERING_COLUMN: Final = "project_name"
COVERED_COLUMNS: Final = frozenset(
    filter_.column for filter_ in LEAD_FILTERS.values() if filter_.column != "last_follow_up_at"
)
# The index of each of these columns has enquiry_datetime next. So the leads with one value of the column can be read in
# the order of this date, without sorting.
SORTED_COLUMNS: Final = frozenset({"project_source", "contact_country_name", "contact_city", "engagement_label"})
SORTED_BY: Final = "enquiry_datetime"
# For each of these columns, an index begins with the status and the column (leads_by_visits in the other order). So
# SQLite can look up the leads of a status by the column, and count the matches of each status without sorting.
COLUMNS_IN_STATUS: Final = frozenset({"engagement_score", "enquiry_datetime", "last_follow_up_at", "has_visits"})
# The columns of the index leads_by_visits except the status. The index begins with has_visits and status, so SQLite can
# group by these two columns without sorting the leads.
VISITS_COLUMNS: Final = frozenset({"has_visits", "engagement_score", "enquiry_datetime"})


@dataclass(frozen=True)
class FilteredSearch:
    """The search for one page of the leads that satisfy all conditions.

    :param conditions: one or more conditions.
    :param params: statement parameters: `limit` and `offset`; with a cursor also `key`, `lead_id` and `null_lead_id`.
    :param driver_and_total: the values of `driver` and `total`, if they are already known.
    """

    at: Reader
    conditions: Sequence[Condition]
    sort: str
    params: dict[str, Any]
    driver_and_total: tuple[list[Condition], int] | None = None

    @property
    def has_cursor(self) -> bool:
        return "key" in self.params

    @property
    def is_sorted_by_index(self) -> bool:
        """Whether the driver is the only condition, and its index has the matches in the order of the page."""
        order = ORDERS[self.sort].column
        [condition, *others] = self.conditions
        is_one_value = condition.column in SORTED_COLUMNS and len(condition.params) == 1
        return bool(self.driver) and not others and (condition.column == order or (is_one_value and order == SORTED_BY))

    @cached_property
    def groups(self) -> list[list[Condition]]:
        """The conditions that one index can look up, for each index."""
        columns: dict[str, list[Condition]] = {}
        for condition in self.conditions:
            if condition.has_index:
                columns.setdefault(condition.column, []).append(condition)
        status = columns.get("status", [])
        return [[*status, *group] if column in COLUMNS_IN_STATUS else group for column, group in columns.items()]

    @cached_property
    def driver(self) -> list[Condition]:
        """The conditions whose index is used to look up matches; empty if all indexes have too many."""
        if self.driver_and_total is not None:
            return self.driver_and_total[0]
        groups = self.groups
        maximum = max(MAX_LOOKED_UP, self.at.rows(COUNT_BY_STATUS, status=None)[0]["total"] // LOOKUP_DIVISOR)
        counts = [(_count_up_to(self.at, group, maximum), index) for index, group in enumerate(groups)]
        count, index = min(counts, default=(maximum + 1, 0))
        return groups[index] if count <= maximum else []

    @cached_property
    def total(self) -> int:
        """The number of leads that satisfy all conditions."""
        if self.driver_and_total is not None:
            return self.driver_and_total[1]
        # If one index has the columns of all conditions, it suffices to count.
        driver = next((group for group in self.groups if len(group) == len(self.conditions)), self.driver)
        sql = f"select count(*) as total\nfrom leads\nwhere {where_all(self.conditions, driver)}"
        [row] = self.at.rows(sql, **join_params(self.conditions))
        total: int = row["total"]
        return total

    @property
    def where(self) -> str:
        return where_all(self.conditions, self.driver)

    def by_status(self) -> dict[str, FilteredSearch]:
        """Return a search for each status that has matches. One statement counts the matches of all statuses."""
        return {
            status: replace(
                self,
                conditions=[*self.conditions, *list_conditions(self.at, None, {"status": (status,)})],
                driver_and_total=(self.driver, total),
            )
            for status, total in self._count_statuses().items()
            if total
        }

    def _count_statuses(self) -> dict[str, int]:
        [column, *others] = {condition.column for condition in self.conditions}
        if column in COLUMNS_IN_STATUS and not others:
            conditions = [*self.conditions, *list_conditions(self.at, None, {"status": STATUSES})]
            return _count_groups(self.at, "status", conditions, conditions)
        if self.at.stores_visits and all(condition.column in VISITS_COLUMNS for condition in self.conditions):
            return _count_groups(self.at, "has_visits, status", self.conditions, self.driver)
        # With `group by status`, SQLite would sort the leads. Counting one status takes a tenth of the statement's
        # time, so the number of the last status is computed from the total and the other numbers.
        *first, last = STATUSES
        counts = ", ".join(f"count(*) filter (where status = '{status}')" for status in first)
        sql = f"select count(*), {counts}\nfrom leads\nwhere {self.where}"
        [[every, *numbers]] = self.at.tuples(sql, **join_params(self.conditions))
        return {**dict(zip(first, numbers)), last: every - sum(numbers)}


def _count_groups(
    at: Reader, columns: str, conditions: Sequence[Condition], driver: Sequence[Condition]
) -> dict[str, int]:
    """Return the number of matches in each status that has any.

    :param columns: the columns to group by. The status is one of them, and an index is sorted by these columns.
    """
    sql = f"select status, count(*)\nfrom leads\nwhere {where_all(conditions, driver)}\ngroup by {columns}"
    totals: Counter[str] = Counter()
    for status, total in at.tuples(sql, **join_params(conditions)):
        totals[status] += total
    return totals


def where_all(conditions: Iterable[Condition], driver: Sequence[Condition]) -> str:
    """Join the conditions with `and`.

    The conditions of the driver can use an index. Without a driver, the conditions on COVERING_COLUMN can. The SQL of
    the other conditions prevents the use of an index.

    :param driver: the conditions whose matches are looked up in an index; empty if no column has few enough matches.
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
        page = _filter_next(search)
        if page is not None:
            return page
    return _sort_matches(search)


def _count_up_to(at: Reader, group: Sequence[Condition], maximum: int) -> int:
    """Return the number of leads that match the conditions of one index, but at most `maximum` + 1."""
    matching = " and ".join(condition.indexed for condition in group)
    source = "lead_search(:index_query)" if group[0].name == TERM else f"leads where {matching}"
    sql = f"select count(*) as matches\nfrom (select 1 from {source} limit {maximum + 1}) as matches"
    count: int = at.rows(sql, **join_params(group))[0]["matches"]
    return count


def _sort_matches(search: FilteredSearch) -> Page:
    """Look up all matches, and sort them unless an index has them in the order of the page.

    The statement sorts only the keys. Sorting all columns of the leads would take twice as long. If an index has
    this order, the statement reads the matches twice: to count them, and to select those of the page. This is faster
    than sorting them.
    """
    order = ORDERS[search.sort]
    after = f"where {' or '.join(order.after.values())}" if search.has_cursor else ""
    offset = "" if search.has_cursor else "offset :offset"
    hint = "not materialized" if search.is_sorted_by_index else "materialized"
    sql = f"""
with matches as {hint} (
  select lead_id, {order.column}
  from leads
  where {search.where}),
page as materialized (
  select lead_id
  from matches
  {after}
  order by {order.order_by}
  limit :limit {offset})
select {COLUMN_LIST}, (select count(*) from matches) as total
from leads
where lead_id in (select lead_id from page)
order by {order.order_by}
"""
    rows = search.at.rows(sql, **search.params, **join_params(search.conditions))
    totals = [row.pop("total") for row in rows]
    return Page(rows, totals[0] if totals else search.total)


def _filter_next(search: FilteredSearch) -> Page | None:
    """Read the next leads in the sort order and check them. Return None if sorting all matches reads fewer leads.

    Without a condition on COVERING_COLUMN, finding all matches scans a whole index or the table. This counts as reading
    an eighth of all leads.
    """
    total = search.total
    if not total:
        return Page([], 0)
    rows = search.params["limit"]
    offset = 0 if search.has_cursor else search.params["offset"]
    candidates, all_leads = _count_candidates(search)
    reads = FIRST_OVERSAMPLING * (offset + rows) * candidates // total
    is_index_read_whole = all(condition.column != COVERING_COLUMN for condition in search.conditions)
    while reads < max(total, all_leads // OVERSAMPLING if is_index_read_whole else 0):
        leads = _check_next(search, reads, rows, offset)
        if len(leads) == rows or reads >= candidates:
            return Page(leads, total)
        reads *= OVERSAMPLING
    return None


def _count_candidates(search: FilteredSearch) -> tuple[int, int]:
    """Return two numbers: the leads that a scan of the sort order's index reads, and all leads.

    If the search has a single status, the scan reads only the leads with this status.
    """
    status = next((condition.params["status_0"] for condition in search.conditions if _is_one_status(condition)), None)
    candidates, all_leads = (search.at.rows(COUNT_BY_STATUS, status=each)[0]["total"] for each in (status, None))
    return candidates, all_leads


def _is_one_status(condition: Condition) -> bool:
    return condition.column == "status" and len(condition.params) == 1


def _check_next(search: FilteredSearch, reads: int, rows: int, offset: int) -> list[Row]:
    """Read the next `reads` leads in the sort order. Of those that match, skip `offset` and return at most `rows`."""
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
    """Return the statement for the next leads in the sort order.

    With a cursor, the statement is a union with one part for each condition of `Order.after`.
    """
    order = ORDERS[search.sort]
    # Bounds of the sorted column, and a single status, limit the part of the sort order's index that is read.
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
