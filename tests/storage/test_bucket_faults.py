"""If the server has a fault, a count is correct or fails, and ends before its deadline."""

from __future__ import annotations

import itertools
import logging
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus
from xml.sax.saxutils import escape

import pytest
from helpers.storage_servers import KEY_ID, SECRET, Request, Scripted, Server

from analytics_api.errors import StorageError
from analytics_api.storage import http
from analytics_api.storage.s3 import Bucket


def bucket(server: Server, **options: Any) -> Bucket:
    limits = {"timeout": 5.0, "deadline": 10.0}
    return Bucket(f"{server.url}/bkt", access_key_id=KEY_ID, secret_access_key=SECRET, **limits | options)


def page(*keys: str, following: str | None = None, truncated: bool | None = None, encoded: bool = True) -> str:
    """Return a ListBucketResult, truncated if another page follows."""
    more = following is not None if truncated is None else truncated
    contents = "".join(
        f"<Contents><Key>{quote_plus(key, safe='/') if encoded else escape(key)}</Key><Size>1</Size></Contents>"
        for key in keys
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        + f"<Name>bkt</Name><IsTruncated>{str(more).lower()}</IsTruncated>{contents}"
        + (f"<NextContinuationToken>{escape(following)}</NextContinuationToken>" if following else "")
        + ("<EncodingType>url</EncodingType>" if encoded else "")
        + "</ListBucketResult>"
    )


def test_listing_ends_when_not_truncated(scripted: Scripted) -> None:
    pages = [
        page("sessions/a/0", following="one+1/=&"),
        page(following="two"),
        page("sessions/b/0", "sessions/b/1", following="three"),
        page("sessions/c/0", truncated=False).replace(
            "<Contents>", "<NextContinuationToken>x</NextContinuationToken><Contents>"
        ),
    ]
    server = scripted(lambda request: request.answer(pages[request.number - 1]))

    statistics = bucket(server).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (4, 3)
    tokens = [parse_qs(request.path.partition("?")[2]).get("continuation-token") for request in server.requests]
    assert tokens == [None, ["one+1/=&"], ["two"], ["three"]]


def test_listing_uses_one_connection(scripted: Scripted) -> None:
    server = scripted(
        lambda request: request.answer(page(following=str(request.number) if request.number < 9 else None))
    )

    bucket(server).statistics()

    assert (len(server.requests), server.connections) == (9, 1)


def test_truncated_page_without_token_is_an_error(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(page("sessions/a/0", truncated=True)))

    with pytest.raises(StorageError, match="truncated, but without a continuation token"):
        bucket(server).statistics()


def test_repeated_token_is_an_error(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(page("sessions/a/0", following="again")))

    with pytest.raises(StorageError, match="the same continuation token twice"):
        bucket(server).statistics()


def test_endless_tokens_end_at_the_deadline(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(page("sessions/a/0", following=str(request.number))))

    with pytest.raises(StorageError, match=r"all requests together took longer than 0\.3 s"):
        bucket(server, deadline=0.3).statistics()


KEYS = [
    "a//b",
    "/lead",
    "marker/",
    "marker",
    "x/./y",
    "x/../y",
    ".",
    "..",
    " ",
    "a b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "\x01",
    "\r",
]
KEYS += ["\n", "\r\n", "\ufffe", "\u00e9", "e\u0301", "日本", "<&>", "%", "\\"]


def test_every_valid_key_is_counted_separately(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(page(*KEYS)))

    statistics = bucket(server, pattern=r"\A(?P<session>[\s\S]+)\Z").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (len(KEYS), len(KEYS))


def test_unencoded_keys_are_read_unchanged(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(page("a+b", "a b", "%41", "A", "<&>", encoded=False)))

    statistics = bucket(server, pattern=r"\A(?P<session>a\+b|a b|%41|A|<&>)\Z").statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (5, 5)


def test_endpoint_may_have_a_path(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(page("site 1/sessions/a/0")))
    url = f"{server.url}/storage/v1/s3/bkt/"

    Bucket(url, prefix="site 1/", access_key_id=KEY_ID, secret_access_key=SECRET).statistics()

    (request,) = server.requests
    assert request.path == "/storage/v1/s3/bkt?encoding-type=url&list-type=2&prefix=site%201%2F"


@pytest.mark.usefixtures("hurry")
def test_interrupted_page_is_retried(scripted: Scripted) -> None:
    def script(request: Request) -> None:
        if request.number == 1:
            request.answer(page("sessions/a/0", following="next"))
        elif request.number == 2:
            request.send_response(200)
            request.send_header("Content-Length", "5000")
            request.end_headers()
            request.wfile.write(page("sessions/b/0").encode()[:150])
            request.close_connection = True
        elif request.number == 3:
            request.close_connection = True
        else:
            request.answer(page("sessions/c/0"))

    server = scripted(script)

    statistics = bucket(server).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (2, 2)
    assert ["continuation-token=next" in request.path for request in server.requests] == [False, True, True, True]


@pytest.mark.usefixtures("hurry")
def test_server_that_dies_while_listing_is_an_error(scripted: Scripted) -> None:
    def script(request: Request) -> None:
        if request.number == 1:
            request.answer(page("sessions/a/0", following="next"))
        else:
            request.close_connection = True

    server = scripted(script)

    with pytest.raises(StorageError, match="did not respond: RemoteDisconnected"):
        bucket(server).statistics()

    assert len(server.requests) == 1 + http.ATTEMPTS


@pytest.mark.usefixtures("hurry")
def test_rejected_connection_is_an_error(scripted: Scripted) -> None:
    server = scripted(lambda request: None)
    server.shutdown()
    server.server_close()

    with pytest.raises(StorageError, match="ConnectionRefusedError"):
        bucket(server).statistics()


def drip(request: Request, text: str) -> None:
    for byte in text.encode():
        if request.server.over.wait(0.02):
            break
        request.wfile.write(bytes([byte]))
    request.close_connection = True


@pytest.mark.parametrize(
    "script",
    [
        Request.hang,
        lambda request: drip(request, "HTTP/1.1 200 OK\r\nX-Endless: " + "x" * 10_000),
        lambda request: drip(request, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + " " * 10_000),
    ],
    ids=["silent", "dripping headers", "dripping a body"],
)
def test_hanging_server_ends_at_the_deadline(scripted: Scripted, script: Callable[[Request], None]) -> None:
    server = scripted(script)
    start = time.monotonic()

    with pytest.raises(
        StorageError, match=r"did not respond: (no response within|all requests together took longer than)"
    ):
        bucket(server, timeout=0.2, deadline=0.5).statistics()

    assert time.monotonic() - start < 5


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_transient_error_is_retried_with_a_new_signature(
    scripted: Scripted, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "analytics_api.storage.http")
    answers = [
        lambda r: r.answer("<Error><Code>SlowDown</Code></Error>", status),
        lambda r: r.answer(page("sessions/a/0")),
    ]
    server = scripted(lambda request: answers[request.number - 1](request))
    seconds = itertools.count(1767225600)

    statistics = bucket(server, clock=lambda: next(seconds)).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions, statistics.taken_at) == (1, 1, 1767225600000)
    assert [request.headers["x-amz-date"] for request in server.requests] == ["20260101T000001Z", "20260101T000002Z"]
    assert f"HTTP {status}; attempt 2" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.usefixtures("hurry")
def test_permanent_error_has_its_code(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer("<Error><Code>SlowDown</Code></Error>", 503))

    with pytest.raises(StorageError, match="503 SlowDown"):
        bucket(server).statistics()

    assert len(server.requests) == http.ATTEMPTS


@pytest.mark.parametrize("later", ["3600", formatdate(time.time() + 3600, usegmt=True)], ids=["seconds", "date"])
def test_retry_after_beyond_the_deadline_is_an_error(scripted: Scripted, later: str) -> None:
    server = scripted(lambda request: request.answer("<Error><Code>SlowDown</Code></Error>", 429, Retry_After=later))

    with pytest.raises(StorageError, match="429 SlowDown"):
        bucket(server).statistics()

    assert len(server.requests) == 1


@pytest.mark.usefixtures("hurry")
def test_retry_after_is_respected(scripted: Scripted) -> None:
    answers = [lambda r: r.answer("", 429, Retry_After="1"), lambda r: r.answer(page("sessions/a/0"))]
    server = scripted(lambda request: answers[request.number - 1](request))
    start = time.monotonic()

    statistics = bucket(server).statistics()

    assert statistics.total_objects == 1
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html><body>Welcome</body></html>", "not a ListBucketResult with IsTruncated"),
        ("<Error><Code>InternalError</Code></Error>", "not a ListBucketResult with IsTruncated"),
        ("<ListBucketResult></ListBucketResult>", "not a ListBucketResult with IsTruncated"),
        (page("a").replace("<Key>a</Key>", ""), "an object without a key"),
        (page("a")[:-20], "not valid XML"),
        ("", "not valid XML"),
    ],
)
def test_response_that_is_not_a_listing_is_an_error(scripted: Scripted, body: str, said: str) -> None:
    server = scripted(lambda request: request.answer(body))

    with pytest.raises(StorageError, match=said):
        bucket(server).statistics()


@pytest.mark.parametrize(
    ("status", "code"), [(401, "Unauthorized"), (403, "SignatureDoesNotMatch")], ids=["key", "secret"]
)
def test_refused_credentials_are_named(scripted: Scripted, status: int, code: str) -> None:
    server = scripted(lambda request: request.answer(f"<Error><Code>{code}</Code></Error>", status))

    with pytest.raises(StorageError, match=f"{status} {code}; are the key and the secret right"):
        bucket(server).statistics()


@pytest.mark.parametrize("status", [301, 307, 400, 403, 404, 405, 501])
def test_redirect_is_an_error_and_not_followed(scripted: Scripted, status: int) -> None:
    server = scripted(lambda request: request.answer(b"\xff<Code>\n</Code>", status, Location="http://127.0.0.1:1/"))

    with pytest.raises(StorageError, match=f"cannot be listed: {status}"):
        bucket(server).statistics()

    assert len(server.requests) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.pem"
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    openssl = shutil.which("openssl") or pytest.skip("openssl, which makes the certificate, is not installed")
    files = [f"-keyout={path}.key", f"-out={path}", "-addext=subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *arguments.split(), *(part for file in files for part in file.split("=", 1))], check=True)
    return path


def encrypt(server: Server, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = server.url.replace("http:", "https:")


def test_bucket_is_listed_over_tls(scripted: Scripted, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = scripted(
        lambda request: request.answer(page("sessions/a/0", following="2" if request.number < 2 else None))
    )
    encrypt(server, certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    statistics = bucket(server).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions, server.connections) == (2, 1, 1)


@pytest.mark.usefixtures("hurry")
def test_untrusted_certificate_is_an_error(scripted: Scripted, certificate: Path) -> None:
    server = scripted(lambda request: request.answer(page("sessions/a/0")))
    encrypt(server, certificate)

    with pytest.raises(StorageError, match="CERTIFICATE_VERIFY_FAILED"):
        bucket(server).statistics()

    assert server.requests == []


def test_hanging_tls_server_ends_at_the_deadline(
    scripted: Scripted, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(lambda request: drip(request, "HTTP/1.1 200 OK\r\nX-Endless: " + "x" * 10_000))
    encrypt(server, certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with pytest.raises(StorageError, match="did not respond"):
        bucket(server, timeout=0.2, deadline=0.5).statistics()


def test_endless_response_is_not_kept_in_memory(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_LIMIT", 1000)
    server = scripted(lambda request: request.answer(" " * 2000))

    with pytest.raises(StorageError, match="more than 1000 bytes"):
        bucket(server).statistics()
