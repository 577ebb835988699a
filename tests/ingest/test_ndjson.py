"""One JSON object a line."""

import io
import json

import pytest

from analytics_api import IngestError
from analytics_api.ingest import Rejects, import_file, import_ndjson


def test_keys_go_by_the_names_of_the_columns(database):
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
        "sessions: no place for the columns score",
        "3 lines, 1 of them empty, 0 refused",
    ]


def test_what_is_nested_is_kept_as_json(database):
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


def test_an_update_changes_only_the_keys_that_are_given(database):
    first = b'{"session_id": "s1", "visitor_id": "ann", "started_at": 1771945200, "country": "IN", "entry_page": "/a"}'
    second = b'{"session_id": "s1", "visitor_id": "ann", "started_at": 1771945200, "country": "DE"}'

    import_ndjson(database, [first], table="sessions")
    import_ndjson(database, [second], table="sessions", existing="update")

    assert database.row("select country, entry_page from sessions") == {"country": "DE", "entry_page": "/a"}
    assert database.verify() == []


def test_lines_that_are_no_rows_are_refused(database):
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
    assert report.lines()[-1] == "13 lines, 12 refused"
    assert database.verify() == []


@pytest.mark.any_engine
def test_a_table_must_be_named_when_the_keys_are_of_none(database):
    with pytest.raises(IngestError, match="its columns are not those of one table"):
        import_file(database, io.BytesIO(b'{"a": 1}\n'))


@pytest.mark.any_engine
def test_a_table_that_is_none_of_ours_is_refused(database):
    with pytest.raises(IngestError, match="there is no table people"):
        import_ndjson(database, [b'{"a": 1}\n'], table="people")
