"""Signing in and out on the page."""

import pytest
from helpers.app_server import serving_app
from helpers.browser import open_page, serve, sign_in, start_session, wait_until_loaded, wait_until_shown
from helpers.client import KEY, NOW
from helpers.read_only import read_only

from analytics_api import Principal, open_database
from analytics_api.keys import KeyStore

SIGNED_OUT = 'html[data-state="signed-out"]'


def test_right_key_shows_the_figures_and_stores_no_key(page):
    stored = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")

    assert page.is_visible("#chart svg")
    assert not page.is_visible("#sign-in-form")
    assert KEY not in stored
    assert "analytics_session" not in stored


def test_wrong_key_is_announced_in_a_live_region(url, signed_out_tab):
    page = signed_out_tab
    page.goto(url)
    wait_until_shown(page, SIGNED_OUT)
    page.fill("#key", "wrong")
    page.click("#sign-in-form button")

    wait_until_shown(page, "#sign-in-error:has-text('not valid')")

    assert page.get_attribute("#sign-in-error", "role") == "alert"
    assert page.evaluate("() => document.activeElement.id") == "key"


def without_prefix(app):
    """Return the application behind a proxy that removes /stats, and whose headers the server does not trust."""

    def proxy(environ, start_response):
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/stats")
        return app(environ, start_response)

    return proxy


@pytest.mark.parametrize("name", ["", "leads", "board", "conversions"])
def test_lost_cookie_is_reported_with_its_causes(shop, signed_out_tab, name):
    with serving_app(without_prefix(serve(shop))) as url:
        page = signed_out_tab
        page.goto(f"{url}/stats/{name}")
        wait_until_shown(page, SIGNED_OUT)
        page.fill("#key", KEY)
        page.click("#sign-in-form button")

        wait_until_shown(page, "#sign-in-error:has-text('ANALYTICS_TRUSTED_PROXIES')")


def test_sign_in_with_a_read_only_database_shows_an_error(new_page, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    with open_database(folder / "shop.db").closing():
        pass
    with (
        read_only(folder),
        open_database(folder / "shop.db").closing() as database,
        serving_app(serve(database)) as url,
    ):
        page = new_page()
        page.goto(url)
        wait_until_shown(page, SIGNED_OUT)
        page.fill("#key", KEY)
        page.click("#sign-in-form button")

        wait_until_shown(page, "#sign-in-error:has-text('nobody can sign in')")


@pytest.fixture
def plain_page(new_page):
    """Return a page without scripts. The form appears after an animation of two seconds, which runs faster here."""
    page = new_page(java_script_enabled=False)
    session = page.context.new_cdp_session(page)
    session.send("Animation.enable")
    session.send("Animation.setPlaybackRate", {"playbackRate": 20})
    return page


def test_form_works_without_scripts(plain_page, url):
    page = plain_page
    page.goto(f"{url}/?period=7d")
    page.fill("#key", "wrong")  # Playwright waits for the form
    page.click("#sign-in-form button")
    wait_until_shown(page, "#invalid-key")
    wrong = page.url

    page.fill("#key", KEY)
    page.click("#sign-in-form button")
    wait_until_shown(page, "#signed-in")

    assert wrong == f"{url}/?period=7d#invalid-key"
    assert page.url.startswith(f"{url}/?period=7d")
    assert [cookie["name"] for cookie in page.context.cookies(f"{url}/analytics/")] == ["analytics_session"]


def test_lost_cookie_is_reported_without_scripts(plain_page, shop):
    with serving_app(without_prefix(serve(shop))) as url:
        page = plain_page
        page.goto(f"{url}/stats/")
        page.fill("#key", KEY)
        page.click("#sign-in-form button")

        wait_until_shown(page, "#signed-in:has-text('did not keep the cookie')")


def test_form_that_was_sent_before_the_scripts_ran_signs_in(url, signed_out_tab):
    page = signed_out_tab
    page.goto(f"{url}/?period=7d#invalid-key")
    wait_until_shown(page, SIGNED_OUT)
    page.fill("#key", KEY)
    page.evaluate("() => document.querySelector('#sign-in-form').submit()")
    wait_until_shown(page, "#chart svg")
    page.wait_for_function("() => !location.href.includes('#')")
    page.click('[data-key="account"]')
    page.click("text=Sign out")
    wait_until_shown(page, SIGNED_OUT)

    assert not page.is_visible("#signed-in, #invalid-key")


def test_requested_page_opens_after_sign_in(url, signed_out_tab):
    page = signed_out_tab
    page.goto(f"{url}/?from=2026-02-23&to=2026-02-24&metric=sessions")

    sign_in(page, KEY)

    assert page.url == f"{url}/?from=2026-02-23&to=2026-02-24&metric=sessions"
    assert page.get_attribute('[data-key="metric-sessions"]', "aria-current") == "true"


def test_sign_out_shows_the_form_in_every_tab(page):
    other = page.context.new_page()
    other.goto(page.url)
    wait_until_loaded(other)
    page.click('[data-key="account"]')
    page.click("text=Sign out")

    wait_until_shown(page, SIGNED_OUT)
    wait_until_shown(other, SIGNED_OUT)

    assert page.context.cookies() == []
    assert "key-1" not in page.content() + other.content()
    assert page.inner_text("#panels").strip() == ""


def test_failed_sign_out_is_reported(page):
    page.route("**/analytics/session", lambda route: route.abort())
    page.click('[data-key="account"]')
    page.click("text=Sign out")
    wait_until_shown(page, "[role=alert]:has-text('You are still signed in. The server does not answer.')")
    page.unroute("**/analytics/session")
    page.click("text=Sign out")

    wait_until_shown(page, SIGNED_OUT)


def test_back_after_sign_out_shows_no_data(page, url):
    page.click('[data-key="metric-sessions"]')
    page.click('[data-key="account"]')
    page.click("text=Sign out")
    wait_until_shown(page, SIGNED_OUT)

    page.go_back()
    wait_until_shown(page, SIGNED_OUT)

    assert "key-1" not in page.content()
    assert not page.is_visible("#panels")


def test_revoked_key_shows_the_form_within_five_seconds(new_page, shop, url):
    keys = KeyStore(shop)
    page = new_page()
    page.clock.install(time=NOW / 1000)
    start_session(page, url, keys.add("wall", ["stats"], now=NOW))
    open_page(page, f"{url}/")
    page.clock.pause_at(NOW / 1000 + 60)

    keys.revoke("wall", now=NOW)
    page.clock.run_for(5000)

    wait_until_shown(page, SIGNED_OUT)


@pytest.mark.clock
def test_list_that_was_open_when_the_session_ended_opens_again(tab, url):
    address = f"{url}/?detail=sources"
    tab.goto(address)
    wait_until_shown(tab, "dialog .rows li")
    tab.context.clear_cookies()
    tab.clock.fast_forward(5000)
    wait_until_shown(tab, SIGNED_OUT)
    tab.wait_for_timeout(200)  # time for a request that must not be sent

    assert (tab.inner_text("#sign-in-error"), tab.url) == ("You are signed out.", address)
    sign_in(tab, KEY)
    wait_until_shown(tab, "dialog .rows li")


def test_missing_scope_of_a_key_is_reported(url, signed_out_tab, shop):
    page = signed_out_tab
    page.goto(url)
    wait_until_shown(page, SIGNED_OUT)
    page.fill("#key", KeyStore(shop).add("robot", ["leads:write"], now=NOW))
    page.click("#sign-in-form button")

    wait_until_shown(page, ".problem:has-text('Your account or key lacks the scope stats.')")


def test_login_of_a_host_needs_no_form(server, shop, signed_out_tab):
    server.app = serve(shop, authenticate=lambda environ: Principal("ann", frozenset({"stats"})))
    page = signed_out_tab
    page.goto(server.url)
    wait_until_loaded(page)

    assert page.is_visible("#chart svg")


def send_other_page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "0")])
    return [b""]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/analytics/overview"), ("POST", "/analytics/session")],
)
def test_requests_of_another_origin_are_refused(page, url, method, path):
    """Another port of the same host is another origin, but the same site, so the browser sends the cookie."""
    script = """([url, method]) =>
      fetch(url, {method, mode: "no-cors", credentials: "include"}).catch(() => null)"""
    with serving_app(send_other_page) as other:
        page.goto(f"{other}/")
        with page.expect_response(f"{url}{path}") as response:
            page.evaluate(script, [url + path, method])

    assert response.value.status == 403
