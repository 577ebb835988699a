"""Parsing documented responses of Cloudflare's analytics, and rejecting other responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.storage_servers import Request, Scripted, Server

from analytics_api.errors import SettingError, StorageError
from analytics_api.storage.cloudflare import Analytics

TOKEN = "a-token-that-must-not-leak"
NOW = 1767348000.0  # 2026-01-02 10:00


def analytics(server: Server, **options: Any) -> Analytics:
    settings: dict[str, Any] = {
        "endpoint": f"{server.url}/client/v4/graphql",
        "clock": lambda: NOW,
        "timeout": 5.0,
        "deadline": 10.0,
    }
    return Analytics("f" * 32, "recordings", TOKEN, **settings | options)


def row(objects: Any, datetime: str = "2026-01-02T00:00:00Z", storage_class: str = "Standard") -> dict[str, Any]:
    return {"max": {"objectCount": objects}, "dimensions": {"datetime": datetime, "storageClass": storage_class}}


def answer(*rows: dict[str, Any]) -> str:
    return json.dumps({"data": {"viewer": {"accounts": [{"r2StorageAdaptiveGroups": rows}]}}, "errors": None})


def errors(message: str) -> str:
    return json.dumps({"data": None, "errors": [{"message": message, "path": ["viewer"], "extensions": {}}]})


def test_newest_rows_of_storage_classes_are_summed(scripted: Scripted) -> None:
    rows = [
        row(500, "2026-01-01T00:00:00Z"),
        row(70, "2026-01-01T00:00:00Z", "InfrequentAccess"),
        row(900, "2026-01-02T00:00:00Z"),
        row(9999, "2025-12-31T00:00:00Z"),
        row(9999, "2025-12-31T00:00:00Z", "InfrequentAccess"),
    ]
    server = scripted(lambda request: request.answer(answer(*rows)))

    statistics = analytics(server).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions, statistics.taken_at) == (970, None, 1767348000000)


def test_query_is_the_documented_one(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(answer(row(1))))

    analytics(server).statistics()

    (request,) = server.requests
    body = json.loads(request.body)
    assert (request.command, request.path) == ("POST", "/client/v4/graphql")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "r2StorageAdaptiveGroups" in body["query"]
    assert body["variables"] == {
        "account": "f" * 32,
        "bucket": "recordings",
        "since": "2025-12-30T10:00:00Z",
        "until": "2026-01-02T10:00:00Z",
    }


def test_missing_figure_is_unknown(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(answer()))

    statistics = analytics(server).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (None, None)


def test_zero_stays_zero(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer(answer(row(0))))

    statistics = analytics(server).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions) == (0, None)


@pytest.mark.parametrize("status", [200, 400])
def test_errors_are_reported_for_any_status(scripted: Scripted, status: int) -> None:
    server = scripted(lambda request: request.answer(errors("cannot request data older\nthan 2678400s"), status))

    with pytest.raises(StorageError, match=f"{status}: cannot request data older than 2678400s$"):
        analytics(server).statistics()

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_rejected_token_is_not_in_the_error(scripted: Scripted, status: int) -> None:
    server = scripted(lambda request: request.answer(errors(f"{request.headers['Authorization']}?"), status))
    provider = analytics(server)

    with pytest.raises(StorageError, match=rf"rejects the token \({status}\)") as caught:
        provider.statistics()

    assert TOKEN not in f"{caught.value!r} {provider!r}"


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("status", [429, 503])
def test_transient_error_is_retried(scripted: Scripted, status: int) -> None:
    def script(request: Request) -> None:
        if request.number == 1:
            request.answer(errors("too many queries in progress, please try again later"), status, Retry_After="0")
        else:
            request.answer(answer(row(7)))

    server = scripted(script)

    statistics = analytics(server).statistics()

    assert statistics.total_objects == 7


def test_depleted_budget_is_an_error_without_a_wait(scripted: Scripted) -> None:
    message = "rate limiter budget depleted, try again after 5 minutes"
    server = scripted(lambda request: request.answer(errors(message), 429, Retry_After="300"))

    with pytest.raises(StorageError, match=f"429: {message}"):
        analytics(server).statistics()

    assert len(server.requests) == 1


def test_silent_server_ends_at_the_deadline(scripted: Scripted) -> None:
    server = scripted(Request.hang)

    with pytest.raises(StorageError, match="did not respond"):
        analytics(server, timeout=0.1, deadline=0.2).statistics()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, ""),
        (200, "<html>"),
        (200, "[]"),
        (200, "null"),
        (200, '{"data": null, "errors": null}'),
        (200, '{"data": {"viewer": {"accounts": [{}]}}}'),
        (200, answer({"max": {}, "dimensions": {}})),
        (200, answer(row(None))),
        (200, answer(row("many"))),
        (404, "not here"),
        (500, '{"errors": []}'),
        (302, ""),
    ],
)
@pytest.mark.usefixtures("hurry")
def test_undocumented_response_is_an_error(scripted: Scripted, status: int, body: str) -> None:
    server = scripted(lambda request: request.answer(body, status))

    with pytest.raises(StorageError, match=f"unexpected response with status {status}"):
        analytics(server).statistics()


def test_account_missing_in_response_is_an_error(scripted: Scripted) -> None:
    server = scripted(lambda request: request.answer('{"data": {"viewer": {"accounts": []}}, "errors": null}'))

    with pytest.raises(StorageError, match="do not know this account"):
        analytics(server).statistics()


@pytest.mark.parametrize(
    ("account", "bucket", "token", "endpoint"),
    [
        ("", "b", "t", "https://127.0.0.1/"),
        ("a", "", "t", "https://127.0.0.1/"),
        ("a", "b", "", "https://127.0.0.1/"),
        ("a", "b", "t\n", "https://127.0.0.1/"),
        ("a", "b", "t\u00e9", "https://127.0.0.1/"),
        ("a", "b", "t", "127.0.0.1"),
    ],
)
def test_invalid_arguments_are_rejected(account: str, bucket: str, token: str, endpoint: str) -> None:
    with pytest.raises(SettingError):
        Analytics(account, bucket, token, endpoint=endpoint)
