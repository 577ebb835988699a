"""The endpoints and middleware that the standalone server adds to the API."""

import sqlite3
from importlib.metadata import version

import pytest
from helpers.client import KEY, MOUNT, NOW, APIClient
from werkzeug.test import Client

from analytics_api import create_app
from analytics_api.server.serve import build_server_app
from analytics_api.server.settings import Settings

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def client(database):
    return APIClient(build_server_app(create_app(database, api_keys=[KEY], clock=lambda: NOW), database))


@pytest.mark.shared_database
@pytest.mark.parametrize("key", [None, "wrong", KEY])
def test_health_needs_no_key(client, key):
    alive, ready = client.get("/healthz", key=key), client.get("/readyz", key=key)

    assert (alive.status_code, alive.json) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json) == (200, {"status": "ok", "database": "ok"})


@pytest.mark.shared_database
@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json"])
def test_health_allows_only_reads(client, path):
    head = client.head(path, key=None)
    others = [client.open(path, method=method, key=None) for method in ("POST", "PATCH", "DELETE", "OPTIONS")]

    assert (head.status_code, head.data) == (200, b"")
    assert [reply.status_code for reply in others] == [405] * 4
    assert {reply.headers["Allow"] for reply in others} == {"GET, HEAD"}


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "path", ["/analytics/healthz", "/analytics/readyz", "/healthz/", "/healthz/x", "/metrics", "/docs"]
)
def test_other_paths_need_a_key(client, path):
    response = client.get(path, key=None)

    assert response.status_code == 401


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.shared_database
@pytest.mark.parametrize("accept", ["*/*", "application/json", "image/png", None], ids=["any", "json", "png", "none"])
def test_start_page_is_json_without_a_key(client, accept):
    response = client.get("/", key=None, headers={"Accept": accept} if accept else {})

    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.headers["Vary"] == "Accept"
    assert response.json == {
        "name": "Analytics API",
        "version": version("analytics_api"),
        "openapi": f"{MOUNT}/openapi.json",
        "analytics": f"{MOUNT}/analytics",
        "documentation": "README.md and docs/ in the source code of analytics_api",
    }


def test_start_page_is_html_for_a_browser(client):
    response = client.get("/", key=None, headers={"Accept": BROWSER})

    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    assert response.headers["Vary"] == "Accept"
    assert f'<a href="{MOUNT}/openapi.json">' in response.text
    assert client.head("/", key=None, headers={"Accept": BROWSER}).headers["Content-Length"] == str(len(response.data))


def test_start_page_escapes_the_mount_path(database):
    app = build_server_app(create_app(database, api_keys=[KEY]), database)

    response = Client(app).get("/", base_url='http://shop.example/a"<b>/', headers={"Accept": BROWSER})

    assert "/a%22%3Cb%3E/openapi.json" in response.text


@pytest.mark.shared_database
@pytest.mark.parametrize(("mount", "url"), [("/stats", "/stats"), ("/ä b", "/%C3%A4%20b"), ("", "/")], ids=str)
def test_openapi_server_is_the_mount_path(database, mount, url):
    app = build_server_app(create_app(database, api_keys=[KEY]), database)

    response = Client(app).get("/openapi.json", base_url=f"http://shop.example{mount}/")

    assert response.json["servers"] == [{"url": url}]


def test_openapi_server_follows_the_forwarded_prefix(database):
    app = build_server_app(create_app(database, api_keys=[KEY]), database, trusted_proxies=1)

    response = Client(app).get("/openapi.json", headers={"X-Forwarded-Prefix": "/stats"})

    assert response.json["servers"] == [{"url": "/stats"}]


@pytest.mark.shared_database
@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json"])
def test_endpoints_without_a_key_follow_the_cors_setting(database, path):
    environ = {"ANALYTICS_API_KEY": KEY, "ANALYTICS_CORS_ORIGINS": "https://docs.example"}
    client = APIClient(Settings.read(environ).application(database))

    allowed = client.get(path, key=None, headers={"Origin": "https://docs.example"})
    other = client.get(path, key=None, headers={"Origin": "https://elsewhere.example"})
    preflight = client.options(
        path, key=None, headers={"Origin": "https://docs.example", "Access-Control-Request-Method": "GET"}
    )

    assert allowed.headers.getlist("Access-Control-Allow-Origin") == ["https://docs.example"]
    assert (other.status_code, "Access-Control-Allow-Origin" in other.headers) == (200, False)
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, "https://docs.example")


def test_locked_database_is_not_ready_and_recovers(database, client, caplog):
    database.busy_timeout = 0.05
    database.close()
    other = sqlite3.connect(database.url, isolation_level=None)
    other.execute("pragma locking_mode = exclusive")
    other.execute("begin exclusive")

    locked, alive = client.get("/readyz", key=None), client.get("/healthz", key=None)
    other.close()
    healed = client.get("/readyz", key=None)

    assert (locked.status_code, locked.json) == (503, {"status": "unavailable", "database": "does not answer"})
    assert alive.status_code == 200
    assert healed.status_code == 200
    assert "database is locked" in caplog.text


def test_missing_database_is_not_ready_without_details(database, client, tmp_path):
    database.close()
    for file in tmp_path.glob("analytics.db*"):
        file.unlink()

    response = client.get("/readyz", key=None)

    assert (response.status_code, response.json) == (503, {"status": "unavailable", "database": "does not answer"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/healthz", None, 200),
        ("GET", "/openapi.json", None, 200),
        ("GET", "/analytics/geo", KEY, 200),
        ("PATCH", "/analytics/leads/x", KEY, 400),
        ("GET", "/analytics/geo", None, 401),
        ("GET", "/analytics/nothing", KEY, 404),
        ("DELETE", "/analytics/geo", KEY, 405),
        ("OPTIONS", "/analytics/geo", KEY, 204),
    ],
)
def test_every_response_has_security_headers(client, method, path, key, status):
    response = client.open(path, method=method, key=key)

    assert response.status_code == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control" if status != 204 else "Allow"]


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("path", "timed"),
    [("/analytics/geo", ["query", "total"]), ("/analytics/nothing", ["total"]), ("/healthz", ["total"])],
)
def test_response_has_the_server_timing(client, path, timed):
    response = client.get(path)

    parts = [part.split(";dur=") for part in response.headers["Server-Timing"].split(", ")]
    assert [name for name, _ in parts] == timed
    assert all(0 <= float(milliseconds) < 60_000 for _, milliseconds in parts)


FORWARDED = {
    "X-Forwarded-For": "203.0.113.9, 198.51.100.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "api.example",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Prefix": "/behind",
}


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        (0, (None, "http", "shop.example", MOUNT)),
        (1, ("198.51.100.7", "https", "api.example:443", "/behind")),
        (2, ("203.0.113.9", "http", "shop.example", MOUNT)),
    ],
)
def test_only_configured_proxies_are_trusted(database, proxies, expected):
    environs = []

    def api(environ, start_response):
        environs.append(environ)
        start_response("204 No Content", [])
        return []

    APIClient(build_server_app(api, database, trusted_proxies=proxies)).get("/x", headers=FORWARDED)

    (environ,) = environs
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SCRIPT_NAME")
    assert tuple(environ.get(name) for name in names) == expected
