import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from analytics_api import demo, open_database
from analytics_api.database import BASE_TABLES, upgrade
from analytics_api.errors import DatabaseError

NOW = 1_771_945_200_000  # 2026-02-24 15:00:00


@pytest.fixture
def path(tmp_path):
    return tmp_path / "analytics.db"


def filled(path, sessions=200):
    """A database with made-up rows in every base table."""
    database = open_database(path)
    plan = demo.Plan(NOW, sessions=sessions, leads=20)

    def load(at):
        for table, rows in demo.batches(plan):
            at.insert(table, demo.COLUMNS[table], rows)
        at.insert(
            "lead_status_changes",
            ["lead_id", "old_status", "new_status", "changed_at", "changed_by"],
            [(1, "new", "won", NOW, "key-1")],
        )

    database.bulk(load)
    return database


def content(path):
    with sqlite3.connect(path) as connection:
        rows = {table: sorted(map(repr, connection.execute(f"select * from {table}"))) for table in BASE_TABLES}
    connection.close()
    return rows


def run(path, sql):
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()


def test_it_is_made_on_first_use_and_found_again(path):
    open_database(path).write(lambda at: at.execute("insert into secrets (name, value) values ('a', 'b')"))

    assert open_database(path).rows("select name from secrets") == [{"name": "a"}]


def test_an_empty_file_becomes_a_database(path):
    path.touch()

    open_database(path)

    assert open_database(path, create=False).verify() == []


def test_without_leave_to_make_one_there_has_to_be_one(path):
    with pytest.raises(DatabaseError, match="there is no such database; `analytics-api init` makes one"):
        open_database(path, create=False)

    assert not path.exists()


def test_eight_processes_make_one_database_together(path):
    program = "import sys; from analytics_api import open_database; open_database(sys.argv[1])"
    started = [
        subprocess.Popen([sys.executable, "-c", program, path], stderr=subprocess.PIPE, text=True) for _ in range(8)
    ]

    errors = [process.communicate(timeout=60)[1] for process in started]

    assert errors == [""] * 8
    assert open_database(path).verify() == []


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (b"this is a letter, and no database " * 40, "file is not a database"),
        (b"SQLite format 3\0" + b"x" * 2000, "file is not a database"),
    ],
)
def test_a_file_that_is_no_database_is_refused_in_a_line(path, begin, told):
    path.write_bytes(begin)

    with pytest.raises(DatabaseError, match=told) as refused:
        open_database(path)

    assert "\n" not in str(refused.value)
    assert path.read_bytes() == begin


def test_another_programs_database_is_refused_and_left_alone(path):
    run(path, "create table sessions (id); insert into sessions values (1);")
    before = path.read_bytes()

    with pytest.raises(DatabaseError, match="this is another program's database; `analytics-api import` copies"):
        open_database(path)

    assert path.read_bytes() == before


def test_a_directory_and_a_missing_folder_are_refused_in_a_line(tmp_path):
    for place in (tmp_path, tmp_path / "no" / "folder" / "analytics.db"):
        with pytest.raises(DatabaseError, match="unable to open database file"):
            open_database(place)


def test_an_older_database_asks_for_the_upgrade(path):
    open_database(path)
    run(path, "pragma user_version = 0")

    with pytest.raises(DatabaseError, match="is of version 0, older than 1; run `analytics-api upgrade`"):
        open_database(path)


def test_a_newer_database_asks_for_a_newer_program(path):
    open_database(path)
    run(path, "pragma user_version = 2")

    with pytest.raises(DatabaseError, match="is of version 2, newer than 1; use a newer analytics_api"):
        open_database(path)


@pytest.mark.parametrize(
    "difference",
    [
        "",
        "drop trigger sessions_insert; drop view plain_days; drop table rollup_days;",
        "drop index leads_by_name; drop table lead_search;",
        "drop table lead_status_changes;",
        "create table of_another_time (a); create index odd on events (event_type);",
    ],
)
def test_an_upgrade_loses_no_row_and_makes_every_rollup_anew(path, difference):
    filled(path).close()
    run(path, f"{difference} pragma user_version = 0;")
    kept = "lead_status_changes" if "lead_status_changes" in difference else None
    before = content(path) if kept is None else None

    was = upgrade(path)

    assert was == 0
    assert open_database(path).verify() == []
    assert before in (None, content(path))
    assert open_database(path).row("select sessions from rollup_totals") == {"sessions": 200}


def test_a_column_that_is_new_takes_its_default_in_an_upgrade(path):
    filled(path).close()
    run(
        path,
        """
        pragma legacy_alter_table = on;
        create table older as select lead_id, enquiry_datetime, contact_name, status from leads;
        drop table leads;
        alter table older rename to leads;
        pragma user_version = 0;
        """,
    )

    upgrade(path)

    database = open_database(path)
    assert database.verify() == []
    assert database.row("select count(*) as leads, sum(form_submit_count) as forms from leads") == {
        "leads": 20,
        "forms": 20,
    }


def test_what_can_not_be_upgraded_stays_as_it_was(path):
    open_database(path)
    run(path, "drop table events; create table events (event_id integer, occurred_at text); pragma user_version = 0;")
    run(path, "insert into events values (1, 'noon')")

    with pytest.raises(DatabaseError, match="it stays as it was, of the older version"):
        upgrade(path)

    with sqlite3.connect(path) as connection:
        assert connection.execute("select * from events").fetchall() == [(1, "noon")]
        assert connection.execute("pragma user_version").fetchone() == (0,)
    connection.close()


def test_an_upgrade_that_is_killed_leaves_the_older_database_whole(path):
    filled(path, sessions=20_000).close()
    run(path, "pragma user_version = 0; pragma wal_checkpoint(truncate);")
    before = content(path)
    program = "import sys; from analytics_api.database import upgrade; upgrade(sys.argv[1])"

    process = subprocess.Popen([sys.executable, "-c", program, path])
    wal = path.with_name("analytics.db-wal")
    for _ in range(2000):
        if process.poll() is not None or (wal.exists() and wal.stat().st_size > 1_000_000):
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()

    if process.returncode == -signal.SIGKILL:
        assert content(path) == before
        upgrade(path)
    assert open_database(path).verify() == []
    assert content(path) == before


def test_nothing_is_upgraded_that_is_none_of_ours(path, tmp_path):
    run(path, "create table of_somebody (a)")

    with pytest.raises(DatabaseError, match="another program's database"):
        upgrade(path)
    with pytest.raises(DatabaseError, match="there is no such database"):
        upgrade(tmp_path / "missing.db")


def test_a_database_that_is_up_to_date_is_left_alone_by_an_upgrade(path):
    open_database(path)

    assert upgrade(path) == 1


def test_threads_read_and_write_side_by_side(path):
    database = open_database(path)
    failures = []

    def work(number):
        try:
            for turn in range(25):
                database.write(
                    lambda at, turn=turn: at.insert(
                        "sessions", ["session_id", "visitor_id", "started_at"], [(f"{number}-{turn}", "v", NOW)]
                    )
                )
                database.row("select sessions from rollup_totals")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert database.row("select sessions, unique_visitors from rollup_totals") == {
        "sessions": 200,
        "unique_visitors": 1,
    }


def test_the_connection_of_a_thread_ends_with_it(path):
    database = open_database(path)
    database.rows("select 1 as one")
    open_files = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        thread = threading.Thread(target=database.rows, args=("select 1 as one",))
        thread.start()
        thread.join()

    assert len(os.listdir("/proc/self/fd")) <= open_files + 3


def test_an_opened_database_survives_a_fork_on_both_sides(path):
    program = f"""
import os
from analytics_api import open_database

database = open_database({str(path)!r})
write = lambda name: database.write(lambda at: at.execute(
    "insert into sessions (session_id, visitor_id, started_at) values (:name, 'v', 0)", name=name))
write("before")
child = os.fork()
write("child" if child == 0 else "parent")
assert database.row("select count(*) as n from sessions")["n"] >= 2
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
write("after")
"""

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    assert [row["session_id"] for row in open_database(path).rows("select session_id from sessions order by 1")] == [
        "after",
        "before",
        "child",
        "parent",
    ]
    assert open_database(path).verify() == []


def test_it_can_be_used_again_after_it_was_closed(path):
    database = open_database(path)
    database.rows("select 1 as one")

    database.close()

    assert database.rows("select 2 as two") == [{"two": 2}]


def test_a_lock_that_another_holds_is_waited_for_only_so_long(path):
    from analytics_api.database import SQLite

    database = SQLite(path, busy_timeout=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")

    with pytest.raises(DatabaseError, match="database is locked"):
        database.write(lambda at: at.execute("delete from sessions"))

    other.execute("rollback")
    other.close()
    database.write(lambda at: at.execute("delete from sessions"))


def test_what_raises_within_a_transaction_undoes_it(path):
    database = open_database(path)

    def work(at):
        at.execute("insert into secrets (name, value) values ('a', 'b')")
        raise LookupError

    with pytest.raises(LookupError):
        database.write(work)
    with pytest.raises(LookupError):
        database.bulk(work)

    assert database.rows("select * from secrets") == []
    assert database.row("select count(*) > 20 as there from sqlite_schema where type = 'trigger'") == {"there": 1}
