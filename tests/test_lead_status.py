import io
import json

import pytest
from helpers.client import KEY, NOW, instant

LIMIT = 64 * 1024


@pytest.fixture
def lead(insert):
    insert("leads", lead_id=42, enquiry_datetime="2026-02-23 11:15:00", status="new")


@pytest.fixture
def status(get):
    return lambda: get("/analytics/leads/42")["lead"]["status"]


@pytest.fixture
def history(database):
    return lambda: database.rows("select * from lead_status_changes order by change_id")


def test_status_can_be_set_to_each_value(lead, client, status):
    for stage in ("contacted", "qualified", "proposal", "won", "lost", "new"):
        response = client.patch("/analytics/leads/42", json={"status": stage})

        assert (response.status_code, response.json) == (200, {"updated": True})
        assert status() == stage


@pytest.mark.any_engine
@pytest.mark.parametrize("text", ["CONTACTED", "Contacted", "cOnTaCtEd", " contacted ", "\tCONTACTED\n"])
def test_status_ignores_case_and_blanks(lead, client, status, text):
    response = client.patch("/analytics/leads/42", json={"status": text})

    assert (response.status_code, response.json) == (200, {"updated": True})
    assert status() == "contacted"


def test_status_change_is_recorded_with_key_and_time(lead, serve, history):
    keys = {"dashboard": KEY, "phone": "another-key"}

    serve(api_keys=keys, now=instant("2026-02-24 15:00:00.123")).patch("/analytics/leads/42", json={"status": "won"})
    serve(api_keys=keys, now=instant("2026-02-24 16:00:00")).patch(
        "/analytics/leads/42", json={"status": "LOST"}, key="another-key"
    )

    assert history() == [
        {
            "change_id": 1,
            "lead_id": 42,
            "old_status": "new",
            "new_status": "won",
            "changed_at": instant("2026-02-24 15:00:00.123"),
            "changed_by": "dashboard",
        },
        {
            "change_id": 2,
            "lead_id": 42,
            "old_status": "won",
            "new_status": "lost",
            "changed_at": instant("2026-02-24 16:00:00"),
            "changed_by": "phone",
        },
    ]


@pytest.mark.any_engine
def test_unnamed_keys_are_numbered_in_the_history(lead, serve, history):
    client = serve(api_keys=["first-key", "second-key"])

    client.patch("/analytics/leads/42", json={"status": "won"}, key="second-key")

    assert history() == [
        {
            "change_id": 1,
            "lead_id": 42,
            "old_status": "new",
            "new_status": "won",
            "changed_at": NOW,
            "changed_by": "key-2",
        }
    ]


def test_same_status_is_not_recorded(lead, client, status, history):
    replies = [client.patch("/analytics/leads/42", json={"status": text}).json for text in ("new", "NEW", " new ")]

    assert replies == [{"updated": True}] * 3
    assert status() == "new"
    assert history() == []


def test_status_update_changes_nothing_else(insert, lead, client, get):
    insert("leads", lead_id=43, enquiry_datetime="2026-02-23 11:15:00", contact_name="Ann", engagement_score=5)
    before = get("/analytics/leads/43")
    other = get("/analytics/leads/42")

    client.patch("/analytics/leads/43", json={"status": "won"})

    assert get("/analytics/leads/43") == {**before, "lead": {**before["lead"], "status": "won"}}
    assert get("/analytics/leads/42") == other


@pytest.mark.any_engine
def test_unknown_status_is_404(lead, client, status, history):
    texts = [
        "",
        " ",
        "neww",
        "closed",
        "won,lost",
        "won lost",
        "new\0",
        "ne\u00adw",
        "ǹew",
        "\ud800",
        "'",
        "w" * 60_000,
    ]

    for text in texts:
        response = client.patch("/analytics/leads/42", json={"status": text})

        assert response.status_code == 404, text
        assert response.json == {"error": "status must be one of new, contacted, qualified, proposal, won, lost"}

    assert (status(), history()) == ("new", [])


def test_unknown_lead_is_404_without_history(client, history):
    response = client.patch("/analytics/leads/42", json={"status": "won"})

    assert response.status_code == 404
    assert response.json == {"error": "Lead not found"}
    assert history() == []


INVALID_BODIES = {
    'The request body must be {"status": "…"}': [
        b"{}",
        b'{"Status": "won"}',
        b'{"status": null}',
        b'{"status": 1}',
        b'{"status": true}',
        b'{"status": ["won"]}',
        b'{"status": {"status": "won"}}',
    ],
    "The request body must be a JSON object": [
        b'["status", "won"]',
        b'"won"',
        b"null",
        b"1",
        b"[]",
    ],
    "The request body must be JSON": [
        b"",
        b" ",
        b"won",
        b"status=won",
        b'{"status": "won"',
        b'{"status": "won",}',
        b"{'status': 'won'}",
        b'{"status": "won"} {"status": "lost"}',
        b'{"status": "won"}\0',
        b'{"status": "w\non"}',
        b'{"status": "won\xff"}',
        b'\xff{"status": "won"}',
        b'{"status": "\xc3"}',
        '{"status": "won"}'.encode("utf-16"),
        b'{"status": "won", "n": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    "The request body must have at most 65536 bytes": [
        b'{"status": "won"}' + b" " * LIMIT,
        b"x" * 10_000_000,
    ],
}


@pytest.mark.any_engine
@pytest.mark.parametrize("message", INVALID_BODIES)
@pytest.mark.parametrize("ended_by", ["its length", "the server"])
def test_invalid_body_is_400(lead, client, status, history, ended_by, message):
    for body in INVALID_BODIES[message]:
        if ended_by == "its length":
            response = client.patch("/analytics/leads/42", data=body)
        else:  # the body is chunked, and has no Content-Length
            response = client.patch(
                "/analytics/leads/42",
                environ_overrides={
                    "wsgi.input": io.BytesIO(body),
                    "wsgi.input_terminated": True,
                    "HTTP_TRANSFER_ENCODING": "chunked",
                },
            )

        assert (response.status_code, response.json) == (400, {"error": message}), body[:50]

    assert (status(), history()) == ("new", [])


@pytest.mark.any_engine
def test_body_up_to_the_limit_is_accepted(lead, client, status):
    body = b'{"status": "won"}'.ljust(LIMIT)

    response = client.patch("/analytics/leads/42", data=body)

    assert (response.status_code, response.json) == (200, {"updated": True})
    assert status() == "won"


@pytest.mark.any_engine
def test_chunked_body_is_accepted(lead, client, status):
    response = client.patch(
        "/analytics/leads/42",
        environ_overrides={
            "wsgi.input": io.BytesIO(b'{"status": "won"}'),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
        },
    )

    assert (response.status_code, response.json) == (200, {"updated": True})
    assert status() == "won"


@pytest.mark.any_engine
@pytest.mark.parametrize("terminated", [{}, {"wsgi.input_terminated": True}], ids=["alone", "terminated"])
def test_truncated_body_changes_nothing(lead, client, status, terminated):
    response = client.patch(
        "/analytics/leads/42",
        environ_overrides={
            "wsgi.input": io.BytesIO(b'{"status": "won"}'),
            "CONTENT_LENGTH": "18",
            **terminated,
        },
    )

    assert response.status_code == 400
    assert response.json == {"error": "The request body is incomplete"}
    assert status() == "new"


@pytest.mark.any_engine
def test_content_type_of_the_body_is_ignored(lead, client, status):
    for content_type, stage in (("text/plain", "won"), ("application/x-www-form-urlencoded", "lost"), ("", "new")):
        client.patch("/analytics/leads/42", data=json.dumps({"status": stage}), content_type=content_type)

        assert status() == stage


@pytest.mark.any_engine
def test_other_fields_of_the_body_are_ignored(lead, client, get):
    before = get("/analytics/leads/42")

    client.patch("/analytics/leads/42", json={"status": "new", "contact_name": "Mallory", "lead_id": 7})

    assert get("/analytics/leads/42") == before


@pytest.mark.any_engine
def test_status_in_the_query_string_is_not_used(lead, client, status):
    response = client.patch("/analytics/leads/42?status=won", json={})

    assert response.status_code == 400
    assert status() == "new"
