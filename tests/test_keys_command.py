"""`analytics-api keys`, and keys that are changed while the server runs."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from click.testing import CliRunner
from helpers.cli import run_process
from helpers.client import KEY
from helpers.server import serving, wait_for

from analytics_api import open_database
from analytics_api.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the command on the database of the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANALYTICS_DATABASE", raising=False)

    def run(*arguments, status=0):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == status, result.output
        return result.output

    return run


def test_keys_are_added_listed_and_revoked(run):
    today = datetime.now(timezone.utc).date().isoformat()
    run("init")

    wall = run("keys", "add", "wall", "--scope", "stats").strip()
    sales = run("keys", "add", "sales", "--scope", "leads:write", "--scope", "leads:read", "--expires", "2040-02-29")
    revoked = run("keys", "revoke", "wall")
    listed = run("keys", "list")

    assert wall.startswith("ana_")
    assert revoked == "key wall revoked\n"
    assert listed == (
        f"sales  {sales[:8]}…  leads:read leads:write  active, created {today}, last used never, expires 2040-02-29\n"
        f"wall  {wall[:8]}…  stats  revoked, created {today}, last used never, revoked on {today}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "wall", "--scope", "stats"], "Error: name: wall is already the name of a key"),
        (["add", "other", "--scope", "all"], "'all' is not one of 'stats', 'leads:read', 'leads:write'"),
        (["add", "other"], "Missing option '--scope'"),
        (["add", "other", "--scope", "stats", "--expires", "soon"], "'soon' is not a date YYYY-MM-DD"),
        (
            ["add", "other", "--scope", "stats", "--expires", "2020-01-01"],
            "Error: expires: 2020-01-01 is not in the future",
        ),
        (["rotate", "other"], "Error: name: there is no key named other"),
        (["rotate", "wall", "--overlap", "soon"], "'soon' is not a duration such as 1d, 12h or 30m"),
        (["rotate", "wall", "--expires", "2020-01-01"], "Error: expires: 2020-01-01 is not in the future"),
        (["revoke", "other"], "Error: name: there is no active key named other"),
        (["rotate", "gone"], "Error: name: the key gone is revoked; use `keys add` with another name"),
        (["add", "gone", "--scope", "stats"], "Error: name: the key gone is revoked; use `keys add` with another name"),
    ],
)
def test_invalid_keys_command_fails_in_one_line(run, arguments, message):
    run("keys", "add", "wall", "--scope", "stats")
    run("keys", "add", "gone", "--scope", "stats")
    run("keys", "revoke", "gone")

    output = run("keys", *arguments, status=1 if message.startswith("Error") else 2)

    assert message in output
    assert "Traceback" not in output


def test_rotated_key_is_listed_with_the_new_one(run):
    today = datetime.now(timezone.utc).date()
    run("init")
    old = run("keys", "add", "wall", "--scope", "stats").strip()

    new = run("keys", "rotate", "wall", "--overlap", "1d").strip()
    listed = run("keys", "list")

    assert listed == (
        f"wall  {old[:8]}…  stats  replaced, created {today}, last used never, expires {today + timedelta(days=1)}\n"
        f"wall  {new[:8]}…  stats  active, created {today}, last used never\n"
    )


def test_keys_list_says_that_there_are_no_named_keys(run):
    run("init")

    assert run("keys", "list") == "there are no named keys; the keys from the settings are not listed\n"


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_key_of_the_settings_is_changed_in_the_settings(run, command):
    run("init")

    output = run("keys", command, "key-1", status=1)

    assert output == (
        "Error: name: key-1 is a key from the settings; change it in ANALYTICS_API_KEY, or in the file that "
        "ANALYTICS_API_KEY_FILE names\n"
    )


def test_keys_add_prints_only_the_key_on_standard_output(tmp_path):
    ended = run_process("keys", "add", "wall", "--scope", "stats", cwd=tmp_path)

    assert re.fullmatch(r"ana_[\w-]+\n", ended.stdout)
    assert ended.stderr == f"{tmp_path}/analytics.db: created, empty\n"


def test_keys_list_creates_no_database(run, tmp_path):
    output = run("keys", "list", status=1)

    assert output.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_workers_see_added_and_revoked_keys(run, tmp_path):
    with serving(tmp_path, "--workers", "2", "--threads", "2") as server:
        wait_for(lambda: len(server.workers()) == 2)
        workers = set(server.workers())

        wall = run("keys", "add", "wall", "--scope", "stats").strip()
        added = {server.get("/analytics/geo", headers={"X-API-Key": wall})[0] for _ in range(40)}
        run("keys", "revoke", "wall")
        revoked = {server.get("/analytics/geo", headers={"X-API-Key": wall})[0] for _ in range(40)}

        assert (added, revoked) == ({200}, {401})
        assert set(server.workers()) == workers
    log = server.log.read_text()
    assert wall[8:] not in log
    assert KEY not in log
    with open_database(tmp_path / "analytics.db").closing() as database:
        assert database.rows("select name from api_keys where revoked_at is not null") == [{"name": "wall"}]
