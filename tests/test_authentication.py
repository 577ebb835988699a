import io

import pytest
from helpers.client import KEY

from analytics_api import Principal

pytestmark = [pytest.mark.any_engine, pytest.mark.shared_database]

REQUIRED = {"error": "API key required. Use Authorization: Bearer <key> or X-API-Key header."}
INVALID = {"error": "Invalid API key"}

PATHS = [
    ("GET", "/analytics/overview"),
    ("GET", "/analytics/sessions/daily"),
    ("GET", "/analytics/pages/top"),
    ("GET", "/analytics/geo"),
    ("GET", "/analytics/engagement"),
    ("GET", "/analytics/sources"),
    ("GET", "/analytics/dashboard"),
    ("GET", "/analytics/realtime"),
    ("GET", "/analytics/current"),
    ("GET", "/analytics/storage"),
    ("GET", "/analytics/leads"),
    ("GET", "/analytics/leads/1"),
    ("PATCH", "/analytics/leads/1"),
    ("GET", "/"),
    ("GET", "/elsewhere"),
    ("OPTIONS", "/analytics/overview"),
    ("DELETE", "/analytics/overview"),
]


def wire(key):
    """Convert a key to its form in the environ: its UTF-8 bytes decoded as Latin-1 (PEP 3333)."""
    return key.encode().decode("latin-1")


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_request_without_key_is_401(client, method, path):
    response = client.open(path, method=method, key=None)

    assert response.status_code == 401
    assert response.json == REQUIRED
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_wrong_key_is_401(client, method, path):
    response = client.open(path, method=method, key="wrong")

    assert response.status_code == 401
    assert response.json == INVALID
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"Authorization": f"BEARER {KEY}"},
        {"Authorization": f"bEaReR   {KEY}  "},
        {"X-API-Key": KEY},
        {"x-api-key": KEY},
        {"X-API-Key": f"  {KEY}\t"},
        {"Authorization": f"Bearer {KEY}", "X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}", "X-API-Key": "wrong"},
        {"Authorization": "Bearer wrong", "X-API-Key": KEY},
        {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": KEY},
        {"Authorization": "", "X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}", "X-API-Key": ""},
    ],
)
def test_key_is_accepted_in_either_header(client, headers):
    response = client.get("/analytics/geo", key=None, headers=headers)

    assert (response.status_code, response.json) == (200, [])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer   "},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Token {KEY}"},
        {"Authorization": f"Bearer{KEY}"},
        {"X-API-Key": ""},
        {"X-API-Key": " \t "},
        {"API-Key": KEY},
        {"X-API-Token": KEY},
        {"Cookie": f"X-API-Key={KEY}"},
    ],
)
def test_missing_key_names_both_headers(client, headers):
    response = client.get("/analytics/geo", key=None, headers=headers)

    assert (response.status_code, response.json) == (401, REQUIRED)


@pytest.mark.parametrize(
    "key",
    [
        "wrong",
        "x",
        KEY[:-1],
        KEY[1:],
        KEY + "x",
        KEY.upper(),
        f"Bearer {KEY}",
        f'"{KEY}"',
        f"{KEY},{KEY}",
        f"{KEY} {KEY}",
        "x" * 100_000,
        "\xff\xfe",
        wire("ключ"),
        "?" * len(KEY),
    ],
)
@pytest.mark.parametrize("header", ["Authorization: Bearer ", "X-API-Key: "])
def test_wrong_key_of_any_length_is_invalid(client, header, key):
    name, scheme = header.split(": ")

    response = client.get("/analytics/geo", key=None, headers={name: scheme + key})

    assert (response.status_code, response.json) == (401, INVALID)


def test_two_wrong_keys_are_invalid(client):
    response = client.get("/analytics/geo", key="wrong", headers={"Authorization": "Bearer wrong-too"})

    assert (response.status_code, response.json) == (401, INVALID)


def test_key_in_the_query_string_is_ignored(client):
    response = client.get(f"/analytics/geo?api_key={KEY}&X-API-Key={KEY}", key=None)

    assert (response.status_code, response.json) == (401, REQUIRED)


@pytest.mark.parametrize(
    "api_keys",
    [["old-key", "new-key"], ("old-key", "new-key"), {"a": "old-key", "b": "new-key"}, {"old-key", "new-key"}],
)
def test_several_keys_are_valid_for_rotation(serve, api_keys):
    client = serve(api_keys=api_keys)

    statuses = {key: client.get("/analytics/geo", key=key).status_code for key in ("old-key", "new-key", "a", "key-1")}

    assert statuses == {"old-key": 200, "new-key": 200, "a": 401, "key-1": 401}


def test_removed_key_is_invalid(serve):
    client = serve(api_keys=["new-key"])

    response = client.get("/analytics/geo", key="old-key")

    assert (response.status_code, response.json) == (401, INVALID)


def test_single_key_may_be_a_string(serve):
    client = serve(api_keys="one-key")

    statuses = {key: client.get("/analytics/geo", key=key).status_code for key in ("one-key", "o", "key-1")}

    assert statuses == {"one-key": 200, "o": 401, "key-1": 401}


def test_empty_key_is_never_valid(serve):
    client = serve(api_keys=["", "  ", KEY])

    assert client.get("/analytics/geo").status_code == 200
    assert client.get("/analytics/geo", key="").json == REQUIRED
    assert client.get("/analytics/geo", key="  ").json == REQUIRED


@pytest.mark.parametrize("key", ["key with blanks", 'k"e\\y', "k" * 5000])
@pytest.mark.parametrize("header", ["Authorization: Bearer ", "X-API-Key: "])
def test_key_may_have_any_characters(serve, header, key):
    client = serve(api_keys=[key])
    name, scheme = header.split(": ")

    response = client.get("/analytics/geo", key=None, headers={name: scheme + wire(key)})

    assert (response.status_code, response.json) == (200, [])


def test_blanks_around_a_configured_key_are_removed(serve):
    client = serve(api_keys=[f" {KEY}\n"])

    assert client.get("/analytics/geo").status_code == 200


def test_unauthorized_response_does_not_repeat_the_key(client):
    response = client.get("/analytics/geo", key="a-wrong-key", headers={"Authorization": "Bearer another-wrong-key"})

    assert "wrong-key" not in response.text
    assert "wrong-key" not in str(response.headers)


@pytest.fixture
def host(serve):
    """Return a client of an application whose host authenticates users by the header `X-User`."""

    def authenticate(environ):
        user = environ.get("HTTP_X_USER")
        return Principal(user, frozenset(["stats", "leads:read"])) if user else None

    return serve(api_keys=[], authenticate=authenticate)


def test_authenticate_is_called_without_a_valid_key(host):
    statuses = [
        host.get("/analytics/geo", key=None, headers={"X-User": "ann"}).status_code,
        host.get("/analytics/geo", key="wrong", headers={"X-User": "ann"}).status_code,
        host.patch("/analytics/leads/1", key=None, headers={"X-User": "ann"}, json={"status": "won"}).status_code,
        host.get("/analytics/geo", key=None).status_code,
    ]

    assert statuses == [200, 200, 403, 401]
    assert host.get("/analytics/geo", key=None).json == REQUIRED
    assert host.get("/analytics/geo", key="wrong").json == INVALID


def test_key_in_a_header_comes_before_authenticate(serve):
    def authenticate(environ):
        raise AssertionError("was called")

    client = serve(api_keys={"wall": "a-key"}, authenticate=authenticate)

    assert client.get("/analytics/whoami", key="a-key").json["name"] == "wall"


@pytest.mark.writes
def test_history_has_the_name_that_authenticate_returns(database, insert, serve):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    client = serve(api_keys=[], authenticate=lambda environ: Principal("ann@shop.example"))

    client.patch("/analytics/leads/1", key=None, json={"status": "won"})

    assert database.rows("select changed_by from lead_status_changes") == [{"changed_by": "ann@shop.example"}]


@pytest.mark.parametrize(
    "result",
    [True, "ann", ("ann", {"stats"}), Principal("ann", "stats"), Principal("ann", frozenset(["everything"]))],
    ids=["true", "text", "tuple", "scopes_text", "unknown_scope"],
)
def test_authenticate_must_return_a_principal(serve, caplog, result):
    client = serve(api_keys=[], authenticate=lambda environ: result)

    response = client.get("/analytics/geo", key=None)

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert "authenticate must return a Principal" in caplog.text


@pytest.mark.any_engine
@pytest.mark.parametrize("name", [None, 42, "a\0b"], ids=["none", "number", "nul"])
def test_name_of_a_principal_must_be_a_string(serve, caplog, name):
    client = serve(api_keys=[], authenticate=lambda environ: Principal(name))

    response = client.get("/analytics/geo", key=None)

    assert response.status_code == 500
    assert f"whose name is a string without NUL, not {name!r}" in caplog.text


def test_unauthorized_body_is_not_read(client):
    body = io.BytesIO(b"x" * 1000)

    response = client.patch(
        "/analytics/leads/1",
        key="wrong",
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": "1000"},
    )

    assert response.status_code == 401
    assert body.tell() == 0
