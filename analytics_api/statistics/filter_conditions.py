"""The SQL condition of each filter of statistics.

The values of a filter are passed as statement parameters. A few values are one parameter each; more values are one JSON
array. Thus, a condition has only a few different texts, so that parsed statements can be reused. For `.prefix` and
`.contains`, the values in the database are read first, and those that match the filter are passed. Therefore every
condition tests whether a value is in a list, and `.not` negates this test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..database import Database
from ..database.folding import fold_all
from .session_filters import PROPERTIES
from .stored_keys import PAGE_IDS, STORED_KEYS

# The SQL expression for the value that each filter compares. `s` is a row of session_facts, `viewed` of session_pages.
# `>` and `>=` are for SQLite, which would read the whole rows of all leads for `<> ''` or `is not null` after ANALYZE
# with an `analysis_limit`.
EXPRESSIONS: Final[dict[str, str]] = {
    **STORED_KEYS,
    "page": "viewed.page_id",
    "lead": """case
    when s.session_id in (select session_id from leads where session_id >= '')
      or s.visitor_id in (select visitor_id from leads where visitor_id > '')
      then 'true'
    else 'false'
  end""",
}

IS_NEW: Final = {"new": 1, "returning": 0}

# A condition compares up to this number of values one by one. For more values, it searches a JSON array (IS_ONE_OF).
# With 100,000 sessions, searching an array of so few values would take 3 ms longer.
MAX_COMPARISONS = 4
IS_ONE_OF = "{expression} in (select value from json_each(cast(:{name} as text)))"

# The parameters with `event` in their names limit a search to a period that includes all events of the range's
# sessions. They are in `Matching.event_period`.
IN_EVENT_PERIOD: Final = "occurred_at >= :events_begin_at and occurred_at < :events_end_at"

# The session viewed one of the pages, on the day on which it began or on another day. Views whose events were all
# purged do not count. The second subquery reads the other days of all sessions once, which takes 6 ms less for 94,000
# sessions than searching the other days of each session. For a few sessions, they are searched (OF_SESSION).
HAS_VIEWED = """(exists (
    select 1
    from session_pages as viewed
    where viewed.day = s.day and viewed.session_id = s.session_id
      and viewed.views <> viewed.archived
      and ({condition}))
  or s.session_id in (
    select e.session_id
    from events_of_other_days as e
    cross join session_pages as viewed
    where {of_session}e.day between :first_event_day and :last_event_day
      and viewed.day = e.day and viewed.session_id = e.session_id
      and viewed.views <> viewed.archived
      and ({condition})))"""
OF_SESSION = "e.session_id = s.session_id and "
# The same as HAS_VIEWED, for PostgreSQL, which converts it to a join of the sessions with the views. The operator is
# `<>`, because PostgreSQL would estimate that `>` is true for only a third of the rows, and choose a slower plan.
HAS_JOINED_VIEW = """exists (
    select 1
    from session_pages as viewed
    where viewed.session_id = s.session_id and viewed.day between :first_event_day and :last_event_day
      and viewed.views <> viewed.archived
      and ({condition}))"""
IS_ONE_OF_PAGES = "{expression} in (select cast(value as bigint) from json_each(cast(:{name} as text)))"

# Because of the sign `+`, SQLite does not search each session on each day of session_facts after ANALYZE.
HAS_EVENT = f"""+s.session_id in (
    select session_id
    from events
    where ({{condition}}) and {IN_EVENT_PERIOD})"""
# The same as HAS_EVENT, for PostgreSQL, which converts it to a join of the sessions with the events. With HAS_EVENT,
# the filter `event_type.not` is a `not in`: PostgreSQL would read a list of all these events for each session.
HAS_JOINED_EVENT = f"""exists (
    select 1
    from events
    where events.session_id = s.session_id and ({{condition}}) and {IN_EVENT_PERIOD})"""
# The index rare_events_by_type is used only for statements that contain the condition of this index, as IS_RARE does.
FREQUENT_TYPES: Final = frozenset({"page_view", "heartbeat"})
IS_RARE: Final = "event_type <> 'page_view' and event_type <> 'heartbeat' and ({})"
# The ids of the sessions for which HAS_EVENT is true. Instead of HAS_EVENT, SQLite tests IS_MEMBER, and gets the ids as
# the parameter `members`.
MEMBERS: Final = f"""
select cast(session_id as blob)
from events
where ({{condition}}) and {IN_EVENT_PERIOD}
"""
# The ids as one string, and their number. This takes half of the time of one row for each id.
JOINED_MEMBERS: Final = f"""
select cast(group_concat(session_id, char(31)) as blob), count(*)
from (
  select session_id
  from events
  where ({{condition}}) and {IN_EVENT_PERIOD}
  limit :max_ids)
"""
SEPARATOR: Final = b"\x1f"
IS_MEMBER: Final = "is_member(cast(s.session_id as blob))"

# All values of a property (PAGE_KEYS if they are pages), and all pages. Each row has the text to compare, and the value
# to pass to the condition.
KEYS = """
select key, key
from all_time_keys
where dimension = :dimension and key <> ''
"""
PAGE_KEYS = """
select page, page_id
from all_time_keys
cross join pages
where dimension = :dimension and page_id = cast(key as bigint) and page <> ''
"""
PAGES = """
select page, page_id
from pages
where page <> ''
"""


class Conditions(NamedTuple):
    """SQL conditions that must all hold, and their parameters.

    :param sessions: conditions on a row `s` of session_facts.
    :param views: conditions on a row `viewed` of session_pages, by the name of the filter. A session must have such a
        row, or no such row if the name ends in `.not`.
    :param events: conditions on a row of events, by the name of the filter, with the same meaning of `.not`.
    :param is_new: whether only first sessions of visitors match, so that no two matches have the same visitor.
    :param is_joined: whether the database's planner can join subqueries. HAS_JOINED_VIEW and HAS_JOINED_EVENT then
        replace HAS_VIEWED and HAS_EVENT.
    """

    sessions: list[str]
    views: dict[str, str]
    events: dict[str, str]
    values: dict[str, Any]
    is_new: bool = False
    is_joined: bool = False

    def to_sql(self, *, of_few: bool = False, members_of: str | None = None) -> str:
        """Return a condition on a row `s` of session_facts.

        :param of_few: whether the statement tests only a few sessions. The views of each session are then searched.
        :param members_of: the name of a filter in `events`, which is then tested by session ids. Statements need the
            parameter `members`, the ids of the sessions with an event that meets the filter's condition.
        """
        view = HAS_JOINED_VIEW if self.is_joined and not of_few else HAS_VIEWED
        of_session = OF_SESSION if of_few else ""
        event = HAS_JOINED_EVENT if self.is_joined else HAS_EVENT
        rows = {name: view.format(condition=sql, of_session=of_session) for name, sql in self.views.items()}
        rows |= {name: event.format(condition=sql) for name, sql in self.events.items()}
        if members_of is not None:
            rows[members_of] = IS_MEMBER
        return "\n  and ".join([*self.sessions, *(_negate_if_not(name, sql) for name, sql in rows.items())])


def resolve_conditions(db: Database, filters: Mapping[str, Sequence[str]]) -> Conditions:
    """Return the conditions of filters."""
    is_new = [*filters.get("visitor", ())] == ["new"]
    conditions = Conditions([], {}, {}, {}, is_new, is_joined=db.joins_subqueries)
    for name, texts in filters.items():
        field, _, suffix = name.partition(".")
        values = _find_values(db, field, suffix, texts)
        expression = EXPRESSIONS.get(field, field)
        if field == "page" and len(values) > 1:
            # Because of the sign `+`, SQLite reads all views of a session instead of searching each page.
            expression = f"+{expression}"
        condition, parameters = _resolve(field, expression, name.replace(".", "_"), values)
        conditions.values.update(parameters)
        if field == "event_type":
            is_frequent = FREQUENT_TYPES.intersection(texts)
            conditions.events[name] = condition if is_frequent else IS_RARE.format(condition)
        elif field == "page":
            conditions.views[name] = condition
        else:
            conditions.sessions.append(_negate_if_not(name, condition))
    return conditions


def _negate_if_not(name: str, condition: str) -> str:
    return f"not ({condition})" if name.endswith(".not") else f"({condition})"


def _resolve(field: str, expression: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Return the condition that a session has one of the values, and its parameters, whose names begin with `name`."""
    if 0 < len(values) <= MAX_COMPARISONS:
        parameters = {f"{name}_{number}": value for number, value in enumerate(values)}
        return " or ".join(f"{expression} = :{parameter}" for parameter in parameters), parameters
    condition = IS_ONE_OF_PAGES if PROPERTIES[field].is_page else IS_ONE_OF
    return condition.format(expression=expression, name=name), {name: json.dumps(values)}


def _find_values(db: Database, field: str, suffix: str, texts: Sequence[str]) -> list[Any]:
    """Return the values that the condition compares with. Pages are returned as ids."""
    if suffix in ("", "not"):
        if field == "visitor":
            return [IS_NEW[text] for text in texts]
        if not PROPERTIES[field].is_page:
            return list(texts)
        return [page_id for (page_id,) in db.tuples(PAGE_IDS, keys=json.dumps(texts))]
    if field == "page":
        rows = db.tuples(PAGES)
    else:
        rows = db.tuples(PAGE_KEYS if PROPERTIES[field].is_page else KEYS, dimension=PROPERTIES[field].dimension)
    if suffix == "prefix":
        return [value for text, value in rows if text.startswith(tuple(texts))]
    needles = fold_all(db, texts)
    folded = fold_all(db, [text for text, _ in rows])
    return [value for text, (_, value) in zip(folded, rows) if any(needle in text for needle in needles)]
