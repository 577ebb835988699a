from random import Random

import pytest
from helpers.client import instant

HOUR = 3_600_000
ENQUIRY = "2026-02-23 11:00:00"
BEGIN = instant(ENQUIRY)
STAGES = ("new", "contacted", "qualified", "proposal", "won", "lost")


@pytest.fixture
def insert_lead(insert):
    """Insert a lead with moves, each as (from, to, hours after the enquiry)."""

    def insert_lead(lead_id, status, *moves, enquiry=ENQUIRY):
        insert("leads", lead_id=lead_id, enquiry_datetime=enquiry, status=status)
        for old, new, hours in moves:
            insert(
                "lead_status_changes",
                lead_id=lead_id,
                old_status=old,
                new_status=new,
                changed_at=BEGIN + round(hours * HOUR),
                changed_by="ann",
            )

    return insert_lead


def stage(page, status):
    return next(row for row in page["stages"] if row["status"] == status)


def empty_stage(status):
    return {
        "status": status,
        "leads": 0,
        "entered": 0,
        "median_hours": None,
        "p90_hours": None,
        "advanced": 0,
        "lost": 0,
        "oldest": None,
        "without_history": 0,
    }


def test_pipeline_without_leads_has_six_stages(get):
    assert get("/analytics/pipeline") == {"stages": [empty_stage(status) for status in STAGES], "moves": []}


def test_stay_lasts_from_one_move_to_the_next(insert_lead, get):
    insert_lead(1, "contacted", ("new", "contacted", 1))
    insert_lead(2, "new", ("new", "contacted", 4), ("contacted", "new", 6))
    insert_lead(3, "lost", ("new", "lost", 2.5))
    insert_lead(4, "new")

    page = get("/analytics/pipeline")

    assert stage(page, "new") == {
        "status": "new",
        "leads": 2,
        "entered": 5,
        "median_hours": 2.5,
        "p90_hours": 3.7,
        "advanced": 2,
        "lost": 1,
        "oldest": BEGIN,
        "without_history": 0,
    }
    assert stage(page, "contacted") == {
        **empty_stage("contacted"),
        "leads": 1,
        "entered": 2,
        "median_hours": 2.0,
        "p90_hours": 2.0,
        "oldest": BEGIN + HOUR,
    }
    assert page["moves"] == [
        {"from": "new", "to": "contacted", "count": 2},
        {"from": "new", "to": "lost", "count": 1},
        {"from": "contacted", "to": "new", "count": 1},
    ]


def test_unknown_entries_are_not_guessed(insert_lead, get):
    insert_lead(1, "won")
    insert_lead(2, "won", ("contacted", "proposal", 1))
    insert_lead(3, "new", enquiry="")
    insert_lead(4, "lost", ("qualified", "lost", 3))

    page = get("/analytics/pipeline")

    assert stage(page, "won") == {**empty_stage("won"), "leads": 2, "without_history": 2}
    assert stage(page, "new") == {**empty_stage("new"), "leads": 1, "without_history": 1}
    assert stage(page, "proposal") == {**empty_stage("proposal"), "entered": 1}
    assert stage(page, "qualified") == {**empty_stage("qualified"), "lost": 1}


def test_range_selects_leads_by_enquiry_date(insert_lead, client):
    insert_lead(1, "new", enquiry="2026-02-22 23:59:59")
    insert_lead(2, "won", ("new", "won", 100))
    insert_lead(3, "new", enquiry="")

    response = client.get("/analytics/pipeline?from=2026-02-23&to=2026-02-23")

    assert [row["leads"] for row in response.json["stages"]] == [0, 0, 0, 0, 1, 0]
    assert response.headers["Analytics-Range"] == "2026-02-23/2026-02-23"
    assert stage(client.get("/analytics/pipeline?to=2026-02-22").json, "new")["leads"] == 1


def test_random_moves_are_counted_exactly(database, insert, get):
    """The triggers record every change of a status as a move, so the counts equal the changes."""
    random = Random(3)
    insert("leads", *({"lead_id": number, "enquiry_datetime": ENQUIRY} for number in range(1, 41)))
    statuses = dict.fromkeys(range(1, 41), "new")
    moves = dict.fromkeys([(old, new) for old in STAGES for new in STAGES], 0)
    for _ in range(150):
        lead_id, status = random.randrange(1, 41), random.choice(STAGES)
        database.write(
            lambda at, lead_id=lead_id, status=status: at.execute(
                "update leads set status = :status where lead_id = :lead_id", status=status, lead_id=lead_id
            )
        )
        moves[statuses[lead_id], status] += statuses[lead_id] != status
        statuses[lead_id] = status

    page = get("/analytics/pipeline")

    for place, status in enumerate(STAGES):
        row = stage(page, status)
        assert row["leads"] == list(statuses.values()).count(status)
        assert row["entered"] == sum(moves[old, status] for old in STAGES) + (40 if status == "new" else 0)
        assert row["advanced"] == sum(moves[status, new] for new in STAGES[place + 1 : 5])
        assert row["lost"] == moves[status, "lost"]
        assert row["without_history"] == 0
    assert {(move["from"], move["to"]): move["count"] for move in page["moves"]} == {
        move: count for move, count in moves.items() if count
    }
