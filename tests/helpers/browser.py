"""Serve an application from a thread, and look at it in a real Chromium."""

import os
import shutil
import threading
from contextlib import contextmanager
from importlib.util import find_spec

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from analytics_api import create_app
from analytics_api.server.serve import build_server_app
from helpers.client import KEY, NOW

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
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


class QuietHandler(WSGIRequestHandler):
    """Keep connections open, as a real server does, and log nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


@contextmanager
def serving_app(app, port=0):
    """Serve the application on a port of 127.0.0.1 within a block. Yield its URL, without a slash at the end."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=QuietHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sign_in(page, key):
    """Sign in with the form, and wait for the figures."""
    page.wait_for_selector('html[data-state="signed-out"]')
    page.fill("#key", key)
    page.click("#sign-in-form button")
    wait_until_loaded(page)


def sign_in_at(page, address, key=KEY):
    """Open an address, sign in with the form, wait for the page, and return it."""
    page.goto(address)
    page.wait_for_selector('html[data-state="signed-out"]')
    page.fill("#key", key)
    page.click("#sign-in-form button")
    page.wait_for_selector('html[data-state="ready"]:not(.busy)')
    return page


def wait_until_loaded(page):
    """Wait until the page shows the figures for its address."""
    page.wait_for_selector('html[data-state="ready"]:not(.busy) #chart .plot')


def follow(page, control):
    """Click a control that loads other figures, and wait for them."""
    page.click(control)
    page.wait_for_function("() => !document.documentElement.classList.contains('busy')")
    wait_until_loaded(page)


def figure(page, metric):
    """Return the text of one of the totals."""
    return page.inner_text(f'[data-key="metric-{metric}"] .value')


def rows(page, panel):
    """Return the names and values of the rows of a panel."""
    texts = page.eval_on_selector_all(
        f"#panel-{panel} .rows li",
        "items => items.map(item => [item.querySelector('.name').innerText, item.querySelector('.value').innerText])",
    )
    return [tuple(text) for text in texts]
