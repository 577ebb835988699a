"""Serving the files of the web pages. test_browser_*.py tests the pages in a browser."""

import gzip
import re

import pytest
from helpers.client import KEY, MOUNT, APIClient

from analytics_api import create_app
from analytics_api.dashboard import PAGES, create_dashboard, read_assets, shorten_source
from analytics_api.errors import SettingError
from analytics_api.server.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
MAX_COMPRESSED_BYTES = 60 * 1024  # of all files together, including the pages for leads


@pytest.fixture
def client():
    return APIClient(create_dashboard())


def read_links(html):
    return re.findall(r'(?:src|href|action)="([^"#]+)"', html)


def find_asset(client, name):
    return next(f"/{link}" for link in read_links(client.get("/").text) if link.endswith(f"/{name}"))


def test_page_has_its_headers(client):
    response = client.get("/")

    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_page_has_nothing_that_its_policy_forbids(client):
    html = client.get("/").text

    assert re.findall(r"\sstyle=|\son\w+=|<style|<script>|<base|https?://(?!www\.w3\.org)", html) == []


def test_links_of_the_page_are_relative_and_not_broken(client):
    links = read_links(client.get("/").text)

    assets = [link for link in links if link.startswith("assets/")]

    assert sorted(set(links) - set(assets)) == ["./", "/analytics/session"]
    assert {client.get(f"/{link}").status_code for link in assets} == {200}


@pytest.mark.parametrize("path", PAGES)
def test_page_preloads_the_modules_that_it_imports(client, path):
    page = client.get(path).text
    assets = read_assets()
    imports = re.findall(r'type="module" src="assets/\w+/([^"]+)"', page)
    for name in imports:
        imports += set(re.findall(r'"\./([^"]+\.js)"', assets[name].decode())) - set(imports)

    assert re.findall(r'rel="modulepreload" href="assets/\w+/([^"]+)"', page) == sorted(imports)


def test_asset_is_immutable_and_has_an_etag(client):
    path = find_asset(client, "main.js")

    response = client.get(path)
    again = client.get(path, headers={"If-None-Match": response.headers["ETag"]})

    assert response.content_type == "text/javascript; charset=utf-8"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", response.headers["ETag"])


@pytest.mark.parametrize(
    ("accept", "is_compressed"),
    [("gzip, deflate, br", True), ("gzip;q=0", False), ("br", False), (None, False)],
    ids=["gzip", "refused", "other", "none"],
)
def test_asset_is_compressed_for_clients_that_accept_it(client, accept, is_compressed):
    path = find_asset(client, "style.css")

    response = client.get(path, headers={"Accept-Encoding": accept} if accept else {})

    body = gzip.decompress(response.data) if is_compressed else response.data
    assert response.headers.get("Content-Encoding") == ("gzip" if is_compressed else None)
    assert response.headers["Vary"] == "Accept-Encoding"
    assert body == read_assets()["style.css"]


def test_encodings_have_different_etags(client):
    path = find_asset(client, "style.css")

    tags = {client.get(path, headers={"Accept-Encoding": each}).headers["ETag"] for each in ("gzip", "identity")}

    assert len(tags) == 2


def test_files_are_small(client):
    paths = ["/", *(f"/{link}" for link in read_links(client.get("/").text) if link.startswith("assets/"))]

    sizes = [len(client.get(path, headers={"Accept-Encoding": "gzip"}).data) for path in dict.fromkeys(paths)]

    assert sum(sizes) < MAX_COMPRESSED_BYTES


def test_assets_have_no_comments_but_the_lines_of_their_files():
    source = b"/** a\n * b */\n// c\nlet d = 'https://e'; // f\n  // g\n  h(' // i');\n"

    assert shorten_source(source) == b"\n\n\nlet d = 'https://e';\n\nh(' // i');\n"
    assert not any(re.search(rb"^ *(//|/\*)", body, re.MULTILINE) for body in read_assets().values())


@pytest.mark.parametrize("path", ["/assets/0/main.js", "/assets/", "/nothing", "/index.html", "/../setup.cfg"])
def test_other_path_is_404(client, path):
    response = client.get(path)

    assert (response.status_code, response.text) == (404, "Not found")
    assert response.headers["Content-Security-Policy"] == POLICY


def test_pages_allow_only_reads(client):
    head = client.head("/")
    post = client.post("/")

    assert (head.status_code, head.data) == (200, b"")
    assert (post.status_code, post.headers["Allow"]) == (405, "GET, HEAD")


def test_mount_without_a_slash_leads_to_the_page(client):
    response = client.get("/", environ_overrides={"PATH_INFO": "", "QUERY_STRING": "period=7d"})

    assert (response.status_code, response.headers["Location"]) == (308, f"{MOUNT}/?period=7d")


def test_path_of_the_api_is_in_the_page():
    html = APIClient(create_dashboard('a"pi')).get("/").text

    assert '<meta name="api" content="a&quot;pi">' in html
    assert 'action="a&quot;pi/session"' in html


def test_address_of_the_script_is_in_the_page():
    html = APIClient(create_dashboard(script="https://stats.example/a.js?v=1&x")).get("/").text

    assert '<meta name="script" content="https://stats.example/a.js?v=1&amp;x">' in html


@pytest.mark.parametrize("script", ["", "/visits", "/a b.js", "/é.js", 1])
def test_address_of_the_script_is_checked(script):
    with pytest.raises(SettingError, match=r"^script: use the address of the collector's script"):
        create_dashboard(script=script)


@pytest.mark.parametrize("api", ["https://other.example/analytics", "//other.example", "/analytics/", "a\nb", None])
def test_api_path_with_a_host_is_rejected(api):
    with pytest.raises(SettingError, match=r"^api: use a path on the host of the pages, such as /analytics"):
        create_dashboard(api)


@pytest.fixture
def standalone(tmp_path):
    """Return a function that returns a client of the standalone server with the given settings."""

    def standalone(**environ):
        settings = Settings.read({"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": str(tmp_path / "a.db"), **environ})
        return APIClient(settings.application())

    return standalone


@pytest.mark.parametrize("key", [KEY, None], ids=["key", "no-key"])
def test_standalone_mount_without_a_slash_leads_to_the_page(standalone, key):
    response = standalone().get("/", key=key, environ_overrides={"PATH_INFO": "", "QUERY_STRING": "period=7d"})

    assert (response.status_code, response.headers["Location"]) == (308, f"{MOUNT}/?period=7d")


def test_standalone_server_has_the_page_for_browsers(standalone):
    client = standalone()

    page = client.get("/", key=None, headers={"Accept": BROWSER})
    other = client.get("/", key=None, headers={"Accept": "*/*"})
    asset = client.get(find_asset_of(page.text), key=None)

    assert '<meta name="api" content="analytics">' in page.text
    assert page.headers.getlist("Content-Security-Policy") == [POLICY]
    assert page.headers.getlist("Referrer-Policy") == ["same-origin"]
    assert (other.json["name"], asset.status_code) == ("Analytics API", 200)


@pytest.mark.parametrize("dashboard", ["0", "1"])
def test_unknown_path_links_a_browser_to_the_start(standalone, dashboard):
    client = standalone(ANALYTICS_DASHBOARD=dashboard)

    for path in ("/docs", "/overview", "/leads/", "/analyticsx"):
        page = client.get(path, key=None, headers={"Accept": BROWSER}, environ_overrides={"SCRIPT_NAME": "/st<ats"})

        assert page.status_code == 404
        assert '<a href="/st%3Cats/">' in page.text
        assert "/st%3Cats/openapi.json" in page.text


def test_unknown_path_needs_a_key_except_for_browsers(standalone):
    client = standalone()

    statuses = [
        client.get(path, key=None, headers={"Accept": accept}).status_code
        for path, accept in (("/docs", "*/*"), ("/docs", "application/json"), ("/analytics/docs", BROWSER))
    ]

    assert statuses == [401, 401, 401]
    assert client.get("/docs", headers={"Accept": BROWSER}).json == {"error": "Unknown analytics endpoint"}


def find_asset_of(html):
    return "/" + next(link for link in read_links(html) if link.endswith("/main.js"))


def test_setting_turns_page_and_sign_in_off(standalone):
    client = standalone(ANALYTICS_DASHBOARD="0")

    page = client.get("/", key=None, headers={"Accept": BROWSER})
    session = client.post("/analytics/session", json={"key": KEY}, key=None, headers={"Sec-Fetch-Site": "same-origin"})

    assert "stylesheet" not in page.text
    assert session.status_code == 401
    assert "/analytics/session" not in client.get("/openapi.json", key=None).json["paths"]


def test_standalone_server_signs_in(standalone):
    client = standalone()

    session = client.post("/analytics/session", json={"key": KEY}, key=None, headers={"Sec-Fetch-Site": "same-origin"})

    assert (session.status_code, session.json["name"]) == (200, "key-1")
    assert "/analytics/session" in client.get("/openapi.json", key=None).json["paths"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_library_does_not_serve_the_page(database):
    client = APIClient(create_app(database, api_keys=[KEY]))

    assert client.get("/", headers={"Accept": BROWSER}).status_code == 404
