import io
import json

import pytest
from helpers.client import NOW

pytestmark = pytest.mark.any_engine

EVERY_KIND = [
    ("GET", "/analytics/overview", 200),
    ("GET", "/analytics/sessions/daily", 200),
    ("GET", "/analytics/pages/top", 200),
    ("GET", "/analytics/geo", 200),
    ("GET", "/analytics/engagement", 200),
    ("GET", "/analytics/sources", 200),
    ("GET", "/analytics/dashboard", 200),
    ("GET", "/analytics/realtime", 200),
    ("GET", "/analytics/current", 200),
    ("GET", "/analytics/storage", 200),
    ("GET", "/analytics/leads", 200),
    ("GET", "/analytics/leads/1", 200),
    ("PATCH", "/analytics/leads/1", 200),
    ("GET", "/analytics/leads/2", 404),
    ("GET", "/analytics/leads/abc", 400),
    ("GET", "/analytics/leads?limit=abc", 400),
    ("PATCH", "/analytics/leads/2", 404),
    ("PATCH", "/analytics/leads/abc", 400),
    ("GET", "/analytics/nothing", 404),
    ("DELETE", "/analytics/overview", 405),
]


@pytest.fixture
def lead(insert):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", contact_name="Zoë")


def test_every_response_is_private_utf8_json(lead, client):
    for method, path, status in EVERY_KIND:
        response = client.open(path, method=method, json={"status": "won"})

        assert response.status_code == status, path
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Content-Length"] == str(len(response.data))
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert json.loads(response.data.decode("utf-8")) == response.json


def test_errors_have_the_same_json_format(lead, client):
    for method, path, _ in [entry for entry in EVERY_KIND if entry[2] >= 400]:
        error = client.open(path, method=method, json={"status": "won"}).json

        assert list(error) == ["error"]
        assert isinstance(error["error"], str)


def test_letters_beyond_ascii_are_not_escaped(lead, client):
    response = client.get("/analytics/leads")

    assert '"contact_name":"Zoë"'.encode() in response.data


def test_only_successful_responses_have_an_etag(lead, client):
    for method, path, status in EVERY_KIND:
        response = client.open(path, method=method, json={"status": "won"})

        assert ("ETag" in response.headers) == (status == 200), path


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "known",
    ["{etag}", "W/{etag}", '"other", {etag}', '"other",W/{etag} , "third"', "*"],
)
def test_matching_etag_is_304(lead, client, method, known):
    etag = client.get("/analytics/leads").headers["ETag"]

    response = client.open("/analytics/leads", method=method, headers={"If-None-Match": known.format(etag=etag)})

    assert response.status == "304 Not Modified"
    assert response.data == b""
    assert response.headers["ETag"] == etag
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("known", ['"other"', 'W/"other"', "", "nonsense", '"', '"a", "b"', "W/", "\xff"])
def test_other_etag_is_200(lead, client, known):
    response = client.get("/analytics/leads", headers={"If-None-Match": known})

    assert response.status_code == 200
    assert response.json["total"] == 1


def test_etag_changes_only_with_the_body(lead, insert, client):
    first = client.get("/analytics/leads").headers["ETag"]
    again = client.get("/analytics/leads?limit=25&sort=newest").headers["ETag"]
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW)
    unmoved = client.get("/analytics/leads").headers["ETag"]
    client.patch("/analytics/leads/1", json={"status": "won"})
    moved = client.get("/analytics/leads", headers={"If-None-Match": first})

    assert first == again == unmoved
    assert moved.status_code == 200
    assert moved.headers["ETag"] != first


@pytest.mark.parametrize("known", ["*", '"anything"'])
def test_error_is_returned_in_spite_of_if_none_match(lead, client, known):
    conditions = {"If-None-Match": known}

    missing = client.get("/analytics/leads/2", headers=conditions)
    refused = client.get("/analytics/leads", key="wrong", headers=conditions)

    assert (missing.status_code, missing.json) == (404, {"error": "Lead not found"})
    assert (refused.status_code, refused.json) == (401, {"error": "Invalid API key"})


def test_unexpected_body_is_ignored(client):
    response = client.get("/analytics/geo", data=b"x" * 1_000_000)

    assert (response.status_code, response.json) == (200, [])


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND)
def test_body_is_drained_up_to_the_limit(lead, client, method, path, status):
    """Otherwise, a client that is still sending would get a connection reset instead of the response."""
    body = io.BytesIO(b"x" * 100_000)

    response = client.open(
        path,
        method=method,
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )

    assert response.status_code == (400 if method == "PATCH" else status)
    assert body.tell() >= 65536


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_body_over_the_limit_is_not_read(lead, client, method):
    body = io.BytesIO(b"x" * 65537)

    response = client.open(
        "/analytics/leads/1",
        method=method,
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": "65537"},
    )

    assert response.status_code == (400 if method == "PATCH" else 200)
    assert body.tell() == 0


def test_chunked_body_that_the_server_hides_is_411(lead, client):
    response = client.patch("/analytics/leads/1", environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked"})

    assert response.status_code == 411
    assert response.json == {"error": "Send a Content-Length: this server does not support chunked bodies"}
