"""A backup is a consistent copy of the database, even if other connections write during the backup."""

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from helpers.cli import demo_file, isolated_cwd, query, read_tables, run, run_process

from analytics_api import open_database
from analytics_api.database.sqlite import SQLite
from analytics_api.errors import DatabaseError

VISIT = """
insert into sessions (session_id, visitor_id, started_at, country)
values (:session, :visitor, 1771844400000, 'IN')
"""

VIEW = """
insert into events (session_id, event_type, page_url, occurred_at)
values (:session, 'page_view', '/', 1771844400000)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def filled(folder):
    return Path(shutil.copy(demo_file(200), folder))


def test_backup_has_every_row_and_opens(filled, folder):
    output = run("backup", "copy.db")

    assert output == f"copy.db is a copy of {filled}\n"
    assert read_tables(folder / "copy.db") == read_tables(filled)
    assert run("verify", "-d", "copy.db") == "all counters are correct\n"
    assert query("copy.db", "pragma journal_mode") == [("wal",)]
    assert list(folder.glob("*.part")) == []


def test_backup_is_one_instant_while_others_write(filled, folder):
    done = threading.Event()
    written = []

    def visits():
        with open_database(filled).closing() as tracker:
            while not done.is_set():
                session = f"s{len(written)}"

                def visit(at, session=session):
                    at.execute(VISIT, session=session, visitor=session)
                    at.execute(VIEW, session=session)

                tracker.write(visit)
                written.append(session)

    writer = threading.Thread(target=visits)
    writer.start()
    before = []
    try:
        with open_database(filled).closing() as database:
            for number in range(3):
                before.append(len(written))
                database.backup(folder / f"{number}.db")
    finally:
        done.set()
        writer.join()

    for number in range(3):
        with open_database(folder / f"{number}.db").closing() as backup:
            ((sessions, events),) = query(
                backup.path,
                "select (select count(*) from sessions where session_id glob 's[0-9]*' and country = 'IN' and "
                "visitor_id = session_id), (select count(*) from events where page_url = '/' and "
                "session_id in (select session_id from sessions where visitor_id = session_id))",
            )
            assert backup.verify() == []
            assert before[number] <= sessions == events <= len(written)


def test_backup_path_beyond_ascii_works_in_any_locale(filled, folder):
    ended = run_process("backup", "é.db", cwd=folder, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="POSIX")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert run("verify", "-d", "é.db") == "all counters are correct\n"


def test_backup_leaves_an_existing_file(filled, folder):
    (folder / "copy.db").write_text("precious")

    output = run("backup", "copy.db", status=1)

    assert output == "Error: copy.db: the file exists; choose the path of a new file\n"
    assert (folder / "copy.db").read_text() == "precious"


def test_backup_into_missing_folder_fails_in_one_line(filled):
    output = run("backup", "nowhere/copy.db", status=1)

    assert output.count("\n") == 1
    assert output.startswith("Error: ")


def test_backup_survives_the_failure_of_another_one(filled, folder, monkeypatch):
    copy = SQLite._copy_into

    def fail(database, part):
        raise sqlite3.OperationalError("database or disk is full")

    def copy_while_another_fails(database, part):
        copy(database, part)
        monkeypatch.setattr(SQLite, "_copy_into", fail)
        assert run("backup", "copy.db", status=1) == "Error: copy.db: database or disk is full\n"

    monkeypatch.setattr(SQLite, "_copy_into", copy_while_another_fails)
    run("backup", "copy.db")

    assert run("verify", "-d", "copy.db") == "all counters are correct\n"
    assert sorted(folder.glob("copy*")) == [folder / "copy.db"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_backup_of_postgresql_names_its_own_tools(database, folder):
    with pytest.raises(DatabaseError, match=r"pg_dump .*`analytics-api copy URL FILE`"):
        database.backup(folder / "copy.db")

    assert list(folder.iterdir()) == []
