"""`analytics-api serve` behind Caddy with deploy/Caddyfile."""

import gzip
import json
import re
import ssl
from contextlib import ExitStack
from http.client import HTTPSConnection, IncompleteRead
from urllib.parse import quote

import pytest
from helpers.caddy import proxying, require_caddy
from helpers.client import KEY
from helpers.collecting import BROWSER
from helpers.server import serving, truncating_server
from helpers.tls import make_certificate

from analytics_api import open_database

pytestmark = pytest.mark.slow

HEADERS = {"X-API-Key": KEY}
COMPRESSED = {**HEADERS, "Accept-Encoding": "gzip"}
PATCH = f"PATCH /analytics/leads/1 HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
WON = b'{"status": "won"}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    require_caddy()
    folder = tmp_path_factory.mktemp("caddy")
    with open_database(folder / "analytics.db").closing() as database:
        columns = ["lead_id", "enquiry_datetime", "contact_name", "project_name"]
        rows = [(number, "2026-02-23 11:15:00", f"Zoë {number:01000}", "Towers") for number in range(1, 201)]
        database.write(lambda at: at.insert("leads", columns, rows))
    return folder


@pytest.fixture(scope="module")
def server(folder):
    settings = {"ANALYTICS_TRUSTED_PROXIES": "1", "ANALYTICS_METRICS": "1", "ANALYTICS_LOG_ADDRESS": "1"}
    options = ("--workers", "1", "--threads", "4")
    with serving(folder, *options, ANALYTICS_COLLECT_HOSTS="shop.example", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def caddy(server):
    with proxying(server) as caddy:
        yield caddy


def log_line(server, request_id):
    """Return the line of the API's log for the request with this id."""
    [line] = [line for line in server.lines() if line.get("request_id") == request_id]
    return line


def test_link_of_many_filters_reaches_the_client(caddy):
    projects = "&".join(f"project={quote('स्काई टावर्स पुणे महाराष्ट्र')}{number}" for number in range(19))

    status, headers, _ = caddy.request("GET", f"/analytics/leads?limit=1&project=Towers&{projects}")

    assert (status, len(headers["Link"]) > 4096) == (200, True)
    assert headers["Link"].startswith("</analytics/leads?")


def test_forwarded_headers_of_a_client_are_replaced(caddy, server):
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Prefix": "/evil", "X-Request-ID": "forged-headers"}

    _, headers, _ = caddy.request("GET", "/analytics/leads?limit=2", headers={**HEADERS, **forged}, source="127.0.0.3")

    assert log_line(server, "forged-headers")["address"] == "127.0.0.3"
    assert headers["Link"].startswith("</analytics/leads?")


@pytest.mark.parametrize(
    "forged",
    [{"X-Forwarded-Proto": "https"}, {"X-Forwarded-Host": "evil.example"}, {"X-Forwarded-Port": "444"}],
    ids=["proto", "host", "port"],
)
def test_forged_headers_do_not_change_the_origin_of_the_server(forged, caddy):
    own = {"Origin": f"http://127.0.0.1:{caddy.address[1]}", "Content-Type": "application/json"}

    status, headers, _ = caddy.request("POST", "/analytics/session", json.dumps({"key": KEY}), {**own, **forged})

    assert status == 200
    assert "; Secure" not in headers["Set-Cookie"]


def test_size_of_headers_is_limited(caddy):
    statuses = [
        caddy.request("GET", "/analytics/geo", headers={**HEADERS, "X-A": "a" * size})[0] for size in (8000, 40_000)
    ]

    assert statuses == [200, 431]


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6detrics", "/x/../metrics", "/metrics?x=1"])
def test_metrics_are_not_public(path, caddy, server):
    assert server.request("GET", "/metrics")[0] == 200
    assert caddy.request("GET", path)[0] == 404


def test_largest_body_reaches_the_api(caddy):
    status, _, body = caddy.request("PATCH", "/analytics/leads/1", b" " * 65_536)

    assert (status, json.loads(body)) == (400, {"error": "The request body must be JSON"})


def test_body_over_the_limit_is_rejected_by_caddy(caddy):
    status, headers, _ = caddy.request("PATCH", "/analytics/leads/1", iter([b" " * 65_537]))

    assert (status, headers["X-Request-ID"]) == (413, None)


def test_chunked_body_reaches_the_api(caddy):
    status, _, body = caddy.request("PATCH", "/analytics/leads/2", iter([WON[:5], WON[5:]]))

    assert (status, json.loads(body)) == (200, {"updated": True})


def test_list_is_compressed_and_cached(caddy):
    path = "/analytics/leads?limit=100"
    _, _, whole = caddy.request("GET", path)
    _, headers, body = caddy.request("GET", path, headers=COMPRESSED)
    again = {**COMPRESSED, "If-None-Match": headers["ETag"]}
    status, _, _ = caddy.request("GET", path, headers=again)

    assert gzip.decompress(body) == whole
    assert status == 304


def test_if_match_accepts_the_etag_of_a_lead_with_gzip(caddy):
    def update(etag):
        return caddy.request("PATCH", "/analytics/leads/8", WON, headers={**COMPRESSED, "If-Match": etag})

    etag = caddy.request("GET", "/analytics/leads/8", headers=COMPRESSED)[1]["ETag"]
    first, headers, _ = update(etag)
    outdated, _, _ = update(etag)
    second, _, _ = update(headers["ETag"])

    assert (first, outdated, second) == (200, 412, 200)


def test_head_and_options_reach_the_api(caddy):
    _, _, body = caddy.request("GET", "/analytics/site")
    head, headers, _ = caddy.request("HEAD", "/analytics/site")
    options, allowed, _ = caddy.request("OPTIONS", "/analytics/site")

    assert (head, headers["Content-Length"]) == (200, str(len(body)))
    assert (options, allowed["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_visits_are_collected_with_the_address_of_the_client(caddy, server):
    event = {"type": "page_view", "id": "view-00000001", "url": "https://shop.example/", "at": 0}
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "collected-visit"}
    headers = {"User-Agent": BROWSER, "Content-Type": "text/plain", **forged}

    script, _, _ = caddy.request("GET", "/a.js", headers=())
    status, _, _ = caddy.request("POST", "/collect", json.dumps(event), headers, source="127.0.0.3")

    assert (script, status) == (200, 204)
    assert log_line(server, "collected-visit")["address"] == "127.0.0.3"


STALLED = {
    "half-body": f"{PATCH}Content-Length: 40000\r\n\r\n{'':20000}",
    "chunked-body": f"{PATCH}Transfer-Encoding: chunked\r\n\r\n9c40\r\n{'':20000}",
    "half-header": PATCH,
    "idle": "",
    "unclosed": "GET /healthz HTTP/1.0\r\n\r\n",
    "export": f"GET /analytics/leads/export HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n",
}


@pytest.mark.parametrize("first", STALLED.values(), ids=STALLED)
def test_stalled_clients_occupy_no_thread(first, server):
    def lengthen_timeouts(text):
        return re.sub(r"(read_header|read_body) 10s", r"\1 300s", text)

    with proxying(server, lengthen_timeouts) as caddy, ExitStack() as stack:
        for _ in range(12):  # the server has four threads
            stack.enter_context(caddy.connect()).sendall(first.encode())
        answers = [caddy.request("GET", "/healthz")[0] for _ in range(20)]

    assert answers == [200] * 20


@pytest.mark.parametrize("first", [PATCH, STALLED["chunked-body"]], ids=["half-header", "chunked-body"])
def test_stalled_request_is_cut(first, server):
    def shorten_timeouts(text):
        return re.sub(r"(read_header|read_body) 10s", r"\1 1s", text)

    with proxying(server, shorten_timeouts) as caddy, caddy.connect() as connection:
        connection.sendall(first.encode())
        received = connection.makefile("rb").read()

    assert b"X-Request-Id" not in received


def test_failed_requests_are_logged_without_keys_and_queries(folder):
    with serving(folder, "--workers", "1", ANALYTICS_TRUSTED_PROXIES="1") as server, proxying(server) as caddy:
        server.process.terminate()
        server.process.wait(40)
        status, _, _ = caddy.request("GET", "/analytics/leads?q=Secret")
        log = caddy.log.read_text()

    assert (status, "connection refused" in log) == (502, True)
    assert [text for text in (KEY, "Secret") if text in log] == []


@pytest.mark.parametrize("headers", [HEADERS, COMPRESSED], ids=["plain", "gzip"])
@pytest.mark.usefixtures("folder")
def test_truncated_response_is_detected(headers):
    with truncating_server() as server, proxying(server) as caddy, pytest.raises((IncompleteRead, ConnectionError)):
        caddy.request("GET", "/analytics/leads/export", headers=headers)


def test_sign_in_over_tls_sets_a_secure_cookie(server, tmp_path):
    certificate, key = make_certificate(tmp_path)

    def edit(text):
        text = text.replace("{\n", "{\n\tauto_https disable_redirects\n", 1)  # port 80 may be in use
        return text.replace("\tbind 127.0.0.1\n", f"\tbind 127.0.0.1\n\ttls {certificate.name} {key.name}\n")

    with proxying(server, edit, files=[certificate, key], scheme="https") as caddy:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = HTTPSConnection(*caddy.address, timeout=30, context=context)
        own = {"Origin": f"https://127.0.0.1:{caddy.address[1]}", "Content-Type": "application/json"}
        connection.request("POST", "/analytics/session", json.dumps({"key": KEY}), own)
        response = connection.getresponse()
        status, _ = response.status, response.read()
        cookie, _, attributes = response.headers["Set-Cookie"].partition("; ")
        connection.request("GET", "/analytics/geo", headers={"Sec-Fetch-Site": "same-origin", "Cookie": cookie})
        signed_in = connection.getresponse().status
        connection.close()

    assert (status, signed_in) == (200, 200)
    assert {"Secure", "HttpOnly", "Path=/analytics"} < set(attributes.split("; "))
