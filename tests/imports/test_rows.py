"""Importing rows from Python, with values of various types."""

import threading
from datetime import datetime, timedelta, timezone

import pytest

from analytics_api import IngestError
from analytics_api.imports import Rejects, import_rows
from analytics_api.imports.convert import to_integer, to_text
from analytics_api.values.timestamps import to_datetime, to_timestamp

pytestmark = pytest.mark.writes


def test_dicts_are_imported_from_python(database):
    rows = ({"lead_id": n, "enquiry_datetime": datetime(2026, 2, 24, 15), "contact_name": f"Ann {n}"} for n in (1, 2))

    report = import_rows(database, "leads", rows)

    assert report.lines() == ["leads: 2 of 2 rows written"]
    assert database.row("select enquiry_datetime, status from leads where lead_id = 2") == {
        "enquiry_datetime": "2026-02-24 15:00:00",
        "status": "new",
    }
    assert database.verify() == []


def test_constraint_rejects_only_the_failing_row(database):
    rows = [
        {"lead_id": n, "enquiry_datetime": "2026-02-24", "status": "lost" if n != 38 else "asleep"}
        for n in range(1, 101)
    ]

    report = import_rows(database, "leads", rows)

    assert report.tables["leads"].written == 99
    assert report.rejects[0].startswith("leads line 38: ")


class DisturbedRows:
    """An invalid row, and a row that another transaction changes after the import has taken its snapshot.

    The import therefore repeats its transaction, and reads the rows again.
    """

    def __init__(self, database):
        self.database = database
        self.is_disturbed = False

    def __len__(self):
        return 2

    def __iter__(self):
        yield {"session_id": "bad", "visitor_id": "ann", "started_at": "never"}
        yield {"session_id": "s1", "visitor_id": "ann", "started_at": "2026-02-24"}
        if not self.is_disturbed:
            self.is_disturbed = True
            update = "update sessions set country = 'FR' where session_id = 's1'"
            other = threading.Thread(target=self.database.write, args=[lambda at: at.execute(update)])
            other.start()
            other.join()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("kind", ["path", "stream"])
def test_repeated_transaction_rejects_a_row_once(database, tmp_path, kind):
    sessions = [(f"s{number}", "ann", 1771945200000) for number in range(20)]
    database.write(lambda at: at.insert("sessions", ("session_id", "visitor_id", "started_at"), sessions))
    rows = DisturbedRows(database)

    with (tmp_path / "rejects.tsv").open("wb") as stream:
        stream.write(b"earlier\n")
        rejects = Rejects(stream if kind == "stream" else tmp_path / "new.tsv")
        report = import_rows(database, "sessions", rows, on_conflict="update", rejects=rejects)
        rejects.close()

    lines = (tmp_path / ("rejects.tsv" if kind == "stream" else "new.tsv")).read_text().splitlines()
    assert rows.is_disturbed
    assert (report.tables["sessions"].rejected, rejects.count) == (1, 1)
    assert [line.partition("\t")[0] for line in lines] == ["earlier"] * (kind == "stream") + ["the input:1"]


@pytest.mark.any_engine
def test_primary_key_is_required(database):
    report = import_rows(
        database, "leads", [{"enquiry_datetime": "2026-02-24"}, {"lead_id": None, "enquiry_datetime": 1}]
    )

    assert report.rejects == [
        "leads line 1: lead_id is missing",
        "leads line 2: lead_id: a value is required",
    ]


@pytest.mark.any_engine
def test_iterator_that_cannot_restart_is_an_error(database, monkeypatch):
    rows = iter([{"lead_id": 1, "enquiry_datetime": "2026-02-24"}])
    write, bulk = database.write, database.bulk
    # monkeypatch restores the method afterwards, because the tests on PostgreSQL share the object
    monkeypatch.setattr(database, "write", lambda work: (write(work), write(work)))
    monkeypatch.setattr(database, "bulk", lambda work, on_progress=None: (bulk(work), bulk(work)))

    with pytest.raises(IngestError, match="can be read only once"):
        import_rows(database, "leads", rows)


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (None, None),
        (" ", None),
        (1771945200, 1771945200000),
        (1771945200000, 1771945200000),
        ("1771945200", 1771945200000),
        ("1771945200.25", 1771945200250),
        (1771945200.25, 1771945200250),
        ("1.7719452e9", 1771945200000),
        ("2026-02-24", 1771891200000),
        ("2026-02-24 15:00", 1771945200000),
        ("2026-02-24T15:00:00.1239Z", 1771945200123),
        ("2026-02-24t15:00:00,5z", 1771945200500),
        ("2026-02-24 15:00:00 UTC", 1771945200000),
        ("2026-02-24 15:00:00+00", 1771945200000),
        ("2026-02-24T20:30:00+0530", 1771945200000),
        ("2026-02-24T05:30:00-09:30", 1771945200000),
        (datetime(2026, 2, 24, 15), 1771945200000),
        (datetime(2026, 2, 24, 16, tzinfo=timezone(timedelta(hours=1))), 1771945200000),
    ],
)
def test_instants_are_converted(value, milliseconds):
    assert to_timestamp(value) == milliseconds


@pytest.mark.parametrize(
    "value", ["soon", "2026-02-30", "24.02.2026", "2026-02-24T25:00", True, float("nan"), "1_000", "١"]
)
def test_invalid_instants_are_rejected(value):
    with pytest.raises(ValueError, match="is not a date"):
        to_timestamp(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-02-24 15:00:00", "2026-02-24 15:00:00"),
        ("2026-02-24T16:00:00+01:00", "2026-02-24 15:00:00"),
        (1771945200, "2026-02-24 15:00:00"),
        ("1771945200999", "2026-02-24 15:00:00"),
        ("0001-01-01", "0001-01-01 00:00:00"),
        ("", ""),
    ],
)
def test_datetimes_are_converted(value, expected):
    assert to_datetime(value) == expected


@pytest.mark.parametrize("value", ["2026-02-30 15:00:00", "yesterday", 10**17])
def test_invalid_datetimes_are_rejected(value):
    with pytest.raises(ValueError, match=r"is not a date|is after the year 9999"):
        to_datetime(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12", 12),
        (" -3 ", -3),
        ("12.5", 13),
        (-2.5, -3),
        (True, 1),
        ("FALSE", 0),
        ("t", 1),
        ("", None),
        (None, None),
        ("9223372036854775807", 9223372036854775807),
    ],
)
def test_numbers_are_converted(value, number):
    assert to_integer(value) == number


@pytest.mark.parametrize("value", ["twelve", "1_000", "0x10", float("inf"), "1e999", [], {}, "--1"])
def test_invalid_numbers_are_rejected(value):
    with pytest.raises(ValueError, match="is not a number"):
        to_integer(value)


@pytest.mark.parametrize(
    ("value", "expected"), [("", ""), (1, "1"), (1.5, "1.5"), (True, "true"), ({"a": "ü"}, '{"a":"ü"}'), (None, None)]
)
def test_texts_are_converted(value, expected):
    assert to_text(value) == expected
