import pytest
from helpers.client import KEY, NOW

from analytics_api.keys import SCOPES, KeyStore
from analytics_api.routes import ROUTES

# The required scope of every route. The test fails for a new route until its scope is added here.
TAKES = {
    ("GET", "/overview"): "stats",
    ("GET", "/sessions/daily"): "stats",
    ("GET", "/pages/top"): "stats",
    ("GET", "/pages/entry"): "stats",
    ("GET", "/pages/exit"): "stats",
    ("GET", "/geo"): "stats",
    ("GET", "/engagement"): "stats",
    ("GET", "/sources"): "stats",
    ("GET", "/site"): None,
    ("GET", "/dashboard"): "stats",
    ("GET", "/realtime"): "stats",
    ("GET", "/current"): "stats",
    ("GET", "/storage"): "stats",
    ("GET", "/whoami"): None,
    ("GET", "/leads"): "leads:read",
    ("GET", "/conversions"): "stats",
    ("GET", "/pipeline"): "stats",
    ("GET", "/leads/export"): "leads:read",
    ("GET", "/leads/facets"): "leads:read",
    ("GET", "/leads/<lead_id>"): "leads:read",
    ("GET", "/leads/<lead_id>/history"): "leads:read",
    ("GET", "/leads/<lead_id>/visits"): "leads:read",
    ("PATCH", "/leads/<lead_id>"): "leads:write",
    ("PATCH", "/leads"): "leads:write",
    ("GET", "/board"): "leads:read",
    ("GET", "/board/<status>"): "leads:read",
    ("GET", "/changes"): "leads:read",
}

IDS = [f"{route.method} {route.path}" for route in ROUTES]


def ask(client, route, key, method=None):
    return client.open(
        f"/analytics{route.path.replace('<lead_id>', '1').replace('<status>', 'new')}",
        method=method or route.method,
        key=key,
        json={"leads": [{"lead_id": 1}], "status": "won"} if route.body else None,
    )


@pytest.fixture
def lead(insert):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")


def test_every_route_has_a_scope():
    takes = {(route.method, route.path): route.scope for route in ROUTES}

    assert takes == TAKES


@pytest.mark.any_engine
@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_key_reaches_only_its_scopes(database, lead, client, route):
    key_store = KeyStore(database)
    keys = {scope: key_store.add(f"only {scope}", [scope], now=NOW) for scope in SCOPES}

    replies = {scope: ask(client, route, key) for scope, key in keys.items()}

    allowed = TAKES[route.method, route.path]
    assert {scope: reply.status_code for scope, reply in replies.items()} == {
        scope: 200 if allowed in (scope, None) else 403 for scope in SCOPES
    }
    refused = {scope: reply.json for scope, reply in replies.items() if allowed not in (scope, None)}
    lacks = {"error": f"This API key lacks the scope {allowed}"}
    assert refused == {scope: lacks for scope in SCOPES if allowed not in (scope, None)}


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_scopes_add_up_and_settings_keys_have_all(database, lead, client, route):
    every = KeyStore(database).add("everything", SCOPES, now=NOW)

    statuses = [ask(client, route, key).status_code for key in (every, KEY)]

    assert statuses == [200, 200]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_forbidden_update_changes_nothing(database, lead, client):
    key = KeyStore(database).add("reader", ["stats", "leads:read"], now=NOW)

    response = client.patch("/analytics/leads/1", key=key, json={"status": "won"})

    assert response.status_code == 403
    assert database.rows("select status from leads") == [{"status": "new"}]
    assert database.rows("select * from lead_status_changes") == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/analytics/nothing", 404),
        ("DELETE", "/analytics/leads", 405),
        ("POST", "/analytics/leads/1", 405),
        ("GET", "/analytics/leads?limit=many", 403),
        ("GET", "/analytics/leads/none", 403),
        ("GET", "/analytics/leads/2", 403),
        ("HEAD", "/analytics/leads", 403),
        ("HEAD", "/analytics/leads/1", 403),
        ("PATCH", "/analytics/leads/1", 403),
        ("PATCH", "/analytics/leads/2", 403),
    ],
)
def test_scope_is_checked_before_parameters(database, lead, client, method, path, status):
    key = KeyStore(database).add("wall", ["stats"], now=NOW)

    response = client.open(path, method=method, key=key, data=b"no JSON")

    assert response.status_code == status


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_bearer_header_precedes_x_api_key(database, lead, client):
    wall = KeyStore(database).add("wall", ["stats"], now=NOW)

    as_wall = client.get("/analytics/leads", key=KEY, headers={"Authorization": f"Bearer {wall}"})
    as_all = client.get("/analytics/leads", key=wall, headers={"Authorization": f"Bearer {KEY}"})

    assert (as_wall.status_code, as_all.status_code) == (403, 200)
