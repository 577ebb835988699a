"""Prometheus metrics of one process, and of a server with several processes."""

import os
import signal

import pytest
from helpers.client import KEY, NOW, APIClient
from helpers.server import serving, wait_for
from prometheus_client.parser import text_string_to_metric_families

from analytics_api import Statistics, create_app, open_database
from analytics_api.server.serve import build_server_app


def samples(text):
    """Return the samples by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def client(database):
    return APIClient(build_server_app(create_app(database, api_keys=[KEY], clock=lambda: NOW), database, metrics=True))


@pytest.fixture
def numbers(client):
    return lambda: samples(client.get("/metrics", key=None).text)


sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@sqlite
def test_metrics_are_off_by_default(database):
    client = APIClient(build_server_app(create_app(database, api_keys=[KEY]), database))

    assert client.get("/metrics", key=None).status_code == 401
    assert client.get("/metrics").status_code == 404


@sqlite
def test_metrics_can_only_be_read(client):
    response = client.post("/metrics", key=None)

    assert (response.status_code, response.json) == (405, {"error": "Method not allowed"})
    assert response.headers["Allow"] == "GET, HEAD"
    assert client.open("/metrics", method="HEAD", key=None).status_code == 200


@sqlite
def test_requests_are_counted_by_route_and_status(client, numbers):
    def count(method, route, status):
        return numbers().get(("analytics_requests_total", ("method", method), ("route", route), ("status", status)), 0)

    requests = [
        ("GET", "/analytics/leads/5", "/leads/<lead_id>", "404"),
        ("GET", "/analytics/leads/6", "/leads/<lead_id>", "404"),
        ("PATCH", "/analytics/leads/x", "/leads/<lead_id>", "400"),
        ("HEAD", "/analytics/geo", "/geo", "200"),
        ("OPTIONS", "/analytics/geo", "?", "204"),
        ("DELETE", "/analytics/geo", "?", "405"),
        ("GET", "/analytics/zqx", "?", "404"),
        ("GET", "/healthz", "/healthz", "200"),
    ]
    series = {(method if method != "DELETE" else "?", route, status) for method, _, route, status in requests}
    before = {one: count(*one) for one in series}

    for method, path, _, _ in requests:
        client.open(path, method=method)

    grown = {one: count(*one) - number for one, number in before.items()}
    assert grown == {one: 2 if one == ("GET", "/leads/<lead_id>", "404") else 1 for one in series}


@sqlite
def test_unknown_paths_create_no_series(client, numbers):
    client.get("/healthz")
    client.get("/analytics/nothing", key="wrong")
    client.open("/analytics/geo", method="TRACE")
    before = set(numbers())

    for number in range(50):
        client.get(f"/analytics/made-up-{number}?x={number}")
        client.get(f"/analytics/leads/{number}", key=f"wrong-{number}")
        client.open("/analytics/geo", method="TRACE", headers={"Host": f"{number}.example"})

    assert {series for series in set(numbers()) - before if "status" not in str(series)} == set()
    assert len(set(numbers()) - before) < 5


@sqlite
def test_latency_and_query_time_are_measured(client, numbers):
    route = ("route", "/geo")
    before = numbers()

    client.get("/analytics/geo")

    after = numbers()

    def grown(*series):
        return after[series] - before.get(series, 0)

    assert grown("analytics_request_seconds_count", route) == 1
    assert grown("analytics_request_seconds_bucket", ("le", "+Inf"), route) == 1
    assert 0 < grown("analytics_request_seconds_sum", route) < 60
    assert 0 < grown("analytics_query_seconds_total", route) < 60


def test_row_counts_and_snapshot_age_are_metrics(database, insert):
    class Bucket:
        source = "bucket"

        def statistics(self):
            return Statistics(1, 1, 0)

    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW)
    insert(
        "events",
        {"session_id": "s1", "event_type": "x", "occurred_at": NOW},
        session_id="s1",
        event_type="y",
        occurred_at=NOW,
    )
    client = APIClient(build_server_app(create_app(database, api_keys=[KEY], storage=Bucket()), database, metrics=True))
    client.get("/analytics/storage")

    values = samples(client.get("/metrics", key=None).text)

    assert values["analytics_rows", ("table", "sessions")] == 1
    assert values["analytics_rows", ("table", "events")] == 2
    assert values["analytics_storage_age_seconds", ("source", "bucket")] > 1_000_000_000


@sqlite
def test_metrics_survive_an_unavailable_database(database, client):
    client.get("/analytics/geo")
    database.write(lambda at: at.execute("drop table day_counts"))

    response = client.get("/metrics", key=None)

    assert response.status_code == 200
    assert "analytics_request_seconds_count" in response.text
    assert "analytics_rows" not in response.text


@sqlite
def test_metrics_have_no_personal_data(database, insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", contact_name="zqx")
    client.get("/analytics/leads?q=zqx")
    client.get("/analytics/zqx", key="zqx")

    response = client.get("/metrics", key=None)

    assert "zqx" not in response.text
    assert KEY not in response.text


@pytest.mark.slow
def test_metrics_add_up_processes_and_outlive_them(tmp_path):
    with open_database(tmp_path / "analytics.db").closing():
        pass
    geo = "analytics_requests_total", ("method", "GET"), ("route", "/geo"), ("status", "200")
    with serving(tmp_path, "--workers", "3", "--threads", "2", ANALYTICS_METRICS="1", TMPDIR=str(tmp_path)) as server:

        def number():
            status, _, body = server.request("GET", "/metrics", headers={})
            return status, samples(body.decode()).get(geo)

        wait_for(lambda: len(server.workers()) == 3)
        for _ in range(60):
            assert server.get("/analytics/geo")[0] == 200
        first = {number() for _ in range(20)}
        killed, ended, _ = workers = server.workers()
        os.kill(killed, signal.SIGKILL)
        os.kill(ended, signal.SIGTERM)
        wait_for(lambda: len(set(server.workers()) - set(workers)) == 2)
        for _ in range(40):
            assert server.get("/analytics/geo")[0] == 200
        second = {number() for _ in range(20)}

        assert (first, second) == ({(200, 60.0)}, {(200, 100.0)})
        assert list(tmp_path.glob("analytics-metrics-*"))
    assert list(tmp_path.glob("analytics-metrics-*")) == []
