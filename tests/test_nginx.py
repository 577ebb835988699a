"""`analytics-api serve` behind nginx with deploy/nginx.conf."""

import gzip
import json
import re
import select
import socket
import ssl
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPSConnection, IncompleteRead
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from helpers.client import KEY
from helpers.nginx import proxying, require_nginx
from helpers.server import free_port, serving, truncating_server, wait_for
from helpers.tls import make_certificate

from analytics_api import open_database

pytestmark = pytest.mark.slow

LEADS = 500
HEADERS = {"X-API-Key": KEY}
COMPRESSED = {**HEADERS, "Accept-Encoding": "gzip"}
PATCH = f"PATCH /analytics/leads/1 HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
WON = b'{"status": "won"}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    require_nginx()
    folder = tmp_path_factory.mktemp("nginx")
    with open_database(folder / "analytics.db").closing() as database:
        columns = ["lead_id", "enquiry_datetime", "contact_name", "project_name"]
        rows = [(number, "2026-02-23 11:15:00", f"Zoë {number}", "Towers") for number in range(1, LEADS + 1)]
        database.write(lambda at: at.insert("leads", columns, rows))
    return folder


@pytest.fixture(scope="module")
def server(folder):
    settings = {"ANALYTICS_TRUSTED_PROXIES": "1", "ANALYTICS_METRICS": "1", "ANALYTICS_LOG_ADDRESS": "1"}
    with serving(folder, "--workers", "1", "--threads", "4", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def nginx(server):
    with proxying(server) as nginx:
        yield nginx


def test_nginx_forwards_requests(nginx):
    status, headers, body = nginx.request("GET", "/analytics/leads?limit=2")

    assert (status, len(json.loads(body))) == (200, 2)
    assert headers["Link"].startswith("</analytics/leads?")


def test_link_of_many_filters_reaches_the_client(nginx):
    projects = "&".join(f"project={quote('स्काई टावर्स पुणे महाराष्ट्र')}{number}" for number in range(19))

    status, headers, _ = nginx.request("GET", f"/analytics/leads?limit=1&project=Towers&{projects}")

    assert (status, len(headers["Link"]) > 4096) == (200, True)


def test_list_is_compressed(nginx):
    _, plain, whole = nginx.request("GET", "/analytics/leads?limit=100")
    _, headers, body = nginx.request("GET", "/analytics/leads?limit=100", headers=COMPRESSED)
    status, _, _ = nginx.request(
        "GET", "/analytics/leads?limit=100", headers={**COMPRESSED, "If-None-Match": headers["ETag"]}
    )

    assert (plain["Content-Encoding"], headers["Content-Encoding"]) == (None, "gzip")
    assert gzip.decompress(body) == whole
    assert status == 304


def test_export_is_whole_and_compressed(nginx):
    path = "/analytics/leads/export?format=ndjson"
    _, _, plain = nginx.request("GET", path)
    _, headers, compressed = nginx.request("GET", path, headers=COMPRESSED)

    assert plain.count(b"\n") == LEADS
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed) == plain


def test_etag_of_a_lead_stays_strong_with_gzip(nginx):
    _, headers, _ = nginx.request("GET", "/analytics/leads/7", headers=COMPRESSED)

    assert re.fullmatch(r'"[^"]+"', headers["ETag"])
    assert headers["Content-Encoding"] is None


def test_if_match_accepts_the_etag_of_a_compressed_lead(nginx):
    def update(etag):
        return nginx.request("PATCH", "/analytics/leads/8", WON, headers={**COMPRESSED, "If-Match": etag})

    etag = nginx.request("GET", "/analytics/leads/8", headers=COMPRESSED)[1]["ETag"]
    first, headers, _ = update(etag)
    outdated, _, _ = update(etag)
    second, _, _ = update(headers["ETag"])

    assert (first, outdated, second) == (200, 412, 200)


def test_forwarded_headers_of_a_client_are_replaced(nginx, server):
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Prefix": "/evil", "X-Request-ID": "forged-headers"}

    _, headers, _ = nginx.request("GET", "/analytics/leads?limit=2", headers={**HEADERS, **forged}, source="127.0.0.3")

    (line,) = [line for line in server.lines() if line.get("request_id") == "forged-headers"]
    assert line["address"] == "127.0.0.3"
    assert headers["Link"].startswith("</analytics/leads?")


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6detrics", "/x/../metrics"])
def test_metrics_are_not_public(path, nginx, server):
    assert server.request("GET", "/metrics")[0] == 200
    assert nginx.request("GET", path)[0] == 404


def test_body_over_the_limit_is_413_in_json(nginx):
    status, headers, body = nginx.request("PATCH", "/analytics/leads/1", b" " * 70_000)

    assert (status, headers["Content-Type"]) == (413, "application/json")
    assert json.loads(body) == {"error": "The request body must have at most 65536 bytes"}


def test_chunked_body_reaches_the_api(nginx):
    status, _, body = nginx.request("PATCH", "/analytics/leads/2", iter([WON[:5], WON[5:]]))

    assert (status, json.loads(body)) == (200, {"updated": True})


def test_rate_of_one_address_is_limited(nginx):
    def statuses(path, source):
        connection = HTTPConnection(*nginx.address, timeout=30, source_address=(source, 0))
        results = []
        for _ in range(110):
            connection.request("GET", path, headers=HEADERS)
            response = connection.getresponse()
            response.read()
            results.append(response.status)
        connection.close()
        return Counter(results)

    with ThreadPoolExecutor(8) as pool:
        limited = sum(pool.map(statuses, ["/analytics/nowhere"] * 8, ["127.0.0.4"] * 8), Counter())
        other = nginx.request("GET", "/analytics/geo", source="127.0.0.5")[0]
        health = sum(pool.map(statuses, ["/healthz"] * 2, ["127.0.0.4"] * 2), Counter())

    assert limited.keys() == {404, 429}
    assert limited[404] >= 200
    assert (other, health) == (200, {200: 220})


def lengthen_timeouts(text):
    """Return the configuration with timeouts that are long enough for a slow machine."""
    return re.sub(r"(client_header_timeout|client_body_timeout) 10s", r"\1 300s", text)


def test_connections_of_one_address_are_limited(server):
    head = f"{PATCH}Content-Length: 9\r\n\r\n"
    with proxying(server, lengthen_timeouts) as nginx, ExitStack() as stack:
        connections = []
        for _ in range(101):
            connection = socket.create_connection(nginx.address, 30, source_address=("127.0.0.6", 0))
            stack.enter_context(connection).sendall(head.encode())
            connections.append(connection)
        wait_for(lambda: select.select(connections, [], [], 0)[0])
        first_lines = [each.recv(12) for each in select.select(connections, [], [], 0)[0]]
        statuses = [nginx.request("GET", "/analytics/geo", source=f"127.0.0.{number}")[0] for number in (6, 7)]

    assert first_lines == [b"HTTP/1.1 429"]
    assert statuses == [429, 200]


STALLED = {
    "continue": f"{PATCH}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "half-body": f"{PATCH}Content-Length: 9\r\n\r\n{{",
    "chunked-body": f"{PATCH}Transfer-Encoding: chunked\r\n\r\n64\r\n\r\n",
    "half-header": PATCH,
    "idle": "",
    "unclosed": "GET /healthz HTTP/1.0\r\n\r\n",
    "export": f"GET /analytics/leads/export HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n",
}


@pytest.mark.parametrize("first", STALLED.values(), ids=STALLED)
def test_stalled_clients_occupy_no_thread(first, server):
    with proxying(server, lengthen_timeouts) as nginx, ExitStack() as stack:
        for _ in range(12):  # the server has four threads
            connection = stack.enter_context(nginx.connect())
            connection.sendall(first.encode())
        answers = [nginx.request("GET", "/healthz", source="127.0.0.8")[0] for _ in range(20)]

    assert answers == [200] * 20


def test_rejected_rate_is_json_with_retry_after(server):
    def edit(text):
        return text.replace("rate=100r/s", "rate=1r/m").replace("burst=200 nodelay", "burst=1 nodelay")

    with proxying(server, edit) as limited:
        answers = [limited.request("GET", "/analytics/geo") for _ in range(3)]

    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[2][1]["Retry-After"] == "1"
    assert json.loads(answers[2][2]) == {"error": "Too many requests"}


def test_stopped_api_is_503_in_json(folder):
    with proxying(SimpleNamespace(address=("127.0.0.1", free_port()))) as nginx:
        status, headers, body = nginx.request("GET", "/analytics/geo")

    assert (status, headers["Retry-After"]) == (503, "1")
    assert json.loads(body) == {"error": "The API does not answer"}


@pytest.mark.parametrize("headers", [HEADERS, COMPRESSED], ids=["plain", "gzip"])
@pytest.mark.usefixtures("folder")
def test_truncated_response_is_detected(headers):
    with truncating_server() as server, proxying(server) as nginx, pytest.raises(IncompleteRead):
        nginx.request("GET", "/analytics/leads/export", headers=headers)


def test_sub_path_example_works(server):
    with proxying(server, enable_sub_path) as nginx:
        status, headers, _ = nginx.request("GET", "/stats/analytics/leads?limit=2")
        lead = nginx.request("GET", "/stats/analytics/leads/7", headers=COMPRESSED)
        document = json.loads(nginx.request("GET", "/stats/openapi.json")[2])
        metrics, _, _ = nginx.request("GET", "/stats/metrics")

    assert (status, metrics) == (200, 404)
    assert headers["Link"].startswith("</stats/analytics/leads?")
    assert (lead[0], lead[1]["ETag"][0]) == (200, '"')
    assert document["servers"] == [{"url": "/stats"}]


def enable_sub_path(text):
    """Uncomment the sub-path example."""
    before, example = text.split("# set $prefix /stats;")
    example, after = example.split("\n\n", 1)
    return f"{before}set $prefix /stats;{example.replace('# ', '')}\n\n{after}"


def test_tls_example_works(server, tmp_path):
    certificate, key = make_certificate(tmp_path)

    def edit(text):
        port = re.search(r"listen (127.0.0.1:\d+);", text)[1]
        text = text.replace(f"listen {port};", "").replace("# listen 8443", f"listen {port}")
        text = re.sub(r"# (ssl_|add_header Strict)", r"\1", text)
        text = text.replace("/etc/analytics-api/tls/fullchain.pem", certificate.name)
        return text.replace("/etc/analytics-api/tls/privkey.pem", key.name)

    with proxying(server, edit, files=[certificate, key]) as nginx:
        connection = HTTPSConnection(
            *nginx.address, timeout=30, context=ssl.create_default_context(cafile=str(certificate))
        )
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        status, _ = response.status, response.read()
        connection.close()

    assert status == 200
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
