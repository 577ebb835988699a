import os
import re
import time
from pathlib import Path

import pytest
from helpers.client import KEY, NOW, APIClient, instant

from analytics_api import DatabaseError, SettingError, create_app, open_database
from analytics_api.database import upgrade


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize("api_keys", [[], (), {}, "", "   ", [""], ["", " \t\n"], {"dashboard": ""}, iter([])])
def test_create_app_needs_a_key(database, api_keys):
    with pytest.raises(SettingError) as refusal:
        create_app(database, api_keys=api_keys)

    assert str(refusal.value) == "api_keys: at least one API key is required"


@pytest.mark.any_engine
def test_create_app_requires_api_keys_argument(database):
    with pytest.raises(TypeError):
        create_app(database)


@pytest.mark.any_engine
def test_create_app_options_are_keyword_only(database):
    with pytest.raises(TypeError):
        create_app(database, [KEY])


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    "prefix", ["analytics", "/", "/analytics/", "analytics/", "https://example.com", " /analytics"]
)
def test_create_app_rejects_an_invalid_prefix(database, prefix):
    with pytest.raises(SettingError) as refusal:
        create_app(database, api_keys=[KEY], prefix=prefix)

    assert str(refusal.value) == f"prefix: use a path such as /analytics, or an empty string, not {prefix!r}"


@pytest.mark.parametrize("kind", [str, Path])
def test_create_app_creates_the_database_of_a_path(tmp_path, kind):
    path = tmp_path / "new.db"

    response = APIClient(create_app(kind(path), api_keys=[KEY])).get("/analytics/geo")

    assert (response.status_code, response.json) == (200, [])
    assert path.exists()


def test_create_app_accepts_path_or_open_database(database, insert, client):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW)

    response = APIClient(create_app(database.url, api_keys=[KEY])).get("/analytics/geo")

    assert response.json == client.get("/analytics/geo").json
    assert response.json == [{"country": "XX", "sessions": 1, "unique_visitors": 1}]


def test_create_app_rejects_an_unusable_database(tmp_path):
    (tmp_path / "notes.txt").write_text("no database " * 1000)

    with pytest.raises(DatabaseError, match=r"notes\.txt"):
        create_app(tmp_path / "notes.txt", api_keys=[KEY])
    with pytest.raises(DatabaseError, match="missing does not exist"):
        create_app(tmp_path / "missing" / "analytics.db", api_keys=[KEY])


def test_create_app_reads_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ANALYTICS_API_KEY", "from-the-environment")
    monkeypatch.setenv("ANALYTICS_DATABASE", str(tmp_path / "from-the-environment.db"))
    monkeypatch.setenv("ANALYTICS_STORAGE", str(tmp_path))
    monkeypatch.setenv("ANALYTICS_CORS_ORIGINS", "*")

    client = APIClient(create_app(tmp_path / "given.db", api_keys=[KEY]))

    assert client.get("/analytics/geo", key="from-the-environment").status_code == 401
    assert client.get("/analytics/storage").json == {"total_objects": None, "estimated_sessions": None}
    assert {name for name in os.listdir(tmp_path) if name.endswith(".db")} == {"given.db"}


@pytest.mark.any_engine
def test_clock_is_read_at_every_request(database, insert):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=instant("2026-02-24 15:00:00"))
    now = instant("2026-02-24 15:59:59.999")
    client = APIClient(create_app(database, api_keys=[KEY], clock=lambda: now))

    active = [client.get("/analytics/realtime").json["active_sessions"]]
    now = instant("2026-02-24 16:00:00.001")
    active.append(client.get("/analytics/realtime").json["active_sessions"])

    assert active == [1, 0]


@pytest.mark.any_engine
def test_default_clock_is_the_present(database, insert):
    insert("events", event_id=1, session_id="s1", event_type="click", occurred_at=time.time_ns() // 1_000_000)

    realtime = APIClient(create_app(database, api_keys=[KEY])).get("/analytics/realtime").json

    assert realtime["events_last_hour"] == 1


@pytest.mark.any_engine
def test_applications_are_independent(database, insert, tmp_path):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW)
    one = APIClient(create_app(database, api_keys=["key-of-one"], prefix="/one"))
    other = APIClient(create_app(tmp_path / "other.db", api_keys=["key-of-other"], prefix="/other"))

    assert one.get("/one/geo", key="key-of-one").json == [{"country": "XX", "sessions": 1, "unique_visitors": 1}]
    assert other.get("/other/geo", key="key-of-other").json == []
    assert one.get("/other/geo", key="key-of-one").status_code == 404
    assert one.get("/one/geo", key="key-of-other").status_code == 401


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("api_keys", None),
        ("api_keys", [None]),
        ("api_keys", [b"bytes"]),
        ("api_keys", b"bytes"),
        ("api_keys", ["k\xe9k\xe9"]),
        ("authenticate", "a name"),
        ("storage", object()),
        ("storage", "/no/such/folder"),
        ("storage_max_age", 0),
        ("clock", time.time),
        ("clock", lambda: None),
        ("prefix", None),
        ("cors_origins", "no origin"),
        ("cors_origins", [None]),
        ("collect_hosts", "shop.example"),
        ("collect_hosts", None),
        ("collect_hosts", [5]),
        ("prefix", "//analytics"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else type(value).__name__,
)
def test_invalid_argument_is_named(database, tmp_path, argument, value):
    arguments = {"api_keys": [KEY], argument: value}
    if argument == "storage_max_age":
        arguments["storage"] = tmp_path

    with pytest.raises(SettingError, match=rf"^{argument}: "):
        create_app(database, **arguments)


@pytest.mark.any_engine
def test_storage_accepts_a_directory(database, tmp_path):
    client = APIClient(create_app(database, api_keys=[KEY], storage=tmp_path))

    assert client.get("/analytics/storage").json["total_objects"] is not None


def test_database_of_another_type_is_named():
    with pytest.raises(SettingError, match=r"^database: "):
        create_app(None, api_keys=[KEY])


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (":memory:", "an SQLite database must be a file"),
        ("file::memory:?cache=shared", "an SQLite database must be a file"),
        ("file:analytics.db", "an SQLite database must be a file"),
        ("sqlite:///analytics.db", "URLs other than postgresql:// are not supported"),
        ("mysql://host/name", "URLs other than postgresql:// are not supported"),
    ],
    ids=["memory", "shared", "uri", "sqlalchemy", "mysql"],
)
def test_unusable_database_name_makes_no_file(tmp_path, monkeypatch, name, fault):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingError, match=rf"^database: {re.escape(name)}: {fault}"):
        create_app(name, api_keys=[KEY])
    with pytest.raises(DatabaseError, match=rf"^{re.escape(name)}: {fault}"):
        open_database(name)
    with pytest.raises(DatabaseError, match=rf"^{re.escape(name)}: {fault}"):
        upgrade(name)

    assert list(tmp_path.iterdir()) == []
