"""The Django application in examples/, tested with Django's own test client."""

import json

import pytest
from helpers import django_project
from helpers.examples import load_example, read_block

django_project.configure()

import django.test  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client, override_settings  # noqa: E402

pytestmark = pytest.mark.any_engine


@pytest.fixture(scope="module")
def users():
    """Return a staff user and an ordinary user, by name."""
    call_command("migrate", verbosity=0)
    model = get_user_model()
    return {
        name: model.objects.get_or_create(username=name, is_staff=is_staff)[0]
        for name, is_staff in (("ann", True), ("ben", False))
    }


@pytest.fixture
def client(users, database, insert):
    insert("leads", lead_id=42, enquiry_datetime="2026-02-23 11:15:00", contact_name="Zoë")
    with override_settings(ANALYTICS_DATABASE=database):
        urls = load_example("django_host")
    with override_settings(ROOT_URLCONF=urls.__name__):
        yield Client(enforce_csrf_checks=True)


def test_django_host_answers_401_before_the_login(client):
    response = client.get("/analytics/overview")

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json()["error"].startswith("API key required")


def test_django_host_login_opens_the_api(client, users):
    client.force_login(users["ann"])

    assert client.get("/analytics/overview").status_code == 200
    assert client.get("/analytics/leads/42").json()["lead"]["contact_name"] == "Zoë"
    assert client.get("/analytics/whoami").json()["name"] == "ann"
    assert client.get("/analytics/nothing").json() == {"error": "Unknown analytics endpoint"}


def test_django_host_user_is_in_the_history(client, users, database):
    client.force_login(users["ann"])

    response = client.patch("/analytics/leads/42", {"status": "won"}, content_type="application/json")

    assert response.json() == {"updated": True}
    assert database.row("select new_status, changed_by from lead_status_changes") == {
        "new_status": "won",
        "changed_by": "ann",
    }


def test_django_host_scopes_are_the_users(client, users):
    client.force_login(users["ben"])

    assert client.get("/analytics/overview").status_code == 200
    assert client.get("/analytics/leads").status_code == 403


def test_django_host_forwards_conditional_headers(client, users):
    client.force_login(users["ann"])
    etag = client.get("/analytics/leads/42").headers["ETag"]

    unchanged = client.get("/analytics/leads/42", HTTP_IF_NONE_MATCH=etag)
    stale = client.patch(
        "/analytics/leads/42", {"status": "won"}, content_type="application/json", HTTP_IF_MATCH='"stale"'
    )

    assert (unchanged.status_code, unchanged.content, unchanged.headers.get("Content-Type")) == (304, b"", None)
    assert stale.status_code == 412


def test_django_host_export_is_streamed(client, users):
    client.force_login(users["ann"])

    response = client.get("/analytics/leads/export?format=ndjson")

    assert response.streaming
    assert json.loads(response.getvalue())["contact_name"] == "Zoë"


def test_django_host_head_has_no_body(client, users):
    client.force_login(users["ann"])

    response = client.head("/analytics/leads/42")

    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["Content-Length"]) > 100


def test_django_host_documented_client_runs(client, users):
    exec(read_block("host-applications.md", "django.test.Client()"), {"django": django, "user": users["ann"]})
