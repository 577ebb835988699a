"""Empty, failing and hostile data on the statistics page."""

import pytest
from helpers.browser import (
    figure,
    open_page,
    rows,
    serve,
    start_session,
    wait_until_gone,
    wait_until_loaded,
    wait_until_shown,
)
from helpers.client import NOW
from helpers.rows import insert, session
from helpers.sqlite import new_database_in


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "empty").mkdir()
    with new_database_in(tmp_path / "empty") as database:
        yield database


def open_empty(tab, server, empty, path=""):
    """Open a page for the empty database."""
    server.app = serve(empty)
    start_session(tab, server.url)
    return open_page(tab, f"{server.url}/{path}")


def test_empty_table_shows_how_to_send_a_visit(tab, server, empty):
    page = open_empty(tab, server, empty)

    assert page.inner_text(".notice h2") == "No visits yet"
    assert page.inner_text(".notice pre >> nth=0") == 'ANALYTICS_COLLECT_HOSTS="example.com" analytics-api serve'
    assert "insert into sessions" in page.inner_text(".notice pre >> nth=1")


@pytest.mark.clock
def test_example_of_the_empty_table_is_counted(tab, server, empty):
    page = open_empty(tab, server, empty)
    statement = page.inner_text(".notice pre >> nth=1")

    empty.write(lambda at: at.execute(statement))
    page.clock.fast_forward(5000)

    wait_until_shown(page, ".notice.arrived h2:has-text('Your first visit has arrived')")
    assert empty.tuples("select count(*) from sessions") == [(1,)]


def test_empty_range_shows_a_notice(tab, url):
    tab.goto(f"{url}/?from=2025-01-01&to=2025-01-02")
    wait_until_loaded(tab)

    assert tab.inner_text(".notice h2") == "No visits in these days"


@pytest.mark.parametrize(
    ("address", "days"),
    [
        ("?from=2026-13-01&to=x", "Last 30 days"),
        ("?from=2026-02-20&to=2026-02-01", "Last 30 days"),
        ("?period=foo", "Last 30 days"),
        ("?from=2026-02-01&to=2026-02-02&compare=foo", "Feb 1 – 2, 2026"),
        ("conversions?from=2026-02-01", "Last 30 days"),
    ],
    ids=["days", "order", "period", "comparison", "conversions"],
)
def test_invalid_range_in_the_address_shows_a_notice(tab, url, address, days):
    page = open_page(tab, f"{url}/{address}")

    assert page.inner_text(".notice h2") == "The range or the comparison in the address is not valid"
    assert page.inner_text(".notice p") == f"The figures below are those of: {days}."
    page.keyboard.press("d")
    wait_until_gone(page, ".notice:has-text('not valid')")


def test_failure_is_reported_and_retried(page, shop):
    page.context.set_offline(True)
    page.keyboard.press("d")
    wait_until_shown(page, ".problem:has-text('The figures below are those of: Last 30 days.')")
    before = figure(page, "sessions")
    page.context.set_offline(False)
    wait_until_gone(page, ".problem")
    wait_until_loaded(page)

    assert (before, figure(page, "sessions")) == ("4", "2")


def test_figures_stay_while_the_browser_is_offline(page):
    page.context.set_offline(True)
    wait_until_shown(page, ".problem:has-text('were loaded earlier')")
    is_visible = page.is_visible("#overview")
    page.context.set_offline(False)
    wait_until_gone(page, ".problem")

    assert is_visible


def test_unavailable_database_is_reported(page, shop):
    page.route("**/analytics/current", lambda route: None)  # otherwise, the page tries again when this responds
    shop.write(lambda at: at.execute("alter table site rename to away"))
    page.keyboard.press("d")

    wait_until_shown(page, ".problem:has-text('database does not answer')")
    shop.write(lambda at: at.execute("alter table away rename to site"))
    page.click(".problem button")
    wait_until_gone(page, ".problem")


@pytest.mark.clock
def test_refresh_does_not_close_an_open_menu(tab, url):
    open_page(tab, f"{url}/")
    requests = []
    tab.route("**/analytics/dashboard?*", lambda route: requests.append(route))
    tab.clock.fast_forward(60_000)
    while not requests:
        tab.wait_for_timeout(10)
    tab.click('[data-key="period"]')
    with tab.expect_response("**/analytics/dashboard?*"):
        requests[0].continue_()
    tab.wait_for_timeout(200)  # time for the figures that must not appear

    assert tab.is_visible(".menu:has-text('This year')")


@pytest.mark.clock
def test_refresh_shows_the_chosen_days_below_an_open_menu(tab, url):
    open_page(tab, f"{url}/")
    requests = []
    tab.route("**/analytics/dashboard?*", lambda route: requests.append(route))
    tab.keyboard.press("d")
    tab.clock.fast_forward(60_000)
    while len(requests) < 2:
        tab.wait_for_timeout(10)
    tab.click('[data-key="period"]')
    requests[1].continue_()

    wait_until_shown(tab, '[data-key="metric-sessions"] .value:has-text("2")')


@pytest.mark.clock
def test_conversions_are_loaded_again_after_a_failure(tab, url):
    tab.route("**/analytics/pipeline?*", lambda route: route.abort())
    tab.goto(f"{url}/conversions")
    wait_until_shown(tab, ".problem:has-text('The server does not answer')")
    tab.unroute_all()
    tab.clock.fast_forward(60_000)

    wait_until_gone(tab, ".problem")
    wait_until_shown(tab, "#panel-pipeline tbody tr")


def test_error_of_other_days_disappears_after_going_back(tab, url):
    open_page(tab, f"{url}/conversions")
    tab.route("**/analytics/pipeline?days=1", lambda route: route.abort())
    tab.keyboard.press("d")
    wait_until_shown(tab, ".problem")
    tab.go_back()

    wait_until_gone(tab, ".problem")


@pytest.mark.clock
def test_refresh_after_midnight_shows_the_new_day(tab, shop, server, url):
    open_page(tab, f"{url}/?period=yesterday")
    before = figure(tab, "sessions")
    server.app = serve(shop, now=NOW + 86_400_000)
    tab.clock.fast_forward(60_000)
    wait_until_shown(tab, '[data-key="metric-sessions"] .value:has-text("2")')

    assert before == "1"


def test_interval_that_is_too_short_is_replaced_by_a_click(tab, url):
    tab.goto(f"{url}/?from=2025-01-01&to=2026-02-24&interval=hour&compare=off")
    wait_until_shown(tab, ".problem:has-text('interval must be day or longer')")
    tab.click("text=With longer intervals")
    wait_until_loaded(tab)

    assert tab.url == f"{url}/?from=2025-01-01&to=2026-02-24&compare=off"


def test_error_without_a_text_names_its_status(page):
    page.route("**/analytics/dashboard?*", lambda route: route.fulfill(status=499, body=""))
    page.keyboard.press("d")

    wait_until_shown(page, ".problem:has-text('The server answered with status 499')")


@pytest.mark.parametrize(
    ("path", "request_path"),
    [("", "dashboard?*"), ("conversions", "pipeline?*"), ("leads", "leads?*"), ("board", "board?*")],
    ids=["statistics", "conversions", "leads", "board"],
)
def test_response_that_is_not_json_shows_an_error(tab, url, path, request_path):
    tab.route(f"**/analytics/{request_path}", lambda route: route.fulfill(body="<html>Log in to the network</html>"))
    tab.goto(f"{url}/{path}")
    wait_until_shown(tab, ".problem:has-text('The server does not answer.')")
    tab.unroute_all()
    tab.click(".problem button")
    wait_until_shown(tab, 'html[data-state="ready"]:not(.busy)')

    assert not tab.is_visible(".problem")


@pytest.mark.parametrize(
    ("path", "request_path"),
    [("", "whoami"), ("conversions", "whoami"), ("leads", "whoami"), ("board", "site")],
    ids=["statistics", "conversions", "leads", "board"],
)
def test_page_is_started_again_after_an_error_of_its_account(tab, url, path, request_path):
    tab.route(f"**/analytics/{request_path}", lambda route: route.fulfill(status=503, body=""))
    tab.goto(f"{url}/{path}")
    wait_until_shown(tab, ".problem")
    tab.unroute_all()
    tab.click(".problem button")

    wait_until_shown(tab, "#menu a")
    wait_until_shown(tab, 'html[data-state="ready"]:not(.busy)')
    assert not tab.is_visible(".problem")


@pytest.mark.parametrize("path", ["leads", "board"])
def test_signed_out_page_does_not_look_busy(tab, url, path):
    open_page(tab, f"{url}/{path}")
    tab.route(f"**/analytics/{path}?*", lambda route: None)
    tab.route("**/analytics/leads/facets?*", lambda route: route.fulfill(status=401, body=""))
    tab.fill(".search", "Ann")
    wait_until_shown(tab, 'html[data-state="signed-out"]')

    assert tab.evaluate("() => document.documentElement.className") == ""


@pytest.mark.clock
def test_menu_appears_after_an_error_of_the_account(tab, url):
    routes = []
    tab.route("**/analytics/whoami", lambda route: routes.append(route))
    tab.route("**/analytics/dashboard?*", lambda route: (routes[0].fulfill(status=503, body=""), route.continue_()))
    tab.goto(f"{url}/")
    wait_until_shown(tab, ".problem")
    tab.unroute_all()
    tab.clock.fast_forward(60_000)

    wait_until_shown(tab, "#menu a")


def test_former_figures_are_dimmed_while_others_load(page):
    page.route("**/analytics/dashboard?*", lambda route: None)
    page.keyboard.press("d")

    # Without `polling`, the function is called before each animation frame, and a busy machine may draw none.
    page.wait_for_function("() => getComputedStyle(document.querySelector('#overview')).opacity === '0.5'", polling=50)


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "https://evil.example/\u202egpj.exe",
    "https://long.example/" + "x" * 10_000,
    "https://nothing.example/\0",
    "https://emoji.example/👩🏽‍💻",
    'https://quotes.example/"><script>alert(1)</script>',
)


def test_hostile_texts_are_shown_as_text(tab, server, empty):
    insert(
        empty,
        "sessions",
        *(
            session(n, "2026-02-24", entry_page=page, referrer_domain=None, country="<b>")
            for n, page in enumerate(HOSTILE)
        ),
    )
    page = open_empty(tab, server, empty, "?pages=entry_pages")

    names = [name for name, _ in rows(page, "pages")]
    links = page.eval_on_selector_all("#panel-pages .out", "all => all.map(each => each.href)")
    width = page.evaluate("() => document.documentElement.scrollWidth")

    assert len(names) == len(HOSTILE)
    assert "<img src=x onerror=alert(1)>" in names
    assert not any("\u202e" in name for name in names)
    assert max(map(len, names)) <= 301
    assert len(links) == 5
    assert all(link.startswith("https://") for link in links)
    assert width <= 1280
