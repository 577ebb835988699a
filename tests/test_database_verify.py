import sqlite3
import threading
from contextlib import closing

import pytest

from analytics_api.database import Difference
from analytics_api.database.sqlite import SQLite
from analytics_api.errors import DatabaseError
from analytics_api.maintenance import demo

pytestmark = pytest.mark.writes

NOW = 1_771_945_200_123
PLAN = demo.Plan(NOW, sessions=80, leads=30)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    path = tmp_path_factory.mktemp("filled") / "analytics.db"
    with SQLite(path).closing() as database:
        for table, rows in demo.batches(PLAN):
            database.write(
                lambda at, table=table, rows=rows: at.insert(table, demo.COLUMNS[table], rows),
            )
    return path


@pytest.fixture
def database(filled, tmp_path):
    path = tmp_path / "analytics.db"
    path.write_bytes(filled.read_bytes())
    with SQLite(path).closing() as database:
        yield database


def damage(database, *statements):
    with closing(sqlite3.connect(database.path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def rollups(database):
    return [
        row["name"]
        for row in database.rows(
            "select name from sqlite_schema where type = 'table' and name like 'rollup\\_%' escape '\\' order by name"
        )
    ]


def key(database, rollup):
    """A column that tells the rows of the rollup apart, and one that counts something."""
    columns = database.rows("select name, type, pk from pragma_table_info(:rollup)", rollup=rollup)
    counted = next(column["name"] for column in columns if not column["pk"] and column["type"] == "INTEGER")
    return counted


def kinds(differences, rollup):
    """What the differences of one rollup are: a row too many, one too few, or one whose numbers are wrong."""
    return {
        (difference.stored is not None, difference.expected is not None)
        for difference in differences
        if difference.rollup == rollup
    }


def test_verify_of_consistent_data_is_empty(database):
    told = []

    differences = database.verify(on_progress=told.append)

    assert differences == []
    assert set(told) == {*rollups(database), "leads", "lead_search"}


def test_verify_of_empty_database_is_empty(tmp_path):
    with SQLite(tmp_path / "empty.db").closing() as database:
        assert database.verify() == []


def test_verify_reports_every_wrong_number(database):
    for rollup in rollups(database):
        damage(database, f"update {rollup} set {key(database, rollup)} = {key(database, rollup)} + 1")

    differences = database.verify()

    told = {difference.rollup for difference in differences}
    assert told >= set(rollups(database))
    for rollup in rollups(database):
        assert kinds(differences, rollup) == {(True, False), (False, True)}
    (kept,) = [one.stored for one in differences if one.rollup == "rollup_totals" and one.stored]
    (plain,) = [one.expected for one in differences if one.rollup == "rollup_totals" and one.expected]
    assert kept == plain | {"sessions": plain["sessions"] + 1}


def test_verify_reports_missing_rows(database):
    for rollup in rollups(database):
        damage(database, f"delete from {rollup}")

    differences = database.verify()

    for rollup in rollups(database):
        if rollup != "rollup_page_sessions":  # it is said by the keys of pages, and these are gone
            assert kinds(differences, rollup) == {(False, True)}, rollup


EXTRA = {
    "rollup_days": "insert into rollup_days (day, sessions) values ('1999-12-31', 0)",
    "rollup_countries": "insert into rollup_countries values ('QQ', 0, 0)",
    "rollup_sources": "insert into rollup_sources values ('nowhere', 1)",
    "rollup_engagement": "insert into rollup_engagement values ('100-120', 1)",
    "rollup_pages": "insert into rollup_pages (page, views, unique_sessions) values ('/nowhere', 1, 1)",
    "rollup_page_sessions": "insert into rollup_page_sessions values ('nobody', 1, 1)",
    "rollup_minutes": "insert into rollup_minutes values (1, 0, 0)",
    "rollup_stages": "insert into rollup_stages values ('dreamt', 1)",
    "rollup_follow_ups": "insert into rollup_follow_ups values (999999, 1, null)",
}


def test_extra_rows_cover_every_rollup(database):
    assert {*EXTRA, "rollup_totals"} == set(rollups(database))


@pytest.mark.parametrize("rollup", EXTRA)
def test_verify_reports_rows_without_source(database, rollup):
    damage(database, EXTRA[rollup])

    differences = database.verify()

    assert kinds(differences, rollup) == {(True, False)}
    assert {difference.rollup for difference in differences} == {rollup}


def resting(*statements):
    """The statements while no trigger of leads mends what they break."""
    triggers = ("leads_insert", "leads_delete", "leads_move", "leads_keep_text", "leads_keep_follow_ups")
    return (*(f"drop trigger {trigger}" for trigger in triggers), *statements)


@pytest.mark.parametrize(
    ("statement", "rollup"),
    [
        ("update leads set follow_ups_count = 77 where lead_id = 1", "leads"),
        ("update leads set last_follow_up_at = '1999' where lead_id = 1", "leads"),
        ("update leads set search_text = 'other' where lead_id = 1", "leads"),
        ("update leads set search_code = null where lead_id = 1", "leads"),
        ("update leads set contact_name = 'Somebody Else' where lead_id = 1", "leads"),
        ("update leads set status = 'won' where status = 'new'", "rollup_stages"),
        ("delete from leads where lead_id = 1", "lead_search"),
        ("update leads set search_text = 'other' where lead_id = 1", "lead_search"),
    ],
)
def test_verify_reports_leads_written_without_triggers(database, statement, rollup):
    damage(database, *resting(statement))

    assert rollup in {difference.rollup for difference in database.verify()}


@pytest.mark.parametrize(
    "statement",
    [
        "insert into lead_search (lead_search) values ('delete-all')",
        "insert into lead_search (rowid, text_spelled) values (999999, 'nobody at all')",
        "insert into lead_search (lead_search, rowid, text_spelled, search_code) "
        "select 'delete', lead_id, text_spelled, search_code from leads where lead_id = 2",
        "delete from lead_search_data where id > 10",
    ],
)
def test_verify_reports_a_wrong_search_index(database, statement):
    damage(database, statement)

    assert database.verify() == [Difference("lead_search", None, None)]


def test_rebuild_fixes_what_verify_reports(database):
    for rollup in rollups(database):
        damage(database, f"update {rollup} set {key(database, rollup)} = {key(database, rollup)} + 1")
    damage(
        database,
        *EXTRA.values(),
        "delete from rollup_totals",
        "delete from rollup_pages where page_key % 2",
        "insert into lead_search (lead_search) values ('delete-all')",
    )
    expected = database.row("select * from plain_totals")
    told = []

    database.rebuild(on_progress=told.append)

    assert database.verify() == []
    assert database.row("select * from rollup_totals") == expected
    assert set(told) == {*rollups(database), "leads", "lead_search"}


def test_rebuild_fixes_derived_columns_of_leads(database):
    with closing(sqlite3.connect(database.path)) as connection:
        names = ("leads_keep_text", "leads_keep_follow_ups")
        sql = [
            connection.execute("select sql from sqlite_schema where name = ?", [name]).fetchone()[0] for name in names
        ]
    damage(
        database,
        *(f"drop trigger {name}" for name in names),
        "update leads set search_text = '', follow_ups_count = 9, last_follow_up_at = 'never'",
        *sql,
    )
    assert database.verify() != []

    database.rebuild()

    assert database.verify() == []


def test_verify_reads_one_snapshot(database):
    stop = threading.Event()

    def write():
        with closing(sqlite3.connect(database.path)) as tracker:
            number = 0
            while not stop.is_set():
                number += 1
                tracker.execute(
                    "insert or replace into sessions (session_id, visitor_id, started_at, ended_at, country) "
                    "values (?, ?, ?, ?, 'IN')",
                    (f"new {number % 7}", f"v {number % 3}", NOW + number, number if number % 2 else None),
                )
                tracker.execute("delete from events where event_id = ?", [number])
                tracker.execute("update leads set contact_name = ? where lead_id = 1", [f"Name {number}"])
                tracker.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [database.verify() for _ in range(10)]
    finally:
        stop.set()
        writer.join()

    assert found == [[]] * 10


def test_locked_search_index_is_not_called_damaged(filled, tmp_path):
    path = tmp_path / "analytics.db"
    path.write_bytes(filled.read_bytes())
    with (
        SQLite(path, busy_timeout=0.05).closing() as database,
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
    ):
        writer.execute("begin immediate")

        with pytest.raises(DatabaseError, match="database is locked"):
            database.verify()
