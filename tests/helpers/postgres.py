"""Start temporary PostgreSQL clusters from the binaries that the distribution installs.

`new_database()` and `new_replicated_database()` lend an empty database on a primary that the tests of a process share.
The database of `new_replicated_database()` is read through a streaming replica. Tests that break a server create their
own `Cluster`.
"""

import atexit
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from helpers.server import free_port
from helpers.sqlite import live_threads, wait_for_threads

REQUIREMENTS = (
    "PostgreSQL 15 or later and psycopg are needed: apt-get install postgresql; pip install -e '.[postgresql]'"
)

# Data need not survive a crash, so fsync and full pages in the WAL are off. Replicas report often and reconnect soon.
# Each `create database` runs a checkpoint. Without wal_keep_size, the checkpoint could delete a segment of the WAL that
# a replica has not received yet. A killed server leaves its shared memory. With `mmap`, this memory is in the server's
# folder, and is deleted with it. Autovacuum is off, because it could store the statistics of an emptied table between
# two tests. PostgreSQL would then plan the statements of the next test for an empty table.
TEST_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",  # several servers share the memory
    "wal_keep_size": "16MB",
    "max_connections": "200",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "200ms",
    "max_standby_streaming_delay": "2s",
    "hot_standby_feedback": "on",  # otherwise vacuum can cancel a long read on a replica
}

NAMES = count(1)
TEMPLATE = "test_template"

# If a test leaves a pool open, the pool reports later, in the log of another test, that its database was dropped.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


class Cluster:
    """A server with its data in a temporary folder. The superuser `postgres` can connect locally without a password."""

    def __init__(self, name="primary", **settings):
        self.name = name
        self.bin = require_binaries()
        self.folder = make_folder(f"analytics-{name}-")
        self.data = self.folder / "data"
        self.port = free_port()
        self.settings = {**TEST_SETTINGS, "unix_socket_directories": str(self.folder), **settings}
        self.process = None
        os.chmod(self.folder, 0o755)
        shutil.chown(self.folder, server_user())
        atexit.register(self.remove)

    def create(self):
        run("cp", "-R", empty_cluster(), self.data)  # not by shutil, because the files must belong to the server's user
        return self.start()

    def follow(self, primary):
        """Start as a streaming replica of `primary`, with this cluster's name as its application name."""
        source = f"{primary.url()}?application_name={self.name}"
        self.run("pg_basebackup", "-D", self.data, "-R", "-c", "fast", "--no-sync", "-d", source)
        return self.start()

    def start(self):
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data, "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **identity(),
            )
        self.wait_until_up()
        return self

    def wait_until_up(self, timeout=30):
        import psycopg

        until = time.monotonic() + timeout
        while True:
            try:
                with psycopg.connect(self.url(), connect_timeout=2):
                    return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def url(self, database="postgres", user="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql, database="postgres"):
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def wait_for(self, sql, timeout=30):
        """Poll until the query returns true; fail after `timeout` seconds."""
        until = time.monotonic() + timeout
        while self.execute(sql) != [(True,)]:
            assert time.monotonic() < until, sql
            time.sleep(0.01)

    def promote(self):
        self.execute("select pg_promote(true, 30)")

    def kill(self):
        """Send SIGKILL to every process of the server at once."""
        if self.process and self.process.poll() is None:
            pid = self.process.pid
            os.kill(pid, signal.SIGSTOP)  # stop the postmaster, so that it starts no more backends
            # Backends have their own process groups, and continue until they notice that the postmaster has exited.
            children = Path(f"/proc/{pid}/task/{pid}/children")
            backends = children.read_text().split() if children.exists() else []
            os.killpg(pid, 9)
            for backend in map(int, backends):
                with suppress(ProcessLookupError):
                    os.kill(backend, 9)
            self.process.wait()
            until = time.monotonic() + 30
            while any(is_running(backend) for backend in backends):  # a new server needs their shared memory
                assert time.monotonic() < until, backends
                time.sleep(0.01)

    def stop(self):
        self.run("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w")
        self.process.wait()

    def remove(self):
        if self.process and self.process.poll() is None:
            # The server then removes its System V shared memory. A machine has a limited number of these segments.
            self.process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program, *arguments):
        """Run a program of PostgreSQL."""
        run(self.bin / program, *arguments)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def run(program, *arguments):
    """Run a program as the servers' user. If it fails, the error contains its output."""
    ran = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, cwd="/", **identity())
    assert ran.returncode == 0, ran.stdout + ran.stderr


def make_folder(prefix):
    """Return a new folder in the parent of the folders of pytest, which are in memory if enough memory is free."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))


def identity():
    return {"user": server_user()} if os.geteuid() == 0 else {}


@cache
def empty_cluster():
    """Return the data directory of a new cluster. Copying it takes a tenth of the time of `initdb`."""
    folder = make_folder("analytics-initdb-")
    atexit.register(shutil.rmtree, folder)
    shutil.chown(folder, server_user())
    options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N", "--wal-segsize", "1")
    run(require_binaries() / "initdb", "-D", folder / "data", *options)
    return folder / "data"


def require_binaries():
    """Return the folder of the server's binaries. If there are none, skip the test, or fail it if `CI=true` is set."""
    folder = find_binaries()
    if folder is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(REQUIREMENTS)
    return folder


@cache
def find_binaries():
    """Return the folder of the `initdb` on the PATH, or of the newest one that Debian installed, or None.

    PostgreSQL must be 15 or later.
    """
    try:
        import psycopg  # noqa: F401
        import psycopg_pool  # noqa: F401
    except ImportError:
        return None
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    for folder in (*([Path(on_path).resolve().parent] if on_path else []), *reversed(debian)):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            version = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
            if int("".join(filter(str.isdigit, version.stdout.split()[2].split(".")[0]))) >= 15:
                return folder
    return None


def server_user():
    """Return the user that runs the server. PostgreSQL does not run as root."""
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@cache
def primary():
    """Return the primary that the tests of this process share."""
    return Cluster("primary").create()


@cache
def replica():
    """Return the synchronous replica of `primary()`."""
    cluster = Cluster("replica").follow(primary())
    primary().execute("alter system set synchronous_standby_names = 'replica'")
    primary().execute("select pg_reload_conf()")
    primary().wait_for("select count(*) = 1 from pg_stat_replication where sync_state = 'sync'")
    return cluster


# Checksums of the names of tables, columns, indexes, sequences and triggers, and the sizes of the planner's statistics.
# With the statistics of an earlier test, PostgreSQL may choose other plans.
SELECT_SCHEMA = """
(select sum(hashtextextended(concat_ws(' ', relname, attname, atttypid), 0))
from pg_class
join pg_attribute on attrelid = pg_class.oid
where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'S', 'i') and attnum > 0),
(select sum(hashtextextended(concat_ws(' ', tgname, tgenabled), 0)) from pg_trigger),
(select sum(reltuples) from pg_class where relnamespace = 'public'::regnamespace),
(select count(*) from pg_stats where schemaname = 'public')
"""

# A checksum of the rows of a table in any order. It takes a twentieth of the time of comparing the rows as text.
SELECT_CHECKSUM = """
(select (count(*), sum(hash_record_extended({table}, 0)))::text from {table})
"""

# The tables of the settings of the site. Purges change them, too.
SITE = ("site", "site_offsets")

SELECT_SITE = f"select {', '.join(f'(select json_agg({table}) from {table})::text' for table in SITE)}"

RESTORE = """
insert into {table}
select *
from json_populate_recordset(null::{table}, %s)
"""

# Deletion is faster than truncation, but keeps the table's pages, which later scans would read. Therefore, tables of
# more than a megabyte are truncated.
DELETE = """
if pg_relation_size('{table}') > 1048576 then
  truncate {table};
else
  delete from {table};
end if;
"""

RESTART_SEQUENCES = """
perform setval(seqrelid, seqstart, false)
from pg_sequence
join pg_class on oid = seqrelid
where relnamespace = 'public'::regnamespace;
"""

# Whether another connection is in a transaction. The server finishes the statement of a client that was killed, so the
# transaction may end after the test.
IS_IN_USE = """
select count(*) > 0
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
"""

SELECT_TABLES = """
select relname,
  (xpath('/row/c/text()', query_to_xml('select count(*) as c from ' || relname, false, true, '')))[1]::text::bigint
from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r'
"""


@cache
def create_template():
    """Create an empty database to copy, and return its tables, with the number of rows of each.

    Copying takes a third of the time of creating a schema.
    """
    from analytics_api.database.postgresql import PostgreSQL

    primary().execute(f"create database {TEMPLATE}")
    PostgreSQL(primary().url(TEMPLATE), wait=60.0).close()
    return dict(primary().execute(SELECT_TABLES, TEMPLATE))


def delete_all_body():
    """Return the body of a function that deletes all rows except the rows that a new database has.

    Triggers must be disabled, because the function empties the counters itself, like every other table.
    """
    deletes = (DELETE.format(table=table) for table, rows in create_template().items() if not rows)
    return f"begin {''.join(deletes)} {RESTART_SEQUENCES} end"


def delete_all(at):
    at.execute(f"do $$ begin set local session_replication_role = replica; {delete_all_body()}; end $$")


class ReusableDatabase:
    """An open database that several tests use one after another.

    Copying the template takes 100 ms, and emptying a used database a fiftieth of that.
    """

    def __init__(self, commit, replicas):
        import psycopg

        from analytics_api.database.postgresql import PostgreSQL

        create_template()
        self.name = f"test_{next(NAMES)}"
        primary().execute(f"create database {self.name} template {TEMPLATE} strategy file_copy")
        primary().execute(f"alter database {self.name} set synchronous_commit = {commit}")
        read_url = replicas().url(self.name) if replicas else None
        # A busy machine may take longer than the default 5 s to connect.
        self.database = PostgreSQL(primary().url(self.name), read_url=read_url, wait=60.0)
        self.connection = psycopg.connect(
            primary().url(self.name),
            autocommit=True,
            options="-c session_replication_role=replica -c statement_timeout=5s",  # `replica` disables triggers
        )
        # The connection keeps this temporary function, so that PostgreSQL plans its statements only once.
        self.connection.execute(
            f"create function pg_temp.delete_all() returns void language plpgsql as $$ {delete_all_body()} $$"
        )
        self.state = self.read_state()
        self.site = self.read_site()
        atexit.register(self.close)

    def read_state(self):
        unstable = ("lead_changes_end", *SITE)  # the position in the feed of changes only increases
        tables = [table for table, rows in create_template().items() if rows and table not in unstable]
        checksums = [SELECT_CHECKSUM.format(table=table) for table in tables]
        return self.connection.execute(f"select {', '.join([SELECT_SCHEMA, *checksums])}").fetchone()

    def read_site(self):
        return self.connection.execute(SELECT_SITE).fetchone()

    def restore_site(self):
        for table, rows in zip(SITE, self.site):
            self.connection.execute(f"delete from {table}")
            self.connection.execute(RESTORE.format(table=table), [rows])

    def wait_until_unused(self, timeout=1):
        """Wait until no other connection is in a transaction. A pool ends transactions in a thread of its own."""
        until = time.monotonic() + timeout
        while self.connection.execute(IS_IN_USE).fetchone() == (True,):
            if time.monotonic() > until:
                raise TimeoutError
            time.sleep(0.01)

    def reset(self):
        """Delete all rows, and restore the settings of the site.

        Return False if the database is in use, or if its schema, the planner's statistics or the initial rows of other
        tables were changed.
        """
        try:
            self.wait_until_unused()
            if self.read_state() == self.state:
                self.connection.execute("select pg_temp.delete_all()")
                if self.read_site() != self.site:
                    self.restore_site()
                return True
        except Exception:
            pass
        return False

    def close(self):
        self.database.close()
        self.connection.close()

    def drop(self):
        self.close()
        atexit.unregister(self.close)
        primary().execute(f"drop database {self.name} with (force)")


@contextmanager
def borrow(spare, commit, replicas=None):
    """Yield a database from `spare`, or a new one, and return it to `spare` after the block.

    If a thread of the test still runs, drop the database instead, because that thread may write to it in the next test.
    """
    require_binaries()
    reusable = spare.pop() if spare else ReusableDatabase(commit, replicas)
    threads = live_threads()
    try:
        yield reusable.database
    finally:
        if wait_for_threads(threads) and reusable.reset():
            spare.append(reusable)
        else:
            reusable.drop()


def new_database(spare=[]):  # noqa: B006
    """Yield an empty database."""
    return borrow(spare, "local")


def new_replicated_database(spare=[]):  # noqa: B006
    """Yield an empty database with reads from the replica. Each commit waits until the replica has applied it."""
    return borrow(spare, "remote_apply", replica)
