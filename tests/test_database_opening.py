import ctypes
import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from functools import partial

import pytest

from analytics_api import open_database
from analytics_api.database.sqlite import SQLite
from analytics_api.database.sqlite.schema import create_schema
from analytics_api.errors import DatabaseError

OPENING = """
import sys
from analytics_api import open_database
sys.stdin.readline()  # until all have come so far
with open_database(sys.argv[1]).closing() as database:
    database.write(lambda at: at.execute(
        "insert into events (session_id, event_type, occurred_at) values ('s', 'page_view', 1771945200123)"))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "analytics.db"


def refusal(path, **options):
    """Return the message of the error when opening the file."""
    with pytest.raises(DatabaseError) as refused:
        open_database(path, **options)
    text = str(refused.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def changed(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_open_creates_a_missing_database(path):
    with open_database(path).closing() as database:
        events = database.rows("select coalesce(sum(events), 0) as events from event_counts where day = -1")

    assert events == [{"events": 0}]
    assert path.exists()


class FullDisk(sqlite3.Connection):
    """A connection whose commit fails as on a full disk: SQLite has rolled back the transaction."""

    def execute(self, sql, *parameters):
        if sql == "commit":
            super().execute("rollback")
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *parameters)


def test_full_disk_is_named_when_a_database_is_created(path):
    with (
        closing(sqlite3.connect(path, isolation_level=None, factory=FullDisk)) as connection,
        pytest.raises(sqlite3.OperationalError, match="database or disk is full"),
    ):
        create_schema(connection, path, seconds=1)


@pytest.mark.parametrize("create", [True, False])
def test_open_again_finds_the_rows(path, create):
    with open_database(path).closing() as database:
        database.write(lambda at: at.execute("insert into secrets (name, value) values ('a', 'b')"))

    with open_database(path, create=create).closing() as database:
        assert database.rows("select name, value from secrets") == [{"name": "a", "value": "b"}]


def test_open_fills_an_empty_file(path):
    path.touch()

    with open_database(path).closing() as database:
        assert database.verify() == []


def test_open_fills_an_empty_sqlite_database(path):
    changed(path, "create table t (a)", "drop table t", "vacuum")

    with open_database(path).closing() as database:
        assert database.verify() == []


def test_open_sets_wal_mode_for_every_program(path):
    open_database(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_concurrent_opens_are_never_locked_out(tmp_path):
    failed = []

    def make(path):
        together.wait()
        try:
            open_database(path).close()
        except Exception as error:
            failed.append(error)

    for number in range(10):  # repeat, because two processes must create the schema at the same moment
        together = threading.Barrier(3)
        threads = [threading.Thread(target=make, args=[tmp_path / f"{number}.db"]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert failed == []


@pytest.mark.parametrize("statement", range(6))
def test_open_accepts_schema_created_meanwhile(path, monkeypatch, statement):
    begun = []

    class Overtaken(sqlite3.Connection):
        def execute(self, *sql):
            begun.append(sql)
            if len(begun) == statement + 1:
                with suppress(DatabaseError):  # the database was closed first
                    SQLite(path, busy_timeout=0).close()
            return super().execute(*sql)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Overtaken))

    with open_database(path).closing() as database:
        assert database.verify() == []
    assert len(begun) > statement


def test_concurrent_processes_create_one_database(path):
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]

    for opener in openers:
        opener.stdin.write("\n")
        opener.stdin.flush()
    errors = [opener.communicate(timeout=60)[1] for opener in openers]

    assert errors == [""] * 4
    with open_database(path).closing() as database:
        assert database.row("select events from event_counts where day = -1") == {"events": 4}
        assert database.verify() == []


def test_open_without_create_needs_the_file(path):
    text = refusal(path, create=False)

    assert text == "this database does not exist; `analytics-api init` creates it"
    assert not path.exists()


def test_open_without_create_rejects_an_empty_file(path):
    path.touch()

    text = refusal(path, create=False)

    assert text == "this file is empty; `analytics-api init` creates a database in it"
    assert path.stat().st_size == 0


@pytest.mark.parametrize(
    "statements",
    [
        ("create table sessions (id)", "insert into sessions values (1)"),
        ("pragma application_id = 7", "create view v as select 1"),
    ],
)
def test_open_rejects_another_programs_database(path, statements):
    changed(path, *statements)
    before = path.read_bytes()

    text = refusal(path)

    assert text.startswith("this is another program's database; `analytics-api import` can import")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"a page of text\n" * 100,
        b"ANALYTICS_API_KEY=one\n",  # SQLite treats a short file as empty
        b"\n",
        b"SQLite format 3\0" + b"x" * 2000,
    ],
)
def test_open_rejects_a_file_that_is_not_a_database(path, content):
    path.write_bytes(content)

    text = refusal(path)

    assert text == "file is not a database"
    assert path.read_bytes() == content


def test_open_rejects_a_directory(tmp_path):
    assert refusal(tmp_path) == (
        f"unable to open database file; it is a folder: use the path of a file, such as {tmp_path}/analytics.db"
    )


def test_open_rejects_a_missing_directory(tmp_path):
    path = tmp_path / "missing" / "analytics.db"

    assert refusal(path) == f"unable to open database file; the folder {path.parent} does not exist"
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("version", "advice"),
    [(4, "older than 5; run `analytics-api upgrade`"), (6, "newer than 5; use a newer analytics_api")],
)
def test_open_rejects_another_version_with_advice(path, version, advice):
    open_database(path)
    changed(path, f"pragma user_version = {version}")

    assert refusal(path) == f"this database has version {version}, {advice}"


def test_open_of_truncated_database_fails_in_one_line(path):
    open_database(path)
    path.write_bytes(path.read_bytes()[:10_000])

    with pytest.raises(DatabaseError, match="malformed") as refused, open_database(path).closing() as database:
        database.rows("select * from day_counts")

    assert "\n" not in str(refused.value)


READING_AND_WRITING = """
import sys
from analytics_api import open_database
from analytics_api.errors import DatabaseError
for claim in (
    lambda: open_database(sys.argv[1]).row("select count(*) as sessions from day_counts"),
    lambda: open_database(sys.argv[1]).write(lambda at: at.execute("delete from sessions")),
):
    try:
        print(claim())
    except DatabaseError as error:
        print(error)
"""


def drop_file_privileges():
    """Drop CAP_DAC_OVERRIDE in this process, so that file permissions apply to root, too."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="knows only how Linux has root heed a file's mode")
@pytest.mark.parametrize("folder", [0o755, 0o555])
def test_open_without_write_permission_fails_in_one_line(tmp_path, folder):
    path = tmp_path / "here" / "read-only.db"
    path.parent.mkdir()
    open_database(path)
    path.chmod(0o444)
    path.parent.chmod(folder)

    ran = subprocess.run(
        [sys.executable, "-c", READING_AND_WRITING, path],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=drop_file_privileges,
    )
    path.parent.chmod(0o755)

    assert ran.stderr == ""
    reading, writing = ran.stdout.splitlines()
    assert reading == "{'sessions': 0}" or reading.startswith(f"{path}: ")
    assert re.fullmatch(re.escape(f"{path}: ") + "(attempt to write a readonly|unable to open) database.*", writing)
