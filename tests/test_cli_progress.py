import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from helpers.cli import COMMAND, clean_environment, run, run_process

from analytics_api.cli import progress
from analytics_api.cli.progress import Progress

# The command without the delays of the progress display, so that the display also appears for short commands.
HASTY = """
from analytics_api import cli
from analytics_api.cli import progress
progress.SECONDS_BEFORE_BAR = progress.SECONDS_BETWEEN_LINES = 0
cli.main()
"""


def on_a_terminal(folder, *command):
    """Run a command in a terminal of 80 columns, and return its standard output and standard error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    running = subprocess.Popen(
        list(map(str, command)), cwd=folder, env=clean_environment(), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # the process has closed the terminal
        pass
    os.close(ours)
    assert running.wait(30) == 0, shown
    return shown.decode()


@pytest.fixture
def dump(tmp_path):
    """Return the path of an export with 2,000 sessions."""
    lines = ["CREATE TABLE sessions (session_id TEXT PRIMARY KEY, visitor_id TEXT, started_at INTEGER);"]
    lines += [f"INSERT INTO sessions VALUES('s{n}','v',1771945200000);" for n in range(2000)]
    path = tmp_path / "export.sql"
    path.write_text("\n".join(lines))
    return path


def test_long_work_shows_a_bar_on_a_terminal(tmp_path):
    shown = on_a_terminal(tmp_path, sys.executable, "-c", HASTY, "demo", "--sessions", 200)

    assert re.search(r"sessions: +\d+%\|.*\| \d.*sessions/s\]", shown)
    assert re.search(r"sessions: 100%\|.*\| 200/200 ", shown)


def test_quick_work_prints_only_its_result_on_a_terminal(tmp_path):
    shown = on_a_terminal(tmp_path, COMMAND, "demo", "--sessions", 20)

    assert re.fullmatch(rf"{tmp_path}/analytics\.db has \d+ generated rows up to now\r\n", shown)


def test_long_work_prints_lines_without_a_terminal(tmp_path, dump):
    ended = run_process("import", dump, program=[sys.executable, "-c", HASTY], cwd=tmp_path)

    lines = [re.sub(r"[\d,.]+ a second|, [\d,]+ s left", "…", line) for line in ended.stderr.splitlines()]

    assert ended.stdout == "sessions: 2,000 of 2,000 rows written\n"
    assert all(line.isprintable() for line in lines)
    assert lines[-1].startswith("counting: ")
    assert lines[-1].endswith(" counters, …")


def test_quick_command_prints_only_its_result_without_a_terminal(tmp_path, dump, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("init")
    run("init", "-d", "copy.db")

    assert run("import", dump) == "sessions: 2,000 of 2,000 rows written\n"
    assert run("verify") == "all counters are correct\n"
    assert run("rebuild") == f"{tmp_path}/analytics.db: all counters were rebuilt\n"
    assert run("copy", "analytics.db", "copy.db").startswith("sessions: 2,000 rows\n")
    assert run("demo", "-d", "demo.db", "--sessions", 20).endswith(" generated rows up to now\n")


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)


def lines(capsys):
    """Return the lines on standard error, with times and rates replaced by N."""
    return [re.sub(r"\d[\d,]* (a second|s left)", r"N \1", line) for line in capsys.readouterr().err.splitlines()]


def test_progress_line_has_count_total_rate_and_remaining(hasty, capsys):
    with Progress("writing", 40_000, "rows") as work:
        work.add(10_000)
        work.add(10_000)
        work.add(20_000)

    assert lines(capsys) == [
        "writing: 20,000 rows of 40,000 (50%), N a second, N s left",
        "writing: 40,000 rows of 40,000 (100%), N a second",
    ]


def test_progress_line_without_total_has_the_count(hasty, capsys):
    with Progress("checking", None, "counters") as work:
        work.step("day_counts")
        work.step("key_counts")

    assert lines(capsys) == ["checking: 2 counters, N a second"]


def test_progress_total_may_become_known_later(hasty, capsys):
    with Progress("writing", None, "rows") as work:
        work.add(10_000, 20_000)
        work.add(5_000, 20_000)

    assert lines(capsys) == ["writing: 15,000 rows of 20,000 (75%), N a second, N s left"]


def test_progress_is_silent_for_the_first_seconds(capsys):
    with Progress("writing", 20_000, "rows") as work:
        work.add(10_000)
        work.add(10_000)

    assert lines(capsys) == []


def test_reported_work_is_reported_at_its_end(monkeypatch, capsys):
    with Progress("copying", None, "rows") as work:
        work.add(1)
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
        work.add(2)
        monkeypatch.undo()
        work.add(3)

    assert lines(capsys) == ["copying: 3 rows, N a second", "copying: 6 rows, N a second"]


def test_failed_work_reports_no_end(monkeypatch, capsys):
    def fail():
        with Progress("copying", None, "rows") as work:
            work.add(1)
            monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
            work.add(2)
            monkeypatch.undo()
            work.add(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert lines(capsys) == ["copying: 3 rows, N a second"]


def test_empty_work_reports_nothing(hasty, capsys):
    with Progress("copying", None, "rows"):
        pass

    assert lines(capsys) == []
