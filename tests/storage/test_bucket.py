"""Counting a bucket on a server that validates the requests."""

from __future__ import annotations

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from helpers.storage_servers import S3, SECRET

from analytics_api.errors import StorageError
from analytics_api.storage.sigv4 import Signer

ODD = [
    "a b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "100%",
    "a&b",
    "a<b>&amp;",
    "\u00e9",
    "日本",
    "line\nfeed",
    "cr\r",
    "t\tab",
    "\x01",
]
ODD += ["'\"", "#?;=", " lead", "trail ", "back\\slash", "~", "*"]


def test_bucket_counts_objects_over_several_pages(s3: S3) -> None:
    s3.fill("many", [f"sessions/{number // 5}/{number % 5}.json" for number in range(5000)])

    statistics = s3.bucket("many").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (5000, 1000)


def test_bucket_counts_session_in_folder_and_files_once(s3: S3) -> None:
    s3.fill("mixed", ["sessions/a/0.json", "sessions/a-2/0.json", "sessions/a.json.gz", "sessions/a.meta.json"])

    statistics = s3.bucket("mixed").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (4, 2)


def test_bucket_counts_odd_keys_separately(s3: S3) -> None:
    s3.fill("odd")
    for name in ODD:
        s3.put(f"odd/sessions/{name}/0.json")

    statistics = s3.bucket("odd").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (len(ODD), len(ODD))


@pytest.mark.parametrize("name", ODD)
def test_bucket_reads_odd_keys_unchanged(s3: S3, name: str) -> None:
    bucket = f"odd-{ODD.index(name)}"
    s3.fill(bucket)
    s3.put(f"{bucket}/sessions/{name}/0.json")

    statistics = s3.bucket(bucket, pattern=rf"\Asessions/(?P<session>{re.escape(name)})/0\.json\Z").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (1, 1)


def test_empty_bucket_is_zero_not_unknown(s3: S3) -> None:
    s3.fill("empty")

    before = int(time.time() * 1000)

    statistics = s3.bucket("empty").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (0, 0)
    assert before <= statistics.taken_at <= time.time() * 1000


@pytest.fixture(scope="session")
def sites(s3: S3) -> str:
    keys = ["site1/sessions/a/0.json", "site1/sessions/b.json", "site1/index.html", "site10/sessions/c/0.json"]
    s3.fill("sites", [*keys, "site 2/sessions/d/0.json", "sessions/e/0.json"])
    return "sites"


@pytest.mark.parametrize(
    ("prefix", "objects", "sessions"),
    [
        ("", 6, 5),
        ("site1/", 3, 2),
        ("site1/sessions/", 2, 2),
        ("site1/sessions/a", 1, 1),
        ("site1", 4, 3),
        ("site 2/", 1, 1),
        ("sessions/", 1, 1),
        ("nothing/", 0, 0),
    ],
)
def test_bucket_counts_only_keys_with_prefix(s3: S3, sites: str, prefix: str, objects: int, sessions: int) -> None:
    bucket = s3.bucket(sites, prefix=prefix)

    statistics = bucket.statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (objects, sessions)


def test_keys_without_session_are_counted_and_logged_once(s3: S3, caplog: pytest.LogCaptureFixture) -> None:
    s3.fill("other", [*(f"logs/{number}.txt" for number in range(1500)), "sessions/a/0.json"])
    caplog.set_level(logging.INFO, "analytics_api.storage.base")

    statistics = s3.bucket("other").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (1501, 1)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("1500 of 1501 keys have no session")


def test_bucket_without_sessions_logs_a_warning(s3: S3, caplog: pytest.LogCaptureFixture) -> None:
    s3.fill("stray", ["recordings/a/0.json"])

    statistics = s3.bucket("stray").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (1, 0)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_bucket_follows_custom_pattern(s3: S3) -> None:
    s3.fill("own", ["2026/01/a_0.json", "2026/01/a_1.json", "2026/02/a_0.json", "2026/02/b_0.json", "readme"])

    statistics = s3.bucket("own", pattern=r"/(?P<session>[a-z]+)_\d+\.json$").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (5, 2)


def test_wrong_secret_is_an_error_without_the_secret(s3: S3) -> None:
    s3.fill("locked", ["sessions/a/0.json"])
    bucket = s3.bucket("locked", secret_access_key=SECRET + "x")

    with pytest.raises(StorageError, match="403 SignatureDoesNotMatch") as caught:
        bucket.statistics()

    assert SECRET not in f"{caught.value!r} {bucket!r} {vars(bucket)!r}"


def test_unknown_access_key_is_an_error(s3: S3) -> None:
    s3.fill("unknown")

    with pytest.raises(StorageError, match="403 InvalidAccessKeyId"):
        s3.bucket("unknown", access_key_id="AKSOMEONEELSE").statistics()


def test_missing_bucket_is_an_error(s3: S3) -> None:
    with pytest.raises(StorageError, match="/missing cannot be listed: 404 NoSuchBucket"):
        s3.bucket("missing").statistics()


def test_bucket_is_shared_by_threads(s3: S3) -> None:
    s3.fill("shared", [f"sessions/{number}/0.json" for number in range(1200)])
    bucket = s3.bucket("shared")

    with ThreadPoolExecutor(8) as threads:
        statistics = list(threads.map(lambda _: bucket.statistics(), range(8)))

    assert [(one.total_objects, one.estimated_sessions) for one in statistics] == [(1200, 1200)] * 8


def test_signature_matches_amazon_example() -> None:
    signer = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    now = datetime(2013, 5, 24, tzinfo=timezone.utc).timestamp()

    headers = signer.headers("GET", "examplebucket.s3.amazonaws.com", "/", "max-keys=2&prefix=J", now)

    assert headers["authorization"].endswith(
        "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )
