"""Reading a database in a read-only folder works, and the error of a write names the folder or file."""

import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from helpers.cli import demo_file, isolated_cwd, run
from helpers.client import KEY, APIClient
from helpers.read_only import read_only

from analytics_api import create_app, open_database
from analytics_api.errors import DatabaseError
from analytics_api.server.serve import build_server_app

OWNER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """Return a database of 40 sessions and 2 leads in a folder that cannot be written."""
    isolated_cwd(monkeypatch, tmp_path)
    folder = tmp_path / "locked"
    folder.mkdir()
    shutil.copy(demo_file(40), folder / "a.db")
    with read_only(folder):
        yield folder / "a.db"


def test_read_only_api_serves_reads(locked):
    client = APIClient(create_app(locked, api_keys=[KEY]))

    assert client.get("/analytics/overview").json["total_sessions"] == 40
    assert len(client.get("/analytics/leads").json["leads"]) == 2
    assert client.get("/analytics/leads/export").text.count("\r\n") == 3


def test_update_is_500_and_the_log_names_the_folder(locked, caplog):
    client = APIClient(create_app(locked, api_keys=[KEY]))
    lead_id = client.get("/analytics/leads").json["leads"][0]["lead_id"]

    response = client.patch(f"/analytics/leads/{lead_id}", json={"status": "lost"})

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    assert f"the folder {locked.parent} must be writable" in caplog.text


def test_sign_in_to_a_read_only_database_is_an_error(locked):
    client = APIClient(create_app(locked, api_keys=[KEY], browser_sessions=True))
    headers = {"Sec-Fetch-Site": "same-origin"}

    response = client.post("/analytics/session", json={"key": KEY}, key=None, headers=headers)
    form = client.post("/analytics/session", data={"key": KEY}, key=None, headers=headers)

    assert (response.status_code, response.json) == (
        503,
        {"error": "The database is read-only: signing in is not possible"},
    )
    assert (form.status_code, form.location.partition("#")[2]) == (303, "read-only")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["verify"], "all counters are correct\n"),
        (["export", "leads", "--format", "csv"], "lead_id,"),
        (["keys", "list"], ""),
        (["backup", "copy.db"], "copy.db is a copy of "),
    ],
    ids=["verify", "export", "keys", "backup"],
)
def test_reading_commands_work_on_a_read_only_database(locked, command, text):
    assert text in run(command[0], *command[1:], "-d", locked)


def test_file_of_another_user_can_be_backed_up(tmp_path):
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    shutil.copy(demo_file(40), path)
    with sqlite3.connect(path) as tracker:  # keeps the file -wal, which contains its lead
        tracker.execute("insert into leads (enquiry_datetime) values ('2026-02-23 11:15:00')")
        tracker.commit()
        with read_only(path), open_database(path).closing() as database:
            database.backup(copy)
    tracker.close()

    with open_database(copy).closing() as database:
        assert database.rows("select count(*) as leads from leads") == [{"leads": 3}]
        assert database.verify() == []


@pytest.mark.parametrize(
    "command",
    [
        ["purge", "--before", "2020-01-01"],
        ["keys", "add", "wall", "--scope", "stats"],
        ["rebuild"],
    ],
    ids=["purge", "add", "rebuild"],
)
def test_writing_commands_name_the_folder(locked, command):
    output = run(*command, "-d", locked, status=1)

    assert f"the folder {locked.parent} must be writable" in output
    assert output.count("\n") == 1


def test_new_database_names_the_folder(locked):
    with pytest.raises(DatabaseError, match=f"the folder {locked.parent} must be writable"):
        open_database(locked.parent / "new.db")


def test_readyz_reports_a_read_only_database(locked):
    with open_database(locked).closing() as database:
        client = APIClient(build_server_app(create_app(database, api_keys=[KEY]), database))

        response = client.get("/readyz")

    assert (response.status_code, response.json) == (200, {"status": "ok", "database": "read-only"})


def test_folder_that_becomes_writable_is_written(tmp_path):
    path = tmp_path / "a.db"
    open_database(path).close()
    with open_database(path).closing() as database:
        database.close()
        with read_only(tmp_path):
            assert database.rows("select count(*) as leads from leads") == [{"leads": 0}]
            assert database.is_read_only()

        database.write(lambda at: at.execute("insert into leads (enquiry_datetime) values ('2026-02-23 11:15:00')"))

        assert database.rows("select count(*) as leads from leads") == [{"leads": 1}]
        assert not database.is_read_only()


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("select count(*) from leads").fetchone()
print(flush=True)
sys.stdin.read()
"""


def test_folder_that_becomes_writable_is_written_again(tmp_path):
    """All connections of a process use one open -shm file, which remains read-only until all of them are closed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    open_database(folder / "a.db").close()
    command = [sys.executable, "-c", HOLD, folder / "a.db"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
        ThreadPoolExecutor(1) as thread,
    ):
        other.stdout.readline()
        with read_only(folder):
            database = open_database(folder / "a.db")
            thread.submit(database.rows, "select count(*) from leads").result()
            with pytest.raises(DatabaseError, match="must be writable"):
                database.write(lambda at: at.execute("delete from leads"))

        with suppress(DatabaseError):  # the connection was opened before the change
            database.write(lambda at: at.execute("delete from leads"))
        database.write(lambda at: at.execute("insert into leads (enquiry_datetime) values ('2026-02-23 11:15:00')"))

        database.close()
        other.stdin.close()


def test_rows_of_another_writer_are_read_at_once(tmp_path):
    """The folder is read-only for the reader, but another user can write to it."""
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    open_database(there / "a.db").close()
    here.mkdir()
    os.link(there / "a.db", here / "a.db")
    with read_only(here), open_database(here / "a.db").closing() as database:
        assert database.rows("select count(*) as leads from leads") == [{"leads": 0}]

        with closing(sqlite3.connect(there / "a.db")) as writer, writer:
            writer.execute("insert into leads (enquiry_datetime) values ('2026-02-23 11:15:00')")

        assert database.rows("select count(*) as leads from leads") == [{"leads": 1}]


def test_link_in_a_read_only_folder_is_read_and_written(tmp_path):
    """The database itself is in another folder, with rows that only its -wal file has."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "a.db").symlink_to(there / "a.db")
    insert = "insert into leads (enquiry_datetime) values ('2026-02-23 11:15:00')"
    with open_database(there / "a.db").closing() as writer:
        writer.write(lambda at: at.execute(insert))

        with read_only(here), open_database(here / "a.db").closing() as database:
            database.write(lambda at: at.execute(insert))

            assert database.rows("select count(*) as leads from leads") == [{"leads": 2}]
            assert not database.is_read_only()


def test_log_of_a_crashed_writer_is_not_left_out(tmp_path):
    """The rows are only in the -wal file, which needs a writable -shm. Opening fails, so that no row is left out."""
    folder = tmp_path / "copied"
    folder.mkdir()
    with open_database(tmp_path / "a.db").closing() as database:
        database.write(lambda at: at.execute("insert into leads (enquiry_datetime) values ('2026-02-23 11:15:00')"))
        for suffix in ("", "-wal"):
            shutil.copy(f"{database.path}{suffix}", folder)

    with read_only(folder), pytest.raises(DatabaseError, match=f"the folder {folder} must be writable"):
        open_database(folder / "a.db")


@contextmanager
def without_rights():
    """Run a block as a user who is not root, because root may read every file."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def private():
    """Return the path of a database in a folder of its own that every user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "private", "a.db")
        path.parent.mkdir()
        open_database(path).close()
        yield path
        os.chmod(path.parent, 0o755)


@pytest.fixture
def error_without_rights(private, tmp_path, monkeypatch):
    """Return a function that runs a command as a user who is not root, and returns its error."""
    isolated_cwd(monkeypatch, tmp_path)

    def fail(command):
        with without_rights():
            return run(command, "-d", private, status=1)

    return fail


@pytest.mark.parametrize("command", ["init", "verify", "upgrade"])
def test_file_of_another_user_names_that_user(private, command, error_without_rights):
    os.chmod(private, 0)

    output = error_without_rights(command)

    assert output == (
        f"Error: {private}: unable to open database file; its owner does not let other users read it: "
        f"run the command as the user {OWNER}, or run chown\n"
    )


@pytest.mark.parametrize("command", ["init", "verify", "upgrade"])
def test_closed_folder_names_its_owner(private, command, error_without_rights):
    os.chmod(private.parent, 0)

    output = error_without_rights(command)

    assert output == (
        f"Error: {private}: unable to open database file; the folder {private.parent} is closed to this user: "
        f"run the command as the user {OWNER}, or run chown\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user")
def test_wal_of_another_user_is_named(private, error_without_rights):
    os.chmod(private.parent, 0o777)
    os.chmod(private, 0o666)
    with closing(sqlite3.connect(private)) as tracker:
        tracker.execute("update site set time_zone = time_zone")
        tracker.commit()
        os.chmod(f"{private}-wal", 0o600)

        output = error_without_rights("verify")

    assert output == (
        f"Error: {private}: unable to open database file; this user may not write {private}-wal, "
        f"which the user {OWNER} created: run chmod g+s {private.parent}\n"
    )


@pytest.mark.parametrize(
    ("setting", "path", "command"),
    [
        ("ANALYTICS_DATABASE", "inner/a.db", ["verify"]),
        ("ANALYTICS_STORAGE", "inner", ["storage", "-d", "a.db"]),
    ],
    ids=["database", "storage"],
)
def test_setting_in_a_closed_folder_is_not_called_missing(private, tmp_path, monkeypatch, setting, path, command):
    isolated_cwd(monkeypatch, tmp_path)
    (private.parent / "inner").mkdir()
    monkeypatch.setenv(setting, str(private.parent / path))
    os.chmod(private.parent, 0)

    with without_rights():
        output = run(*command, status=1)

    assert output == f"Error: {setting}: the folder {private.parent / 'inner'}: Permission denied\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user")
def test_import_in_a_folder_of_another_user_names_the_reason(private, monkeypatch):
    isolated_cwd(monkeypatch, private.parent.parent)
    os.chmod(private.parent, 0o777)
    os.chmod(private, 0o666)
    Path("invalid.csv").write_text("session_id,visitor_id,started_at\ns,v,never\n")
    Path("closed").mkdir(mode=0)
    Path("closed/valid.csv").write_text("session_id,visitor_id,started_at\ns,v,2026-02-23\n")

    with without_rights():
        errors = [run("import", "-d", private, file, status=1) for file in ("invalid.csv", "closed/valid.csv")]

    assert errors == [
        "Error: rejects.tsv: cannot be written: Permission denied; name another file for invalid rows: --rejects\n",
        "Error: closed/valid.csv: cannot be read: Permission denied\n",
    ]


def test_command_reads_no_env_file_of_a_closed_folder(private, tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    isolated_cwd(monkeypatch, folder)
    os.chmod(private, 0o644)
    os.chmod(folder, 0)

    with without_rights():
        output = run("verify", "-d", private)

    os.chmod(folder, 0o755)
    assert output == "all counters are correct\n"
