"""Detecting the format of a file from its first lines."""

import gzip
import io
import os
import sqlite3

import pytest
from helpers.access_logs import line

from analytics_api import IngestError
from analytics_api.imports import Rejects, import_file
from analytics_api.imports.formats import detect_format

pytestmark = pytest.mark.writes

SQL = b"""PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE leads (lead_id INTEGER PRIMARY KEY, enquiry_datetime TEXT NOT NULL);
INSERT INTO leads VALUES(1,'2026-02-24 15:00:00');
"""


@pytest.mark.parametrize(
    ("begin", "format"),
    [
        ([line()], "log"),
        ([b"\x16\x03\x01\n", b"\n", line(host="shop.example:443 ")], "log"),
        ([b'\n{"a": 1}\n'], "ndjson"),
        ([b"lead_id;enquiry_datetime\n"], "csv"),
        ([b"\xef\xbb\xbflead_id\tenquiry_datetime\n"], "csv"),
        ([b"PK,lead_id\n"], "csv"),
        (SQL.splitlines(keepends=True), "sql"),
        ([b"-- a dump\n"], "sql"),
        ([b"SQLite format 3\0\x10"], "sqlite"),
        ([b"\x89PNG\r\n", b"\x1a\n"], None),
        ([b"a line of prose\n"], None),
        ([b"\0,\0,\0\n"], None),
    ],
)
def test_format_is_detected(begin, format):
    assert detect_format(begin) == format


@pytest.mark.any_engine
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("way", ["path", "stream"])
def test_sql_is_imported_from_any_source(database, tmp_path, packed, way):
    path = tmp_path / "export"
    path.write_bytes(gzip.compress(SQL) if packed else SQL)

    if way == "path":
        import_file(database, path)
    else:
        with open(path, "rb") as stream:
            import_file(database, stream)

    assert database.row("select lead_id from leads") == {"lead_id": 1}


@pytest.mark.any_engine
def test_sqlite_database_is_imported(database, tmp_path):
    other = sqlite3.connect(tmp_path / "other")
    other.executescript(SQL.decode())
    other.close()

    import_file(database, tmp_path / "other")

    assert database.row("select lead_id from leads") == {"lead_id": 1}


@pytest.mark.any_engine
def test_unknown_file_names_the_formats(database, tmp_path):
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n")

    with pytest.raises(IngestError, match="its format is unknown; use --format"):
        import_file(database, tmp_path / "picture")


@pytest.mark.any_engine
def test_explicit_format_skips_detection(database):
    report = import_file(database, io.BytesIO(b"prose\n" + line()), format="log")

    assert report.tables["events"].written == 1
    assert report.tables["events"].rejected == 1


@pytest.mark.any_engine
@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_empty_file_is_accepted(database, tmp_path, content):
    (tmp_path / "access.log").write_bytes(content)

    assert import_file(database, tmp_path / "access.log").lines() == [
        "warning: the file has no rows",
        "0 lines, 0 rejected",
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(line() * 500)[:-200], "the gzip data is damaged or truncated"),
        (gzip.compress(line()) + b"junk", "the gzip data is damaged or truncated"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_unreadable_file_changes_nothing(database, tmp_path, content, message):
    if content:
        (tmp_path / "access.log").write_bytes(content)

    with pytest.raises(IngestError, match=message):
        import_file(database, tmp_path / "access.log", format="log")

    assert database.rows("select * from events") == []


@pytest.mark.any_engine
def test_error_of_a_stream_has_its_name_and_not_that_of_a_copy(database):
    dump = io.BytesIO(b"create table sessions (session_id);\nselect 1;\n")

    with pytest.raises(IngestError, match=r"^standard input, line 2: 'select 1;' is not allowed in an export"):
        import_file(database, dump, name="standard input")


def test_rejected_row_of_a_stream_has_its_name(database):
    rejects = io.BytesIO()
    dump = b"""create table sessions (session_id, visitor_id, started_at);
insert into sessions values ('s1', 'ann', 'never');
"""

    import_file(database, io.BytesIO(dump), name="standard input", rejects=rejects)

    assert rejects.getvalue().startswith(b"standard input:1\tsessions: started_at: ")


def test_stream_stays_open(database):
    stream = io.BytesIO(line())

    import_file(database, stream)

    assert not stream.closed


@pytest.mark.any_engine
def test_path_of_a_pipe_is_read_once(database):
    output, input = os.pipe()
    os.write(input, SQL)
    os.close(input)

    report = import_file(database, f"/dev/fd/{output}")
    os.close(output)

    assert report.tables["leads"].written == 1


@pytest.mark.any_engine
def test_reject_file_is_created_on_demand_and_shared(database, tmp_path):
    files = [tmp_path / name for name in ("good.log", "bad.log", "worse.log")]
    for file, content in zip(files, [line(), b"bad\n" + line(), line() + b"worse\n"]):
        file.write_bytes(content)
    path = tmp_path / "rejects"

    with Rejects(path) as rejects:
        import_file(database, files[0], rejects=rejects)
        made_early = path.exists()
        for file in files[1:]:
            import_file(database, file, rejects=rejects)

    assert not made_early
    assert rejects.count == 2
    assert path.read_text() == (
        f"{files[1]}:1\tnot a line of an access log\tbad\n{files[2]}:2\tnot a line of an access log\tworse\n"
    )
