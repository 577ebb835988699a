"""Log lines of containers, proxies and old servers, and the visitors of their requests."""

import json
import re
from pathlib import Path
from shutil import which
from subprocess import run

import pytest
from helpers.access_logs import GOOGLEBOT, line
from helpers.importing import select

from analytics_api.imports import Site, import_access_log, import_file
from analytics_api.imports.access_log import NO_AGENTS, own_hosts_of_files

DOCUMENTATION = Path(__file__).parents[2] / "docs/importing.md"
FIREFOX = "Mozilla/5.0 (X11) Firefox/1"


def pages(database):
    return select(database, "page, views", "all_time_pages", "page")


def sources(database):
    return select(database, "key, sessions", "all_time_keys where dimension = 2", "key")


# Prefixes


PREFIXES = {
    "cri": "2026-03-11T10:00:0{n}.000000000Z stdout F ",
    "docker": "2026-03-11T10:00:0{n}.000000000Z ",
    "kubectl": "[pod/web-1/nginx] ",
    "kubectl-timestamps": "[pod/web-1/nginx] 2026-03-11T10:00:0{n}.000000000Z ",
    "syslog": "Mar 11 10:00:0{n} web nginx: ",
    "syslog-day": "Mar  1 10:00:0{n} web nginx[12]: ",
    "syslog-priority": "<190>Mar 11 10:00:0{n} web nginx: ",
    "journald": "2026-03-11T10:00:0{n}+0000 web nginx[7]: ",
    "compose": "web-1 | ",
    "compose-wide": "web-1   | ",
    "compose-timestamps": "web-1  | 2026-03-11T10:00:0{n}.000000000Z ",
    "pm2": "0|app | ",
    "pm2-time": "0|app | 2026-03-11T10:00:0{n}: ",
    "pm2-date": "2026-03-11 10:00:0{n} +00:00: ",
    "date": "2026-03-11 10:00:0{n} ",
}


@pytest.mark.any_engine
@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_prefix_is_not_a_visitor_or_page(database, prefix):
    log = [
        prefix.format(n=n).encode() + line(f"10:00:0{n}", "/a", address=f"203.0.113.{n}", day="11/Mar/2026")
        for n in range(1, 6)
    ]

    report = import_file(database, log)

    assert select(database, "sessions, visitors", "day_counts where day = -1 and sessions <> 0") == [(5, 5)]
    assert pages(database) == [("/a", 5)]
    assert any(note.startswith("5 lines have a prefix, which was ignored: ") for note in report.notes)


@pytest.mark.any_engine
@pytest.mark.parametrize("prefix", [b"node7 web nginx says ", b"node7 web ", b"[node7] "], ids=["long", "short", "one"])
def test_unknown_prefix_rejects_the_line(database, prefix):
    report = import_file(database, [prefix + line(path="/a"), line(path="/b")], format="log")

    assert pages(database) == [("/b", 1)]
    assert report.tables["events"].rejected == 1


@pytest.mark.any_engine
def test_virtual_host_with_a_port_is_not_a_prefix(database):
    import_file(database, [line(path="/a", host="shop.example:443 ")])

    assert pages(database) == [("https://shop.example/a", 1)]


# Hosts in queries


@pytest.mark.any_engine
def test_host_in_a_query_is_not_changed(database):
    targets = [
        "/out?to=https://other.example/a",
        "/out?to=https://third.example/a",
        "/login?next=https://mine.example?x=1",
    ]

    import_access_log(database, [line(path=target) for target in targets])

    assert pages(database) == [(target, 1) for target in sorted(targets)]


@pytest.mark.any_engine
def test_absolute_target_is_its_path(database):
    import_access_log(database, [line(path="http://shop.example/a?b=https://c.example/d")])

    assert pages(database) == [("/a?b=https://c.example/d", 1)]


# Fields after the user agent


@pytest.mark.any_engine
@pytest.mark.parametrize("behind", ['rt=0.000 uct="-" uht="-" urt="-"', ' "-"', " 0.003", ' "a" "b" 12 c'])
def test_fields_after_the_user_agent_are_ignored(database, behind):
    report = import_file(database, [line(path="/a", behind=behind)])

    assert pages(database) == [("/a", 1)]
    assert report.tables["events"].rejected == 0


# Normalized host names


@pytest.mark.any_engine
def test_forms_of_a_referrer_are_one_source(database):
    referrers = [
        "https://münchen.example/",
        "https://xn--mnchen-3ya.example/",
        "https://m%C3%BCnchen.example/",
        "https://MÜNCHEN.example:443/x",
        "https://user@www.münchen.example./",
    ]

    import_access_log(
        database, [line(address=f"203.0.113.{n}", referrer=referrer) for n, referrer in enumerate(referrers)]
    )

    assert sources(database) == [("xn--mnchen-3ya.example", 5)]


@pytest.mark.any_engine
@pytest.mark.parametrize("referrer", ["http://[::1", "https://a b/", "https://exa<mple/", "https://-/", "about:blank"])
def test_invalid_host_is_direct(database, referrer):
    import_access_log(database, [line(referrer=referrer)])

    assert sources(database) == [("(direct)", 1)]


@pytest.mark.any_engine
def test_percent_encodings_of_a_page_are_one_page(database):
    log = [line(path="/caf%C3%A9"), line(path="/caf%c3%a9"), line(path="/café"), line(path=r"/caf\xc3\xa9")]

    import_access_log(database, log)

    assert pages(database) == [("/caf%C3%A9", 4)]


# Own hosts


def rotated(day, visitors):
    lines = []
    for n in range(1, visitors + 1):
        lines.append(line(f"09:{n:02}:00", "/", day=f"{day:02}/Dec/2020", address=f"203.0.113.{n}"))
        lines.append(line(f"09:{n:02}:00", "/s.css", day=f"{day:02}/Dec/2020", address=f"203.0.113.{n}", referrer=SHOP))
    return [*lines, line("12:00:00", "/cart", day=f"{day:02}/Dec/2020", address="203.0.113.1", referrer=SHOP)]


SHOP = "https://shop.example/"


@pytest.mark.any_engine
def test_own_host_of_one_file_applies_to_the_others(database, tmp_path):
    files = {"access.log": rotated(3, 2), "access.log.1": rotated(2, 2), "access.log.2": rotated(1, 5)}
    for name, lines in files.items():
        (tmp_path / name).write_bytes(b"".join(lines))

    hosts = own_hosts_of_files(Site(), [str(tmp_path / name) for name in [*files, "missing.log"]])
    for name in files:
        import_file(database, tmp_path / name, site=Site(other_hosts=hosts))

    assert hosts == {"shop.example"}
    assert sources(database) == [("(direct)", 12)]


@pytest.mark.any_engine
def test_own_host_is_remembered(database):
    import_access_log(database, rotated(1, 5))
    import_access_log(database, rotated(2, 2))

    assert sources(database) == [("(direct)", 9)]


@pytest.mark.any_engine
def test_log_without_an_own_host_is_noted(database):
    report = import_access_log(database, rotated(2, 2))

    assert "the site's own hosts could not be detected, so they may count as referrers: use --host" in report.notes


# Bots


@pytest.mark.any_engine
def test_bots_and_empty_user_agents_are_not_visitors(database):
    agents = ["kube-probe/1.30", "-", "undici", "Let's Encrypt validation server", "node", "facebookcatalog/1.0", ""]
    log = [line(address=f"203.0.113.{n}", agent=agent) for n, agent in enumerate(agents)]

    import_access_log(database, [*log, line(agent=FIREFOX)])

    assert select(database, "sessions, visitors", "day_counts where day = -1 and sessions <> 0") == [(1, 1)]
    types = select(database, "event_type, count(*)", "events group by event_type", "event_type")
    assert types == [("bot_page_view", 7), ("page_view", 1)]


@pytest.mark.any_engine
@pytest.mark.skipif(which("jq") is None, reason="jq is not installed")
def test_documented_command_converts_a_log_of_caddy(database):
    program = re.search(r"^jq -r '(def header.*?)' caddy", DOCUMENTATION.read_text(), re.DOTALL | re.MULTILINE)[1]
    request = {
        "remote_ip": "198.51.100.7",
        "proto": "HTTP/2.0",
        "method": "GET",
        "host": "shop.example",
        "uri": '/a"b?q=1',
        "headers": {"User-Agent": [f'{FIREFOX} "x"\\'], "Referer": ["https://www.google.com/"]},
    }
    caddy = {"level": "info", "ts": 1771945200.25, "request": request, "size": 2, "status": 200}
    lines = "\n".join(json.dumps(each) for each in ({"level": "info", "ts": 1771945199.5, "msg": "serving"}, caddy))

    log = run(["jq", "-r", program], input=lines.encode(), capture_output=True, check=True).stdout
    report = import_access_log(database, log.splitlines(keepends=True))

    assert report.event_types == {"page_view": 1}
    assert pages(database) == [("https://shop.example/a%22b?q=1", 1)]
    assert sources(database) == [("google.com", 1)]
    assert select(database, "occurred_at", "events") == [(1771945200000,)]


@pytest.mark.any_engine
def test_log_without_user_agents_names_the_option(database):
    haproxy = line(referrer="", agent="", behind=' 46980 429 "www" "app" "app1" 0 0 0 1 1 ---- 1 1 0 0 0 0 0 "" "" ')

    reports = [import_access_log(database, log) for log in ([haproxy], [haproxy, line(agent=GOOGLEBOT)])]
    included = import_access_log(database, [haproxy], site=Site(bots="include"))
    common = import_access_log(database, [b'198.51.100.7 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5\n'])

    assert "warning: there is no page_view event, and only such events count as page views" in reports[0].lines()
    assert [NO_AGENTS in report.warnings for report in (*reports, included, common)] == [True, False, False, False]
