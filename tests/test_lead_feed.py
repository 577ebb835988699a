import psycopg
import pytest
from helpers import postgres

FEED = "/analytics/changes"


@pytest.fixture
def leads(insert):
    insert("leads", *({"lead_id": number, "enquiry_datetime": ""} for number in (1, 2, 3)))


def run(database, *statements):
    for sql in statements:
        database.write(lambda at, sql=sql: at.execute(sql))


def test_feed_without_a_position_begins_now(leads, get):
    feed = get(FEED)

    assert feed["changes"] == []
    assert get(FEED, query_string={"since": feed["cursor"]}) == feed


def test_feed_has_each_changed_lead_once(leads, database, get, insert):
    cursor = get("/analytics/board")["cursor"]
    run(
        database,
        "update leads set status = 'won' where lead_id = 1",
        "update leads set status = 'lost' where lead_id = 1",
        "update leads set contact_name = 'Ann' where lead_id = 2",
        "delete from leads where lead_id = 3",
    )
    insert("leads", lead_id=4, enquiry_datetime="")

    feed = get(FEED, query_string={"since": cursor})

    assert feed["changes"] == [
        {"lead_id": 1, "status": "lost"},
        {"lead_id": 3, "status": None},
        {"lead_id": 4, "status": "new"},
    ]
    assert get(FEED, query_string={"since": feed["cursor"]})["changes"] == []


def test_feed_answers_if_none_match(leads, client, get):
    path = f"{FEED}?since={get(FEED)['cursor']}"
    etag = client.get(path).headers["ETag"]

    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("since", ["x", "-1", "1:2", "5:3:", "1:9:9", "1:9:3,2", "٣"])
def test_invalid_position_is_400(client, since):
    response = client.get(FEED, query_string={"since": since})

    assert response.status_code == 400
    assert response.json == {"error": "since must be the cursor of the board, or of an earlier response"}


def test_position_before_the_oldest_change_is_410(leads, database, client, get):
    cursor = get(FEED)["cursor"]
    database.rebuild()

    response = client.get(FEED, query_string={"since": cursor})

    assert response.status_code == 410


INSERT_CHANGES = """
with recursive numbers(number) as (
  select 1
  union all
  select number + 1
  from numbers
  where number < 3500)
insert into lead_changes (lead_id)
select number
from numbers
"""


def test_feed_retains_at_least_10_000_changes(database, get, client):
    cursors = []
    for _ in range(6):
        cursors.append(get(FEED)["cursor"])
        run(database, INSERT_CHANGES)

    statuses = [client.get(FEED, query_string={"since": cursor}).status_code for cursor in cursors]
    [[stored]] = database.tuples("select count(*) from lead_changes")

    assert statuses[0] == 410
    assert statuses[-2:] == [200, 200]
    assert 10_000 <= stored < 20_000


@pytest.mark.postgresql
def test_changes_that_commit_in_another_order_are_not_missed():
    with postgres.new_database() as database:
        run(database, "insert into leads (lead_id, enquiry_datetime) values (1, ''), (2, ''), (3, '')")
        first, second = (psycopg.connect(database.url) for _ in range(2))
        with first, second:
            first.execute("update leads set status = 'won' where lead_id = 1")  # begins first, commits last
            second.execute("update leads set status = 'won' where lead_id = 2")
            second.commit()
            cursor = database.read(lambda at: at.change_cursor())
            run(database, "update leads set status = 'won' where lead_id = 3")
            between = database.read(lambda at: at.changed_leads(cursor))
            first.commit()
            after = database.read(lambda at: at.changed_leads(cursor))

    assert [lead["lead_id"] for lead in between] == [3]
    assert [lead["lead_id"] for lead in after] == [1, 3]
