"""The collector in `analytics-api serve`, with gunicorn processes."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import pytest
from helpers.client import KEY, NOW
from helpers.collecting import BROWSER, Site
from helpers.nginx import proxying, require_nginx
from helpers.server import serving, wait_for

from analytics_api import open_database
from analytics_api.server.gunicorn_server import Server, store_settings
from analytics_api.server.settings import Settings

pytestmark = pytest.mark.slow

HEADERS = {"User-Agent": BROWSER, "Content-Type": "text/plain"}
SETTINGS = {"ANALYTICS_COLLECT_HOSTS": "shop.example", "ANALYTICS_TRUSTED_PROXIES": "1"}


def view(number, page="/"):
    return {"type": "page_view", "id": f"view-{number:08}", "url": f"https://shop.example{page}", "at": 0}


def post(server, event, address="192.0.2.1"):
    headers = {**HEADERS, "X-Forwarded-For": address}
    status, reply, _ = server.request("POST", "/collect", json.dumps(event), headers.items())
    return status, reply


def test_server_collects_and_keeps_the_keys_of_the_rest(tmp_path):
    with serving(tmp_path, "--workers", "1", **SETTINGS) as server:
        status, headers = post(server, view(1))
        script, script_headers, _ = server.request("GET", "/a.js", headers=())
        without_key, _, _ = server.request("GET", "/analytics/overview", headers=())
        _, overview = server.get("/analytics/overview")
        _, site = server.get("/analytics/site")

        assert (status, headers["Access-Control-Allow-Origin"], script, without_key) == (204, "*", 200, 401)
        assert script_headers.get_all("X-Content-Type-Options") == ["nosniff"]
        assert overview["total_sessions"] == 1
        assert site["collect_hosts"] == ["shop.example"]
        assert "/collect" in [line.get("route") for line in server.lines()]


def test_server_without_hosts_does_not_collect(tmp_path):
    with serving(tmp_path, "--workers", "1") as server:
        assert post(server, view(1))[0] == 404
        status, _, body = server.request("GET", "/a.js", headers=())
        assert (status, json.loads(body)) == (
            404,
            {"error": "This server does not collect visits: set ANALYTICS_COLLECT_HOSTS"},
        )
        assert server.get("/analytics/site")[1]["collect_hosts"] == []


@pytest.mark.parametrize(("hosts", "worker"), [((), "ThreadWorker"), (("shop.example",), "CollectingWorker")])
def test_only_a_collecting_server_has_a_separate_worker(hosts, worker):
    server = Server(lambda: Settings(api_keys={}, collect_hosts=hosts), {})

    assert server.cfg.worker_class.__name__ == worker


def test_worker_reads_settings_as_attributes():
    cfg = Server(lambda: Settings(api_keys={}), {}).cfg
    store_settings(cfg)
    cfg.settings.clear()  # gunicorn's own functions read the settings from here

    assert (cfg.timeout, cfg.keepalive, cfg.forwarded_allow_ips) == (60, 5, [])


def test_server_without_visits_deletes_old_salts(tmp_path):
    with open_database(tmp_path / "analytics.db").closing() as database:
        site = Site(database, now=NOW)
        site.view()
        site.collector.close()

    def read(connection):
        salts = connection.execute("select count(*) from collector_salts where day = 20508").fetchall()
        return salts, connection.execute("select ended_at from sessions").fetchall()

    with closing(sqlite3.connect(tmp_path / "analytics.db")) as connection:
        before = read(connection)
        with serving(tmp_path, "--workers", "1", **SETTINGS):
            wait_for(lambda: read(connection) == ([(0,)], [(NOW,)]))

    assert before == ([(1,)], [(None,)])


def test_two_processes_count_every_view_once(tmp_path):
    """Each of 16 visitors uses two connections at once. Each connection sends its eight views twice."""

    def send(visitor):
        connection = HTTPConnection(*server.address, timeout=30)
        with closing(connection):
            statuses = []
            for number in [*range(8), *range(8)]:
                headers = {**HEADERS, "X-Forwarded-For": f"192.0.2.{visitor % 16}"}
                body = json.dumps(view(visitor * 100 + number, f"/{number}"))
                connection.request("POST", "/collect", body, headers)
                statuses.append(connection.getresponse().read() or 204)
            return statuses

    with serving(tmp_path, "--workers", "2", **SETTINGS) as server:
        with ThreadPoolExecutor(32) as pool:
            statuses = {status for statuses in pool.map(send, range(32)) for status in statuses}

        assert statuses == {204}
        with closing(sqlite3.connect(tmp_path / "analytics.db")) as connection:
            [(events,)] = connection.execute("select count(*) from events").fetchall()
            [(sessions, counted)] = connection.execute("select count(*), sum(event_count) from sessions").fetchall()
        assert (events, sessions, counted) == (256, 16, 256)
    with open_database(tmp_path / "analytics.db").closing() as database:
        assert database.verify() == []
    assert KEY not in server.log.read_text()


def test_invalid_and_slow_bodies_are_not_stored(tmp_path):
    with serving(tmp_path, "--workers", "1", **SETTINGS) as server:
        for body in (b"x" * 3_000_000, b"\xff" * 8_000, b"<script>alert(1)</script>", b"[" * 8_000):
            status, _, _ = server.request("POST", "/collect", body, HEADERS.items())
            assert status in (400, 413)
        assert post(server, {**view(1), "url": "https://shop.example/<script>"})[0] == 204
        _, pages = server.get("/analytics/pages/top")

    assert pages == [{"page": "https://shop.example/<script>", "views": 1, "unique_sessions": 1}]


def test_nginx_forwards_visits_and_allows_cors_on_errors(tmp_path):
    require_nginx()
    with serving(tmp_path, "--workers", "1", **SETTINGS) as server, proxying(server) as nginx:
        status, reply = post(nginx, view(1))
        with ThreadPoolExecutor(16) as pool:  # nginx would reject some of so many requests to other paths
            statuses = {status for status, _ in pool.map(lambda number: post(nginx, view(number)), range(100, 400))}
        script, _, _ = nginx.request("GET", "/a.js", headers=())
        server.process.terminate()
        server.process.wait(40)
        failed, headers = post(nginx, view(2))
        other, others, _ = nginx.request("GET", "/analytics/overview")

    assert (status, reply["Access-Control-Allow-Origin"], script) == (204, "*", 200)
    assert statuses == {204}
    assert (failed, headers["Access-Control-Allow-Origin"], headers["Retry-After"]) == (503, "*", "1")
    assert (other, others["Access-Control-Allow-Origin"]) == (503, None)
