"""Run `analytics-api` in this process or in a subprocess, and read the resulting databases."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from analytics_api.cli import main
from helpers.sqlite import make_folder

COMMAND = Path(sys.executable).with_name("analytics-api")
OUR_VARIABLES = ("ANALYTICS_", "AWS_", "CLOUDFLARE_")  # prefixes of environment variables that the package reads


def run(*arguments, status=0, **options):
    """Run the command in this process, and return its output. Fail unless it exits with `status`.

    Afterwards the environment is restored, because the command may have loaded a file `.env`.
    """
    with patch.dict(os.environ):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], **options)
    assert result.exit_code == status, result.output
    return result.output


@cache
def demo_file(sessions):
    """Return the path of a database with demo data. Tests copy it."""
    path = make_folder() / "analytics.db"
    run("demo", "-d", path, "--sessions", sessions)
    return path


def run_process(*arguments, program=(COMMAND,), cwd=None, **environ):
    """Run the command as a subprocess with a clean environment plus `environ`, and return the completed process."""
    return subprocess.run(
        [*program, *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(**environ),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def clean_environment(**environ):
    """Return the environment without the variables that the package reads, plus `environ`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)} | environ


def isolated_cwd(monkeypatch, folder):
    """Change to an empty folder, so that no `.env` is read, and remove our settings from the environment."""
    monkeypatch.chdir(folder)
    for name in os.environ:
        if name.startswith(OUR_VARIABLES):
            monkeypatch.delenv(name)


def query(path, sql, *parameters):
    """Run SQL on an SQLite file with the module sqlite3, like another program."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def read_tables(path):
    """Return the sorted rows of every table except lead_changes, the search index and scratch tables of triggers."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "select name from sqlite_schema where type = 'table' and name not glob 'lead_search*' "
            "and name not glob 'replaced_*' and name <> 'lead_changes' order by name"
        ).fetchall()
        return {table: sorted(connection.execute(f"select * from {table}").fetchall(), key=repr) for (table,) in tables}
