"""Lend one SQLite database to many tests. `new_database()` yields an empty one.

Emptying a database takes a fifth of the time of opening a new one, for which SQLite must parse the schema and compile
the triggers again.
"""

import atexit
import os
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from analytics_api import open_database

SELECT_SCHEMA = """
select schema_version, application_id, user_version, secure_delete, journal_mode
from pragma_schema_version, pragma_application_id, pragma_user_version, pragma_secure_delete, pragma_journal_mode
"""

SELECT_TABLES = """
select name
from pragma_table_list
where schema = 'main' and type = 'table' and name not like 'sqlite\\_%' escape '\\'
"""

# If a test inserted more rows than this, opening a new database is faster than deleting them, which runs triggers.
MAX_DELETED = 500

# For each table that has rows in a new database, a query that shows whether they changed. case_folds has thousands of
# rows, so its query returns only a checksum.
FILLED = {
    "site": "select * from site",
    "site_offsets": "select * from site_offsets",
    "case_folds": "select sum(unicode(letter) * unicode(folded)) from case_folds",
}


def make_folder():
    """Return a new folder in the parent of the folders of pytest. It is deleted when this process exits."""
    folder = tempfile.mkdtemp(prefix="analytics-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def empty_file():
    """Return the path of an empty database. Copying it is faster than creating the schema in every test."""
    path = make_folder() / "analytics.db"
    open_database(path).close()
    return path


@cache
def list_tables():
    """Return the names of the tables. Listing them takes a third of the time of opening a database."""
    with open_database(empty_file()).closing() as database:
        return [name for (name,) in database.tuples(SELECT_TABLES)]


def count_rows(at):
    """Return the number of rows of each table."""
    counts = at.tuples(" union all ".join(f"select count(*) from {table}" for table in list_tables()))
    return [count for (count,) in counts]


def delete_all(at):
    """Delete all rows except the rows that a new database has."""
    for _ in range(2):  # the second time, delete the rows that triggers have inserted
        for table, count in zip(list_tables(), count_rows(at)):
            if count and table not in FILLED:
                at.execute(f"delete from {table}")


class ReusableDatabase:
    """An open database that several tests use one after another."""

    def __init__(self):
        self.folder = make_folder()
        self.database = open_database(shutil.copy(empty_file(), self.folder))
        self.rows = self.read_rows(self.database)
        self.state = self.read_state()

    def read_rows(self, at):
        """Return the number of rows of each table, and the results of the queries in FILLED."""
        return count_rows(at), [at.tuples(sql) for sql in FILLED.values()]

    def read_state(self):
        """Return the state that a test can change besides rows: the schema, the files, and the object's attributes."""
        attributes = {name: value for name, value in vars(self.database).items() if not name.startswith("_")}
        file = self.database.path.stat()
        files = {path.name for path in self.folder.iterdir()}
        return self.database.tuples(SELECT_SCHEMA), attributes, file.st_ino, file.st_mode, files

    def reset(self, threads):
        """Delete all rows.

        Return False if the test changed other state, left a thread that is not in `threads`, or inserted many rows.
        """
        try:
            if self.read_state() == self.state and wait_for_threads(threads):
                if sum(count_rows(self.database)) > sum(self.rows[0]) + MAX_DELETED:
                    return False
                self.database.write(self.delete_all)
                self.database.response_cache().clear()
                return True
        except Exception:
            pass
        return False

    def delete_all(self, at):
        delete_all(at)
        at.execute("insert into lead_search (lead_search) values ('rebuild')")
        assert self.read_rows(at) == self.rows

    def close(self):
        self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def live_threads():
    """Return the threads that may write to a database.

    The threads of a psycopg pool only open connections, and a timer of an application only deletes stored responses.
    """
    return {
        thread
        for thread in threading.enumerate()
        if not (thread.name.startswith(("cache-sweeper", "pool-")) or isinstance(thread, threading.Timer))
    }


def wait_for_threads(earlier):
    """Wait until the threads that a test started have ended. Return False if one of them runs for longer than 1 s."""
    until = time.monotonic() + 1
    while not live_threads() <= earlier:  # some may not have started yet, and such a thread cannot be joined
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


@contextmanager
def new_database(spare=[]):  # noqa: B006
    """Yield an empty database. It is one that an earlier test used, or a new one."""
    reusable = spare.pop() if spare else ReusableDatabase()
    threads = live_threads()
    try:
        yield reusable.database
    finally:
        if reusable.reset(threads):
            spare.append(reusable)
        else:
            reusable.close()


def new_database_in(folder):
    """Yield an empty database in the file `analytics.db` of a folder."""
    return open_database(shutil.copy(empty_file(), folder)).closing()
