"""Importing CSV files with various delimiters, quotes and encodings."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api import IngestError
from analytics_api.imports import Rejects, csv_file, import_csv, import_file, source

pytestmark = pytest.mark.writes


def rows(database, table="events", order="event_id"):
    return [tuple(row.values()) for row in database.rows(f"select {COLUMNS[table]} from {table} order by {order}")]


COLUMNS = {
    "events": "event_id, session_id, event_type, page_url, occurred_at, data",
    "sessions": "session_id, visitor_id, started_at, ended_at, event_count, country, vpn_suspected",
    "leads": "lead_id, enquiry_datetime, contact_name, status, form_submit_count",
}


def test_columns_match_the_header(database):
    text = b"event_type,occurred_at,event_id,session_id\nclick,2026-02-24T15:00:00Z,1,s1\n"

    report = import_file(database, io.BytesIO(text))

    assert rows(database) == [(1, "s1", "click", None, 1771945200000, None)]
    assert report.lines() == [
        "events: 1 of 1 rows written",
        "events by type: click 1",
        "warning: there is no page_view event, and only such events count as page views; "
        "to rename a type, import again with --update --map-value event_type:NAME=page_view",
        "warning: the events name sessions that are not in the database (1); "
        "only sessions count as visits, so import them, too",
        "1 line, 0 rejected",
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiter_line_ends_and_bom_are_detected(database, mark, end, encoding):
    lines = [
        ["Event_ID", " session_id", "event_type", "occurred_at", "page_url"],
        ["1", "s1", "page_view", "1771945200", '"/ü ; , |"'],
        [],
        ["2", "s1", "page_view", "1771945200000", '"two\nlines ""quoted"""'],
    ]
    text = "".join(mark.join(line) + end for line in lines)

    report = import_file(database, io.BytesIO(text.encode(encoding)))

    assert rows(database) == [
        (1, "s1", "page_view", "/ü ; , |", 1771945200000, None),
        (2, "s1", "page_view", 'two\nlines "quoted"', 1771945200000, None),
    ]
    assert report.lines()[-1] == "4 lines, 1 of them empty, 0 rejected"


@pytest.mark.any_engine
@pytest.mark.parametrize("count", [1, 40], ids=["row", "batch"])
def test_blanks_after_delimiters_are_skipped(database, count):
    text = 'event_id, session_id, "event_type", occurred_at, page_url, data\n' + "".join(
        f'{number}, s1,  click, 2026-02-24 15:00, "/a, b", ""\n' for number in range(1, count + 1)
    )

    import_file(database, io.BytesIO(text.encode()))

    assert rows(database) == [(number, "s1", "click", "/a, b", 1771945200000, "") for number in range(1, count + 1)]


@pytest.mark.any_engine
def test_blanks_remain_if_the_header_has_none(database):
    text = b"event_id,session_id,event_type,occurred_at,page_url\n1,s1,click,2026-02-24 15:00, /a\n"

    import_file(database, io.BytesIO(text))

    assert rows(database)[0][3] == " /a"


@pytest.mark.any_engine
def test_columns_are_mapped_and_the_rest_reported(database):
    text = b"id;visit;what;when;browser\n7;s1;click;2026-02-24 15:00;Firefox\n"
    map = {"ID": "event_id", "visit": "session_id", "what": "event_type", "when": "occurred_at"}

    report = import_file(database, io.BytesIO(text), map=map)

    assert rows(database) == [(7, "s1", "click", None, 1771945200000, None)]
    assert "events: ignored the columns browser" in report.lines()


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("header", "map", "message"),
    [
        (b"event_id,session_id\n", {}, "do not match exactly one table"),
        (b"lead_id,contact_name\n", {}, "do not match exactly one table"),
        (b"session_id,visitor_id,started_at\n", {"visit": "session_id"}, "the column visit does not exist"),
        (b"session_id,visitor_id,started_at,x\n", {"x": "colour"}, "the table sessions has no column colour"),
        (b"lead_id,enquiry_datetime,n\n", {"n": "follow_ups_count"}, "the table leads has no column follow_ups_count"),
    ],
)
def test_unusable_header_is_rejected(database, header, map, message):
    with pytest.raises(IngestError, match=message):
        import_csv(database, [header], map=map)


@pytest.mark.any_engine
def test_table_option_reports_missing_columns(database):
    with pytest.raises(IngestError, match=r"every row of sessions must have the column visitor_id; .*\)$"):
        import_csv(database, [b"session_id,started_at\n"], table="sessions")


@pytest.mark.parametrize(
    ("names", "map", "message"),
    [
        ("started_at,started_at", {}, r"the column started_at is repeated \(started_at, started_at\); rename one"),
        ("STARTED_AT,Started At", {}, r"the column started_at is repeated \(STARTED_AT, Started At\); rename one"),
        ("begin,Begin", {"begin": "started_at"}, r"the column started_at is repeated \(begin, Begin\); rename one"),
    ],
    ids=["same", "normalized", "mapped"],
)
def test_repeated_column_is_rejected(database, names, map, message):
    text = f"session_id,visitor_id,{names}\ns1,ann,2026-02-24,2026-02-25\n"

    with pytest.raises(IngestError, match=message):
        import_file(database, io.BytesIO(text.encode()), map=map)

    assert rows(database, "sessions", "session_id") == []


@pytest.mark.any_engine
def test_ignored_columns_may_have_the_same_name(database):
    text = b"session_id,visitor_id,started_at,x,x,country,country,,\ns1,ann,2026-02-24,1,2,IN,DE,,\n"

    report = import_file(database, io.BytesIO(text), map={"country": ""})

    assert rows(database, "sessions", "session_id") == [("s1", "ann", 1771891200000, None, 0, None, 0)]
    assert "sessions: ignored the columns x, x, (unnamed), (unnamed)" in report.lines()


@pytest.mark.any_engine
@pytest.mark.parametrize("table", ["leads", None], ids=["table", "detected"])
def test_error_about_missing_ids_names_the_page(database, table):
    with pytest.raises(IngestError, match=r"; if the rows have no ids, see docs/importing\.md, Rows without ids$"):
        import_csv(database, [b"enquiry_datetime,contact_name\n"], table=table)


def test_empty_fields_are_null_or_the_default(database):
    text = (
        b"lead_id,enquiry_datetime,contact_name,status,form_submit_count\n1,2026-02-24,,,\n2,2026-02-24,Ann, WON ,3\n"
    )

    import_csv(database, text.splitlines(keepends=True))

    assert rows(database, "leads", "lead_id") == [
        (1, "2026-02-24 00:00:00", None, "new", 1),
        (2, "2026-02-24 00:00:00", "Ann", "won", 3),
    ]


@pytest.mark.any_engine
def test_quotes_distinguish_empty_text_from_null(database):
    plain = [b"event_id,session_id,event_type,occurred_at,page_url,data\n", b'1,s1,click,1771945200,"",\n']
    quoted = [b'"event_id","session_id","event_type","occurred_at","page_url"\n', b'"2","s1","click","1771945200",""\n']

    import_csv(database, plain)
    import_csv(database, quoted)

    assert [(row[3], row[5]) for row in rows(database)] == [("", None), (None, None)]


@pytest.mark.any_engine
def test_events_without_an_id_are_recognized_again(database):
    text = b"session_id,event_type,occurred_at\n" + b"s1,click,2026-02-24\n" * 2 + b"s1,click,2026-02-25\n"

    first = import_csv(database, text.splitlines(keepends=True))
    second = import_csv(database, text.splitlines(keepends=True))

    assert first.tables["events"].written == 3
    assert second.tables["events"].existing == 3


def test_repeated_row_is_reported(database):
    report = import_csv(database, [b"session_id,visitor_id,started_at\n", *[b"s1,ann,2026-02-24\n"] * 2])

    assert report.lines()[0] == "sessions: 1 of 2 rows written, 1 existing or repeated"


def test_existing_rows_are_ignored_or_updated(database):
    header = b"session_id,visitor_id,started_at,country\n"
    import_csv(database, [header, b"s1,ann,2026-02-24,IN\n"])

    second = import_csv(database, [header, b"s1,ann,2026-02-24,DE\n"])
    after_keep = rows(database, "sessions", "session_id")
    import_csv(database, [header, b"s1,ann,2026-02-24,DE\n"], on_conflict="update")

    assert second.tables["sessions"].existing == 1
    assert after_keep[0][5] == "IN"
    assert rows(database, "sessions", "session_id")[0][5] == "DE"
    assert database.verify() == []


def test_bad_rows_are_reported_by_line(database):
    text = [
        b"event_id,session_id,event_type,occurred_at,page_url\n",
        b"1,s1,click,2026-02-24,/a\n",
        b"2,s1,click,2026-02-24\n",
        b"x,s1,click,2026-02-24,/a\n",
        b"4,s1,click,2026-02-30,/a\n",
        b"5,,click,2026-02-24,/a\n",
        b"6,s1,click,2026-02-24,/\xff\n",
        b'7,s1,click,2026-02-24,"two\n',
        b'lines",x\n',
        b'8,s1,click,2026-02-24,"a"b\n',
        b"9,s1,click,99999999999999999999,/a\n",
        b"99999999999999999999,s1,click,2026-02-24,/a\n",
        b"\x16\x03\x01\x02\x00\n",
        b'10,s1,click,2026-02-24,"never closed\n',
        b"11,s1,click,2026-02-24,/b\n",
    ]
    rejects = io.BytesIO()

    report = import_csv(database, text, rejects=Rejects(rejects))
    refused = [row.split(b"\t", 2) for row in rejects.getvalue().splitlines()]

    assert [row[0] for row in rows(database)] == [1, 11]
    assert sorted(int(where.rpartition(b":")[2]) for where, *_ in refused) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert refused[0] == [b"the input:3", b"4 fields instead of 5", b"2,s1,click,2026-02-24"]
    assert refused[1][1].startswith(b"event_id: 'x' is not a whole number")
    assert refused[2][1] == b"occurred_at: '2026-02-30' is not a date"
    assert refused[3][1] == b"session_id: a value is required"
    assert refused[4][1] == b"not UTF-8"
    assert refused[4][2] == text[6].rstrip(b"\n")
    assert report.lines()[-1] == "14 lines, 12 rejected"


@pytest.mark.any_engine
def test_carriage_return_is_allowed_only_in_quotes(database):
    text = b'event_id,session_id,event_type,occurred_at\n1,s1,a\rb,2026-02-24\n2,s1,"a\rb",2026-02-24\n'

    report = import_csv(database, io.BytesIO(text))

    assert [(row[0], row[2]) for row in rows(database)] == [(2, "a\rb")]
    assert report.rejects == ["events line 2: a carriage return outside quotes"]


HEADER = b"event_id,session_id,event_type,occurred_at,page_url\n"


def many(first, count):
    return [b"%d,s1,click,2026-02-24,/a\n" % number for number in range(first, first + count)]


@pytest.fixture
def small_limits(monkeypatch):
    """Read files in small chunks, parse fewer lines together, and allow rows of at most 1,000 lines."""
    monkeypatch.setattr(source, "CHUNK_SIZE", 10_000)
    monkeypatch.setattr(csv_file, "MAX_COLUMNAR_LINES", 200)
    monkeypatch.setattr(csv_file, "MAX_ROW_LINES", 1_000)


@pytest.mark.any_engine
def test_open_quote_costs_one_row(database, small_limits):
    report = import_csv(database, [HEADER, b'1,s1,click,2026-02-24,"/a\n', *many(2, 3_000)])

    assert report.tables["events"].written == 3_000
    assert report.rejects == ["events line 2: the row has more than 1,000 lines: a quote is probably not closed"]


def test_bad_row_among_many_is_reported_by_line(database, small_limits):
    lines = [HEADER, *many(1, 300), b"301,s1,click,soon,/a\n", *many(302, 300)]

    report = import_csv(database, lines)

    assert report.tables["events"].written == 600
    assert report.rejects == ["events line 302: occurred_at: 'soon' is not a date"]


def test_short_row_among_many_is_reported_by_line(database, small_limits):
    lines = [HEADER, *many(1, 300), b"301,s1,click\n", b"\n", *many(302, 300)]

    report = import_csv(database, lines)

    assert report.tables["events"].written == 600
    assert report.rejects == ["events line 302: 3 fields instead of 5"]
    assert report.lines()[-1] == "602 lines, 1 of them empty, 1 rejected"


def test_multi_line_rows_count_all_their_lines(database):
    lines = [
        HEADER,
        *many(1, 100),
        b'101,s1,click,2026-02-24,"two\n',
        b'lines"\n',
        *many(102, 100),
        b"x,s1,click,2026-02-24,\n",
    ]

    report = import_csv(database, lines)

    assert rows(database)[100] == (101, "s1", "click", "two\nlines", 1771891200000, None)
    assert report.tables["events"].written == 201
    assert [reject.partition(";")[0] for reject in report.rejects] == [
        "events line 204: event_id: 'x' is not a whole number"
    ]


def test_row_may_cross_chunks(database, tmp_path, small_limits):
    """The first chunk of each file ends within the row that follows the first 350 rows."""
    file = tmp_path / "events.csv"
    long = "a\n" * 1_050  # more lines than a row may have
    file.write_bytes(HEADER + b"".join(many(1, 350)) + f'351,s1,click,2026-02-24,"{long}"\n'.encode() + many(352, 1)[0])

    refused = import_file(database, file).rejects
    file.write_bytes(HEADER + b"".join(many(1, 350)) + f'353,s1,click,2026-02-24,"{long[:900]}"\n'.encode())
    import_file(database, file)

    assert refused[0] == "events line 352: the row has more than 1,000 lines: a quote is probably not closed"
    assert [row[0] for row in rows(database)] == [*range(1, 351), 352, 353]
    assert rows(database)[-1][3] == long[:900]


@pytest.mark.parametrize(("value", "number"), [(b"0012", 12), (b" 12 ", 12), (b"+12", 12), (b"-12", -12)])
def test_batch_parses_numbers_like_single_rows(database, value, number):
    import_csv(database, [HEADER, *many(100, 50), value + b",s1,click,2026-02-24,/b\n"])

    assert [row[0] for row in rows(database) if row[3] == "/b"] == [number]


@pytest.mark.any_engine
@pytest.mark.parametrize("value", ["1_2", "\u0661\u0662", "0x12", "", "1" * 400])
def test_batch_rejects_non_numbers(database, value):
    report = import_csv(database, [HEADER, *many(100, 50), f"{value},s1,click,2026-02-24,/b\n".encode()])

    assert [row[0] for row in rows(database)] == [*range(100, 150)]
    assert report.rejects[0].startswith("events line 52: event_id: ")


def test_batch_may_mix_milliseconds_and_seconds(database):
    milliseconds = [b"%d,s1,click,1771945200000,\n" % number for number in range(50)]

    import_csv(database, [HEADER, *milliseconds, b"50,s1,click,1771945200,\n"])

    assert {row[4] for row in rows(database)} == {1771945200000}


@pytest.mark.parametrize("value", [b"99999999999999999", b"-1"])
def test_batch_rejects_impossible_instants(database, value):
    milliseconds = [b"%d,s1,click,1771945200000,\n" % number for number in range(50)]

    report = import_csv(database, [HEADER, *milliseconds, b"50,s1,click,%b,\n" % value])

    assert report.tables["events"].written == 50
    assert report.rejects == [f"events line 52: occurred_at: '{value.decode()}' is not a date"]


def test_batch_distinguishes_empty_text_from_null(database):
    lines = [HEADER, *many(1, 50), b'51,s1,click,2026-02-24,""\n', b"52,s1,click,2026-02-24,\n", *many(53, 50)]

    import_csv(database, lines)

    assert [row[3] for row in rows(database)] == ["/a"] * 50 + ["", None] + ["/a"] * 50


def test_batch_uses_defaults_for_null(database):
    header = b"lead_id,enquiry_datetime,contact_name,status,form_submit_count\n"
    lines = [b"%d,2026-02-24 10:00:00,Ann,won,3\n" % number for number in range(1, 50)]

    import_csv(database, [header, *lines, b"50,2026-02-24 10:00:00,,,\n", b"51,2026-02-24 10:00:00,Bob, LOST ,2\n"])

    assert rows(database, "leads", "lead_id")[48:] == [
        (49, "2026-02-24 10:00:00", "Ann", "won", 3),
        (50, "2026-02-24 10:00:00", None, "new", 1),
        (51, "2026-02-24 10:00:00", "Bob", "lost", 2),
    ]


def test_batch_reports_other_encodings_by_line(database):
    report = import_csv(database, [HEADER, *many(1, 50), b"51,s1,click,2026-02-24,/\xff\n", *many(52, 50)])

    assert report.tables["events"].written == 100
    assert report.rejects == ["events line 52: not UTF-8"]


def test_batch_assigns_the_event_ids_of_single_rows(database):
    header = HEADER.removeprefix(b"event_id,")
    lines = [line.split(b",", 1)[1] for line in many(1, 50)]

    import_csv(database, [header, *lines, b"s1,click,2026-02-24,/b\n"])
    report = import_csv(database, [header, b"s1,click,2026-02-24,/b\n"])

    assert report.tables["events"].existing == 1
    assert len(rows(database)) == 51


@pytest.mark.any_engine
def test_field_of_a_megabyte_is_imported(database):
    data = b"x" * 1_000_000

    import_csv(
        database, [b"event_id,session_id,event_type,occurred_at,data\n", b"1,s1,click,2026-02-24," + data + b"\n"]
    )

    assert len(rows(database)[0][5]) == 1_000_000


def test_strict_import_writes_nothing(database):
    with pytest.raises(IngestError, match="the input, line 3: occurred_at: 'soon' is not a date; nothing was written"):
        import_csv(
            database,
            [b"event_id,session_id,event_type,occurred_at\n", b"1,s1,click,2026-02-24\n", b"2,s1,click,soon\n"],
            strict=True,
        )

    assert rows(database) == []


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.mark.any_engine
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(TEXT.filter(bool), TEXT, TEXT | st.none(), st.integers(10**12, 10**13 - 1), TEXT | st.none()),
        max_size=6,
    ),
    st.sampled_from(",;\t|"),
)
@pytest.mark.slow
def test_written_csv_is_read_unchanged(database, given_rows, mark):
    database.write(lambda at: at.execute("delete from events"))
    given_rows = [(number, *row) for number, row in enumerate(given_rows)]
    file = io.StringIO()
    file.write(mark.join(COLUMNS["events"].split(", ")) + "\r\n")
    for row in [[value and str(value).replace('"', '""') for value in row] for row in given_rows]:
        file.write(mark.join("" if value is None else f'"{value}"' for value in row) + "\r\n")

    import_csv(database, file.getvalue().encode().splitlines(keepends=True), table="events", strict=True)

    assert rows(database) == given_rows


@pytest.mark.any_engine
def test_csv_of_python_is_read(database):
    file = io.StringIO()
    csv.writer(file).writerows(
        [COLUMNS["events"].split(", "), [1, "s1", "page_view", 'a "b",\nc', 1771945200000, None]]
    )

    import_csv(database, file.getvalue().encode().splitlines(keepends=True))

    assert rows(database) == [(1, "s1", "page_view", 'a "b",\nc', 1771945200000, None)]
