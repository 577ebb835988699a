"""Keys of the WSGI environ that the application and its middleware share."""

from __future__ import annotations

PRINCIPAL = "analytics_api.principal"  # the Principal that sent the request
REQUEST_ID = "analytics_api.request_id"
ROUTE = "analytics_api.route"  # template of the route, such as /leads/<lead_id>
QUERY_SECONDS = "analytics_api.query_seconds"  # how long the endpoint took
IS_KEY_VALID = "analytics_api.is_key_valid"  # function: whether the key of the request is valid still
