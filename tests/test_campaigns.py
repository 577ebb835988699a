"""The campaign of a session: the first utm_campaign of the query of its entry page."""

from datetime import date

import pytest
from helpers.client import instant

from analytics_api.database.campaigns import archive_campaigns, find_campaign
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings

CAMPAIGNS = """
select day, key, cast(sum(sessions) as bigint)
from key_counts
where dimension = 8
group by day, key
having sum(sessions) <> 0
order by day, key
"""

PAGES = {
    "named": ("/a?utm_campaign=Spring", "Spring"),
    "second": ("https://x.y/a?b=c&utm_campaign=Spring&d=e", "Spring"),
    "as-written": ("/a?utm_campaign=a%20B+c=d?e", "a%20B+c=d?e"),
    "first": ("/a?utm_campaign=one&utm_campaign=two", "one"),
    "first-empty": ("/a?utm_campaign=&utm_campaign=two", "(none)"),
    "first-bare": ("/a?utm_campaign&utm_campaign=two", "(none)"),
    "longer-name": ("/a?utm_campaign_id=1&xutm_campaign=2&utm_campaign=three", "three"),
    "before-fragment": ("/a?utm_campaign=one#utm_campaign=two", "one"),
    "in-fragment": ("/a#b?utm_campaign=one", "(none)"),
    "in-value": ("/a?b=c?utm_campaign=one", "(none)"),
    "in-path": ("/utm_campaign=one", "(none)"),
    "case": ("/a?UTM_CAMPAIGN=one", "(none)"),
    "no-query": ("/a", "(none)"),
    "empty": ("", "(none)"),
    "null": (None, "(none)"),
}


def session(session_id, page, day="2026-02-23"):
    return {"session_id": session_id, "visitor_id": "ann", "started_at": instant(f"{day} 10:00:00"), "entry_page": page}


@pytest.mark.parametrize(("page", "campaign"), PAGES.values(), ids=PAGES.keys())
def test_campaign_is_read_from_the_query(database, insert, page, campaign):
    insert("sessions", session("a", page))

    counts = database.tuples(CAMPAIGNS)

    assert [row[1:] for row in counts] == [(campaign, 1), (campaign, 1)]
    assert find_campaign(page or "") == campaign
    assert database.verify() == []


def test_campaigns_count_pages_without_query(database, insert):
    insert("sessions", session("a", "/a?utm_campaign=Spring"))

    change_settings(database, page_query="drop")
    insert("sessions", session("b", "/b?utm_campaign=Spring"))

    assert [row[1:] for row in database.tuples(CAMPAIGNS)] == [("Spring", 2), ("Spring", 2)]
    assert database.verify() == []


def test_campaigns_of_an_older_archive_are_read_from_pages(database, insert):
    insert(
        "sessions",
        session("a", "/a?utm_campaign=Spring"),
        session("b", "/b?utm_campaign=Spring"),
        session("c", "/c"),
        session("d", None, day="2026-02-24"),
    )
    before = database.tuples(CAMPAIGNS)
    purge(database, date(2026, 2, 24), keep_totals=True)
    database.write(lambda at: at.execute("delete from archived_session_counts where dimension = 8"))

    database.rebuild(archive_campaigns)

    assert database.tuples(CAMPAIGNS) == before
    assert database.verify() == []
