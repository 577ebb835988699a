import json
import os
import socket
import subprocess
import sys
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.cli import clean_environment, isolated_cwd, run_process

from analytics_api.errors import SettingError
from analytics_api.server.database_setting import read_database
from analytics_api.server.settings import Settings, storage

KEY = "a-key-of-many-letters-that-nobody-knows"
BUCKET = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
R2 = "https://account.r2.cloudflarestorage.com/recordings"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return tmp_path


def read(**environ):
    return Settings.read({"ANALYTICS_API_KEY": KEY, **environ})


def refusal(environ):
    with pytest.raises(SettingError) as caught:
        Settings.read(environ)
    (text,) = caught.value.args
    assert "\n" not in text
    return text


def test_key_is_the_only_required_variable():
    settings = Settings.read({"ANALYTICS_API_KEY": KEY})

    assert settings == Settings(
        api_keys={"key-1": KEY},
        database="analytics.db",
        database_read=None,
        storage=None,
        storage_max_age=3600,
        cors_origins=[],
        trusted_proxies=0,
        metrics=False,
    )
    assert settings.warnings() == []


NEEDS_MAXMINDDB = pytest.mark.skipif(find_spec("maxminddb") is None, reason="needs pip install -e '.[geoip]'")

# All variables except the key, each with the corresponding field.
OTHERS = {
    "ANALYTICS_DATABASE": "database",
    "ANALYTICS_DATABASE_READ": "database_read",
    "ANALYTICS_STORAGE": "storage",
    "ANALYTICS_STORAGE_MAX_AGE": "storage_max_age",
    "ANALYTICS_STORAGE_PATTERN": "storage",
    "ANALYTICS_CORS_ORIGINS": "cors_origins",
    "ANALYTICS_TRUSTED_PROXIES": "trusted_proxies",
    "ANALYTICS_DASHBOARD": "dashboard",
    "ANALYTICS_METRICS": "metrics",
    "ANALYTICS_COLLECT_CONTACT_IP": "collect_contact_ip",
    "ANALYTICS_COLLECT_HOSTS": "collect_hosts",
    "ANALYTICS_COLLECT_VPN_LIST": "vpn_networks",
    "ANALYTICS_GEOIP": "geoip",
    "ANALYTICS_API_KEY_FILE": "api_keys",
    "AWS_ACCESS_KEY_ID": "storage",
    "AWS_SECRET_ACCESS_KEY": "storage",
    "AWS_REGION": "storage",
    "CLOUDFLARE_API_TOKEN": "storage",
}


@pytest.mark.parametrize("blank", ["", " ", " \t\n"], ids=["empty", "a space", "blanks"])
@pytest.mark.parametrize("variable", OTHERS)
def test_blank_variable_is_absent(variable, blank):
    assert read(**{variable: blank}) == read()


@pytest.mark.parametrize(
    ("variable", "value", "taken"),
    [
        ("ANALYTICS_DATABASE", " visits.db ", "visits.db"),
        ("ANALYTICS_DATABASE", "/var/with spaces.db", "/var/with spaces.db"),
        ("ANALYTICS_DATABASE", "postgresql://app@db.example/analytics", "postgresql://app@db.example/analytics"),
        ("ANALYTICS_STORAGE_MAX_AGE", " 60 ", 60),
        ("ANALYTICS_STORAGE_MAX_AGE", "999999999", 999_999_999),
        ("ANALYTICS_CORS_ORIGINS", "https://a.example", ["https://a.example"]),
        (
            "ANALYTICS_CORS_ORIGINS",
            "https://a.example, http://b.example:8080",
            ["https://a.example", "http://b.example:8080"],
        ),
        ("ANALYTICS_CORS_ORIGINS", "*", ["*"]),
        ("ANALYTICS_TRUSTED_PROXIES", "2", 2),
        ("ANALYTICS_METRICS", "1", True),
        ("ANALYTICS_METRICS", "0", False),
        ("ANALYTICS_DASHBOARD", "1", True),
        ("ANALYTICS_DASHBOARD", "0", False),
        ("ANALYTICS_COLLECT_CONTACT_IP", "0", False),
        ("ANALYTICS_COLLECT_HOSTS", " shop.example, *.shop.example ", ("shop.example", "*.shop.example")),
    ],
)
def test_variable_is_read(variable, value, taken):
    assert getattr(read(**{variable: value}), OTHERS[variable]) == taken


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ANALYTICS_DATABASE", "mysql://app:hush@db.example/analytics", "must be the path of an SQLite file or a URL"),
        ("ANALYTICS_DATABASE", "sqlite:///analytics.db", "must be the path of an SQLite file or a URL"),
        ("ANALYTICS_DATABASE_READ", "replica.db", "must be a URL that begins with postgresql://"),
        (
            "ANALYTICS_DATABASE_READ",
            "postgresql://replica.example/a",
            "must be a URL that begins with postgresql://, and so must",
        ),
        ("ANALYTICS_STORAGE", "s3://recordings", "must be a directory, or a bucket's URL such as https://ACCOUNT"),
        ("ANALYTICS_STORAGE", "file", "must be a directory, or a bucket's URL such as https://ACCOUNT"),
        ("ANALYTICS_STORAGE", R2, "is a bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, too"),
        ("ANALYTICS_STORAGE_PATTERN", "sessions/(", "is not a regular expression"),
        ("ANALYTICS_STORAGE_PATTERN", "sessions/(.*)", "needs a named group: (?P<session>"),
        ("ANALYTICS_STORAGE_MAX_AGE", "0", "must be an integer of 1 or more, not '0'"),
        ("ANALYTICS_STORAGE_MAX_AGE", "1h", "must be an integer of 1 or more, not '1h'"),
        ("ANALYTICS_STORAGE_MAX_AGE", "1e3", "must be an integer of 1 or more, not '1e3'"),
        ("ANALYTICS_STORAGE_MAX_AGE", "9" * 5000, "must be an integer of 1 or more"),
        ("ANALYTICS_CORS_ORIGINS", "dashboard.example.com", "must be origins separated by spaces, or *"),
        ("ANALYTICS_CORS_ORIGINS", "https://a.example/path", "must be origins separated by spaces, or *"),
        ("ANALYTICS_TRUSTED_PROXIES", "-1", "must be an integer of 0 or more, not '-1'"),
        ("ANALYTICS_TRUSTED_PROXIES", "all", "must be an integer of 0 or more, not 'all'"),
        ("ANALYTICS_METRICS", "2", "must be 0 or 1, not '2'"),
        ("ANALYTICS_COLLECT_HOSTS", "https://shop.example", "'https://shop.example' is not a host name such as"),
        ("ANALYTICS_COLLECT_VPN_LIST", "missing.txt", "must name a file of networks: missing.txt: No such file"),
        ("ANALYTICS_COLLECT_VPN_LIST", "networks.txt", "line 2 must be a network such as 192.0.2.0/24, not 'x'"),
        pytest.param("ANALYTICS_GEOIP", "missing.mmdb", "missing.mmdb: No such file", marks=NEEDS_MAXMINDDB),
        pytest.param("ANALYTICS_GEOIP", "file", "file: this is not an MMDB file", marks=NEEDS_MAXMINDDB),
        ("ANALYTICS_METRICS", "yes", "must be 0 or 1, not 'yes'"),
    ],
)
def test_invalid_variable_names_itself_and_what_it_takes(variable, value, message, folder):
    Path("file").touch()
    Path("networks.txt").write_text("192.0.2.0/24\nx\n")

    text = refusal({"ANALYTICS_API_KEY": KEY, "ANALYTICS_STORAGE": str(folder), variable: value})

    assert text.startswith(variable)
    assert message in text
    assert "hush" not in text


# The key


@pytest.mark.parametrize("environ", [{}, {"ANALYTICS_API_KEY": ""}, {"ANALYTICS_API_KEY": " \n"}])
def test_missing_key_stops_the_start(environ):
    assert refusal(environ) == (
        "ANALYTICS_API_KEY or ANALYTICS_API_KEY_FILE must be set: an API key is required; "
        "make one with: openssl rand -hex 32"
    )


@pytest.mark.parametrize("keys", ["one-key two-key", " one-key\n\ttwo-key\n", "one-key\r\ntwo-key\r\n"])
def test_several_keys_are_named_in_order(keys):
    assert Settings.read({"ANALYTICS_API_KEY": keys}).api_keys == {"key-1": "one-key", "key-2": "two-key"}


@pytest.mark.parametrize("content", [f"{KEY}", f"{KEY}\n", f"\n  {KEY}  \r\n", f"\ufeff{KEY}\n"])
def test_key_file_is_read(content):
    Path("credential").write_text(content, encoding="utf-8")

    settings = Settings.read({"ANALYTICS_API_KEY_FILE": " credential "})

    assert settings.api_keys == {"key-1": KEY}


def test_key_file_may_have_several_keys():
    Path("credential").write_text("the-new-one\nthe-old-one\n")

    settings = Settings.read({"ANALYTICS_API_KEY": " ", "ANALYTICS_API_KEY_FILE": "credential"})

    assert settings.api_keys == {"key-1": "the-new-one", "key-2": "the-old-one"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "missing: No such file or directory"),
        ("folder", "folder: Is a directory"),
        ("file/credential", "file/credential: Not a directory"),
        ("empty", "empty is empty"),
        ("blank", "blank is empty"),
        ("latin-1", "latin-1: it is not UTF-8"),
    ],
)
def test_key_file_without_a_key_is_rejected(name, reason):
    Path("folder").mkdir()
    Path("file").touch()
    Path("empty").touch()
    Path("blank").write_text(" \n\n")
    Path("latin-1").write_bytes("clé-à-moi".encode("latin-1"))

    text = refusal({"ANALYTICS_API_KEY_FILE": name})

    assert text == f"ANALYTICS_API_KEY_FILE must name a file with an API key: {reason}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_key_file_is_rejected():
    Path("credential").touch(mode=0)

    text = refusal({"ANALYTICS_API_KEY_FILE": "credential"})

    assert text == "ANALYTICS_API_KEY_FILE must name a file with an API key: credential: Permission denied"


def test_key_and_key_file_conflict():
    Path("credential").write_text(KEY)

    text = refusal({"ANALYTICS_API_KEY": KEY, "ANALYTICS_API_KEY_FILE": "credential"})

    assert text == "ANALYTICS_API_KEY and ANALYTICS_API_KEY_FILE are both set; keep one of them"


@pytest.mark.parametrize(
    ("keys", "faults"),
    [
        (KEY, []),
        ("sixteen-letters.", []),
        ("fifteen-letters", ["key-1 is shorter than 16 characters"]),
        ("your-api-key-here", ["key-1 is a well-known word"]),
        ("SECRET", ["key-1 is a well-known word"]),
        (f"{KEY} x changeme", ["key-2 is shorter than 16 characters", "key-3 is a well-known word"]),
    ],
)
def test_weak_key_is_a_warning_without_the_key(keys, faults):
    settings = Settings.read({"ANALYTICS_API_KEY": keys})

    assert list(settings.api_keys.values()) == keys.split()
    assert settings.warnings() == [
        f"ANALYTICS_API_KEY: the key {fault}; make one with: openssl rand -hex 32" for fault in faults
    ]


# Storage


def test_storage_may_be_a_directory(folder):
    Path("with spaces").mkdir()

    assert repr(storage({"ANALYTICS_STORAGE": " with spaces "})) == f"<Directory {folder}/with spaces>"


def test_storage_directory_must_exist(folder):
    text = refusal({"ANALYTICS_API_KEY": KEY, "ANALYTICS_STORAGE": "nowhere"})

    assert text == f"ANALYTICS_STORAGE: the folder {folder}/nowhere does not exist"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ANALYTICS_DATABASE", "nowhere/a.db", "ANALYTICS_DATABASE: the folder "),
        ("ANALYTICS_DATABASE", ":memory:", "ANALYTICS_DATABASE must be a file"),
        ("ANALYTICS_STORAGE_PATTERN", "(", "ANALYTICS_STORAGE_PATTERN: "),
        (
            "ANALYTICS_API_KEY",
            "first,second",
            "ANALYTICS_API_KEY: the key key-1 has a comma; separate keys",
        ),
        (
            "ANALYTICS_API_KEY",
            "$(openssl rand -hex 32)",
            "ANALYTICS_API_KEY contains the command $(openssl…), which is",
        ),
        ("ANALYTICS_API_KEY", "`openssl rand -hex 32`", "ANALYTICS_API_KEY contains a command in `…`, which"),
        (
            "ANALYTICS_API_KEY",
            "k\xe9k\xe9",
            "ANALYTICS_API_KEY: the key key-1 has characters other than printable",
        ),
        ("ANALYTICS_API_KEY", "key\x7f", "ANALYTICS_API_KEY: the key key-1 has characters other than printable"),
        ("ANALYTICS_LOG_ADDRESS", "yes", "ANALYTICS_LOG_ADDRESS must be 0 or 1, not 'yes'"),
    ],
    ids=["folder", "memory", "pattern", "comma", "command", "backticks", "non-ascii", "control", "address"],
)
def test_unusable_value_names_its_variable(variable, value, message):
    assert refusal({"ANALYTICS_API_KEY": KEY, variable: value}).startswith(message)


def test_unknown_variable_is_warned_of_with_nearest_name():
    settings = read(ANALYTICS_METRIC="1", ANALYTICS_QQ="1")

    assert settings.warnings() == [
        "ANALYTICS_METRIC is not a setting; did you mean ANALYTICS_METRICS?",
        "ANALYTICS_QQ is not a setting",
    ]


def test_variable_with_a_misspelled_prefix_is_warned_of():
    settings = read(ANALYTIC_METRICS="1", METRICS="1")

    assert settings.warnings() == ["ANALYTIC_METRICS is not a setting; did you mean ANALYTICS_METRICS?"]


def test_error_ends_with_unknown_variables():
    text = refusal({"ANALYTICS_API_KEYS": KEY})

    assert text.startswith("ANALYTICS_API_KEY or ANALYTICS_API_KEY_FILE must be set: ")
    assert text.endswith("; ANALYTICS_API_KEYS is not a setting; did you mean ANALYTICS_API_KEY?")
    assert KEY not in text


IN_QUOTES = "is in quotes, which are part of the key; remove them (docker run --env-file does not remove quotes)"
IN_BRACKETS = "is in angle brackets, which are part of the key; replace a placeholder by a key, without brackets"


@pytest.mark.parametrize(
    ("keys", "mistakes"),
    [
        (f'"{KEY}"', [f"key-1 {IN_QUOTES}"]),
        (f"`{KEY}`", [f"key-1 {IN_QUOTES}"]),
        (f"'{KEY} {KEY}'", [f"key-1 {IN_QUOTES}", f"key-2 {IN_QUOTES}"]),
        (f"<{KEY}>", [f"key-1 {IN_BRACKETS}"]),
        ("<the-key-of-your-server>", [f"key-1 {IN_BRACKETS}"]),
        (
            "$ANALYTICS_SECRET_KEY",
            ["key-1 begins with $, which is part of the key; the name of a variable is not replaced by its value"],
        ),
        (
            f"ANALYTICS_API_KEY={KEY}",
            ["key-1 begins with ANALYTICS_API_KEY=, which is read as part of the key; remove it"],
        ),
        (f"{KEY}'s", []),
        (f"{KEY}<{KEY}", []),
    ],
    ids=["double", "backticks", "several", "brackets", "placeholder", "variable", "name", "inside", "less than"],
)
@pytest.mark.parametrize("variable", ["ANALYTICS_API_KEY", "ANALYTICS_API_KEY_FILE"])
def test_characters_around_a_key_are_a_warning(variable, keys, mistakes, folder):
    (folder / "key").write_text(f"{keys}\n")

    settings = Settings.read({variable: keys if variable == "ANALYTICS_API_KEY" else "key"})

    assert settings.warnings() == [f"{variable}: the key {mistake}" for mistake in mistakes]
    assert list(settings.api_keys.values()) == keys.split()


@pytest.mark.parametrize("command", ["$(openssl rand -hex 32)", "`openssl rand -hex 32`"], ids=["dollar", "backticks"])
def test_command_in_a_key_file_is_an_error(command, folder):
    (folder / "key").write_text(command)

    text = refusal({"ANALYTICS_API_KEY_FILE": "key"})

    assert text.startswith("ANALYTICS_API_KEY_FILE contains ")
    assert text.endswith(", which is not run; set the key that it prints")


def test_storage_may_be_a_bucket_with_credentials():
    blanks = {name: f" {value}\n" for name, value in BUCKET.items()}

    bucket = storage({"ANALYTICS_STORAGE": R2, **BUCKET})

    assert R2 in repr(bucket)
    assert "hush" not in repr(bucket)
    assert repr(storage({"ANALYTICS_STORAGE": R2, **blanks})) == repr(bucket)


def test_storage_may_be_cloudflare_with_a_bucket():
    environ = {"ANALYTICS_STORAGE": R2, "CLOUDFLARE_API_TOKEN": "hush-hush", **BUCKET}

    assert "Cloudflare's analytics of account/recordings" in repr(storage(environ))
    assert R2 in repr(storage(environ, use_analytics=False))


def test_cloudflare_excludes_other_buckets():
    text = refusal(
        {"ANALYTICS_API_KEY": KEY, "ANALYTICS_STORAGE": "https://s3.example/bucket", "CLOUDFLARE_API_TOKEN": "hush"}
    )

    assert text.startswith("CLOUDFLARE_API_TOKEN is for whole R2 buckets")
    assert "hush" not in text


def test_database_is_known_without_a_key():
    assert read_database({}) == "analytics.db"
    assert read_database({"ANALYTICS_DATABASE": "visits.db"}) == "visits.db"


# wsgi.py, which gunicorn's own command loads


GUNICORN = [sys.executable, "-m", "gunicorn", "--chdir", Path(__file__).parents[1]]


def gunicorn(folder, *options, **environ):
    """Run gunicorn with an invalid setting, so that it exits, and return the completed process."""
    return run_process(
        *["--bind", "127.0.0.1:0", *options, "wsgi"],
        program=GUNICORN,
        cwd=folder,
        HOME=str(folder),
        XDG_RUNTIME_DIR=str(folder),
        **environ,
    )


@pytest.mark.parametrize(
    ("options", "environ", "message"),
    [
        (
            [],
            {},
            "ANALYTICS_API_KEY or ANALYTICS_API_KEY_FILE must be set: an API key is required; "
            "make one with: openssl rand -hex 32; wsgi.py reads environment variables, but no file .env",
        ),
        (
            ["--preload"],
            {"ANALYTICS_API_KEY": KEY, "ANALYTICS_DATABASE": "/nowhere/a.db"},
            "ANALYTICS_DATABASE: the folder /nowhere does not exist",
        ),
    ],
    ids=["in a worker", "preloaded"],
)
def test_gunicorn_with_invalid_setting_stops_with_one_line(options, environ, message, folder):
    ended = gunicorn(folder, *options, **environ)
    ours = [line for line in ended.stderr.splitlines() if not line.startswith("[")]

    assert ended.returncode == 3
    assert len(ours) == 1
    assert json.loads(ours[0])["message"].startswith("cannot start: ")
    assert message in ours[0]
    assert ended.stderr.count("Booting worker") == (0 if options else 1)


def test_wsgi_file_run_as_a_program_names_the_command(folder):
    program = [sys.executable, Path(__file__).parents[1] / "wsgi.py"]

    ended = run_process(program=program, cwd=folder, ANALYTICS_API_KEY=KEY)

    assert (ended.returncode, ended.stderr) == (1, "wsgi.py is for a WSGI server; run: analytics-api serve\n")
    assert list(folder.iterdir()) == []


def test_gunicorn_reads_the_environment_and_warns(folder):
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        serving = subprocess.Popen(
            [*GUNICORN, "--bind", f"fd://{listener.fileno()}", "wsgi"],
            cwd=folder,
            env=clean_environment(
                ANALYTICS_API_KEY="hunter2", ANALYTICS_DATABASE=f"{folder}/visits.db", XDG_RUNTIME_DIR=str(folder)
            ),
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )
        connection = HTTPConnection(*listener.getsockname(), timeout=30)
    connection.request("GET", "/analytics/overview", headers={"Authorization": "Bearer hunter2"})

    status = connection.getresponse().status

    connection.close()
    serving.terminate()
    with serving.stderr as errors:
        message = errors.read().decode()
    assert serving.wait(30) == 0
    assert status == 200
    assert (folder / "visits.db").exists()
    assert message.count("the key key-1 is shorter than 16 characters; make one with: openssl rand -hex 32") == 1
    assert "hunter2" not in message
    assert "Traceback" not in message
