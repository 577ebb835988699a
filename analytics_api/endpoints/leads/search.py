"""The queries for a page of leads by a search term and a status, and for the total number of matches.

There are four strategies. The table says how many rows each strategy reads, where n is the number of leads with the
requested status, m is the number of matches, and p = offset + limit:

=================  ==========================================================================  ======================
read_in_order      No search term: read the index of the sort order. The total is a counter.   p
find_small_result  At most SMALL_RESULT matches: one statement returns the page and the total. m
filter_next        Many matches: read the next leads in the sort order, and filter them.       m to count, then 8·p·n/m
sort_matches       Sort all matches.                                                           m with the index, else n
=================  ==========================================================================  ======================

`find_page` uses the first strategy that returns a page. The search index contains trigrams, so it cannot find a term of
one character. On SQLite, it can find a term of two characters if at most 500 trigrams begin with the term; on
PostgreSQL, it cannot. Without the index, counting and sorting read all n leads.

Measured on SQLite with 100,000 and 1,000,000 leads: `find_small_result` is 1.3 to 2.9 times as fast as `sort_matches`,
and `filter_next` 2.5 to 36 times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, TypedDict

from ...database import Reader, Row
from ...database.folding import fold
from ...values.statuses import Status
from .orders import ORDERS


class Lead(TypedDict):
    lead_id: int
    enquiry_datetime: str
    contact_name: str | None
    contact_email: str | None
    contact_phone: str | None
    project_name: str | None
    project_location: str | None
    project_source: str | None
    contact_country_name: str | None
    contact_city: str | None
    visitor_id: str | None
    session_id: str | None
    engagement_score: int | None
    engagement_label: str | None
    form_submit_count: int
    suspicion_score: int
    follow_ups_count: int
    last_follow_up_at: str | None
    status: Status


COLUMNS: Final = tuple(Lead.__annotations__)
COLUMN_LIST: Final = ", ".join(COLUMNS)

SMALL_RESULT: Final = 500
OVERSAMPLING: Final = 8  # `filter_next` reads 8 times as many rows as evenly distributed matches would need

# The conditions: without a term, with a term that the search index finds, and with a term that needs a scan.
CONDITIONS: Final = {
    "all": "true",
    "status": "status = :status and status <> ''",  # `<> ''` lets SQLite use the partial indexes
    "indexed": "lead_id in (select rowid from lead_search(:index_query))",
    # `|| ''` makes SQLite use the search index, not the index of the status, because a term usually has fewer matches.
    "indexed in status": "status || '' = :status and lead_id in (select rowid from lead_search(:index_query))",
    "scanned": "lead_id in (select lead_id from leads where search_text like :pattern escape '\\')",
    "scanned in status": "status = :status and status <> '' and search_text like :pattern escape '\\'",
}

# All statements are built here from constants. A request selects a statement, and its values are statement parameters.
_CONDITIONS_AND_ORDERS: Final = [(name, sort) for name in CONDITIONS for sort in ORDERS]

PAGES: Final = {
    (name, sort): f"""
select {COLUMN_LIST}
from leads
where {CONDITIONS[name]}
order by {ORDERS[sort].order_by}
limit :limit offset :offset
"""
    for name, sort in _CONDITIONS_AND_ORDERS
}


def _leads_after(name: str, sort: str) -> str:
    """Return a subquery for the next leads after a cursor's position."""
    parts = "union all".join(
        f"""
select *
from (
  select *
  from leads
  where {CONDITIONS[name]} and {condition}
  order by {ORDERS[sort].order_by}
  limit :limit) as {part}
"""
        for part, condition in ORDERS[sort].after.items()
    )
    return f"({parts}) as leads"


NEXT_PAGES: Final = {
    (name, sort): f"""
select {COLUMN_LIST}
from {_leads_after(name, sort)}
order by {ORDERS[sort].order_by}
limit :limit
"""
    for name, sort in _CONDITIONS_AND_ORDERS
}

# `|| ''` as in CONDITIONS. With a join instead of `in`, SQLite would read all leads into a Bloom filter after ANALYZE.
_MATCHES_IN_STATUS: Final = "status || '' = :status and lead_id in (select lead_id from matches)"

# These statements return no rows if more than SMALL_RESULT leads match.
SMALL_PAGES: Final = {
    (name, sort): f"""
with matches as materialized (
  select rowid as lead_id
  from lead_search(:index_query)
  limit :match_limit)
select {COLUMN_LIST}, (select count(*) from {counted}) as total
from leads
where {condition} and (select count(*) from matches) < :match_limit
order by {ORDERS[sort].order_by}
limit :limit offset :offset
"""
    for name, counted, condition in (
        ("indexed", "matches", "lead_id in (select lead_id from matches)"),
        ("indexed in status", f"leads where {_MATCHES_IN_STATUS}", _MATCHES_IN_STATUS),
    )
    for sort in ORDERS
}

FILTERED_PAGES: Final = {
    (name, sort, start): f"""
select {COLUMN_LIST}
from (
  select *
  from {leads}
  order by {ORDERS[sort].order_by}
  limit :limit) as leads
where search_text like :pattern escape '\\'
order by {ORDERS[sort].order_by}
limit :rows offset :offset
"""
    for name, sort in _CONDITIONS_AND_ORDERS
    if name in ("all", "status")
    for start, leads in (
        ("first", f"leads where {CONDITIONS[name]}"),
        ("next", _leads_after(name, sort)),
    )
}

COUNT_BY_STATUS: Final = """
select cast(coalesce(sum(leads), 0) as bigint) as total
from status_counts
where status = coalesce(:status, status)
"""

COUNTS: Final = {
    "indexed": """
select count(*) as total
from lead_search(:index_query)
""",
    **{
        name: f"""
select count(*) as total
from leads
where {CONDITIONS[name]}
"""
        for name in ("indexed in status", "scanned", "scanned in status")
    },
}

# The count for a frequent term. SQLite reads the index of the status, instead of looking up each match in the table.
# `+` prevents this look-up after ANALYZE, and on PostgreSQL.
COUNT_FREQUENT: Final = """
select count(*) as total
from leads
where status = :status
  and status <> ''
  and +lead_id in (select rowid from lead_search(:index_query))
"""

COUNT_UP_TO: Final = """
select count(*) as matches
from (
  select 1
  from lead_search(:index_query)
  limit :match_limit) as matches
"""


class Page(NamedTuple):
    """The rows of a page, and the total number of matches."""

    rows: list[Row]
    total: int


@dataclass(frozen=True)
class Search:
    """The search for one page.

    :param at: the transaction to read in.
    :param filter: a key of CONDITIONS.
    :param sort: a key of ORDERS.
    :param params: parameters of the statements: `limit`, `offset` and `status`; with a search term `index_query` and
        `pattern`; with a cursor `key`, `lead_id` and `null_lead_id`.
    """

    at: Reader
    filter: str
    sort: str
    params: Mapping[str, Any]

    @property
    def has_cursor(self) -> bool:
        return "key" in self.params

    @cached_property
    def total(self) -> int:
        """The number of leads that match the term and the status."""
        if self.filter in ("all", "status"):
            return self.leads_in_status
        if self.filter == "indexed in status" and self._is_frequent():
            return self._number(COUNT_FREQUENT, "total")
        return self._number(COUNTS[self.filter], "total")

    @cached_property
    def leads_in_status(self) -> int:
        """The number of leads that match the status, whether or not they match the term."""
        return self._number(COUNT_BY_STATUS, "total")

    def _is_frequent(self) -> bool:
        """Return whether the term's matches in all statuses are more than an eighth of the leads with the status.

        COUNT_FREQUENT is then up to 3.6 times as fast as the statement in COUNTS.
        """
        limit = self.leads_in_status // OVERSAMPLING + 1
        return self._number(COUNT_UP_TO, "matches", match_limit=limit) == limit

    def _number(self, sql: str, column: str, **params: int) -> int:
        number: int = self.at.rows(sql, **self.params, **params)[0][column]
        return number


class Term(NamedTuple):
    """A folded search term, as a query of the search index and as a LIKE pattern.

    The query is None if the search index cannot find the term.
    """

    index_query: str | None
    pattern: str


def find_term(at: Reader, q: str | None) -> Term | None:
    """Return the search term of a request, or None if it is empty or consists of separators and spaces."""
    folded = fold(at, q.replace("\x1f", " ")).strip() if q else ""  # U+001F separates the fields of search_text
    if not folded:
        return None
    literal = folded.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return Term(at.index_query(folded), f"%{literal}%")


def prepare(at: Reader, q: str | None, status: str | None) -> tuple[str, dict[str, Any]]:
    """Return the key of CONDITIONS for a search term and a status, and the parameters of that filter."""
    term = find_term(at, q)
    if term is None:
        return "status" if status else "all", {"status": status}
    name = "scanned" if term.index_query is None else "indexed"
    return f"{name} in status" if status else name, {"status": status, **term._asdict()}


def find_page(search: Search) -> Page:
    """Return the page from the first strategy that finds it."""
    for strategy in STRATEGIES[search.filter.partition(" ")[0]]:
        page = strategy(search)
        if page is not None:
            return page
    raise AssertionError("the last strategy always returns a page")


def read_in_order(search: Search) -> Page:
    """Read the page from the index of the sort order.

    The statement is the same as that of `sort_matches`. Without a term, the database uses the index for it.
    """
    return sort_matches(search)


def find_small_result(search: Search) -> Page | None:
    """Return the page and the total from one statement.

    Return None if there is a cursor, if more than SMALL_RESULT leads match, or if the page is empty. The total is a
    column of the page, so an empty page has no total.
    """
    if search.has_cursor:
        return None
    statement = SMALL_PAGES[search.filter, search.sort]
    rows = search.at.rows(statement, **search.params, match_limit=SMALL_RESULT + 1)
    totals = [row.pop("total") for row in rows]
    return Page(rows, totals[0]) if rows else None


def filter_next(search: Search) -> Page | None:
    """Read the next leads in the sort order and filter them.

    Return None if sorting all matches would read fewer rows, or if too few of the leads match to fill the page.
    """
    params = dict(search.params)
    rows = params["limit"]
    offset = 0 if search.has_cursor else params["offset"]
    target = OVERSAMPLING * (offset + rows)
    if target >= search.total:
        return None
    read_count = target * search.leads_in_status // search.total
    if read_count >= search.total:  # sorting all matches reads fewer rows
        return None
    name = "status" if params["status"] else "all"
    statement = FILTERED_PAGES[name, search.sort, "next" if search.has_cursor else "first"]
    leads = search.at.rows(statement, **{**params, "limit": read_count, "offset": offset, "rows": rows})
    return Page(leads, search.total) if len(leads) == rows else None


def sort_matches(search: Search) -> Page:
    """Read and sort all matches."""
    if not search.total:
        return Page([], 0)
    statements = NEXT_PAGES if search.has_cursor else PAGES
    return Page(search.at.rows(statements[search.filter, search.sort], **search.params), search.total)


STRATEGIES: Final[dict[str, tuple[Callable[[Search], Page | None], ...]]] = {
    "all": (read_in_order,),
    "status": (read_in_order,),
    "indexed": (find_small_result, filter_next, sort_matches),
    "scanned": (filter_next, sort_matches),
}
