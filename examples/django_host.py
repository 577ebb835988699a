"""The URLs of a Django project with the API behind its login, at /analytics.

The API is a view here, not a mounted application, so that the project's middleware, logging and test client cover it.
The settings need `ANALYTICS_DATABASE`, and the sessions and users of django.contrib.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from werkzeug.test import run_wsgi_app

from analytics_api import Principal, create_app

USER = "shop.user"  # key of the environ under which the view stores the user


def authenticate(environ: dict) -> Principal | None:
    """Return a Principal with the name and the scopes of the logged-in user."""
    user = environ[USER]
    if not user.is_authenticated:
        return None
    scopes = {"stats", "leads:read", "leads:write"} if user.is_staff else {"stats"}
    return Principal(user.get_username(), frozenset(scopes))


api = create_app(settings.ANALYTICS_DATABASE, api_keys=[], authenticate=authenticate, prefix="/analytics")


# A CSRF token is not needed: a page of another origin cannot send a PATCH, because the API rejects the preflight.
@csrf_exempt
def analytics(request: HttpRequest, rest: str) -> HttpResponseBase:
    """Pass the request to the API, and return its response."""
    environ = request.environ | {"wsgi.input": request, USER: request.user}
    chunks, status, headers = run_wsgi_app(api, environ)
    code, _, reason = status.partition(" ")
    kind = StreamingHttpResponse if "Content-Disposition" in headers else HttpResponse  # only exports have this header
    response = kind(chunks, status=int(code), reason=reason)
    del response["Content-Type"]  # remove Django's default, because a 304 has no Content-Type
    for name, value in headers:
        response[name] = value
    return response


urlpatterns = [path("analytics/<path:rest>", analytics)]
