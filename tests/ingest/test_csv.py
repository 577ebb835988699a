"""CSV and its relatives."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api import IngestError
from analytics_api.ingest import Rejects, import_csv, import_file


def rows(database, table="events", order="event_id"):
    return [tuple(row.values()) for row in database.rows(f"select {COLUMNS[table]} from {table} order by {order}")]


COLUMNS = {
    "events": "event_id, session_id, event_type, page_url, occurred_at, data",
    "sessions": "session_id, visitor_id, started_at, ended_at, event_count, country, vpn_suspected",
    "leads": "lead_id, enquiry_datetime, contact_name, status, form_submit_count",
}


def test_columns_go_by_the_names_in_the_header(database):
    text = b"event_type,occurred_at,event_id,session_id\nclick,2026-02-24T15:00:00Z,1,s1\n"

    report = import_file(database, io.BytesIO(text))

    assert rows(database) == [(1, "s1", "click", None, 1771945200000, None)]
    assert report.lines() == ["events: 1 of 1 rows written", "2 lines, 0 refused"]


@pytest.mark.any_engine
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiter_line_ends_and_marks_are_found_out(database, mark, end, encoding):
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
    assert report.lines()[-1] == "5 lines, 1 of them empty, 0 refused"


@pytest.mark.any_engine
def test_other_names_are_mapped_and_what_has_no_place_is_told(database):
    text = b"id;visit;what;when;browser\n7;s1;click;2026-02-24 15:00;Firefox\n"
    map = {"ID": "event_id", "visit": "session_id", "what": "event_type", "when": "occurred_at"}

    report = import_file(database, io.BytesIO(text), map=map)

    assert rows(database) == [(7, "s1", "click", None, 1771945200000, None)]
    assert "events: no place for the columns browser" in report.lines()


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("header", "map", "message"),
    [
        (b"event_id,session_id\n", {}, "its columns are not those of one table"),
        (b"lead_id,contact_name\n", {}, "its columns are not those of one table"),
        (b"session_id,visitor_id,started_at\n", {"visit": "session_id"}, "there is no column visit"),
        (b"session_id,visitor_id,started_at,x\n", {"x": "colour"}, "the table sessions has no column colour"),
        (b"lead_id,enquiry_datetime,n\n", {"n": "follow_ups_count"}, "the table leads has no column follow_ups_count"),
    ],
)
def test_a_header_that_does_not_do_is_refused(database, header, map, message):
    with pytest.raises(IngestError, match=message):
        import_csv(database, [header], map=map)


@pytest.mark.any_engine
def test_a_named_table_says_what_its_header_lacks(database):
    with pytest.raises(IngestError, match="there is no column visitor_id, which a row of sessions can't be without"):
        import_csv(database, [b"session_id,started_at\n"], table="sessions")


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
def test_quotes_tell_empty_text_from_null_unless_the_header_is_quoted_too(database):
    plain = [b"event_id,session_id,event_type,occurred_at,page_url,data\n", b'1,s1,click,1771945200,"",\n']
    quoted = [b'"event_id","session_id","event_type","occurred_at","page_url"\n', b'"2","s1","click","1771945200",""\n']

    import_csv(database, plain)
    import_csv(database, quoted)

    assert [(row[3], row[5]) for row in rows(database)] == [("", None), (None, None)]


@pytest.mark.any_engine
def test_events_without_an_id_are_known_the_second_time(database):
    text = b"session_id,event_type,occurred_at\n" + b"s1,click,2026-02-24\n" * 2 + b"s1,click,2026-02-25\n"

    first = import_csv(database, text.splitlines(keepends=True))
    second = import_csv(database, text.splitlines(keepends=True))

    assert first.tables["events"].written == 3
    assert second.tables["events"].kept == 3


def test_rows_that_are_there_stay_or_take_the_new_values(database):
    header = b"session_id,visitor_id,started_at,country\n"
    import_csv(database, [header, b"s1,ann,2026-02-24,IN\n"])

    kept = import_csv(database, [header, b"s1,ann,2026-02-24,DE\n"])
    after_keep = rows(database, "sessions", "session_id")
    import_csv(database, [header, b"s1,ann,2026-02-24,DE\n"], existing="update")

    assert kept.tables["sessions"].kept == 1
    assert after_keep[0][5] == "IN"
    assert rows(database, "sessions", "session_id")[0][5] == "DE"
    assert database.verify() == []


def test_bad_rows_are_refused_by_their_line_and_the_others_written(database):
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
    assert refused[1][1] == b"event_id: 'x' is no number"
    assert refused[2][1] == b"occurred_at: '2026-02-30' is no date"
    assert refused[3][1] == b"session_id: there is none, which a row can't be without"
    assert refused[4][1] == b"not UTF-8"
    assert refused[4][2] == text[6].rstrip(b"\n")
    assert report.lines()[-1] == "15 lines, 12 refused"


@pytest.mark.any_engine
def test_an_open_quote_costs_one_row(database):
    header = b"event_id,session_id,event_type,occurred_at,page_url\n"
    good = [b"%d,s1,click,2026-02-24,/a\n" % n for n in range(2, 30_000)]

    report = import_csv(database, [header, b'1,s1,click,2026-02-24,"/a\n', *good])

    assert report.tables["events"].written == len(good)
    assert report.rejects == ["events line 2: a quote is never closed"]


@pytest.mark.any_engine
def test_a_field_of_a_megabyte_is_taken(database):
    data = b"x" * 1_000_000

    import_csv(
        database, [b"event_id,session_id,event_type,occurred_at,data\n", b"1,s1,click,2026-02-24," + data + b"\n"]
    )

    assert len(rows(database)[0][5]) == 1_000_000


def test_a_strict_import_leaves_nothing(database):
    with pytest.raises(IngestError, match="the input, line 3: occurred_at: 'soon' is no date; nothing was written"):
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
        st.tuples(TEXT.filter(bool), TEXT, TEXT | st.none(), st.integers(10**10, 253402300799999), TEXT | st.none()),
        max_size=6,
    ),
    st.sampled_from(",;\t|"),
)
def test_what_is_written_as_csv_is_read_as_it_was(database, given_rows, mark):
    database.write(lambda at: at.execute("delete from events"))
    given_rows = [(number, *row) for number, row in enumerate(given_rows)]
    file = io.StringIO()
    file.write(mark.join(COLUMNS["events"].split(", ")) + "\r\n")
    for row in [[value and str(value).replace('"', '""') for value in row] for row in given_rows]:
        file.write(mark.join("" if value is None else f'"{value}"' for value in row) + "\r\n")

    import_csv(database, file.getvalue().encode().splitlines(keepends=True), table="events", strict=True)

    assert rows(database) == given_rows


@pytest.mark.any_engine
def test_what_pythons_csv_writes_is_read(database):
    file = io.StringIO()
    csv.writer(file).writerows(
        [COLUMNS["events"].split(", "), [1, "s1", "page_view", 'a "b",\nc', 1771945200000, None]]
    )

    import_csv(database, file.getvalue().encode().splitlines(keepends=True))

    assert rows(database) == [(1, "s1", "page_view", 'a "b",\nc', 1771945200000, None)]
