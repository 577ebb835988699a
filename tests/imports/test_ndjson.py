"""Importing NDJSON."""

import io
import json

import pytest

from analytics_api import IngestError
from analytics_api.imports import Rejects, import_file, import_ndjson

pytestmark = pytest.mark.writes


def test_keys_match_the_columns(database):
    text = (
        b'\xef\xbb\xbf{"session_id": "s1", "visitor_id": "ann", "started_at": "2026-02-24T15:00+01", "score": 1}\r\n'
        b"\r\n"
        b'{"session_id": "s2", "visitor_id": "bob", "started_at": 1771945200.5, "vpn_suspected": true, "country": ""}'
    )

    report = import_file(database, io.BytesIO(text))

    assert database.rows("select session_id, started_at, vpn_suspected, country from sessions order by session_id") == [
        {"session_id": "s1", "started_at": 1771941600000, "vpn_suspected": 0, "country": None},
        {"session_id": "s2", "started_at": 1771945200500, "vpn_suspected": 1, "country": ""},
    ]
    assert report.lines() == [
        "sessions: 2 of 2 rows written",
        "sessions: ignored the columns score",
        "3 lines, 1 of them empty, 0 rejected",
    ]


@pytest.mark.any_engine
def test_unused_mapped_key_is_a_warning(database):
    text = (
        b'{"session_id": "s1", "visitor_id": "ann", "started_at": "2026-02-24", "Land": "IN"}\n'
        b'{"session_id": "s2", "visitor_id": "bob", "started_at": "2026-02-24", "Herkunft": "google.com"}\n'
    )

    report = import_file(
        database, io.BytesIO(text), map={"Lnad": "country", "land": "country", "Herkunft": "referrer_domain"}
    )

    assert report.warnings == ["--map Lnad: no row has this column"]


def test_nested_values_are_stored_as_json(database):
    row = {
        "submission_id": 1,
        "lead_id": 1,
        "submitted_at": 1771945200000,
        "payload_json": {"ä": [1, None, {"b": True}]},
    }

    import_ndjson(database, [json.dumps(row).encode()], table="lead_submissions")
    stored = database.row("select submitted_at, payload_json from lead_submissions")

    assert stored["submitted_at"] == "2026-02-24 15:00:00"
    assert stored["payload_json"] == '{"ä":[1,null,{"b":true}]}'


def test_update_changes_only_present_keys(database):
    first = b'{"session_id": "s1", "visitor_id": "ann", "started_at": 1771945200, "country": "IN", "entry_page": "/a"}'
    second = b'{"session_id": "s1", "visitor_id": "ann", "started_at": 1771945200, "country": "DE"}'

    import_ndjson(database, [first], table="sessions")
    import_ndjson(database, [second], table="sessions", on_conflict="update")

    assert database.row("select country, entry_page from sessions") == {"country": "DE", "entry_page": "/a"}
    assert database.verify() == []


def test_update_moves_a_lead_that_is_twice_in_the_file_once(database):
    def lines(*leads):
        row = '{"lead_id": %d, "enquiry_datetime": "2026-02-24", "status": "%s"}'
        return [(row % lead).encode() for lead in leads]

    import_ndjson(database, lines((1, "new")), table="leads")
    report = import_ndjson(
        database,
        lines((1, "contacted"), (2, "new"), (1, "won"), (2, "lost")),
        table="leads",
        on_conflict="update",
    )

    moves = database.rows("select lead_id, old_status, new_status from lead_status_changes order by change_id")
    assert moves == [{"lead_id": 1, "old_status": "new", "new_status": "won"}]
    assert database.rows("select status from leads order by lead_id") == [{"status": "won"}, {"status": "lost"}]
    assert (report.tables["leads"].written, report.tables["leads"].existing) == (2, 2)
    assert database.verify() == []


def test_invalid_lines_are_rejected(database):
    good = b'{"event_id": 1, "session_id": "s1", "event_type": "click", "occurred_at": 1771945200}\n'
    lines = [
        good,
        b"[1, 2]\n",
        b'{"event_id": 2\n',
        b'{"event_id": NaN, "session_id": "s1", "event_type": "click", "occurred_at": 1771945200}\n',
        b'{"event_id": 1e400, "session_id": "s1", "event_type": "click", "occurred_at": 1771945200}\n',
        b'{"event_id": 3, "session_id": "s1", "event_type": "click"}\n',
        b'{"event_id": 4, "session_id": null, "event_type": "click", "occurred_at": 1771945200}\n',
        b'{"event_id": 5, "session_id": "\\ud800", "event_type": "click", "occurred_at": 1771945200}\n',
        b'{"event_id": 6, "session_id": "s1", "event_type": "click", "occurred_at": -5}\n',
        b'{"event_id": 7, "session_id": "s1", "event_type": "click", "occurred_at": true}\n',
        b'{"event_id": 8, "session_id": "\xff", "event_type": "click", "occurred_at": 1771945200}\n',
        b"[" * 100_000 + b"\n",
        b"\x16\x03\x01\x00\n",
    ]
    rejects = io.BytesIO()

    report = import_ndjson(database, lines, table="events", rejects=Rejects(rejects))
    refused = sorted(int(row.split(b"\t")[0].rpartition(b":")[2]) for row in rejects.getvalue().splitlines())

    assert refused == list(range(2, 14))
    assert report.tables["events"].written == 1
    assert report.lines()[-1] == "13 lines, 12 rejected"
    assert database.verify() == []


@pytest.mark.any_engine
def test_report_can_be_printed_although_the_file_has_surrogates(database):
    text = rb"""{"event_id": 1, "session_id": "s", "event_type": "click", "occurred_at": "2026-02-24"}
{"event_id": 2, "session_id": "s", "event_type": "\ud800x", "occurred_at": "2026-02-24", "\udc00": 1}
"""

    report = import_file(database, io.BytesIO(text))

    lines = "\n".join(report.lines()).encode().decode()
    assert "events: 1 of 2 rows written, 1 rejected" in lines
    assert r"events: ignored the columns \udc00" in lines


def test_table_option_is_needed_for_unknown_keys(database):
    with pytest.raises(IngestError, match="do not match exactly one table"):
        import_file(database, io.BytesIO(b'{"a": 1}\n'))


@pytest.mark.any_engine
def test_unknown_table_is_rejected(database):
    with pytest.raises(IngestError, match="--table people: use one of"):
        import_ndjson(database, [b'{"a": 1}\n'], table="people")


EVENT = b'{"event_id": %d, "session_id": "s1", "event_type": "click", "occurred_at": 1771945200000}\n'


def test_bad_line_among_many_is_reported_by_number(database):
    lines = [*(EVENT % number for number in range(100)), b'{"event_id": 100}\n', b"\n", b"[]\n", EVENT % 101]

    report = import_ndjson(database, lines, table="events")

    assert report.tables["events"].written == 101
    assert report.rejects == ["events line 101: session_id is missing", "events line 103: not a JSON object"]
    assert report.lines()[-1] == "104 lines, 1 of them empty, 2 rejected"


def test_both_lines_of_a_split_object_are_rejected(database):
    lines = [*(EVENT % number for number in range(50)), b'{"event_id": 50,\n', b'"session_id": "s1"}\n']

    report = import_ndjson(database, lines, table="events")

    assert report.tables["events"].written == 50
    assert [reject.partition(": ")[0] for reject in report.rejects] == ["events line 51", "events line 52"]


@pytest.mark.parametrize("more", [b"{}", b",", b"\x0b", b"\xc2\xa0"])
def test_trailing_text_rejects_the_line(database, more):
    lines = [EVENT % 1, (EVENT % 2).rstrip() + more + b"\n", (EVENT % 3).rstrip() + b" \t\r\n"]

    report = import_ndjson(database, lines, table="events")

    assert report.tables["events"].written == 2
    assert report.rejects[0].startswith("events line 2: not JSON: Extra data")


def test_keys_may_differ_between_lines(database):
    with_page = (
        b'{"page_url": "/a", "event_id": %d, "session_id": "s1", "event_type": "click", "occurred_at": 1771945200000}\n'
    )
    lines = [(EVENT if number < 40 or number % 2 else with_page) % number for number in range(80)]

    import_ndjson(database, lines, table="events")

    pages = [row["page_url"] for row in database.rows("select page_url from events order by event_id")]
    assert pages == [None] * 40 + ["/a", None] * 20


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"true", "True is not a whole number"),
        (b"7.5", "7.5 is not a whole number"),
        (b"70.0", 70),
        (b'"9"', 9),
        (b"null", "a value is required"),
        (b"[]", "[] is not a number"),
        (b'"1_0"', "'1_0' is not a whole number"),
    ],
)
def test_batch_converts_numbers_like_single_rows(database, value, expected):
    odd = (EVENT % 0).replace(b": 0,", b": %b," % value)

    report = import_ndjson(database, [*(EVENT % number for number in range(100, 150)), odd], table="events")

    ids = [row["event_id"] for row in database.rows("select event_id from events order by event_id")]
    assert ids == ([expected] if isinstance(expected, int) else []) + [*range(100, 150)]
    reasons = [reject.partition(";")[0] for reject in report.rejects]
    assert reasons == ([] if isinstance(expected, int) else [f"events line 51: event_id: {expected}"])


def test_batch_converts_numbers_to_text(database):
    lines = [*(EVENT % number for number in range(50)), (EVENT % 50).replace(b'"s1"', b"1")]

    import_ndjson(database, lines, table="events")

    assert database.row("select session_id from events where event_id = 50") == {"session_id": "1"}
