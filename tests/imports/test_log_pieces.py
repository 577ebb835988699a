"""A log that is imported in pieces gives the same rows as one that is imported at once."""

import os
import re

import pytest
from helpers.access_logs import FIREFOX, GOOGLEBOT, contents, line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.imports import Site, import_access_log

pytestmark = pytest.mark.writes

EXAMPLES = int(os.environ.get("PIECES_EXAMPLES", "6"))  # `make faults` runs more

ANY_DATABASE = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])

SITE = Site(hosts=["shop.example"], timeout=60)
PAGES = ["/", "/b", "/c.css", "/d"]
REFERRERS = ["-", "https://a.example/", "https://shop.example/", "https://b.example/x"]


@st.composite
def logs(draw):
    """Generate lines in chronological order. A visitor has at most one line per second, so their order is certain."""
    instants = draw(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 2)), min_size=1, max_size=40, unique=True))
    return [
        line(
            f"23:{50 + second // 60:02}:{second % 60:02}" if second < 600 else "23:59:60",
            draw(st.sampled_from(PAGES)),
            day="31/Dec/2015",
            address=f"10.0.0.{visitor}",
            agent=GOOGLEBOT if visitor == 2 else FIREFOX,
            status=draw(st.sampled_from([200, 304, 404])),
            referrer=draw(st.sampled_from(REFERRERS)),
        )
        for second, visitor in sorted(instants)
    ]


def emptied(database):
    def empty(at):
        at.execute("delete from events")
        at.execute("delete from sessions")

    database.write(empty)
    return database


@pytest.mark.any_engine
@ANY_DATABASE
@given(log=logs(), data=st.data())
def test_log_may_be_cut_anywhere(database, monkeypatch, log, data):
    emptied(database)
    with monkeypatch.context() as patch:
        patch.setattr("analytics_api.imports.write.MAX_TRIGGERED_ROWS", 0)  # rebuild the counters
        import_access_log(database, log, site=SITE)
    at_once = contents(database)
    emptied(database)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))

    for begin, end in zip([0, *cuts], [*cuts, len(log)]):
        import_access_log(database, log[begin:end], site=SITE)

    assert contents(database) == at_once
    assert database.verify() == []


@pytest.mark.any_engine
@ANY_DATABASE
@given(log=logs(), data=st.data())
def test_overlapping_pieces_may_come_in_any_order(database, log, data):
    emptied(database)
    import_access_log(database, log, site=SITE)
    at_once = contents(database)
    emptied(database)
    pieces = data.draw(st.lists(st.tuples(st.integers(0, len(log)), st.integers(0, len(log))).map(sorted), max_size=4))

    for begin, end in data.draw(st.permutations([*pieces, (0, len(log) // 2), (len(log) // 2, len(log))])):
        import_access_log(database, log[begin:end], site=SITE)

    assert contents(database) == at_once


@pytest.mark.any_engine
@ANY_DATABASE
@given(log=logs(), data=st.data())
def test_lines_may_come_in_any_order_in_small_batches(database, monkeypatch, log, data):
    emptied(database)
    import_access_log(database, log, site=SITE)
    at_once = contents(database)
    emptied(database)
    monkeypatch.setattr("analytics_api.imports.access_log.BATCH_LINES", data.draw(st.integers(1, 5)))

    import_access_log(database, data.draw(st.permutations(log)), site=SITE)

    assert contents(database) == at_once


@pytest.mark.any_engine
@ANY_DATABASE
@given(log=logs())
def test_numbers_equal_a_plain_recount(database, log):
    emptied(database)
    by_visitor = {}
    for text in log:
        address, hour, minute, second, page, status = re.match(
            r'(\S+) .*:(\d\d):(\d\d):(\d\d) \+0000\] "GET (\S+) HTTP/1.1" (\d+)', text.decode()
        ).groups()
        if address != "10.0.0.2":
            at = (int(hour) * 60 + int(minute)) * 60 + int(second)
            by_visitor.setdefault(address, []).append((at, page if status != "404" and "." not in page else None))
    expected = []
    for requests in by_visitor.values():
        visit = []
        for at, page in requests:
            if visit and at - visit[-1][0] > 60:
                expected.append(visit)
                visit = []
            visit.append((at, page))
        expected.append(visit)

    import_access_log(database, log, site=SITE)
    stored = database.rows("select started_at, duration, event_count, entry_page, exit_page from sessions")

    assert sorted(
        (row["duration"] // 1000, row["event_count"], row["entry_page"] or "", row["exit_page"] or "") for row in stored
    ) == sorted(
        (visit[-1][0] - visit[0][0], len(visit), pages[0] if pages else "", pages[-1] if pages else "")
        for visit in expected
        for pages in [[page for _, page in visit if page]]
    )


@pytest.mark.any_engine
def test_imported_requests_are_recognized_in_a_quiet_log(database):
    log = [line(f"{minute // 60:02}:{minute % 60:02}:00", f"/{minute}") for minute in range(0, 1440, 5)]
    import_access_log(database, [log[0], *log[100:103], log[200], log[-1]], site=SITE)

    report = import_access_log(database, log, site=SITE)

    assert report.tables["events"].written == len(log) - 6
    assert report.tables["events"].existing == 6
    assert database.verify() == []
