"""The properties of sessions by which statistics are filtered and counted, and the query parameters of the filters.

A filter selects sessions, for example those from one country. Filters of leads are in `endpoints/leads/filters.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

from ..errors import InvalidRequest
from ..http.parameters import MAX_VALUES, Filter, Parameter

# The values of each filter by the name of its parameter, such as {"country": ["IN", "DE"], "page.prefix": ["/blog"]}.
# A session must match every parameter. It matches a parameter if it matches one of the values. It matches a parameter
# that ends in `.not` if it matches none of them.
Filters = Mapping[str, Sequence[str]]

MAX_FILTERS = 10

ScoreRange = Literal["0-19", "20-39", "40-59", "60-79", "80-100"]
BUCKETS: Final[tuple[ScoreRange, ...]] = get_args(ScoreRange)


class Property(NamedTuple):
    """A property of sessions. Statistics can be filtered by it if it has a description.

    :param description: the description of the filter's values in the OpenAPI document.
    :param column: its column of session_facts; "" if filter_conditions.py has another expression. For pages, the column
        of session_facts has the suffix `_id`. The view counted_sessions has the columns of properties with a dimension.
    :param dimension: its number in the column `dimension` of key_counts; 0 if sessions are not counted by it.
    :param choices: the values that the filter accepts; () for any text.
    :param is_text: whether the filter also has the parameters `<name>.prefix` and `<name>.contains`.
    :param is_page: whether its values are pages, which session_facts and the counters store as ids.
    """

    description: str
    column: str = ""
    dimension: int = 0
    choices: tuple[str, ...] = ()
    is_text: bool = False
    is_page: bool = False


# The parameters in the OpenAPI document are in this order.
PROPERTIES: Final[dict[str, Property]] = {
    "country": Property("its country, XX if unknown", "country_code", 1),
    "source": Property("its referrer domain, (direct) if none", "source", 2, is_text=True),
    "entry_page": Property("its entry page", "entry_page", 4, is_text=True, is_page=True),
    "exit_page": Property("its exit page", "exit_page", 5, is_text=True, is_page=True),
    "page": Property("a page that it viewed", is_text=True, is_page=True),
    "event_type": Property("the type of one of its events"),
    "engagement": Property("the range of its engagement score", "score_bucket", 3, BUCKETS),
    "visitor": Property("whether an earlier session has the same visitor", "is_new", choices=("new", "returning")),
    "lead": Property("whether a lead names the session or its visitor", choices=("true", "false")),
    "campaign": Property("", "campaign", 8),
}


def _list_parameters() -> Iterator[Filter]:
    for name, item in PROPERTIES.items():
        value = item.description
        if value:
            yield Filter(name, f"Only sessions with one of these values: {value}", item.choices)
            yield Filter(f"{name}.not", f"Only sessions with none of these values: {value}", item.choices)
        if item.is_text:
            yield Filter(f"{name}.prefix", f"Only sessions with a value that begins with this: {value}")
            contains = "Only sessions with a value that contains this, ignoring case and accents"
            yield Filter(f"{name}.contains", f"{contains}: {value}")


SESSION_FILTERS: Final[dict[str, Filter]] = {parameter.name: parameter for parameter in _list_parameters()}


def parse_filters(filters: Filters | None) -> dict[str, tuple[str, ...]]:
    """Parse the values of filters. Empty strings, and filters without values, are ignored.

    :raises InvalidRequest: a parameter is unknown, a value is invalid, or there are too many parameters.
    """
    if filters is not None and not isinstance(filters, Mapping):
        raise InvalidRequest(f"filters must be a mapping such as {{'country': ['IN']}}, not {filters!r}")
    parsed: dict[str, tuple[str, ...]] = {}
    for name, values in (filters or {}).items():
        if name not in SESSION_FILTERS:
            raise InvalidRequest(f"{name} is not a filter; use {', '.join(SESSION_FILTERS)}")
        if texts := parse_values(SESSION_FILTERS[name], list_texts(name, values)):
            parsed[name] = texts
    if len(parsed) > MAX_FILTERS:
        raise InvalidRequest(
            f"{list(parsed)[MAX_FILTERS]} is one filter too many: at most {MAX_FILTERS} can be combined"
        )
    return parsed


def list_texts(name: str, values: Collection[str]) -> Collection[str]:
    """Return the values of a filter. One string is one value.

    :raises InvalidRequest: `values` is neither a string nor a list of strings.
    """
    texts = [values] if isinstance(values, str) else values
    if not isinstance(texts, Collection) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest(f"{name} must be a list of strings, not {values!r}")
    return texts


def parse_values(parameter: Parameter, texts: Collection[str]) -> tuple[Any, ...]:
    """Return the values of a filter without duplicates. Empty strings are ignored.

    :raises InvalidRequest: a value is invalid, or there are more than MAX_VALUES strings, as in the OpenAPI document.
    """
    if len(texts) > MAX_VALUES:
        raise InvalidRequest(f"{parameter.name} must have at most {MAX_VALUES} values")
    return tuple(dict.fromkeys(parameter.parse(text) for text in texts if text))
