"""The keys by which sessions are counted. Entry and exit pages are counted by their ids in `pages`."""

from __future__ import annotations

from typing import Final

from .session_filters import PROPERTIES

# The numbers in the column `dimension` of key_counts.
DIMENSIONS: Final = {name: item.dimension for name, item in PROPERTIES.items() if item.dimension}

# The value of each of these properties of a row `s` of counted_sessions.
COUNTED_VALUES: Final = {name: f"s.{PROPERTIES[name].column}" for name in DIMENSIONS}

# The key of each property of a row `s` of session_facts.
STORED_KEYS: Final = {
    name: f"s.{item.column}{'_id' * item.is_page}" for name, item in PROPERTIES.items() if item.column
}

# The values in the parameter `keys`, a JSON array.
VALUES: Final = "select value from json_each(cast(:keys as text))"

PAGE_IDS: Final = f"""
select page_id
from pages
where page in ({VALUES})
"""


def keys_of_values(field: str, values: str = VALUES) -> str:
    """Return a query for the keys in key_counts of some values.

    :param values: a query for the values.
    """
    if PROPERTIES[field].is_page:
        return f"select cast(page_id as text) as key from pages where page in ({values})"
    return values


def replace_keys(field: str, counts: str) -> str:
    """Return a query for the rows of `counts` with values instead of keys.

    :param counts: a query with the columns `key` and `sessions`, and others unless the field is a page.
    """
    if not PROPERTIES[field].is_page:
        return counts
    return f"""
select page as key, page_counts.sessions
from ({counts.strip()}) as page_counts
cross join pages
where pages.page_id = cast(page_counts.key as bigint)"""
