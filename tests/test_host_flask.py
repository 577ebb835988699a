"""The Flask application in examples/, tested with Flask's own test client."""

import json
import logging
import subprocess
import sys

import pytest
from helpers.cli import clean_environment, run_process
from helpers.examples import EXAMPLES, ROOT, load_example, read_block

pytestmark = pytest.mark.any_engine


@pytest.fixture
def shop(database, insert):
    insert("leads", lead_id=42, enquiry_datetime="2026-02-23 11:15:00", contact_name="Zoë")
    return load_example("flask_host").make_shop(database)


@pytest.fixture
def client(shop):
    return shop.test_client()


def test_flask_host_answers_401_before_the_login(client):
    response = client.get("/analytics/overview")

    assert response.status_code == 401
    assert response.json["error"].startswith("API key required")


def test_flask_host_shows_its_log_lines(tmp_path):
    code = "import flask_host; flask_host.make_shop().test_client().get('/analytics/overview')"

    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean_environment(PYTHONPATH=str(EXAMPLES)),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(ended.stderr)["status"] == 401


def test_flask_host_login_opens_the_api(client):
    client.post("/login/ann")

    assert client.get("/analytics/overview").status_code == 200
    assert client.get("/analytics/leads/42").json["lead"]["contact_name"] == "Zoë"
    assert client.get("/analytics/whoami").json == {
        "name": "ann",
        "scopes": ["stats", "leads:read", "leads:write"],
        "expires": None,
    }


def test_flask_host_user_is_in_the_history(client, database):
    client.post("/login/ann")

    response = client.patch("/analytics/leads/42", json={"status": "won"})

    assert response.json == {"updated": True}
    assert database.row("select new_status, changed_by from lead_status_changes") == {
        "new_status": "won",
        "changed_by": "ann",
    }


def test_flask_host_scopes_are_the_users(client):
    client.post("/login/ben")

    assert client.get("/analytics/overview").status_code == 200
    assert client.get("/analytics/leads").status_code == 403
    assert client.patch("/analytics/leads/42", json={"status": "won"}).status_code == 403


def test_flask_host_unknown_user_is_401(client):
    client.post("/login/mallory")

    assert client.get("/analytics/overview").status_code == 401


def test_flask_host_link_has_the_mount_path(client, insert):
    insert("leads", lead_id=43, enquiry_datetime="2026-02-23 11:15:00")
    client.post("/login/ann")

    link = client.get("/analytics/leads?limit=1").headers["Link"]

    assert link.startswith("</analytics/leads?")
    assert client.get(link.partition("<")[2].partition(">")[0]).json["leads"][0]["lead_id"] == 42


def test_flask_host_export_is_whole(client):
    client.post("/login/ann")

    response = client.get("/analytics/leads/export?format=ndjson")

    assert json.loads(response.data)["contact_name"] == "Zoë"


def test_flask_host_before_request_guards_its_own_pages_only(shop):
    @shop.before_request
    def gate():
        return "closed", 418

    client = shop.test_client()

    assert client.post("/login/ann").status_code == 418
    assert client.get("/analytics/overview").status_code == 401


def test_flask_host_logs_each_request(client, caplog):
    caplog.set_level(logging.INFO, "shop.analytics")
    client.post("/login/ann")

    client.get("/analytics/overview")

    (record,) = [record for record in caplog.records if record.name == "shop.analytics"]
    line = json.loads(record.getMessage())
    assert (line["route"], line["status"], line["key"]) == ("/overview", 200, "ann")


def test_flask_host_is_found_by_the_documented_command(tmp_path):
    text = (ROOT / "docs/host-applications.md").read_text()

    listed = run_process(
        *["--app", f"{EXAMPLES}/flask_host.py:make_shop", "routes"],
        program=[sys.executable, "-m", "flask"],
        cwd=tmp_path,
    )

    assert "`flask --app examples/flask_host.py:make_shop run`" in text
    assert "/login/<name>" in listed.stdout, listed.stderr


def test_flask_host_documented_client_runs(shop):
    exec(read_block("host-applications.md", "shop.test_client()"), {"shop": shop})
