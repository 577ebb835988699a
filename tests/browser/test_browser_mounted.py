"""The page mounted in a host application, and behind nginx with TLS."""

import flask
import pytest
from helpers.app_server import serving_app
from helpers.browser import figure, follow, sign_in, wait_until_loaded, wait_until_shown
from helpers.client import KEY, NOW
from helpers.nginx import proxying, require_nginx
from helpers.server import serving
from helpers.sqlite import new_database_in
from helpers.tls import make_certificate
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.sansio.http import parse_cookie

from analytics_api import Principal, create_app
from analytics_api.collector import create_collector
from analytics_api.dashboard import create_dashboard
from analytics_api.keys import KeyStore


@pytest.mark.parametrize(
    ("mounts", "api"),
    [({"/stats": ""}, "/stats/analytics"), ({"/stats": "", "/figures": ""}, "/figures")],
    ids=["below", "beside"],
)
def test_page_works_in_flask_below_stats(shop, signed_out_tab, mounts, api):
    host = flask.Flask("shop")
    analytics = create_app(shop, api_keys=[KEY], clock=lambda: NOW, prefix="", browser_sessions=True)
    host.wsgi_app = DispatcherMiddleware(host.wsgi_app, {"/stats": create_dashboard(api), api: analytics})
    with serving_app(host) as url:
        page = signed_out_tab
        page.goto(f"{url}/stats?period=7d")
        sign_in(page, KEY)
        follow(page, '[data-key="metric-sessions"]')

        assert page.url == f"{url}/stats/?period=7d&metric=sessions"
        assert figure(page, "sessions") == "4"
        assert page.context.cookies()[0]["path"] == api


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"script": "/visits/a.js"}, '<script defer src="{url}/visits/a.js" data-local></script>'),
        ({"script": "../visits/a.js"}, '<script defer src="{url}/visits/a.js" data-local></script>'),
        ({}, None),
    ],
    ids=["path", "relative", "none"],
)
def test_page_shows_the_script_of_a_mounted_collector(tmp_path, signed_out_tab, options, line):
    with new_database_in(tmp_path) as database:
        hosts = ["localhost"]
        api = create_app(database, api_keys=[KEY], prefix="", browser_sessions=True, collect_hosts=hosts)
        collector = create_collector(database, hosts=hosts)
        host = flask.Flask("shop")
        mounts = {"/stats": create_dashboard(**options), "/analytics": api, "/visits": collector}
        host.wsgi_app = DispatcherMiddleware(host.wsgi_app, mounts)
        with serving_app(host) as url:
            page = signed_out_tab
            page.goto(f"{url}/stats/")
            sign_in(page, KEY)
            title = page.inner_text(".notice h2")
            code = page.inner_text(".notice pre >> nth=0")
            script = page.request.get(f"{url}/visits/a.js")
        collector.close()

    assert script.ok
    if line:
        assert (title, code) == ("Send your first visit", line.format(url=url))
    else:
        assert title == "No visits yet"
        assert 'create_dashboard(…, script="/visits/a.js")' in code


@pytest.fixture
def host_url(shop):
    """Yield the URL of a host application whose own login, the cookie `user`, gives access to the statistics."""

    def authenticate(environ):
        user = parse_cookie(environ.get("HTTP_COOKIE")).get("user")
        return Principal(user) if user else None

    host = flask.Flask("shop")
    analytics = create_app(shop, api_keys=[], authenticate=authenticate, clock=lambda: NOW, prefix="")
    host.wsgi_app = DispatcherMiddleware(host.wsgi_app, {"/stats": create_dashboard(), "/analytics": analytics})
    with serving_app(host) as url:
        yield url


@pytest.mark.parametrize("path", ["", "leads"])
def test_page_without_sign_in_asks_for_the_login_of_the_host(host_url, signed_out_tab, path):
    page = signed_out_tab
    page.goto(f"{host_url}/stats/{path}")
    wait_until_shown(page, "#site-login")
    text = page.inner_text("main")
    has_form = page.is_visible("#sign-in-form")
    page.context.add_cookies([{"name": "user", "value": "ann", "url": host_url}])
    page.keyboard.press("Enter")  # the button has the focus
    wait_until_shown(page, 'html[data-state="ready"]')

    assert "signed in to this website" in text
    assert not has_form
    assert not page.is_visible("#sign-in")


def test_page_cannot_sign_out_of_the_host(host_url, signed_out_tab):
    page = signed_out_tab
    page.context.add_cookies([{"name": "user", "value": "ann", "url": host_url}])
    page.goto(f"{host_url}/stats/")
    wait_until_loaded(page)
    page.click('[data-key="account"]')
    page.click("text=Sign out")

    wait_until_shown(page, "[role=alert]:has-text('Sign out there')")
    assert "Signed in as ann" in page.inner_text("#account")


def test_keys_of_the_database_sign_in_beside_a_login_of_the_host(shop, signed_out_tab):
    analytics = create_app(
        shop, api_keys=[], authenticate=lambda environ: None, clock=lambda: NOW, prefix="", browser_sessions=True
    )
    key = KeyStore(shop).add("wall", {"stats"}, now=NOW)
    app = DispatcherMiddleware(create_dashboard("figures"), {"/figures": analytics})
    with serving_app(app) as url:
        page = signed_out_tab
        page.goto(url)
        sign_in(page, key)

        assert figure(page, "sessions") == "4"


def test_page_works_behind_nginx_with_tls(new_page, tmp_path):
    require_nginx()
    certificate, key = make_certificate(tmp_path)

    def with_tls(text):
        before, _, after = text.partition("listen 127.0.0.1:")
        port, _, rest = after.partition(";")
        tls = f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate.name}; ssl_certificate_key {key.name};"
        return before + tls + rest

    with (
        serving(tmp_path, "--workers", "1", ANALYTICS_TRUSTED_PROXIES="1") as server,
        proxying(server, with_tls, [certificate, key]) as nginx,
    ):
        page = new_page(ignore_https_errors=True)
        page.goto(f"https://127.0.0.1:{nginx.address[1]}/")
        sign_in(page, KEY)
        [cookie] = page.context.cookies()

        assert page.inner_text(".notice h2") == "No visits yet"
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
