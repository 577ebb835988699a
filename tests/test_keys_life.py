"""The life of an API key: creation, use, rotation and revocation."""

import sqlite3
from threading import Event

import pytest
from helpers.client import NOW, instant

from analytics_api.errors import APIKeyError
from analytics_api.keys import SCOPES, SELECT_ACTIVE, KeyStore, digest


@pytest.fixture
def key_store(database):
    return KeyStore(database)


sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def wait_for_last_use(key_store, name, day):
    """Wait up to 20 seconds until a background thread has written the key's last use. Return whether it has."""
    for _ in range(2000):
        (key,) = [key for key in key_store.list(now=NOW) if key["name"] == name]
        if key["last_used_on"] == day:
            return True
        Event().wait(0.01)
    return False


def test_key_works_from_add_to_revoke(key_store, client):
    key = key_store.add("wall", ["stats"], now=NOW)

    before = client.get("/analytics/geo", key=key).status_code
    key_store.revoke("wall", now=NOW)
    after = client.get("/analytics/geo", key=key)

    assert before == 200
    assert (after.status_code, after.json) == (401, {"error": "Invalid API key"})


DAY = 86_400_000


def statuses(client, *keys):
    return [client.get("/analytics/geo", key=key).status_code for key in keys]


def test_rotated_key_replaces_the_old_one_at_once(key_store, client):
    old = key_store.add("wall", ["stats"], now=NOW)

    new = key_store.rotate("wall", now=NOW)

    assert statuses(client, old, new) == [401, 200]
    assert [key["state"] for key in key_store.list(now=NOW)] == ["revoked", "active"]


def test_old_key_is_valid_until_the_overlap_ends(key_store, client, serve):
    old = key_store.add("wall", ["stats"], now=NOW)

    new = key_store.rotate("wall", now=NOW, overlap=DAY)

    assert statuses(client, old, new) == [200, 200]
    assert statuses(serve(now=NOW + DAY - 1), old, new) == [200, 200]
    assert statuses(serve(now=NOW + DAY), old, new) == [401, 200]
    assert [key["state"] for key in key_store.list(now=NOW)] == ["replaced", "active"]
    assert [key["state"] for key in key_store.list(now=NOW + DAY)] == ["expired", "active"]


def test_both_keys_have_one_name_and_the_same_scopes(database, insert, key_store, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    old = key_store.add("phone", ["leads:write"], now=NOW)
    new = key_store.rotate("phone", now=NOW, overlap=DAY)

    client.patch("/analytics/leads/1", json={"status": "contacted"}, key=old)
    client.patch("/analytics/leads/1", json={"status": "won"}, key=new)

    assert database.rows("select changed_by from lead_status_changes") == [{"changed_by": "phone"}] * 2
    assert [key["name"] for key in key_store.list(now=NOW)] == ["phone", "phone"]
    assert statuses(client, old, new) == [403, 403]


def test_key_is_rotated_again_and_again(key_store, client):
    keys = [key_store.add("wall", ["stats"], now=NOW)]
    for number in range(1, 4):
        keys.append(key_store.rotate("wall", now=NOW + number, overlap=DAY))

    assert statuses(client, *keys) == [200] * 4
    key_store.revoke("wall", now=NOW)
    assert statuses(client, *keys) == [401] * 4


def test_overlap_does_not_lengthen_the_old_key(key_store, serve):
    old = key_store.add("wall", ["stats"], now=NOW, expires_at=NOW + DAY)

    key_store.rotate("wall", now=NOW, overlap=9 * DAY, expires_at=NOW + 90 * DAY)

    assert statuses(serve(now=NOW + DAY), old) == [401]


def test_new_key_has_the_expiry_of_the_old_one(key_store, serve):
    key_store.add("wall", ["stats"], now=NOW, expires_at=NOW + DAY)

    new = key_store.rotate("wall", now=NOW)

    assert statuses(serve(now=NOW + DAY), new) == [401]


def test_expired_key_is_rotated_with_a_new_expiry(key_store, serve):
    key_store.add("wall", ["stats"], now=NOW, expires_at=NOW + DAY)
    later = NOW + 2 * DAY

    with pytest.raises(APIKeyError, match="expires: 2026-02-25 is not in the future"):
        key_store.rotate("wall", now=later)
    new = key_store.rotate("wall", now=later, expires_at=later + DAY)

    assert statuses(serve(now=later), new) == [200]


def test_revoked_key_is_not_rotated(key_store, client):
    old = key_store.add("wall", ["stats"], now=NOW)
    new = key_store.rotate("wall", now=NOW, overlap=DAY)
    key_store.revoke("wall", now=NOW)
    before = key_store.list(now=NOW)

    with pytest.raises(APIKeyError, match="name: the key wall is revoked; use `keys add` with another name"):
        key_store.rotate("wall", now=NOW, overlap=DAY)

    assert key_store.list(now=NOW) == before
    assert statuses(client, old, new) == [401, 401]


@pytest.mark.parametrize("expires_at", [0, NOW - 1, NOW], ids=["epoch", "before", "now"])
def test_key_that_expires_at_once_is_rejected(key_store, expires_at):
    with pytest.raises(APIKeyError, match=r"^expires: .* is not in the future"):
        key_store.add("wall", ["stats"], now=NOW, expires_at=expires_at)

    assert key_store.list(now=NOW) == []


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("2026-02-28 23:59:59.999", 200),
        ("2026-03-01 00:00:00", 401),
        ("2026-03-01 00:00:00.001", 401),
        ("2027-01-01 00:00:00", 401),
    ],
)
@sqlite
def test_key_works_until_it_expires(key_store, serve, now, status):
    key = key_store.add("wall", ["stats"], now=NOW, expires_at=instant("2026-03-01 00:00:00"))

    response = serve(now=instant(now)).get("/analytics/geo", key=key)

    assert response.status_code == status


def test_history_names_the_key(database, insert, key_store, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    key = key_store.add("Zoë's phone", ["leads:write"], now=NOW)

    client.patch("/analytics/leads/1", json={"status": "contacted"}, key=key)
    client.patch("/analytics/leads/1", json={"status": "won"})

    assert database.rows("select new_status, changed_by from lead_status_changes order by change_id") == [
        {"new_status": "contacted", "changed_by": "Zoë's phone"},
        {"new_status": "won", "changed_by": "key-1"},
    ]


@sqlite
def test_key_is_neither_in_the_database_nor_the_log(database, key_store, client, caplog, tmp_path):
    caplog.set_level("DEBUG")
    key = key_store.add("wall", SCOPES, now=NOW)
    client.get("/analytics/leads?q=x", key=key)
    client.get("/analytics/geo", headers={"Authorization": f"Bearer {key}"}, key=None)
    assert wait_for_last_use(key_store, "wall", "2026-02-24")

    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())

    assert digest(key.encode()).encode() in written
    assert key.encode() not in written
    assert key[len("ana_") :].encode() not in written
    assert key[8:].encode() not in written
    assert key[8:] not in caplog.text


@sqlite
def test_key_is_long_and_only_its_prefix_is_listed(key_store):
    keys = [key_store.add(f"key of {name}", ["stats"], now=NOW) for name in ("ann", "ben")]

    listed = key_store.list(now=NOW)

    assert all(len(key) >= 43 for key in keys)
    assert keys[0] != keys[1]
    assert listed == [
        {
            "name": f"key of {name}",
            "prefix": key[:8],
            "scopes": "stats",
            "created_at": NOW,
            "expires_at": None,
            "revoked_at": None,
            "last_used_on": None,
            "state": "active",
        }
        for name, key in zip(("ann", "ben"), keys)
    ]


def test_last_use_is_written_once_a_day(database, key_store, serve, monkeypatch):
    key = key_store.add("wall", ["stats"], now=NOW)
    writes = []
    write = database.write
    monkeypatch.setattr(database, "write", lambda work: writes.append(work) or write(work))
    monday, tuesday = serve(now=instant("2026-02-23 10:00:00")), serve(now=instant("2026-02-24 10:00:00"))

    for _ in range(20):
        monday.get("/analytics/geo", key=key)
    assert wait_for_last_use(key_store, "wall", "2026-02-23")
    for _ in range(20):
        tuesday.get("/analytics/geo", key=key)
    assert wait_for_last_use(key_store, "wall", "2026-02-24")

    assert len(writes) == 2


@sqlite
def test_key_works_when_its_use_cannot_be_written(database, key_store, client, caplog):
    # A background thread of an earlier test may still log this message about that test's key, so this name is unique.
    key = key_store.add("unrecorded", ["stats"], now=NOW)
    message = "last use of the key unrecorded was not recorded"
    database.busy_timeout = 0.01
    database.close()
    other = sqlite3.connect(database.url, isolation_level=None)
    other.execute("begin immediate")

    statuses = [client.get("/analytics/geo", key=key).status_code for _ in range(3)]
    for _ in range(2000):
        if message in caplog.text:
            break
        Event().wait(0.01)
    other.close()

    assert statuses == [200, 200, 200]
    assert caplog.text.count(message) == 1


@sqlite
def test_valid_and_invalid_keys_cost_one_lookup(database, key_store, client, monkeypatch):
    good = key_store.add("good", ["stats"], now=NOW)
    old = key_store.add("old", ["stats"], now=NOW - 1, expires_at=NOW)
    gone = key_store.add("gone", ["stats"], now=NOW)
    key_store.revoke("gone", now=NOW)
    statements = []
    row = database.row
    monkeypatch.setattr(database, "row", lambda sql, **params: statements.append(sql) or row(sql, **params))

    statuses = {
        name: client.get("/analytics/geo", key=key).status_code
        for name, key in {"good": good, "old": old, "gone": gone, "wrong": "wrong", "near": good[:-1]}.items()
    }

    assert statuses == {"good": 200, "old": 401, "gone": 401, "wrong": 401, "near": 401}
    assert [sql for sql in statements if sql == SELECT_ACTIVE] == [SELECT_ACTIVE] * 5


@pytest.mark.parametrize("name", ["wall", "gone", "", "  ", "two\nlines", "nul\0", "key-1", "key-20"])
@sqlite
def test_key_name_is_never_reused(key_store, name):
    key_store.add("wall", ["stats"], now=NOW)
    key_store.add("gone", ["stats"], now=NOW)
    key_store.revoke("gone", now=NOW)

    with pytest.raises(APIKeyError):
        key_store.add(name, ["stats"], now=NOW)

    assert [key["name"] for key in key_store.list(now=NOW)] == ["gone", "wall"]


@pytest.mark.parametrize("scopes", [[], ["everything"], ["stats", "leads"], ["STATS"], "stats"])
@sqlite
def test_key_needs_known_scopes(key_store, scopes):
    with pytest.raises(APIKeyError, match="stats, leads:read, leads:write"):
        key_store.add("wall", scopes, now=NOW)

    assert key_store.list(now=NOW) == []


@sqlite
def test_only_active_keys_are_revoked(key_store):
    key_store.add("gone", ["stats"], now=NOW)
    key_store.revoke("gone", now=NOW)

    with pytest.raises(APIKeyError, match="no active key named gone"):
        key_store.revoke("gone", now=NOW)
    with pytest.raises(APIKeyError, match="no active key named nobody"):
        key_store.revoke("nobody", now=NOW)


def test_failed_key_lookup_is_500(database, key_store, client, caplog):
    key = key_store.add("wall", ["stats"], now=NOW)
    database.write(lambda at: at.execute("drop table api_keys"))

    response = client.get("/analytics/geo", key=key)

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert "authentication failed" in caplog.text
    assert "api_keys" in caplog.text
    assert client.get("/analytics/geo").status_code == 200
