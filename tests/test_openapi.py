"""The OpenAPI document matches the application's responses. test_openapi_fuzzed.py tests this with random requests."""

import json

import pytest
from click.testing import CliRunner
from helpers.client import KEY, MOUNT, NOW, APIClient
from jsonschema.validators import Draft202012Validator

from analytics_api import create_app
from analytics_api.cli import main
from analytics_api.keys import KeyStore
from analytics_api.openapi import document
from analytics_api.routes import ROUTES
from analytics_api.server.serve import build_server_app
from analytics_api.statistics.session_filters import SESSION_FILTERS

DOCUMENT = document()
OPERATIONS = {
    (method.upper(), path): operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
}
SESSION = {("POST", "/analytics/session"), ("DELETE", "/analytics/session")}  # these routes are not in the route table
ROUTE_OPERATIONS = [operation for operation in OPERATIONS if operation not in SESSION]


def problems(instance, schema):
    """Return the violations of the schema in `instance`."""
    return [error.message for error in Draft202012Validator({**DOCUMENT, **schema}).iter_errors(instance)]


def schema_of(response, operation):
    return operation["responses"][str(response.status_code)]["content"][response.headers["Content-Type"]]["schema"]


@pytest.fixture
def filled(insert):
    insert(
        "sessions",
        {"session_id": "s1", "visitor_id": "ann", "started_at": NOW - 1000},
        {
            "session_id": "s2",
            "visitor_id": "ben",
            "fingerprint": "f",
            "started_at": NOW - 2000,
            "ended_at": NOW,
            "duration": 2000,
            "engagement_score": 74,
            "entry_page": "https://shop.example/",
            "exit_page": "https://shop.example/thanks",
            "country": "IN",
            "referrer_domain": "search.example",
            "vpn_suspected": 1,
        },
    )
    insert("events", session_id="s1", event_type="page_view", page_url="https://shop.example/", occurred_at=NOW)
    insert("leads", {"lead_id": 1, "enquiry_datetime": "2026-02-23 11:15:00", "visitor_id": "ann", "session_id": "s2"})
    insert("lead_submissions", lead_id=1, submitted_at="2026-02-23 11:15:00", contact_ip="198.51.100.20")


def test_document_is_valid_openapi_3_1():
    from openapi_spec_validator import OpenAPIV31SpecValidator  # its import takes half a second in every worker

    errors = [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]

    assert DOCUMENT["openapi"].startswith("3.1.")
    assert errors == []


def test_document_has_every_route():
    routes = {(route.method, "/analytics" + route.path.replace("<", "{").replace(">", "}")) for route in ROUTES}

    assert set(OPERATIONS) == routes | SESSION


def test_document_has_every_parameter_with_its_bounds():
    parameters = {
        f"{method} {path}": {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
        for (method, path), operation in OPERATIONS.items()
    }

    stages = ["new", "contacted", "qualified", "proposal", "won", "lost"]
    orders = [
        "newest",
        "oldest",
        "last_follow_up",
        "score_desc",
        "score_asc",
        "risk_desc",
        "risk_asc",
        "name_asc",
    ]
    text = {"type": "string", "pattern": "^[^\\u0000]*$", "maxLength": 1000}
    day = {"type": "string", "format": "date"}
    lead_id = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}

    def integer(default, minimum, maximum, bounds):
        description = f"{bounds}; values outside are clamped"
        return {
            "type": "integer",
            "description": description,
            "default": default,
            "x-minimum": minimum,
            "x-maximum": maximum,
        }

    value = {"type": "array", "maxItems": 20, "items": {"type": "string", "pattern": "^[^\\u0000]*$"}}
    score = integer(None, -(2**63), 2**63 - 1, "At least -9223372036854775808")
    del score["default"]
    which = {
        "q": text,
        "status": {"type": "array", "maxItems": 20, "items": {"type": "string", "enum": stages}},
        **dict.fromkeys(("project", "source", "country", "city", "label"), value),
        **dict.fromkeys(("from", "to", "follow_up_from", "follow_up_to"), day),
        "score_min": score,
        "score_max": score,
        "has_visits": {"type": "boolean"},
        "sort": {"type": "string", "enum": orders, "default": "newest"},
    }
    sections = [
        "overview",
        "series",
        "pages",
        "entry_pages",
        "exit_pages",
        "countries",
        "sources",
        "engagement",
        "realtime",
        "current",
    ]
    days = integer(None, 1, 3660, "1 to 3660")
    del days["default"]
    words = {
        "engagement": ["0-19", "20-39", "40-59", "60-79", "80-100"],
        "visitor": ["new", "returning"],
        "lead": ["true", "false"],
    }
    filters = dict.fromkeys(SESSION_FILTERS, value)
    for field, choices in words.items():
        filters[field] = filters[f"{field}.not"] = {**value, "items": {"type": "string", "enum": choices}}
    compare = {"type": "string", "enum": ["previous", "year"]}
    keys = ["source", "country", "entry_page", "campaign", "project", "day", "week", "month", "total"]
    ranged = {"from": day, "to": day, "days": days, "compare": compare, **filters}
    assert parameters == {
        "GET /analytics/overview": ranged,
        "GET /analytics/sessions/daily": {
            "from": day,
            "to": day,
            "days": integer(30, 1, 90, "1 to 90"),
            "compare": compare,
            "interval": {"type": "string", "enum": ["hour", "day", "week", "month"], "default": "day"},
            "fill": {"type": "boolean", "default": False},
            **filters,
        },
        "GET /analytics/pages/top": {"limit": integer(20, 1, 100, "1 to 100"), **ranged},
        "GET /analytics/pages/entry": {"limit": integer(20, 1, 100, "1 to 100"), **ranged},
        "GET /analytics/pages/exit": {"limit": integer(20, 1, 100, "1 to 100"), **ranged},
        "GET /analytics/geo": ranged,
        "GET /analytics/engagement": ranged,
        "GET /analytics/sources": {"limit": integer(100, 1, 1000, "1 to 1000"), **ranged},
        "GET /analytics/dashboard": {
            "from": day,
            "to": day,
            "days": integer(30, 1, 3660, "1 to 3660"),
            "compare": compare,
            "interval": {"type": "string", "enum": ["hour", "day", "week", "month"]},
            "fill": {"type": "boolean", "default": False},
            **filters,
            "limit": integer(10, 1, 100, "1 to 100"),
            "sections": {"type": "array", "items": {"type": "string", "enum": sections}},
        },
        "GET /analytics/conversions": {
            "by": {"type": "string", "enum": keys, "default": "source"},
            "attribution": {"type": "string", "enum": ["last", "first"], "default": "last"},
            "limit": integer(100, 1, 1000, "1 to 1000"),
            **ranged,
        },
        "GET /analytics/pipeline": {"from": day, "to": day, "days": days},
        "GET /analytics/site": {},
        "GET /analytics/realtime": {},
        "GET /analytics/current": {},
        "GET /analytics/storage": {},
        "GET /analytics/whoami": {},
        "GET /analytics/leads": {
            "limit": integer(25, 1, 100, "1 to 100"),
            "offset": integer(0, 0, 2**63 - 1, "At least 0"),
            **which,
            "sort": {"type": "string", "enum": orders},
            "cursor": {
                "type": "string",
                "pattern": "^((newest|oldest|last_follow_up|name_asc):-?[0-9]{1,19}(~?:[^\\u0000]{0,100})?"
                "|(score_desc|score_asc|risk_desc|risk_asc):-?[0-9]{1,19}(:-?[0-9]{1,19})?)$",
            },
        },
        "GET /analytics/leads/export": {
            "format": {"type": "string", "enum": ["csv", "ndjson"], "default": "csv"},
            **which,
        },
        "GET /analytics/leads/facets": {name: which[name] for name in which if name != "sort"},
        "GET /analytics/leads/{lead_id}/history": {"lead_id": lead_id},
        "GET /analytics/leads/{lead_id}/visits": {"lead_id": lead_id},
        "GET /analytics/leads/{lead_id}": {"lead_id": lead_id},
        "PATCH /analytics/leads/{lead_id}": {"lead_id": lead_id},
        "PATCH /analytics/leads": {},
        "GET /analytics/board": {
            "limit": integer(25, 1, 100, "1 to 100"),
            **which,
            "sort": {"type": "string", "enum": orders},
        },
        "GET /analytics/board/{status}": {
            "status": {"type": "string", "pattern": "^[^\\u0000]*$"},
            "limit": integer(25, 1, 100, "1 to 100"),
            **which,
            "sort": {"type": "string", "enum": orders},
            "cursor": {
                "type": "string",
                "pattern": "^((newest|oldest|last_follow_up|name_asc):-?[0-9]{1,19}(~?:[^\\u0000]{0,100})?"
                "|(score_desc|score_asc|risk_desc|risk_asc|stage):-?[0-9]{1,19}(:-?[0-9]{1,19})?)$",
            },
        },
        "GET /analytics/changes": {"since": {"type": "string", "pattern": "^[^\\u0000]*$", "maxLength": 4000}},
        "POST /analytics/session": {},
        "DELETE /analytics/session": {},
    }
    assert all(parameter["description"] for operation in OPERATIONS.values() for parameter in operation["parameters"])


@pytest.mark.parametrize(("method", "path"), ROUTE_OPERATIONS)
def test_document_has_errors_of_every_operation(method, path):
    operation = OPERATIONS[method, path]

    errors = {int(status): reply for status, reply in operation["responses"].items() if int(status) >= 400}

    assert set(errors) >= {400, 401, 500}
    assert (403 in errors) == (not path.endswith(("/whoami", "/site")))
    assert (404 in errors) == ("{" in path or method == "PATCH")
    assert (410 in errors) == path.endswith("/changes")
    assert (411 in errors, 412 in errors) == (method == "PATCH", "{lead_id}" in path and method == "PATCH")
    assert all(list(reply["content"]) == ["application/json"] for reply in errors.values())


def test_document_has_both_key_headers():
    assert DOCUMENT["security"] == [{"bearer": []}, {"header": []}]
    assert DOCUMENT["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_example_is_valid(method, path):
    operation = OPERATIONS[method, path]
    bodies = [reply["content"] for reply in operation["responses"].values() if "content" in reply]
    bodies += [operation["requestBody"]["content"]] if "requestBody" in operation else []
    as_json = [content["application/json"] for content in bodies if "application/json" in content]

    examples = [
        (example, body["schema"])
        for body in as_json
        for example in [*([body["example"]] if "example" in body else []), *body.get("examples", {}).values()]
    ]

    assert all("example" in body or "examples" in body for body in as_json)
    for example, schema in examples:
        assert problems(example.get("value", example) if isinstance(example, dict) else example, schema) == []


@pytest.mark.parametrize(("method", "path"), ROUTE_OPERATIONS)
def test_responses_match_their_schemas(filled, client, method, path):
    operation = OPERATIONS[method, path]
    body = {"leads": [{"lead_id": 1}], "status": "won"} if "requestBody" in operation else None

    response = client.open(path.format(lead_id=1, status="new"), method=method, json=body)

    assert response.status_code == 200
    schema = schema_of(response, operation)
    assert problems(response.json if response.is_json else response.text, schema) == []
    if response.is_json and isinstance(response.json, dict):  # then the schema must reject a changed response
        assert problems({**response.json, "more": 1}, schema) != []
        assert problems({}, schema) != []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("method", "template", "path", "key", "status"),
    [
        ("GET", "/analytics/overview", "/analytics/overview", None, 401),
        ("GET", "/analytics/leads", "/analytics/leads", "wall", 403),
        ("GET", "/analytics/leads", "/analytics/leads?limit=many", KEY, 400),
        ("GET", "/analytics/leads/{lead_id}", "/analytics/leads/0", KEY, 400),
        ("GET", "/analytics/leads/{lead_id}", "/analytics/leads/2", KEY, 404),
        ("PATCH", "/analytics/leads/{lead_id}", "/analytics/leads/2", KEY, 404),
        ("PATCH", "/analytics/leads/{lead_id}", "/analytics/leads/x", KEY, 400),
        ("PATCH", "/analytics/leads", "/analytics/leads", KEY, 400),
        ("GET", "/analytics/board/{status}", "/analytics/board/none", KEY, 404),
        ("GET", "/analytics/changes", "/analytics/changes?since=none", KEY, 400),
        ("GET", "/analytics/changes", "/analytics/changes?since=99999", KEY, 410),
    ],
)
def test_errors_match_their_schema(database, filled, client, method, template, path, key, status):
    key = KeyStore(database).add("wall", ["stats"], now=NOW) if key == "wall" else key

    response = client.open(path, method=method, key=key, json={"status": "won"})

    assert response.status_code == status
    assert problems(response.json, schema_of(response, OPERATIONS[method, template])) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("method", "key", "site", "status"),
    [
        ("POST", KEY, "same-origin", 200),
        ("POST", "wrong", "same-origin", 401),
        ("POST", None, "same-origin", 400),
        ("POST", KEY, "cross-site", 403),
        ("DELETE", KEY, "cross-site", 403),
    ],
)
def test_sign_in_matches_its_schema(serve, method, key, site, status):
    client = serve(browser_sessions=True)

    response = client.open(
        "/analytics/session", method=method, json={"key": key}, key=None, headers={"Sec-Fetch-Site": site}
    )

    assert response.status_code == status
    assert problems(response.json, schema_of(response, OPERATIONS[method, "/analytics/session"])) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_document_is_printed_and_served_without_a_key(database):
    client = APIClient(build_server_app(create_app(database, api_keys=[KEY]), database))
    paths = {path: item for path, item in DOCUMENT["paths"].items() if path != "/analytics/session"}

    printed = CliRunner().invoke(main, ["openapi"]).output
    served = client.get("/openapi.json", key=None)

    assert json.loads(printed) == DOCUMENT
    assert served.json == {**DOCUMENT, "paths": paths, "servers": [{"url": MOUNT}]}
    assert (served.status_code, served.headers["Content-Type"]) == (200, "application/json")
    assert client.get("/analytics/openapi.json", key=None).status_code == 401
