"""The requests that the collector accepts, and those that it rejects."""

import json
import time

import jsonschema
import pytest
from helpers.collecting import BROWSER, HOME
from hypothesis import given
from hypothesis import strategies as st

from analytics_api import DatabaseError, SettingError
from analytics_api.collector import create_collector, writer
from analytics_api.collector.hosts import Hosts
from analytics_api.collector.schema import InvalidValue, check, load_schema

pytestmark = pytest.mark.any_engine

VIEW = {"type": "page_view", "id": "12345678", "url": HOME, "at": 1}
END = {**VIEW, "type": "page_end", "view": "abcdefgh", "visible": 1, "scroll": 2}
EVENT = {**VIEW, "type": "event", "name": "signup", "data": {"plan": "pro"}}
LEAD = {**VIEW, "type": "lead", "form": "contact", "fields": {"email": "ann@shop.example"}}

VALID = {
    "view": VIEW,
    "end": END,
    "event": EVENT,
    "lead": LEAD,
    "large-lead": {**LEAD, "fields": {"text": "x" * 60_000}},
    "list": [VIEW, EVENT],
    "unknown-member": {**VIEW, "color": "red"},
    "http": {**VIEW, "url": "HTTP://shop.example:8080/#x"},
    "fraction": {**END, "visible": 1.5},
    "name-of-64": {**EVENT, "name": "é" * 64},
}
INVALID = {
    "string": ("x", "the event must be an object"),
    "empty": ([], "the body must have at least 1 events"),
    "list-of-21": ([VIEW] * 21, "the body must have at most 20 events"),
    "no-type": ({**VIEW, "type": None}, "the event: type must be one of page_view, page_end, event, lead"),
    "no-id": ({"type": "page_view", "url": HOME, "at": 1}, "the event must have the member id"),
    "short-id": ({**VIEW, "id": "1234567"}, "the event: id must match ^[0-9A-Za-z_-]{8,64}$"),
    "newline": ({**VIEW, "id": "12345678\n"}, "the event: id must match ^[0-9A-Za-z_-]{8,64}$"),
    "relative": ({**VIEW, "url": "/home"}, "the event: url must match ^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"),
    "long-url": ({**VIEW, "url": HOME + "x" * 2000}, "the event: url must have at most 2,000 characters"),
    "at-of-text": ({**VIEW, "at": "1"}, "the event: at must be a number"),
    "at-of-boolean": ({**VIEW, "at": True}, "the event: at must be a number"),
    "negative": ({**END, "visible": -1}, "the event: visible must be at least 0"),
    "scroll": ({**END, "scroll": 101}, "the event: scroll must be at most 100"),
    "second": ([VIEW, {**EVENT, "name": ""}], "event 2: name must match "),
    "name-lead": ({**EVENT, "name": "lead"}, "the event: name must match "),
    "name-page": ({**EVENT, "name": "page_x"}, "the event: name must match "),
    "surrogate": ({**EVENT, "name": "\ud800"}, "the event: name must match "),
    "no-fields": ({**VIEW, "type": "lead", "form": ""}, "the event must have the member fields"),
    "long-form": ({**LEAD, "form": "x" * 201}, "the event: form must have at most 200 characters"),
    "data-list": ({**EVENT, "data": []}, "the event: data must be an object"),
    "data-large": ({**EVENT, "data": {"x": "y" * 4089}}, "data must have at most 4096 bytes as JSON"),
    "visitor": ({**VIEW, "visitor": "short"}, "the event: visitor must match "),
}


def stored(select):
    return {
        table: select("count(*)", table)[0][0]
        for table in ("sessions", "events", "collector_sessions", "collector_events", "collector_machines")
    }


NOTHING = dict.fromkeys(("sessions", "events", "collector_sessions", "collector_events", "collector_machines"), 0)


@pytest.mark.parametrize("name", VALID)
def test_valid_body_is_accepted(site, name):
    assert site.post(VALID[name]).status_code == 204


@pytest.mark.parametrize("name", INVALID)
def test_invalid_body_is_rejected_with_a_reason(site, select, name):
    body, message = INVALID[name]

    response = site.post(body)

    assert response.status_code == 400
    assert response.json["error"].startswith(message)
    assert stored(select) == NOTHING


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"type": NaN}', b"[" * 8000, b'{"at": ' + b"9" * 5000 + b"}", b'{"data": 1e999}'],
    ids=["empty", "cut", "not-utf8", "nan", "nested", "digits", "infinity"],
)
def test_body_that_is_not_json_is_rejected(site, select, body):
    response = site.post(body)

    assert (response.status_code, response.json) == (400, {"error": "The request body must be JSON in UTF-8"})
    assert stored(select) == NOTHING


@pytest.mark.parametrize("event", [EVENT, LEAD], ids=["event", "lead"])
def test_deeply_nested_values_are_stored_or_rejected(site, event):
    member = "data" if event is EVENT else "fields"

    def post(depth):
        body = json.dumps({**event, "id": f"nested-{depth}", member: {"x": "DEEP"}})
        return site.post(body.replace('"DEEP"', "[" * depth + "]" * depth).encode(), address=f"192.0.2.{depth % 250}")

    assert {post(depth).status_code for depth in range(900, 1_000)} <= {204, 400}


def test_large_body_is_rejected(site, select):
    response = site.post(json.dumps(VIEW).encode() + b" " * 8192)

    assert response.status_code == 413
    assert response.json == {"error": "The request body must have at most 8192 bytes, unless it has a lead"}
    assert site.post(json.dumps(LEAD).encode() + b" " * 65536).status_code == 413
    assert stored(select) == NOTHING


MEMBERS = {
    "type": st.sampled_from(["page_view", "page_end", "event", "lead", "other", 1]),
    "form": st.sampled_from(["", "contact", "f" * 201, None]),
    "fields": st.sampled_from([{}, {"a": 1}, [], "x"]),
    "anonymous": st.sampled_from([True, "yes"]),
    "id": st.sampled_from(["12345678", "a" * 64, "a" * 65, "short", 5, "ü" * 9]),
    "url": st.sampled_from([HOME, "x", "https://é.example/", HOME + "x" * 2000, None]),
    "at": st.one_of(st.integers(-1, 5), st.just(2.5), st.just(True), st.just(1e300)),
    "visitor": st.sampled_from(["v" * 16, "v", None]),
    "webdriver": st.sampled_from([True, "yes"]),
    "referrer": st.sampled_from(["", "r" * 2001, 1]),
    "view": st.sampled_from(["12345678", ""]),
    "visible": st.sampled_from([0, -1, "0"]),
    "scroll": st.sampled_from([0, 100, 100.5]),
    "name": st.sampled_from(["x", "", "lead", "page_", "n" * 65, "leads", "\n"]),
    "data": st.sampled_from([{}, [], {"a": 1}]),
}
BODIES = st.fixed_dictionaries({}, optional=MEMBERS)


@given(st.one_of(BODIES, st.lists(BODIES, max_size=21), st.none(), st.text()))
@pytest.mark.slow
def test_validation_agrees_with_json_schema(body):
    try:
        check(body, "the event")
        is_valid = True
    except InvalidValue:
        is_valid = False

    assert is_valid == jsonschema.Draft202012Validator(load_schema()).is_valid(body)


@pytest.mark.parametrize(
    ("url", "is_included"),
    [
        ("https://shop.example/", True),
        ("https://www.shop.example/", True),
        ("http://SHOP.example:8080", True),
        ("https://user@shop.example/", True),
        ("https://shop.example@evil.example/", False),
        ("https://shop.example.evil.example/", False),
        ("https://myshop.example/", False),
        ("https://a.b.shop.example/", True),
        ("https://www.other.example/", True),
        ("https://other.example/", False),
        ("https://.other.example/", False),
        ("null", False),
        ("https://shop.example\\@evil.example/", True),
    ],
    ids=str,
)
def test_urls_match_the_hosts_of_the_site(url, is_included):
    assert Hosts(["shop.example", "*.shop.example", "*.other.example"]).include_url(url) is is_included


@pytest.mark.parametrize(
    "hosts", [(), None, (5,), ("a b",), ("",), ("https://shop.example",), ("*",), ("*.*.example",)], ids=str
)
def test_hosts_that_are_not_names_are_rejected(database, hosts):
    with pytest.raises(SettingError, match=r"^hosts: "):
        create_collector(database, hosts=hosts)


@pytest.mark.parametrize(
    "argument",
    [{"clock": lambda: 1771945200}, {"clock": time.time}, {"clock": 5}, {"vpn_networks": None}],
    ids=["seconds", "float", "number", "networks"],
)
def test_invalid_argument_is_named(database, argument):
    with pytest.raises(SettingError, match=rf"^{next(iter(argument))}: "):
        create_collector(database, hosts=["shop.example"], **argument)


@pytest.mark.parametrize("value", [None, 5, ":memory:", "mysql://host/name"], ids=str)
def test_invalid_database_is_named(value):
    with pytest.raises(SettingError, match=r"^database: "):
        create_collector(value, hosts=["shop.example"])


LIST_IT = "list the host in ANALYTICS_COLLECT_HOSTS, or in the argument hosts of create_collector"


@pytest.mark.parametrize("origin", ["null", "https://evil.example"])
def test_foreign_origin_is_rejected(site, select, origin):
    response = site.post(VIEW, headers={"Origin": origin})

    assert (response.status_code, response.json) == (
        403,
        {"error": f"The origin '{origin}' is not one of this site's hosts; {LIST_IT}"},
    )
    assert stored(select) == NOTHING


def test_foreign_origin_is_logged_once(site, caplog):
    for _ in range(3):
        site.post(VIEW, headers={"Origin": "https://evil.example"})

    assert [record.getMessage() for record in caplog.records] == [
        f"events were rejected: The origin 'https://evil.example' is not one of this site's hosts; {LIST_IT}"
    ]


def test_foreign_url_rejects_the_whole_request(site, select):
    response = site.post([VIEW, {**VIEW, "id": "abcdefgh", "url": "https://evil.example/"}])

    assert response.status_code == 403
    assert stored(select) == NOTHING


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ann:hush@evil.example:8080/a", "'evil.example'"),
        (f"https://{'long.' * 30}example/", f"'{'long.' * 11}l..."),
    ],
    ids=["port-and-user", "long"],
)
def test_error_names_the_host_that_is_not_listed(site, url, shown):
    response = site.post({**VIEW, "url": url})

    assert response.json == {"error": f"The host {shown} of a url is not one of this site's hosts; {LIST_IT}"}


def test_error_escapes_control_characters_of_an_origin(site):
    response = site.post(VIEW, headers={"Origin": "https://evil.example/\x1b[31m\x85"})

    assert response.json["error"].startswith(r"The origin 'https://evil.example/\x1b[31m\x85' is not")


@pytest.mark.parametrize("body", [VIEW, "x"], ids=["accepted", "rejected"])
def test_every_reply_can_be_read_by_any_page(site, body):
    headers = site.post(body).headers

    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Expose-Headers"] == "Retry-After"
    assert "Access-Control-Allow-Credentials" not in headers


def test_preflight_allows_json(site):
    response = site.client.options("/collect")

    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Methods"] == "POST"
    assert response.headers["Access-Control-Allow-Headers"] == "Content-Type"


def test_json_content_type_is_accepted(site):
    response = site.client.post("/collect", json=VIEW, headers={"User-Agent": BROWSER})

    assert response.status_code == 204


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/collect", 405), ("POST", "/other", 404)])
def test_other_methods_and_paths_are_rejected(site, method, path, status):
    assert site.client.open(path, method=method).status_code == status


@pytest.mark.parametrize(
    ("options", "members", "reason"),
    [
        ({"agent": "Googlebot/2.1"}, {}, "crawler"),
        ({"agent": ""}, {}, "no user agent"),
        ({}, {"webdriver": True}, "webdriver"),
        ({"headers": {"Sec-Purpose": "prefetch;prerender"}}, {}, "prefetch"),
    ],
    ids=["crawler", "no-agent", "webdriver", "prefetch"],
)
def test_machines_are_counted_separately(site, select, options, members, reason):
    for _ in range(2):
        assert site.post({**VIEW, **members}, **options).status_code == 204

    assert select("day, reason, hits", "collector_machines") == [(20508, reason, 2)]
    assert stored(select) == {**NOTHING, "collector_machines": 1}


def test_database_that_cannot_be_written_is_503(site, monkeypatch):
    def fail(work, *, pipeline):
        raise DatabaseError("disk full")

    site.view()
    monkeypatch.setattr(site.collector.db, "write", fail)
    response = site.post({**VIEW, "id": "another-event"})

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "disk" not in response.text


def test_too_many_waiting_events_are_503(site, monkeypatch, select):
    monkeypatch.setattr(writer, "MAX_WAITING", 0)
    response = site.post(VIEW)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert stored(select) == NOTHING
