"""Accessibility by axe-core, widths, themes and the keyboard."""

import pytest
from helpers.browser import require_chromium, serve, serving_app, sign_in, sign_in_at, wait_until_loaded
from helpers.client import KEY
from helpers.rows import insert, session

from analytics_api import open_database

WIDTHS = {"phone": 320, "tablet": 768, "desktop": 1280}


@pytest.fixture
def axe():
    require_chromium()
    from axe_playwright_python.sync_playwright import Axe

    def check(page, part=None):
        violations = Axe().run(page, part, {"resultTypes": ["violations"]}).response["violations"]
        return [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations]

    return check


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_page_is_accessible_in_every_state(new_page, demo_url, axe, theme, width):
    page = new_page(color_scheme=theme, viewport={"width": width, "height": 800})
    page.goto(demo_url)
    page.wait_for_selector('html[data-state="signed-out"]')
    violations = {"form": axe(page)}
    sign_in(page, KEY)
    violations["figures"] = axe(page)
    page.click('[data-key="chart-toggle"]')
    page.click('[data-key="period"]')
    violations["table and menu"] = axe(page, "#statistics")
    page.keyboard.press("Escape")
    page.goto(f"{demo_url}/?country=IN&source.not=bing.com&visitor=new&from=2025-12-20&to=2026-01-17")
    wait_until_loaded(page)
    filtered_width = page.evaluate("() => document.documentElement.scrollWidth")
    violations["filters"] = axe(page, ".toolbar")
    page.keyboard.press("f")
    page.wait_for_selector("dialog form")
    violations["new filter"] = axe(page, "dialog")
    page.goto(f"{demo_url}/?pages=exit_pages&detail=sources")
    page.wait_for_selector("dialog .rows:not(.loading)")
    violations["list"] = axe(page, "dialog")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("dialog .shortcuts")
    violations["shortcuts"] = axe(page, "dialog")

    assert violations == {state: [] for state in violations}
    assert filtered_width <= width
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("hosts", [[], ["shop.example"]], ids=["inserts", "script"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_first_visit_is_accessible(new_page, axe, tmp_path, theme, hosts):
    with (
        open_database(tmp_path / "empty.db").closing() as database,
        serving_app(serve(database, collect_hosts=hosts)) as url,
    ):
        page = new_page(color_scheme=theme, viewport={"width": 320, "height": 800})
        page.goto(url)
        sign_in(page, KEY)
        page.wait_for_selector(".notice.first")
        violations = axe(page, "#notices")
        insert(database, "sessions", session(1, "2026-02-24"))
        page.wait_for_selector(".notice.arrived")
        violations += axe(page, "#notices")

    assert violations == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("path", ["", "conversions", "leads"])
def test_layout_does_not_jump(new_page, demo_url, path, width):
    page = sign_in_at(new_page(viewport={"width": width, "height": 800}), f"{demo_url}/{path}")
    page.add_init_script(
        """globalThis.seen = [];
        const note = list => list.getEntries().forEach(entry => seen.push(...entry.sources.map(each => each.node?.id)));
        new PerformanceObserver(note).observe({type: "layout-shift", buffered: true});"""
    )
    page.reload()
    page.wait_for_selector(":is(#chart .plot, #panel-conversions tbody tr, .leads .name a)")
    page.wait_for_timeout(300)

    assert page.evaluate("() => seen") == []


@pytest.mark.parametrize("width", [320, 641, 768, 865])
def test_menu_shows_every_page_whole(new_page, demo_url, width):
    page = sign_in_at(new_page(viewport={"width": width, "height": 800}), f"{demo_url}/")
    page.wait_for_selector("#live:not([hidden])")

    assert page.evaluate("() => menu.scrollWidth - menu.clientWidth") == 0


def test_dialog_darkens_the_whole_window(new_page, demo_url):
    page = new_page(color_scheme="light")
    page.goto(demo_url)
    sign_in(page, KEY)
    page.keyboard.press("?")
    page.wait_for_selector("dialog .shortcuts")

    assert page.evaluate("() => getComputedStyle(document.documentElement).overflow") == "hidden"
    assert page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor") != "rgba(0, 0, 0, 0)"


def test_theme_is_chosen_and_stays(new_page, demo_url):
    page = new_page(color_scheme="light")
    page.goto(demo_url)
    sign_in(page, KEY)
    page.click('[data-key="theme"]')
    page.click('.menu button:has-text("Dark")')
    page.reload()
    wait_until_loaded(page)

    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"


def test_wall_shows_one_part_at_a_time(new_page, demo_url):
    page = new_page(viewport={"width": 1920, "height": 1080})
    page.goto(f"{demo_url}/?wall")
    sign_in(page, KEY)

    assert page.locator("#overview.shown, .panel.shown").count() == 1
    assert page.is_visible("#overview")
    assert not page.is_visible("#panel-sources")


def test_wall_shows_one_part_of_conversions(new_page, demo_url):
    page = sign_in_at(new_page(viewport={"width": 1920, "height": 1080}), f"{demo_url}/conversions?wall")

    assert page.is_visible("#overview")
    assert not page.is_visible("#panel-conversions")


def test_page_is_used_by_keyboard_alone(new_page, demo_url):
    page = new_page()
    page.goto(demo_url)
    page.wait_for_selector('html[data-state="signed-out"]')
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    wait_until_loaded(page)
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("() => document.activeElement.dataset.key ?? ''"))

    assert {"period", "copy-link", "metric-visitors", "chart", "chart-toggle"} <= set(stops)


def test_right_to_left_does_not_overflow(new_page, demo_url):
    page = new_page(viewport={"width": 768, "height": 800})
    page.goto(demo_url)
    sign_in(page, KEY)
    page.evaluate("() => { document.documentElement.dir = 'rtl'; }")
    page.click('[data-key="metric-sessions"]')
    page.wait_for_timeout(100)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= 768
    assert page.is_visible("#chart svg")
