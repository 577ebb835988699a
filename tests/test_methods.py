import pytest

pytestmark = pytest.mark.any_engine

READ_ONLY = [
    "/analytics/overview",
    "/analytics/sessions/daily",
    "/analytics/pages/top",
    "/analytics/geo",
    "/analytics/engagement",
    "/analytics/sources",
    "/analytics/dashboard",
    "/analytics/realtime",
    "/analytics/current",
    "/analytics/storage",
    "/analytics/board",
]


@pytest.mark.shared_database
@pytest.mark.parametrize("path", READ_ONLY)
def test_read_only_routes_allow_only_get(client, path):
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE"):
        response = client.open(path, method=method)

        assert (response.status_code, response.json) == (405, {"error": "Method not allowed"}), method
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE"])
def test_lead_allows_get_and_patch(insert, client, method):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    response = client.open("/analytics/leads/1", method=method, json={"status": "won"})

    assert response.status_code == 405
    assert response.json == {"error": "Method not allowed"}
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, PATCH"
    assert client.get("/analytics/leads/1").json["lead"]["status"] == "new"


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("path", "allowed"),
    [*((path, "GET, HEAD, OPTIONS") for path in READ_ONLY), ("/analytics/leads/1", "GET, HEAD, OPTIONS, PATCH")],
)
def test_options_lists_the_methods(client, path, allowed):
    response = client.options(path)

    assert response.status_code == 204
    assert response.headers["Allow"] == allowed
    assert response.data == b""


@pytest.mark.parametrize(
    "path",
    [
        *READ_ONLY,
        "/analytics/leads/1",
        "/analytics/leads/2",
        "/analytics/leads/abc",
        "/analytics/sessions/daily?days=abc",
        "/analytics/nothing",
    ],
)
def test_head_is_get_without_the_body(insert, client, path):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    get = client.get(path)
    head = client.head(path)

    assert head.status == get.status
    assert head.headers == get.headers
    assert head.headers["Content-Length"] == str(len(get.data))
    assert head.data == b""


@pytest.mark.parametrize("key", [None, "wrong"])
def test_head_without_key_is_401_without_body(client, key):
    get = client.get("/analytics/geo", key=key)
    head = client.head("/analytics/geo", key=key)

    assert head.status == get.status == "401 Unauthorized"
    assert head.headers == get.headers
    assert head.data == b""


def test_method_override_is_ignored(insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    client.get("/analytics/leads/1", headers={"X-HTTP-Method-Override": "PATCH"}, json={"status": "won"})

    assert client.get("/analytics/leads/1").json["lead"]["status"] == "new"
