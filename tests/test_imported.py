"""Calling the application and the functions of its endpoints from Python."""

from wsgiref.validate import validator

import pytest
from helpers.client import KEY, NOW
from werkzeug.test import Client

from analytics_api import Context, create_app
from analytics_api.endpoints import leads, sessions
from analytics_api.routes import ROUTES


@pytest.mark.any_engine
def test_werkzeug_client_is_enough(database, insert):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, country="IN")
    client = Client(create_app(database, api_keys=[KEY]))

    response = client.get("/analytics/geo", headers={"Authorization": f"Bearer {KEY}"})

    assert response.json == [{"country": "IN", "sessions": 1, "unique_visitors": 1}]


def test_endpoint_needs_no_http(database, insert):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, duration=90_000)
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    ctx = Context(database, None, NOW, "a script")

    days = sessions.daily(ctx, days=1)
    moved = leads.update_status(ctx, 1, "won")
    history = database.rows("select lead_id, new_status, changed_at, changed_by from lead_status_changes")

    assert days == [
        {"date": "2026-02-24", "total_sessions": 1, "unique_visitors": 1, "avg_duration": 90.0, "avg_engagement": 0.0}
    ]
    assert moved == {"updated": True}
    assert history == [{"lead_id": 1, "new_status": "won", "changed_at": NOW, "changed_by": "a script"}]


@pytest.mark.any_engine
def test_every_route_follows_the_wsgi_specification(database, insert):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    client = Client(validator(create_app(database, api_keys=[KEY])), use_cookies=False)

    statuses = {}
    for route in ROUTES:
        path = "/analytics" + route.path.replace("<lead_id>", "1").replace("<status>", "new")
        for method in {route.method, "HEAD" if route.method == "GET" else "GET", "OPTIONS", "POST", "PUT", "DELETE"}:
            response = client.open(
                path,
                method=method,
                json={"leads": [{"lead_id": 1}], "status": "won"},
                headers={"X-API-Key": KEY},
                buffered=True,
            )
            statuses.setdefault(response.status_code, set()).add(method)

    assert statuses == {200: {"GET", "HEAD", "PATCH"}, 204: {"OPTIONS"}, 405: {"POST", "PUT", "DELETE"}}


@pytest.mark.parametrize("now", [NOW // 1000, NOW / 1000])
def test_context_needs_milliseconds(database, now):
    with pytest.raises(ValueError, match="now must be in milliseconds"):
        Context(database, None, now)
