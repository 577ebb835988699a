"""README.md and docs/ describe every command, option, setting and endpoint, and their examples run."""

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from helpers import access_logs
from helpers.cli import clean_environment, isolated_cwd, query, run
from helpers.client import APIClient
from helpers.server import free_port, wait_for
from werkzeug.test import Client

from analytics_api import create_app, open_database
from analytics_api.cli import main
from analytics_api.http.parameters import MAX_INT64, Enum, Integer
from analytics_api.routes import ROUTES
from analytics_api.server import settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("", "docs", "faults", "benchmarks")
    for path in (ROOT / folder).glob("*.md")
}
KEY = "a-key-of-many-letters-that-nobody-knows"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    return tmp_path


def table(heading):
    """Return the cells of all tables whose first column has this heading."""
    pattern = rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)"
    tables = re.findall(pattern, "\n".join(PAGES.values()), re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in "".join(tables).splitlines()]


def code(cell):
    """Return the code spans in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(language, page="README.md"):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def commands(group=main, *path):
    """Yield every command and the words of its name."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join([*path, name]), command


# Tables


def test_table_of_commands_is_complete():
    documented = [re.match(r"analytics-api ([a-z ]*[a-z])", *code(name))[1] for name, *_ in table("command")]

    assert sorted(documented) == sorted(name for name, _ in commands())


@pytest.mark.parametrize("name", dict(commands()))
def test_row_of_command_has_its_options(name):
    command = dict(commands())[name]
    (options,) = [row[2] for row in table("command") if re.match(rf"`analytics-api {name}\b(?! [a-z])", row[0])]

    documented = [option for option in code(options) if option.startswith("--")]

    taken = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert sorted(documented) == sorted(taken - {"--database"})


@pytest.mark.parametrize("name", dict(commands()))
def test_row_of_command_has_its_arguments(name):
    command = dict(commands())[name]
    (shown,) = [row[0] for row in table("command") if re.match(rf"`analytics-api {name}\b(?! [a-z])", row[0])]

    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]

    assert len(re.findall(r"[A-Z]+", shown)) == len(arguments)


def test_table_of_settings_is_complete():
    source = Path(settings.__file__).read_text(encoding="utf-8")

    documented = [variable for names, *_ in table("variable") for variable in code(names)]

    assert sorted(documented) == sorted(set(re.findall(r'"((?:ANALYTICS|AWS|CLOUDFLARE)_[A-Z_]*[A-Z])"', source)))


def test_table_of_settings_has_the_defaults():
    documented = {variable: code(default) for names, _, default in table("variable") for variable in code(names)}
    read = settings.Settings.read({"ANALYTICS_API_KEY": KEY})
    bucket = {"ANALYTICS_STORAGE": "https://s3.example/b", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    defaults = {
        name: default for name, (default,) in ((name, default) for name, default in documented.items() if default)
    }

    assert defaults == {
        "ANALYTICS_DATABASE": read.database,
        "ANALYTICS_STORAGE_MAX_AGE": str(read.storage_max_age),
        "ANALYTICS_EXPORT_TIMEOUT": str(read.export_timeout),
        "ANALYTICS_QUERY_TIMEOUT": str(read.query_timeout),
        "ANALYTICS_TRUSTED_PROXIES": str(read.trusted_proxies),
        "ANALYTICS_DASHBOARD": str(int(read.dashboard)),
        "ANALYTICS_COLLECT_CONTACT_IP": str(int(read.collect_contact_ip)),
        "ANALYTICS_METRICS": str(int(read.metrics)),
        "ANALYTICS_LOG_ADDRESS": str(int(read.log_address)),
        "AWS_REGION": "auto",
    }
    assert (read.storage, read.database_read, list(read.cors_origins)) == (None, None, [])
    assert settings.storage(bucket) is not None


def test_env_example_has_known_variables():
    names = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)

    documented = [variable for names, *_ in table("variable") for variable in code(names)]

    assert names
    assert set(names) <= set(documented)


def parameters(route):
    """Return a route's parameters in the format of the table of endpoints."""
    for parameter in route.query:
        documented = f"`{parameter.name}`"
        if isinstance(parameter, Integer):
            documented += f" {parameter.minimum}..{'' if parameter.maximum == MAX_INT64 else parameter.maximum}"
        yield f"{documented}, {str(parameter.default).lower()}" if parameter.default is not None else documented


def documented_path(route):
    """Return the path with the parameters as in the contract: `:id` for `<lead_id>`, `:status` for `<status>`."""
    return re.sub("<(?:lead_)?(.*)>", r":\1", route.path)


def test_table_of_endpoints_has_parameters_and_bounds():
    documented = {
        code(endpoint)[0]: "" if cell.startswith("body: ") else cell for endpoint, cell, _ in table("endpoint")
    }

    assert documented == {
        f"{route.method} /analytics{documented_path(route)}": "; ".join(parameters(route)) for route in ROUTES
    }


def test_table_of_endpoints_has_the_bodies():
    documented = {
        code(endpoint)[0]: json.loads(*code(cell)) for endpoint, cell, _ in table("endpoint") if "body: " in cell
    }

    assert {endpoint: list(body) for endpoint, body in documented.items()} == {
        f"{route.method} /analytics{documented_path(route)}": [text.name for text in route.body]
        for route in ROUTES
        if route.body
    }


def test_readme_has_every_choice_of_a_parameter():
    below = README[README.index("| endpoint |") :]
    choices = {choice for route in ROUTES for kind in route.query if isinstance(kind, Enum) for choice in kind.choices}

    assert choices <= set(code(below))


# Other text


@pytest.mark.parametrize("page", PAGES)
def test_links_of_page_exist(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", PAGES[page]) if "://" not in link]

    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_readme_links_every_page_and_is_short():
    linked = set(re.findall(r"\]\((docs/[^)#]+\.md)\)", README))

    assert linked == {page for page in PAGES if page.startswith("docs/")}
    assert README.count("\n") < 150


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documented = set(re.findall(r"^make ([a-z-]+)", "".join(blocks("sh") + blocks("sh", "CONTRIBUTING.md")), re.M))

    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert {"run", "check", "test", "faults", "bench"} <= documented <= targets


@pytest.mark.parametrize(
    ("options", "environ"),
    [(["BIND=127.0.0.1:8123"], {}), (["PORT=8123"], {}), ([], {"PORT": "8123"})],
    ids=["bind", "port", "environment"],
)
def test_make_run_has_settings_of_its_own(options, environ):
    makefile = ROOT / "Makefile"
    if not shutil.which("make"):
        pytest.skip("needs make")

    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "-f", makefile, "run", *options],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    (serve,) = [line for line in shown.splitlines() if " serve " in line]
    assert "ANALYTICS_DATABASE=demo.db" in serve
    assert "ANALYTICS_API_KEY= ANALYTICS_API_KEY_FILE=demo.key" in serve
    assert serve.endswith("serve --bind 127.0.0.1:8123")
    assert ".env" not in shown.replace(".venv", "")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_run_checks_the_address_first():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
        ended = subprocess.run(
            [
                "make",
                "--no-print-directory",
                f"BIN={Path(sys.executable).parent}",
                "-o",
                ".venv/run",
                "-o",
                "demo.key",
                "run",
                f"BIND={bind}",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    assert (ended.stdout, ended.stderr.splitlines()[:2]) == (
        "",
        [
            f"Error: --bind {bind}: Address already in use; use another port",
            "For another port: make run PORT=8001",
        ],
    )


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_names_the_python_that_is_needed(tmp_path):
    old = tmp_path / "python"
    versions = "sys.version, sys.version_info = '3.9.18 (main)', (3, 9, 18)"
    old.write_text(f"#!{sys.executable}\nimport sys\n{versions}\nexec(sys.argv[2])\n", encoding="utf-8")
    old.chmod(0o755)

    ended = subprocess.run(
        ["make", "-f", ROOT / "Makefile", f"PYTHON={old}", ".venv/bin/python"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("Python 3.10 or later is needed, and this is 3.9.18")
    assert not (tmp_path / ".venv").exists()


# Examples


def test_mounting_example_runs(folder):
    (mounted,) = [block for block in blocks("python") if "DispatcherMiddleware" in block]
    names = {"__name__": "__main__"}

    exec(compile(mounted, "README.md", "exec"), names)
    client = Client(names["app"])
    headers = {"Authorization": "Bearer a-long-secret-from-your-settings"}
    overview = client.get("/analytics/overview", headers=headers)

    assert (overview.status_code, overview.json["total_sessions"]) == (200, 0)
    assert client.get("/analytics/overview").status_code == 401
    assert client.get("/elsewhere").status_code == 404
    assert (folder / "analytics.db").exists()


def test_collector_example_runs(folder):
    (mounted,) = blocks("python", "docs/collecting-visits.md")
    names = {"__name__": "__main__", "app": lambda environ, start_response: []}
    event = {"type": "page_view", "id": "12345678", "url": "https://example.com/", "at": 0}

    exec(compile(mounted, "collecting-visits.md", "exec"), names)
    client = Client(names["app"])
    script = client.get("/visits/a.js")
    response = client.post("/visits/collect", json=event, headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"})
    names["collector"].close()

    assert (script.status_code, response.status_code) == (200, 204)
    assert names["collector"].db.tuples("select event_type from events") == [("page_view",)]


def test_statistics_page_example_runs(folder):
    (mounted,) = blocks("python", "docs/statistics-page.md")
    names = {"__name__": "__main__"}

    exec(compile(mounted, "statistics-page.md", "exec"), names)
    client = Client(names["app"])
    session = client.post(
        "/analytics/session",
        json={"key": "a-long-secret-from-your-settings"},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    overview = client.get("/analytics/overview", headers={"Sec-Fetch-Site": "same-origin"})

    assert '<meta name="api" content="/analytics">' in client.get("/stats/").text
    assert (session.status_code, overview.status_code) == (200, 200)
    assert (folder / "analytics.db").exists()


@pytest.mark.slow
def test_import_example_prints_numbers(folder):
    (imported,) = [block for block in blocks("python") if "Context(" in block]
    run("demo", "--sessions", 300)

    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", imported],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )

    assert ended.stderr == ""
    total, daily = ended.stdout.splitlines()
    assert total == "300"
    assert daily.startswith("[{'date': '")


def test_storage_source_example_runs(folder):
    (example,) = blocks("python", "docs/storage.md")
    names = {"__name__": "__main__", "count_in_warehouse": lambda: (15234, 1200)}

    exec(compile(example, "docs/storage.md", "exec"), names)
    answer = Client(names["app"]).get("/analytics/storage", headers={"X-API-Key": "a-long-secret-from-your-settings"})

    assert answer.json == {"total_objects": 15234, "estimated_sessions": 1200}


def test_authenticate_example_accepts_a_remote_user(folder):
    example, _flask, _django = blocks("python", "docs/host-applications.md")  # test_host_*.py runs the other two
    names = {"__name__": "__main__"}

    exec(compile(example, "docs/host-applications.md", "exec"), names)
    client = Client(names["app"])

    assert client.get("/analytics/overview", environ_overrides={"REMOTE_USER": "ann"}).status_code == 200
    assert client.get("/analytics/leads", environ_overrides={"REMOTE_USER": "ann"}).status_code == 403
    assert client.get("/analytics/overview").status_code == 401


def test_mod_wsgi_example_reads_its_settings(folder):
    (example,) = blocks("python", "docs/deployment.md")
    (folder / "key").write_text(KEY)
    (folder / "data").mkdir()
    request = f"Client(application).get('/analytics/overview', headers={{'X-API-Key': '{KEY}'}})"
    program = f"{example.replace('/srv/stats', str(folder))}\nfrom werkzeug.test import Client\nprint({request}.status)"

    ended = subprocess.run(
        [sys.executable],
        input=program,
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )

    assert ended.stdout == "200 OK\n"
    assert (folder / "data/analytics.db").exists()


def test_insert_example_is_counted():
    (inserts,) = blocks("sql")
    run("init")

    with closing(sqlite3.connect("analytics.db")) as connection:
        connection.executescript(inserts)
    with open_database("analytics.db").closing() as database:
        client = APIClient(create_app(database, api_keys=[KEY]))
        overview = client.get("/analytics/overview", key=KEY).json
        pages = client.get("/analytics/pages/top", key=KEY).json
        leads = client.get("/analytics/leads", key=KEY).json
        days = client.get("/analytics/sessions/daily?days=7", key=KEY).json

    assert (overview["total_sessions"], overview["total_events"], overview["avg_session_duration_s"]) == (1, 1, 60)
    assert pages == [{"page": "https://example.com/", "views": 1, "unique_sessions": 1}]
    assert leads["total"] == 1
    assert [day["total_sessions"] for day in days] == [1]


def test_every_python_block_has_a_test():
    assert {page: len(blocks("python", page)) for page in PAGES if blocks("python", page)} == {
        "README.md": 2,
        "docs/collecting-visits.md": 1,
        "docs/deployment.md": 1,
        "docs/host-applications.md": 3,
        "docs/statistics-page.md": 1,
        "docs/storage.md": 1,
    }


def test_keys_example_runs(folder):
    run("init")
    console = "".join(blocks("console", "docs/keys.md"))
    examples = re.findall(r"^\$ analytics-api (keys .*)\n(.*)$", console, re.MULTILINE)

    keys = [run(*shlex.split(words)) for words, _ in examples]
    rotation = [run(*shlex.split(line)[1:]) for line in blocks("sh", "docs/keys.md")[0].splitlines()]

    assert len(examples) == 2
    assert all(key.startswith(prefix.rstrip("…")) for key, (_, prefix) in zip(keys, examples))
    assert rotation[-1] == "key wall revoked\n"


@pytest.mark.slow
def test_d1_import_example_runs(folder):
    (block,) = [block for block in blocks("sh", "docs/importing.md") if "wrangler d1 export" in block]
    export, load = block.splitlines()
    file = shlex.split(export)[shlex.split(export).index("--output") + 1]
    Path(file).write_text(
        "PRAGMA defer_foreign_keys=TRUE;\n"
        "CREATE TABLE sessions (session_id TEXT PRIMARY KEY, visitor_id TEXT, started_at INTEGER);\n"
        "INSERT INTO \"sessions\" VALUES('s1','v1',1771945200000);\n"
    )

    ended = subprocess.run(
        load,
        shell=True,
        cwd=folder,
        env=clean_environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"),
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stdout) == (0, "sessions: 1 of 1 rows written\n")


def test_forms_of_examples_are_posted():
    forms = re.findall("^<form [^>]*data-analytics-lead[^>]*>", "".join(PAGES.values()), re.MULTILINE)

    assert forms
    assert [form for form in forms if 'method="post"' not in form] == []


def examples(page):
    """Return the `analytics-api` lines of a page, without the name of the command."""
    lines = "".join(blocks("sh", page)).replace("\\\n", "").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("analytics-api")]


def number_rows(folder, contacts):
    """Run the example that numbers the rows of a CSV file, and return its output."""
    (folder / "contacts.csv").write_text(contacts, encoding="utf-8")
    (numbering,) = [block for block in blocks("sh", "docs/importing.md") if "contacts.csv" in block]
    subprocess.run(["bash", "-euc", numbering.partition("analytics-api")[0]], cwd=folder, check=True)
    return (folder / "numbered.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("mark", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_rows_of_any_delimiter_are_numbered(mark, folder):
    contacts = 'Date|"Name"|E-mail|Phone\n\n2026-02-25|"Lee, ""Ann"""|ann@example.com|0123\n'.replace("|", mark)

    numbered = number_rows(folder, f"\ufeff{contacts}")
    (importing,) = [arguments for arguments in examples("docs/importing.md") if "numbered.csv" in arguments]
    run(*importing)

    assert numbered.startswith("lead_id,Date,Name,E-mail,Phone\n1001,2026-02-25,")
    assert query("analytics.db", "select lead_id, contact_name, contact_email, contact_phone from leads") == [
        (1001, 'Lee, "Ann"', "ann@example.com", "0123")
    ]


@pytest.mark.slow
def test_import_examples_run(folder):
    (folder / "crm.csv").write_text("Id,Date,E-mail\n7,2026-02-24 15:00:00,ann@example.com\n")
    (folder / "another-crm.csv").write_text("Id,Date,Status\n8,23/02/2026,Negotiation\n9,02/03/2026,Closed won\n")
    number_rows(folder, "Date,Name,E-mail,Phone\n2026-02-25 15:00:00,Bob,bob@example.com,\n")
    (folder / "access.log").write_bytes(access_logs.line("10:00:00"))
    (folder / "access.log.1.gz").write_bytes(gzip.compress(access_logs.line("10:10:00", "/prices")))
    (folder / "export.sql").write_text("CREATE TABLE sessions (session_id TEXT PRIMARY KEY, visitor_id, started_at);")
    (folder / "sessions.ndjson").write_text('{"session_id":"s1","visitor_id":"v1","started_at":1771945200000}\n')
    for table in ("events", "leads", "lead_submissions"):
        (folder / f"{table}.ndjson").touch()

    for arguments in examples("docs/importing.md"):
        run(*arguments)

    assert query("analytics.db", "select lead_id, enquiry_datetime, contact_email, status from leads order by 1") == [
        (7, "2026-02-24 15:00:00", "ann@example.com", "new"),
        (8, "2026-02-23 00:00:00", None, "qualified"),
        (9, "2026-03-02 00:00:00", None, "won"),
        (1001, "2026-02-25 15:00:00", "bob@example.com", "new"),
    ]
    assert query("analytics.db", "select page_url from events order by occurred_at") == [
        ("https://example.com/",),
        ("https://example.com/prices",),
    ]
    assert query("analytics.db", "select visitor_id from sessions where session_id = 's1'") == [("v1",)]


def test_lifecycle_examples_run():
    run("init")
    query(
        "analytics.db", "insert into sessions (session_id, visitor_id, started_at) values ('old', 'v', 1700000000000)"
    )
    query(
        "analytics.db", "insert into leads (enquiry_datetime, contact_email) values ('2026-02-24', 'ann@example.com')"
    )

    for arguments in examples("docs/data-lifecycle.md"):
        run(*arguments, input="y\n")

    assert query("another.db", "select session_id from sessions") == [("old",)]
    assert query("analytics.db", "select count(*) from sessions union all select count(*) from leads") == [(0,), (0,)]


def test_restore_example_runs_while_the_database_is_open(folder):
    backup, restore = [block for block in blocks("sh", "docs/data-lifecycle.md") if "backup.db" in block]
    with open_database("analytics.db").closing() as database:
        run(*shlex.split(backup)[1:])
        database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], [(1, "2026-02-23 11:15:00")]))
        subprocess.run(["bash", "-euc", restore], cwd=folder, check=True)
        database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], [(2, "2026-02-23 11:15:00")]))

        leads = database.tuples("select lead_id from leads")

    assert leads == [(2,)]


@pytest.fixture
def started(folder):
    """Run the example in the section `Standalone`, and return the server's port and key."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, as the README does")
    (block,) = [block for block in blocks("sh") if "analytics-api serve" in block]
    port = free_port()
    assert "127.0.0.1:8000" in block
    script = block.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    serving = subprocess.Popen(
        ["bash", "-euc", script],
        cwd=folder,
        env=clean_environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", HOME=str(folder)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def listens():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens)
        yield port, (folder / ".env").read_text().strip().partition("=")[2]
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(40)


@pytest.mark.slow
def test_standalone_and_curl_examples_run(started, folder):
    if not shutil.which("curl"):
        pytest.skip("needs curl, as the README does")
    port, key = started
    (folder / "demo.key").write_text(key)
    (first,) = re.findall("`(curl [^`]*)`", README)
    ((line, shown),) = re.findall(r"^\$ (curl .*)\n(\{.*\})$", "".join(blocks("console")), re.MULTILINE)

    responses = []
    for command in (first, line):
        ended = subprocess.run(
            ["bash", "-euc", command.replace(":8000", f":{port}").replace("curl ", "curl --silent --fail ")],
            cwd=folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0
        responses.append(json.loads(ended.stdout))

    for response in responses:
        assert {name: type(value) for name, value in json.loads(shown).items()} == {
            name: type(value) if name != "avg_engagement_score" else float for name, value in response.items()
        }
