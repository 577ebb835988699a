"""The page mounted in a host application, and behind nginx with TLS."""

import flask
import pytest
from helpers.browser import figure, serving_app, sign_in, wait_until_loaded
from helpers.client import KEY, NOW
from helpers.nginx import proxying, require_nginx
from helpers.server import serving
from helpers.tls import make_certificate
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from analytics_api import create_app
from analytics_api.dashboard import create_dashboard


@pytest.mark.parametrize(
    ("mounts", "api"),
    [({"/stats": ""}, "/stats/analytics"), ({"/stats": "", "/figures": ""}, "/figures")],
    ids=["below", "beside"],
)
def test_page_works_in_flask_below_stats(new_page, shop, mounts, api):
    host = flask.Flask("shop")
    analytics = create_app(shop, api_keys=[KEY], clock=lambda: NOW, prefix="", browser_sessions=True)
    host.wsgi_app = DispatcherMiddleware(host.wsgi_app, {"/stats": create_dashboard(api), api: analytics})
    with serving_app(host) as url:
        page = new_page()
        page.goto(f"{url}/stats?period=7d")
        sign_in(page, KEY)
        page.click('[data-key="metric-sessions"]')
        wait_until_loaded(page)

        assert page.url == f"{url}/stats/?period=7d&metric=sessions"
        assert figure(page, "sessions") == "4"
        assert page.context.cookies()[0]["path"] == api


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
