"""`analytics-api storage` and the API with an S3 server."""

import time

import pytest
from click.testing import CliRunner
from helpers.server import serving, wait_for
from helpers.storage_servers import KEY_ID, SECRET

from analytics_api import open_database
from analytics_api.cli import main
from analytics_api.errors import StorageError
from analytics_api.storage.s3 import Bucket
from analytics_api.storage.snapshot import Snapshot

CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs `analytics-api storage` with settings and returns its output."""
    monkeypatch.chdir(tmp_path)
    open_database("a.db").close()
    for name in ("ANALYTICS_STORAGE", "ANALYTICS_STORAGE_PATTERN", "AWS_REGION", "CLOUDFLARE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, status=0, **environ):
        result = CliRunner().invoke(main, ["storage", *arguments], env={"ANALYTICS_DATABASE": "a.db", **environ})
        assert result.exit_code == status, result.output
        assert SECRET not in result.output
        return result.output

    return run


def saved(folder):
    with open_database(folder / "a.db").closing() as database:
        return database.rows("select source, total_objects, estimated_sessions from storage_snapshots")


def test_storage_command_lists_prints_and_saves(s3, run, tmp_path):
    s3.fill("told", [f"sessions/{number // 5}/{number % 5}.json" for number in range(1500)])

    output = run(ANALYTICS_STORAGE=f"{s3.url}/told", **CREDENTIALS)

    assert output == "objects: 1,500\nsessions: 300\n"
    assert [tuple(row.values())[1:] for row in saved(tmp_path)] == [(1500, 300)]


def test_server_serves_saved_statistics(s3, run, tmp_path):
    s3.fill("served", ["sessions/a/1.json", "sessions/a/2.json", "notes.txt"])
    settings = {"ANALYTICS_STORAGE": f"{s3.url}/served", **CREDENTIALS}
    run(**settings)

    with serving(tmp_path, "--workers", "2", database="a.db", **settings) as server:
        replies = [server.request("GET", "/analytics/storage") for _ in range(20)]

    assert {(status, body) for status, _, body in replies} == {(200, b'{"total_objects":3,"estimated_sessions":1}')}
    assert all(0 <= int(headers["Age"]) < 60 for _, headers, _ in replies)
    assert SECRET not in server.log.read_text()


def test_wrong_secret_is_500_and_logged_without_it(s3, tmp_path):
    s3.fill("secret")
    settings = {"ANALYTICS_STORAGE": f"{s3.url}/secret", **CREDENTIALS, "AWS_SECRET_ACCESS_KEY": "zqx-wrong"}

    with serving(tmp_path, "--workers", "1", database="a.db", **settings) as server:
        reply = server.get("/analytics/storage")

    assert reply == (500, {"error": "Analytics query failed"})
    assert "403" in server.log.read_text()
    assert "zqx-wrong" not in server.log.read_text()


def test_ratio_is_saved_with_its_date(s3, run, tmp_path):
    s3.fill("measured", [f"sessions/{number // 5}/{number % 5}.json" for number in range(20)])

    output = run("--calibrate", ANALYTICS_STORAGE=f"{s3.url}/measured", **CREDENTIALS)

    assert output == "5.00 objects per session\nobjects: 20\nsessions: 4\n"
    with open_database(tmp_path / "a.db").closing() as database:
        (ratio,) = database.rows("select objects_per_session, measured_at from storage_ratios")
    assert ratio["objects_per_session"] == 5.0
    assert abs(ratio["measured_at"] / 1000 - time.time()) < 600


def test_directory_is_counted_with_custom_pattern(run, tmp_path):
    for name in ("rec/2026/ann-1.json", "rec/2026/ann-2.json", "rec/2026/ben-1.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    output = run(ANALYTICS_STORAGE="rec", ANALYTICS_STORAGE_PATTERN=r"/(?P<session>[a-z]+)-\d+\.json$")

    assert output == "objects: 3\nsessions: 2\n"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "Error: ANALYTICS_STORAGE must be set to the directory or bucket with the recordings\n"),
        ({"ANALYTICS_STORAGE": "https://s3.example/bucket"}, "Error: ANALYTICS_STORAGE is a bucket: set AWS_"),
        (
            {"ANALYTICS_STORAGE": "rec", "ANALYTICS_STORAGE_PATTERN": "("},
            "Error: ANALYTICS_STORAGE_PATTERN: The session pattern is",
        ),
        (
            {"ANALYTICS_STORAGE": "rec", "ANALYTICS_STORAGE_PATTERN": "x"},
            "Error: ANALYTICS_STORAGE_PATTERN: The session pattern needs",
        ),
    ],
)
def test_unusable_storage_fails_in_one_line(run, environ, message):
    output = run(status=1, **environ)

    assert output.startswith(message)
    assert output.count("\n") == 1


def test_storage_creates_no_database(run, tmp_path):
    output = run("-d", "elsewhere.db", status=1, ANALYTICS_STORAGE=str(tmp_path))

    assert output == f"Error: {tmp_path}/elsewhere.db: this database does not exist; `analytics-api init` creates it\n"
    assert not (tmp_path / "elsewhere.db").exists()


def test_missing_bucket_leaves_saved_statistics(s3, run, tmp_path):
    s3.fill("here", ["sessions/a/1.json"])
    run(ANALYTICS_STORAGE=f"{s3.url}/here", **CREDENTIALS)

    output = run(status=1, ANALYTICS_STORAGE=f"{s3.url}/not-here", **CREDENTIALS)

    assert output.splitlines()[-1].startswith("Error: ")
    assert "404" in output
    assert sorted(str(row["total_objects"]) for row in saved(tmp_path)) == ["1", "None"]


def test_request_does_not_wait_for_a_hanging_server(scripted, tmp_path):
    server = scripted(lambda request: request.hang())
    bucket = Bucket(f"{server.url}/b", access_key_id=KEY_ID, secret_access_key=SECRET, deadline=1.0)
    with open_database(tmp_path / "a.db").closing() as database:
        snapshot = Snapshot(bucket, database, timeout=300)
        begun = time.monotonic()

        with pytest.raises(StorageError, match="were not available within the timeout"):
            snapshot.statistics()

        assert time.monotonic() - begun < 10
        wait_for(lambda: snapshot._row()["failed_at"] is not None)
