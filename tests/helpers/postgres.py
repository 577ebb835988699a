"""Throw-away PostgreSQL clusters, started from the binaries that the distribution installs.

`postgresql()` and `replicated()` give a new database of ours, on a primary that all tests share and on the same with
reads through its streaming replica. Tests that break servers make a `Cluster` of their own.
"""

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from analytics_api import open_database

HOW = "PostgreSQL 15 or later and psycopg are needed: apt-get install postgresql; pip install -e '.[postgresql]'"

# For clusters that live for minutes: they are not synced to the disk, and replicas report and follow at once.
QUICK = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "max_connections": "200",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "200ms",
    "max_standby_streaming_delay": "2s",
    "hot_standby_feedback": "on",  # what a long read on a replica still sees is not cleaned away under it
}

NAMES = count(1)


class Cluster:
    """One server with its data in a temporary folder. `postgres` is its superuser, trusted from this machine."""

    def __init__(self, name="primary", **settings):
        self.name = name
        self.bin = require()
        self.folder = Path(tempfile.mkdtemp(prefix=f"analytics-{name}-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.settings = {**QUICK, "unix_socket_directories": str(self.folder), **settings}
        self.process = None
        os.chmod(self.folder, 0o755)
        shutil.chown(self.folder, server_user())
        atexit.register(self.remove)

    def create(self):
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        return self.start()

    def follow(self, primary):
        """Become a streaming replica of another cluster, under this one's name."""
        source = f"{primary.url()}?application_name={self.name}"
        self.run("pg_basebackup", "-D", self.data, "-R", "-c", "fast", "-d", source)
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
                **self.identity(),
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
        """Return when the query's one value is true."""
        until = time.monotonic() + timeout
        while self.execute(sql) != [(True,)]:
            assert time.monotonic() < until, sql
            time.sleep(0.01)

    def promote(self):
        self.execute("select pg_promote(true, 30)")

    def kill(self):
        """As kill -9 does it to every process of the server at once."""
        if self.process and self.process.poll() is None:
            pid = self.process.pid
            # not of its group, they would answer until they notice that they are alone
            children = Path(f"/proc/{pid}/task/{pid}/children")
            backends = children.read_text().split() if children.exists() else []
            os.killpg(pid, 9)
            for backend in map(int, backends):
                with suppress(ProcessLookupError):
                    os.kill(backend, 9)
            self.process.wait()

    def stop(self):
        self.run("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w")
        self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program, *arguments):
        ran = subprocess.run(
            [self.bin / program, *map(str, arguments)], capture_output=True, text=True, cwd="/", **self.identity()
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def identity(self):
        return {"user": server_user()} if os.geteuid() == 0 else {}


def require():
    """The folder of the server's binaries; without them the test is skipped, or fails where CI=true is set."""
    folder = binaries()
    if folder is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(HOW)
    return folder


@cache
def binaries():
    try:
        import psycopg  # noqa: F401
        import psycopg_pool  # noqa: F401
    except ImportError:
        return None
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    for folder in (*reversed(debian), *([Path(on_path).resolve().parent] if on_path else [])):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
            if int("".join(filter(str.isdigit, told.stdout.split()[2].split(".")[0]))) >= 15:
                return folder
    return None


def server_user():
    """Whom a server may run as: it refuses root."""
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@cache
def primary():
    return Cluster("primary").create()


@cache
def replica():
    cluster = Cluster("replica").follow(primary())
    primary().execute("alter system set synchronous_standby_names = 'replica'")
    primary().execute("select pg_reload_conf()")
    primary().wait_for("select count(*) = 1 from pg_stat_replication where sync_state = 'sync'")
    return cluster


# A database costs a tenth of a second, emptying one a tenth of that: tests share those that are whole after them.
EMPTY = """
do $$
declare
  named text;
begin
  for named in
    select relname
    from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' and relname not in ('analytics_meta', 'case_folds')
    order by relname not in ('sessions', 'events', 'leads', 'lead_submissions'), relname !~ '^past_', relname
  loop
    execute format('delete from %I', named);
  end loop;
  for named in select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'S' loop
    execute format('alter sequence %I restart', named);
  end loop;
end
$$
"""

SCHEMA = """
select
  (select string_agg(relname || ' ' || attname || ' ' || atttypid, ',' order by relname, attnum)
  from pg_class
  join pg_attribute on attrelid = pg_class.oid
  where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'S', 'i')),
  (select string_agg(tgname || ' ' || tgenabled::text, ',' order by tgname) from pg_trigger),
  (select version from analytics_meta)
"""


class Shared:
    """A database of ours that tests use one after another, opened."""

    def __init__(self, commit, replicas):
        import psycopg

        self.name = f"test_{next(NAMES)}"
        primary().execute(f"create database {self.name}")
        primary().execute(f"alter database {self.name} set synchronous_commit = {commit}")
        read_url = replicas().url(self.name) if replicas else None
        self.database = open_database(primary().url(self.name), read_url=read_url)
        self.connection = psycopg.connect(primary().url(self.name), autocommit=True)
        self.made = self.schema()
        atexit.register(self.close)

    def schema(self):
        return self.connection.execute(SCHEMA).fetchone()

    def emptied(self):
        """Whether the next test finds it as this one did."""
        try:
            self.connection.execute("set statement_timeout = '5s'")
            if self.schema() == self.made:
                self.connection.execute(EMPTY)
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
def lent(spare, commit, replicas=None):
    require()
    shared = spare.pop() if spare else Shared(commit, replicas)
    try:
        yield shared.database
    finally:
        if shared.emptied():
            spare.append(shared)
        else:
            shared.drop()


def postgresql(spare=[]):  # noqa: B006
    """A database of ours without a row."""
    return lent(spare, "local")


def replicated(spare=[]):  # noqa: B006
    """The same, read through the replica; every commit waits until it shows there."""
    return lent(spare, "remote_apply", replica)
