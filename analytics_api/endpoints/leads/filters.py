"""The filters of leads: their parameters, the values that they accept, and their conditions in SQL.

The dictionary LEAD_FILTERS has all filters. A condition has two forms. In the first, the database can use the index of
the column. In the second, it cannot, because the column is part of an expression. So the search, and not the query
planner, chooses the index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from ...database import Reader
from ...errors import InvalidRequest
from ...http.parameters import MAX_INT64, Boolean, Day, Filter, Integer, Parameter
from ...statistics.ranges import load_offsets
from ...statistics.session_filters import Filters, list_texts, parse_values
from ...values.calendar import day_begins_at, to_day
from ...values.statuses import STATUSES
from .orders import MIN_INT64
from .search import Term, find_term

Kind = Literal["values", "statuses", "first day", "last day", "minimum", "maximum", "visits"]


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """A filter of leads.

    :param name: the name of the query parameter.
    :param column: the column of `leads` that the filter compares.
    :param kind: how the column is compared with the values.
    :param lower: if the filter is an upper bound, the name of the filter for the lower bound.
    """

    name: str
    column: str
    kind: Kind
    description: str
    lower: str = ""

    @property
    def parameter(self) -> Parameter:
        if self.kind in ("first day", "last day"):
            return Day(self.name, self.description)
        if self.kind in ("minimum", "maximum"):
            return Integer(self.name, self.description, default=None, minimum=MIN_INT64, maximum=MAX_INT64)
        if self.kind == "visits":
            return Boolean(self.name, self.description, default=None)
        return Filter(self.name, self.description, STATUSES if self.kind == "statuses" else ())

    @property
    def is_repeatable(self) -> bool:
        return self.kind in ("values", "statuses")


IN_ZONE: Final = "in the site's time zone"
ANY: Final = "repeat the parameter to accept several values"

LEAD_FILTERS: Final = {
    filter_.name: filter_
    for filter_ in (
        LeadFilter("status", "status", "statuses", f"Pipeline status of the leads; {ANY}"),
        LeadFilter("project", "project_name", "values", f"Project of the leads; {ANY}"),
        LeadFilter("source", "project_source", "values", f"Source of the leads, not that of visits; {ANY}"),
        LeadFilter("country", "contact_country_name", "values", f"Country of the leads, not that of visits; {ANY}"),
        LeadFilter("city", "contact_city", "values", f"City of the leads; {ANY}"),
        LeadFilter("label", "engagement_label", "values", f"Engagement label of the leads; {ANY}"),
        LeadFilter("from", "enquiry_datetime", "first day", f"First day of the enquiries, {IN_ZONE}"),
        LeadFilter("to", "enquiry_datetime", "last day", f"Last day of the enquiries, {IN_ZONE}", "from"),
        LeadFilter("score_min", "engagement_score", "minimum", "Lowest engagement score"),
        LeadFilter("score_max", "engagement_score", "maximum", "Highest engagement score", "score_min"),
        LeadFilter("has_visits", "has_visits", "visits", "Whether a session of the lead or of its visitor exists"),
        LeadFilter(
            "follow_up_from", "last_follow_up_at", "first day", f"Earliest day of the last follow-up, {IN_ZONE}"
        ),
        LeadFilter(
            "follow_up_to",
            "last_follow_up_at",
            "last day",
            f"Latest day of the last follow-up, {IN_ZONE}",
            "follow_up_from",
        ),
    )
}

# The parsed values by the name of the filter: a tuple if the filter can be repeated, otherwise one value.
FilterValues = Mapping[str, Any]

TERM: Final = "q"

# The condition of `has_visits` if the database does not store it.
HAS_VISITS: Final = """(
  exists (select 1 from sessions where sessions.session_id = leads.session_id)
  or leads.visitor_id <> '' and exists (select 1 from sessions where sessions.visitor_id = leads.visitor_id))"""


@dataclass(frozen=True)
class Condition:
    """The condition of one filter, or of the search term.

    :param name: the name of the parameter.
    :param column: the only column that the condition reads, or "".
    :param indexed: the SQL condition in a form that can use an index.
    :param scanned: the same condition in a form that cannot use an index of the column.
    :param check: the same condition in a form that is fast for a few leads; if empty, use `indexed`.
    """

    name: str
    column: str
    indexed: str
    scanned: str
    params: dict[str, Any] = field(default_factory=dict)
    check: str = ""

    @property
    def has_index(self) -> bool:
        return self.indexed != self.scanned


def parse(filters: Filters | None, status: str | None = None) -> FilterValues:
    """Parse the values of filters. Empty strings, and filters without values, are ignored.

    :param status: the filter `status`, if it is not in `filters`.
    :raises InvalidRequest: a name is unknown, a value is invalid, a filter has too many values, or a lower bound is
        above the upper bound.
    """
    values: dict[str, Any] = {}
    for name, listed in {**({"status": status} if status else {}), **(filters or {})}.items():
        if name not in LEAD_FILTERS:
            raise InvalidRequest(f"{name} is not a filter of leads; use {', '.join(LEAD_FILTERS)}")
        if parsed := _parse_texts(LEAD_FILTERS[name], list_texts(name, listed)):
            values[name] = parsed if LEAD_FILTERS[name].is_repeatable else parsed[0]
    for name, value in values.items():
        lower = LEAD_FILTERS[name].lower
        if lower in values and values[lower] > value:
            after = "after" if LEAD_FILTERS[name].kind == "last day" else "greater than"
            raise InvalidRequest(f"{lower} must not be {after} {name}")
    return values


def _parse_texts(filter_: LeadFilter, texts: Collection[str]) -> tuple[Any, ...]:
    if len(texts) > 1 and not filter_.is_repeatable:
        raise InvalidRequest(f"{filter_.name} must have one value, not several")
    return parse_values(filter_.parameter, texts)


def is_simple(values: FilterValues) -> bool:
    """Return whether search.py can be used: there are no filters, or only the filter `status` with one value."""
    return not values or (list(values) == ["status"] and len(values["status"]) == 1)


def list_conditions(at: Reader, q: str | None, values: FilterValues) -> list[Condition]:
    """Return the conditions of a search term and of filters.

    :param values: the result of parse().
    """
    conditions = [_condition(at, LEAD_FILTERS[name], value) for name, value in values.items()]
    if term := find_term(at, q):
        conditions.append(_contains(term))
    return conditions


def join_params(conditions: Iterable[Condition]) -> dict[str, Any]:
    return {name: value for condition in conditions for name, value in condition.params.items()}


def _condition(at: Reader, filter_: LeadFilter, value: Any) -> Condition:
    name, column, kind = filter_.name, filter_.column, filter_.kind
    if kind == "visits" and at.stores_visits:
        return _on_column(name, column, f"{{column}} = {int(value)}", {})
    if kind == "visits":
        sql = HAS_VISITS if value else f"not {HAS_VISITS}"
        return Condition(name, "", sql, sql)
    if kind in ("values", "statuses"):
        params = {f"{name}_{index}": text for index, text in enumerate(value)}
        listed = f"in ({', '.join(f':{param}' for param in params)})"
        implied = " and status <> ''" if column == "status" else ""
        return _on_column(name, column, f"{{column}} {listed}", params, implied)
    if kind in ("minimum", "maximum"):
        beyond = ">=" if kind == "minimum" else "<="
        return _on_column(name, column, f"{{column}} {beyond} :{name}", {name: value})
    bound = {f"bound_{name}": day_begin(at, to_day(value) + (kind == "last day"))}
    sql = f"{{column}} >= :bound_{name}" if kind == "first day" else f"{{column}} < :bound_{name} and {{column}} <> ''"
    return _on_column(name, column, sql, bound)


def _on_column(name: str, column: str, sql: str, params: dict[str, Any], implied: str = "") -> Condition:
    """Return the condition of a column.

    :param sql: the condition with `{column}`.
    :param implied: the condition of a partial index, which is true if `sql` is true. SQLite uses the index only if the
        statement contains this condition.
    """
    # SQLite cannot use the index of a column in an expression. This expression is evaluated faster than `|| ''`.
    scanned = sql.format(column=f"coalesce({column}, null)")
    return Condition(name, column, sql.format(column=column) + implied, scanned, params)


def _contains(term: Term) -> Condition:
    """Return the condition of a search term."""
    like = "search_text like :pattern escape '\\'"
    if term.index_query is None:
        return Condition(TERM, "", like, like, {"pattern": term.pattern})
    search = "lead_id in (select rowid from lead_search(:index_query))"
    # PostgreSQL expects few matches, even of a frequent term. Without `coalesce`, it would therefore compare each match
    # with every lead. With `coalesce`, it looks up each lead in a hash table of the matches.
    scanned = f"coalesce({search}, false)"
    return Condition(TERM, "", search, scanned, term._asdict(), like)


def day_begin(at: Reader, day: int) -> str:
    """Return the UTC time at which a day of the site begins, as `YYYY-MM-DD HH:MM:SS`, the format of the columns."""
    instant = day_begins_at(day, load_offsets(at, day, day))
    try:
        begin = datetime(1970, 1, 1) + timedelta(seconds=-(-instant // 1000))
    except OverflowError:  # out of the range of `datetime`: return a string before or after all dates
        return "0" if instant < 0 else ":"
    return begin.isoformat(" ", "seconds")


def to_query(values: FilterValues) -> dict[str, list[str]]:
    """Return the filters as parameters of a query string."""
    return {
        name: [_to_text(text) for text in (value if isinstance(value, tuple) else (value,))]
        for name, value in values.items()
    }


def _to_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)
