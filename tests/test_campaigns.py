"""The campaign of a session: the first utm_campaign of the query of its entry page."""

from collections import Counter
from datetime import date

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
    "/a?utm_campaign=Spring": "Spring",
    "https://x.y/a?b=c&utm_campaign=Spring&d=e": "Spring",
    "/a?utm_campaign=a%20B+c=d?e": "a%20B+c=d?e",
    "/a?utm_campaign=one&utm_campaign=two": "one",
    "/a?utm_campaign=&utm_campaign=two": "(none)",
    "/a?utm_campaign&utm_campaign=two": "(none)",
    "/a?utm_campaign_id=1&xutm_campaign=2&utm_campaign=three": "three",
    "/a?utm_campaign=one#utm_campaign=two": "one",
    "/a#b?utm_campaign=one": "(none)",
    "/a?b=c?utm_campaign=one": "(none)",
    "/utm_campaign=one": "(none)",
    "/a?UTM_CAMPAIGN=one": "(none)",
    "/a": "(none)",
    "": "(none)",
    None: "(none)",
}


def session(session_id, page, day="2026-02-23"):
    return {"session_id": session_id, "visitor_id": "ann", "started_at": instant(f"{day} 10:00:00"), "entry_page": page}


def test_campaign_is_read_from_the_query(database, insert):
    insert("sessions", *(session(f"s{day}", page, f"2026-02-{day}") for day, page in enumerate(PAGES, start=10)))

    counts = [row[1:] for row in database.tuples(CAMPAIGNS)]

    assert counts[-len(PAGES) :] == [(campaign, 1) for campaign in PAGES.values()]
    assert dict(counts[: -len(PAGES)]) == Counter(PAGES.values())
    assert {page: find_campaign(page or "") for page in PAGES} == PAGES
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
