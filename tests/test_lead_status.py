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


def test_a_lead_is_moved_into_any_stage(lead, client, status):
    for stage in ("contacted", "qualified", "proposal", "won", "lost", "new"):
        response = client.patch("/analytics/leads/42", json={"status": stage})

        assert (response.status_code, response.json) == (200, {"updated": True})
        assert status() == stage


@pytest.mark.any_engine
@pytest.mark.parametrize("text", ["CONTACTED", "Contacted", "cOnTaCtEd", " contacted ", "\tCONTACTED\n"])
def test_a_stage_is_taken_in_any_case_and_trimmed(lead, client, status, text):
    response = client.patch("/analytics/leads/42", json={"status": text})

    assert (response.status_code, response.json) == (200, {"updated": True})
    assert status() == "contacted"


def test_every_move_is_remembered_with_who_did_it_and_when(lead, serve, history):
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
def test_keys_without_names_are_numbered_in_the_history(lead, serve, history):
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


def test_the_stage_it_already_has_is_answered_alike_and_not_remembered(lead, client, status, history):
    replies = [client.patch("/analytics/leads/42", json={"status": text}).json for text in ("new", "NEW", " new ")]

    assert replies == [{"updated": True}] * 3
    assert status() == "new"
    assert history() == []


def test_only_the_lead_that_is_named_moves_and_nothing_else_of_it(insert, lead, client, get):
    insert("leads", lead_id=43, enquiry_datetime="2026-02-23 11:15:00", contact_name="Ann", engagement_score=5)
    before = get("/analytics/leads/43")
    other = get("/analytics/leads/42")

    client.patch("/analytics/leads/43", json={"status": "won"})

    assert get("/analytics/leads/43") == {**before, "lead": {**before["lead"], "status": "won"}}
    assert get("/analytics/leads/42") == other


@pytest.mark.any_engine
@pytest.mark.parametrize(
    "text",
    ["", " ", "neww", "closed", "won,lost", "won lost", "new\0", "ne\u00adw", "ǹew", "\ud800", "'", "w" * 60_000],
)
def test_a_stage_that_is_none_of_the_six_is_not_found(lead, client, status, history, text):
    response = client.patch("/analytics/leads/42", json={"status": text})

    assert response.status_code == 404
    assert response.json == {"error": "status takes one of: new, contacted, qualified, proposal, won, lost"}
    assert (status(), history()) == ("new", [])


def test_a_lead_that_is_not_there_is_not_found_and_not_remembered(client, history):
    response = client.patch("/analytics/leads/42", json={"status": "won"})

    assert response.status_code == 404
    assert response.json == {"error": "Lead not found"}
    assert history() == []


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "The request body takes a string status"),
        (b'{"Status": "won"}', "The request body takes a string status"),
        (b'{"status": null}', "The request body takes a string status"),
        (b'{"status": 1}', "The request body takes a string status"),
        (b'{"status": true}', "The request body takes a string status"),
        (b'{"status": ["won"]}', "The request body takes a string status"),
        (b'{"status": {"status": "won"}}', "The request body takes a string status"),
        (b'["status", "won"]', "The request body must be a JSON object"),
        (b'"won"', "The request body must be a JSON object"),
        (b"null", "The request body must be a JSON object"),
        (b"1", "The request body must be a JSON object"),
        (b"[]", "The request body must be a JSON object"),
        (b"", "The request body must be JSON"),
        (b" ", "The request body must be JSON"),
        (b"won", "The request body must be JSON"),
        (b"status=won", "The request body must be JSON"),
        (b'{"status": "won"', "The request body must be JSON"),
        (b'{"status": "won",}', "The request body must be JSON"),
        (b"{'status': 'won'}", "The request body must be JSON"),
        (b'{"status": "won"} {"status": "lost"}', "The request body must be JSON"),
        (b'{"status": "won"}\0', "The request body must be JSON"),
        (b'{"status": "w\non"}', "The request body must be JSON"),
        (b'{"status": "won\xff"}', "The request body must be JSON"),
        (b'\xff{"status": "won"}', "The request body must be JSON"),
        (b'{"status": "\xc3"}', "The request body must be JSON"),
        ('{"status": "won"}'.encode("utf-16"), "The request body must be JSON"),
        (b'{"status": "won", "n": ' + b"9" * 5000 + b"}", "The request body must be JSON"),
        (b"[" * 60_000, "The request body must be JSON"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "The request body must be JSON"),
        (b'{"status": "won"}' + b" " * LIMIT, "The request body may have 65536 bytes at most"),
        (b"x" * 10_000_000, "The request body may have 65536 bytes at most"),
    ],
    ids=range(31),
)
@pytest.mark.parametrize("ended_by", ["its length", "the server"])
def test_a_body_that_is_no_object_with_a_string_status_is_invalid(
    lead, client, status, history, ended_by, body, message
):
    if ended_by == "its length":
        response = client.patch("/analytics/leads/42", data=body)
    else:  # a chunked body, of which nobody said the length
        response = client.patch(
            "/analytics/leads/42",
            environ_overrides={
                "wsgi.input": io.BytesIO(body),
                "wsgi.input_terminated": True,
                "HTTP_TRANSFER_ENCODING": "chunked",
            },
        )

    assert response.status_code == 400
    assert response.json == {"error": message}
    assert (status(), history()) == ("new", [])


@pytest.mark.any_engine
def test_a_body_up_to_the_limit_is_taken(lead, client, status):
    body = b'{"status": "won"}'.ljust(LIMIT)

    response = client.patch("/analytics/leads/42", data=body)

    assert (response.status_code, response.json) == (200, {"updated": True})
    assert status() == "won"


@pytest.mark.any_engine
def test_a_chunked_body_is_taken(lead, client, status):
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
def test_a_body_that_was_cut_off_changes_nothing_however_whole_it_looks(lead, client, status, terminated):
    response = client.patch(
        "/analytics/leads/42",
        environ_overrides={
            "wsgi.input": io.BytesIO(b'{"status": "won"}'),
            "CONTENT_LENGTH": "18",
            **terminated,
        },
    )

    assert response.status_code == 400
    assert response.json == {"error": "The request body was cut off"}
    assert status() == "new"


@pytest.mark.any_engine
def test_a_body_is_read_as_json_whatever_type_it_is_called(lead, client, status):
    for content_type, stage in (("text/plain", "won"), ("application/x-www-form-urlencoded", "lost"), ("", "new")):
        client.patch("/analytics/leads/42", data=json.dumps({"status": stage}), content_type=content_type)

        assert status() == stage


@pytest.mark.any_engine
def test_what_else_the_body_says_is_left_alone(lead, client, get):
    before = get("/analytics/leads/42")

    client.patch("/analytics/leads/42", json={"status": "new", "contact_name": "Mallory", "lead_id": 7})

    assert get("/analytics/leads/42") == before


@pytest.mark.any_engine
def test_a_stage_in_the_query_string_is_none_in_the_body(lead, client, status):
    response = client.patch("/analytics/leads/42?status=won", json={})

    assert response.status_code == 400
    assert status() == "new"
