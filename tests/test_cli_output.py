"""Commands write an output file completely or not at all, and only its owner can read it."""

import gzip
import os
import shutil
import signal
import stat
import subprocess
from threading import Thread

import pytest
from helpers.cli import COMMAND, clean_environment, isolated_cwd, run, run_process
from helpers.server import wait_for

TABLE = ("export", "sessions", "--format", "csv")
SMALL_FILES = ("/bin/sh", "-c", 'ulimit -f 128; exec "$@"', "sh", COMMAND)  # 128 blocks of 512 bytes
FULL_DISK = ": disk I/O error; check the disk, its quotas and the limit of the size of files\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "analytics.db"
    run("demo", "--sessions", 900, "-d", path)
    return path


@pytest.fixture(autouse=True)
def folder(demo, tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    shutil.copy(demo, tmp_path)
    return tmp_path


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_output_is_the_text_of_standard_output(folder):
    run(*TABLE, "--output", "out.csv")

    assert (folder / "out.csv").read_text() == run_process(*TABLE, cwd=folder).stdout


@pytest.mark.parametrize(("name", "format"), [("out.csv.gz", "csv"), ("out.ndjson.gz", "ndjson"), ("OUT.GZ", "ndjson")])
def test_output_with_a_name_of_gzip_is_compressed(name, format, folder):
    run("export", "sessions", "--output", name)

    plain = run_process("export", "sessions", "--format", format, cwd=folder).stdout
    with gzip.open(folder / name, "rt") as file:
        assert file.read() == plain


def test_output_follows_a_link(folder):
    (folder / "target.csv").write_text("old")
    (folder / "link.csv").symlink_to("target.csv")

    run(*TABLE, "--output", "link.csv")

    assert (folder / "link.csv").is_symlink()
    assert (folder / "target.csv").read_text().startswith("session_id,")


def test_output_makes_the_target_of_a_dangling_link(folder):
    (folder / "link.csv").symlink_to("target.csv")

    run(*TABLE, "--output", "link.csv")

    assert not (folder / "target.csv").is_symlink()
    assert (folder / "target.csv").read_text().startswith("session_id,")


@pytest.mark.parametrize("name", ["analytics.db", "./analytics.db", "link.db", "analytics.db-wal"])
def test_output_never_replaces_the_database(folder, name):
    (folder / "link.db").symlink_to("analytics.db")

    output = run(*TABLE, "--output", name, status=1)

    assert output == f"Error: --output {name} is the database\n"
    assert run(*TABLE).count("\n") == 901


def test_output_never_replaces_the_log_of_a_linked_database(folder):
    (folder / "link.db").symlink_to("analytics.db")

    output = run(*TABLE, "-d", "link.db", "--output", "analytics.db-wal", status=1)

    assert output == "Error: --output analytics.db-wal is the database\n"


def test_output_writes_into_a_pipe(folder):
    os.mkfifo(folder / "pipe")
    texts = []
    reader = Thread(target=lambda: texts.append((folder / "pipe").read_text()), daemon=True)
    reader.start()

    run(*TABLE, "--output", "pipe")
    reader.join(30)

    assert texts[0].count("\n") == 901
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_output_writes_into_a_device(folder):
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    run(*TABLE, "--output", "null")

    assert stat.S_ISCHR(os.stat("null").st_mode)


@pytest.mark.parametrize("old", [0o600, 0o640, 0o644])
def test_output_keeps_the_mode_of_a_file(folder, old):
    (folder / "out.csv").touch()
    os.chmod("out.csv", old)

    run(*TABLE, "--output", "out.csv")

    assert mode("out.csv") == old


@pytest.mark.parametrize(
    "command", [[*TABLE, "--output"], ["backup"], ["init", "-d"]], ids=["export", "backup", "init"]
)
def test_new_files_are_private(folder, command):
    umask = os.umask(0o022)
    try:
        run(*command, "new")
    finally:
        os.umask(umask)

    assert mode("new") == 0o600


def test_umask_for_groups_lets_the_group_write_the_database(folder):
    umask = os.umask(0o007)
    try:
        run("init", "-d", "shared.db")
    finally:
        os.umask(umask)

    assert mode("shared.db") == 0o660


@pytest.mark.parametrize(
    ("command", "error"),
    [([*TABLE, "--output"], ": File too large\n"), (["backup"], FULL_DISK)],
    ids=["export", "backup"],
)
def test_full_disk_fails_in_one_line_and_leaves_no_file(folder, command, error):
    before = sorted(os.listdir(folder))

    result = run_process(*command, "new", program=SMALL_FILES, cwd=folder)

    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"Error: new{error}")
    assert [name for name in sorted(os.listdir(folder)) if not name.endswith(("-wal", "-shm"))] == before


def test_limit_of_the_file_size_is_named_as_a_cause(folder):
    copy = run_process("copy", "analytics.db", "new.db", program=SMALL_FILES, cwd=folder)

    assert copy.stderr.endswith(f"Error: {folder}/new.db{FULL_DISK}")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["bad.csv"], "rejects.tsv: cannot be written"),
        (["--format", "sqlite", "-"], "standard input: cannot be copied to a temporary file"),
    ],
    ids=["rejects", "temporary"],
)
def test_full_disk_during_an_import_fails_in_one_line(folder, options, error):
    row = f"s,v,never,{'x' * 1_000_000}\n"
    (folder / "bad.csv").write_text("session_id,visitor_id,started_at,entry_page\n" + 3 * row)
    run("init", "-d", "new.db")
    two_megabytes = ("/bin/sh", "-c", 'ulimit -f 4096; exec "$@" <bad.csv', "sh", COMMAND)

    result = run_process("import", "-d", "new.db", *options, program=two_megabytes, cwd=folder)

    assert (result.returncode, result.stderr) == (1, f"Error: {error}: File too large\n")


@pytest.mark.parametrize("name", ["new", "new.gz"])
def test_failed_export_leaves_the_old_file(name, folder):
    (folder / name).write_text("precious")

    result = run_process("export", "events", "--output", name, program=SMALL_FILES, cwd=folder)

    assert (result.returncode, result.stderr) == (1, f"Error: {name}: File too large\n")
    assert (folder / name).read_text() == "precious"
    assert not list(folder.glob(".export-*"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", [TABLE, ["verify"]], ids=["export", "verify"])
def test_full_standard_output_fails_in_one_line(folder, command):
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [COMMAND, *command], cwd=folder, stdout=full, stderr=subprocess.PIPE, env=clean_environment(), timeout=60
        )

    assert (result.returncode, result.stderr) == (1, b"Error: standard output: No space left on device\n")


def test_output_in_an_unknown_folder_fails_in_one_line():
    assert run(*TABLE, "--output", "nowhere/out.csv", status=1) == "Error: nowhere/out.csv: No such file or directory\n"


def test_empty_output_name_is_an_error():
    assert run(*TABLE, "--output", "", status=1) == "Error: the name of the output file is empty\n"


def test_backup_in_an_unknown_folder_fails_in_one_line():
    assert run("backup", "nowhere/out.db", status=1) == "Error: nowhere/out.db: No such file or directory\n"


def test_command_ends_when_its_output_pipe_is_closed(folder):
    os.mkfifo(folder / "pipe")
    reader = subprocess.Popen(["/bin/sh", "-c", ": <pipe"], cwd=folder)

    result = run_process(*TABLE, "--output", "pipe", cwd=folder)
    reader.wait(30)

    assert result.returncode in (0, 1)
    assert result.stderr.count("\n") <= 1


@pytest.mark.parametrize(
    ("redirection", "command"),
    [
        ("<&-", ["purge", "--before", "2000-01-01"]),
        ("<&-", ["import", "--into-demo", "-"]),
        (">&-", TABLE),
        ("2>&-", ["verify"]),
    ],
    ids=["purge", "import", "export", "verify"],
)
def test_closed_stream_is_like_the_null_device(folder, redirection, command):
    program = ("/bin/sh", "-c", f'exec "$@" {redirection}', "sh", COMMAND)

    result = run_process(*command, program=program, cwd=folder)

    assert (result.returncode, result.stderr) == (0, "")


def test_stop_signal_deletes_temporary_files(folder):
    temporary = folder / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        [COMMAND, "import", "--into-demo", "-"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(TMPDIR=str(temporary)),
    ) as process:
        try:
            # The command writes these lines to a temporary file, and then waits for more.
            process.stdin.write(b"CREATE TABLE leads (lead_id);\n" + b"--\n" * 2_000)
            process.stdin.flush()
            wait_for(lambda: os.listdir(temporary))
            process.terminate()
            status = process.wait(30)
        finally:
            process.kill()

    assert (status, os.listdir(temporary)) == (-signal.SIGTERM, [])
