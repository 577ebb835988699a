"""Importing many rows in bulk mode: triggers, indexes and counters."""

import io
import sqlite3

import pytest
from helpers.counters import read_totals

from analytics_api import open_database
from analytics_api.database.sqlite.counters import list_counters, names_read_by
from analytics_api.imports import batch, import_database, import_file, sqlite_file, write

pytestmark = pytest.mark.writes

SESSION = "insert into sessions (session_id, visitor_id, started_at) values ('s1', 'v1', 1771945200000)"


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Return the path of an export that is imported in bulk mode although it has few rows."""
    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", 0)
    path = tmp_path / "export.sql"
    sessions = "".join(f"insert into sessions values ('s{n}', 'v{n}', 1771945200000);\n" for n in range(25))
    path.write_text(
        f"create table sessions (session_id, visitor_id, started_at);\n{sessions}"
        "create table events (event_id, session_id, event_type, occurred_at);\n"
        "insert into events values (1, 's1', 'click', 1771945200000);\n"
    )
    return path


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(sqlite_file, "MAX_BATCH_ROWS", 10)
    monkeypatch.setattr(sqlite_file, "FETCH_ROWS", 10)
    monkeypatch.setattr(batch, "MAX_BATCH_ROWS", 10)


def test_import_reports_written_rows(database, export, small_batches):
    calls = []

    import_database(database, export, on_write=lambda rows, of: calls.append((rows, of)))

    assert calls == [(10, 26), (10, 26), (5, 26), (1, 26)]


def test_import_reports_bytes_up_to_the_file_size(database, export):
    read = []

    import_database(database, export, on_read=read.append)

    assert sum(read) == export.stat().st_size


def test_import_reports_rebuilt_counters(database, export):
    calls = []

    import_database(database, export, on_progress=calls.append)

    assert "day_counts" in calls
    assert "event_counts" in calls


CSV = b"lead_id,enquiry_datetime\n1,2026-02-24\n"


@pytest.mark.any_engine
@pytest.mark.parametrize("source", ["file", "stream"])
def test_import_of_few_rows_rebuilds_no_counter(database, tmp_path, source):
    path = tmp_path / "leads.csv"
    path.write_bytes(CSV)
    calls = []

    import_file(database, path if source == "file" else io.BytesIO(CSV), on_progress=calls.append)

    assert database.row("select count(*) as leads from leads") == {"leads": 1}
    assert calls == []


LEAD = "insert into leads (lead_id, enquiry_datetime, contact_email) values (1, '2026-02-24 10:00:00', 'a@example.com')"
SUBMISSION = "insert into lead_submissions (submission_id, lead_id, submitted_at) values (1, 1, '2026-02-25 10:00:00')"
MOVE = "update leads set status = 'won' where lead_id = 1"
EVENT = (
    "insert into events (event_id, session_id, event_type, page_url, occurred_at) "
    "values (1, 's1', 'page_view', '/a', 1771945200000)"
)


@pytest.mark.parametrize(
    "statements",
    [(SESSION, EVENT, LEAD, SUBMISSION, MOVE), (MOVE, SUBMISSION, LEAD, EVENT, SESSION)],
    ids=["parents-first", "children-first"],
)
def test_each_bulk_write_leaves_all_counters_exact(database, statements):
    for statement in statements:
        database.bulk(lambda at, statement=statement: at.execute(statement))

        assert database.verify() == []


@pytest.mark.parametrize(
    ("statement", "present", "absent"),
    [
        (SESSION, {"day_counts", "visitor_days", "minute_counts"}, {"status_counts", "event_counts", "lead_search"}),
        (EVENT, {"event_counts", "session_pages", "minute_counts"}, {"day_counts", "visitor_days", "lead_search"}),
        (LEAD, {"status_counts", "leads", "lead_search"}, {"day_counts", "page_counts", "visitor_days"}),
    ],
    ids=["session", "event", "lead"],
)
def test_sqlite_rebuilds_dependent_counters_alone(tmp_path, statement, present, absent):
    calls = set()
    with open_database(tmp_path / "a.db").closing() as database:
        database.bulk(lambda at: at.execute(statement), on_progress=calls.add)

    assert present <= calls
    assert not absent & calls


def read_by(connection, view):
    """Return the names of the tables and views that SQLite reads for a view."""
    names = set()

    def record(action, name, *_):
        if action == sqlite3.SQLITE_READ:
            names.add(name)
        return sqlite3.SQLITE_OK

    connection.set_authorizer(record)
    connection.execute(f"explain select * from {view}").close()
    connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
    return names


def test_names_read_by_a_view_include_its_tables(tmp_path):
    with open_database(tmp_path / "a.db").closing() as database:
        tables = {name for (name,) in database.tuples("select name from sqlite_schema where type = 'table'")}
        views = database.read(lambda at: [counter.view for counter in list_counters(at)])
        read = database.read(lambda at: {view: tables & read_by(at.connection, view) for view in views})

    assert len(views) == 21
    assert all(read.values())
    assert [view for view, names in read.items() if not names <= names_read_by(view)] == []


def test_error_in_progress_callback_stops_the_import(database, export, small_batches):
    def enough(rows, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_database(database, export, on_write=enough)

    assert read_totals(database)["sessions"] == 0
    assert database.verify() == []


def test_triggers_count_after_a_bulk_import(database, export, insert):
    import_database(database, export)

    insert("sessions", session_id="later", visitor_id="v1", started_at=1771945200000)

    totals = read_totals(database)
    assert (totals["sessions"], totals["visitors"]) == (26, 25)
    assert database.verify() == []


def test_triggers_count_after_a_failed_bulk_import(database, insert):
    def fail(at):
        at.execute(SESSION)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.bulk(fail)
    insert("sessions", session_id="later", visitor_id="v1", started_at=1771945200000)

    assert read_totals(database)["sessions"] == 1
    assert database.verify() == []


def test_deleted_row_may_be_inserted_again(database):
    for _ in range(2):
        database.write(lambda at: at.execute(f"{SESSION} on conflict (session_id) do nothing"))
    database.bulk(lambda at: at.execute("delete from sessions"))

    database.write(lambda at: at.execute(SESSION))

    assert read_totals(database)["sessions"] == 1
    assert database.verify() == []
