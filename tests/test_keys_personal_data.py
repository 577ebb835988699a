"""No response to a key with only the scope `stats` contains personal data."""

import logging
from itertools import product

import pytest
from helpers.client import NOW, APIClient

from analytics_api import create_app
from analytics_api.keys import KeyStore
from analytics_api.routes import ROUTES
from analytics_api.server.serve import build_server_app

# All personal data contains these letters, which occur nowhere else.
PERSON = "zqx"
LEAD = {
    "contact_name": "zqx Sharma",
    "contact_email": "zqx@example.com",
    "contact_phone": "+91zqx9876",
    "contact_city": "zqx-city",
    "visitor_id": "zqx-visitor",
    "session_id": "zqx-session",
    "project_name": "zqx towers",
    "project_location": "zqx road 1",
}
SUBMISSION = {
    "contact_email": "zqx@example.org",
    "contact_phone": "zqx543",
    "contact_ip": "zqx::1",
    "visitor_id": "zqx-visitor",
    "session_id": "zqx-session",
    "referer": "https://shop.example/?email=zqx@example.com",
    "payload_json": '{"FIRSTNAME": "zqx"}',
}
SESSION = {
    "visitor_id": "zqx-visitor",
    "fingerprint": "zqx-fingerprint",
    "entry_page": "https://shop.example/start",  # not personal data: a `stats` key can read page URLs, see SECURITY.md
    "exit_page": "https://shop.example/end",
    "referrer": "https://search.example/?q=zqx",
    "referrer_domain": "search.example",
}

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY", "get"]

PATHS = [
    *(f"/analytics{route.path.replace('<lead_id>', '1')}" for route in ROUTES),
    "/analytics/leads/",
    "/analytics//leads",
    "//analytics/leads",
    "/analytics/./leads",
    "/analytics/overview/../leads",
    "/analytics/leads%2f1",
    "/analytics/leads;a=b",
    "/analytics/LEADS",
    "/analytics/leads.json",
    "/analytics/leads/1%00",
    "/analytics/leads/01",
    "/analytics/leads/export",
    "/analytics/export",
    "/analytics/leads.csv",
    "/analytics",
    "/",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/metrics",
    "/leads",
]

QUERIES = [
    "",
    "?q=zqx",
    "?q=zqx&status=new&sort=name_asc&limit=100",
    "?days=90&limit=100000&fields=contact_name&include=leads&format=csv",
    "?limit=zqx",
    "?days=zqx",
    "?sort=contact_email",
    "?q=%00",
    "?q=%ff",
    "?callback=f&debug=1&_method=PATCH",
    "?limit=1' union select contact_email from leads --",
]

HEADERS = [
    {},
    {"Accept": "text/csv"},
    {"X-HTTP-Method-Override": "PATCH"},
    {"X-Original-URL": "/analytics/leads", "X-Rewrite-URL": "/analytics/leads"},
    {"X-Forwarded-Prefix": "/analytics", "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
    {"Range": "bytes=0-", "If-None-Match": "*", "If-Match": "*"},
    {"Origin": "https://dashboard.example", "Access-Control-Request-Method": "PATCH"},
    {"X-Request-ID": "1", "Cookie": "admin=1", "Content-Type": "application/json"},
]


@pytest.fixture
def person(database, insert):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", **LEAD)
    insert("lead_submissions", submission_id=1, lead_id=1, submitted_at="2026-02-23 11:15:00", **SUBMISSION)
    insert("sessions", session_id="zqx-session", started_at=NOW, **SESSION)
    insert("events", session_id="zqx-session", event_type="form", occurred_at=NOW, data='{"name": "zqx"}')


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.slow
def test_stats_key_never_gets_personal_data(database, person, caplog):
    caplog.set_level(logging.DEBUG)
    key = KeyStore(database).add("wall", ["stats"], now=NOW)
    api = create_app(database, api_keys=["another"], cors_origins=["*"], clock=lambda: NOW)
    client = APIClient(build_server_app(api, database, metrics=True, trusted_proxies=1))
    body = b'{"status": "won", "contact_name": "?"}'

    reached = [
        (method, path, query, headers, response.status_code)
        for method, path, query, headers in product(METHODS, PATHS, QUERIES, HEADERS)
        if (headers == {} and query == "") or ((headers == {} or query == "") and method in ("GET", "PATCH"))
        for response in [client.open(path + query, method=method, headers=headers, key=key, data=body)]
        if PERSON.encode() in response.data or PERSON in str(response.headers) or response.status_code >= 500
    ]

    assert reached == []
    assert PERSON not in caplog.text
    assert database.rows("select status from leads") == [{"status": "new"}]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_stats_key_gets_no_personal_data_in_errors(database, person, caplog):
    key = KeyStore(database).add("wall", ["stats"], now=NOW)
    client = APIClient(build_server_app(create_app(database, api_keys=["another"]), database, metrics=True))
    for table in ("day_counts", "key_counts", "event_counts", "minute_counts", "status_counts", "site"):
        database.write(lambda at, table=table: at.execute(f"drop table {table}"))

    replies = [client.get(path, key=key) for path in PATHS]

    assert sorted({reply.status_code for reply in replies}) == [200, 403, 404, 500, 503]
    assert [reply.request.path for reply in replies if PERSON in reply.text + str(reply.headers)] == []
    assert PERSON not in caplog.text
