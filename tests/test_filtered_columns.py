"""On SQLite, statistics of matching sessions that are counted in Python equal those that are counted in SQL."""

import pytest
from helpers.client import NOW

from analytics_api import Context, matching, open_database
from analytics_api.endpoints import geo, overview, pages, sources

FILTERS = {"country": ["IN", "DE"]}
ODD_TEXT = """
insert into sessions (session_id, visitor_id, fingerprint, started_at, country, referrer_domain, entry_page)
values
  ('a', cast(x'76ff' as text), cast(x'66ff' as text), {now}, 'IN', 'a"b,\\', '/'),
  ('b', cast(x'76fe' as text), cast(x'66fe' as text), {now}, 'IN', cast(x'67fe' as text), '/'),
  ('c', cast(x'76fe' as text), cast(x'66fe' as text), {now}, 'DE', 'é', '/\u2028'),
  ('d', 'v' || char(0), null, {now}, 'DE', 'é', null)
"""


@pytest.fixture
def ctx(tmp_path):
    with open_database(tmp_path / "odd.db").closing() as database:
        database.write(lambda at: at.execute(ODD_TEXT.format(now=NOW)))
        yield Context(database, None, NOW)


@pytest.mark.parametrize("max_sessions", [-1, 4])
def test_text_that_is_not_utf8(monkeypatch, ctx, max_sessions):
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
