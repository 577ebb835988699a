"""CORS headers for dashboards of another origin (https://fetch.spec.whatwg.org/, section "CORS protocol")."""

import pytest
from helpers.client import KEY

from analytics_api.errors import SettingError
from analytics_api.keys import KeyStore

DASHBOARD = "https://dashboard.example"
ALLOWED = [DASHBOARD, "http://localhost:5173"]
PREFLIGHT = {
    "Origin": DASHBOARD,
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,content-type,x-api-key",
}

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

REPLIES = [
    ("GET", "/analytics/geo", KEY, 200),
    ("HEAD", "/analytics/geo", KEY, 200),
    ("PATCH", "/analytics/leads/1", KEY, 200),
    ("GET", "/analytics/leads/abc", KEY, 400),
    ("GET", "/analytics/geo", None, 401),
    ("GET", "/analytics/geo", "wrong", 401),
    ("GET", "/analytics/nothing", KEY, 404),
    ("GET", "/analytics/leads/2", KEY, 404),
    ("DELETE", "/analytics/geo", KEY, 405),
    ("OPTIONS", "/analytics/geo", KEY, 204),
    ("OPTIONS", "/analytics/geo", None, 401),
]


@pytest.fixture
def lead(insert):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")


def cors(response):
    """Return the CORS headers of a response."""
    return {
        name: value
        for name, value in response.headers.items()
        if name.startswith("Access-Control-") or name in ("Vary", "Cross-Origin-Resource-Policy")
    }


@pytest.mark.shared_database
@pytest.mark.parametrize("path", ["/analytics/leads/1", "/analytics/geo", "/analytics/nothing", "/elsewhere"])
def test_preflight_needs_no_key(serve, path):
    response = serve(cors_origins=ALLOWED).options(path, key=None, headers=PREFLIGHT)

    assert (response.status_code, response.data) == (204, b"")
    assert cors(response) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": DASHBOARD,
        "Access-Control-Allow-Methods": "GET, HEAD, PATCH",
        "Access-Control-Allow-Headers": "Authorization, Cache-Control, Content-Type, If-Match, If-None-Match,"
        " Pragma, traceparent, X-API-Key, X-Request-ID, X-Requested-With",
        "Access-Control-Max-Age": "7200",
    }


@pytest.mark.parametrize("origin", ALLOWED)
def test_every_response_allows_the_origin(lead, serve, origin):
    client = serve(cors_origins=ALLOWED)

    for method, path, key, status in REPLIES:
        response = client.open(path, method=method, key=key, headers={"Origin": origin}, json={"status": "won"})

        assert (response.status_code, cors(response)) == (
            status,
            {
                "Vary": "Origin",
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Expose-Headers": "Age, Analytics-Range, Content-Disposition, ETag, Link,"
                " Retry-After, Server-Timing, WWW-Authenticate, X-Request-ID",
            },
        )


def test_not_modified_allows_the_origin(serve):
    client = serve(cors_origins=ALLOWED)
    etag = client.get("/analytics/geo").headers["ETag"]

    response = client.get("/analytics/geo", headers={"Origin": DASHBOARD, "If-None-Match": etag})

    assert response.status_code == 304
    assert cors(response)["Access-Control-Allow-Origin"] == DASHBOARD


def test_errors_allow_the_origin(database, serve):
    client = serve(cors_origins=ALLOWED)
    wall = KeyStore(database).add("wall", ["stats"], now=0)
    database.write(lambda at: at.execute("drop view all_time_keys"))

    replies = [
        client.get(path, key=wall, headers={"Origin": DASHBOARD}) for path in ("/analytics/geo", "/analytics/leads")
    ]

    assert [reply.status_code for reply in replies] == [500, 403]
    assert [cors(reply)["Access-Control-Allow-Origin"] for reply in replies] == [DASHBOARD, DASHBOARD]


@pytest.mark.parametrize(
    "origin",
    [
        "https://elsewhere.example",
        "http://dashboard.example",
        "https://dashboard.example:8443",
        "https://dashboard.example.evil.example",
        "https://evil-dashboard.example",
        "https://sub.dashboard.example",
        "https://dashboard.example/",
        "https://DASHBOARD.example",
        "null",
        "*",
        "",
        f"{DASHBOARD}, https://elsewhere.example",
        f"{DASHBOARD} {DASHBOARD}",
    ],
)
def test_unknown_origin_is_not_allowed(lead, serve, origin):
    client = serve(cors_origins=ALLOWED)

    replies = [
        client.open(path, method=method, key=key, headers={"Origin": origin}, json={"status": "won"})
        for method, path, key, _ in REPLIES
    ]

    assert [reply.status_code for reply in replies] == [status for _, _, _, status in REPLIES]
    assert [cors(reply) for reply in replies] == [{"Vary": "Origin"}] * len(REPLIES)


def test_preflight_of_another_origin_is_403_and_logged_once(serve, caplog):
    client = serve(cors_origins=ALLOWED)

    for _ in range(3):
        response = client.options(
            "/analytics/geo", key=None, headers={**PREFLIGHT, "Origin": "https://elsewhere.example"}
        )

        assert (response.status_code, response.json) == (403, {"error": "This origin is not allowed"})
        assert cors(response) == {"Vary": "Origin"}
    assert [record.getMessage() for record in caplog.records] == [
        "a preflight from the origin 'https://elsewhere.example' was rejected: "
        "this origin is not in ANALYTICS_CORS_ORIGINS or cors_origins"
    ]


@pytest.mark.parametrize(("method", "path", "key", "status"), REPLIES)
def test_request_without_origin_is_unaffected(lead, serve, method, path, key, status):
    client = serve(cors_origins=ALLOWED)

    response = client.open(path, method=method, key=key, json={"status": "won"})

    assert response.status_code == status
    assert cors(response) == {"Vary": "Origin"}


@pytest.mark.shared_database
@pytest.mark.parametrize("origin", [DASHBOARD, "https://anything.example", "null", "capacitor://localhost"])
def test_star_allows_any_origin(serve, origin):
    client = serve(cors_origins=["*"])

    read = client.get("/analytics/geo", headers={"Origin": origin})
    preflight = client.options("/analytics/geo", key=None, headers={**PREFLIGHT, "Origin": origin})

    assert cors(read)["Access-Control-Allow-Origin"] == origin
    assert (preflight.status_code, cors(preflight)["Access-Control-Allow-Origin"]) == (204, origin)
    assert cors(read)["Vary"] == cors(preflight)["Vary"] == "Origin"


@pytest.mark.parametrize("origins", [ALLOWED, ["*"]])
def test_credentials_are_never_allowed(lead, serve, origins):
    client = serve(cors_origins=origins)

    for method, path, key, _ in REPLIES:
        replies = [client.open(path, method=method, key=key, headers={"Origin": DASHBOARD}, json={"status": "won"})]
        replies += [client.options(path, key=key, headers=PREFLIGHT)]

        assert ["Access-Control-Allow-Credentials" in reply.headers for reply in replies] == [False, False]


@pytest.mark.parametrize(("method", "path", "key", "status"), REPLIES)
def test_no_origins_means_no_cors_headers(lead, client, method, path, key, status):
    response = client.open(path, method=method, key=key, headers={"Origin": DASHBOARD}, json={"status": "won"})
    preflight = client.options(path, key=None, headers=PREFLIGHT)

    assert (response.status_code, cors(response)) == (status, {})
    assert (preflight.status_code, cors(preflight)) == (403, {"Vary": "Origin"})


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        ("HTTPS://Dashboard.Example", "https://dashboard.example"),
        ("https://dashboard.example/", "https://dashboard.example"),
        ("https://dashboard.example:443", "https://dashboard.example"),
        ("http://dashboard.example:80/", "http://dashboard.example"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_origin_is_normalized(serve, setting, origin):
    response = serve(cors_origins=[setting]).get("/analytics/geo", headers={"Origin": origin})

    assert cors(response)["Access-Control-Allow-Origin"] == origin


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "origin",
    [
        "dashboard.example",
        "https://",
        "https://dashboard.example/app",
        "https://dashboard.example?x=1",
        "https://dashboard.example#top",
        "https://user@dashboard.example",
        "https://*.example",
        "https://dashboard.example:port",
        "https://[::1",
        "ftp://dashboard.example",
        "null",
        "",
        "https://a.example,https://b.example",
    ],
)
def test_invalid_origin_stops_the_start(serve, origin):
    with pytest.raises(SettingError, match=r"^cors_origins: .* is not an origin; use"):
        serve(cors_origins=[origin])
