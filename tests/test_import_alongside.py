"""An import that is killed, and reads and writes by other processes during an import."""

import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest
from helpers.cli import COMMAND, clean_environment, demo_file, isolated_cwd, query, read_tables, run
from helpers.server import serving, wait_for

from analytics_api import DatabaseError, open_database
from analytics_api.imports import import_database
from analytics_api.maintenance import demo

SESSIONS = 1_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return the path of an export with about 10,000 rows."""
    return write_export(tmp_path_factory.mktemp("large"), SESSIONS)


def write_export(folder, sessions):
    path = folder / "export.sql"
    plan = demo.Plan(1_771_945_200_000, sessions=sessions, seed=7)
    with path.open("w", encoding="utf-8") as file, closing(sqlite3.connect(":memory:")) as quoting:
        for table, columns in demo.COLUMNS.items():
            file.write(f"CREATE TABLE {table} ({', '.join(columns)});\n")
        for table, rows in demo.batches(plan):
            quoted = "||','||".join("quote(?)" for _ in demo.COLUMNS[table])
            for row in rows:
                (values,) = quoting.execute(f"select {quoted}", row).fetchone()
                file.write(f'INSERT INTO "{table}" VALUES({values});\n')
    return path


@pytest.fixture
def there(folder):
    """Return the path of a database with rows from another year than the export."""
    return Path(shutil.copy(demo_file(100), folder))


def importing(path):
    return subprocess.Popen(
        [COMMAND, "import", "--into-demo", path],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def is_being_written(path):
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            return True
        return False


def has_written(path):
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


@pytest.mark.parametrize("moment", [is_being_written, has_written])
def test_killed_import_changes_nothing_and_can_be_repeated(moment, large, there):
    before = read_tables(there)
    for _ in range(5):  # on a busy machine the import may end before the signal arrives
        shutil.copy(demo_file(100), there)
        killed = importing(large)
        wait_for(lambda process=killed: moment(there) or process.poll() is not None)

        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=30)
        if killed.returncode != 0:
            break
    left = read_tables(there)
    output = run("import", "--into-demo", large)

    assert killed.returncode == -signal.SIGKILL
    if left != before:  # the process was killed after its commit
        assert output.startswith(f"sessions: 0 of {SESSIONS:,} rows written, {SESSIONS:,} existing or repeated")
    assert query(there, "select sessions from day_counts where day = -1") == [(SESSIONS + 100,)]
    assert run("verify").endswith("all counters are correct\n")  # a slow check also prints its progress
    assert query(there, "pragma integrity_check") == [("ok",)]


def test_interrupted_import_changes_nothing(large, there):
    for _ in range(5):  # on a busy machine the import may end before the signal arrives
        before = read_tables(there)
        interrupted = importing(large)
        wait_for(lambda running=interrupted: is_being_written(there) or running.poll() is not None)

        interrupted.send_signal(signal.SIGINT)
        output, _ = interrupted.communicate(timeout=30)
        if interrupted.returncode != 0:
            break

    assert interrupted.returncode == 130
    assert output.strip() == "Aborted!"
    assert read_tables(there) == before


def test_server_sees_all_of_an_import_or_nothing(large, there):
    with serving(there.parent, "--workers", "1") as server:
        totals = [server.get("/analytics/overview")[1]["total_sessions"]]
        running = importing(large)
        wait_for(lambda: is_being_written(there) or running.poll() is not None)
        while running.poll() is None:
            status, overview = server.get("/analytics/overview")
            assert status == 200
            totals.append(overview["total_sessions"])
        output, _ = running.communicate()
        totals.append(server.get("/analytics/overview")[1]["total_sessions"])

    assert running.returncode == 0, output
    assert totals == sorted(totals)
    assert set(totals) == {100, SESSIONS + 100}
    assert len(totals) > 10


def test_writer_waits_for_an_import(large, there):
    """Another process writes single events, with a busy timeout of 30 seconds."""
    done = Event()
    written = []

    def track():
        with closing(sqlite3.connect(there, timeout=30, isolation_level=None)) as connection:
            while not done.is_set():
                connection.execute(
                    "insert into events (session_id, event_type, occurred_at) values ('live', 'click', 100000000000)"
                )
                written.append("live")
                time.sleep(0.005)

    tracker = Thread(target=track)
    running = importing(large)
    tracker.start()
    output, _ = running.communicate(timeout=60)
    done.set()
    tracker.join(30)

    assert running.returncode == 0, output
    assert query(there, "select count(*) from sessions") == [(SESSIONS + 100,)]
    assert query(there, "select session_id from events where session_id = 'live'") == [(row,) for row in written]
    assert len(written) > 10
    assert run("verify").endswith("all counters are correct\n")  # a slow check also prints its progress


def test_impatient_writer_gets_an_error_and_loses_nothing(there):
    with closing(sqlite3.connect(there, isolation_level=None)) as import_of_another:
        import_of_another.execute("begin immediate")
        with open_database(there).closing() as opened:
            opened.busy_timeout = 0.05
            with pytest.raises(DatabaseError) as caught:
                opened.write(lambda at: at.execute("delete from events"))

        import_of_another.execute("rollback")

    assert str(caught.value) == f"{there}: database is locked"


def test_import_into_a_busy_database_writes_nothing(large, there):
    before = read_tables(there)

    with closing(sqlite3.connect(there, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        with open_database(there).closing() as opened:
            opened.busy_timeout = 0.05
            with pytest.raises(DatabaseError) as caught:
                import_database(opened, large)
        writer.execute("rollback")

    assert str(caught.value) == f"{there}: database is locked"
    assert read_tables(there) == before


def test_concurrent_imports_run_one_after_the_other(folder, there):
    """The imports are small, because each waits at most five seconds for the other, also on a busy machine."""
    small = write_export(folder, 200)
    both = [importing(small), importing(small)]

    lines = [line for process in both for line in process.communicate(timeout=60)[0].splitlines()]
    outputs = sorted(line for line in lines if line.startswith("sessions: "))  # a slow import also prints its progress

    assert [process.returncode for process in both] == [0, 0]
    assert outputs == [
        "sessions: 0 of 200 rows written, 200 existing or repeated",
        "sessions: 200 of 200 rows written",
    ]
    assert run("verify").endswith("all counters are correct\n")  # a slow check also prints its progress
