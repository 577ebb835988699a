"""Triggers record the moves of leads by all programs."""

import time

import pytest
from helpers.client import KEY, NOW
from helpers.importing import import_text

from analytics_api.imports import write

ENQUIRY = "2026-02-23 11:15:00"


@pytest.fixture
def moves(database):
    """Return a function that returns all moves as (lead, from, to, by)."""
    return lambda: database.tuples(
        "select lead_id, old_status, new_status, changed_by from lead_status_changes order by change_id"
    )


@pytest.fixture
def leads(insert):
    insert("leads", *({"lead_id": number, "enquiry_datetime": ENQUIRY} for number in (1, 2, 3)))


def test_update_of_a_tracker_is_recorded(database, leads, moves):
    before = time.time() * 1000

    database.write(lambda at: at.execute("update leads set status = 'won' where lead_id < 3"))
    database.write(lambda at: at.execute("update leads set status = 'won', contact_city = 'Pune'"))

    assert sorted(moves()) == [(number, "new", "won", "sql") for number in (1, 2, 3)]
    times = [changed_at for (changed_at,) in database.tuples("select changed_at from lead_status_changes")]
    assert all(before - 1000 <= changed_at <= time.time() * 1000 + 1000 for changed_at in times)


def test_patch_is_recorded_once_with_its_name(serve, leads, moves, database):
    client = serve(api_keys={"phone": KEY})

    client.patch("/analytics/leads/2", json={"status": "lost"})
    database.write(lambda at: at.execute("update leads set status = 'new' where lead_id = 2"))

    assert moves() == [(2, "new", "lost", "phone"), (2, "lost", "new", "sql")]
    assert database.tuples("select changed_at from lead_status_changes where changed_by = 'phone'") == [(NOW,)]


def test_failed_write_leaves_no_author(database, leads, moves):
    def fail(at):
        with at.moving("somebody", NOW):
            raise KeyError

    with pytest.raises(KeyError):
        database.write(fail)
    database.write(lambda at: at.execute("update leads set status = 'won' where lead_id = 1"))

    assert moves() == [(1, "new", "won", "sql")]


@pytest.mark.parametrize("few", [0, 200], ids=["bulk", "triggers"])
def test_import_that_updates_is_recorded(database, leads, moves, few, monkeypatch):
    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", few)

    import_text(
        database,
        f'{{"lead_id": 1, "enquiry_datetime": "{ENQUIRY}", "status": "won"}}\n'
        f'{{"lead_id": 2, "enquiry_datetime": "{ENQUIRY}", "status": "new"}}\n',
        table="leads",
        format="ndjson",
        on_conflict="update",
    )

    assert moves() == [(1, "new", "won", "import")]
    assert database.verify() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_replace_with_another_status_is_recorded(database, leads, moves):
    for status in ("contacted", "contacted", "new"):
        database.write(
            lambda at, status=status: at.execute(
                "insert or replace into leads (lead_id, enquiry_datetime, status) values (1, '', :status)",
                status=status,
            )
        )

    assert moves() == [(1, "new", "contacted", "sql"), (1, "contacted", "new", "sql")]
    assert database.verify() == []
