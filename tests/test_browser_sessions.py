"""Signing in and out with a browser, and requests with the session cookie."""

import pytest
from helpers.client import KEY, MOUNT, NOW
from werkzeug.http import parse_cookie

from analytics_api.browser_sessions import LIFETIME, MAX_SESSIONS
from analytics_api.keys import KeyStore

OWN = {"Sec-Fetch-Site": "same-origin"}
OTHER_SITE = {"error": "This request does not come from a page of this server"}
MISSING = {"error": "API key required. Use Authorization: Bearer <key> or X-API-Key header."}


@pytest.fixture
def client(serve):
    return serve(browser_sessions=True)


def sign_in(client, key=KEY, headers=OWN):
    return client.post("/analytics/session", json={"key": key}, key=None, headers=headers)


def signed_in(client, key=KEY):
    """Sign in and return the cookie as a request header."""
    response = sign_in(client, key)
    assert response.status_code == 200
    token = parse_cookie(response.headers["Set-Cookie"].partition(";")[0])["analytics_session"]
    return {"Cookie": f"analytics_session={token}"}


def count_sessions(database):
    return database.tuples("select count(*) from browser_sessions")[0][0]


def test_sign_in_sets_a_cookie_that_only_the_browser_can_use(client):
    response = sign_in(client)

    name, _, attributes = response.headers["Set-Cookie"].partition("=")
    token, *rest = attributes.split("; ")
    assert (response.status_code, response.json) == (
        200,
        {"name": "key-1", "scopes": ["stats", "leads:read", "leads:write"], "expires": None},
    )
    assert (name, len(token)) == ("analytics_session", 43)
    assert sorted(part for part in rest if not part.startswith("Expires")) == [
        "HttpOnly",
        "Max-Age=2592000",
        f"Path={MOUNT}/analytics",
        "SameSite=Strict",
    ]
    assert response.headers["Vary"] == "Cookie"


@pytest.mark.any_engine
def test_cookie_over_tls_is_secure(client):
    response = client.post(
        "/analytics/session", json={"key": KEY}, key=None, headers=OWN, environ_overrides={"wsgi.url_scheme": "https"}
    )

    assert "; Secure" in response.headers["Set-Cookie"]


def test_table_contains_neither_key_nor_token(client, database):
    cookie = signed_in(client)

    row = database.rows("select * from browser_sessions")[0]

    assert KEY not in str(row)
    assert cookie["Cookie"].partition("=")[2] not in str(row)
    assert (row["created_at"], row["expires_at"]) == (NOW, NOW + LIFETIME)


def test_cookie_has_the_scopes_and_name_of_its_key(client, database, insert):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    key = KeyStore(database).add("sales", ["leads:read", "leads:write"], now=NOW)
    cookie = signed_in(client, key)

    stats = client.get("/analytics/overview", key=None, headers={**OWN, **cookie})
    update = client.patch("/analytics/leads/1", json={"status": "won"}, key=None, headers={**OWN, **cookie})

    assert (stats.status_code, update.status_code) == (403, 200)
    assert database.tuples("select changed_by from lead_status_changes") == [("sales",)]
    assert stats.headers["Vary"] == update.headers["Vary"] == "Cookie"


SITES = {
    "same": ({"Sec-Fetch-Site": "same-origin"}, 200, 200),
    "same-from-other": ({"Sec-Fetch-Site": "same-origin", "Origin": "https://other.example"}, 200, 200),
    "typed": ({"Sec-Fetch-Site": "none"}, 200, 403),
    "same-site": ({"Sec-Fetch-Site": "same-site"}, 403, 403),
    "cross-site": ({"Sec-Fetch-Site": "cross-site"}, 403, 403),
    "cross-site-own-origin": ({"Sec-Fetch-Site": "cross-site", "Origin": "http://shop.example"}, 403, 403),
    "unknown-site": ({"Sec-Fetch-Site": ""}, 403, 403),
    "neither": ({}, 200, 403),
    "own-origin": ({"Origin": "http://shop.example"}, 200, 200),
    "own-origin-upper": ({"Origin": "http://SHOP.example"}, 200, 200),
    "null-origin": ({"Origin": "null"}, 403, 403),
    "empty-origin": ({"Origin": ""}, 403, 403),
    "other-origin": ({"Origin": "http://other.example"}, 403, 403),
    "other-scheme": ({"Origin": "https://shop.example"}, 403, 403),
    "other-port": ({"Origin": "http://shop.example:8080"}, 403, 403),
    "subdomain": ({"Origin": "http://a.shop.example"}, 403, 403),
}


@pytest.mark.any_engine
@pytest.mark.parametrize(("headers", "read", "write"), SITES.values(), ids=SITES)
def test_cookie_is_valid_only_from_its_origin(client, insert, headers, read, write):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    cookie = signed_in(client)

    get = client.get("/analytics/geo", key=None, headers={**headers, **cookie})
    head = client.head("/analytics/geo", key=None, headers={**headers, **cookie})
    patch = client.patch("/analytics/leads/1", json={"status": "won"}, key=None, headers={**headers, **cookie})

    assert (get.status_code, head.status_code, patch.status_code) == (read, read, write)


@pytest.mark.any_engine
@pytest.mark.parametrize(("headers", "read", "write"), SITES.values(), ids=SITES)
def test_signing_in_and_out_needs_a_page_of_the_origin(client, database, headers, read, write):
    cookie = signed_in(client)

    sign_out = client.delete("/analytics/session", key=None, headers={**headers, **cookie})
    response = sign_in(client, headers=headers)

    assert (response.status_code, sign_out.status_code) == ((200, 204) if write == 200 else (403, 403))
    assert count_sessions(database) == 1
    if write == 403:
        assert response.json == OTHER_SITE


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("host", "scheme", "origin", "status"),
    [
        ("shop.example:80", "http", "http://shop.example", 200),
        ("shop.example:443", "https", "https://shop.example", 200),
        ("shop.example:443", "http", "http://shop.example:443", 200),
        ("[::1]:8000", "http", "http://[::1]:8000", 200),
        ("[::1]:8000", "http", "http://[::1]", 403),
    ],
    ids=["http", "https", "odd-port", "ipv6", "ipv6-port"],
)
def test_origin_is_compared_without_default_ports(client, host, scheme, origin, status):
    overrides = {"HTTP_HOST": host, "wsgi.url_scheme": scheme, "HTTP_ORIGIN": origin}

    response = client.post("/analytics/session", json={"key": KEY}, key=None, environ_overrides=overrides)

    assert response.status_code == status


@pytest.mark.any_engine
@pytest.mark.parametrize(("key", "status"), [("wrong", 401), (KEY, 200)], ids=["wrong", "right"])
@pytest.mark.parametrize("site", ["same-origin", "cross-site"])
def test_key_in_a_header_overrides_the_cookie(client, key, status, site):
    cookie = signed_in(client)

    response = client.get("/analytics/geo", key=key, headers={"Sec-Fetch-Site": site, **cookie})

    assert response.status_code == status
    assert "Vary" not in response.headers


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    "cookie",
    ["analytics_session=", "analytics_session=x", "analytics_session=%00", 'analytics_session="é"', "other=x"],
    ids=["empty", "unknown", "nul", "latin", "other"],
)
def test_unknown_cookie_is_401(client, cookie):
    response = client.get("/analytics/geo", key=None, headers={**OWN, "Cookie": cookie})

    assert (response.status_code, response.json, response.headers["Vary"]) == (401, MISSING, "Cookie")


def test_valid_cookie_is_found_among_invalid_ones(client):
    cookie = signed_in(client)["Cookie"]

    response = client.get("/analytics/geo", key=None, headers={**OWN, "Cookie": f"analytics_session=x; {cookie}"})

    assert response.status_code == 200


@pytest.mark.any_engine
@pytest.mark.shared_database
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"key": 1}'], ids=["none", "broken", "list", "empty", "int"]
)
def test_sign_in_without_a_key_is_400(client, body):
    response = client.post("/analytics/session", data=body, content_type="application/json", key=None, headers=OWN)

    assert response.status_code == 400


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "key",
    ["wrong", "", " ", "\ud800", "ключ", "x" * 10_000],
    ids=["wrong", "empty", "blank", "surrogate", "cyrillic", "long"],
)
def test_sign_in_with_a_wrong_key_is_401(client, database, key):
    response = sign_in(client, key)

    assert (response.status_code, response.json) == (401, {"error": "Invalid API key"})
    assert "Set-Cookie" not in response.headers
    assert count_sessions(database) == 0


@pytest.mark.any_engine
def test_blanks_around_the_key_are_ignored(client):
    assert sign_in(client, f" {KEY}\t").status_code == 200


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("referrer", "location"),
    [
        (f"http://shop.example{MOUNT}/?period=7d&country=IN", f"{MOUNT}/?period=7d&country=IN"),
        ("http://SHOP.example/stats/", "/stats/"),
        ("http://shop.example/caf%C3%A9?q=a%26b", "/caf%C3%A9?q=a%26b"),
        (None, f"{MOUNT}/"),
        ("", f"{MOUNT}/"),
        ("http://[", f"{MOUNT}/"),
        ("https://shop.example/", f"{MOUNT}/"),
        ("http://evil.example/", f"{MOUNT}/"),
        ("http://shop.example@evil.example/", f"{MOUNT}/"),
        ("http://shop.example//evil.example/", f"{MOUNT}/"),
        ("http://shop.example/\\evil.example/", f"{MOUNT}/"),
        ("http://shop.example", f"{MOUNT}/"),
    ],
    ids=[
        "query",
        "case",
        "encoded",
        "none",
        "empty",
        "invalid",
        "tls",
        "other",
        "user",
        "slashes",
        "backslash",
        "no-path",
    ],
)
def test_sign_in_form_returns_to_its_page(client, referrer, location):
    headers = {**OWN, **({} if referrer is None else {"Referer": referrer})}

    response = client.post("/analytics/session", data={"key": KEY}, key=None, headers=headers)

    assert (response.status_code, response.headers["Location"]) == (303, f"{location}#signed-in")
    assert response.headers["Set-Cookie"].startswith("analytics_session=")


@pytest.mark.any_engine
@pytest.mark.parametrize("form", [{"key": "wrong"}, {"key": ""}, {}], ids=["wrong", "empty", "none"])
def test_sign_in_form_with_a_wrong_key_shows_the_error(client, form):
    response = client.post(
        "/analytics/session",
        data=form,
        content_type="application/x-www-form-urlencoded",
        key=None,
        headers={**OWN, "Referer": "http://shop.example/stats/?period=7d"},
    )

    assert (response.status_code, response.headers["Location"]) == (303, "/stats/?period=7d#invalid-key")
    assert "Set-Cookie" not in response.headers


def test_sign_out_ends_the_session(client, database):
    cookie, other = signed_in(client), signed_in(client)

    response = client.delete("/analytics/session", key=None, headers={**OWN, **cookie})
    after = [client.get("/analytics/geo", key=None, headers={**OWN, **each}).status_code for each in (cookie, other)]

    assert (response.status_code, response.data) == (204, b"")
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert after == [401, 200]
    assert count_sessions(database) == 1


@pytest.mark.any_engine
def test_sign_out_without_a_session_does_nothing(client):
    response = client.delete("/analytics/session", key=None, headers=OWN)

    assert response.status_code == 204


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/analytics/session", 405),
        ("PUT", "/analytics/session", 405),
        ("OPTIONS", "/analytics/session", 204),
        ("POST", "/analytics/session?x=1", 400),
        ("POST", "/analytics/session/", 401),
    ],
)
def test_session_has_two_methods_and_no_parameters(client, method, path, status):
    response = client.open(path, method=method, json={"key": KEY}, key=None, headers=OWN)

    assert response.status_code == status
    assert response.headers.get("Allow", "DELETE, OPTIONS, POST") == "DELETE, OPTIONS, POST"


def test_revoked_key_ends_its_sessions(client, database):
    keys = KeyStore(database)
    wall = signed_in(client, keys.add("wall", ["stats"], now=NOW))
    signed_in(client)

    keys.revoke("wall", now=NOW)
    response = client.get("/analytics/geo", key=None, headers={**OWN, **wall})

    assert response.status_code == 401
    assert count_sessions(database) == 1


def test_current_scopes_of_the_key_apply(serve, database):
    keys = KeyStore(database)
    client = serve(browser_sessions=True)
    expiring = signed_in(client, keys.add("short", ["stats"], now=NOW, expires_at=NOW + 10))
    changing = signed_in(client, keys.add("wall", ["stats"], now=NOW))
    setting = signed_in(client)

    database.write(lambda at: at.execute("update api_keys set scopes = 'leads:read' where name = 'wall'"))
    later = serve(now=NOW + 10, browser_sessions=True, api_keys=["another-key-of-the-settings"])
    statuses = [
        later.get("/analytics/geo", key=None, headers={**OWN, **cookie}).status_code
        for cookie in (expiring, changing, setting)
    ]

    assert statuses == [401, 403, 401]


def test_restart_keeps_sessions(serve):
    cookie = signed_in(serve(browser_sessions=True))

    response = serve(browser_sessions=True).get("/analytics/geo", key=None, headers={**OWN, **cookie})

    assert response.status_code == 200


def test_session_expires(serve, database):
    cookie = signed_in(serve(browser_sessions=True))
    later = serve(now=NOW + LIFETIME, browser_sessions=True)

    response = later.get("/analytics/geo", key=None, headers={**OWN, **cookie})
    signed_in(later)

    assert response.status_code == 401
    assert count_sessions(database) == 1


def test_key_has_at_most_20_sessions(serve, database):
    other = signed_in(serve(browser_sessions=True), KeyStore(database).add("wall", ["stats"], now=NOW))
    cookies = [signed_in(serve(now=NOW + second, browser_sessions=True)) for second in range(MAX_SESSIONS + 2)]
    client = serve(now=NOW + 100, browser_sessions=True)

    statuses = [
        client.get("/analytics/geo", key=None, headers={**OWN, **cookie}).status_code for cookie in (*cookies, other)
    ]

    assert statuses == [401] * 2 + [200] * (MAX_SESSIONS + 1)


@pytest.mark.any_engine
def test_browser_sessions_are_off_by_default(serve):
    client = serve()

    assert sign_in(client).status_code == 401
    assert client.post("/analytics/session", json={"key": KEY}, headers=OWN).status_code == 404


@pytest.mark.any_engine
def test_request_without_a_cookie_is_authenticated_by_the_host(serve):
    from analytics_api import Principal

    client = serve(browser_sessions=True, authenticate=lambda environ: Principal("ann", frozenset({"stats"})))

    response = client.get("/analytics/whoami", key=None, headers=OWN)

    assert (response.status_code, response.json["name"]) == (200, "ann")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_backup_and_copy_omit_browser_sessions(client, database, tmp_path):
    from analytics_api import open_database
    from analytics_api.maintenance.copy import copy

    cookie = signed_in(client)
    digest = database.rows("select token_digest from browser_sessions")[0]["token_digest"]

    database.backup(tmp_path / "backup.db")
    with (
        open_database(tmp_path / "backup.db").closing() as backup,
        open_database(tmp_path / "c.db").closing() as target,
    ):
        copy(database, target)
        counts = [count_sessions(backup), count_sessions(target)]

    assert counts == [0, 0]
    assert digest.encode() not in (tmp_path / "backup.db").read_bytes()
    assert client.get("/analytics/geo", key=None, headers={**OWN, **cookie}).status_code == 200


def test_failure_while_signing_in_is_500(client, database, caplog):
    database.write(lambda at: at.execute("drop table browser_sessions"))

    response = sign_in(client)

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert "browser_sessions" in caplog.text
