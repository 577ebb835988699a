"""Accessibility by axe-core, widths, themes and the keyboard."""

import pytest
from helpers.browser import find_violations, open_page, serve, sign_in, start_session, wait_until_loaded
from helpers.client import KEY
from helpers.rows import insert, session
from helpers.sqlite import new_database_in

WIDTHS = {"phone": 320, "tablet": 768, "desktop": 1280}


@pytest.fixture
def url(server, demo_app):
    server.app = demo_app
    return server.url


@pytest.fixture
def resized(tab):
    """Return a function that gives the tab another size."""

    def resized(width, height=800):
        tab.set_viewport_size({"width": width, "height": height})
        return tab

    return resized


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_page_is_accessible_in_every_state(signed_out_tab, resized, url, width):
    page = resized(width)
    page.goto(url)
    page.wait_for_selector('html[data-state="signed-out"]')
    violations = {"form": find_violations(page)}
    sign_in(page, KEY)
    violations["figures"] = find_violations(page)
    page.click('[data-key="chart-toggle"]')
    page.click('[data-key="period"]')
    violations["table and menu"] = find_violations(page, "#chart", ".toolbar")
    page.keyboard.press("Escape")
    page.goto(f"{url}/?country=IN&source.not=bing.com&visitor=new&from=2025-12-20&to=2026-01-17")
    wait_until_loaded(page)
    filtered_width = page.evaluate("() => document.documentElement.scrollWidth")
    violations["filters"] = find_violations(page, ".toolbar")
    page.keyboard.press("f")
    page.wait_for_selector("dialog form")
    violations["new filter"] = find_violations(page, "dialog")
    page.goto(f"{url}/?pages=exit_pages&detail=sources")
    page.wait_for_selector("dialog .rows:not(.loading)")
    violations["list"] = find_violations(page, "dialog")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("dialog .shortcuts")
    violations["shortcuts"] = find_violations(page, "dialog")

    assert violations == {state: [] for state in violations}
    assert filtered_width <= width
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("hosts", [[], ["shop.example"]], ids=["inserts", "script"])
def test_first_visit_is_accessible(resized, server, url, tmp_path, hosts):
    with new_database_in(tmp_path) as database:
        server.app = serve(database, collect_hosts=hosts)
        page = resized(320)
        start_session(page, url)
        page.goto(url)
        page.wait_for_selector(".notice.first")
        violations = find_violations(page, "#notices")
        insert(database, "sessions", session(1, "2026-02-24"))
        page.wait_for_selector(".notice.arrived")
        violations += find_violations(page, "#notices")

    assert violations == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320


OBSERVE_SHIFTS = """() => {
  globalThis.seen = [];
  const nodes = entry => entry.sources.map(each => each.node?.id);
  const note = list => seen.push(...list.getEntries().flatMap(nodes));
  new PerformanceObserver(note).observe({type: "layout-shift", buffered: true});
}"""


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("path", ["", "conversions", "leads"])
def test_layout_does_not_jump(resized, url, path, width):
    page = resized(width)
    page.goto(f"{url}/{path}")
    page.wait_for_selector(":is(#chart .plot, #panel-conversions tbody tr, .leads .name a)")
    page.evaluate(OBSERVE_SHIFTS)
    page.wait_for_timeout(300)

    assert page.evaluate("() => seen") == []


def test_layout_does_not_jump_when_the_account_comes_last(tab, url):
    routes = []
    tab.route("**/analytics/whoami", lambda route: routes.append(route))
    tab.goto(f"{url}/")
    tab.wait_for_selector("#chart .plot")
    tab.evaluate(OBSERVE_SHIFTS)
    tab.wait_for_timeout(100)
    routes[0].continue_()
    tab.wait_for_selector("#menu a")
    tab.wait_for_selector("#demo")
    tab.wait_for_timeout(300)

    assert tab.evaluate("() => seen") == []


@pytest.mark.parametrize("width", [320, 641, 768, 865])
def test_menu_shows_every_page_whole(resized, url, width):
    page = open_page(resized(width), f"{url}/")
    page.wait_for_selector("#live:not([hidden])")

    assert page.evaluate("() => menu.scrollWidth - menu.clientWidth") == 0


def test_menu_stays_in_its_place_on_every_page(resized, url):
    page = resized(1440)

    def place_on(path):
        page.goto(f"{url}/{path}")
        page.wait_for_selector("#menu a")
        return page.locator("#menu").bounding_box()["x"]

    assert len({place_on(path) for path in ("", "conversions", "leads", "board")}) == 1


def test_dialog_darkens_the_whole_window(page):
    page.keyboard.press("?")
    page.wait_for_selector("dialog .shortcuts")

    assert page.evaluate("() => getComputedStyle(document.documentElement).overflow") == "hidden"
    assert page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor") != "rgba(0, 0, 0, 0)"


def test_theme_is_chosen_and_stays(page):
    page.click('[data-key="theme"]')
    page.click('.menu button:has-text("Dark")')
    page.reload()
    wait_until_loaded(page)

    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"


def test_wall_shows_one_part_at_a_time(resized, url):
    page = open_page(resized(1920, 1080), f"{url}/?wall")

    assert page.locator("#overview.shown, .panel.shown").count() == 1
    assert page.is_visible("#overview")
    assert not page.is_visible("#panel-sources")


def test_wall_shows_one_part_of_conversions(resized, url):
    page = open_page(resized(1920, 1080), f"{url}/conversions?wall")

    assert page.is_visible("#overview")
    assert not page.is_visible("#panel-conversions")


def test_page_is_used_by_keyboard_alone(signed_out_tab, url):
    page = signed_out_tab
    page.goto(url)
    page.wait_for_selector('html[data-state="signed-out"]')
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    wait_until_loaded(page)
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("() => document.activeElement.dataset.key ?? ''"))

    assert {"period", "copy-link", "metric-visitors", "chart", "chart-toggle"} <= set(stops)


def test_right_to_left_does_not_overflow(resized, url):
    page = open_page(resized(768), f"{url}/")
    page.evaluate("() => { document.documentElement.dir = 'rtl'; }")
    page.click('[data-key="metric-sessions"]')
    page.wait_for_timeout(100)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= 768
    assert page.is_visible("#chart svg")
    outside = """ticks => {
      const {left, right} = document.querySelector('#chart').getBoundingClientRect();
      return ticks.map((tick) => tick.getBoundingClientRect()).filter((tick) => tick.left < left || tick.right > right);
    }"""
    assert page.eval_on_selector_all("#chart .tick", outside) == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_conversions_are_accessible(resized, url, width):
    page = open_page(resized(width), f"{url}/conversions?country=IN&period=90d")
    page.wait_for_selector("#panel-conversions tbody tr")

    assert find_violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_tablet_shows_all_columns_of_conversions(resized, url):
    page = open_page(resized(768), f"{url}/conversions")
    page.wait_for_selector("#panel-conversions tbody tr")
    hidden = page.eval_on_selector_all(".scroll", "all => all.map(each => each.scrollWidth - each.clientWidth)")

    assert hidden == [0, 0]
