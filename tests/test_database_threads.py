import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from helpers.sqlite import new_database_in

from analytics_api.database.sqlite import SQLite
from analytics_api.errors import DatabaseError

EVENT = """
insert into events (session_id, event_type, page_url, occurred_at)
values (:session, 'page_view', '/', 1771945200123)
"""
EVENTS = "select coalesce(sum(events), 0) as events from event_counts where day = -1"


@pytest.fixture
def database(tmp_path):
    with new_database_in(tmp_path) as database:
        yield database


def write(database, session="s"):
    database.write(lambda at: at.execute(EVENT, session=session))


def descriptors(database):
    """Return the number of this process's open files that belong to the database."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("only Linux tells which files are open")
    paths = []
    for descriptor in folder.iterdir():
        try:
            paths.append(os.readlink(descriptor))
        except FileNotFoundError:  # the descriptor of the directory listing itself
            continue
    return sum(path.startswith(database.url) for path in paths)


def test_threads_read_and_write_without_loss(database):
    together = threading.Barrier(8)

    def work(number):
        together.wait()
        pairs = []
        for _ in range(25):
            write(database, f"s{number}")
            pairs.append(database.read(lambda at: (at.row(EVENTS), at.row("select count(*) as events from events"))))
        return pairs

    with ThreadPoolExecutor(8) as threads:
        reads = [pair for pairs in threads.map(work, range(8)) for pair in pairs]

    assert all(rolled == counted for rolled, counted in reads)
    assert database.row(EVENTS) == {"events": 200}
    assert database.row("select views, sessions from pages") == {"views": 200, "sessions": 8}
    assert database.verify() == []


def test_read_sees_one_snapshot_while_others_write(database):
    write(database)

    def twice(at):
        before = at.row(EVENTS)
        other = threading.Thread(target=write, args=[database])
        other.start()
        other.join()
        return before, at.row(EVENTS)

    assert database.read(twice) == ({"events": 1}, {"events": 1})
    assert database.row(EVENTS) == {"events": 2}


@pytest.mark.parametrize("method", ["sweep_caches", "close"])
def test_thread_opens_a_connection_during_a_loop_over_all(database, method):
    is_done = threading.Event()

    def read(is_read):
        database.rows(EVENTS)
        is_read.set()
        is_done.wait()

    def open_connection():
        is_read = threading.Event()
        threading.Thread(target=read, args=[is_read]).start()
        is_read.wait()

    def open_at_each_line(frame, event, _):
        if event == "line" and "weakref" in frame.f_code.co_filename:
            open_connection()
        return open_at_each_line

    former = sys.gettrace()
    sys.settrace(open_at_each_line)
    try:
        getattr(database, method)()
    finally:
        sys.settrace(former)
        is_done.set()

    assert database.row(EVENTS) == {"events": 0}


def test_thread_end_closes_its_connection(database):
    def ask():
        thread = threading.Thread(target=database.row, args=[EVENTS])
        thread.start()
        thread.join()

    database.close()  # closes this thread's connection
    ask()
    assert descriptors(database) == 0
    database.row(EVENTS)
    ask()
    beside = descriptors(database)  # SQLite keeps a descriptor open while another connection holds a lock on the file

    for _ in range(20):
        ask()

    assert descriptors(database) == beside


def test_close_closes_connections_of_all_threads(database):
    ready, done = threading.Barrier(5), threading.Event()
    results = []

    def work():
        database.row(EVENTS)
        ready.wait()
        done.wait()
        results.append(database.row(EVENTS))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()

    database.close()

    assert descriptors(database) == 0
    done.set()
    for thread in threads:
        thread.join()
    assert results == [{"events": 0}] * 4
    write(database)
    assert database.row(EVENTS) == {"events": 1}


def test_close_breaks_no_running_statement(database):
    stop = threading.Event()
    written = []

    def work():
        while not stop.is_set():
            write(database)
            written.append(database.row(EVENTS))

    with ThreadPoolExecutor(3) as threads:
        working = [threads.submit(work) for _ in range(3)]
        for _ in range(50):
            database.close()
        stop.set()
        for one in working:
            one.result()

    assert database.row(EVENTS) == {"events": len(written)}
    assert database.verify() == []


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore")  # Python warns about a fork while there are threads, which this test needs
from analytics_api.database.sqlite import SQLite
EVENT = '''
insert into events (session_id, event_type, page_url, occurred_at)
values (:session, 'page_view', '/', 1771945200123)
'''
def write(session):
    database.write(lambda at: at.execute(EVENT, session=session))
def events():
    return database.row("select coalesce(sum(events), 0) as events from event_counts where day = -1")["events"]
database = SQLite(sys.argv[1])
for _ in range(3):
    write("parent")
import threading
ready, over = threading.Event(), threading.Event()
def other():  # whose connection the children inherit too, though not its thread
    write("thread"); ready.set(); over.wait()
thread = threading.Thread(target=other); thread.start(); ready.wait()
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        assert events() >= 4
        for _ in range(10):
            write(f"child {number}")
        database.verify() and sys.exit("a counter is wrong")
        if number == 0:
            os._exit(0)  # child processes of multiprocessing end in this way
        if number == 1:
            database.close()
        sys.exit(0)
    children.append(child)
for _ in range(10):
    write("parent"); events()
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
write("parent")
assert events() == 3 + 1 + 3 * 10 + 10 + 1
over.set(); thread.join()
assert database.verify() == []
database.close()
print("well")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_database_works_across_forks(database):
    ran = subprocess.run([sys.executable, "-c", FORKED, database.url], capture_output=True, text=True, timeout=60)

    assert (ran.stdout, ran.stderr, ran.returncode) == ("well\n", "", 0)
    assert database.row(EVENTS) == {"events": 45}
    assert database.rows("pragma integrity_check") == [{"integrity_check": "ok"}]
    assert database.verify() == []


INHERITED = """
import os, sys
from analytics_api.database.sqlite import SQLite
database = SQLite(sys.argv[1])
EVENT = "insert into events (session_id, event_type, occurred_at) values ('s', 'e', 1771945200123)"
database.write(lambda at: at.execute(EVENT))
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    os.read(reading, 1)  # until the parent has gone
    database.write(lambda at: at.execute(EVENT))
    sys.exit(0)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_child_survives_the_opening_process(database):
    ran = subprocess.run([sys.executable, "-c", INHERITED, database.url], capture_output=True, text=True, timeout=60)

    # run() returns only after the child has exited, because the child has both outputs open.
    assert ran.stderr == ""
    assert database.row(EVENTS) == {"events": 2}
    assert database.rows("pragma integrity_check") == [{"integrity_check": "ok"}]


HOLDING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
sys.stdin.readline()
"""


def test_lock_is_an_error_after_the_busy_timeout(tmp_path):
    path = tmp_path / "analytics.db"
    with SQLite(path, busy_timeout=0.05).closing() as database:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDING, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(DatabaseError) as refused:
            write(database)
        read = database.row(EVENTS)
        holder.communicate("\n")
        write(database)

        assert str(refused.value) == f"{path}: database is locked"
        assert read == {"events": 0}
        assert database.row(EVENTS) == {"events": 1}


def test_released_lock_is_acquired(database):
    with closing(sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        release = threading.Timer(0.1, other.execute, ["rollback"])
        release.start()

        write(database)

        release.join()
    assert database.row(EVENTS) == {"events": 1}


BUSY = """
import itertools, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for number in itertools.count():
    connection.execute("begin immediate")
    for _ in range(50):
        connection.execute("insert into events (session_id, event_type, occurred_at) values ('s', 'e', 1771945200123)")
    connection.execute("commit")
    if number == 0:
        print("at it", flush=True)
"""


def test_busy_writers_do_not_starve_one(database):
    writer = subprocess.Popen([sys.executable, "-c", BUSY, database.url], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "at it\n"

    try:
        for number in range(10):
            write(database, f"mine {number}")
    finally:
        writer.kill()
        writer.communicate()

    assert database.row("select sessions from pages") == {"sessions": 10}
    assert database.verify() == []
