"""The sessions that the collector writes."""

from datetime import date

import pytest
from helpers.client import NOW, instant
from helpers.collecting import BROWSER, HOME, MINUTE

from analytics_api.maintenance.erase import erase
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings

pytestmark = pytest.mark.writes

ABOUT = "https://shop.example/about"
SPANS = f"started_at - {NOW}, ended_at - {NOW}, duration"


def test_page_view_writes_an_event_and_an_open_session(site, select):
    site.view("https://shop.example/?a=1", referrer="https://www.Example.com/search?q=x")

    assert select("event_type, page_url, occurred_at, data", "events") == [
        ("page_view", "https://shop.example/?a=1", NOW, None)
    ]
    assert select(
        "started_at, ended_at, duration, engagement_score, event_count, entry_page, exit_page, country, referrer,"
        " referrer_domain, vpn_suspected, fingerprint",
        "sessions",
    ) == [
        (
            *(NOW, None, None, 0, 1, "https://shop.example/?a=1", "https://shop.example/?a=1"),
            *(None, "https://www.Example.com/search?q=x", "example.com", 0, None),
        )
    ]


def test_views_within_30_minutes_are_one_session(site, select):
    site.view(HOME)
    site.pass_time(30 * MINUTE)
    site.view(ABOUT)

    assert select("entry_page, exit_page, event_count", "sessions") == [(HOME, ABOUT, 2)]


def test_view_after_30_minutes_begins_a_session(site, select):
    site.view(HOME)
    site.pass_time(30 * MINUTE + 1)
    site.view(ABOUT)

    assert select(SPANS, "sessions", "started_at") == [(0, 0, 0), (30 * MINUTE + 1, None, None)]


def test_end_of_the_only_view_ends_the_session(site, select):
    view = site.view()
    site.pass_time(5_000)
    site.end(view, visible=4_000, scroll=50)

    assert select(SPANS + ", event_count", "sessions") == [(0, 5_000, 5_000, 1)]
    assert select("event_type", "events") == [("page_view",)]


def test_session_is_open_while_a_view_has_no_end(site, select):
    first = site.view(HOME)
    site.pass_time(1_000)
    site.view(ABOUT)
    site.pass_time(1_000)
    site.end(first, visible=900)

    assert select(SPANS, "sessions") == [(0, None, None)]


def test_later_end_of_a_view_moves_the_end(site, select):
    view = site.view()
    site.pass_time(1_000)
    site.end(view, visible=1_000)
    site.pass_time(9_000)
    site.end(view, visible=6_000)

    assert select(SPANS, "sessions") == [(0, 10_000, 10_000)]


def test_event_after_the_end_extends_the_session(site, select):
    site.end(site.view())
    site.pass_time(2_000)
    site.act("signup")

    assert select(SPANS + ", event_count", "sessions") == [(0, 2_000, 2_000, 2)]
    assert select("event_type, page_url", "events", "occurred_at") == [("page_view", HOME), ("signup", HOME)]


def test_end_without_a_view_is_dropped(site, select):
    site.end("unknown-view")

    assert select("count(*)", "sessions") == [(0,)]


def test_end_after_30_minutes_is_dropped(site, select):
    view = site.view()
    site.pass_time(30 * MINUTE + 1)
    site.end(view, visible=1_000)
    site.collector._tidy()

    assert select(SPANS, "sessions") == [(0, 0, 0)]


def test_session_without_an_end_ends_at_its_last_event(site, select):
    site.view(HOME)
    site.pass_time(MINUTE)
    site.view(ABOUT)
    site.pass_time(30 * MINUTE)
    site.collector._tidy()
    before = select(SPANS, "sessions")
    site.pass_time(1)
    site.collector._tidy()

    assert before == [(0, None, None)]
    assert select(SPANS, "sessions") == [(0, MINUTE, MINUTE)]
    assert select("count(*)", "collector_sessions") == [(0,)]


def test_long_session_remains_open(site, select):
    site.view(HOME)
    for _ in range(3):
        site.pass_time(20 * MINUTE)
        site.view(ABOUT)
        site.collector._tidy()

    assert select(SPANS, "sessions") == [(0, None, None)]
    assert select("page_views", "collector_sessions") == [(4,)]


def test_event_that_is_sent_again_counts_once(site, select):
    view = site.event("page_view")
    end = site.event("page_end", view=view["id"], visible=1_000, scroll=10)
    site.send(view, view)
    site.pass_time(2_000)
    site.send(view, end)
    site.pass_time(2_000)
    site.send(view, end)

    assert select("count(*)", "events") == [(1,)]
    assert select(SPANS + ", event_count", "sessions") == [(0, 2_000, 2_000, 1)]


def test_old_event_ids_are_deleted(site, select):
    site.view()
    site.pass_time(2 * 24 * 60 * MINUTE + 1)
    site.collector._tidy()

    assert select("count(*)", "collector_events") == [(0,)]


def test_at_orders_the_events_of_a_list(site, select):
    late, early = site.event("page_view", ABOUT), site.event("page_view", HOME)
    early["at"] -= 5_000
    site.send(late, early)

    assert select("entry_page, exit_page", "sessions") == [(HOME, ABOUT)]


def test_visible_time_counts_at_most_the_time_since_the_view(site, select):
    view = site.view()
    site.pass_time(18_000)
    site.end(view, visible=10**15)

    assert select("visible_ms", "collector_sessions") == [(18_000,)]
    assert select("engagement_score", "sessions") == [(4,)]


def test_visible_time_never_shrinks(site, select):
    view = site.view()
    site.pass_time(20_000)
    site.end(view, visible=10_000, scroll=80)
    site.end(view, visible=3_000, scroll=20)

    assert select("visible_ms, scroll", "collector_sessions") == [(10_000, 80)]


def test_session_without_a_view_has_no_pages(site, select):
    site.act("signup")

    assert select(SPANS + ", entry_page, exit_page, event_count", "sessions") == [(0, 0, 0, None, None, 1)]


def test_first_view_of_a_session_is_its_entry(site, select):
    site.act("signup")
    site.view(ABOUT)

    assert select("entry_page, exit_page", "sessions") == [(ABOUT, ABOUT)]


def test_visitors_differ_by_address_agent_and_stored_id(site, select):
    site.view()
    site.view(address="192.0.2.2")
    site.view(agent=BROWSER + " x")
    site.view(visitor="v" * 16)
    site.view(visitor="v" * 16, address="192.0.2.3")

    assert select("count(*), count(distinct visitor_id)", "sessions") == [(4, 4)]


def test_stored_visitor_id_cannot_be_claimed(site, select):
    site.view(visitor="v" * 16)
    [(visitor,)] = select("visitor_id", "sessions")
    site.view(visitor=visitor)

    assert select("count(distinct visitor_id)", "sessions") == [(2,)]


def test_daily_visitor_changes_at_the_sites_midnight(database, new_site, select):
    change_settings(database, time_zone="Asia/Kolkata")
    site = new_site(now=instant("2026-02-24 18:29:00"))
    view = site.view()
    site.pass_time(MINUTE)
    site.view(ABOUT)
    site.end(view)

    assert select("entry_page, ended_at - started_at, event_count", "sessions", "started_at") == [
        (HOME, MINUTE, 1),
        (ABOUT, None, 1),
    ]
    assert select("count(distinct visitor_id)", "sessions") == [(2,)]


def test_stored_visitor_stays_the_same_over_midnight(new_site, select):
    site = new_site(now=instant("2026-02-24 23:59:00"))
    site.view(visitor="v" * 16)
    site.pass_time(2 * MINUTE)
    site.view(ABOUT, visitor="v" * 16)

    assert select("event_count", "sessions") == [(2,)]


def test_salts_of_two_days_remain(site, select):
    for _ in range(3):
        site.view()
        site.pass_time(24 * 60 * MINUTE)

    assert select("day", "collector_salts") == [(20509,), (20510,)]


@pytest.mark.writes
def test_two_processes_share_visitors(new_site, select):
    one, other = new_site(), new_site()
    one.view(HOME)
    other.ids = one.ids
    other.view(ABOUT)

    assert select("event_count", "sessions") == [(2,)]


def test_referrer_of_the_site_is_not_a_source(site, select):
    site.view(referrer="https://blog.shop.example/post")

    assert select("referrer, referrer_domain", "sessions") == [(None, None)]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("query", "domain"),
    [
        ("utm_source=Newsletter", "newsletter"),
        ("utm_source=www.News.example", "news.example"),
        ("utm_source=", "search.example"),
        ("utm_source=a%00b%40c", "ab c"),
    ],
    ids=["name", "host", "empty", "control"],
)
def test_utm_source_takes_precedence_over_the_referrer(site, select, query, domain):
    site.view(f"{HOME}?{query}", referrer="https://search.example/")

    assert select("referrer_domain", "sessions") == [(domain,)]


@pytest.mark.any_engine
@pytest.mark.parametrize("referrer", ["", "not a url", "https://", "https://a b/", "\0", "\ud800"], ids=ascii)
def test_referrer_that_is_not_a_url_is_dropped(site, select, referrer):
    site.view(referrer=referrer)

    assert select("referrer, referrer_domain", "sessions") == [(None, None)]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("code", "country"), [("in", "IN"), ("XX", None), ("T1", None), ("1", None), ("é", None)], ids=ascii
)
def test_country_is_that_of_a_trusted_proxy(new_site, select, code, country):
    site = new_site(trusted_proxies=1)
    site.view(headers={"CF-IPCountry": code})

    assert select("country", "sessions") == [(country,)]


def test_country_header_of_a_client_is_ignored(site, select):
    site.view(headers={"CF-IPCountry": "IN"})

    assert select("country", "sessions") == [(None,)]


def test_address_is_set_by_the_outermost_trusted_proxy(new_site, select):
    site = new_site(trusted_proxies=2)
    site.view(headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.1, 10.0.0.1"})
    site.view(headers={"X-Forwarded-For": "198.51.100.1, 10.0.0.2"}, address="10.9.9.9")

    assert select("count(distinct visitor_id)", "sessions") == [(1,)]


def test_session_of_a_clock_that_was_ahead_gets_no_more_events(site, select):
    site.pass_time(60 * MINUTE)
    site.view(visitor="v" * 16)
    site.pass_time(-60 * MINUTE)
    site.view(visitor="v" * 16)
    site.view(ABOUT, visitor="v" * 16)

    assert select("started_at, ended_at, event_count", "sessions") == [
        (NOW, None, 2),
        (NOW + 60 * MINUTE, NOW + 60 * MINUTE, 1),
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize(("trusted", "shown"), [(0, 1), (2, 1), (1, 0)])
def test_address_of_an_untrusted_proxy_is_logged_once(new_site, caplog, trusted, shown):
    site = new_site(trusted_proxies=trusted)
    for address in ("127.0.0.1", "10.0.0.1", ""):
        site.view(headers={"X-Forwarded-For": "203.0.113.9"}, address=address)

    assert caplog.messages == shown * [
        "the number of addresses in X-Forwarded-For is 1, but ANALYTICS_TRUSTED_PROXIES or trusted_proxies is "
        f"{trusted}: all visitors with the same browser count as one"
    ]


@pytest.mark.any_engine
def test_forwarded_address_of_a_client_is_not_logged(site, caplog):
    site.view(headers={"X-Forwarded-For": "203.0.113.9"}, address="8.8.8.8")

    assert caplog.messages == []


def test_erased_visitor_is_forgotten_by_the_collector(database, site, select):
    view = site.view()
    site.lead({"email": "ann@shop.example"})
    [(visitor,)] = select("visitor_id", "sessions")
    erase(database, visitor=visitor)
    site.end(view)

    tables = ("sessions", "events", "leads", "collector_sessions", "collector_events", "collector_leads")
    assert [select("count(*)", table) for table in tables] == [[(0,)]] * 6


def test_purge_deletes_old_rows_of_the_collector(database, site, select):
    site.view()
    site.view(agent="curl/8")
    site.lead({"email": "ann@shop.example"})
    purge(database, date(2026, 2, 25))

    tables = ("salts", "sessions", "events", "machines", "leads")
    assert [select("count(*)", f"collector_{table}") for table in tables] == [[(0,)]] * 5
