"""Several clients move leads at the same time, while others read the pages of the lists of leads."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from urllib.parse import parse_qs

import pytest
from helpers.client import NOW, APIClient
from helpers.plain_leads import ORDERS, STATUSES, random_leads

from analytics_api import create_app

pytestmark = [pytest.mark.slow, pytest.mark.writes]

KEYS = {"ann": "the-key-of-ann-that-only-tests-know", "bob": "the-key-of-bob-that-only-tests-know"}
HISTORY = """
select lead_id, old_status, new_status, changed_by
from lead_status_changes
order by change_id
"""
PAGE = 50


@pytest.fixture
def application(database):
    return create_app(database, api_keys=KEYS, clock=lambda: NOW)


def read_board(client, key):
    """Return the etag of every card by lead_id."""
    board = client.get("/analytics/board?limit=100", key=key).json
    etags = {}
    for stage in board["stages"]:
        while stage:
            etags |= {lead["lead_id"]: lead["etag"] for lead in stage["leads"]}
            query = {"limit": 100, "cursor": stage["next"]}
            path = f"/analytics/board/{stage['status']}"
            stage = stage["next"] and client.get(path, query_string=query, key=key).json
    return etags


def test_clients_move_many_cards(application, database, insert):
    insert("leads", *({"lead_id": number, "enquiry_datetime": ""} for number in range(1, 31)))
    together = threading.Barrier(2, timeout=10)

    def move_every_card(name):
        """Move each card at the same time as the other client.

        Return the moves that were accepted, and the number of requests that got 412, because the card had been moved.
        """
        client, random = APIClient(application), Random(name)
        etags = read_board(client, KEYS[name])
        moves, stale = [], 0
        for lead_id in etags:
            together.wait()
            new = random.choice(STATUSES[1:])
            while True:
                response = client.patch(
                    f"/analytics/leads/{lead_id}",
                    json={"status": new},
                    headers={"If-Match": etags[lead_id]},
                    key=KEYS[name],
                )
                if response.status_code == 200:
                    moves.append((lead_id, etags[lead_id], response.headers["ETag"], new))
                    break
                assert response.status_code == 412
                assert response.json["lead"]["etag"] != etags[lead_id]
                etags[lead_id] = response.json["lead"]["etag"]
                stale += 1
        return moves, stale

    with ThreadPoolExecutor(2) as clients:
        by_name = dict(zip(KEYS, clients.map(move_every_card, KEYS)))

    history = Counter(database.tuples(HISTORY))
    acknowledged = Counter(
        (lead_id, before.strip('"').partition(".")[0], new, name)
        for name, (moves, _) in by_name.items()
        for lead_id, before, after, new in moves
        if before != after
    )
    assert history == acknowledged
    assert sum(stale for _, stale in by_name.values()) == 30
    final = dict(database.tuples("select lead_id, status from leads"))
    assert final == {lead_id: new for lead_id, _, new, _ in database.tuples(HISTORY)}
    assert database.verify() == []


LISTS = [
    *({"sort": sort} for sort in ORDERS),
    *({"sort": sort, "status": "won"} for sort in ("newest", "name_asc")),
    {"sort": "score_desc", "project": "Sky Towers"},
    {"sort": "oldest", "city": "München", "has_visits": "false"},
    {"sort": "risk_asc", "score_min": "10", "source": ["WebSite", "Portal"]},
    {"sort": "name_asc", "q": "an"},
    {"sort": "last_follow_up", "label": "Hot", "from": "2026-02-05"},
]


def read_list(client, query):
    """Return the lead_id of every lead of the list, in order. Follow the cursor of each page to the next one."""
    query, ids = {**query, "limit": PAGE}, []
    while query:
        response = client.get("/analytics/leads", query_string=query, key=KEYS["ann"])
        ids += [lead["lead_id"] for lead in response.json["leads"]]
        link = response.headers.get("Link")
        query = parse_qs(link.partition("?")[2].partition(">")[0]) if link else None
    return ids


def read_stages(client, query):
    """Return the lead_id of every card of the board, in order."""
    board = client.get("/analytics/board", query_string={**query, "limit": PAGE}, key=KEYS["ann"]).json
    ids = []
    for stage in board["stages"]:
        while stage:
            ids += [lead["lead_id"] for lead in stage["leads"]]
            further = {**query, "limit": PAGE, "cursor": stage["next"]}
            path = f"/analytics/board/{stage['status']}"
            stage = stage["next"] and client.get(path, query_string=further, key=KEYS["ann"]).json
    return ids


def write_even_lead(database, random, new_id):
    """Delete, insert or change a lead with an even id."""
    kind = random.choice(("delete", "insert", "update", "update"))
    [row] = random_leads(random, 1)
    key = 2 * (next(new_id) if kind == "insert" else random.randrange(1, 151))
    if kind == "delete":
        database.write(lambda at: at.execute("delete from leads where lead_id = :key", key=key))
    elif kind == "insert":
        database.write(lambda at: at.insert("leads", list(row), [(key, *list(row.values())[1:])]))
    else:
        names = ("status", "engagement_score", "enquiry_datetime", "contact_name")
        sql = f"update leads set {', '.join(f'{name} = :{name}' for name in names)} where lead_id = :key"
        database.write(lambda at: at.execute(sql, **{name: row[name] for name in names}, key=key))


def test_lists_under_writes_miss_no_lead_that_stays(application, database, insert):
    """Leads with odd ids are not changed. The others are updated, moved, deleted and inserted."""
    random = Random(5)
    insert("leads", *random_leads(random, 300))
    reader, writer = APIClient(application), Random(6)
    new_id = count(151)
    is_done = threading.Event()

    def write_until_done():
        while not is_done.is_set():
            write_even_lead(database, writer, new_id)

    cases = [(read_list, query) for query in LISTS]
    cases += [(read_stages, query) for query in ({}, {"sort": "name_asc"}, {"project": "Sky Towers"})]
    expected = [[lead_id for lead_id in read(reader, query) if lead_id % 2] for read, query in cases]
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write_until_done)
        try:
            walked = [[lead_id for lead_id in read(reader, query) if lead_id % 2] for read, query in cases]
        finally:
            is_done.set()
        writing.result()

    assert walked == expected
    assert all(expected)
