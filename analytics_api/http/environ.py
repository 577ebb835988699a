"""Keys of the WSGI environ by which the application and its middleware speak to each other."""

from __future__ import annotations

API_KEY = "analytics_api.key"  # the `Key` that authenticated the request
REQUEST_ID = "analytics_api.request_id"
ROUTE = "analytics_api.route"  # the template of the route that answers, such as /leads/<lead_id>
QUERY_SECONDS = "analytics_api.query_seconds"  # how long the endpoint ran
