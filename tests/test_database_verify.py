import sqlite3
from contextlib import closing

import pytest

from analytics_api.database import Difference
from analytics_api.database.base import COUNT_COLUMNS
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
        for days in range(2):  # the session views a page on two days
            database.write(
                lambda at, days=days: at.insert(
                    "events",
                    ("session_id", "event_type", "page_url", "occurred_at"),
                    [("long", "page_view", "/", NOW + days * 86_400_000)],
                )
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


COUNTERS = (
    "day_counts",
    "event_counts",
    "facet_counts",
    "events_of_other_days",
    "fingerprint_days",
    "follow_up_counts",
    "lead_attributions",
    "lead_stays",
    "key_counts",
    "minute_counts",
    "page_counts",
    "page_returns",
    "pages",
    "session_facts",
    "session_pages",
    "session_returns",
    "status_counts",
    "visitor_days",
)


def count_column(database, counter):
    """Return the first column of a counter that contains counts."""
    columns = database.rows("select name from pragma_table_info(:counter) order by cid", counter=counter)
    return next(
        column["name"]
        for column in columns
        if column["name"] in {*COUNT_COLUMNS, "follow_ups_count", "first_started_at", "events_of_day", "enquired_at"}
    )


def spoil(database, counter):
    column = count_column(database, counter)
    damage(database, f"update {counter} set {column} = {column} + 1")


def difference_sides(differences, counter):
    """Return the pairs (is stored, is expected) of a counter's differences. A wrong count leads to both pairs."""
    return {
        (difference.stored is not None, difference.expected is not None)
        for difference in differences
        if difference.counter == counter
    }


def test_verify_finds_no_difference_in_good_data(database):
    steps = []

    differences = database.verify(on_progress=steps.append)

    assert differences == []
    assert sorted(steps) == sorted((*COUNTERS, "leads", "leads", "lead_submissions", "lead_search"))


def test_verify_finds_no_difference_in_an_empty_database(tmp_path):
    with SQLite(tmp_path / "empty.db").closing() as database:
        assert database.verify() == []


def test_verify_finds_every_wrong_count(database):
    for counter in COUNTERS:
        spoil(database, counter)

    differences = database.verify()

    for counter in COUNTERS:
        assert difference_sides(differences, counter) == {(True, False), (False, True)}
    (stored,) = [
        one.stored for one in differences if one.counter == "day_counts" and one.stored and one.stored["day"] < 0
    ]
    (expected,) = [
        one.expected for one in differences if one.counter == "day_counts" and one.expected and one.expected["day"] < 0
    ]
    assert stored["sessions"] == expected["sessions"] + 1 == PLAN.sessions + 1


# Counters that the views of other counters read. If a counter in SOURCES is wrong, the counters whose views read it
# also differ from their views. For example, the view of page_counts reads session_pages.
SOURCES = {"visitor_days", "fingerprint_days", "pages", "session_facts", "session_pages", "follow_up_counts"}


@pytest.mark.parametrize("counter", COUNTERS)
def test_verify_finds_missing_rows(database, counter):
    damage(database, f"delete from {counter}")

    differences = database.verify()

    assert difference_sides(differences, counter) == {(False, True)}
    assert counter in SOURCES or {difference.counter for difference in differences} == {counter}


EXTRA = {
    "day_counts": "insert into day_counts (day, sessions) values (5, 1)",
    "event_counts": "insert into event_counts values (5, 1)",
    "facet_counts": "insert into facet_counts values ('project', 'nowhere', 1)",
    "events_of_other_days": "insert into events_of_other_days values (5, 'none', 1)",
    "fingerprint_days": "insert into fingerprint_days values ('none', 5, 1, 0)",
    "follow_up_counts": "insert into follow_up_counts values (999999, 1, null)",
    "key_counts": "insert into key_counts values (2, 5, 'nowhere', 1, 0)",
    "lead_attributions": "insert into lead_attributions (lead_id, status) values (999999, 'new')",
    "lead_stays": "insert into lead_stays (lead_id, moved_from, status) values (999999, 'new', 'won')",
    "minute_counts": "insert into minute_counts values (1, 1, 0)",
    "page_counts": "insert into page_counts values (5, 1, 1, 1)",
    "page_returns": "insert into page_returns values (6, 1, 5, 1)",
    "pages": "insert into pages (page, views, sessions) values ('/nowhere', 1, 1)",
    "session_facts": """
        insert into session_facts
        select 5, session_id, visitor_id, country_code, is_new, is_vpn, duration, engagement_score, started_at,
          score_bucket, fingerprint, source, entry_page_id, exit_page_id, campaign, events_of_day
        from session_facts
        limit 1
    """,
    "session_pages": "insert into session_pages values (5, 'none', 1, 1, 0)",
    "session_returns": "insert into session_returns values (0, 6, 5, '', 1)",
    "status_counts": "insert into status_counts values ('lost in thought', 1)",
    "visitor_days": "insert into visitor_days values ('none', 5, 'IN', 1, 0)",
}


@pytest.mark.parametrize("counter", COUNTERS)
def test_verify_finds_extra_rows(database, counter):
    damage(database, EXTRA[counter])

    differences = database.verify()

    assert difference_sides(differences, counter) == {(True, False)}
    assert counter in SOURCES or {difference.counter for difference in differences} == {counter}


def test_verify_ignores_rows_that_count_nothing(database):
    damage(
        database,
        "insert into day_counts (day) values (5)",
        "insert into key_counts values (2, 5, 'nowhere', 0, 0)",
        "insert into session_returns values (0, 6, 5, '', 0)",
    )

    assert database.verify() == []


def without_triggers(*statements):
    """Prepend statements that drop the triggers of leads, because these triggers would correct the rows."""
    triggers = ("leads_insert", "leads_delete", "leads_update_status", "leads_refresh", "leads_refresh_visits")
    return (*(f"drop trigger {trigger}" for trigger in triggers), *statements)


@pytest.mark.parametrize(
    ("statement", "counter"),
    [
        ("update leads set follow_ups_count = 77 where lead_id = 1", "leads"),
        ("update leads set last_follow_up_at = '1999' where lead_id = 1", "leads"),
        ("update leads set search_text = 'other' where lead_id = 1", "leads"),
        ("update leads set project_code = null where lead_id = 1", "leads"),
        ("update leads set has_visits = 1 - has_visits where lead_id = 1", "leads"),
        ("update leads set enquiry_datetime = '2026-01-01T10:00Z' where lead_id = 1", "leads"),
        ("update leads set contact_name = 'Somebody Else' where lead_id = 1", "leads"),
        ("update leads set status = 'won' where status = 'new'", "status_counts"),
        ("delete from leads where lead_id = 1", "lead_search"),
        ("update leads set search_text = 'other' where lead_id = 1", "lead_search"),
    ],
)
def test_verify_finds_changes_to_leads_without_triggers(database, statement, counter):
    damage(database, *without_triggers(statement))

    assert counter in {difference.counter for difference in database.verify()}


@pytest.mark.parametrize(
    "statement",
    [
        "insert into lead_search (lead_search) values ('delete-all')",
        "insert into lead_search (rowid, indexed_text) values (999999, 'nobody at all')",
        "insert into lead_search (lead_search, rowid, indexed_text, project_code) "
        "select 'delete', lead_id, indexed_text, project_code from leads where lead_id = 2",
        "delete from lead_search_data where id > 10",
    ],
)
def test_verify_finds_damage_to_the_search_index(database, statement):
    damage(database, statement)

    assert database.verify() == [Difference("lead_search", None, None)]


def test_rebuild_repairs_all_differences(database):
    expected = database.rows("select * from day_counts order by day")
    for counter in COUNTERS:
        spoil(database, counter)
    damage(
        database,
        *EXTRA.values(),
        "delete from day_counts where day % 2",
        "delete from pages where page_id % 2",
        "insert into lead_search (lead_search) values ('delete-all')",
    )
    steps = []

    database.rebuild(on_progress=steps.append)

    assert database.verify() == []
    assert database.rows("select * from day_counts order by day") == expected
    assert sorted(steps) == sorted((*COUNTERS, "leads", "leads", "lead_submissions", "lead_search"))


def test_rebuild_runs_work_first_and_counts_it(database):
    database.rebuild(lambda at: at.execute("update site set page_query = 'drop'"))

    assert database.verify() == []
    assert database.rows("select page from pages where page like '%?%' or page like '%#%'") == []


def test_rebuild_undoes_work_that_fails(database):
    def work(at):
        at.execute("update site set page_query = 'drop'")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.rebuild(work)

    assert database.row("select page_query from site") == {"page_query": "keep"}
    assert database.verify() == []


def test_rebuild_repairs_derived_columns(database):
    with closing(sqlite3.connect(database.path)) as connection:
        names = ("leads_refresh", "submissions_update")
        sql = [
            connection.execute("select sql from sqlite_schema where name = ?", [name]).fetchone()[0] for name in names
        ]
    damage(
        database,
        *(f"drop trigger {name}" for name in names),
        "update leads set search_text = '', follow_ups_count = 9, last_follow_up_at = 'never', "
        "enquiry_datetime = '2026-01-01T10:00:00+05:30'",
        "update lead_submissions set submitted_at = '2026-01-02T10:00:00Z'",
        *sql,
    )
    assert database.verify() != []

    database.rebuild()

    assert database.verify() == []
    assert database.row("select distinct enquiry_datetime from leads") == {"enquiry_datetime": "2026-01-01 04:30:00"}
    assert database.row("select distinct submitted_at from lead_submissions") == {"submitted_at": "2026-01-02 10:00:00"}


def test_verify_reads_one_snapshot(database):
    counters = []

    def write(counter):
        """Change a session, delete an event and rename a lead before each counter is compared."""
        number = len(counters)
        counters.append(counter)
        tracker.execute(
            "insert or replace into sessions (session_id, visitor_id, started_at, ended_at, country) "
            "values (?, ?, ?, ?, 'IN')",
            (f"new {number % 7}", f"v {number % 3}", NOW + number, number if number % 2 else None),
        )
        tracker.execute("delete from events where event_id = ?", [number])
        tracker.execute("update leads set contact_name = ? where lead_id = 1", [f"Name {number}"])
        tracker.commit()

    with closing(sqlite3.connect(database.path)) as tracker:
        differences = database.verify(on_progress=write)

    assert differences == []
    assert len(counters) > 20


def test_verify_of_a_locked_file_fails(filled, tmp_path):
    path = tmp_path / "analytics.db"
    path.write_bytes(filled.read_bytes())
    with (
        SQLite(path, busy_timeout=0.05).closing() as database,
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
    ):
        writer.execute("begin immediate")

        with pytest.raises(DatabaseError, match="database is locked"):
            database.verify()
