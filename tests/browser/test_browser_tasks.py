"""Questions that the statistics page answers in a few clicks, beginning at its address."""

import pytest
from helpers.browser import forget, sign_in, wait_until_loaded, wait_until_shown
from helpers.client import KEY


@pytest.fixture
def click(page, url):
    """Return a function that clicks and waits. Its attributes are `page` and `count`, the number of clicks."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)

    def click(control):
        click.count += 1
        page.click(control)
        page.wait_for_function("() => !document.documentElement.classList.contains('busy')")
        wait_until_loaded(page)

    click.page, click.count = page, 0
    return click


def test_source_that_grew_most_takes_three_clicks(click):
    click('[data-key="period"]')
    click('.menu a:has-text("This month")')
    click('[data-key="change-sources"]')
    wait_until_shown(click.page, "dialog .rows:not(.loading) li")

    first = click.page.locator("dialog .rows li").first

    assert (first.locator(".name").inner_text(), first.locator(".side").inner_text()) == ("google.com", "+1")
    assert click.count == 3


def test_click_on_a_bar_filters_like_a_click_on_the_name(click):
    row = click.page.locator('#panel-countries li:has-text("India")')
    row.scroll_into_view_if_needed()
    bar = row.bounding_box()

    click.page.mouse.click(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)

    wait_until_shown(click.page, '.chip:has-text("India")')


def test_copy_link_moves_no_control(click, url):
    place = click.page.locator('[data-key="period"]').bounding_box()

    click('[data-key="copy-link"]')
    wait_until_shown(click.page, '[data-key="copy-link"]:has-text("Copied")')

    assert click.page.locator('[data-key="period"]').bounding_box() == place


@pytest.mark.clock
def test_second_click_on_copy_link_keeps_its_label(tab, url):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    tab.goto(f"{url}/")
    wait_until_loaded(tab)
    for _ in range(2):
        tab.click('[data-key="copy-link"]')
        wait_until_shown(tab, '[data-key="copy-link"]:has-text("Copied")')
        tab.evaluate("() => navigator.clipboard.readText()")  # is done after the copying

    tab.clock.fast_forward(2000)

    assert tab.inner_text('[data-key="copy-link"]') == "Copy link"


def test_link_to_exit_pages_of_india_takes_three_clicks(click, url):
    click('#panel-countries a:has-text("India")')
    click('[data-key="tab-exit_pages"]')
    pages = click.page.inner_text("#panel-pages .rows")
    click('[data-key="copy-link"]')
    wait_until_shown(click.page, '[data-key="copy-link"]:has-text("Copied")')
    link = click.page.evaluate("() => navigator.clipboard.readText()")
    colleague = click.page
    forget(colleague)
    colleague.goto(link)
    sign_in(colleague, KEY)

    assert link == f"{url}/?from=2026-01-26&to=2026-02-24&pages=exit_pages&country=IN"
    assert colleague.inner_text("#panel-pages .rows") == pages
    assert click.count == 3
