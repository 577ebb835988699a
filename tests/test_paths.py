import pytest
from helpers.client import KEY

pytestmark = [pytest.mark.any_engine, pytest.mark.shared_database]

UNKNOWN = {"error": "Unknown analytics endpoint"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/analytics",
        "/analytics/",
        "/overview",
        "/leads",
        "/analyticsoverview",
        "/analytics/nothing",
        "/analytics/overview/",
        "/analytics/overview/more",
        "/analytics/Overview",
        "/Analytics/overview",
        "/analytics/over view",
        "/analytics/overview%20",
        "/analytics/overview%00",
        "/analytics/overview.json",
        "/analytics/overview;v=1",
        "/analytics/sessions",
        "/analytics/sessions/",
        "/analytics/sessions/daily/",
        "/analytics/sessions//daily",
        "/analytics//overview",
        "/analytics/./overview",
        "/analytics/leads/../overview",
        "/analytics/pages",
        "/analytics/leads/",
        "/analytics/leads//",
        "/analytics/leads/1/",
        "/analytics/leads/1%2F",
        "/analytics/leads/1%2F2",
        "/analytics/leads/1/sessions",
        "/analytics/leads%2F",
        "/analytics/%FF",
        "/analytics/%C3%A9",
        "/analytics/<lead_id>",
        "/" + "a" * 10_000,
        "/analytics" * 500,
    ],
)
def test_unknown_path_is_404_and_never_redirected(client, path):
    response = client.get(path)

    assert response.status_code == 404
    assert response.json == UNKNOWN
    assert "Location" not in response.headers


# The paths are set in the environ, because a test client would interpret two leading slashes as the beginning of a
# host name.
@pytest.mark.parametrize(
    "path_info",
    [
        "",
        "//analytics/overview",
        "///analytics/overview",
        "//",
        "/analytics/overview\xff",
        "/\xff\xfe",
        "/analytics\x00",
    ],
)
def test_path_of_a_raw_request_is_404(client, path_info):
    response = client.get("/", environ_overrides={"PATH_INFO": path_info})

    assert response.status_code == 404
    assert response.json == UNKNOWN


def test_escaped_characters_are_decoded(client):
    for path in ("/analytics/%67eo", "/analytics%2Fgeo", "/%61nalytics/geo"):
        response = client.get(path)

        assert (response.status_code, response.json) == (200, [])


def test_path_outside_the_prefix_is_404(serve):
    client = serve(prefix="/api/v1/stats")

    statuses = {
        path: client.get(path).status_code
        for path in (
            "/api/v1/stats/geo",
            "/analytics/geo",
            "/geo",
            "/api/v1/geo",
            "/api/v1/stats",
            "/stats/geo",
            "/api/v1/statsgeo",
        )
    }

    assert statuses == {
        "/api/v1/stats/geo": 200,
        "/analytics/geo": 404,
        "/geo": 404,
        "/api/v1/geo": 404,
        "/api/v1/stats": 404,
        "/stats/geo": 404,
        "/api/v1/statsgeo": 404,
    }


def test_empty_prefix_begins_at_the_mount(serve):
    client = serve(prefix="")

    statuses = {path: client.get(path).status_code for path in ("/geo", "/leads", "/", "/analytics/geo", "//geo")}

    assert statuses == {"/geo": 200, "/leads": 200, "/": 404, "/analytics/geo": 404, "//geo": 404}


def test_prefix_may_have_any_letters(serve):
    client = serve(prefix="/d'après/統計")

    response = client.get("/d'apr%C3%A8s/%E7%B5%B1%E8%A8%88/geo")

    assert (response.status_code, response.json) == (200, [])


@pytest.mark.parametrize("script_name", ["", "/analytics", "/analytics/overview", "/deep/er/still", "/d\xc3\xa9"])
def test_only_paths_below_the_mount_match(client, script_name):
    response = client.get("/analytics/geo", environ_overrides={"SCRIPT_NAME": script_name})
    unknown = client.get("/geo", environ_overrides={"SCRIPT_NAME": script_name})

    assert (response.status_code, response.json) == (200, [])
    assert (unknown.status_code, unknown.json) == (404, UNKNOWN)


def test_host_and_scheme_are_ignored(client):
    for overrides in (
        {"HTTP_HOST": "other.example:8443", "wsgi.url_scheme": "https"},
        {"HTTP_HOST": "b\xe4d host<>"},
        {"HTTP_HOST": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "0"},
        {"HTTP_X_FORWARDED_PREFIX": "/elsewhere", "HTTP_X_FORWARDED_HOST": "elsewhere"},
    ):
        response = client.get("/analytics/geo", environ_overrides=overrides)

        assert (response.status_code, response.json) == (200, [])


def test_websocket_upgrade_is_answered_as_http(client):
    response = client.get("/analytics/geo", headers={"Connection": "Upgrade", "Upgrade": "websocket", "X-API-Key": KEY})

    assert (response.status_code, response.json) == (200, [])


@pytest.mark.parametrize(
    ("prefix", "mount", "path", "meant"),
    [
        ("/analytics", "", "/overview", "/analytics/overview"),
        ("/analytics", "", "/api/overview", "/analytics/overview"),
        ("/analytics", "", "/analytics/overview/", "/analytics/overview"),
        ("/analytics", "/analytics", "/overview", "/analytics/analytics/overview"),
        ("", "/internal", "/analytics/overview", "/internal/overview"),
    ],
    ids=["no-prefix", "other-prefix", "slash", "prefix-twice", "prefix-below-mount"],
)
def test_path_of_the_same_name_is_logged_once(serve, caplog, prefix, mount, path, meant):
    client = serve(prefix=prefix)

    for _ in range(2):
        client.get(path, environ_overrides={"SCRIPT_NAME": mount})

    (warning,) = caplog.messages
    assert f"did you mean {meant}?" in warning


def test_path_unlike_any_route_is_not_logged(client, caplog):
    client.get("/wp-login.php?secret=1")

    assert caplog.messages == []
