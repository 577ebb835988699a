"""Keys of the WSGI environ that the application and its middleware share."""

from __future__ import annotations

PRINCIPAL = "analytics_api.principal"  # the authenticated Principal
REQUEST_ID = "analytics_api.request_id"
ROUTE = "analytics_api.route"  # the route's template, such as /leads/<lead_id>
QUERY_SECONDS = "analytics_api.query_seconds"  # duration of the endpoint call
IS_KEY_VALID = "analytics_api.is_key_valid"  # function that returns whether the request's key is still valid
SESSION_TOKENS = "analytics_api.session_tokens"  # list of the tokens in the request's session cookies
HAS_POLICY = "analytics_api.has_policy"  # set if the application sends its own security headers
LATE_RESPONSE = "analytics_api.late_response"  # a server.worker.LateResponse, if the server supports it
