"""Importing an access log as sessions and events."""

import gzip
import io
import json

import pytest
from helpers.access_logs import FIREFOX, GOOGLEBOT, clock, events, line, sessions
from helpers.counters import read_totals
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_api import IngestError
from analytics_api.imports import Rejects, Site, import_access_log, import_file
from analytics_api.imports.access_log import NO_HOST
from analytics_api.imports.access_log.lines import FAST_LINE, LINE
from analytics_api.imports.source import Source

pytestmark = pytest.mark.writes


def test_requests_of_a_visitor_become_a_session(database):
    log = [
        line("10:00:00", "/", referrer="https://www.Google.com/search?q=shop"),
        line("10:00:01", "/style.css", referrer="https://shop.example/"),
        line("10:04:00", "/products?page=2"),
        line("10:05:00", "/cart", request="POST /cart HTTP/1.1", status=302),
        line("10:06:00", "/gone", status=404),
    ]

    report = import_access_log(database, log)
    stored = database.row("select * from sessions")
    totals = read_totals(database)

    assert sessions(database) == [("10:00:00", 360, 5, "/", "/products?page=2")]
    assert events(database) == [
        ("10:00:00", "page_view", "/"),
        ("10:00:01", "asset", "/style.css"),
        ("10:04:00", "page_view", "/products?page=2"),
        ("10:05:00", "request", "/cart"),
        ("10:06:00", "error", "/gone"),
    ]
    assert stored["referrer"] == "https://www.Google.com/search?q=shop"
    assert stored["referrer_domain"] == "google.com"
    assert stored["ended_at"] - stored["started_at"] == 360_000
    assert (totals["sessions"], totals["events"]) == (1, 5)
    assert report.lines() == [
        "sessions: 1 new",
        "events: 5 of 5 rows written",
        "events by type: page_view 2, asset 1, error 1, request 1",
        "assets, errors and other requests: 3; total_events counts them, the page views do not",
        "the site's own hosts could not be detected, so they may count as referrers: use --host",
        "5 lines, 0 rejected",
    ]


@pytest.mark.parametrize(
    ("host", "url", "warnings"),
    [("", None, [NO_HOST]), ("", "https://shop.example", []), ("shop.example:443 ", None, [])],
    ids=["path", "site", "virtual-host"],
)
def test_pages_without_a_host_cause_a_warning(database, caplog, host, url, warnings):
    report = import_access_log(database, [line(host=host)], site=Site(url=url))

    assert [record.message.partition(": ")[2] for record in caplog.records] == warnings
    assert report.warnings == []


def test_pages_without_a_host_after_the_sample_are_reported(database, caplog, monkeypatch):
    monkeypatch.setattr(Source, "sample", lambda source: [line(host="shop.example:443 ")])

    report = import_access_log(database, [line(host="shop.example:443 "), line("10:01:00")])

    assert report.warnings == [NO_HOST]
    assert caplog.records == []


def test_session_ends_after_30_minutes_without_a_request(database):
    import_access_log(database, [line("10:00:00"), line("10:30:00"), line("11:00:01")])

    assert sessions(database) == [("10:00:00", 1800, 2, "/", "/"), ("11:00:01", 0, 1, "/", "/")]


def test_session_timeout_can_be_set(database):
    import_access_log(database, [line("10:00:00"), line("10:01:01")], site=Site(timeout=60))

    assert [start for start, *_ in sessions(database)] == ["10:00:00", "10:01:01"]


def test_session_continues_over_the_end_of_a_month(database):
    log = [line("23:59:50", day="28/Feb/2015"), line("00:00:10", "/b", day="01/Mar/2015")]

    import_access_log(database, log)

    assert sessions(database) == [("23:59:50", 20, 2, "/", "/b")]


def test_visitor_is_address_and_user_agent(database):
    log = [line(), line(address="2001:db8::7"), line(agent="Opera/9.80"), line(address="2001:DB8::7")]

    import_access_log(database, log)

    assert database.row("select count(distinct visitor_id) as visitors, count(*) as sessions from sessions") == {
        "visitors": 3,
        "sessions": 3,
    }


def test_addresses_are_not_stored(database):
    log = [
        line(address="203.0.113.77"),
        line(address="203.0.113.78", agent=GOOGLEBOT),
        line(address="shop.example.net"),
    ]

    import_access_log(database, log)
    stored = repr([database.rows(f"select * from {table}") for table in ("sessions", "events", "session_pages")])

    assert "203.0.113" not in stored
    assert "example.net" not in stored


@pytest.mark.any_engine
def test_visitor_hash_depends_on_the_database(database, tmp_path):
    from analytics_api import open_database

    with open_database(tmp_path / "other.db").closing() as other:
        import_access_log(database, [line()])
        import_access_log(other, [line()])
        visitors = [db.row("select visitor_id from sessions")["visitor_id"] for db in (database, other)]

    assert visitors[0] != visitors[1]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("request_line", "status", "kind", "page"),
    [
        ("GET /a HTTP/1.1", 304, "page_view", "/a"),
        ("GET /a HTTP/2.0", 206, "page_view", "/a"),
        ("GET /a", 200, "page_view", "/a"),
        ("GET http://shop.example/a?b=c HTTP/1.1", 200, "page_view", "/a?b=c"),
        ("GET http://shop.example HTTP/1.1", 200, "page_view", "/"),
        ("GET /a#b HTTP/1.1", 200, "page_view", "/a"),
        ("GET /a.JS?v=3 HTTP/1.1", 200, "asset", "/a.JS?v=3"),
        ("GET /feed.xml HTTP/1.1", 304, "asset", "/feed.xml"),
        ("GET /a.html HTTP/1.1", 301, "request", "/a.html"),
        ("HEAD /a HTTP/1.1", 200, "request", "/a"),
        ("OPTIONS * HTTP/1.0", 200, "request", None),
        ("CONNECT shop.example:443 HTTP/1.1", 405, "error", None),
        ("PROPFIND /dav HTTP/1.1", 207, "request", "/dav"),
        ("GET /a HTTP/1.1", 500, "error", "/a"),
        ("-", 408, "error", None),
        (r"\x16\x03\x01\x00\xc8\x01\x00", 400, "error", None),
        (r"GET /\"quoted\"\x22 HTTP/1.1", 200, "page_view", "/%22quoted%22%22"),
        ('GET /"bare" HTTP/1.0', 200, "page_view", "/%22bare%22"),
        (r"GET /caf\xc3\xa9 HTTP/1.1", 200, "page_view", "/caf%C3%A9"),
        (r"GET /nul\x00byte HTTP/1.1", 200, "page_view", "/nul%00byte"),
        (r"GET /back\\slash HTTP/1.1", 200, "page_view", "/back%5Cslash"),
    ],
)
def test_requests_are_classified(database, request_line, status, kind, page):
    import_access_log(database, [line(request=request_line, status=status)])

    assert events(database) == [("10:00:00", kind, page)]


@pytest.mark.any_engine
def test_asset_extensions_can_be_set(database):
    log = [line(path="/data.json"), line(path="/logo.png"), line(path="/search?q=a")]

    import_access_log(database, log, site=Site(assets=["png"], query=False))

    assert events(database) == [
        ("10:00:00", "page_view", "/data.json"),
        ("10:00:00", "asset", "/logo.png"),
        ("10:00:00", "page_view", "/search"),
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('203.0.113.9 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.0" 200 -', "/a"),
        ('203.0.113.9 - frank [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.0" 200 12', "/a"),
        ('203.0.113.9 - Frank N. Stein [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.0" 200 12', "/a"),
        ('203.0.113.9 ident frank [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.0" 200 12 0.004', "/a"),
        ('::1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.0" 200 12 "-" "Firefox" "10.0.0.1" 0.1', "/a"),
        (
            'Shop.example:443 ::1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 1 "-" "Firefox"',
            "https://shop.example/a",
        ),
        ('shop.example:80 10.0.0.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 1', "http://shop.example/a"),
        (
            'shop.example:8443 a.b - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 1',
            "http://shop.example:8443/a",
        ),
        ('shop.example 10.0.0.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 1', "https://shop.example/a"),
        ('[::1]:443 ::1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 1 "-" "Firefox"', "https://[::1]/a"),
        ('_ 10.0.0.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 1 "-" "Firefox"', "/a"),
        ('10.0.0.1 - - [2015-05-17T10:00:00+00:00] "GET /a HTTP/1.1" 200 1 "-" "Firefox"', "/a"),
    ],
)
def test_every_line_format_is_parsed(database, text, expected):
    import_access_log(database, [text.encode()])

    assert events(database) == [("10:00:00", "page_view", expected)]


PARTS = [
    *("1.2.3.4", "shop.example:443", "a,b", "-", "- ", " - ", " ", "[", "]", '"', "\\", "\r", "\n", ' "-"', " 304 -"),
    *("[17/May/2015:10:00:00 +0000]", "[2015-05-17T10:00:00+00:00]", '"GET / HTTP/1.1"', " 200", " 12"),
]
WHOLE = ["1.2.3.4", "-", "-", "[17/May/2015:10:00:00 +0000]", '"GET / HTTP/1.1"', "200", "12", '"-"', '"agent"']


@settings(max_examples=500)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 2), st.sampled_from(PARTS)), max_size=3),
    st.sampled_from(["", "\n", "\r\n", ' "behind"\n']),
)
def test_fast_pattern_equals_the_full_pattern(changes, end):
    words = list(WHOLE)
    for place, dropped, part in changes:
        words[place : place + dropped] = [part]
    text = (" ".join(words) + end).encode()

    usual = FAST_LINE.fullmatch(text)
    match = LINE.fullmatch(text.rstrip(b"\r\n"))

    if usual:
        first, second, time, *parts_of_time, request, status, referrer, agent = usual.groups()
        host, address = (first, second) if second else (None, first)
        assert match.groups() == (host, address, time, request, status, referrer, agent)
        assert parts_of_time == [time[:15], time[15:20], time[20:]]


@pytest.mark.any_engine
def test_virtual_host_may_precede_the_address(database):
    usual = '10.0.0.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 1 "-" "Firefox"\n'

    import_access_log(database, [f"shop.example:80 {usual}".encode(), usual.encode()])

    assert [page for _, _, page in events(database)] == ["/a", "http://shop.example/a"]
    assert len(sessions(database)) == 1


@pytest.mark.any_engine
def test_site_url_is_prepended_to_paths(database):
    import_access_log(database, [line(path="/a")], site=Site(url="https://shop.example/"))

    assert events(database) == [("10:00:00", "page_view", "https://shop.example/a")]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("clock_and_zone", "utc"),
    [
        (("10:00:00", "+0200"), "08:00:00"),
        (("10:00:00", "-0930"), "19:30:00"),
        (("23:59:60", "+0000"), "00:00:00"),
    ],
)
def test_instants_are_utc(database, clock_and_zone, utc):
    local, zone = clock_and_zone

    import_access_log(database, [line(local, zone=zone)])

    assert clock(database.row("select occurred_at from events")["occurred_at"]) == utc


@pytest.mark.any_engine
def test_lines_of_one_hour_have_their_own_instants(database):
    clocks = [("10:00:00", "+0000"), ("10:00:00", "+0030"), ("10:59:60", "+0000"), ("10:07:09", "-0100")]

    import_access_log(database, [line(local, zone=zone) for local, zone in clocks])

    assert [local for local, _, _ in events(database)] == ["09:30:00", "10:00:00", "11:00:00", "11:07:09"]


@pytest.mark.parametrize("time", ["10:60:00", "10:00:61", "10:5:000", "24:00:00"])
def test_impossible_time_is_rejected(database, time):
    report = import_access_log(database, [line("10:00:00"), line(time)])

    assert report.rejects == ["events line 2: not a time from 1973 to 9999"]


@pytest.mark.parametrize(
    ("day", "zone", "times"),
    [("03/Mar/1973", "+0000", ["09:46:40", "09:46:39"]), ("31/Dec/9999", "-0030", ["23:29:59", "23:30:00"])],
)
def test_hour_may_be_partly_impossible(database, day, zone, times):
    report = import_access_log(database, [line(clock, day=day, zone=zone) for clock in times])

    assert report.tables["events"].written == 1
    assert report.rejects == ["events line 2: not a time from 1973 to 9999"]


@pytest.mark.parametrize(
    ("referrer", "domain"),
    [
        ("https://www.google.com/", "google.com"),
        ("HTTP://News.Example.ORG:8080/x", "news.example.org"),
        ("android-app://com.google.android.gm", "com.google.android.gm"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://[2001:db8::1]/x", "[2001:db8::1]"),
        ("https://user@other.example/", "other.example"),
        ("https://shop.example/cart", None),
        ("https://www.shop.example/", None),
        ("http://SHOP.example:8080/", None),
        ("-", None),
        ("", None),
        ("/relative", None),
        ("() { :; }; echo vulnerable", None),
        ("https://", None),
    ],
)
@pytest.mark.any_engine
def test_referrer_is_another_host(database, referrer, domain):
    import_access_log(database, [line(referrer=referrer)], site=Site(hosts=["www.shop.example"]))

    assert database.row("select referrer_domain from sessions") == {"referrer_domain": domain}


@pytest.mark.any_engine
def test_own_host_is_detected_from_asset_requests(database):
    own = [line(path=f"/{n}.png", referrer="https://www.shop.example/", address=f"10.0.0.{n}") for n in range(4)]
    log = [*own, line(referrer="https://shop.example/old"), line(address="10.1.1.1", referrer="https://else.example/")]

    report = import_access_log(database, log)
    domains = database.rows("select distinct referrer_domain from sessions order by 1")

    assert "the site's own hosts: shop.example" in report.lines()
    assert sorted(row["referrer_domain"] or "" for row in domains) == ["", "else.example"]


@pytest.mark.any_engine
def test_virtual_hosts_are_own_hosts(database):
    log = [
        line(host="shop.example:443 ", referrer="https://www.blog.example/post"),
        line(host="blog.example:443 ", address="10.0.0.2", referrer="https://google.com/"),
    ]

    import_access_log(database, log)
    domains = database.rows("select referrer_domain from sessions order by referrer_domain nulls last")

    assert [row["referrer_domain"] for row in domains] == ["google.com", None]


def test_bots_are_separate_from_people(database):
    log = [
        line(),
        line(agent=GOOGLEBOT),
        line(path="/a.css", agent=GOOGLEBOT),
        line(path="/x", status=404, agent="curl/8"),
    ]

    report = import_access_log(database, log)
    bots = database.rows("select * from events where event_type like 'bot%' order by event_type")

    assert len(sessions(database)) == 1
    assert [(row["event_type"], json.loads(row["data"])) for row in bots] == [
        ("bot_asset", {"bot": "Googlebot"}),
        ("bot_error", {"bot": "curl", "method": "GET", "status": 404}),
        ("bot_page_view", {"bot": "Googlebot"}),
    ]
    assert {row["session_id"][:4] for row in bots} == {"bot-"}
    assert read_totals(database)["events"] == 4
    assert (
        "bots: 3 requests, stored as events with types of their own, without sessions; total_events counts them, "
        "the numbers of sessions, visitors and page views do not"
    ) in report.lines()


@pytest.mark.any_engine
def test_bots_can_be_included(database):
    import_access_log(database, [line(), line(agent=GOOGLEBOT)], site=Site(bots="include"))
    flagged = database.rows("select event_type, data from events where data is not null")

    assert len(sessions(database)) == 2
    assert flagged == [{"event_type": "page_view", "data": '{"bot": "Googlebot"}'}]


@pytest.mark.any_engine
@pytest.mark.parametrize("agent", [FIREFOX, "CUBOT NOTE 20", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)"])
def test_people_are_not_bots(database, agent):
    import_access_log(database, [line(agent=agent)])

    assert events(database) == [("10:00:00", "page_view", "/")]


def test_second_import_changes_nothing(database):
    log = [line(), line(), line("10:00:00", "/b", agent=GOOGLEBOT), line("12:00:00", "/c")]
    import_access_log(database, log)
    before = database.rows("select * from sessions order by session_id")

    report = import_access_log(database, log)

    assert report.tables["events"].written == 0
    assert report.tables["events"].existing == 4
    assert report.tables["sessions"].written == 0
    assert database.rows("select * from sessions order by session_id") == before
    assert database.verify() == []


def test_identical_lines_are_separate_requests(database):
    import_access_log(database, [line(), line(), line()])

    assert sessions(database) == [("10:00:00", 0, 3, "/", "/")]


def test_grown_log_updates_its_sessions(database):
    log = [line("10:00:00"), line("10:10:00", "/b"), line("10:20:00", "/c")]
    import_access_log(database, log[:2])

    report = import_access_log(database, log)

    assert sessions(database) == [("10:00:00", 1200, 3, "/", "/c")]
    assert report.tables["events"].written == 1
    assert database.verify() == []


def test_late_piece_joins_its_neighbours(database):
    log = [line("10:00:00", "/a"), line("10:25:00", "/b"), line("10:50:00", "/c")]
    import_access_log(database, [log[0], log[2]])
    apart = len(sessions(database))

    report = import_access_log(database, [log[1]])
    ids = database.rows("select distinct session_id from events")

    assert apart == 2
    assert "sessions: 0 new, 1 joined with others" in report.lines()
    assert sessions(database) == [("10:00:00", 3000, 3, "/a", "/c")]
    assert ids == database.rows("select session_id from sessions")
    assert database.verify() == []


def test_earlier_piece_sets_entry_and_referrer(database):
    log = [line("10:00:00", "/a", referrer="https://a.example/"), line("10:01:00", "/b", referrer="https://b.example/")]

    import_access_log(database, log[1:])
    import_access_log(database, log[:1])

    assert sessions(database) == [("10:00:00", 60, 2, "/a", "/b")]
    assert database.row("select referrer_domain from sessions") == {"referrer_domain": "a.example"}


def test_logs_of_two_servers_share_sessions(database):
    one = [line("10:00:00", "/a.css"), line("10:00:04", "/c"), line("10:00:09", "/c.css")]
    other = [line("10:00:02", "/b"), line("10:00:06", "/d")]

    import_access_log(database, one)
    import_access_log(database, other)

    assert sessions(database) == [("10:00:00", 9, 5, "/b", "/d")]


@pytest.mark.any_engine
def test_lines_may_be_in_any_order(database):
    log = [line("12:00:00", "/c"), line("10:00:05", "/b"), line("10:00:00", "/a")]

    import_access_log(database, log)

    assert sessions(database) == [("10:00:00", 5, 2, "/a", "/b"), ("12:00:00", 0, 1, "/c", "/c")]


def test_bad_lines_are_written_to_rejects_unchanged(database):
    tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\xfe\n"
    log = [
        line(),
        tls,
        b"\n",
        b"   \r\n",
        line("10:00:01")[:60] + b"\n",
        line(day="31/Feb/2015"),
        line(day="17/Mai/2015"),
        line("25:00:00"),
        line(day="17/May/1969"),
        line(path="/" + "a" * 1_000_000),
        b'203.0.113.9 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.0" 200 12 "http://cut',
    ]
    rejects = io.BytesIO()

    report = import_access_log(database, log, rejects=Rejects(rejects))
    refused = [row.split(b"\t", 2) for row in rejects.getvalue().splitlines()]

    assert [(where.decode(), reason.decode()) for where, reason, _ in refused] == [
        ("the input:2", "not a line of an access log"),
        ("the input:5", "not a line of an access log"),
        ("the input:6", "not a time from 1973 to 9999"),
        ("the input:7", "not a time from 1973 to 9999"),
        ("the input:8", "not a time from 1973 to 9999"),
        ("the input:9", "not a time from 1973 to 9999"),
        ("the input:10", "longer than 65,536 bytes"),
        ("the input:11", "not a line of an access log"),
    ]
    assert refused[0][2] == tls.rstrip(b"\n")
    assert len(refused[6][2]) > 1_000_000
    assert report.lines()[-1] == "11 lines, 2 of them empty, 8 rejected"
    assert events(database) == [("10:00:00", "page_view", "/")]


@pytest.mark.any_engine
def test_unfinished_last_line_is_left_for_the_next_import(database):
    whole = line("10:00:05", "/b")
    cut = whole[: whole.index(b" 200 ") + 7]

    report = import_access_log(database, [line(), cut])

    assert report.rejects == ["events line 2: the line is cut short"]


def test_strict_import_stops_at_the_first_bad_line(database):
    with pytest.raises(IngestError, match="the input, line 2: not a line of an access log; nothing was written"):
        import_access_log(database, [line(), b"nonsense\n", line()], strict=True)

    assert events(database) == []
    assert sessions(database) == []
    assert database.verify() == []


@pytest.mark.any_engine
def test_invalid_encoding_loses_no_line(database):
    log = [
        line().replace(b"GET /", b"GET /caf\xe9"),
        line(agent="Müller/1", referrer="https://x.example/\udcff".encode("utf-8", "surrogatepass").decode("latin-1")),
    ]

    import_access_log(database, log)

    assert [page for _, _, page in events(database)] == ["/", "/caf%E9"]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    "hostile",
    [
        b"1 - - [" * 8000,
        b'"' * 60_000,
        b'1.1.1.1 - - [17/May/2015:10:00:00 +0000] "' + b'\\"' * 30_000,
        b'1.1.1.1 - - [17/May/2015:10:00:00 +0000] "' + b'x" 200 1 "' * 6_000,
        b"a " * 32_000,
        b'a b - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "' + b"\\" * 65_000,
    ],
    ids=["dates", "quotes", "escaped quotes", "almost ends", "words", "backslashes"],
)
def test_hostile_line_is_parsed_in_linear_time(database, hostile):
    report = import_access_log(database, [hostile] * 3)

    assert report.tables["events"].rejected == 3


@pytest.mark.any_engine
def test_long_urls_are_truncated(database):
    import_access_log(database, [line(path="/" + "a" * 30_000)])

    assert len(events(database)[0][2]) == 2_000


def test_log_is_read_from_file_gzip_or_stream(database, tmp_path):
    log = [line("10:00:00"), line("10:00:01", "/b"), line("10:00:02", "/c")]
    plain, packed = tmp_path / "access.log", tmp_path / "access.log.2.gz"
    plain.write_bytes(log[0])
    packed.write_bytes(gzip.compress(log[1]) + gzip.compress(log[2]))

    import_file(database, plain)
    import_file(database, packed)
    again = import_file(database, io.BytesIO(gzip.compress(b"".join(log))))

    assert sessions(database) == [("10:00:00", 2, 3, "/", "/c")]
    assert again.tables["events"].existing == 3


@pytest.mark.any_engine
def test_progress_has_bytes_and_lines(database, tmp_path):
    log = tmp_path / "access.log"
    log.write_bytes(line() * 3)
    read, written = [], []

    import_file(database, log, on_read=read.append, on_write=lambda lines, of: written.append(lines))

    assert sum(read) == log.stat().st_size
    assert sum(written) == 3
