"""The script a.js on pages in Chromium: the events that it sends, and the rows that the collector stores."""

import json
import time
from contextlib import contextmanager

import pytest
from helpers.app_server import serving_app
from helpers.browser import PROGRAM, SHELL, figure, serve, sign_in, wait_until_loaded, wait_until_shown
from helpers.client import KEY, NOW
from helpers.collecting_browser import ARGUMENTS, Pages, opening_shop
from helpers.server import wait_for
from helpers.sqlite import new_database_in

from analytics_api.collector import create_collector


@pytest.fixture(scope="module")
def chromium(playwright):
    browser = playwright.chromium.launch(executable_path=SHELL, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def shop(chromium, tmp_path):
    with opening_shop(tmp_path, lambda: chromium.new_context(viewport={"width": 800, "height": 600})) as shop:
        yield shop


@pytest.fixture
def caching_shop(playwright, tmp_path):
    """Yield a shop in a Chromium with windows, because only such a Chromium has a back/forward cache."""
    options = ["--disable-back-forward-cache"]
    browser = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS, ignore_default_args=options)
    with opening_shop(tmp_path, browser.new_context) as shop:
        yield shop
    browser.close()


def test_page_load_is_a_view_with_its_referrer(shop):
    page = shop.context.new_page()
    page.goto(f"{shop.base}/?q=1#part", referer="https://search.example/find")

    shop.wait_for_views("/?q=1")
    assert shop.rows("referrer_domain, ended_at, event_count", "sessions") == [("search.example", None, 1)]
    assert page.evaluate("Object.keys(window).includes('analytics')")


def test_followed_links_are_views_of_one_session(shop):
    page = shop.open("/")
    shop.wait_for_views("/")
    page.goto(f"{shop.base}/about")
    shop.wait_for_views("/", "/about")
    page.close(run_before_unload=True)

    shop.wait_for_end()
    assert shop.rows("entry_page, exit_page, event_count", "sessions") == [(f"{shop.base}/", f"{shop.base}/about", 2)]


def test_page_end_has_visible_time_and_scroll_depth(shop):
    shop.pages.body = '<div style="height: 2400px"></div>'
    page = shop.open("/")
    shop.wait_for_views("/")
    page.evaluate("scrollTo(0, 600)")
    page.wait_for_timeout(700)
    page.close(run_before_unload=True)

    shop.wait_for_end()
    [(visible, scroll)] = shop.rows("visible_ms, scroll", "collector_sessions")
    assert 600 <= visible <= 10_000
    assert 45 <= scroll <= 55
    [(duration,)] = shop.rows("duration", "sessions")
    assert duration >= visible


HIDE = """(isHidden) => {
  Object.defineProperty(document, "hidden", {get: () => isHidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_hidden_time_is_not_visible_time(shop):
    opened_at = time.monotonic()
    page = shop.open("/")
    shop.wait_for_views("/")
    page.evaluate(HIDE, True)
    shop.wait_for_end()
    [(before,)] = shop.rows("visible_ms", "collector_sessions")
    page.wait_for_timeout(2_000)
    page.evaluate(HIDE, False)
    page.wait_for_timeout(300)
    page.close(run_before_unload=True)
    wait_for(lambda: shop.rows("visible_ms", "collector_sessions") != [(before,)])

    [(visible,)] = shop.rows("visible_ms", "collector_sessions")
    # The upper limit does not depend on `before`, which may be less than the time that the page had been visible: the
    # collector limits it to the time since the page view arrived.
    assert before + 250 <= visible <= 1_000 * (time.monotonic() - opened_at) - 2_000
    assert shop.views() == ["/"]
    assert shop.rows("count(*)", "sessions") == [(1,)]


def test_navigation_within_the_page_is_a_view(shop):
    page = shop.open("/")
    for script, paths in (
        ("history.pushState({}, '', '/a')", ["/", "/a"]),
        ("history.pushState({}, '', '/a')", ["/", "/a"]),
        ("history.pushState({}, '', '/a?page=2')", ["/", "/a", "/a?page=2"]),
        ("history.pushState({}, '', '/a?page=2#top')", ["/", "/a", "/a?page=2"]),
        ("history.replaceState({}, '', '/a?page=3')", ["/", "/a", "/a?page=2"]),
        ("history.replaceState({}, '', '/b?page=3')", ["/", "/a", "/a?page=2", "/b?page=3"]),
    ):
        page.evaluate(script)
        shop.wait_for_views(*paths)
    page.evaluate("history.go(-2)")
    shop.wait_for_views("/", "/a", "/a?page=2", "/b?page=3", "/a")
    page.evaluate("history.forward()")
    shop.wait_for_views("/", "/a", "/a?page=2", "/b?page=3", "/a", "/a?page=2")
    page.close(run_before_unload=True)

    shop.wait_for_end()
    assert shop.rows("count(*)", "sessions") == [(1,)]


def test_fragment_is_a_page_only_with_data_hash(shop):
    shop.pages.options("data-hash")
    page = shop.open("/#one")
    page.evaluate("location.hash = 'two'")

    shop.wait_for_views("/#one", "/#two")


def test_page_from_the_back_forward_cache_is_a_new_view(caching_shop):
    page = caching_shop.open("/")
    caching_shop.wait_for_views("/")
    page.evaluate("window.isSame = true")
    page.goto(f"{caching_shop.base}/about")
    caching_shop.wait_for_views("/", "/about")
    page.evaluate("history.back()")

    caching_shop.wait_for_views("/", "/about", "/")
    assert page.evaluate("window.isSame")


def test_two_tabs_are_one_session(shop):
    first = shop.open("/")
    shop.wait_for_views("/")
    second = shop.open("/about")
    shop.wait_for_views("/", "/about")
    first.close(run_before_unload=True)
    wait_for(lambda: shop.rows("count(*)", "collector_events where visible_ms is not null") == [(1,)])
    assert shop.rows("ended_at", "sessions") == [(None,)]
    second.close(run_before_unload=True)

    shop.wait_for_end()


def test_data_of_an_event_is_stored(shop):
    page = shop.open("/")
    page.evaluate("analytics('event', 'signup', {plan: 'pro'})")

    wait_for(lambda: shop.rows("count(*)", "events") == [(2,)])
    assert shop.rows("event_type, data", "events where event_type <> 'page_view'") == [("signup", '{"plan":"pro"}')]


def test_calls_before_the_script_are_queued(shop):
    shop.pages.head = (
        "<script>window.analytics = Object.assign((...call) => analytics.q.push(call), {q: []});"
        "analytics('event', 'early')</script>"
    )
    shop.open("/")

    wait_for(lambda: shop.rows("event_type", "events", "1") == [("early",), ("page_view",)])


STUB = "<script>window.analytics = Object.assign((...call) => analytics.q.push(call), {q: []});%s</script>"


# Invalid arguments of `analytics("event", …)`, and the name that the warning about them contains.
INVALID_EVENTS = {
    "'page_x'": "page_x",
    "'lead'": "lead",
    "''": "",
    "'n'.repeat(65)": "n" * 65,
    "'a\\nb'": "a\nb",
    "'\\ud800'": "\ud800",
    "'large', {text: 'y'.repeat(5000)}": "large",
    "'escaped', {text: 'é'.repeat(700)}": "escaped",
    "'list', [1]": "list",
    "'cycle', {self: window}": "cycle",
    "'bigint', {big: 1n}": "bigint",
}


def test_invalid_events_are_dropped_with_a_warning(shop):
    events = ["'first'", *INVALID_EVENTS, "'last'"]
    calls = [*(f"'event', {event}" for event in events), "'lead', {email: 'ann@shop.example'}, 'f'"]
    shop.pages.head = STUB % "".join(f"analytics({call});" for call in calls)
    warnings = []
    shop.context.on("console", lambda message: warnings.append(message.text))
    page = shop.open("/")

    expected = [("first",), ("last",), ("lead",), ("page_view",)]
    wait_for(lambda: shop.rows("event_type", "events") == expected)
    page.title()  # wait for Playwright's messages about the page
    assert shop.rows("contact_email", "leads") == [("ann@shop.example",)]
    assert warnings == [f"analytics ignores {name}" for name in INVALID_EVENTS.values()]


def test_valid_names_with_the_largest_data_are_stored(shop):
    names = ["leads", "my page_x", "n".ljust(64, "😀"), "👩🏽‍💻"]
    page = shop.open("/")
    page.evaluate("names => names.forEach((name) => analytics('event', name, {text: 'é'.repeat(680)}))", names)

    stored = "events where event_type <> 'page_view'"
    wait_for(lambda: shop.rows("event_type, length(data)", stored, "event_id") == [(name, 4091) for name in names])


def test_rejected_events_are_sent_again_one_by_one(shop):
    deep = "JSON.parse('['.repeat(1500) + ']'.repeat(1500))"  # the schema allows it, but the server does not
    calls = ("analytics('event', 'a')", f"analytics('event', 'deep', {{deep: {deep}}})", "analytics('event', 'b')")
    shop.pages.head = STUB % ";".join(calls)
    shop.open("/")

    wait_for(lambda: shop.rows("event_type", "events") == [("a",), ("b",), ("page_view",)])
    time.sleep(0.5)  # for a request too many
    assert shop.collector.requests == 5  # `a`, then `deep`, `b` and the page view in one list, then each of these alone


def test_events_with_other_letters_fit_into_requests(shop):
    page = shop.open("/")
    shop.wait_for_views("/")
    shop.context.set_offline(True)
    page.evaluate("for (let i = 0; i < 19; i++) analytics('event', 'x', {text: '漢'.repeat(600)})")
    shop.context.set_offline(False)

    wait_for(lambda: shop.rows("count(*)", "events") == [(20,)])


def test_lead_of_many_bytes_does_not_stop_the_queue(shop):
    page = shop.open("/")
    page.evaluate("analytics('lead', {text: 'é'.repeat(40000)}); analytics('event', 'x')")

    wait_for(lambda: shop.rows("event_type", "events") == [("page_view",), ("x",)])


@pytest.mark.parametrize(
    ("queue", "expected"),
    [("{}", ["late", "page_view"]), ("[1, ['event', 'early']]", ["early", "late", "page_view"])],
    ids=["object", "number"],
)
def test_view_counts_even_if_the_queue_is_invalid(shop, queue, expected):
    shop.pages.head = f"<script>window.analytics = Object.assign(() => 0, {{q: {queue}}})</script>"
    page = shop.open("/")
    page.evaluate("analytics('event', 'late')")

    wait_for(lambda: [row for (row,) in shop.rows("event_type", "events")] == expected)


def test_existing_global_analytics_is_not_replaced(shop):
    shop.pages.head = "<script>window.analytics = {track: 1}</script>"
    page = shop.open("/")

    shop.wait_for_views("/")
    assert page.evaluate("window.analytics") == {"track": 1}


def test_analytics_is_the_only_global(shop):
    page = shop.context.new_page()
    page.goto(f"{shop.pages.collector}/a.js")  # shown as text, not run
    before = page.evaluate("Object.getOwnPropertyNames(window)")
    page.goto(f"{shop.base}/")
    shop.wait_for_views("/")

    assert set(page.evaluate("Object.getOwnPropertyNames(window)")) - set(before) == {"analytics"}


def test_request_has_no_cookies_and_needs_no_preflight(shop):
    shop.context.add_cookies([{"name": "login", "value": "secret", "url": shop.pages.collector}])
    page = shop.context.new_page()
    with page.expect_request("**/collect") as request:
        page.goto(f"{shop.base}/")
    shop.wait_for_views("/")

    headers = request.value.all_headers()
    assert headers["content-type"].partition(";")[0] == "text/plain"
    assert "cookie" not in headers


def test_second_tag_does_nothing(shop):
    shop.pages.tag *= 2
    shop.open("/")

    shop.wait_for_views("/")


def test_async_tag_works_under_a_content_security_policy(shop):
    stats = shop.pages.collector
    shop.pages.tag = f'<script async src="{stats}/a.js"></script>'
    shop.pages.policy = f"default-src 'none'; script-src {stats}; connect-src {stats}"
    shop.open("/")

    shop.wait_for_views("/")


@pytest.mark.parametrize(
    ("options", "path", "is_counted"),
    [
        ('data-exclude="/admin/**, /x"', "/admin/a/b", False),
        ('data-exclude="/admin/*"', "/admin/a/b", True),
        ('data-include="/blog/*"', "/blog/post", True),
        ('data-include="/blog/*"', "/about", False),
        ('data-exclude="/über/*"', "/über/uns", False),
        ('data-exclude="/%C3%BCber/*"', "/über/uns", False),
        ('data-include="/blog/*,/блог/**"', "/блог/1/2", True),
    ],
    ids=["list", "segment", "included", "not-included", "letters", "encoded-letters", "included-letters"],
)
def test_paths_can_be_included_and_excluded(shop, options, path, is_counted):
    shop.pages.options(options)
    page = shop.open(path)
    page.evaluate("analytics('event', 'x')")
    page.wait_for_timeout(300)

    wait_for(lambda: shop.rows("count(*)", "events") == [(2 if is_counted else 0,)])


@pytest.mark.parametrize("signal", ["globalPrivacyControl: true", "doNotTrack: '1'"], ids=["gpc", "dnt"])
def test_nothing_is_sent_under_a_privacy_signal(shop, signal):
    name, _, value = signal.partition(": ")
    shop.context.add_init_script(f"Object.defineProperty(Navigator.prototype, '{name}', {{get: () => {value}}})")
    page = shop.open("/")
    page.evaluate("analytics('event', 'x')")
    page.wait_for_timeout(500)
    page.close(run_before_unload=True)

    assert shop.collector.requests == 0


def test_view_is_sent_if_do_not_track_is_ignored(shop):
    shop.context.add_init_script("Object.defineProperty(Navigator.prototype, 'doNotTrack', {get: () => '1'})")
    shop.pages.options("data-ignore-dnt")
    shop.open("/")

    shop.wait_for_views("/")


def test_global_privacy_control_cannot_be_ignored(shop):
    script = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    shop.context.add_init_script(script)
    shop.pages.options("data-ignore-dnt")
    page = shop.open("/")
    page.wait_for_timeout(500)

    assert shop.collector.requests == 0


def test_events_are_sent_to_data_api(shop):
    api = shop.pages.collector.replace("stats.example", "events.example") + "/collect"
    shop.pages.options(f'data-api="{api}"')
    urls = []
    shop.context.on("request", lambda request: urls.append(request.url))
    page = shop.open("/")

    shop.wait_for_views("/")
    page.title()  # wait for Playwright's messages about the requests
    assert [url for url in urls if url.endswith("/collect")] == [api]


def test_element_with_the_name_of_the_tag_gets_no_events(shop):
    api = shop.pages.collector.replace("stats.example", "other.example") + "/collect"
    shop.pages.head = f'<img name="currentScript" src="{api}" data-api="{api}">'
    page = shop.open("/")
    page.evaluate("window.analytics?.('event', 'x')")
    page.wait_for_timeout(300)

    assert shop.collector.requests == 0


def test_nothing_is_stored_under_daily_identity(shop):
    page = shop.open("/")
    shop.wait_for_views("/")

    assert shop.context.cookies() == []
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


def test_stored_identity_survives_the_page(shop):
    shop.pages.options('data-identity="storage"')
    page = shop.open("/")
    shop.wait_for_views("/")
    stored = page.evaluate("Object.values(localStorage)")
    page.goto(f"{shop.base}/about")
    shop.wait_for_views("/", "/about")

    assert len(stored) == 1
    assert page.evaluate("Object.values(localStorage)") == stored
    assert stored[0] not in json.dumps(shop.rows("visitor_id", "sessions"))
    assert shop.rows("count(*)", "sessions") == [(1,)]


def open_with_clock(shop):
    """Open a page whose clock the test moves forward. Return it after the collector has answered."""
    shop.context.clock.install()
    with shop.context.expect_event("response", lambda response: response.url.endswith("/collect")):
        return shop.open("/")


@pytest.mark.parametrize("status", [429, 503])
def test_events_are_sent_again_after_a_fault(shop, status):
    shop.collector.status = status
    page = open_with_clock(shop)
    page.evaluate("analytics('event', 'x')")
    shop.collector.status = None
    page.clock.run_for(10_000)

    wait_for(lambda: shop.rows("event_type", "events", "event_id") == [("page_view",), ("x",)])


@pytest.mark.parametrize("status", [403, 451])
def test_rejected_events_are_not_sent_again(shop, status):
    shop.collector.status = status
    page = open_with_clock(shop)
    page.clock.run_for(10_000)
    page.wait_for_timeout(300)

    assert shop.collector.requests == 1


def test_events_wait_until_the_browser_is_online(shop):
    page = shop.open("/")
    shop.wait_for_views("/")
    shop.context.set_offline(True)
    page.evaluate("analytics('event', 'x')")
    page.wait_for_timeout(300)
    shop.context.set_offline(False)

    wait_for(lambda: shop.rows("count(*)", "events") == [(2,)])


def test_outbound_links_and_downloads_are_events(shop):
    shop.pages.options("data-outbound data-downloads")
    shop.pages.body = '<a id="a" href="http://other.example/">x</a> <a id="b" href="/list.pdf" download>y</a>'
    page = shop.open("/")
    page.click("#b")
    page.evaluate("document.addEventListener('click', (event) => event.preventDefault())")
    page.click("#a")

    wait_for(lambda: shop.rows("count(*)", "events") == [(3,)])
    assert shop.rows("event_type, data", "events where event_type <> 'page_view'", "event_id") == [
        ("download", json.dumps({"url": f"{shop.base}/list.pdf"}, separators=(",", ":"))),
        ("outbound", '{"url":"http://other.example/"}'),
    ]


def test_link_is_followed_by_the_left_and_the_middle_button(shop):
    shop.pages.options('data-outbound data-downloads=".pdf, .zip"')
    shop.pages.body = '<a id="a" href="http://other.example/">x</a> <a id="b" href="/list.zip" download>y</a>'
    page = shop.open("/")
    page.evaluate("document.addEventListener('auxclick', (event) => event.preventDefault())")
    for button in ("right", "middle"):
        page.click("#a", button=button)
    page.click("#b")

    wait_for(lambda: shop.rows("count(*)", "events where event_type = 'download'") == [(1,)])
    assert shop.rows("event_type", "events where event_type = 'outbound'") == [("outbound",)]


def test_localhost_counts_only_with_data_local(shop, chromium):
    warnings = []
    shop.context.on("console", lambda message: message.type == "warning" and warnings.append(message.text))
    page = shop.context.new_page()
    page.goto(shop.base.replace("shop.example", "localhost"))
    page.wait_for_timeout(300)
    assert shop.collector.requests == 0
    assert warnings == ["analytics needs data-local"]

    shop.pages.options("data-local")
    page.goto(shop.base.replace("shop.example", "localhost"))
    wait_for(lambda: shop.collector.requests == 1)
    assert len(warnings) == 1


FORM = """
<form data-analytics-lead="hero-form" action="/thanks">
  <input name="name" value="Ann Lee"><input name="email" value="ann@shop.example">
  <input name="secret" type="password" value="hush"><input name="card" autocomplete="cc-number" value="4111">
  <input name="pin" autocomplete="new-password" value="99"><input name="off" value="x" disabled>
  <input name="news" type="checkbox" checked><input name="other" type="checkbox">
  <select name="project"><option>Villa</option></select>
  <button name="send" value="now">Send</button>
</form>
"""


def test_form_is_a_lead_of_its_session(shop):
    shop.pages.body = FORM
    page = shop.open("/")
    shop.wait_for_views("/")
    page.click("button")

    wait_for(lambda: shop.rows("count(*)", "leads") == [(1,)])
    shop.wait_for_views(
        "/", "/thanks?name=Ann+Lee&email=ann%40shop.example&secret=hush&card=4111&pin=99&news=on&project=Villa&send=now"
    )
    [(session, _)] = shop.rows("session_id, event_count", "sessions")
    assert shop.rows("contact_name, contact_email, project_name, session_id", "leads") == [
        ("Ann Lee", "ann@shop.example", "Villa", session)
    ]
    [(payload, form)] = shop.rows("payload_json, cta_name", "lead_submissions")
    assert json.loads(payload) == {"name": "Ann Lee", "email": "ann@shop.example", "news": "on", "project": "Villa"}
    assert form == "hero-form"


CHOICES = """
<form data-analytics-lead="choices" method="post" action="/thanks">
  <input name="email" value=""><input name="email" value="ann@shop.example">
  <input name="rooms" type="checkbox" value="2" checked><input name="rooms" type="checkbox" value="3" checked>
  <input name="rooms" type="checkbox" value="4">
  <input name="towns" type="hidden" value="">
  <select name="towns" multiple>
    <option selected>Pune</option><option>Goa</option><option selected>Bonn</option>
  </select>
  <input name="pin" type="password" value="1"><input name="pin" type="password" value="2">
  <input name="note" value=""><input name="constructor" value="Bob">
  <button>Send</button>
</form>
"""


def test_form_sends_all_values_of_a_name(shop):
    shop.pages.body = CHOICES
    page = shop.open("/")
    page.click("button")

    wait_for(lambda: shop.rows("contact_email", "leads") == [("ann@shop.example",)])
    [(payload,)] = shop.rows("payload_json", "lead_submissions")
    assert json.loads(payload) == {
        "email": "ann@shop.example",
        "rooms": "2, 3",
        "towns": "Pune, Bonn",
        "note": "",
        "constructor": "Bob",
    }


def test_form_under_a_privacy_signal_is_anonymous(shop):
    shop.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    )
    shop.pages.options('data-identity="storage"')
    page = shop.open("/")
    page.evaluate("analytics('lead', {email: 'ann@shop.example'}, 'footer')")

    wait_for(lambda: shop.rows("count(*)", "leads") == [(1,)])
    assert shop.rows("contact_email, visitor_id, session_id", "leads") == [("ann@shop.example", None, None)]
    assert shop.rows("count(*)", "sessions") == [(0,)]
    assert page.evaluate("localStorage.length") == 0


@contextmanager
def serving_stats_and_site(tmp_path, host):
    """Serve the statistics page and the collector, and a site with this host. Yield both URLs, and the site's pages."""
    with new_database_in(tmp_path) as database:
        collector = create_collector(database, hosts=[host], clock=lambda: NOW)
        pages = Pages("")
        with (
            serving_app(serve(database, collector=collector, collect_hosts=[host])) as stats,
            serving_app(pages) as site,
        ):
            yield stats, f"http://{host}:{site.rpartition(':')[2]}/", pages
        collector.close()


def test_statistics_page_shows_the_tag_and_the_first_visit(chromium, tmp_path):
    with (
        serving_stats_and_site(tmp_path, "shop.example") as (stats, site, pages),
        chromium.new_context(permissions=["clipboard-read", "clipboard-write"]) as context,
    ):
        page = context.new_page()
        page.clock.install()
        page.goto(stats)
        sign_in(page, KEY)
        title = page.inner_text(".notice h2")
        pages.tag = page.inner_text(".notice pre")
        page.click("text=Copy the line")
        wait_until_shown(page, "button:has-text('Copied')")
        copied = page.evaluate("navigator.clipboard.readText()")
        context.new_page().goto(site)
        page.bring_to_front()
        page.clock.fast_forward(5000)
        wait_until_shown(page, ".notice.arrived h2:has-text('Your first visit has arrived')")
        wait_until_loaded(page)
        visitors = figure(page, "visitors")
        page.click("text=Hide")
        page.reload()
        wait_until_loaded(page)
        notices = page.query_selector_all(".notice")

    assert (title, visitors, notices) == ("Send your first visit", "1", [])
    assert pages.tag == copied == f'<script defer src="{stats}/a.js"></script>'


@pytest.mark.clock
def test_statistics_page_reports_that_only_machines_came(tmp_path, signed_out_tab):
    page = signed_out_tab  # Playwright controls it, and the script says so
    with serving_stats_and_site(tmp_path, "localhost") as (stats, site, pages):
        pages.tag = f'<script defer src="{stats}/a.js" data-local></script>'
        page.goto(stats)
        sign_in(page, KEY)
        before = page.inner_text(".notice .machines")
        page.context.new_page().goto(site)
        page.bring_to_front()
        page.clock.fast_forward(5000)
        wait_until_shown(page, ".notice .machines:has-text('arrived today: 1. They do not count')")
        title = page.inner_text(".notice h2")

    assert before == ""
    assert title == "Send your first visit"


def test_tag_for_localhost_has_data_local(server, tmp_path, signed_out_tab):
    page, stats = signed_out_tab, server.url
    with new_database_in(tmp_path) as database:
        server.app = serve(database, collect_hosts=["localhost"])
        page.goto(stats)
        sign_in(page, KEY)

        assert page.inner_text(".notice pre") == f'<script defer src="{stats}/a.js" data-local></script>'
