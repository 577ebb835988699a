"""If-Match and If-None-Match on a lead's update (RFC 9110, 13.1)."""

import threading

import pytest
from helpers.client import KEY, APIClient

from analytics_api import create_app
from analytics_api.keys import KeyStore

PATH = "/analytics/leads/42"


@pytest.fixture(autouse=True)
def lead(insert):
    insert("leads", lead_id=42, enquiry_datetime="2026-02-23 11:15:00", status="new", visitor_id="v1")
    insert("sessions", session_id="s1", visitor_id="v1", started_at=100_000_000_001)


@pytest.fixture
def state(client, database):
    """Return the lead's status and the number of changes in its history."""
    return lambda: (
        client.get(PATH).json["lead"]["status"],
        database.row("select count(*) as changes from lead_status_changes")["changes"],
    )


def test_etag_of_the_detail_is_strong_and_matches(client, state):
    etag = client.get(PATH).headers["ETag"]

    response = client.patch(PATH, json={"status": "won"}, headers={"If-Match": etag})

    assert etag.startswith('"')
    assert (response.status_code, response.json) == (200, {"updated": True})
    assert state() == ("won", 1)


def test_stale_if_match_is_412_and_changes_nothing(client, state):
    etag = client.get(PATH).headers["ETag"]
    client.patch(PATH, json={"status": "won"})

    response = client.patch(PATH, json={"status": "lost"}, headers={"If-Match": etag})

    assert response.status_code == 412
    assert response.json == {
        "error": "If-Match does not list the current ETag: the resource has changed since it was read",
        "lead": client.get("/analytics/board").json["stages"][4]["leads"][0],
    }
    assert state() == ("won", 1)


@pytest.mark.parametrize("status", ["won", "new"], ids=["changed", "same"])
def test_update_returns_the_etag_of_the_board(client, state, status):
    etag = client.patch(PATH, json={"status": status}).headers["ETag"]

    next_update = client.patch(PATH, json={"status": "lost"}, headers={"If-Match": etag})

    assert next_update.status_code == 200
    assert next_update.headers["ETag"] == client.get("/analytics/board").json["stages"][5]["leads"][0]["etag"] != etag
    assert state()[0] == "lost"


def test_new_session_of_the_lead_changes_the_etag(client, insert, state):
    etag = client.get(PATH).headers["ETag"]
    insert("sessions", session_id="s2", visitor_id="v1", started_at=100_000_000_002)

    assert client.patch(PATH, json={"status": "won"}, headers={"If-Match": etag}).status_code == 412
    assert state() == ("new", 0)


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("pattern", "status"),
    [
        ("{}", 200),
        ('"other", {}', 200),
        ('{} ,"other"', 200),
        ("*", 200),
        (" * ", 200),
        ("W/{}", 412),
        ('"other"', 412),
        ("unquoted", 412),
        ("", 412),
    ],
    ids=["one", "second", "first", "any", "blanks", "weak", "other", "unquoted", "empty"],
)
def test_if_match_compares_strongly(client, state, pattern, status):
    condition = pattern.format(client.get(PATH).headers["ETag"])

    response = client.patch(PATH, json={"status": "won"}, headers={"If-Match": condition})

    assert response.status_code == status
    assert state() == (("won", 1) if status == 200 else ("new", 0))


@pytest.mark.any_engine
@pytest.mark.parametrize("condition", ['W/"new.0"', "new.0", ""], ids=["weak", "unquoted", "empty"])
def test_if_match_without_a_strong_tag_is_explained(client, state, condition):
    response = client.patch(PATH, json={"status": "won"}, headers={"If-Match": condition})

    assert response.status_code == 412
    assert response.json["error"] == (
        'If-Match has no strong entity tag: send the ETag in double quotes, without W/, such as "new.0"'
    )


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("pattern", "status"),
    [("*", 412), ("{}", 412), ("W/{}", 412), ('"other"', 200)],
    ids=["any", "one", "weak", "other"],
)
def test_if_none_match_compares_weakly(client, state, pattern, status):
    condition = pattern.format(client.get(PATH).headers["ETag"])

    response = client.patch(PATH, json={"status": "won"}, headers={"If-None-Match": condition})

    assert response.status_code == status
    assert state() == (("won", 1) if status == 200 else ("new", 0))


@pytest.mark.any_engine
def test_other_errors_come_before_412(client, database, state):
    reader = KeyStore(database).add("reader", ["leads:read"], now=0)
    stale, body = {"If-Match": '"stale"'}, {"status": "won"}

    statuses = [
        client.patch(PATH, json=body, headers=stale, key="wrong").status_code,
        client.patch(PATH, json=body, headers=stale, key=reader).status_code,
        client.patch("/analytics/leads/43", json=body, headers=stale).status_code,
        client.patch(PATH, json={"status": "unknown"}, headers=stale).status_code,
        client.patch(PATH, json={}, headers=stale).status_code,
        client.patch("/analytics/leads/x", json=body, headers=stale).status_code,
        client.patch(PATH, json={"status": "new"}, headers=stale).status_code,
    ]

    assert statuses == [401, 403, 404, 404, 400, 400, 412]
    assert state() == ("new", 0)


def test_one_of_many_concurrent_updates_of_one_state_wins(client, database, state):
    etag = client.get(PATH).headers["ETag"]
    barrier, statuses = threading.Barrier(6), []

    def update(number):
        own = APIClient(create_app(database, api_keys=[KEY]))
        barrier.wait(30)
        body = {"status": ("won", "lost")[number % 2]}
        statuses.append(own.patch(PATH, json=body, headers={"If-Match": etag}).status_code)

    threads = [threading.Thread(target=update, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(statuses) == [200, 412, 412, 412, 412, 412]
    assert state()[1] == 1
