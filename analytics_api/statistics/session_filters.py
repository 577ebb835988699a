"""The filters of statistics: their query parameters, and the values that each parameter accepts.

A filter selects sessions, for example those from one country. Filters of leads are in `endpoints/leads/filters.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

from ..errors import InvalidRequest
from ..http.parameters import MAX_VALUES, Filter, Parameter

# The values of each filter by the name of its parameter, such as {"country": ["IN", "DE"], "page.prefix": ["/blog"]}.
# A session must match every parameter. It matches a parameter if it matches one of the values. It matches a parameter
# that ends in `.not` if it matches none of them.
Filters = Mapping[str, Sequence[str]]

MAX_FILTERS = 10

ScoreRange = Literal["0-19", "20-39", "40-59", "60-79", "80-100"]
BUCKETS: Final[tuple[ScoreRange, ...]] = ("0-19", "20-39", "40-59", "60-79", "80-100")

# Filters with a fixed list of values: the name of the filter, then a description of the value, and the list.
CHOICES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "engagement": ("the range of its engagement score", BUCKETS),
    "visitor": ("whether an earlier session has the same visitor", ("new", "returning")),
    "lead": ("whether a lead names the session or its visitor", ("true", "false")),
}
# Filters that accept any text: the name of the filter, and a description of the value.
PROPERTIES: Final[dict[str, str]] = {
    "country": "its country, XX if unknown",
    "source": "its referrer domain, (direct) if none",
    "entry_page": "its entry page",
    "exit_page": "its exit page",
    "page": "a page that it viewed",
    "event_type": "the type of one of its events",
}
# These filters also have the parameters `<name>.prefix` and `<name>.contains`.
TEXTS: Final = ("source", "entry_page", "exit_page", "page")


def _list_parameters() -> list[Filter]:
    parameters = []
    for name, description in PROPERTIES.items():
        parameters.append(Filter(name, f"Only sessions with one of these values: {description}"))
        parameters.append(Filter(f"{name}.not", f"Only sessions with none of these values: {description}"))
        if name in TEXTS:
            parameters.append(
                Filter(f"{name}.prefix", f"Only sessions with a value that begins with this: {description}")
            )
            parameters.append(
                Filter(
                    f"{name}.contains", f"Only sessions with a value that contains this, ignoring case: {description}"
                )
            )
    for name, (description, choices) in CHOICES.items():
        parameters.append(Filter(name, f"Only sessions with one of these values: {description}", choices))
        parameters.append(Filter(f"{name}.not", f"Only sessions with none of these values: {description}", choices))
    return parameters


SESSION_FILTERS: Final[dict[str, Filter]] = {parameter.name: parameter for parameter in _list_parameters()}


def parse_filters(filters: Filters | None) -> dict[str, tuple[str, ...]]:
    """Parse the values of filters. Empty strings, and filters without values, are ignored.

    :raises InvalidRequest: a parameter is unknown, a value is invalid, or there are too many parameters.
    """
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
