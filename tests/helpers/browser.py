"""Look at an application in a real Chromium."""

import os
import shutil
from importlib.util import find_spec

import pytest

from analytics_api import create_app
from analytics_api.server.serve import build_server_app
from helpers.client import KEY, NOW

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
# Chromium without windows, which loads a page with a fifth less CPU time. Some distributions do not have it.
SHELL = shutil.which("chromium-headless-shell") or PROGRAM
PACKAGES = ("playwright", "axe_playwright_python")


def require_chromium():
    """Skip the test if Chromium or Playwright is not installed. If BROWSER_TESTS is set, the test fails instead."""
    if PROGRAM is None or not all(map(find_spec, PACKAGES)):
        missing = "needs Chromium and pip install -e '.[browser]'"
        (pytest.fail if os.environ.get("BROWSER_TESTS") else pytest.skip)(missing)


def serve(database, now=NOW, collector=None, **options):
    """Return the standalone server's application with a clock that shows a fixed time."""
    api = create_app(database, api_keys=[KEY], clock=lambda: now, browser_sessions=True, **options)
    return build_server_app(api, database, dashboard=True, collector=collector, write=lambda line: None)


def sign_in(page, key):
    """Sign in with the form, and wait for the figures."""
    wait_until_shown(page, 'html[data-state="signed-out"]')
    page.fill("#key", key)
    page.click("#sign-in-form button")
    wait_until_loaded(page)


def start_session(tab, url, key=KEY):
    """Sign a browser profile in, as the form does, without loading the form."""
    request = tab.context.request
    assert request.post(f"{url}/analytics/session", data={"key": key}, headers={"Sec-Fetch-Site": "same-origin"}).ok


CLEAR = "() => location.protocol === 'http:' && [localStorage, sessionStorage].forEach(each => each.clear())"


def forget(tab):
    """Remove what the browser stores, so that the next page opens as in a new profile."""
    tab.evaluate(CLEAR)
    tab.context.clear_cookies()


def open_page(tab, address):
    """Open an address in a tab that is signed in, wait for the page, and return it."""
    tab.goto(address)
    wait_until_shown(tab, 'html[data-state="ready"]:not(.busy)')
    return tab


def wait_until_shown(page, selector):
    """Wait for an element. A locator takes half the CPU time of wait_for_selector(), which returns the element."""
    page.locator(selector).first.wait_for()


def wait_until_gone(page, selector):
    page.locator(selector).first.wait_for(state="detached")


def close_shortcuts(page):
    """Wait for the list of keyboard shortcuts, and close it with Escape."""
    wait_until_shown(page, "dialog .shortcuts")
    page.keyboard.press("Escape")
    wait_until_gone(page, "dialog")


def wait_until_loaded(page):
    """Wait until the page shows the figures for its address."""
    wait_until_shown(page, 'html[data-state="ready"]:not(.busy) #chart .plot')


def follow(page, control):
    """Click a control that loads other figures, and wait for them.

    The page changes its address when it begins to load them, which may be later than the click.
    """
    before = page.url
    page.click(control)
    page.wait_for_url(lambda url: url != before)
    wait_until_loaded(page)


def figure(page, metric):
    """Return the text of one of the totals."""
    return page.inner_text(f'[data-key="metric-{metric}"] .value')


WIDTHS = 320, 768, 1280
# In each frame, a ResizeObserver is called after the animation callbacks. When the callback of the second frame is
# called, the observers of the first frame have been called.
WAIT_FOR_FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def resize(page, width, height=800):
    """Give the page another size, and wait until it has drawn its chart again."""
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(WAIT_FOR_FRAME)


# The rules of axe-core about colours. The other rules do not depend on the theme, which only changes colours.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]


RUN_AXE = """async ([parts, options]) => {
  const context = parts ? {include: parts.map(part => [part])} : document;
  const {violations} = await axe.run(context, {resultTypes: ["violations"], ...options});
  return violations.map(each => [each.id, each.nodes.map(node => node.html)]);
}"""


def find_violations(page, *parts, widths=WIDTHS):
    """Return what axe-core finds at each width, and "overflow" if the page is wider than the window.

    All rules are checked in the light theme, and those about colours in the dark one, too.

    :param parts: selectors of the parts of the page to check. By default, the whole page is checked.
    """
    from axe_playwright_python.base import AXE_SCRIPT

    violations = []
    if not page.evaluate("() => 'axe' in globalThis"):
        page.evaluate(AXE_SCRIPT)
    for width in widths:
        resize(page, width)
        for theme, rules in (("dark", {"runOnly": COLOUR_RULES}), ("light", {})):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # no colour in between
            violations += [(width, theme, *each) for each in page.evaluate(RUN_AXE, [parts or None, rules])]
        if page.evaluate("() => document.documentElement.scrollWidth") > width:
            violations.append((width, "overflow"))
    return violations


def rows(page, panel):
    """Return the names and values of the rows of a panel."""
    texts = page.eval_on_selector_all(
        f"#panel-{panel} .rows li",
        "items => items.map(item => [item.querySelector('.name').innerText, item.querySelector('.value').innerText])",
    )
    return [tuple(text) for text in texts]
