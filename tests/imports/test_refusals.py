"""Invalid files and options are rejected with one line that names them."""

import gzip
import shutil
from pathlib import Path

import pytest
from helpers.access_logs import line
from helpers.cli import isolated_cwd, query, run
from helpers.importing import import_text, select
from helpers.sqlite import empty_file

from analytics_api import IngestError
from analytics_api.imports import Rejects, Site, import_file

LEADS = "lead_id,enquiry_datetime,contact_name\n1,2026-03-01 10:00,Ann\n"

pytestmark = pytest.mark.any_engine


# Encodings and line endings


@pytest.mark.parametrize("encoding", ["latin-99", "", "base64", "idna", "undefined", "rot13", "x\0y"])
def test_unknown_encoding_is_named(database, encoding):
    with pytest.raises(IngestError, match="unknown encoding"):
        import_text(database, LEADS, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_unknown_byte_order_fails_in_one_line(folder, encoding):
    Path("in.csv").write_text(LEADS, encoding=f"{encoding}-le")

    output = run("import", "--encoding", encoding, "in.csv", status=1)

    assert output.splitlines()[-1].endswith(f"use --encoding {encoding}-le or {encoding}-be")


@pytest.mark.parametrize("delimiter", ["\t", "\\t", "tab", "TAB"])
def test_tab_has_names(database, delimiter):
    import_text(database, LEADS.replace(",", "\t"), delimiter=delimiter)

    assert select(database, "lead_id, contact_name", "leads") == [(1, "Ann")]


@pytest.mark.parametrize("delimiter", ["", ",;", "\n", '"', "é"], ids=["empty", "two", "newline", "quote", "accent"])
def test_delimiter_is_one_character(database, delimiter):
    with pytest.raises(IngestError, match=r"--delimiter .*: use one character"):
        import_text(database, LEADS, delimiter=delimiter)


@pytest.mark.parametrize(
    "before", ["sep=;\n", "\ufeffsep=;\r\n", "# report\n# ----\n", "\n\n"], ids=["sep", "bom-sep", "comments", "blank"]
)
def test_lines_before_the_header_are_ignored(database, before):
    import_text(database, before + LEADS.replace(",", ";"), table="leads")

    assert select(database, "lead_id, contact_name", "leads") == [(1, "Ann")]


# A column without a name


@pytest.mark.parametrize(
    "text",
    [",lead_id,enquiry_datetime\n0,7,2026-01-01 10:00\n", "lead_id,enquiry_datetime,\n7,2026-01-01 10:00,\n"],
    ids=["pandas", "trailing"],
)
def test_column_without_a_name_is_reported(database, text):
    report = import_text(database, text)

    assert select(database, "lead_id, enquiry_datetime", "leads") == [(7, "2026-01-01 10:00:00")]
    assert "leads: ignored the columns (unnamed)" in report.lines()


# Kinds of files


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04 workbook", "an Excel workbook: unpack it, or save it as CSV$"),
        (b"\xfd7zXZ\x00", "compressed with xz"),
        (b"BZh91AY", "compressed with bzip2"),
        (b'[\n  {\n    "results": [\n', r"a JSON array: convert it to NDJSON with jq -c '.\[\].results\[\]'$"),
        (b'[{"lead_id": 1}]\n', r"a JSON array: convert it to NDJSON with jq -c '.\[\]'$"),
        (
            b"198.51.100.7 [14/Aug/2019:04:12:10 +0300] GET / 200\n",
            "it may be an access log, but is not in the Common or Combined format",
        ),
        (
            b'{"level": "info", "msg": "handled request", "request": {"method": "GET", "uri": "/"}, "status": 200}\n',
            "it may be an access log, but is not in the Common or Combined format",
        ),
        (b'{\n  "lead_id": 1\n}\n', "none of the first lines of the file is a JSON object$"),
        (b"\xef\xbb\xbf\n\n", "its first lines are empty$"),
        (b"Dear diary\n", r"its format is unknown; use --format log\|csv\|ndjson\|sql\|sqlite$"),
        (b"Date,Amount\n2026-01-01,3\n", "the columns Date, Amount do not match exactly one table"),
    ],
    ids=["zip", "xz", "bzip2", "d1-execute", "json", "log", "json-log", "indented", "blank", "text", "csv"],
)
def test_other_kinds_of_files_are_named(database, data, message):
    with pytest.raises(IngestError, match=message):
        import_text(database, data)


@pytest.mark.parametrize(
    "data", [b'[{"lead_id": 1}]\n', b'[\n  {\n    "results": []\n  }\n]\n'], ids=["one-line", "indented"]
)
def test_json_array_is_named_if_the_table_is_passed(database, data):
    with pytest.raises(IngestError, match="it may be a JSON array: convert it to NDJSON"):
        import_text(database, data, table="leads")


@pytest.mark.parametrize(
    ("format", "data", "message"),
    [
        ("csv", b"PK\3\4\x14\0\x06\0", "an Excel workbook: unpack it, or save it as CSV$"),
        ("ndjson", b'[{"lead_id": 1}]\n', "a JSON array: convert it to NDJSON"),
    ],
)
def test_another_kind_of_file_is_named_if_the_format_is_passed(database, format, data, message):
    with pytest.raises(IngestError, match=message):
        import_file(database, [data], format=format, table="leads")


def test_cp1252_file_names_the_option(database):
    report = import_text(database, LEADS.replace("Ann", "Zoë").encode("cp1252"))

    assert report.is_all_rejected
    assert report.warnings == ["use --encoding (cp1252 for files of Excel)"]


def test_one_row_in_cp1252_names_the_option(database):
    report = import_text(database, LEADS.encode() + "2,2026-02-24 10:00:00,Zoë\n".encode("cp1252"))

    assert not report.is_all_rejected
    assert report.warnings == ["use --encoding (cp1252 for files of Excel)"]


def test_sql_without_a_required_column_lists_its_columns(database):
    with pytest.raises(IngestError, match=r"must have the columns session_id, .*; .*\(.* id, visitor\)"):
        import_text(database, "CREATE TABLE sessions (id TEXT, visitor TEXT);\nINSERT INTO sessions VALUES('a','b');\n")


# Options without effect


@pytest.mark.parametrize(
    ("text", "options", "warning"),
    [
        (line().decode(), {"table": "leads"}, "--table has no effect on a log file"),
        (line().decode(), {"map": {"a": "b"}}, "--map has no effect on a log file"),
        (line().decode(), {"map_values": {"status": {"a": "new"}}}, "--map-value has no effect on a log file"),
        (line().decode(), {"date_format": "%d/%m/%Y"}, "--date-format has no effect on a log file"),
        (line().decode(), {"delimiter": ","}, "--delimiter has no effect on a log file"),
        (line().decode(), {"on_conflict": "update"}, "--update has no effect on a log file"),
        ('{"lead_id":1,"enquiry_datetime":""}\n', {"delimiter": ","}, "--delimiter has no effect on an NDJSON file"),
        ("lead_id,enquiry_datetime\n1,\n", {"site": Site(timeout=60)}, "--timeout has no effect on a CSV file"),
        ("lead_id,enquiry_datetime\n1,\n", {"site": Site(hosts=["a"])}, "--host has no effect on a CSV file"),
    ],
    ids=[
        *("log-table", "log-map", "log-map-value", "log-date-format", "log-delimiter", "log-update"),
        *("ndjson-delimiter", "csv-timeout", "csv-host"),
    ],
)
def test_option_without_effect_is_named(database, text, options, warning):
    assert warning in import_text(database, text, **options).warnings


# Formats of dates, and other values


@pytest.mark.parametrize("format", ["%d/%m", "%H:%M", "%Y", "%Q", "", "23/02/2026"])
def test_date_format_without_a_whole_date_is_an_error(database, format):
    with pytest.raises(IngestError, match=r"--date-format .*: it must have a day, a month and a year"):
        import_text(database, LEADS, date_format=format)


def test_mapped_value_that_the_column_cannot_have_is_an_error(database):
    with pytest.raises(IngestError, match=r"--map-value status:Closed=wonn: 'wonn' is not .*; did you mean won\?"):
        import_text(database, LEADS, map_values={"status": {"Closed": "wonn"}})


def test_mapped_values_of_an_unknown_column_are_an_error(database):
    with pytest.raises(IngestError, match=r"--map-value state:Closed: the table leads has no column state .*status"):
        import_text(database, LEADS, map_values={"state": {"Closed": "won"}})


def test_unused_mapped_value_is_a_warning(database):
    report = import_text(database, LEADS, map_values={"contact_name": {"ann ": "Anna", "Bob": "Robert"}})

    assert report.warnings == ["--map-value contact_name:Bob: no valid row has this value"]
    assert select(database, "contact_name", "leads") == [("Anna",)]


# Control characters, links, inputs


def test_control_characters_in_a_file_name_are_escaped(folder):
    Path("\x07.csv").write_text("junk\n")

    output = run("import", "\x07.csv", status=1)

    assert output.splitlines()[-1].startswith("Error: \\x07.csv: its format is unknown")


def test_report_escapes_control_characters(database):
    report = import_text(
        database,
        'CREATE TABLE leads (lead_id INTEGER PRIMARY KEY, enquiry_datetime TEXT, "x\x1b]0;pwned\x07" TEXT);\n'
        "CREATE TABLE \"t\n\x1b[31mOK all imported\" (a TEXT);\nINSERT INTO leads VALUES(1,'\x1b[2J',NULL);\n",
    )

    text = "\n".join(report.lines())
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "OK all imported" not in report.lines()
    assert "ignored the tables t\\n\\x1b[31mOK all imported" in report.lines()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    shutil.copy(empty_file(), tmp_path)
    return tmp_path


BAD = "lead_id,enquiry_datetime\nx,2026-01-01\n1,2026-01-01\n"


def test_rejects_follow_no_link(database, folder):
    Path("victim").write_text("precious")
    Path("rejects.tsv").symlink_to("victim")

    with pytest.raises(IngestError, match=r"rejects\.tsv: cannot be written: it is a link"):
        import_text(database, BAD, rejects="rejects.tsv")

    assert Path("victim").read_text() == "precious"
    assert select(database, "lead_id", "leads") == []


@pytest.mark.parametrize("name", ["in.csv", "./in.csv", "link.csv"])
def test_rejects_overwrite_no_input(folder, name):
    Path("in.csv").write_text(BAD)
    Path("link.csv").symlink_to("in.csv")

    output = run("import", "--rejects", name, "in.csv", status=1)

    assert output == f"Error: {name}: the file for rejected rows must not be a file to import or the database\n"
    assert Path("in.csv").read_text() == BAD


@pytest.mark.parametrize("name", ["analytics.db", "link.db", "analytics.db-wal"])
def test_rejects_overwrite_no_database(folder, name):
    Path("in.csv").write_text(BAD)
    Path("link.db").symlink_to("analytics.db")

    output = run("import", "--rejects", name, "in.csv", status=1)

    assert output.endswith(f"Error: {name}: the file for rejected rows must not be a file to import or the database\n")
    assert query("analytics.db", "select count(*) from leads") == [(0,)]


def test_rejects_are_for_their_owner_alone(database, folder):
    with Rejects("rejects.tsv") as rejects:
        import_file(database, [*map(str.encode, BAD.splitlines(keepends=True))], rejects=rejects)

    assert Path("rejects.tsv").stat().st_mode & 0o777 == 0o600


# Exit status, and files that are not imported


def test_file_of_bad_rows_alone_is_exit_1(folder):
    Path("bad.csv").write_text("lead_id,enquiry_datetime\nx,2026-01-01\ny,2026-01-01\n")

    output = run("import", "bad.csv", status=1)

    assert output.endswith("Error: all rows of a file are invalid\n")


def test_file_with_a_valid_row_exits_with_0(folder):
    Path("half.csv").write_text(BAD)

    assert "leads: 1 of 2 rows written, 1 rejected" in run("import", "half.csv")


def test_files_after_an_unreadable_file_are_not_imported(folder):
    Path("one.csv").write_text(LEADS)
    Path("three.csv.gz").write_bytes(gzip.compress(LEADS.replace("1,", "3,").encode()))

    output = run("import", "one.csv", "two.csv", "three.csv.gz", status=1)

    assert output.startswith("one.csv:\nleads: 1 of 1 rows written\n")
    assert output.endswith("Error: two.csv: cannot be read: No such file or directory (not imported: three.csv.gz)\n")
    assert query("analytics.db", "select lead_id from leads") == [(1,)]


# Several files


def test_events_of_later_files_are_counted_in_their_sessions(folder):
    Path("sessions.csv").write_text("session_id,visitor_id,started_at\ns1,v1,2026-03-01\ns2,v2,2026-03-01\n")
    for n, clock in enumerate(["10:00", "11:00"]):
        Path(f"events-{n}.csv").write_text(
            f"session_id,event_type,page_url,occurred_at\ns1,page_view,/a,2026-03-01 {clock}\n"
        )

    output = run("import", "sessions.csv", "events-0.csv", "events-1.csv")

    assert output.endswith("sessions: event_count of 1 rows was computed from their events\n")
    assert query("analytics.db", "select session_id, event_count from sessions order by 1") == [("s1", 2), ("s2", 0)]


@pytest.mark.parametrize(
    ("header", "option", "message"),
    [
        (
            "session_id,visitor,started_at",
            "--map=visitor=visitor_id",
            "--map visitor=visitor_id: the table events has no",
        ),
        ("sid,visitor_id,started_at", "--map=sid=session_id", "--map: the column sid does not exist"),
        (
            "session_id,visitor_id,started_at",
            "--map-value=country:UK=GB",
            "--map-value country:UK: the table events has no",
        ),
    ],
    ids=["target", "source", "value"],
)
def test_map_of_another_file_is_an_error(header, option, message, folder):
    Path("sessions.csv").write_text(f"{header}\ns1,v1,2026-03-01\n")
    Path("events.csv").write_text("session_id,event_type,occurred_at\ns1,page_view,2026-03-01\n")

    output = run("import", "sessions.csv", "events.csv", "more.csv", option, status=1)

    assert f"Error: events.csv: {message}" in output
    assert output.endswith(
        "; options apply to all files of a command, so import this file with a command of its own "
        "(not imported: more.csv)\n"
    )
    assert query("analytics.db", "select (select count(*) from sessions), (select count(*) from events)") == [(1, 0)]


@pytest.mark.parametrize("files", [["events.csv"], ["events.csv", "leads.csv"]], ids=["one", "several"])
def test_events_without_sessions_are_a_warning(files, folder):
    Path("events.csv").write_text(
        "session_id,event_type,occurred_at\n"
        "s1,page_view,2026-03-01\ns2,page_view,2026-03-01\ns2,page_view,2026-03-02\ns3,page_view,2026-03-01\n"
    )
    Path("leads.csv").write_text(LEADS)
    query("analytics.db", "insert into sessions (session_id, visitor_id, started_at) values ('s1', 'v1', 1e12)")

    output = run("import", *files)

    assert [line for line in output.splitlines() if "sessions" in line] == [
        "warning: the events name sessions that are not in the database (2); "
        "only sessions count as visits, so import them, too"
    ]


def test_sessions_in_a_later_file_are_not_missing(folder):
    Path("events.csv").write_text("session_id,event_type,occurred_at\ns1,page_view,2026-03-01\n")
    Path("sessions.csv").write_text("session_id,visitor_id,started_at,event_count\ns1,v1,2026-03-01,1\n")

    assert "warning" not in run("import", "events.csv", "sessions.csv")


def test_own_hosts_of_one_log_apply_to_all_of_a_command(folder):
    shop = "https://shop.example/"
    Path("access.log").write_bytes(line("12:00:00", "/cart", referrer=shop))
    Path("access.log.1").write_bytes(b"".join(line(path="/s.css", referrer=shop) for _ in range(5)))

    run("import", "access.log", "access.log.1")

    assert query("analytics.db", "select key from all_time_keys where dimension = 2") == [("(direct)",)]
