"""Statistics of matching sessions that are counted in Python equal those that are counted in SQL."""

import pytest
from helpers.client import NOW

from analytics_api import Context, open_database
from analytics_api.endpoints import geo, overview, pages, sources
from analytics_api.statistics import matching
from analytics_api.statistics.filtered_sections import read_sections
from analytics_api.values.calendar import DAY_MS, DayRange

FILTERS = {"country": ["IN", "DE"]}
ODD_TEXT = """
insert into sessions (session_id, visitor_id, fingerprint, started_at, country, referrer_domain, entry_page)
values
  ('a', cast(x'76ff' as text), cast(x'66ff' as text), {now}, 'IN', 'a"b,\\', '/'),
  ('b', cast(x'76fe' as text), cast(x'66fe' as text), {now}, 'IN', cast(x'67fe' as text), '/'),
  ('c', cast(x'76fe' as text), cast(x'66fe' as text), {now}, 'DE', 'é', '/\u2028'),
  ('d', 'v' || char(0), null, {now}, 'DE', 'é', null)
"""
INSERT_VIEW = """
insert into events (session_id, event_type, page_url, occurred_at)
values (:session_id, 'page_view', :page, :occurred_at)
"""


@pytest.fixture
def ctx(tmp_path):
    with open_database(tmp_path / "odd.db").closing() as database:
        database.write(lambda at: at.execute(ODD_TEXT.format(now=NOW)))
        yield Context(database, None, NOW)


@pytest.mark.parametrize("max_sessions", [-1, 4])
def test_invalid_utf8_is_counted(monkeypatch, ctx, max_sessions):
    monkeypatch.setattr(matching, "MAX_SESSIONS", max_sessions)

    totals = overview.overview(ctx, filters=FILTERS)
    assert (totals["total_sessions"], totals["unique_visitors"], totals["unique_fingerprints"]) == (4, 3, 2)
    assert [tuple(row.values()) for row in geo.geo(ctx, filters=FILTERS)] == [("DE", 2, 2), ("IN", 2, 2)]
    assert [tuple(row.values()) for row in sources.sources(ctx, filters=FILTERS)] == [
        ("é", 2),
        ('a"b,\\', 1),
        ("g\ufffd", 1),
    ]
    assert [tuple(row.values()) for row in pages.entry(ctx, filters=FILTERS)] == [("/", 2), ("/\u2028", 1)]


def test_large_ranges_are_counted_in_sql(monkeypatch, ctx):
    statements = []
    tuples = ctx.db.tuples
    monkeypatch.setattr(ctx.db, "tuples", lambda sql, **params: statements.append(sql) or tuples(sql, **params))
    for max_sessions in (4, 3):
        monkeypatch.setattr(matching, "MAX_SESSIONS", max_sessions)
        geo.geo(ctx, filters=FILTERS)

    assert ["json_group_array" in sql for sql in statements if "session_facts as s" in sql] == [True, False]


@pytest.mark.parametrize(
    ("filters", "is_joined", "pages_of_day"),
    [
        ({"country": ["IN"]}, False, [("/a", 3, 2), ("/b", 1, 1)]),
        ({"country.not": ["XX"]}, True, [("/a", 4, 3), ("/b", 1, 1)]),
    ],
    ids=["half", "all"],
)
def test_page_views_are_joined_if_most_sessions_match(monkeypatch, ctx, filters, is_joined, pages_of_day):
    for session_id, page in [("a", "/a"), ("a", "/a"), ("a", "/b"), ("b", "/a"), ("c", "/a")]:
        values = {"session_id": session_id, "page": page, "occurred_at": NOW}
        ctx.db.write(lambda at, values=values: at.execute(INSERT_VIEW, **values))
    day = NOW // DAY_MS
    chosen = matching.find_matching(ctx.db, DayRange(day, day), filters)
    statements = []
    tuples = ctx.db.tuples
    monkeypatch.setattr(ctx.db, "tuples", lambda sql, **params: statements.append(sql) or tuples(sql, **params))

    rows = read_sections(ctx.db, chosen, ["totals", "pages", "page_views"], 10, "day").rows

    assert any("session_facts as s\ncross join session_pages" in sql for sql in statements) == is_joined
    assert rows["pages"] == pages_of_day
    assert rows["page_views"] == [(day, sum(views for _, views, _ in pages_of_day))]


@pytest.mark.parametrize("max_ids", [1, 2, 3])
def test_session_ids_may_have_control_characters(monkeypatch, ctx, max_ids):
    monkeypatch.setattr(matching, "MAX_IDS", max_ids)
    ctx.db.write(
        lambda at: at.execute(f"""
insert into events (session_id, event_type, occurred_at)
select session_id, event_type, {NOW}
from (select 'b' as session_id union all select 'b' || char(31) || 'c')
cross join (select 'click' as event_type union all select 'page_view')
""")
    )

    def countries(*event_types, country="country"):
        filters = {"event_type": event_types, country: ["IN", "DE"]}
        return [tuple(row.values()) for row in geo.geo(ctx, filters=filters)]

    assert countries("click") == countries("click", "page_view") == [("IN", 1, 1)]
    assert countries("form_start") == countries("click", country="country.not") == []
    ctx.db.write(
        lambda at: at.execute("update sessions set session_id = 'b' || char(31) || 'c' where session_id = 'd'")
    )
    assert countries("click") == countries("page_view") == [("DE", 1, 1), ("IN", 1, 1)]


@pytest.mark.parametrize(
    ("event_types", "index"),
    [
        (["click"], "rare_events_by_type (event_type=? AND occurred_at>? AND occurred_at<?)"),
        (["click", "form_start"], "rare_events_by_type (event_type=? AND occurred_at>? AND occurred_at<?)"),
        (["click", "page_view"], "events_by_time (occurred_at>? AND occurred_at<?)"),
    ],
    ids=["rare", "two", "frequent"],
)
def test_events_are_searched_in_an_index(monkeypatch, ctx, event_types, index):
    plans = []
    tuples = ctx.db.tuples

    def explain(sql, **params):
        if "from events\n" in sql:
            plans.extend(step for *_, step in tuples(f"explain query plan {sql}", **params))
        return tuples(sql, **params)

    monkeypatch.setattr(ctx.db, "tuples", explain)
    geo.geo(ctx, filters={"event_type": event_types})

    assert [step for step in plans if "events" in step] == [f"SEARCH events USING COVERING INDEX {index}"]


@pytest.mark.parametrize(
    ("viewed_pages", "step"),
    [
        (["/a"], "SEARCH viewed USING PRIMARY KEY (day=? AND session_id=? AND page_id=?)"),
        (["/a", "/b"], "SEARCH viewed USING PRIMARY KEY (day=? AND session_id=?)"),
    ],
    ids=["one", "several"],
)
def test_filter_by_page_searches_views_of_any_day(monkeypatch, ctx, viewed_pages, step):
    views = [("a", "/a", 0), ("b", "/a", -3), ("c", "/b", 0), ("d", "/c", 0)]
    for session_id, page, day in views:
        parameters = {"session_id": session_id, "page": page, "occurred_at": NOW + day * DAY_MS}
        ctx.db.write(lambda at, parameters=parameters: at.execute(INSERT_VIEW, **parameters))
    plans = []
    tuples = ctx.db.tuples

    def explain(sql, **params):
        plans.extend(step for *_, step in tuples(f"explain query plan {sql}", **params))
        return tuples(sql, **params)

    monkeypatch.setattr(ctx.db, "tuples", explain)

    rows = geo.geo(ctx, 1, filters={"page": viewed_pages})

    assert {row["country"]: row["sessions"] for row in rows} == {"IN": 2, **({"DE": 1} if viewed_pages[1:] else {})}
    # SQLite 3.51 or later adds the word EXISTS to this step.
    assert {plan.replace(" EXISTS", "") for plan in plans if "viewed" in plan} == {step}


def test_page_views_are_searched_by_day_and_session(monkeypatch, ctx):
    plans = []
    tuples = ctx.db.tuples

    def explain(sql, **params):
        if "cross join session_pages as p\n" in sql:
            plans.extend(step for *_, step in tuples(f"explain query plan {sql}", **params))
        return tuples(sql, **params)

    monkeypatch.setattr(ctx.db, "tuples", explain)
    pages.top(ctx, days=1, filters=FILTERS)

    assert {step for step in plans if " p " in step} == {"SEARCH p USING PRIMARY KEY (day=? AND session_id=?)"}
    assert "USE TEMP B-TREE FOR ORDER BY" not in plans
