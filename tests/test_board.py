from random import Random

import pytest
from helpers.plain_leads import in_order, matches, random_filters, random_leads

from analytics_api.keys import KeyStore

STAGES = ["new", "contacted", "qualified", "proposal", "won", "lost"]
BOARD = "/analytics/board"


@pytest.fixture
def leads(insert):
    insert(
        "leads",
        {"lead_id": 1, "enquiry_datetime": "2026-02-20 10:00:00", "project_name": "Sky"},
        {"lead_id": 2, "enquiry_datetime": "2026-02-21 10:00:00", "project_name": "Sea"},
        {"lead_id": 3, "enquiry_datetime": "2026-02-22 10:00:00", "project_name": "Sky", "status": "won"},
        {"lead_id": 4, "enquiry_datetime": "", "project_name": "Sea"},
    )


def ids(stage):
    return [lead["lead_id"] for lead in stage["leads"]]


def stages(board):
    return {stage["status"]: ids(stage) for stage in board["stages"]}


def card(get, lead_id):
    return next(lead for stage in get(BOARD)["stages"] for lead in stage["leads"] if lead["lead_id"] == lead_id)


def test_board_has_the_stages_in_order(leads, get):
    board = get(BOARD)

    assert [stage["status"] for stage in board["stages"]] == STAGES
    assert stages(board) == {**{stage: [] for stage in STAGES}, "new": [2, 1, 4], "won": [3]}
    assert [stage["total"] for stage in board["stages"]] == [3, 0, 0, 0, 1, 0]


def test_stage_since_is_the_enquiry_or_the_last_move(leads, client, get):
    client.patch("/analytics/leads/1", json={"status": "contacted"})

    since = {lead["lead_id"]: lead["stage_since"] for stage in get(BOARD)["stages"] for lead in stage["leads"]}

    moved = get("/analytics/leads/1/history")[0]["changed_at"]
    assert since == {1: moved, 2: 1_771_668_000_000, 3: None, 4: None}


def test_filters_and_status_restrict_the_board(leads, get):
    assert stages(get(f"{BOARD}?project=Sky&status=new&status=won")) == {"new": [1], "won": [3]}
    assert stages(get(f"{BOARD}?q=sea&status=new")) == {"new": [2, 4]}


def test_board_has_the_sort_orders_of_the_list(leads, get):
    assert stages(get(f"{BOARD}?sort=oldest&status=new")) == {"new": [4, 1, 2]}


def test_stage_continues_after_its_cursor(leads, get):
    first = get(f"{BOARD}?limit=1")["stages"][0]
    second = get(f"{BOARD}/new?limit=1&cursor={first['next']}")
    third = get(f"{BOARD}/new?limit=1&cursor={second['next']}")

    assert [ids(first), ids(second), ids(third)] == [[2], [1], [4]]
    assert (third["next"], third["total"]) == (None, 3)


def test_cursor_of_another_order_is_400(leads, client, get):
    cursor = get(f"{BOARD}?limit=1")["stages"][0]["next"]

    response = client.get(f"{BOARD}/new?cursor={cursor}&sort=newest")

    assert (response.status_code, response.json) == (
        400,
        {"error": "cursor belongs to sort=stage; send the same sort, or omit it"},
    )


@pytest.mark.any_engine
def test_invalid_cursor_of_a_stage_is_400(client):
    response = client.get(f"{BOARD}/new?cursor=x")

    assert (response.status_code, response.json) == (400, {"error": "cursor is invalid: use the one from `next`"})


def test_unknown_stage_is_404(client):
    response = client.get(f"{BOARD}/archived")

    assert response.status_code == 404
    assert response.json == {"error": f"status must be one of {', '.join(STAGES)}"}


@pytest.mark.parametrize("scopes", [["stats"], ["leads:write"]], ids=["stats", "write"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_board_needs_the_scope_leads_read(database, client, scopes):
    key = KeyStore(database).add("wall", scopes, now=1)

    assert client.get(BOARD, key=key).status_code == 403
    assert client.get("/analytics/changes", key=key).status_code == 403


@pytest.mark.any_engine
@pytest.mark.parametrize("path", ["/analytics/leads/1", "/analytics/leads"])
def test_stale_lead_has_no_personal_data_for_a_writing_key(leads, client, database, get, path):
    key = KeyStore(database).add("mover", ["leads:write"], now=1)
    body = {"leads": [{"lead_id": 1, "etag": "outdated"}], "status": "won"}

    response = client.patch(path, json=body, headers={"If-Match": '"outdated"'}, key=key).json

    shown = {name: card(get, 1)[name] for name in ("lead_id", "status", "etag", "stage_since")}
    assert (response.get("stale") or [response.get("lead")]) == [shown]


def test_etag_changes_with_every_move_and_nothing_else(leads, client, database, get):
    etags = [card(get, 1)["etag"]]
    client.patch("/analytics/leads/1", json={"status": "won"})
    etags.append(card(get, 1)["etag"])
    database.write(lambda at: at.execute("update leads set status = 'new' where lead_id = 1"))
    etags.append(card(get, 1)["etag"])
    database.write(lambda at: at.execute("update leads set contact_name = 'Ann', status = 'new' where lead_id = 1"))

    assert len(set(etags)) == 3
    assert card(get, 1)["etag"] == etags[-1]


def test_if_match_accepts_the_etag_of_the_board(leads, client, get):
    etag = card(get, 1)["etag"]

    moved = client.patch("/analytics/leads/1", json={"status": "won"}, headers={"If-Match": f'"x", {etag}'})
    stale = client.patch("/analytics/leads/1", json={"status": "won"}, headers={"If-Match": etag})

    assert (moved.status_code, moved.headers["ETag"]) == (200, card(get, 1)["etag"])
    assert (stale.status_code, stale.json["lead"]) == (412, card(get, 1))
    assert len(get("/analytics/leads/1/history")) == 1


def test_several_leads_are_moved_at_once(leads, client, get):
    etag = card(get, 2)["etag"]
    client.patch("/analytics/leads/2", json={"status": "lost"})
    request = [{"lead_id": 3}, {"lead_id": 2, "etag": etag}, {"lead_id": 1}, {"lead_id": 9}, {"lead_id": 1}]

    response = client.patch("/analytics/leads", json={"leads": request, "status": " Won "})

    assert response.json == {
        "updated": [{"lead_id": 1, "etag": card(get, 1)["etag"]}],
        "unchanged": [3],
        "stale": [card(get, 2)],
        "not_found": [9],
    }
    assert stages(get(BOARD))["won"] == [1, 3]


def test_lead_is_moved_only_from_the_expected_stage(leads, client, get):
    status = card(get, 1)["status"]
    client.patch("/analytics/leads/2", json={"status": "lost"})
    request = [{"lead_id": 1, "from": status.upper()}, {"lead_id": 2, "from": "proposal"}, {"lead_id": 3, "from": None}]

    response = client.patch("/analytics/leads", json={"leads": request, "status": "qualified"})

    assert [lead["lead_id"] for lead in response.json["updated"]] == [1, 3]
    assert response.json["stale"] == [card(get, 2)]
    assert card(get, 2)["status"] == "lost"


@pytest.mark.any_engine
@pytest.mark.parametrize(
    "leads",
    [
        None,
        [],
        {},
        [1],
        [{"lead_id": 0}],
        [{"lead_id": True}],
        [{"lead_id": 1.5}],
        [{"lead_id": "1"}],
        [{"lead_id": 1, "etag": 5}],
        [{"lead_id": 1, "from": 5}],
        [{"lead_id": 1}] * 501,
    ],
    ids=["none", "empty", "object", "number", "zero", "true", "float", "text", "etag", "from", "501"],
)
def test_malformed_leads_are_400(client, leads):
    response = client.patch("/analytics/leads", json={"leads": leads, "status": "won"})

    assert response.status_code == 400
    assert response.json["error"].startswith('The request body must be {"leads": [{"lead_id": 1')


@pytest.mark.any_engine
@pytest.mark.parametrize("field", ["From", "if_match", "status"])
def test_misspelt_condition_is_400(client, leads, get, field):
    request = {"leads": [{"lead_id": 1, field: "lost"}], "status": "won"}

    response = client.patch("/analytics/leads", json=request)

    assert response.status_code == 400
    assert response.json["error"] == f"{field!r} is not a field of a lead; use lead_id, etag, from"
    assert card(get, 1)["status"] != "won"


@pytest.mark.any_engine
def test_unknown_stage_to_move_from_is_400(client, leads):
    request = {"leads": [{"lead_id": 1, "from": "nwe"}], "status": "won"}

    response = client.patch("/analytics/leads", json=request)

    assert response.status_code == 400
    assert response.json["error"] == "from must be one of new, contacted, qualified, proposal, won, lost"


@pytest.mark.any_engine
def test_id_of_a_lead_may_be_a_whole_float(leads, client, get):
    response = client.patch("/analytics/leads", json={"leads": [{"lead_id": 1.0}], "status": "won"})

    assert response.status_code == 200
    assert card(get, 1)["status"] == "won"


def test_unknown_status_of_several_is_404(leads, client, get):
    response = client.patch("/analytics/leads", json={"leads": [{"lead_id": 1}], "status": "sold"})

    assert response.status_code == 404
    assert card(get, 1)["status"] == "new"


@pytest.mark.slow
def test_board_matches_a_plain_reference(database, get):
    random = Random(7)
    leads = [{**lead, "last_follow_up_at": None} for lead in random_leads(random, 300)]
    columns = [column for column in leads[0] if column != "last_follow_up_at"]
    database.bulk(lambda at: at.insert("leads", columns, [[lead[column] for column in columns] for lead in leads]))

    for filters in ({}, *(random_filters(random) for _ in range(20))):
        board = get(BOARD, query_string={**filters, "limit": 5, "sort": "newest"})

        expected = in_order([lead for lead in leads if matches(lead, filters, {}, "UTC")], "newest")
        for stage in board["stages"]:
            of_stage = [lead["lead_id"] for lead in expected if lead["status"] == stage["status"]]
            assert (ids(stage), stage["total"]) == (of_stage[:5], len(of_stage)), filters
