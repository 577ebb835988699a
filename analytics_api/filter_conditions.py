"""The SQL condition of each filter of statistics.

The text of a condition is constant. The values of the filter are passed as a statement parameter, which is a JSON
array. For `.prefix` and `.contains`, the values in the database are read first, and those that match are passed. So
every condition tests whether a value is in a list, and `.not` negates this test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .database import Database
from .database.folding import fold_all

# The SQL expression for the value that each filter compares. `s` is a row of session_facts.
EXPRESSIONS: Final[dict[str, str]] = {
    "country": "s.country_code",
    "source": "s.source",
    "entry_page": "s.entry_page",
    "exit_page": "s.exit_page",
    "engagement": "s.score_bucket",
    "campaign": "s.campaign",
    "visitor": "case s.is_new when 1 then 'new' else 'returning' end",
    "lead": """case
    when s.session_id in (select session_id from leads where session_id is not null)
      or s.visitor_id in (select visitor_id from leads where visitor_id is not null)
      then 'true'
    else 'false'
  end""",
}

IS_ONE_OF = "{expression} in (select value from json_each(cast(:{name} as text)))"

# The session viewed one of the pages. Views whose events were all purged do not count.
HAS_VIEWED = """exists (
    select 1
    from session_pages as viewed
    where viewed.session_id = s.session_id
      and viewed.views > viewed.archived
      and viewed.page_id in (select cast(value as bigint) from json_each(cast(:{name} as text))))"""

HAS_EVENT = """s.session_id in (
    select session_id
    from events
    where event_type in (select value from json_each(cast(:{name} as text))))"""

# All values of a dimension. Each row has the text to compare, and the value to pass to the condition.
KEYS = """
select key, key
from key_counts
where dimension = :dimension and day = -1 and key <> ''
group by key
"""
# The numbers in the column `dimension` of key_counts.
DIMENSIONS: Final = {"country": 1, "source": 2, "engagement": 3, "entry_page": 4, "exit_page": 5, "campaign": 8}

# The same for pages, whose ids are passed.
PAGES = """
select page, page_id
from pages
"""

PAGES_BY_NAME = """
select page_id
from pages
where page in (select value from json_each(cast(:keys as text)))
"""

_CONDITIONS: Final[dict[str, str]] = {
    **{field: IS_ONE_OF.format(expression=expression, name="{name}") for field, expression in EXPRESSIONS.items()},
    "page": HAS_VIEWED,
    "event_type": HAS_EVENT,
}


def resolve_conditions(db: Database, filters: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, str]]:
    """Return a condition on a row `s` of session_facts, and the parameters of the condition."""
    conditions = []
    values = {}
    for name, texts in filters.items():
        field, _, suffix = name.partition(".")
        parameter = name.replace(".", "_")
        condition = _CONDITIONS[field].format(name=parameter)
        conditions.append(f"not ({condition})" if suffix == "not" else condition)
        values[parameter] = json.dumps(_find_values(db, field, suffix, texts))
    return "\n  and ".join(conditions), values


def _find_values(db: Database, field: str, suffix: str, texts: Sequence[str]) -> list[Any]:
    """Return the values that the condition compares with. Pages are returned as ids."""
    if suffix in ("", "not"):
        if field != "page":
            return list(texts)
        return [page_id for (page_id,) in db.tuples(PAGES_BY_NAME, keys=json.dumps(texts))]
    rows = db.tuples(PAGES) if field == "page" else db.tuples(KEYS, dimension=DIMENSIONS[field])
    if suffix == "prefix":
        return [value for text, value in rows if text.startswith(tuple(texts))]
    needles = fold_all(db, texts)
    folded = fold_all(db, [text for text, _ in rows])
    return [value for text, (_, value) in zip(folded, rows) if any(needle in text for needle in needles)]
