"""The command `analytics-api`: run in this process, or as one of its own."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

from analytics_api.cli import main

COMMAND = Path(sys.executable).with_name("analytics-api")
READ = ("ANALYTICS_", "AWS_", "CLOUDFLARE_")  # how the variables begin that mean something to us


def run(*arguments, status=0, **options):
    """What the command prints, when it ends with that status."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], **options)
    assert result.exit_code == status, result.output
    return result.output


def process(*arguments, program=(COMMAND,), cwd=None, **environ):
    """The command as a process, ended: of the environment it is given what we don't read, and what is said here."""
    return subprocess.run(
        [*program, *map(str, arguments)],
        cwd=cwd,
        env=environment(**environ),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def environment(**environ):
    return {name: value for name, value in os.environ.items() if not name.startswith(READ)} | environ


def outside(monkeypatch, folder):
    """Go where there is nothing of ours: no file .env, no database, no settings."""
    monkeypatch.chdir(folder)
    for name in os.environ:
        if name.startswith(READ):
            monkeypatch.delenv(name)


def query(path, sql, *parameters):
    """What a program finds that knows SQLite and nothing of us."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def contents(path):
    """Every table, its rows in order; not the search index's own, nor what triggers think of while they run."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "select name from sqlite_schema where type = 'table' and name not glob 'lead_search*' "
            "and name not glob 'replaced_*' order by name"
        ).fetchall()
        return {table: sorted(connection.execute(f"select * from {table}").fetchall(), key=repr) for (table,) in tables}
