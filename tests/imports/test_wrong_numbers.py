"""Regression tests for values that earlier versions stored incorrectly. Each is stored correctly, or rejected."""

import pytest
from helpers.importing import import_text, select

from analytics_api import IngestError
from analytics_api.imports import batch, derive, import_rows, write

LEADS_SQL = "CREATE TABLE leads (lead_id INTEGER PRIMARY KEY, enquiry_datetime TEXT, contact_name TEXT);\n"
FOUR_FORMS = [
    (1, "2026-02-23 18:00:00"),
    (2, "2026-02-23 09:00:00"),
    (3, "2026-02-23 17:30:00"),
    (4, "2026-02-23 08:00:00"),
]
FOUR_FORMS_SQL = LEADS_SQL + (
    "INSERT INTO leads VALUES(1,'2026-02-23 18:00:00','a');\n"
    "INSERT INTO leads VALUES(2,'2026-02-23T09:00:00.000Z','b');\n"
    "INSERT INTO leads VALUES(3,'2026-02-23T23:00:00+05:30','c');\n"
    "INSERT INTO leads VALUES(4,1771833600000,'d');\n"
)
FOUR_FORMS_CSV = (
    "lead_id,enquiry_datetime,contact_name\n1,2026-02-23 18:00:00,a\n2,2026-02-23T09:00:00.000Z,b\n"
    "3,2026-02-23T23:00:00+05:30,c\n4,1771833600000,d\n"
)
FOUR_FORMS_NDJSON = (
    '{"lead_id":1,"enquiry_datetime":"2026-02-23 18:00:00"}\n'
    '{"lead_id":2,"enquiry_datetime":"2026-02-23T09:00:00.000Z"}\n'
    '{"lead_id":3,"enquiry_datetime":"2026-02-23T23:00:00+05:30"}\n{"lead_id":4,"enquiry_datetime":1771833600000}\n'
)


# Dates


@pytest.mark.parametrize("text", [FOUR_FORMS_SQL, FOUR_FORMS_CSV, FOUR_FORMS_NDJSON], ids=["sql", "csv", "ndjson"])
def test_dates_of_every_source_are_normalized(database, text):
    import_text(database, text)

    assert select(database, "lead_id, enquiry_datetime", "leads") == FOUR_FORMS


@pytest.mark.any_engine
def test_submission_dates_have_one_form(database):
    import_text(
        database,
        "CREATE TABLE lead_submissions (submission_id INTEGER PRIMARY KEY, lead_id INTEGER, submitted_at TEXT);\n"
        "INSERT INTO lead_submissions VALUES(1,1,'2026-02-24T08:00:00.000Z');\n"
        "INSERT INTO lead_submissions VALUES(2,1,'2026-02-24 20:00:00');\n",
    )

    rows = select(database, "submission_id, submitted_at", "lead_submissions")
    assert rows == [(1, "2026-02-24 08:00:00"), (2, "2026-02-24 20:00:00")]


@pytest.mark.any_engine
def test_compact_dates_and_serial_dates_are_not_seconds(database):
    report = import_text(
        database, "lead_id,enquiry_datetime\n1,20260223\n2,20260223111500\n3,46076.46875\n4,2026\n", table="leads"
    )

    rows = select(database, "lead_id, enquiry_datetime", "leads")
    assert rows == [(1, "2026-02-23 00:00:00"), (2, "2026-02-23 11:15:00"), (3, "2026-02-23 11:15:00")]
    assert report.rejects == ["leads line 5: enquiry_datetime: '2026' is not a date"]


# Instants in SQL dumps and SQLite files


@pytest.mark.any_engine
@pytest.mark.parametrize("value", ["1764100000", "1764100000000", "1764100000000000", "'2025-11-25 19:46:40'"])
def test_instants_of_sql_equal_those_of_csv(database, value):
    import_text(
        database,
        "CREATE TABLE sessions (session_id TEXT PRIMARY KEY, visitor_id TEXT, started_at INTEGER);\n"
        f"INSERT INTO sessions VALUES('s5','v5',{value});\n",
    )

    assert select(database, "started_at", "sessions") == [(1764100000000,)]


# Line ends and encodings


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("utf-16-le", {}),
        ("utf-16-be", {}),
        ("utf-16-le", {"encoding": "utf-16-le"}),
        ("utf-16-be", {"encoding": "UTF_16_BE"}),
        ("utf-32-le", {"encoding": "utf-32-le"}),
        ("utf-16", {"encoding": "utf-16"}),
    ],
    ids=["le", "be", "le-named", "be-named", "utf-32-named", "mark-named"],
)
def test_wide_characters_are_read(database, encoding, options):
    text = "lead_id,enquiry_datetime,contact_name\n1,2026-02-01 10:00:00,Zoë\n".encode(encoding)

    import_text(database, text, table="leads", **options)

    assert select(database, "lead_id, contact_name", "leads") == [(1, "Zoë")]


@pytest.mark.any_engine
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"], ids=["cr", "lf", "crlf"])
def test_every_line_end_makes_rows(database, end):
    text = end.join(["lead_id,enquiry_datetime,contact_name", "1,2026-02-01 10:00:00,Ann", "2,2026-02-01,Bob", ""])

    import_text(database, text, table="leads")

    assert select(database, "lead_id, contact_name", "leads") == [(1, "Ann"), (2, "Bob")]


# Derived event ids


EVENT_FILES = {
    "order": "session_id,event_type,page_url,occurred_at\ns1,page_view,/a,2026-02-01T00:00:00Z\n",
    "other-order": "occurred_at,page_url,event_type,session_id\n2026-02-01T00:00:00Z,/a,page_view,s1\n",
    "empty-column": "session_id,data,event_type,page_url,occurred_at\ns1,,page_view,/a,2026-02-01 00:00:00\n",
    "ndjson": '{"event_type":"page_view","occurred_at":1769904000000,"page_url":"/a","session_id":"s1"}\n',
    "ndjson-null": (
        '{"data":null,"event_type":"page_view","occurred_at":"2026-02-01","page_url":"/a","session_id":"s1"}\n'
    ),
    "sql": (
        "CREATE TABLE events (page_url TEXT, session_id TEXT, event_type TEXT, occurred_at INTEGER);\n"
        "INSERT INTO events VALUES('/a','s1','page_view',1769904000);\n"
    ),
}


@pytest.mark.parametrize("name", EVENT_FILES)
def test_event_has_the_same_id_in_every_file(database, name):
    import_text(database, EVENT_FILES["order"])

    import_text(database, EVENT_FILES[name])

    assert select(database, "session_id, page_url, occurred_at", "events") == [("s1", "/a", 1769904000000)]


# --update with an empty value


UPDATES = {
    "csv": "lead_id,enquiry_datetime,contact_name,status\n1,2026-01-01 00:00:00,Ann B,\n",
    "csv-one-column": "lead_id,contact_name,enquiry_datetime\n1,Ann B,\n",
    "ndjson-null": '{"lead_id":1,"enquiry_datetime":null,"contact_name":"Ann B","status":null}\n',
    "sql-null": LEADS_SQL.replace("contact_name TEXT", "contact_name TEXT, status TEXT")
    + "INSERT INTO leads VALUES(1,'2026-01-01 00:00:00','Ann B',NULL);\n",
}


@pytest.mark.parametrize("name", UPDATES)
def test_update_with_an_empty_value_leaves_the_status(database, name):
    import_text(
        database, "lead_id,enquiry_datetime,contact_name,status\n1,2026-01-01 00:00:00,Ann,won\n", table="leads"
    )

    import_text(database, UPDATES[name], on_conflict="update")

    rows = select(database, "lead_id, enquiry_datetime, contact_name, status", "leads")
    assert rows == [(1, "2026-01-01 00:00:00", "Ann B", "won")]


# Ids


@pytest.mark.any_engine
@pytest.mark.parametrize(
    "text",
    [
        "lead_id,enquiry_datetime,contact_name\n69.5,2026-01-01,x\n",
        "lead_id,enquiry_datetime,contact_name\n7.0E+1,2026-01-01,x\n",
        '{"lead_id":69.5,"enquiry_datetime":"2026-01-01","contact_name":"x"}\n',
        '{"lead_id":true,"enquiry_datetime":"2026-01-01","contact_name":"x"}\n',
        '{"lead_id":9007199254740993.0,"enquiry_datetime":"2026-01-01","contact_name":"x"}\n',
        LEADS_SQL.replace(" PRIMARY KEY", "").replace("INTEGER", "REAL")
        + "INSERT INTO leads VALUES(69.5,'2026-01-01','x');\n",
        LEADS_SQL.replace(" PRIMARY KEY", "").replace("INTEGER", "REAL")
        + "INSERT INTO leads VALUES(9007199254740993.0,'2026-01-01','x');\n",
    ],
    ids=["csv", "csv-e", "ndjson", "ndjson-true", "ndjson-2-53", "sql", "sql-2-53"],
)
def test_inexact_ids_never_become_another_leads(database, text):
    import_text(database, "lead_id,enquiry_datetime,contact_name\n70,2026-01-01,seventy\n")

    report = import_text(database, text, on_conflict="update")

    assert select(database, "lead_id, contact_name", "leads") == [(70, "seventy")]
    assert len(report.rejects) == 1
    assert "lead_id" in report.rejects[0]


def test_id_with_lost_digits_is_rejected(database):
    report = import_text(
        database,
        "event_id,session_id,event_type,page_url,occurred_at\n7.56704153251123E+18,s1,page_view,/a,1772359200000\n",
    )

    assert select(database, "event_id", "events") == []
    assert "has lost digits" in report.rejects[0]


# Derived values


SESSIONS_CSV = (
    "session_id,visitor_id,started_at,ended_at,referrer,country\n"
    "s1,v1,2026-03-01 10:00,2026-03-01 10:05,https://www.google.com/search?q=x,in\n"
    "s2,v1,2026-03-01 12:00,2026-03-01 12:05,https://www.google.com/,IN\n"
)


@pytest.mark.parametrize("count", [1, 40], ids=["row", "batch"])
def test_lead_without_a_url_is_rejected(database, count):
    text = "lead_id,enquiry_datetime\n" + "".join(f"{id},2026-01-01\n" for id in [0, -1, *range(1, count + 1)])

    report = import_text(database, text)

    assert [id for (id,) in select(database, "lead_id", "leads")] == list(range(1, count + 1))
    assert report.rejects == [
        "leads line 2: lead_id: '0' is not at least 1",
        "leads line 3: lead_id: '-1' is not at least 1",
    ]


def test_domain_and_duration_are_derived(database):
    report = import_text(database, SESSIONS_CSV)

    rows = select(database, "session_id, referrer_domain, duration, country", "sessions")
    assert rows == [("s1", "google.com", 300_000, "IN"), ("s2", "google.com", 300_000, "IN")]
    assert "sessions: referrer_domain derived for 2 rows from referrer" in report.lines()
    assert "sessions: duration derived for 2 rows from started_at and ended_at" in report.lines()


def test_implausible_values_of_sessions_are_reported(database):
    report = import_text(
        database,
        "session_id,visitor_id,started_at,duration,engagement_score\n"
        "s1,v1,2026-03-01,-1,101\ns2,v1,2026-03-01,0,0\ns3,v1,2026-03-01,-60000,\ns4,v1,2026-03-01,,100\n"
        "s5,v1,2026-03-01,5,-3\n",
    )

    assert select(database, "session_id, duration, engagement_score", "sessions") == [
        ("s1", -1, 101),
        ("s2", 0, 0),
        ("s3", -60_000, None),
        ("s4", None, 100),
        ("s5", 5, -3),
    ]
    assert report.lines() == [
        "sessions: 5 of 5 rows written",
        "warning: sessions: duration is negative (rows: 2); averages include these values, "
        "so correct the file and import again with --update",
        "warning: sessions: engagement_score is below 0 or above 100 (rows: 2); averages include these values, "
        "so correct the file and import again with --update",
        "5 lines, 0 rejected",
    ]


def test_referrers_that_are_hosts_are_reported(database):
    report = import_text(
        database,
        "session_id,visitor_id,started_at,referrer\n"
        "s1,v1,2026-03-01,bing.com\ns2,v1,2026-03-01,https://bing.com/\ns3,v1,2026-03-01,\n",
    )

    assert select(database, "session_id, referrer_domain", "sessions") == [
        ("s1", None),
        ("s2", "bing.com"),
        ("s3", None),
    ]
    assert (
        "warning: sessions: referrers that are not URLs give no source (rows: 1); "
        "if they are hosts, import again with --update --map COLUMN=referrer_domain"
    ) in report.lines()


@pytest.mark.any_engine
def test_url_as_domain_is_its_host(database):
    import_text(
        database,
        "session_id,visitor_id,started_at,ref\ns1,v1,2026-03-01,https://WWW.google.com/x\n",
        map={"ref": "referrer_domain"},
    )

    assert select(database, "referrer_domain", "sessions") == [("google.com",)]


TWO_EVENTS = "session_id,event_type,page_url,occurred_at\ns1,page_view,/a,2026-03-01\ns1,click,/a,2026-03-01\n"


@pytest.mark.parametrize("few", [0, 200], ids=["bulk", "triggers"])
def test_event_count_is_derived_from_the_events(database, few, monkeypatch):
    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", few)
    import_text(database, TWO_EVENTS)

    report = import_text(database, "session_id,visitor_id,started_at\ns1,v1,2026-03-01\ns2,v1,2026-03-01\n")

    assert select(database, "session_id, event_count", "sessions") == [("s1", 2), ("s2", 0)]
    assert "sessions: event_count derived for 1 rows from their events" in report.lines()


def test_event_count_of_the_file_is_not_changed(database):
    import_text(database, TWO_EVENTS)

    import_text(database, "session_id,visitor_id,started_at,event_count\ns1,v1,2026-03-01,7\ns2,v1,2026-03-01,0\n")

    assert select(database, "session_id, event_count", "sessions") == [("s1", 7), ("s2", 0)]


# Types of events


def test_missing_page_views_are_a_warning(database):
    report = import_text(
        database, "session_id,event_type,page_url,occurred_at\ns1,1,/a,2026-03-01\ns1,pageview,/b,2026-03-01\n"
    )

    assert "events by type: 1 1, pageview 1" in report.lines()
    assert (
        "warning: there is no page_view event, and only such events count as page views; "
        "to rename a type, import again with --update --map-value event_type:NAME=page_view"
    ) in report.lines()
    assert (
        "warning: the events name sessions that are not in the database (1); "
        "only sessions count as visits, so import them, too"
    ) in report.lines()


def test_event_types_are_renamed_by_a_second_import(database):
    text = "session_id,event_type,page_url,occurred_at\ns1,PageView,/a,2026-03-01\ns1,click,/a,2026-03-01\n"
    import_text(database, text)

    import_text(database, text, map_values={"event_type": {"pageview": "page_view"}}, on_conflict="update")

    assert select(database, "event_type", "events") == [("click",), ("page_view",)]
    assert select(database, "page, views", "pages") == [("/a", 1)]
    assert database.verify() == []


def test_events_of_stored_sessions_come_without_a_warning(database):
    import_text(database, SESSIONS_CSV)

    report = import_text(database, TWO_EVENTS)

    assert report.warnings == []


def test_many_missing_sessions_are_counted_in_part(database, monkeypatch):
    monkeypatch.setattr(derive, "MAX_LISTED_SESSIONS", 2)
    monkeypatch.setattr(batch, "MAX_BATCH_ROWS", 1)
    events = "".join(f"s{number},page_view,2026-03-01\n" for number in range(9))

    report = import_text(database, f"session_id,event_type,occurred_at\n{events}")

    assert report.warnings == [
        "the events name sessions that are not in the database (at least 2); "
        "only sessions count as visits, so import them, too"
    ]


def test_bots_of_an_exported_log_need_no_session(database):
    report = import_text(database, "session_id,event_type,occurred_at\nbot-1,bot_page_view,2026-03-01\n")

    assert report.tables["events"].written == 1
    assert report.warnings == []


@pytest.mark.parametrize("id", ["a\0b", "\ud800"])
def test_session_that_cannot_be_stored_is_not_looked_up(database, id):
    report = import_rows(database, "events", [{"session_id": id, "event_type": "click", "occurred_at": 1771945200000}])

    assert report.tables["events"].written + report.tables["events"].rejected == 1


# The list of leads for spreadsheets


def test_formulas_of_the_lead_export_are_unescaped(database):
    import_text(database, "lead_id,enquiry_datetime,contact_name,contact_phone\n1,2026-03-01,Ann,+49 555\n")
    edited = (
        "lead_id,enquiry_datetime,contact_name,contact_phone,follow_ups_count,last_follow_up_at\n"
        "1,2026-03-01 00:00:00,'Ann,'+49 555,0,\n"
    )

    import_text(database, edited, on_conflict="update")

    assert select(database, "contact_name, contact_phone", "leads") == [("'Ann", "+49 555")]


@pytest.mark.any_engine
def test_apostrophes_of_other_files_are_unchanged(database):
    import_text(database, "lead_id,enquiry_datetime,contact_phone\n1,2026-03-01,'+49 555\n")

    assert select(database, "contact_phone", "leads") == [("'+49 555",)]


# Statuses


def test_unknown_status_is_named(database):
    report = import_text(database, "lead_id,enquiry_datetime,status\n1,2026-01-01,open deal\n2,2026-01-01,Won\n")

    assert select(database, "lead_id, status", "leads") == [(2, "won")]
    assert report.rejects[0].startswith("leads line 2: status: 'open deal' is not one of new, contacted,")


# Columns


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("map", "message"),
    [
        ({"when": "occurred_at", "created": "occurred_at"}, "occurred_at matches two columns, when and created"),
        (
            {"when": "ocurred_at"},
            "when=ocurred_at: the table events has no column ocurred_at.*did you mean occurred_at",
        ),
        ({"when": "occurred_at", "created": "page_ulr"}, "did you mean page_url"),
        ({"When": "occurred_at", "nothing": "data"}, "the column nothing does not exist"),
    ],
    ids=["two", "required", "optional", "source"],
)
def test_unusable_map_is_rejected(database, map, message):
    with pytest.raises(IngestError, match=message):
        import_text(
            database,
            "session_id,event_type,when,created\ns1,page_view,2026-01-01,2026-02-02\n",
            table="events",
            map=map,
        )


@pytest.mark.any_engine
def test_map_to_nothing_ignores_a_column(database):
    import_text(
        database,
        "session_id,event_id,event_type,occurred_at\ns1,5e0c-uuid,page_view,2026-03-01\n",
        map={"event_id": ""},
    )

    assert select(database, "session_id", "events") == [("s1",)]


def test_non_numeric_event_id_names_the_option(database):
    report = import_text(database, "session_id,event_id,event_type,occurred_at\ns1,5e0c-uuid,page_view,2026-03-01\n")

    assert report.rejects == [
        "events line 2: event_id: '5e0c-uuid' is not a whole number; "
        "with --map event_id= the ids are computed from the events"
    ]


@pytest.mark.any_engine
def test_names_ignore_case_blanks_and_hyphens(database):
    import_text(database, "Lead ID,enquiry-datetime,contactName\n7,2026-01-01,Ann\n")

    assert select(database, "lead_id, contact_name", "leads") == [(7, "Ann")]


@pytest.mark.any_engine
def test_map_works_on_sql(database):
    import_text(
        database,
        "CREATE TABLE sessions (id TEXT, visitor TEXT, start_time TEXT);\n"
        "INSERT INTO sessions VALUES('s1','v1','2026-03-01T10:00:00Z');\n",
        map={"id": "session_id", "visitor": "visitor_id", "start_time": "started_at"},
    )

    assert select(database, "session_id, started_at", "sessions") == [("s1", 1772359200000)]


@pytest.mark.any_engine
def test_update_without_a_required_value_rejects_a_new_row(database):
    report = import_text(
        database, "lead_id,contact_name,enquiry_datetime\n1,Ann,\n2,Bob,2026-01-01\n", on_conflict="update"
    )

    assert select(database, "lead_id, contact_name", "leads") == [(2, "Bob")]
    assert report.rejects == ["leads line 2: enquiry_datetime: a new row must have a value"]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("map", "message"),
    [
        ({"url": "page_ulr"}, "did you mean page_url"),
        ({"when": "ocurred_at"}, "did you mean occurred_at"),
        ({"nothing": "data"}, "the column nothing does not exist"),
        ({"url": "data", "when": "data"}, "data matches two columns, url and when"),
    ],
    ids=["target", "required", "source", "two"],
)
def test_unusable_map_is_rejected_for_sql(database, map, message):
    text = 'CREATE TABLE events (session_id TEXT, event_type TEXT, url TEXT, "when" INTEGER, occurred_at TEXT);\n'

    with pytest.raises(IngestError, match=message):
        import_text(database, text, map=map)


# Output of `export`


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_lead_without_a_date_is_restored(database, form):
    text = {
        "csv": 'lead_id,enquiry_datetime,contact_name\n7,"",true\n',
        "ndjson": '{"lead_id":7,"enquiry_datetime":"","contact_name":"true"}\n',
    }[form]

    import_text(database, text, table="leads")

    assert select(database, "lead_id, enquiry_datetime, contact_name", "leads") == [(7, "", "true")]
