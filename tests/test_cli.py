import pkgutil
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers.cli import COMMAND, clean_environment, demo_file, isolated_cwd, query, read_tables, run, run_process

from analytics_api import cli, open_database
from analytics_api.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def filled(folder):
    """Return the path of a database with demo data of 200 sessions."""
    return Path(shutil.copy(demo_file(200), folder))


def test_deleted_working_directory_is_an_error_in_one_line(folder):
    (folder / "release").mkdir()

    ended = subprocess.run(
        ["/bin/sh", "-c", 'rmdir ../release; exec "$@"', "sh", COMMAND, "keys", "list"],
        cwd=folder / "release",
        env=clean_environment(),
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (1, "Error: the working directory was deleted; change to another one\n")


def test_init_creates_an_empty_database_in_cwd(folder):
    output = run("init")

    assert output == f"{folder}/analytics.db: created, empty\n"
    assert query("analytics.db", "select count(*) from sessions") == [(0,)]


def test_init_reports_the_rows(folder):
    run("init")
    query(
        "analytics.db", "insert into sessions (session_id, visitor_id, started_at) values ('s1', 'v1', 1771945200000)"
    )

    assert run("init") == f"{folder}/analytics.db: 1 session, 0 events, 0 leads\n"


def test_init_does_not_change_an_existing_database(filled):
    before = read_tables(filled)

    run("init")

    assert read_tables(filled) == before


@pytest.mark.parametrize(
    ("arguments", "environ", "name"),
    [
        (["-d", "option.db"], {"ANALYTICS_DATABASE": "environment.db"}, "option.db"),
        (["--database", "option.db"], {}, "option.db"),
        ([], {"ANALYTICS_DATABASE": "environment.db"}, "environment.db"),
        ([], {"ANALYTICS_DATABASE": " "}, "analytics.db"),
        ([], {"ANALYTICS_DATABASE": ""}, "analytics.db"),
        ([], {}, "analytics.db"),
    ],
)
def test_database_option_precedes_environment_and_default(arguments, environ, name, folder):
    for command in (["init"], ["demo", "--sessions", 20], ["verify"], ["rebuild"], ["upgrade"]):
        run(*command, *arguments, env=environ)

    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["server"], "No such command 'server'. Did you mean 'serve'?"),
        (["key", "list"], "No such command 'key'. Did you mean 'keys'?"),
        (["keys", "remove", "wall"], "No such command 'remove'. Did you mean 'revoke'?"),
        (["frobnicate"], "No such command 'frobnicate'."),
    ],
)
def test_unknown_command_names_the_most_similar_one(arguments, suggestion, folder):
    assert run(*arguments, status=2).endswith(f"\nError: {suggestion}\n")


@pytest.mark.parametrize("group", [[], ["keys"]], ids=["main", "keys"])
def test_help_describes_each_command_in_one_line(group, folder):
    lines = run(*group, "--help").partition("Commands:\n")[2].splitlines()

    assert lines
    assert [line for line in lines if not line.endswith(".") or line.endswith("..")] == []


@pytest.mark.parametrize("command", ["verify", "rebuild", "upgrade"])
def test_reading_commands_do_not_create_a_database(command, folder):
    output = run(command, status=1)

    assert output == f"Error: {folder}/analytics.db: this database does not exist; `analytics-api init` creates it\n"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", ["init", "demo", "verify", "rebuild"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("create table wares (name)", "this is another program's database; `analytics-api import` can import"),
        ("pragma application_id = 1634623856; pragma user_version = 0; create table t (a)", "has version 0, older"),
        ("pragma application_id = 1634623856; pragma user_version = 99; create table t (a)", "has version 99, newer"),
    ],
)
def test_database_of_another_version_fails_in_one_line(command, content, message, folder):
    for statement in content.split(";"):
        query("analytics.db", statement)
    before = Path("analytics.db").read_bytes()

    output = run(command, status=1)

    assert output.count("\n") == 1
    assert output.startswith(f"Error: {folder}/analytics.db: ")
    assert message in output
    assert Path("analytics.db").read_bytes() == before


@pytest.mark.parametrize("command", ["init", "demo", "verify", "rebuild", "upgrade"])
def test_file_that_is_not_a_database_fails_in_one_line(command, folder):
    Path("analytics.db").write_text("Dear diary, today I stored some notes under the wrong name.\n" * 20)

    output = run(command, status=1)

    assert output.count("\n") == 1
    assert output.startswith(f"Error: {folder}/analytics.db: ")
    assert "file is not a database" in output


@pytest.mark.parametrize("command", ["init", "demo"])
def test_missing_folder_fails_in_one_line(command, folder):
    output = run(command, "-d", "nowhere/analytics.db", status=1)

    assert output == (
        f"Error: {folder}/nowhere/analytics.db: unable to open database file; "
        f"the folder {folder}/nowhere does not exist\n"
    )


@pytest.mark.parametrize("command", ["init", "demo", "verify"])
def test_database_that_is_a_folder_fails_in_one_line(command, folder):
    Path("data").mkdir()

    output = run(command, "-d", "data", status=1)

    assert output == (
        f"Error: {folder}/data: unable to open database file; "
        f"it is a folder: use the path of a file, such as {folder}/data/analytics.db\n"
    )


def test_verify_reports_that_all_counters_agree(filled):
    assert run("verify") == "all counters are correct\n"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "delete from key_counts where dimension = 3 and day = -1 and key = '40-59'",
            ["key_counts lacks {'dimension': 3, 'day': -1, 'key': '40-59'"],
        ),
        (
            "insert into key_counts (dimension, day, key, sessions) values (2, -1, 'made-up.example', 4)",
            ["key_counts should not have {'dimension': 2, 'day': -1, 'key': 'made-up.example', 'sessions': 4"],
        ),
        (
            "update day_counts set sessions = 7 where day = -1",
            ["day_counts should not have {'day': -1, 'sessions': 7,", "day_counts lacks {'day': -1, 'sessions': 200,"],
        ),
        (
            "update status_counts set leads = 99 where status = 'won'",
            ["status_counts should not have {'status': 'won', 'leads': 99}", "status_counts lacks {'status': 'won'"],
        ),
        ("insert into lead_search (lead_search) values ('delete-all')", ["lead_search is damaged"]),
    ],
)
def test_verify_names_differences_and_rebuild_fixes_them(damage, message, filled):
    before = read_tables(filled)
    query(filled, damage)

    output = run("verify", status=1)
    mended = run("rebuild")

    for difference in message:
        assert any(line.startswith(difference) for line in output.splitlines()), output
    assert len(output.splitlines()) == len(message) + 1
    assert output.endswith("Error: some counters are wrong; `analytics-api rebuild` computes them again\n")
    assert mended == f"{filled}: all counters were rebuilt\n"
    assert run("verify") == "all counters are correct\n"
    assert read_tables(filled) == before


def test_verify_shortens_a_long_list_of_differences(filled):
    query(filled, "update minute_counts set events = events + 1000")

    output = run("verify", status=1)

    assert len([line for line in output.splitlines() if line.startswith("minute_counts should not have")]) == 20
    assert len([line for line in output.splitlines() if line.startswith("minute_counts lacks")]) == 20


def test_verify_changes_nothing(filled):
    query(filled, "update day_counts set sessions = 7")
    before = read_tables(filled)

    run("verify", status=1)

    assert read_tables(filled) == before


def test_upgrade_of_current_version_changes_nothing(filled):
    before = read_tables(filled)

    output = run("upgrade")

    assert output == f"{filled} is up to date; its version was 5; nothing was changed\n"
    assert read_tables(filled) == before


def test_upgrade_reports_a_restored_trigger(filled):
    query(filled, "drop trigger session_removal")

    output = run("upgrade")

    assert output.endswith("its version was 5; schema and counters were rebuilt\n")
    assert run("verify") == "all counters are correct\n"


def test_upgrade_of_older_version_loses_no_row(folder):
    schema = (Path(__file__).parent / "data" / "schemas" / "sqlite-4.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect("analytics.db")) as connection:
        connection.executescript(schema)
        connection.execute(
            "insert into sessions (session_id, visitor_id, started_at, country) values ('s', 'v', 1771945200000, 'IN')"
        )
        connection.commit()
    before = query("analytics.db", "select session_id, visitor_id, started_at, country from sessions")
    refused = run("verify", status=1)

    output = run("upgrade")

    assert refused.endswith("this database has version 4, older than 5; run `analytics-api upgrade`\n")
    assert output == f"{folder}/analytics.db is up to date; its version was 4; schema and counters were rebuilt\n"
    assert query("analytics.db", "select session_id, visitor_id, started_at, country from sessions") == before
    assert run("verify") == "all counters are correct\n"


def test_upgrade_rejects_a_newer_version(filled):
    query(filled, "pragma user_version = 99")
    before = read_tables(filled)

    output = run("upgrade", status=1)

    assert output == f"Error: {filled}: this database has version 99, newer than 5; use a newer analytics_api\n"
    assert read_tables(filled) == before


def test_own_errors_are_one_line_without_traceback(folder):
    ended = run_process("verify", cwd=folder)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert (
        ended.stderr == f"Error: {folder}/analytics.db: this database does not exist; `analytics-api init` creates it\n"
    )


def test_results_go_to_standard_output_alone(folder):
    ended = run_process("init", cwd=folder)

    assert (ended.stdout, ended.stderr) == (f"{folder}/analytics.db: created, empty\n", "")


def test_package_can_be_run_as_a_module(folder):
    result = run_process("--version", program=[sys.executable, "-m", "analytics_api"], cwd=folder)

    assert (result.returncode, result.stdout) == (0, f"python -m analytics_api, version {version('analytics_api')}\n")


def test_commands_of_all_modules_are_listed():
    for module in pkgutil.iter_modules(cli.__path__):
        import_module(f"analytics_api.cli.{module.name}")

    assert main.list_commands(None) == sorted(main.commands)


def test_commands_start_without_the_server_and_the_imports():
    program = (
        "import sys\n"
        "from analytics_api.cli import main\n"
        "for command in ('backup', 'copy', 'export', 'init', 'keys', 'purge', 'site', 'upgrade', 'verify'):\n"
        "    main.get_command(None, command)\n"
        "print(sorted({'analytics_api.app', 'analytics_api.imports', 'tqdm', 'werkzeug'} & sys.modules.keys()))\n"
    )

    ended = run_process(program=[sys.executable, "-c", program])

    assert (ended.stderr, ended.stdout) == ("", "[]\n")


def test_every_command_and_option_has_help():
    def commands(group, *path):
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            if hasattr(command, "commands"):
                yield from commands(command, *path, name)
            else:
                yield (*path, name), command

    unsaid = [
        (*path, parameter.name)
        for path, command in commands(main)
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.help
    ]
    unsaid += [path for path, command in commands(main) if not command.help]

    assert unsaid == []


def test_closed_standard_output_is_not_an_error(folder):
    printing = subprocess.Popen(
        [COMMAND, "openapi"], cwd=folder, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    printing.stdout.close()

    with printing.stderr as errors:
        message = errors.read().decode()
    printing.wait(30)

    assert message == ""


def test_two_commands_share_a_database(filled):
    with open_database(filled).closing() as opened:
        before = opened.rows("select sessions from day_counts where day = -1")
        run("rebuild")
        after = opened.rows("select sessions from day_counts where day = -1")

    assert before == after == [{"sessions": 200}]


@pytest.mark.parametrize(
    ("command", "former", "current"),
    [
        (["storage"], ["--measure"], ["--calibrate"]),
        (["import", "access.log"], ["--assets", "css"], ["--asset-extensions", "css"]),
        (["import", "access.log"], ["--assets=css"], ["--asset-extensions=css"]),
        (["import", "access.log"], ["--bots", "alike"], ["--bots", "include"]),
        (["import", "access.log"], ["--bots", "apart"], ["--bots", "separate"]),
    ],
    ids=["measure", "assets", "assets-equals", "alike", "apart"],
)
def test_renamed_option_is_accepted_with_a_warning(command, former, current, folder):
    Path("access.log").write_text('192.0.2.1 - - [24/Feb/2026:15:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "Mozilla"\n')
    environ = {"ANALYTICS_STORAGE": "recordings"}
    Path("recordings/sessions/s1").mkdir(parents=True)
    Path("recordings/sessions/s1/1.json").touch()
    for name in ("analytics.db", "other.db"):
        run("init", "-d", name)

    expected = run(*command, *current, env=environ)
    warning, _, output = run(*command, *former, "-d", "other.db", env=environ).partition("\n")

    assert warning.startswith(f"Warning: {former[0].partition('=')[0]}")
    assert "is deprecated; use --" in warning
    assert output == expected
