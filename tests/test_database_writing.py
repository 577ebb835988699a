import sqlite3
from contextlib import closing

import pytest
from helpers.counters import counts_something
from helpers.expected_counters import COUNTER_QUERIES
from helpers.sqlite import new_database_in

from analytics_api.database.sqlite import SQLite
from analytics_api.errors import DatabaseError, RowError
from analytics_api.maintenance import demo

pytestmark = pytest.mark.writes

NOW = 1_771_945_200_123
PLAN = demo.Plan(NOW, sessions=80, leads=30)
SESSION = "insert into sessions (session_id, visitor_id, started_at) values (:session_id, 'v', 1771945200123)"


class Unlucky(Exception):
    pass


@pytest.fixture
def database(tmp_path):
    with new_database_in(tmp_path) as database:
        yield database


def sessions(database):
    return [row["session_id"] for row in database.rows("select session_id from sessions order by session_id")]


def contents(database):
    """Return the rows that are the same whether triggers or a rebuild filled the counters.

    lead_changes, the internal tables of the search index, and the ids of pages and projects are omitted.
    """
    numbered = {
        "pages": "select page, views, sessions from pages",
        "session_facts": "select s.*, entry.page as entry, exit.page as exit, 0 as entry_page_id, 0 as exit_page_id "
        "from session_facts as s join pages as entry on entry.page_id = entry_page_id "
        "join pages as exit on exit.page_id = exit_page_id",
        "key_counts": COUNTER_QUERIES["key_counts"],
        "session_pages": "select page, session_id, day, s.views, archived "
        "from session_pages as s join pages using (page_id)",
        "page_counts": "select page, day, c.views, c.sessions from page_counts as c join pages using (page_id)",
        "page_returns": "select page, day, previous_day, r.sessions from page_returns as r join pages using (page_id)",
        "project_codes": "select project from project_codes",
        "lead_search": "select indexed_text from lead_search",
        "leads": f"select {', '.join(demo.COLUMNS['leads'])}, follow_ups_count, last_follow_up_at, search_text, "
        "name_folded, project_folded, indexed_text, project "
        "from leads left join project_codes on code = project_code",
    }
    return {
        name: sorted(map(repr, filter(counts_something, database.rows(numbered.get(name, f"select * from {name}")))))
        for kind, name, _ in structure(database)
        if kind == "table" and not name.startswith(("sqlite_", "lead_search_", "lead_changes"))
    }


def structure(database):
    return {(thing["type"], thing["name"], thing["sql"]) for thing in database.rows("select * from sqlite_schema")}


def search(database, needle):
    return [row["rowid"] for row in database.rows("select rowid from lead_search(:n) order by rowid", n=f'"{needle}"')]


def load(at, batches):
    for table, rows in batches:
        at.insert(table, demo.COLUMNS[table], rows)


def test_write_returns_the_result_of_its_work(database):
    assert database.write(lambda at: at.execute(SESSION, session_id="a")) == 1


@pytest.mark.parametrize("failing", [Unlucky, KeyboardInterrupt, sqlite3.OperationalError("of its own")])
def test_exception_rolls_back_a_write(database, failing):
    def work(at):
        at.execute(SESSION, session_id="a")
        raise failing

    with pytest.raises((Unlucky, KeyboardInterrupt, DatabaseError)):
        database.write(work)

    assert sessions(database) == []
    assert database.verify() == []
    database.write(lambda at: at.execute(SESSION, session_id="b"))
    assert sessions(database) == ["b"]


def test_failed_statement_keeps_the_ones_before(database):
    def work(at):
        at.execute(SESSION, session_id="a")
        with pytest.raises(RowError):
            at.insert("sessions", ("session_id", "visitor_id", "started_at"), [("b", "v", NOW), ("c", "v", -1)])
        at.execute(SESSION, session_id="d")

    database.write(work)

    assert sessions(database) == ["a", "d"]
    assert database.verify() == []


@pytest.mark.slow
def test_bulk_load_equals_the_triggers(database, tmp_path):
    with SQLite(tmp_path / "bulk.db").closing() as loaded:
        database.write(lambda at: load(at, demo.batches(PLAN)))

        loaded.bulk(lambda at: load(at, demo.batches(PLAN)))

        assert contents(loaded) == contents(database)
        for needle in ("sharma", "ürg", "99", "@example", "zzz"):
            assert search(loaded, needle) == search(database, needle)
        assert loaded.verify() == database.verify() == []


@pytest.mark.parametrize("on_conflict", ["ignore", "update"])
def test_bulk_load_onto_rows_equals_the_triggers(database, tmp_path, on_conflict):
    columns = ("session_id", "visitor_id", "started_at", "country")
    before = [("a", "v", NOW, "IN"), ("b", "w", NOW, None)]
    more = [("a", "w", NOW + 86_400_000, "DE"), ("c", "w", NOW + 5, "IN")]
    with SQLite(tmp_path / "bulk.db").closing() as loaded:
        for one in (database, loaded):
            one.write(lambda at: at.insert("sessions", columns, before))
        database.write(lambda at: at.insert("sessions", columns, more, on_conflict=on_conflict))

        loaded.bulk(lambda at: at.insert("sessions", columns, more, on_conflict=on_conflict))

        database.write(lambda at: at.execute("delete from replaced_sessions"))  # triggers leave rows in this table
        assert contents(loaded) == contents(database)
        assert loaded.verify() == []


@pytest.mark.parametrize("failing", [Unlucky, sqlite3.OperationalError("of its own")])
def test_failed_bulk_load_changes_nothing(database, failing):
    database.write(lambda at: load(at, demo.batches(PLAN)))
    before = structure(database), contents(database)

    def work(at):
        at.execute(SESSION, session_id="a")
        at.execute("delete from leads")
        raise failing

    with pytest.raises((Unlucky, DatabaseError)):
        database.bulk(work)

    assert (structure(database), contents(database)) == before
    database.write(lambda at: at.execute(SESSION, session_id="b"))
    assert database.verify() == []


def test_failed_rebuild_after_bulk_load_changes_nothing(database):
    database.write(lambda at: load(at, demo.batches(PLAN)))
    before = structure(database), contents(database)
    calls = []

    def tell(name):
        calls.append(name)
        if len(calls) == 3:
            raise Unlucky

    with pytest.raises(Unlucky):
        database.bulk(lambda at: at.execute("delete from sessions"), on_progress=tell)

    assert (structure(database), contents(database)) == before
    assert database.verify() == []


def test_triggers_count_after_a_bulk_load(database):
    database.bulk(lambda at: load(at, demo.batches(PLAN)))
    before = database.row("select sessions from day_counts where day = -1")["sessions"]

    with closing(sqlite3.connect(database.path)) as tracker:
        tracker.execute("insert into sessions (session_id, visitor_id, started_at) values ('new', 'v', 1771945200123)")
        tracker.execute("delete from events where event_id % 3 = 0")
        tracker.execute("update leads set contact_name = 'Nobody else'")
        tracker.commit()

    assert database.row("select sessions from day_counts where day = -1") == {"sessions": before + 1}
    assert database.verify() == []
    assert len(search(database, "nobody else")) == PLAN.lead_count


@pytest.mark.parametrize(
    "trigger",
    [
        "after insert on sessions begin update sessions set country = 'DE' where session_id = new.session_id",
        "after insert on sessions begin update sessions set started_at = started_at + 86400000 "
        "where session_id = new.session_id",
        "after insert on sessions begin delete from sessions where session_id = new.session_id",
        "after update of started_at on sessions begin update sessions set country = 'DE' "
        "where session_id = new.session_id",
        "after update of ended_at on sessions begin update sessions set duration = ended_at - started_at "
        "where session_id = new.session_id",
    ],
)
def test_foreign_triggers_may_change_the_written_session(database, trigger):
    def write(at):
        at.execute(f"create trigger foreign_trigger {trigger}; end")
        for session_id in ("a", "b", "a"):
            at.execute(SESSION + " on conflict do nothing", session_id=session_id)
        at.execute("update sessions set started_at = started_at - 86400000, ended_at = started_at + 8")
        at.execute("update sessions set ended_at = started_at + 9")

    database.write(write)

    assert database.verify() == []


@pytest.mark.parametrize(
    "change", ["duration = 5", "engagement_score = 90, ended_at = 1771945200123", "exit_page = '/new'"]
)
def test_foreign_triggers_may_change_an_inserted_session(database, change):
    def write(at):
        at.execute(
            "create trigger foreign_trigger after insert on sessions "
            f"begin update sessions set {change} where session_id = new.session_id; end"
        )
        for session_id in ("a", "b"):
            at.execute(SESSION, session_id=session_id)

    database.write(write)

    assert database.verify() == []


@pytest.mark.parametrize(
    "trigger",
    [
        "after insert on events begin delete from events where event_id = new.event_id",
        "after insert on events begin update events set page_url = '/new' where event_id = new.event_id",
        "after update of page_url on events begin delete from events where event_id = new.event_id",
    ],
)
def test_foreign_triggers_may_change_the_written_event(database, trigger):
    def write(at):
        at.execute(f"create trigger foreign_trigger {trigger}; end")
        for _ in range(2):
            at.execute(
                "insert into events (session_id, event_type, page_url, occurred_at) "
                "values ('s', 'page_view', '/', 1771945200123)"
            )
        at.execute("update events set page_url = '/b'")

    database.write(write)

    assert database.verify() == []


def test_bulk_load_keeps_foreign_triggers_and_indexes(database):
    with closing(sqlite3.connect(database.path)) as host:
        host.execute('create table "the host\'s" (session_id)')
        host.execute('create index "by ""exit""" on sessions (exit_page)')
        host.execute(
            'create trigger "odd name" after delete on sessions '
            'begin insert into "the host\'s" values (old.session_id); end'
        )
        host.commit()
    before = structure(database)

    database.bulk(lambda at: load(at, demo.batches(PLAN)))

    assert structure(database) == before


EVENT = "insert into events (session_id, event_type, occurred_at) values ('s', 'page_view', 1771945200123)"
LEAD = "insert into leads (lead_id, enquiry_datetime) values (1, '2026-02-24 15:00:00')"
SUBMISSION = "insert into lead_submissions (lead_id, submitted_at) values (1, '2026-02-24 15:00:00')"
MOVE = (
    "insert into lead_status_changes (lead_id, old_status, new_status, changed_at, changed_by) "
    "values (1, 'new', 'won', 1771945200123, 'Ann')"
)
SEARCHABLE = sqlite3.sqlite_version_info >= (3, 44)  # FTS5 is trusted


@pytest.mark.parametrize(
    ("sql", "is_written"),
    [(SESSION, True), (EVENT, True), (LEAD, SEARCHABLE), (SUBMISSION, SEARCHABLE), (MOVE, SEARCHABLE)],
    ids=["session", "event", "lead", "submission", "move"],
)
def test_writer_with_trusted_schema_off_is_counted_or_fails(database, sql, is_written):
    with closing(sqlite3.connect(database.path, isolation_level=None)) as writer:
        writer.execute("pragma trusted_schema = off")
        if is_written:
            writer.execute(sql, {"session_id": "s"})
        else:
            with pytest.raises(sqlite3.OperationalError, match='unsafe use of virtual table "lead_search"'):
                writer.execute(sql)
        table = sql.split()[2]
        [(rows,)] = writer.execute(f"select count(*) from {table}")

    assert rows == is_written
    assert database.verify() == []
