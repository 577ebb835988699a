"""`import` restores the same rows from the output of `export`."""

import csv
import io
import json
import shutil

import pytest
from helpers.cli import demo_file, isolated_cwd, query, run
from helpers.client import instant

from analytics_api import open_database
from analytics_api.database import BASE_TABLES
from analytics_api.errors import ExportError
from analytics_api.imports import import_file
from analytics_api.maintenance.export import export

NASTY = [
    None,
    "",
    " ",
    " around ",
    '"',
    '""',
    'a "quoted" word',
    "one,two;three|four\tfive",
    "line one\nline two\r\nline three\rline four",
    "\n",
    "\ufeffafter a byte order mark",
    "'=1+1",
    "=1+1",
    "-7",
    "007",
    "1e3",
    "1771945200",
    "2026-02-23T11:15:00Z",
    "true",
    "null",
    "NULL",
    "\\N",
    "\\",
    "{}",
    "Zoë 𝕏 نور שלום \u200f\u2028\x85",
    "a\x1fb\x0bc\x7f",
]

# Timestamps of all lengths. `import` would interpret some of them as another unit if they were written as numbers.
INSTANTS = [
    *(100_000_000_000, 202_602_231_115, 999_999_999_999, 1_000_000_000_000, 20_260_223_111_500),
    *(instant("2026-02-24 15:00:00.123"), 253_402_300_799_999),
]
ENDS = [None, *INSTANTS, 0, 999, 9_999_999_999, -1, -1_001, -62_135_596_800_000]


@pytest.fixture
def filled(database, insert):
    insert(
        "sessions",
        *(
            {
                "session_id": f"s{number}",
                "visitor_id": text or "",
                "fingerprint": text,
                "started_at": INSTANTS[number % len(INSTANTS)],
                "ended_at": ENDS[number % len(ENDS)],
                "duration": [None, 0, -5, 93_000][number % 4],
                "engagement_score": [None, 0, -3, 100][number % 4],
                "entry_page": text,
                "country": text,
                "referrer_domain": [None, "", "google.com"][number % 3],
                "vpn_suspected": number % 2,
            }
            for number, text in enumerate(NASTY)
        ),
        {"session_id": "", "visitor_id": "", "started_at": 1771945200005},
        {"session_id": " \ufeff\"'s,", "visitor_id": "v", "started_at": 1771945200005},
    )
    insert(
        "events",
        *(
            {
                "event_id": number * 1_000_000_007 - 5,
                "session_id": f"s{number}",
                "event_type": text or "",
                "page_url": text,
                "occurred_at": INSTANTS[number % len(INSTANTS)],
                "data": text,
            }
            for number, text in enumerate(NASTY)
        ),
        {"event_id": -1, "session_id": "s1", "event_type": "page_view", "page_url": "/", "occurred_at": 1771945200077},
    )
    insert(
        "leads",
        *(
            {
                "lead_id": number + 1,
                "enquiry_datetime": "2026-02-23 11:15:00",
                "contact_name": text,
                "contact_email": text,
                "visitor_id": text,
                "engagement_score": [None, -1, 50][number % 3],
                "status": ["new", "won"][number % 2],
            }
            for number, text in enumerate(NASTY)
        ),
    )
    insert(
        "lead_submissions",
        *(
            {
                "submission_id": number + 1,
                "lead_id": 1 + number % 3,
                "submitted_at": "2026-02-24 11:15:00",
                "payload_json": text,
                "is_primary_lead": number % 2,
            }
            for number, text in enumerate(NASTY)
        ),
    )
    insert(
        "lead_status_changes",
        *(
            {
                "change_id": number + 1,
                "lead_id": 1,
                "old_status": "new",
                "new_status": "won",
                "changed_at": ENDS[1:][number % 13],
                "changed_by": text or "",
            }
            for number, text in enumerate(NASTY)
        ),
    )


def everything(database):
    """Return all rows, without the columns of leads that exist only in SQLite."""
    rows = {table: database.rows(f"select * from {table} order by {key}") for table, key in BASE_TABLES.items()}
    for lead in rows["leads"]:
        lead.pop("project_code", None)
    return rows


def lines(database, table, form):
    """Return the lines of the export."""
    return io.BytesIO("".join(export(database, table, form)).encode())


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_export_of_one_engine_is_imported_to_the_other(database, filled, form, tmp_path):
    with open_database(tmp_path / "another.db").closing() as another:
        for table in BASE_TABLES:
            report = import_file(another, lines(database, table, form), table=table, format=form, strict=True)
            assert report.ignored_columns == {}

        for table in BASE_TABLES:
            columns = ", ".join(column.name for column in database.columns(table))
            sql = f"select {columns} from {table} order by {BASE_TABLES[table]}"
            assert another.rows(sql) == database.rows(sql)
        assert another.verify() == []


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_export_is_imported_with_derived_columns(database, filled, form):
    before = everything(database)
    files = {table: lines(database, table, form) for table in BASE_TABLES}
    for table in BASE_TABLES:
        database.write(lambda at, table=table: at.execute(f"delete from {table}"))

    for file in files.values():
        assert import_file(database, file, strict=True).ignored_columns == {}

    assert everything(database) == before
    assert database.verify() == []


def test_ndjson_export_has_every_writable_column(database, insert):
    insert("events", event_id=7, session_id="s", event_type="click", occurred_at=instant("2026-02-23 11:15:00"))

    text = "".join(export(database, "events"))

    assert text.endswith("}\n")
    assert json.loads(text) == {
        "event_id": 7,
        "session_id": "s",
        "event_type": "click",
        "page_url": None,
        "occurred_at": 1771845300000,
        "data": None,
    }


def test_csv_export_tells_null_from_empty_text(database, insert):
    insert("sessions", session_id="a, b", visitor_id="", started_at=100_000_000_000, ended_at=999)

    text = "".join(export(database, "sessions", "csv"))

    assert text.splitlines()[1].startswith('"a, b","",,1973-03-03T09:46:40.000Z,1970-01-01T00:00:00.999Z,')


def test_export_of_empty_table_is_empty_or_a_header(database):
    assert "".join(export(database, "leads")) == ""
    assert "".join(export(database, "lead_status_changes", "csv")) == (
        "change_id,lead_id,old_status,new_status,changed_at,changed_by\r\n"
    )


def test_export_is_a_snapshot(database, insert):
    insert(
        "events",
        *(
            {
                "event_id": number,
                "session_id": "s",
                "event_type": "click",
                "occurred_at": instant("2026-02-23 11:15:00"),
            }
            for number in range(2_500)
        ),
    )
    pieces = export(database, "events")
    first = next(pieces)

    database.write(lambda at: at.execute("delete from events where event_id > 0"))
    rest = "".join(pieces)

    assert (first + rest).count("\n") == 2_500
    assert database.rows("select count(*) as events from events") == [{"events": 1}]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_export_counts_invalid_utf8(database, insert, caplog):
    event = {"session_id": "s", "event_type": "click", "occurred_at": instant("2026-02-23 11:15:00"), "data": "é"}
    insert("events", *({"event_id": number, **event} for number in range(2_500)))
    query(database.path, "update events set data = cast(x'61ff62' as text) where event_id = 1999")

    rows = [json.loads(line) for line in "".join(export(database, "events")).splitlines()]

    assert [row["event_id"] for row in rows] == list(range(2_500))
    assert {row["data"] for row in rows if row["event_id"] != 1999} == {"é"}
    assert rows[1999]["data"] == "a\ufffdb"
    assert caplog.messages == ["events: strings with invalid UTF-8, replaced by U+FFFD: 1"]


def test_export_rejects_other_tables(database):
    with pytest.raises(ExportError, match="the table secrets does not exist; use one of sessions, events, leads"):
        export(database, "secrets")


class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        isolated_cwd(monkeypatch, tmp_path)
        shutil.copy(demo_file(100), tmp_path)
        return tmp_path

    @pytest.mark.parametrize("form", ["ndjson", "csv"])
    @pytest.mark.slow
    def test_export_and_import_make_the_same_database(self, folder, form):
        for table in BASE_TABLES:
            run("export", table, "--format", form, "--output", f"{table}.{form}")

        run("import", "-d", "again.db", *(f"{table}.{form}" for table in BASE_TABLES))

        with open_database("analytics.db").closing() as one, open_database("again.db").closing() as other:
            assert everything(other) == everything(one)
            assert other.verify() == []

    def test_export_goes_to_standard_output_by_default(self, folder):
        printed = run("export", "leads")
        output = run("export", "leads", "--output", "leads.ndjson")

        assert output == ""
        assert (folder / "leads.ndjson").read_text() == printed
        assert len(printed.splitlines()) == 5

    def test_name_of_the_output_chooses_the_format(self, folder):
        run("export", "leads", "--output", "leads.CSV")
        run("export", "leads", "--output", "other.csv", "--format", "ndjson")

        assert (folder / "leads.CSV").read_text() == run("export", "leads", "--format", "csv")
        assert (folder / "other.csv").read_text() == run("export", "leads")

    def test_export_with_filter_is_the_list_of_leads(self):
        new = run("export", "leads", "--status", "new", "--sort", "name_asc", "--format", "csv")

        rows = list(csv.DictReader(io.StringIO(new)))
        assert {row["status"] for row in rows} == {"new"}
        assert "follow_ups_count" in rows[0]

    def test_import_restores_the_text_of_the_list(self):
        names = ["=1+1", "'=1+1", "x;=cmd|' /C calc'!A0", "\uff1d1", 'a, "-b"', "O'Brien", "''+", None]
        with open_database("analytics.db").closing() as database:
            rows = [(900 + number, "2026-02-23 11:15:00", name) for number, name in enumerate(names)]
            database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))

        run("export", "leads", "--sort", "newest", "--format", "csv", "--output", "list.csv")
        run("import", "-d", "again.db", "list.csv")

        assert query("again.db", "select contact_name from leads where lead_id >= 900 order by lead_id") == [
            (name,) for name in names
        ]

    def test_export_filters_only_leads(self):
        assert "are only valid for the table leads" in run("export", "events", "--q", "ann", status=2)

    def test_export_to_unwritable_file_fails_in_one_line(self):
        output = run("export", "leads", "--output", "nowhere/leads.ndjson", status=1)

        assert output.count("\n") == 1
        assert "nowhere/leads.ndjson" in output
