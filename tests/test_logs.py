"""The fields of the request log, and data that it must not contain."""

import json
import logging
import os
import re
import subprocess
import sys
from functools import partial
from io import StringIO

import pytest
from helpers.client import KEY, NOW, APIClient

from analytics_api import create_app
from analytics_api.keys import KeyStore
from analytics_api.server.logs import JSONFormatter
from analytics_api.server.serve import build_server_app

sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def stream():
    return StringIO()


@pytest.fixture
def lines(stream):
    """Yield a function that returns the lines that the request log and the package's logger have written so far."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logger = logging.getLogger("analytics_api")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda: stream.getvalue().splitlines()
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def client(database, stream):
    api = create_app(database, api_keys=[KEY], clock=lambda: NOW)
    return APIClient(build_server_app(api, database, write=stream.write))


def answered(lines):
    return [line for line in map(json.loads, lines()) if line["logger"] == "analytics_api.requests"]


@sqlite
def test_request_is_one_line_of_json(insert, client, lines):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    response = client.patch("/analytics/leads/1", json={"status": "won"}, headers={"X-Request-ID": "abc-1"})

    (line,) = map(json.loads, lines())
    assert response.status_code == 200
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert 0 < line.pop("ms") < 60_000
    assert line == {
        "level": "info",
        "logger": "analytics_api.requests",
        "message": "answered",
        "request_id": "abc-1",
        "method": "PATCH",
        "route": "/leads/<lead_id>",
        "status": 200,
        "key": "key-1",
    }


@sqlite
def test_log_line_names_route_and_key(database, client, lines):
    wall = KeyStore(database).add("wall", ["stats"], now=NOW)

    client.get("/analytics/geo", key=wall)
    client.get("/analytics/leads?q=x", key=wall)
    client.get("/analytics/nothing")
    client.get("/analytics/geo", key="wrong")
    client.get("/healthz", key=None)

    logged = [(line["route"], line["status"], line["key"]) for line in answered(lines)]
    assert logged == [
        ("/geo", 200, "wall"),
        ("/leads", 403, "wall"),
        (None, 404, "key-1"),
        (None, 401, None),
        ("/healthz", 200, None),
    ]


@sqlite
def test_log_line_has_no_key_path_query_body_or_header(insert, client, lines):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", contact_name="zqx")
    headers = {"User-Agent": "zqx", "Referer": "https://zqx.example", "Cookie": "zqx", "Origin": "https://zqx.example"}

    for path in (
        "/analytics/leads?q=zqx",
        "/analytics/leads/zqx",
        "/analytics/zqx",
        "/zqx?zqx=zqx",
        "/analytics/leads/1",
    ):
        for method in ("GET", "PATCH", "DELETE"):
            client.open(path, method=method, json={"status": "zqx"}, headers=headers)
            client.open(path, method=method, key="zqx-wrong-key", headers={"Authorization": "Bearer zqx"})

    text = "\n".join(lines())
    assert len(lines()) == 30
    assert "zqx" not in text
    assert KEY not in text
    assert "203.0.113" not in text


@pytest.mark.shared_database
@pytest.mark.parametrize("taken", ["a", "0af7651916cd43dd8448eb211c80319c", "A.b_c-9", "x" * 128])
@sqlite
def test_request_id_is_accepted_and_echoed(client, lines, taken):
    response = client.get("/analytics/geo", headers={"X-Request-ID": taken})

    assert response.headers.getlist("X-Request-ID") == [taken]
    assert [line["request_id"] for line in answered(lines)] == [taken]


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "request_id",
    [
        None,
        "",
        "x" * 129,
        "two words",
        'a"b',
        'x", "level": "error',
        "a,b",
        "<b>",
        "é",
        "\x85",
        "%0a",
        "\t",
        "a;b",
        "${jndi:x}",
    ],
)
@sqlite
def test_invalid_request_id_is_replaced(client, lines, request_id):
    response = client.get("/analytics/geo", headers={} if request_id is None else {"X-Request-ID": request_id})

    created = response.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", created)
    assert [line["request_id"] for line in answered(lines)] == [created]
    assert len(lines()) == 1


@sqlite
def test_created_request_ids_are_unique(client):
    created = {client.get("/healthz").headers["X-Request-ID"] for _ in range(20)}

    assert len(created) == 20


@sqlite
def test_failure_has_its_id_in_header_and_traceback(database, client, lines):
    database.write(lambda at: at.execute("drop view all_time_keys"))

    response = client.get("/analytics/geo", headers={"X-Request-ID": "abc-1"})

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert response.headers["X-Request-ID"] == "abc-1"
    failed, answer = map(json.loads, lines())
    assert failed["request_id"] == answer["request_id"] == "abc-1"
    assert (failed["level"], failed["message"]) == ("error", "GET /geo failed")
    assert "Traceback" in failed["traceback"]
    assert "no such table: all_time_keys" in failed["traceback"]
    assert answer["status"] == 500


@sqlite
def test_failed_key_lookup_is_logged_with_its_id(database, client, lines):
    database.write(lambda at: at.execute("drop table api_keys"))

    response = client.get("/analytics/geo", key="another", headers={"X-Request-ID": "abc-1"})

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    failed, answer = map(json.loads, lines())
    assert failed["request_id"] == answer["request_id"] == "abc-1"
    assert "no such table: api_keys" in failed["traceback"]


@sqlite
def test_failure_outside_the_api_is_logged_with_its_id(database, stream, lines):
    def broken(environ, start_response):
        raise RuntimeError("zqx")

    response = APIClient(build_server_app(broken, database, write=stream.write)).get(
        "/analytics/geo", headers={"X-Request-ID": "abc-1"}
    )

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert response.headers["X-Request-ID"] == "abc-1"
    failed, _ = map(json.loads, lines())
    assert (failed["request_id"], "RuntimeError: zqx" in failed["traceback"]) == ("abc-1", True)


@pytest.mark.parametrize(
    "text",
    ["two\nlines", "\r", "\x1b[31m", "\u2028", "\x85", "\ud800", '"', "\\", "é"],
    ids=["newline", "cr", "escape", "u2028", "nel", "surrogate", "quote", "backslash", "accent"],
)
def test_json_formatter_keeps_a_record_on_one_line(text):
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.makeLogRecord({"msg": "got %s", "args": (text,), "fields": {"x": text}})
        record.exc_info = sys.exc_info()

    line = JSONFormatter().format(record)

    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["message"] == f"got {text}"
    assert json.loads(line)["x"] == text


def test_log_line_never_goes_into_a_reused_descriptor(tmp_path):
    file = tmp_path / "precious"
    program = (
        "import os, sys; print(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)); from analytics_api.server import logs; "
    )
    run = subprocess.run(
        [sys.executable, "-c", program + "logs.log_line('a line')", file],
        stdout=subprocess.PIPE,
        preexec_fn=partial(os.close, 2),
        check=True,
    )

    assert run.stdout == b"2\n"
    assert file.read_bytes() == b""
