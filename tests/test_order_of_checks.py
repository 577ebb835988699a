import pytest

pytestmark = [pytest.mark.any_engine, pytest.mark.shared_database]

REQUIRED = {"error": "API key required. Use Authorization: Bearer <key> or X-API-Key header."}


@pytest.mark.parametrize(
    ("method", "path", "body", "key", "status", "error"),
    [
        ("PUT", "/analytics/nothing?days=abc", b"{", None, 401, REQUIRED["error"]),
        ("PUT", "/analytics/nothing?days=abc", b"{", "wrong", 401, "Invalid API key"),
        ("PUT", "/analytics/nothing?days=abc", b"{", "right", 404, "Unknown analytics endpoint"),
        ("OPTIONS", "/analytics/nothing", b"", "right", 404, "Unknown analytics endpoint"),
        ("PUT", "/analytics/sessions/daily?days=abc", b"{", None, 401, REQUIRED["error"]),
        ("PUT", "/analytics/sessions/daily?days=abc", b"{", "wrong", 401, "Invalid API key"),
        ("PUT", "/analytics/sessions/daily?days=abc", b"{", "right", 405, "Method not allowed"),
        ("GET", "/analytics/sessions/daily?days=abc", b"", "wrong", 401, "Invalid API key"),
        ("GET", "/analytics/sessions/daily?days=abc", b"", "right", 400, "days must be an integer"),
        ("DELETE", "/analytics/leads/abc", b"", "right", 405, "Method not allowed"),
        ("PATCH", "/analytics/leads/abc", b"{", None, 401, REQUIRED["error"]),
        ("PATCH", "/analytics/leads/abc", b"{", "right", 400, "Invalid lead id"),
        ("PATCH", "/analytics/leads/7", b"{", "right", 400, "The request body must be JSON"),
        (
            "PATCH",
            "/analytics/leads/7",
            b'{"status": "closed"}',
            "right",
            404,
            "status must be one of new, contacted, qualified, proposal, won, lost",
        ),
        ("PATCH", "/analytics/leads/7", b'{"status": "won"}', "right", 404, "Lead not found"),
    ],
)
def test_key_is_checked_before_path_method_and_parameters(serve, method, path, body, key, status, error):
    client = serve(api_keys=["right"])

    response = client.open(path, method=method, data=body, key=key)

    assert response.status_code == status
    assert response.json == {"error": error}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("limit=x&offset=x&status=x&sort=x", "limit must be an integer"),
        ("sort=x&status=x&offset=x", "offset must be an integer"),
    ],
)
def test_first_error_in_the_documented_order_wins(client, query, error):
    response = client.get(f"/analytics/leads?{query}")

    assert (response.status_code, response.json) == (400, {"error": error})
