import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from urllib.request import Request, urlopen

import pytest
from helpers.cli import COMMAND, clean_environment, isolated_cwd, query, run, run_process
from helpers.client import KEY
from helpers.server import free_port, listen, serving, wait_for

from analytics_api.cli import main

LONG = "a-key-of-many-letters-that-nobody-knows"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return tmp_path


def test_serve_listens_and_reads_its_database(folder):
    run("demo", "--sessions", 30)
    port = free_port()
    serving = subprocess.Popen(
        [COMMAND, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "1"],
        cwd=folder,
        env=clean_environment(ANALYTICS_API_KEY=LONG, HOME=str(folder)),
        stderr=subprocess.PIPE,
    )

    def answer():
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/analytics/overview", headers={"Authorization": f"Bearer {LONG}"})
            return json.load(connection.getresponse())
        except ConnectionRefusedError:
            return None
        finally:
            connection.close()

    wait_for(answer)
    overview = answer()
    serving.send_signal(signal.SIGTERM)
    with serving.stderr as errors:
        message = errors.read().decode()
    status = serving.wait(30)

    assert overview["total_sessions"] == 30
    assert status == 0
    assert f"Listening at: http://127.0.0.1:{port}" in message
    assert "Traceback" not in message


def test_concurrent_requests_are_whole_log_lines(folder):
    with serving(folder, "--workers", "2") as server:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(server.get, ["/analytics/overview"] * 200))
        lines = server.log.read_text().splitlines()

    requests = [line for line in map(json.loads, lines) if line["logger"] == "analytics_api.requests"]
    assert [(line["route"], line["status"], line["key"]) for line in requests] == [("/overview", 200, "key-1")] * 200
    assert len({line["request_id"] for line in requests}) == 200


def closed():
    os.close(2)


def without_a_reader():
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 2)


@pytest.mark.parametrize("standard_error", [closed, without_a_reader])
def test_serve_works_with_an_unread_log(standard_error, folder):
    with listen() as listener:
        process = subprocess.Popen(
            [COMMAND, "serve", "--bind", f"fd://{listener.fileno()}", "--workers", "1"],
            cwd=folder,
            env=clean_environment(ANALYTICS_API_KEY=LONG, HOME=str(folder)),
            pass_fds=[listener.fileno()],
            preexec_fn=standard_error,
        )
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/analytics/overview"
        try:
            with urlopen(Request(address, headers={"X-API-Key": LONG}), timeout=30) as response:
                overview = json.load(response)
        finally:
            process.terminate()
            process.wait(40)

    assert overview["total_sessions"] == 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_server_and_workers_cleanly(ending, folder):
    with serving(folder, "--workers", "2") as server:
        status, _ = server.get("/analytics/overview")
        wait_for(lambda: len(server.workers()) == 2)
        workers = server.workers()

        server.process.send_signal(ending)
        ended = server.process.wait(20)

    assert status == 200
    assert ended == 0
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []
    assert "Traceback" not in server.log.read_text()


FORK = """
import os, signal
from analytics_api.server.gunicorn_server import guard_starting_workers

signal.signal(signal.SIGTERM, lambda *_: None)
guard_starting_workers()
child = os.fork()
if not child:
    while True:
        signal.pause()
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.kill(os.getpid(), signal.SIGTERM)
print("goes on")
"""


def test_signal_ends_a_worker_without_handlers():
    forked = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)

    assert (forked.stdout, forked.stderr) == (f"{-signal.SIGTERM}\ngoes on\n", "")


@pytest.mark.parametrize(
    ("environ", "status", "message"),
    [
        ({}, 78, "ANALYTICS_API_KEY or ANALYTICS_API_KEY_FILE must be set: an API key is required"),
        ({"ANALYTICS_API_KEY": " "}, 78, "ANALYTICS_API_KEY or ANALYTICS_API_KEY_FILE must be set"),
        ({"ANALYTICS_API_KEY_FILE": "missing"}, 78, "ANALYTICS_API_KEY_FILE must name a file with an API key: missing"),
        ({"ANALYTICS_API_KEY": KEY, "ANALYTICS_STORAGE": "https://r2.example/a"}, 78, "ANALYTICS_STORAGE is a bucket"),
        ({"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "missing/a.db"}, 78, "ANALYTICS_DATABASE: the folder "),
        (
            {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "."},
            78,
            ". is a folder: use the path of a file, such as ./",
        ),
        ({"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "notes.txt"}, 78, "notes.txt: file is not a database"),
        (
            {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "wares.db"},
            78,
            "wares.db: this is another program's database",
        ),
        (
            {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "newer.db"},
            78,
            "newer.db: this database has version 99, newer than",
        ),
        (
            {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "postgresql://127.0.0.1:9/analytics?colour=red"},
            78,
            "?sslmode=verify-full, with parameters of libpq; ",
        ),
        (
            {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "postgresql://app:50%@127.0.0.1:9/analytics"},
            78,
            "percent-encode the characters of the password that are not letters or digits",
        ),
        (
            {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "postgresql://127.0.0.1:9/analytics"},
            1,  # the server may be reachable later
            "ANALYTICS_DATABASE: connection failed: ",
        ),
    ],
    ids=[
        *("no-key", "blank-key", "no-key-file", "bucket", "no-folder", "folder", "no-database", "foreign-database"),
        *("newer-version", "invalid-url", "password", "unreachable"),
    ],
)
def test_serve_with_invalid_setting_fails_in_one_line(environ, status, message, folder, monkeypatch, capsys):
    Path("notes.txt").write_text("Dear diary, today I stored some notes under the wrong name.\n" * 20)
    query("wares.db", "create table wares (name)")
    run("init", "-d", "newer.db")
    query("newer.db", "pragma user_version = 99")

    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--bind", "127.0.0.1:0"])
    output, errors = capsys.readouterr()

    assert ended.value.code == status
    assert output == ""
    assert errors.count("\n") == 1
    assert errors.startswith("Error: ")
    assert message in errors
    assert KEY not in errors


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("missing/a.db", "--database: the folder {folder}/missing does not exist"),
        ("notes.txt", "--database: {folder}/notes.txt: file is not a database"),
        ("mysql://db/a", "--database must be the path of an SQLite file or a URL that begins with postgresql://"),
    ],
    ids=["no-folder", "no-database", "url"],
)
def test_serve_names_the_option_of_an_unusable_database(database, message, folder):
    Path("notes.txt").write_text("Dear diary, today I stored some notes under the wrong name.\n" * 20)

    output = run("serve", "--bind", "127.0.0.1:0", "-d", database, status=78, env={"ANALYTICS_API_KEY": KEY})

    assert output == f"Error: {message.format(folder=folder)}\n"


def test_serve_without_a_key_names_the_folder_without_env_file(folder):
    missing = run("serve", "--bind", "127.0.0.1:0", status=78)
    Path(".env").write_text(f"ANALYTICS_API_KEYS={LONG}\n")
    misspelled = run("serve", "--bind", "127.0.0.1:0", status=78)

    assert missing.endswith(f"; there is no file .env in {folder}\n")
    assert misspelled.endswith(
        "; ANALYTICS_API_KEYS is not a setting; did you mean ANALYTICS_API_KEY?"
        f"; {folder}/.env sets ANALYTICS_API_KEYS\n"
    )


@pytest.mark.parametrize(
    ("lines", "environ", "message"),
    [
        (
            f"ANALYTICS_API_KEY={LONG}",
            {"ANALYTICS_API_KEY_FILE": "key"},
            "ANALYTICS_API_KEY and ANALYTICS_API_KEY_FILE are both set; keep one of them; {env} sets ANALYTICS_API_KEY",
        ),
        (
            f"ANALYTICS_API_KEY={LONG}\nANALYTICS_METRICS=yes",
            {},
            "ANALYTICS_METRICS must be 0 or 1, not 'yes'; {env} sets ANALYTICS_METRICS",
        ),
        (
            f"ANALYTICS_API_KEY={LONG}\nANALYTICS_METRICS=0",
            {"ANALYTICS_METRICS": "yes"},
            "ANALYTICS_METRICS must be 0 or 1, not 'yes'",
        ),
    ],
    ids=["both-keys", "file", "environment"],
)
def test_invalid_setting_of_the_env_file_names_the_file(lines, environ, message, folder):
    Path(".env").write_text(f"{lines}\n")

    output = run("serve", "--bind", "127.0.0.1:0", status=78, env=environ)

    assert output == f"Error: {message.format(env=folder / '.env')}\n"


def test_serve_on_a_taken_port_fails_in_one_line(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        output = run("serve", "--bind", bind, status=1, env={"ANALYTICS_API_KEY": LONG})

    assert output == f"Error: --bind {bind}: Address already in use; use another port\n"


@pytest.mark.parametrize(
    ("bind", "status", "reason"),
    [
        ("127.0.0.1:65536", 78, "bind(): port must be 0-65535."),
        ("127.0.0.1:http", 78, "'http' is not a valid port number."),
        ("192.0.2.1:8000", 1, "Cannot assign requested address"),
    ],
)
def test_serve_on_a_foreign_address_fails_in_one_line(bind, status, reason, folder):
    output = run("serve", "--bind", bind, status=status, env={"ANALYTICS_API_KEY": LONG})
    gc.collect()  # a socket that is still open would be an error

    assert output == f"Error: --bind {bind}: {reason}\n"


@pytest.mark.parametrize("option", ["--workers", "--threads"])
def test_serve_accepts_processes_and_threads_from_one(option, folder):
    output = run("serve", option, "0", status=2, env={"ANALYTICS_API_KEY": LONG})

    assert output.endswith(f"Error: Invalid value for '{option}': 0 is not in the range x>=1.\n")


def test_serve_warns_of_weak_keys_without_printing_them(folder):
    keys = ["ChangeMe", LONG, "hunter2", "password"]
    messages = [
        "the key key-1 is a well-known word",
        "the key key-3 is shorter than 16 characters",
        "the key key-4 is a well-known word",
    ]

    with serving(folder, "--workers", "1", ANALYTICS_API_KEY=" ".join(keys)) as server:
        statuses = [server.get("/analytics/overview", headers=[("X-API-Key", key)])[0] for key in keys]
        warnings = [line["message"] for line in server.lines() if line["level"] == "warning"]

    assert statuses == [200] * len(keys)
    assert len(warnings) == len(messages)
    assert all(message in warning for message, warning in zip(messages, warnings))
    assert all(warning.endswith("; make one with: openssl rand -hex 32") for warning in warnings)
    assert not any(key in server.log.read_text() for key in keys)


def test_serve_reads_env_file_of_cwd_after_the_environment(folder):
    Path(".env").write_text("# ours\nANALYTICS_API_KEY=of-the-file\nANALYTICS_LOG_ADDRESS=1\n")

    with serving(folder, "--workers", "1", ANALYTICS_API_KEY=LONG) as server:
        ours, _ = server.get("/analytics/overview", headers=[("X-API-Key", LONG)])
        files, _ = server.get("/analytics/overview", headers=[("X-API-Key", "of-the-file")])
        addresses = [line["address"] for line in server.lines() if line["logger"] == "analytics_api.requests"]

    assert (ours, files) == (200, 401)
    assert addresses == ["127.0.0.1"] * 2


def test_serve_accepts_the_database_option(folder):
    with serving(folder, "--workers", "1", "-d", "option.db", database="environment.db") as server:
        status, _ = server.get("/analytics/overview")

    assert status == 200
    assert Path("option.db").exists()
    assert not Path("environment.db").exists()


def test_every_line_of_the_log_is_json_without_key_or_query(folder):
    with serving(folder, "--workers", "1") as server:
        for request in (
            b"GET / HTTP/1.1\r\nX-API-Key zqx-key\r\n\r\n",
            b"GET /analytics/leads?q=zqx\tx HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            with server.connect() as connection:
                connection.sendall(request)
                assert connection.recv(65536).startswith(b"HTTP/1.1 400")
        text = server.log.read_text()

    messages = [json.loads(line)["message"] for line in text.splitlines()]
    assert "invalid request: InvalidHeader" in messages
    assert f"database {folder}/analytics.db: created, empty" in messages
    assert "zqx" not in text


def test_hangup_reloads_the_key_file(folder):
    key_file = folder / "keys"
    key_file.write_text(KEY)
    new = "the-new-key-of-the-tests"

    def status(key):
        return server.get("/analytics/overview", headers={"X-API-Key": key})[0]

    with serving(folder, "--workers", "1", ANALYTICS_API_KEY="", ANALYTICS_API_KEY_FILE=str(key_file)) as server:
        before = status(KEY), status(new)
        key_file.write_text(new)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: status(KEY) == 401)
        after = status(new)
        key_file.write_text("")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the settings are not reloaded: ANALYTICS_API_KEY_FILE" in server.log.read_text())
        unchanged = status(new)

    assert (before, after, unchanged) == ((200, 401), 200, 200)


def test_hangup_loses_no_request(folder):
    stopped = Event()

    def ask():
        statuses = Counter()
        while not stopped.is_set():
            statuses[server.get("/healthz")[0]] += 1
        return statuses

    with serving(folder, "--workers", "2") as server, ThreadPoolExecutor(4) as pool:
        server.get("/healthz")
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            former = set(server.workers())
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(server.workers()) == 2 and former.isdisjoint(server.workers()), seconds=60)
        finally:
            stopped.set()
        statuses = sum((future.result() for future in asking), Counter())

    assert statuses.keys() == {200}


def test_forwarded_headers_do_not_count_without_a_trusted_proxy(folder):
    # With its default options, gunicorn would trust a client on this machine: it would reject the contradictory
    # headers X-Forwarded-Proto and X-Forwarded-SSL, and use the headers SCRIPT_NAME and PATH_INFO as the path.
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-SSL": "off"}
    forged |= {"SCRIPT_NAME": "/forged", "PATH_INFO": "/forged"}
    with serving(folder, "--workers", "1", ANALYTICS_LOG_ADDRESS="1") as server:
        status, _ = server.get("/healthz", headers=forged)
        (line,) = [line for line in server.lines() if line["logger"] == "analytics_api.requests"]

    assert (status, line["address"]) == (200, "127.0.0.1")


@pytest.mark.parametrize("bind", ["8141", ":8141"])
def test_bind_needs_a_host(bind, folder):
    output = run("serve", "--bind", bind, status=78, env={"ANALYTICS_API_KEY": LONG})

    assert output.count("\n") == 1
    assert output.startswith(f"Error: --bind must be HOST:PORT, not {bind}: 127.0.0.1:8141 ")


@pytest.mark.parametrize("scheme", ["http:", "https:"])
def test_bind_is_not_a_url(scheme, folder):
    bind = f"{scheme}//127.0.0.1:8141"

    output = run("serve", "--bind", bind, status=78, env={"ANALYTICS_API_KEY": LONG})

    assert output == f"Error: --bind must be HOST:PORT, not {bind}: leave out {scheme}//\n"


@pytest.mark.parametrize("bind", ["localhost", "127.0.0.1"])
def test_bind_needs_a_port(bind, folder):
    output = run("serve", "--bind", bind, status=78, env={"ANALYTICS_API_KEY": LONG})

    assert output == f"Error: --bind must be HOST:PORT, not {bind}: add a port, such as {bind}:8000\n"


@pytest.mark.parametrize("option", ["--host", "--port"])
def test_options_of_other_servers_name_bind(option, folder):
    output = run("serve", option, "8141", status=2)

    assert output.endswith(f"\nError: No such option '{option}'. Use --bind HOST:PORT.\n")


def test_short_key_is_rejected_beyond_loopback(folder):
    output = run("serve", "--bind", "0.0.0.0:0", status=78, env={"ANALYTICS_API_KEY": "nineteen-characters"})

    assert output.startswith("Error: ANALYTICS_API_KEY: the key key-1 has fewer than 20 characters")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nnot a line\n", "line 2: expected NAME=value"),
        (b"A=1\n0123456789abcdef\n", "line 2: expected NAME=value"),  # a key without the name of the setting
        ("A=1".encode("utf-16"), "is not UTF-8"),
        ("A=1".encode("utf-16-le"), "is not UTF-8"),
        (b"A=1\0\n", "is not UTF-8"),
    ],
    ids=["broken", "without_name", "utf-16", "utf-16_without_mark", "nul"],
)
def test_broken_env_file_is_named(content, message, folder):
    Path(".env").write_bytes(content)

    output = run("verify", status=1)

    assert output.count("\n") == 1
    assert output.startswith(f"Error: {folder}/.env")
    assert message in output


def test_env_file_beyond_ascii_in_an_ascii_locale_is_an_error(folder):
    Path(".env").write_text("# clé\nANALYTICS_API_KEY=clé\n", encoding="utf-8")

    ended = run_process("verify", cwd=folder, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="POSIX")

    assert ended.stderr == (
        f"Error: {folder}/.env: ANALYTICS_API_KEY has characters that the locale cannot encode; set LC_ALL=C.UTF-8\n"
    )
