"""Visits that are harder to record: hidden and prerendered pages, other origins, and an unreachable server."""

import time

import pytest
from helpers.app_server import serving_app
from helpers.browser import SHELL, require_chromium
from helpers.collecting_browser import ARGUMENTS, opening_shop, running_chromium
from helpers.server import wait_for


@pytest.fixture
def plain_shop(tmp_path):
    require_chromium()
    with opening_shop(tmp_path) as shop:
        yield shop


@pytest.fixture
def shop(playwright, tmp_path):
    browser = playwright.chromium.launch(executable_path=SHELL, args=ARGUMENTS)
    with opening_shop(tmp_path, browser.new_context) as shop:
        yield shop
    browser.close()


BACKGROUND = """<script>
if (location.pathname == "/start") {
  document.onvisibilitychange = () => document.hidden && location.replace("/late");
  onload = () => open("/front");  // hides this tab
}
if (location.pathname == "/front") fetch("/wait").then(() => close());
</script>"""


def test_page_in_a_background_tab_counts_when_shown(plain_shop, tmp_path):
    plain_shop.pages.body = BACKGROUND
    with running_chromium(tmp_path, f"{plain_shop.base}/start"):
        wait_for(lambda: ("/late", None) in plain_shop.pages.requests)
        wait_for(lambda: len(plain_shop.views()) >= 2)
        time.sleep(0.5)  # time for a view of the hidden page, which must not arrive
        before = plain_shop.views()
        plain_shop.pages.release.set()
        wait_for(lambda: "/late" in plain_shop.views())

    assert sorted(before) == ["/front", "/start"]  # the tabs send theirs at the same time


PRERENDER = """<script type="speculationrules">{"prerender": [{"urls": ["/next"], "eagerness": "immediate"}]}</script>
<script>location.pathname == "/start" && fetch("/wait").then(() => location = "/next")</script>"""


def test_prerendered_page_counts_when_shown(plain_shop, tmp_path):
    plain_shop.pages.body = PRERENDER
    with running_chromium(tmp_path, f"{plain_shop.base}/start"):
        wait_for(lambda: ("/next", "prefetch;prerender") in plain_shop.pages.requests)
        plain_shop.wait_for_views("/start")
        time.sleep(0.5)  # time for a view of the prerendered page, which must not arrive
        before = plain_shop.views()
        plain_shop.pages.body = ""
        plain_shop.pages.release.set()
        plain_shop.wait_for_views("/start", "/next")

    assert before == ["/start"]
    assert ("/next", None) not in plain_shop.pages.requests  # the browser showed the page that it had prerendered
    assert plain_shop.rows("count(*)", "collector_machines") == [(0,)]


ROUTER = """<button id="list">List</button> <button id="item">Item</button> <h1></h1>
<script>
const draw = () => document.querySelector("h1").textContent = location.pathname;
const go = (path) => { history.pushState({}, "", path); draw(); };
document.querySelector("#list").onclick = () => go("/list");
document.querySelector("#item").onclick = () => go("/list/7?tab=a");
onpopstate = draw;
</script>"""


def test_single_page_application_of_another_origin(shop):
    other = shop.base.replace("shop.example", "app.shop.example")
    shop.pages.body = f'<a id="app" href="{other}/">App</a>{ROUTER}'
    page = shop.open("/")
    shop.wait_for_views("/")
    page.click("#app")
    paths = ["/", f"{other}/"]
    shop.wait_for_views(*paths)
    for move, path in (
        (lambda: page.click("#list"), "/list"),
        (lambda: page.click("#item"), "/list/7?tab=a"),
        (page.go_back, "/list"),
        (page.reload, "/list"),
        (page.go_forward, "/list/7?tab=a"),
    ):
        move()
        paths.append(other + path)
        shop.wait_for_views(*paths)
    page.close(run_before_unload=True)

    shop.wait_for_end()
    assert shop.rows("entry_page, exit_page, event_count, referrer_domain", "sessions") == [
        (f"{shop.base}/", f"{other}/list/7?tab=a", 7, None)
    ]
    assert shop.rows("count(*)", "collector_events where is_view = 1 and visible_ms is null") == [(0,)]


def test_events_wait_while_the_server_is_down(shop):
    with serving_app(shop.collector) as stats:
        port = int(stats.rpartition(":")[2])
        shop.pages.collector = f"http://stats.example:{port}"
        shop.pages.options("")
        page = shop.open("/")
        shop.wait_for_views("/")
    page.evaluate("analytics('event', 'x')")
    page.wait_for_timeout(500)
    assert shop.rows("count(*)", "events") == [(1,)]
    with serving_app(shop.collector, port):
        wait_for(lambda: shop.rows("event_type", "events", "event_id") == [("page_view",), ("x",)])
