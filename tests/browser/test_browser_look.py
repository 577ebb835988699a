"""Accessibility by axe-core, widths, themes and the keyboard."""

import pytest
from helpers.browser import (
    WIDTHS,
    find_violations,
    follow,
    open_page,
    resize,
    serve,
    sign_in,
    start_session,
    wait_until_gone,
    wait_until_loaded,
    wait_until_shown,
)
from helpers.client import KEY, NOW
from helpers.rows import insert, session
from helpers.sqlite import new_database_in


@pytest.fixture
def url(server, demo_app):
    server.app = demo_app
    return server.url


@pytest.fixture
def resized(tab):
    """Return a function that gives the tab another size."""

    def resized(width, height=800):
        resize(tab, width, height)
        return tab

    return resized


def test_page_is_accessible_in_every_state(url, signed_out_tab):
    page = signed_out_tab
    page.goto(f"{url}/?country=IN&source.not=bing.com&visitor=new&from=2025-12-20&to=2026-01-17")
    wait_until_shown(page, "#key:focus")
    violations = {"form": find_violations(page)}
    sign_in(page, KEY)
    violations["figures and filters"] = find_violations(page)
    page.click('[data-key="chart-toggle"]')
    page.click('[data-key="period"]')
    violations["table and menu"] = find_violations(page, "#chart", ".toolbar")
    page.click('[data-key="period"]')
    page.click('[data-key="add-filter"]')
    wait_until_shown(page, "dialog form")
    violations["new filter"] = find_violations(page, "dialog")
    page.click("dialog header button")
    wait_until_gone(page, "dialog")
    page.click('[data-key="detail-sources"]')
    wait_until_shown(page, "dialog .rows:not(.loading) li")
    violations["list"] = find_violations(page, "dialog")
    page.click("dialog header button")
    wait_until_gone(page, "dialog")
    page.keyboard.press("?")
    wait_until_shown(page, "dialog .shortcuts")
    violations["shortcuts"] = find_violations(page, "dialog")

    assert violations == {state: [] for state in violations}


@pytest.mark.clock
@pytest.mark.parametrize("hosts", [[], ["shop.example"]], ids=["inserts", "script"])
def test_first_visit_is_accessible(tab, server, tmp_path, hosts):
    with new_database_in(tmp_path) as database:
        server.app = serve(database, collect_hosts=hosts)
        start_session(tab, server.url)
        tab.goto(server.url)
        wait_until_shown(tab, ".notice.first")
        violations = find_violations(tab, "#notices", widths=[320])
        insert(database, "sessions", session(1, "2026-02-24"))
        tab.clock.fast_forward(5000)
        wait_until_shown(tab, ".notice.arrived")
        violations += find_violations(tab, "#notices", widths=[320])

    assert violations == []


OBSERVE_SHIFTS = """() => {
  globalThis.seen = [];
  const nodes = entry => entry.sources.map(each => each.node?.id);
  const note = list => seen.push(...list.getEntries().flatMap(nodes));
  new PerformanceObserver(note).observe({type: "layout-shift", buffered: true});
}"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", ["", "conversions", "leads"])
def test_layout_does_not_jump(resized, url, path, width):
    page = resized(width)
    page.goto(f"{url}/{path}")
    wait_until_shown(page, ":is(#chart .plot, #panel-conversions tbody tr, .leads .name a)")
    page.evaluate(OBSERVE_SHIFTS)
    page.wait_for_timeout(300)

    assert page.evaluate("() => seen") == []


def test_layout_does_not_jump_when_the_account_comes_last(tab, url):
    routes = []
    tab.route("**/analytics/whoami", lambda route: routes.append(route))
    tab.goto(f"{url}/")
    wait_until_shown(tab, "#chart .plot")
    tab.evaluate(OBSERVE_SHIFTS)
    tab.wait_for_timeout(100)
    routes[0].continue_()
    wait_until_shown(tab, "#menu a")
    wait_until_shown(tab, "#demo")
    tab.wait_for_timeout(300)

    assert tab.evaluate("() => seen") == []


def test_menu_fits_every_screen_width(resized, url):
    page = open_page(resized(320), f"{url}/")
    wait_until_shown(page, "#live:not([hidden])")
    wait_until_shown(page, "#menu a")
    hidden = {}
    for width in (320, 641, 768, 865):
        resized(width)
        hidden[width] = page.evaluate("() => menu.scrollWidth - menu.clientWidth")

    assert hidden == dict.fromkeys(hidden, 0)


def test_every_page_has_the_same_menu_and_the_mark_of_a_demo(resized, url):
    page = resized(1440)
    places, marks = set(), []
    for path in ("", "conversions", "leads", "board"):
        page.goto(f"{url}/{path}")
        wait_until_shown(page, "#menu a")
        places.add(page.locator("#menu").bounding_box()["x"])
        marks.append(page.inner_text("#demo:not([hidden])"))

    assert len(places) == 1
    assert marks == ["Demo data"] * 4


def test_long_filter_can_be_removed_in_a_narrow_window(resized, url):
    page = open_page(resized(320), f"{url}/?page=https://shop.example/{'x' * 1900}")

    assert page.locator(".chip-close").bounding_box()["x"] < 300


def test_list_in_a_dialog_can_be_searched_in_a_narrow_window(resized, url):
    page = open_page(resized(320), f"{url}/?detail=pages")
    wait_until_shown(page, "dialog .rows a")

    assert page.locator("dialog input").bounding_box()["width"] > 100


def test_printed_page_ends_with_its_last_panel(resized, url):
    page = open_page(resized(718), f"{url}/")
    page.emulate_media(media="print")

    panel = page.locator("#panel-engagement").bounding_box()
    assert page.evaluate("() => document.documentElement.scrollHeight") < panel["y"] + panel["height"] + 32


def test_printed_notice_has_no_button(resized, url):
    page = open_page(resized(718), f"{url}/")
    page.context.set_offline(True)
    wait_until_shown(page, ".problem button")
    page.emulate_media(media="print")

    assert page.is_visible(".problem h2")
    assert not page.is_visible(".problem button")


def test_printed_names_of_conversions_are_not_broken(resized, url):
    page = open_page(resized(718), f"{url}/conversions")
    page.emulate_media(media="print")
    count_lines = "names => names.map(name => [name.textContent, name.getClientRects().length])"
    names = page.eval_on_selector_all("#panel-conversions .name bdi", count_lines)

    assert ("google.com", 1) in map(tuple, names)
    assert max(lines for name, lines in names if len(name) < 16) == 1


def test_list_in_a_dialog_is_printed_completely(resized, url):
    page = open_page(resized(718), f"{url}/?detail=pages")
    wait_until_shown(page, "dialog .rows li:nth-child(100)")
    page.emulate_media(media="print")

    assert page.eval_on_selector("dialog h2", "title => title.getBoundingClientRect().top") >= 0
    assert (
        page.eval_on_selector("dialog", "dialog => dialog.offsetHeight - dialog.querySelector('ol').offsetHeight") > 0
    )
    assert not page.is_visible("main")


def test_range_menu_fits_into_a_low_window(resized, url):
    page = open_page(resized(910, 420), f"{url}/")
    page.evaluate("() => scrollTo(0, 500)")
    page.click('[data-key="period"]')
    menu = page.locator(".toolbar .menu:visible").bounding_box()

    assert menu["y"] + menu["height"] <= 420


def test_many_filters_leave_room_for_the_figures(resized, url):
    filters = "&".join(f"page.not=https://example.com/some/long/path/{number}" for number in range(15))
    page = open_page(resized(1000, 500), f"{url}/?{filters}")

    assert page.locator(".toolbar").bounding_box()["height"] < 250


def test_list_in_a_dialog_is_shown_in_a_low_window(resized, url):
    page = open_page(resized(320, 225), f"{url}/?detail=pages")  # a window of 1280 × 900 px at 400 %
    wait_until_shown(page, "dialog .rows li:nth-child(100)")
    page.locator("dialog .rows li:nth-child(50) .value").hover()

    assert page.locator("dialog .rows li:nth-child(50)").bounding_box()["y"] < 225
    assert page.eval_on_selector("dialog .scroll", "list => list.clientHeight") > 225


def test_long_value_of_a_row_does_not_cover_the_change(resized, url):
    page = open_page(resized(1280), f"{url}/")
    fill = """row => {
      row.querySelector('.name').textContent = 'x'.repeat(200);
      const value = row.querySelector('.value');
      value.textContent = '1,234,567,890';
      return value.scrollWidth - value.clientWidth;
    }"""

    assert page.eval_on_selector("#panel-pages .rows li", fill) == 0


@pytest.mark.parametrize(("path", "card"), [("", "#overview"), ("conversions", "#panel-conversions")])
def test_card_with_a_table_begins_on_the_first_printed_page(resized, url, path, card):
    page = open_page(resized(718), f"{url}/{path}")
    page.emulate_media(media="print")

    assert page.eval_on_selector(card, "element => getComputedStyle(element).breakInside") == "auto"


def test_bars_are_visible_in_forced_colours(new_page, url):
    page = new_page(forced_colors="active")
    start_session(page, url)
    open_page(page, f"{url}/")
    colour = "element => getComputedStyle(element).backgroundColor"

    assert page.eval_on_selector("#panel-sources .bar", colour) != page.eval_on_selector("#panel-sources", colour)


def test_dialog_darkens_the_whole_window(page):
    page.keyboard.press("?")
    wait_until_shown(page, "dialog .shortcuts")

    assert page.evaluate("() => getComputedStyle(document.documentElement).overflow") == "hidden"
    assert page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor") != "rgba(0, 0, 0, 0)"


def test_chosen_theme_is_remembered(page):
    page.click('[data-key="theme"]')
    page.click('.menu button:has-text("Dark")')
    page.reload()
    wait_until_loaded(page)

    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"


VISIBLE_IDS = "all => all.filter(each => each.checkVisibility()).map(each => each.id)"


@pytest.mark.parametrize(
    ("path", "panel"), [("", "sources"), ("conversions", "conversions")], ids=["statistics", "conversions"]
)
def test_wall_display_shows_one_section_at_a_time(new_page, url, path, panel):
    page = new_page(viewport={"width": 1920, "height": 1080})
    page.clock.install(time=NOW / 1000)
    page.clock.pause_at(NOW / 1000 + 1)
    start_session(page, url)
    open_page(page, f"{url}/{path}?wall")
    before = page.eval_on_selector_all("#overview, .panel", VISIBLE_IDS)
    page.clock.run_for(12_000)

    assert before == ["overview"]
    assert page.eval_on_selector_all("#overview, .panel", VISIBLE_IDS) == [f"panel-{panel}"]


def test_page_is_used_by_keyboard_alone(url, signed_out_tab):
    page = signed_out_tab
    page.goto(url)
    wait_until_shown(page, "#key:focus")
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
    follow(page, '[data-key="metric-sessions"]')

    assert page.evaluate("() => document.documentElement.scrollWidth") <= 768
    assert page.is_visible("#chart svg")
    outside = """ticks => {
      const {left, right} = document.querySelector('#chart').getBoundingClientRect();
      return ticks.map((tick) => tick.getBoundingClientRect()).filter((tick) => tick.left < left || tick.right > right);
    }"""
    assert page.eval_on_selector_all("#chart .tick", outside) == []


def test_conversions_are_accessible(tab, url):
    page = open_page(tab, f"{url}/conversions?country=IN&period=90d")
    wait_until_shown(page, "#panel-conversions tbody tr")

    assert find_violations(page) == []


def test_tablet_shows_all_columns_of_conversions(resized, url):
    page = open_page(resized(768), f"{url}/conversions")
    wait_until_shown(page, "#panel-conversions tbody tr")
    hidden = page.eval_on_selector_all(".scroll", "all => all.map(each => each.scrollWidth - each.clientWidth)")

    assert hidden == [0, 0]
