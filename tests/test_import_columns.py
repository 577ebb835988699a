"""Importing the columns and values of another program's database."""

import json

import pytest
from helpers.counters import read_totals
from helpers.importing import import_text

from analytics_api.errors import IngestError
from analytics_api.imports import Rejects, write

pytestmark = pytest.mark.writes

SESSION = {
    "visitor_id": "v1",
    "fingerprint": None,
    "started_at": 1771945200000,
    "ended_at": None,
    "duration": None,
    "engagement_score": None,
    "event_count": 0,
    "entry_page": None,
    "exit_page": None,
    "country": None,
    "referrer": None,
    "referrer_domain": None,
    "vpn_suspected": 0,
}


@pytest.fixture
def load(database):
    """Return a function that imports SQL statements and returns the report."""

    def load(*statements, **options):
        text = "".join(f"{statement};\n" for statement in statements)
        return import_text(database, text, name="export.sql", **options)

    return load


@pytest.fixture
def read(database):
    """Return a function that returns the values of a column by key."""

    def read(table, column):
        key = {"sessions": "session_id", "events": "event_id", "leads": "lead_id"}.get(table, "submission_id")
        rows = database.rows(f"select {key}, {column} as value from {table} order by {key}")
        return {row[key]: row["value"] for row in rows}

    return read


def one(table, column, value, declared=""):
    """Return SQL for a table with one row that has this value in the column, and values in the required columns."""
    needed = {
        "sessions": {"session_id": "'s1'", "visitor_id": "'v1'", "started_at": "1771945200000"},
        "events": {"event_id": "1", "session_id": "'s1'", "event_type": "'click'", "occurred_at": "1771945200000"},
        "leads": {"lead_id": "1", "enquiry_datetime": "'2026-02-23 11:15:00'"},
        "lead_submissions": {"submission_id": "1", "lead_id": "1", "submitted_at": "'2026-02-23 11:15:00'"},
    }[table]
    row = needed | {column: value}
    columns = ", ".join(name if name != column else f"{name} {declared}" for name in row)
    return f"create table {table} ({columns})", f"insert into {table} values ({', '.join(row.values())})"


# Columns


def test_columns_match_by_name_in_any_order_and_case(load, database):
    report = load(
        "create table sessions (COUNTRY, started_at, Visitor_Id, session_id text primary key)",
        "insert into sessions values ('FR', 1771945200000, 'v1', 's1')",
    )

    assert report.lines() == ["sessions: 1 of 1 rows written"]
    assert database.rows("select session_id, visitor_id, started_at, country from sessions") == [
        {"session_id": "s1", "visitor_id": "v1", "started_at": 1771945200000, "country": "FR"}
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize("name", ['"sessions"', "SESSIONS", "[Sessions]", "`sessions`"])
def test_tables_match_by_normalized_name(name, load, read):
    load(
        f"create table {name} (session_id, visitor_id, started_at)",
        f"insert into {name} values ('s1', 'v1', 1771945200000)",
    )

    assert read("sessions", "visitor_id") == {"s1": "v1"}


def test_missing_columns_have_their_defaults(load, database):
    load(
        "create table sessions (session_id, visitor_id, started_at)",
        "insert into sessions values ('s1', 'v1', 1771945200000)",
        "create table leads (lead_id, enquiry_datetime)",
        "insert into leads values (1, '2026-02-23 11:15:00')",
    )

    names = ", ".join(SESSION)
    assert database.rows(f"select {names} from sessions") == [SESSION]
    assert database.rows("select status, form_submit_count, suspicion_score, contact_name from leads") == [
        {"status": "new", "form_submit_count": 1, "suspicion_score": 0, "contact_name": None}
    ]


@pytest.mark.any_engine
def test_unmatched_columns_and_tables_are_reported(load):
    report = load(
        "create table sessions (session_id, visitor_id, started_at, user_agent, Screen)",
        "insert into sessions values ('s1', 'v1', 1771945200000, 'Mozilla', '1x1')",
        'create table "page cache" (k)',
        "create table users (id)",
        "create table events (event_id, session_id, event_type, occurred_at)",
    )

    assert report.lines() == [
        "sessions: 1 of 1 rows written",
        "events: 0 of 0 rows written",
        "sessions: ignored the columns user_agent, Screen",
        "ignored the tables page cache, users",
    ]


@pytest.mark.any_engine
def test_platform_tables_are_not_reported(load):
    report = load(
        "create table _cf_KV (k)",
        "create table d1_migrations (id)",
        "create table sessions (session_id, visitor_id, started_at)",
    )

    assert report.lines() == ["sessions: 0 of 0 rows written", "warning: the file has no rows"]


@pytest.mark.any_engine
def test_file_without_known_tables_is_rejected(load):
    with pytest.raises(
        IngestError,
        match=r"export\.sql: the file has none of the tables sessions, .*; its tables are users; views are not read$",
    ):
        load("create table users (id)")


@pytest.mark.parametrize(
    ("table", "columns", "missing"),
    [
        ("sessions", "visitor_id, started_at", "session_id"),
        ("sessions", "session_id, started_at", "visitor_id"),
        ("sessions", "session_id, visitor_id", "started_at"),
        ("leads", "lead_id, contact_name", "enquiry_datetime"),
        ("lead_submissions", "submission_id, submitted_at", "lead_id"),
    ],
)
def test_table_without_a_required_column_is_rejected(table, columns, missing, load, database):
    other = "events" if table == "sessions" else "sessions"

    with pytest.raises(IngestError, match=f"every row of {table} must have the column {missing};"):
        load(*one(other, "session_id", "'s9'"), f"create table {table} ({columns})")

    assert database.rows(f"select count(*) as rows from {other}") == [{"rows": 0}]


def test_all_missing_columns_are_named(load):
    message = (
        "table sessions: every row of sessions must have the columns session_id, visitor_id, started_at; "
        "use --map THEIR_COLUMN="
    )

    with pytest.raises(IngestError, match=message):
        load("create table sessions (id, visitor, start_time)")


def test_column_of_one_table_is_mapped(load, read):
    load(
        "create table sessions (id, visitor_id, started_at)",
        "insert into sessions values ('s1', 'v1', 1771945200000)",
        "create table events (id, session, event_type, occurred_at)",
        "insert into events values (7, 's1', 'page_view', 1771945200000)",
        map={"Sessions.ID": "session_id", "events.id": "event_id", "session": "session_id"},
    )

    assert read("sessions", "session_id") == {"s1": "s1"}
    assert read("events", "session_id") == {7: "s1"}


@pytest.mark.any_engine
@pytest.mark.parametrize("name", ["leads.id", "sessions.key"])
def test_mapped_column_that_the_table_lacks_is_an_error(load, name):
    with pytest.raises(IngestError, match=f"--map: the column {name} does not exist; use one of session_id, "):
        load("create table sessions (session_id, visitor_id, started_at)", map={name: "session_id"})


@pytest.mark.any_engine
def test_column_that_two_tables_share_names_the_option(load):
    with pytest.raises(IngestError, match=r"session_id matches two columns, id and session; .*--map TABLE\.NAME="):
        load(
            "create table sessions (id, visitor_id, started_at)",
            "create table events (id, session, event_type, occurred_at)",
            map={"id": "session_id", "session": "session_id"},
        )


def test_derived_columns_are_computed_from_the_rows(load, database):
    report = load(
        "create table leads (lead_id, enquiry_datetime, follow_ups_count, last_follow_up_at, search_text)",
        "insert into leads values (1, '2026-02-23 11:15:00', 40, '2030-01-01 00:00:00', 'nobody')",
        "create table lead_submissions (submission_id, lead_id, submitted_at, is_primary_lead)",
        "insert into lead_submissions values (1, 1, '2026-02-23 11:15:00', 1)",
        "insert into lead_submissions values (2, 1, '2026-02-24 09:30:00', 0)",
    )

    assert report.ignored_columns == {}
    assert database.rows("select follow_ups_count, last_follow_up_at from leads") == [
        {"follow_ups_count": 1, "last_follow_up_at": "2026-02-24 09:30:00"}
    ]


# Values


@pytest.mark.parametrize(
    ("table", "column", "default"),
    [
        ("sessions", "event_count", 0),
        ("sessions", "vpn_suspected", 0),
        ("leads", "status", "new"),
        ("leads", "form_submit_count", 1),
        ("leads", "suspicion_score", 0),
        ("lead_submissions", "is_primary_lead", 0),
        ("lead_submissions", "is_duplicate_window", 0),
    ],
)
def test_null_becomes_the_default(table, column, default, load, read):
    load(*one(table, column, "null"))

    assert list(read(table, column).values()) == [default]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("12", 12),
        ("-12", -12),
        ("'12'", 12),
        ("null", None),
    ],
)
@pytest.mark.parametrize("declared", ["", "integer", "real", "text", "numeric", "blob"])
def test_integer_column_accepts_any_whole_number(value, taken, declared, load, read):
    load(*one("sessions", "duration", value, declared))

    assert read("sessions", "duration") == {"s1": taken}


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("value", "taken"), [("12.0", 12), ("12.4", 12), ("12.5", 13), ("-12.5", -13), ("-9.9e9", -9_900_000_000)]
)
@pytest.mark.parametrize("declared", ["", "integer", "real", "numeric", "blob"])
def test_integer_column_rounds_fractions(value, taken, declared, load, read):
    load(*one("sessions", "duration", value, declared))

    assert read("sessions", "duration") == {"s1": taken}


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("'Zoë'", "Zoë"),
        ("''", ""),
        ("null", None),
        ("'007'", "007"),
        ("'a''b\"c\\d%_'", "a'b\"c\\d%_"),
        ("replace('a\\nb','\\n',char(10))", "a\nb"),
    ],
)
@pytest.mark.parametrize("declared", ["", "text", "varchar(20)"])
def test_text_column_preserves_text(value, taken, declared, load, read):
    load(*one("leads", "contact_phone", value, declared))

    assert read("leads", "contact_phone") == {1: taken}


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("value", "taken"), [("9876543210", "9876543210"), ("9876543210.0", "9876543210"), ("1.5", "1.5"), ("-3.0", "-3")]
)
@pytest.mark.parametrize("declared", ["", "integer", "real", "numeric"])
def test_text_column_formats_numbers_like_javascript(value, taken, declared, load, read):
    load(*one("leads", "contact_phone", value, declared))

    assert read("leads", "contact_phone") == {1: taken}


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("value", "stage"),
    [("'won'", "won"), ("'WON'", "won"), ("' Contacted '", "contacted"), ("''", "new"), ("' '", "new")],
)
def test_status_ignores_case(value, stage, load, read):
    load(*one("leads", "status", value))

    assert read("leads", "status") == {1: stage}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("sessions", "started_at", "'soon'"),
        ("sessions", "started_at", "-1"),
        ("sessions", "started_at", "1e300"),
        ("sessions", "started_at", "9e999"),
        ("sessions", "started_at", "null"),
        ("sessions", "visitor_id", "null"),
        ("sessions", "visitor_id", "x'00ff'"),
        ("sessions", "session_id", "null"),
        ("sessions", "duration", "'a while'"),
        ("events", "event_id", "null"),
        ("events", "event_id", "'e1'"),
        ("events", "event_type", "null"),
        ("leads", "status", "'archived'"),
        ("leads", "lead_id", "null"),
        ("leads", "enquiry_datetime", "null"),
        ("lead_submissions", "lead_id", "null"),
    ],
)
def test_bad_row_is_skipped_and_reported(table, column, value, load, database, read):
    create, bad = one(table, column, value)
    values = {"started_at": "1771945200000", "enquiry_datetime": "'2026-02-23'", "event_id": "2", "lead_id": "2"}
    good = one(table, column, values.get(column, "'1'"))[1]
    if column == "status":
        good = one(table, column, "'won'")[1]
    key = {"sessions": "session_id", "events": "event_id", "leads": "lead_id"}.get(table, "submission_id")
    good = good if column == key else good.replace("values ('s1'", "values ('s2'").replace("values (1,", "values (2,")

    report = load(create, bad, good)

    assert report.lines()[0] == f"{table}: 1 of 2 rows written, 1 rejected"
    assert report.lines()[1].startswith(f"rejected: {table} {key} ")
    assert len(read(table, column)) == 1
    assert database.verify() == []


@pytest.mark.any_engine
def test_first_20_reasons_are_reported_with_their_rows(load, read):
    rows = [f"insert into sessions values ('s{n}', 'v', {n if n % 3 else 1771945200000})" for n in range(90)]
    nobody = [f"insert into sessions values ('n{n}', null, 1771945200000)" for n in range(40)]

    report = load("create table sessions (session_id, visitor_id, started_at)", *nobody, *rows)

    assert report.lines()[:2] == [
        "sessions: 30 of 130 rows written, 100 rejected",
        "rejected: sessions session_id 'n0': visitor_id: a value is required (40 rows)",
    ]
    assert report.lines()[2:21] == [
        f"rejected: sessions session_id 's{n}': started_at: {n} is not a date" for n in range(29) if n % 3
    ]
    assert report.lines()[21:] == ["rejected: 41 more rows"]
    assert list(read("sessions", "visitor_id").values()) == ["v"] * 30


def test_bad_rows_are_saved_as_json_with_their_number(load, tmp_path):
    with Rejects(tmp_path / "rejects.tsv") as rejects:
        load(
            "create table events (event_id, session_id, event_type, occurred_at)",
            "insert into events values (7, 's1', 'click', 1771945200000)",
            "insert into events values (8, 's1', 'click', 'soon')",
            rejects=rejects,
        )

    place, reason, row = (tmp_path / "rejects.tsv").read_text().rstrip("\n").split("\t")

    assert place == "export.sql:2"
    assert reason.startswith("events: ")
    assert json.loads(row) == {"event_id": 8, "session_id": "s1", "event_type": "click", "occurred_at": "soon"}


def test_strict_import_rejects_the_whole_file(load, read):
    with pytest.raises(IngestError, match=r"export\.sql: sessions session_id 's2': .*; nothing was written$"):
        load(
            "create table sessions (session_id, visitor_id, started_at)",
            "insert into sessions values ('s1', 'v1', 1771945200000)",
            "insert into sessions values ('s2', null, 1771945200000)",
            strict=True,
        )

    assert read("sessions", "visitor_id") == {}


def test_event_may_have_no_session(load, database):
    load(*one("events", "session_id", "'not-there'"))

    assert read_totals(database)["events"] == 1


@pytest.mark.any_engine
def test_first_of_duplicate_rows_is_imported(load, read):
    report = load(
        "create table sessions (session_id, visitor_id, started_at)",
        "insert into sessions values ('s1', 'first', 1771945200000)",
        "insert into sessions values ('s1', 'second', 1771945200000)",
    )

    assert report.lines() == ["sessions: 1 of 2 rows written, 1 existing or repeated"]
    assert read("sessions", "visitor_id") == {"s1": "first"}


# Existing rows


def test_existing_rows_are_not_changed(load, insert, read):
    insert("sessions", session_id="s1", visitor_id="ours", started_at=1771945200005, country="IN")

    report = load(
        "create table sessions (session_id, visitor_id, started_at)",
        "insert into sessions values ('s1', 'theirs', 1771945200006)",
        "insert into sessions values ('s2', 'theirs', 1771945200006)",
    )

    assert report.lines() == ["sessions: 1 of 2 rows written, 1 existing or repeated"]
    assert read("sessions", "visitor_id") == {"s1": "ours", "s2": "theirs"}


def test_update_overwrites_existing_rows(load, insert, database):
    insert("sessions", session_id="s1", visitor_id="ours", started_at=1771945200005, country="IN", duration=7)

    report = load(
        "create table sessions (session_id, visitor_id, started_at, duration)",
        "insert into sessions values ('s1', 'theirs', 1771945200006, null)",
        on_conflict="update",
    )

    assert report.lines() == ["sessions: 1 of 1 rows written"]
    assert database.rows("select session_id, visitor_id, started_at, country, duration from sessions") == [
        {"session_id": "s1", "visitor_id": "theirs", "started_at": 1771945200006, "country": "IN", "duration": None}
    ]
    assert database.verify() == []


@pytest.mark.parametrize("few", [0, 200], ids=["bulk", "triggers"])
def test_counters_and_search_are_exact_afterwards(few, load, insert, database, get, monkeypatch):
    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", few)
    insert("sessions", session_id="o1", visitor_id="o1", started_at=10**11)

    load(
        *one("sessions", "country", "'FR'"),
        *one("events", "page_url", "'/home'"),
        *one("leads", "contact_name", "'ŁUKASZ Grün'"),
        *one("lead_submissions", "is_primary_lead", "0"),
    )

    assert database.verify() == []
    assert get("/analytics/overview")["total_sessions"] == 2
    assert get("/analytics/leads?q=łukasz gr")["total"] == 1
    assert get("/analytics/leads")["leads"][0]["follow_ups_count"] == 1
