"""A short run of the random requests of faults/fuzz.py."""

import json
from collections import Counter

import pytest
from helpers.client import KEY, NOW
from helpers.fuzzing import fuzz

from analytics_api import create_app
from analytics_api.server.serve import build_server_app


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_fuzzed_requests_get_documented_responses(database, insert, caplog):
    for number in range(1, 41):
        insert("leads", lead_id=number, enquiry_datetime="2026-02-23 11:15:00", contact_name=f"Ann {number} é ß 日本語")
    api = create_app(database, api_keys=[KEY], cors_origins=["https://dashboard.example"], clock=lambda: NOW)
    lines = []
    application = build_server_app(api, database, trusted_proxies=1, metrics=True, write=lines.append)

    came = fuzz(application, 600, seed=1)

    assert {200, 204, 400, 401, 404, 405} <= set(came)
    assert Counter(json.loads(line)["status"] for line in lines) == came
    assert [line for line in lines if not line.isascii() or line.count("\n") != 1 or line[-1] != "\n"] == []
    meant = "an unknown path was requested; did you mean "
    warnings = {record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")}
    assert {text for text in warnings if not text.startswith(meant)} <= {
        "a preflight from the origin 'https://evil.example' was rejected: "
        "this origin is not in ANALYTICS_CORS_ORIGINS or cors_origins"
    }
    assert database.verify() == []
