"""The comparison with an earlier range on the statistics page."""

from urllib.parse import parse_qs, urlsplit

from helpers.browser import follow, rows, sign_in, wait_until_loaded, wait_until_shown
from helpers.client import KEY
from helpers.rows import insert, session

WEEK = "from=2026-02-18&to=2026-02-24"


def change(page, metric):
    return page.inner_text(f'[data-key="metric-{metric}"] .against')


def changes(page, panel):
    return page.eval_on_selector_all(
        f"#panel-{panel} .rows li",
        "all => all.map(each => [each.querySelector('.name').innerText, each.querySelector('.side').innerText])",
    )


def test_figures_and_sources_show_the_change(page):
    assert [change(page, metric) for metric in ("visitors", "sessions", "duration")] == ["+200%", "+300%", "0%"]
    assert dict(changes(page, "sources")) == {"google.com": "+100%", "Direct / none": "new", "bing.com": "new"}


def test_comparison_is_turned_off_and_on(page):
    page.keyboard.press("x")
    page.wait_for_url("**/?compare=off")
    wait_until_loaded(page)
    off = change(page, "sessions").strip(), page.inner_text("#panel-sources .columns .side")
    page.keyboard.press("x")
    page.wait_for_url("**/")
    wait_until_loaded(page)

    assert off == ("", "%")
    assert change(page, "sessions") == "+300%"


def test_year_before_is_chosen_from_the_menu(page):
    page.click('[data-key="compare"]')
    follow(page, '.menu a:has-text("Year before")')

    assert parse_qs(urlsplit(page.url).query) == {"compare": ["year"]}
    assert change(page, "sessions") == "new"


def test_chart_draws_the_compared_range(page):
    page.focus('[data-key="chart"]')
    page.keyboard.press("End")
    text = page.get_attribute('[data-key="chart"]', "aria-valuetext")
    note = page.inner_text(".compared")

    assert page.locator(".plot path.earlier").count() == 1
    assert text.endswith("before: 0")
    assert note == "compared with Dec 27, 2025 – Jan 25, 2026"


def test_list_is_sorted_by_growth_or_decline(page, shop):
    insert(shop, "sessions", *(session(n, "2026-01-12") for n in (60, 61, 62)))
    page.click('[data-key="change-sources"]')
    wait_until_shown(page, "dialog .rows:not(.loading) li")
    names = page.eval_on_selector_all("dialog .name", "all => all.map(each => each.innerText)")

    assert names == ["Direct / none", "bing.com", "google.com"]
    assert parse_qs(urlsplit(page.url).query) == {"detail": ["sources"], "sort": ["change"]}

    page.click("dialog button.side")
    sides = page.eval_on_selector_all("dialog .rows .side", "all => all.map(each => each.innerText)")

    assert sides == ["−2", "+1", "+1"]
    assert page.inner_text("dialog button.side") == "Change ↑"
    assert page.evaluate("() => document.activeElement.className") == "side"
    assert parse_qs(urlsplit(page.url).query)["sort"] == ["decline"]


def test_filters_restrict_the_compared_range(page):
    follow(page, '#panel-sources a.name:has-text("google.com")')

    assert change(page, "sessions") == "+100%"


def test_link_to_a_compared_week_opens_in_a_fresh_browser(url, signed_out_tab):
    page = signed_out_tab
    page.goto(f"{url}/?{WEEK}&compare=year")
    sign_in(page, KEY)

    assert rows(page, "sources")[0] == ("google.com", "2")
    assert change(page, "sessions") == "new"
