import flask
import pytest
from helpers.client import APIClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from analytics_api import create_app

pytestmark = pytest.mark.any_engine

# The paths at which the host mounts the API, each with the API's prefix.
MOUNTS = {"/analytics": "", "/internal/reports": "/analytics", "/deep/er/still": ""}


@pytest.fixture(params=MOUNTS)
def mount(request):
    return request.param


@pytest.fixture
def host(database, mount):
    """Return a Flask application with its own pages and the API below `mount`."""
    shop = flask.Flask("shop")

    @shop.get("/")
    def home():
        return "the shop"

    @shop.get("/analytics-of-its-own")
    def own():
        return flask.jsonify(own=flask.request.script_root)

    @shop.get("/leads/<int:lead_id>")
    def lead(lead_id):
        return f"the shop's lead {lead_id}"

    api = create_app(database, api_keys=["api-key"], prefix=MOUNTS[mount])
    shop.wsgi_app = DispatcherMiddleware(shop.wsgi_app, {mount: api})
    return APIClient(shop)


def test_flask_serves_the_api_below_the_mount(host, mount, insert):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    api = mount + MOUNTS[mount]

    assert host.get(f"{api}/geo", key="api-key").json == []
    assert host.patch(f"{api}/leads/1", key="api-key", json={"status": "won"}).json == {"updated": True}
    assert host.get(f"{api}/leads/1", key="api-key").json["lead"]["status"] == "won"
    assert host.get(f"{api}/leads/2", key="api-key").json == {"error": "Lead not found"}
    assert host.get(f"{api}/leads?limit=x", key="api-key").json == {"error": "limit must be an integer"}
    assert host.get(f"{api}/geo", key="wrong").json == {"error": "Invalid API key"}
    assert host.get(f"{api}/nothing", key="api-key").json == {"error": "Unknown analytics endpoint"}
    assert host.get(f"{mount}", key="api-key").json == {"error": "Unknown analytics endpoint"}
    assert host.head(f"{api}/geo", key="api-key").headers["Content-Length"] == "2"


def test_flask_pages_are_unaffected(host):
    assert host.get("/", key=None).text == "the shop"
    assert host.get("/analytics-of-its-own", key=None).json == {"own": "/under/a/path"}
    assert host.get("/leads/7", key=None).text == "the shop's lead 7"
    assert host.get("/nothing", key=None).status_code == 404
    assert host.get("/nothing", key=None).mimetype == "text/html"


def test_flask_serves_the_api_nowhere_else(host, mount):
    elsewhere = [path for path in ("/geo", "/analytics/geo", "/internal/geo", "/deep/er/geo") if path != f"{mount}/geo"]

    replies = {path: host.get(path, key="api-key").mimetype for path in elsewhere}

    assert replies == dict.fromkeys(elsewhere, "text/html")
