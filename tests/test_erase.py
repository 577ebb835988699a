"""Erasing a person removes their data from all tables, from responses and from the bytes of the files."""

import shutil
import sqlite3
from contextlib import closing
from datetime import date

import pytest
from helpers.cli import COMMAND, demo_file, isolated_cwd, query, run, run_process
from helpers.client import instant

from analytics_api import open_database
from analytics_api.database import BASE_TABLES, SQLite
from analytics_api.database import sqlite as sqlite_database
from analytics_api.errors import DatabaseError, ErasureError
from analytics_api.maintenance.erase import Person, erase, find, has_rows
from analytics_api.maintenance.purge import purge

pytestmark = pytest.mark.writes

DAY = instant("2026-02-23 11:15:00")

# Each row of the person contains these letters, so that a test can search for data that remain.
MARK = "zqx"


@pytest.fixture
def people(insert):
    """Insert two people: Zqx, with two leads of one e-mail address and two visitors, and Ann."""
    sessions = [
        {"session_id": "zqx-phone-1", "visitor_id": "zqx-phone", "fingerprint": "zqx-print", "country": "IN"},
        {"session_id": "zqx-phone-2", "visitor_id": "zqx-phone", "referrer_domain": "zqx.example", "country": "IN"},
        {"session_id": "zqx-desk-1", "visitor_id": "zqx-desk", "entry_page": "/zqx", "country": "XX"},
        {"session_id": "ann-1", "visitor_id": "ann", "fingerprint": "ann-print", "country": "IN"},
    ]
    insert(
        "sessions", *({**session, "started_at": DAY, "referrer": f"/{session['session_id']}"} for session in sessions)
    )
    insert(
        "events",
        *(
            {
                "session_id": session["session_id"],
                "event_type": "page_view",
                "page_url": page,
                "occurred_at": DAY + 1_000,
                "data": f'{{"of": "{session["session_id"]}"}}',
            }
            for session in sessions
            for page in ("/", f"/only-{session['session_id']}")
        ),
    )
    insert(
        "events",
        session_id="zqx-without-row",
        event_type="page_view",
        page_url="/zqx",
        occurred_at=DAY,
        data="zqx early",
    )
    lead = {"enquiry_datetime": "2026-02-23 11:15:00", "project_name": "Towers"}
    insert(
        "leads",
        {
            "lead_id": 1,
            **lead,
            "contact_name": "Zqx Żółć",
            "contact_email": "Zqx@Example.com",
            "project_name": "House of Zqx",
            "visitor_id": "zqx-phone",
        },
        {"lead_id": 2, **lead, "contact_name": "Zqx", "contact_email": " zqx@example.COM ", "visitor_id": "zqx-desk"},
        {"lead_id": 3, **lead, "contact_name": "Ann", "contact_email": "ann@example.com", "visitor_id": "ann"},
    )
    submission = {"submitted_at": "2026-02-24 11:15:00", "is_primary_lead": 0}
    insert(
        "lead_submissions",
        {
            "submission_id": 1,
            "lead_id": 1,
            **submission,
            "payload_json": '{"name": "zqx"}',
            "session_id": "zqx-without-row",
        },
        {"submission_id": 2, "lead_id": 2, **submission, "contact_ip": "zqx::1", "contact_email": "zqx@example.org"},
        {"submission_id": 3, "lead_id": 3, **submission, "payload_json": '{"name": "ann"}', "visitor_id": "ann"},
    )
    insert(
        "lead_status_changes",
        *(
            {"lead_id": lead, "old_status": "new", "new_status": "won", "changed_at": DAY, "changed_by": f"of {name}"}
            for lead, name in ((1, "zqx"), (3, "ann"))
        ),
    )


GONE = {
    "sessions": 3,
    "events": 7,
    "lead_submissions": 2,
    "lead_status_changes": 1,
    "leads": 2,
    "visitor_days": 0,
    "fingerprint_days": 0,
    "session_pages": 0,
    "links": 0,
}

KEYS = [
    {"visitor": "zqx-phone"},
    {"visitor": "zqx-desk"},
    {"email": "ZQX@example.com"},
    {"email": "zqx@EXAMPLE.org  "},
    {"lead": 1},
    {"lead": 2},
]


def everything(database):
    return {table: database.rows(f"select * from {table} order by {key}") for table, key in BASE_TABLES.items()}


def bytes_of(path):
    """Return the bytes of an SQLite file and of its WAL."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_find_resolves_the_person_by_any_key(database, people):
    persons = [find(database, **key) for key in KEYS]

    person = Person(
        leads={1, 2},
        visitors={"zqx-phone", "zqx-desk"},
        sessions={"zqx-phone-1", "zqx-phone-2", "zqx-desk-1", "zqx-without-row"},
        fingerprints={"zqx-print"},
    )
    assert persons == [person] * len(KEYS)


def test_erase_deletes_a_person(database, people):
    before = everything(database)

    receipt = erase(database, visitor="zqx-desk")

    assert receipt == GONE
    assert everything(database) == {
        table: [row for row in rows if MARK not in str(row).lower() and row.get("lead_id") not in (1, 2)]
        for table, rows in before.items()
    }
    assert [len(rows) for rows in everything(database).values()] == [1, 2, 1, 1, 1]
    assert database.verify() == []


def test_responses_omit_an_erased_person(database, people, get, client):
    erase(database, email="zqx@example.com")

    for path in ("overview", "sessions/daily", "pages/top", "geo", "engagement", "sources", "realtime", "leads"):
        assert MARK not in str(get(f"/analytics/{path}")).lower()
    assert get("/analytics/leads?q=zqx") == {"leads": [], "total": 0}
    assert get("/analytics/leads?q=zq") == {"leads": [], "total": 0}
    assert get("/analytics/leads?q=ann")["total"] == 1
    assert client.get("/analytics/leads/1").status_code == 404
    assert [page["page"] for page in get("/analytics/pages/top")] == ["/", "/only-ann-1"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_file_and_wal_have_no_byte_of_an_erased_person(database, people):
    # A tracker has SQLite's default settings. It inserts enough rows to split B-tree pages, and replaces, updates and
    # deletes rows. So the file has copies of deleted text.
    with closing(sqlite3.connect(database.path)) as tracker:
        tracker.executemany(
            "insert into sessions (session_id, visitor_id, started_at, referrer) values (?, 'crowd', 1e11, ?)",
            [(f"z{number * 7919 % 1000:04}", "filler " * 40) for number in range(300)],
        )
        tracker.execute(
            "insert or replace into sessions (session_id, visitor_id, started_at) "
            "select session_id, visitor_id, started_at from sessions where visitor_id = 'zqx-phone'"
        )
        tracker.execute("insert or ignore into leads (lead_id, enquiry_datetime) values (1, '2026-02-23 11:15:00')")
        tracker.execute("update leads set contact_phone = 'zqx-555' where lead_id = 1")
        tracker.execute("update leads set contact_phone = null where lead_id = 1")
        tracker.execute("delete from events where session_id = 'zqx-phone-2'")
        tracker.execute("delete from sessions where session_id = 'zqx-phone-2'")
        tracker.commit()
    before = bytes_of(database.path).lower()

    erase(database, lead=1)

    after = bytes_of(database.path).lower()
    assert before.count(b"zqx") > 50
    assert after.count(b"zqx") == 0
    assert "żółć".encode() not in after
    assert b"ann@example.com" in after
    assert (database.path.parent / "analytics.db-wal").stat().st_size == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_erase_completes_an_interrupted_one(database, people):
    for table, condition in [
        ("sessions", "visitor_id like 'zqx%'"),
        ("events", "session_id like 'zqx%'"),
        ("leads", "lead_id < 3"),
        ("lead_submissions", "lead_id < 3"),
        ("lead_status_changes", "lead_id < 3"),
    ]:
        database.write(lambda at, sql=f"delete from {table} where {condition}": at.execute(sql))
    before = bytes_of(database.path).lower()

    receipt = erase(database, email="zqx@example.com")

    assert before.count(b"zqx") > 0
    assert receipt == dict.fromkeys(GONE, 0)
    assert bytes_of(database.path).lower().count(b"zqx") == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_erase_reports_a_reader_and_completes_later(database, people, monkeypatch):
    monkeypatch.setattr(sqlite_database, "SCRUB_SECONDS", 0.1)
    hurried = SQLite(database.path, busy_timeout=0.1)

    with database.snapshot() as reader:
        reader.rows("select * from leads")
        with (
            pytest.raises(DatabaseError, match=r"a reader prevents .*; the rows are deleted, but the files"),
            hurried.closing(),
        ):
            erase(hurried, lead=1)
        leads = reader.rows("select lead_id from leads")
    erase(database, lead=1)

    assert len(leads) == 3
    assert bytes_of(database.path).lower().count(b"zqx") == 0


@pytest.mark.slow
def test_erase_on_a_full_disk_reports_it_and_completes_later(tmp_path):
    path = shutil.copy(demo_file(200), tmp_path)
    small_files = ("/bin/sh", "-c", 'ulimit -f 1024; exec "$@"', "sh", COMMAND)  # 512 KiB

    failed = run_process("erase", "--lead", "1", "--yes", "-d", path, program=small_files)
    again = run_process("erase", "--lead", "1", "--yes", "-d", path)

    assert failed.stderr.endswith(
        "; the rows are deleted, but the files still contain their bytes: remove the cause, and repeat the erasure\n"
    )
    assert again.stderr == "Error: no rows of this person were found; only the remains of deleted rows were removed\n"
    assert query(path, "pragma freelist_count") == [(0,)]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_statistics_have_nothing_of_the_person(database, people):
    erase(database, lead=1)

    tables = database.rows(
        "select relname from pg_class where relnamespace = current_schema()::regnamespace and relkind in ('r', 'v')"
    )
    files = [
        table["relname"]
        for table in [*tables, {"relname": "pg_stats"}]
        if database.rows(f"select from {table['relname']} as of_it where of_it::text ilike '%zqx%'")
    ]

    assert len(tables) > 20
    assert files == []


def test_lead_of_another_address_loses_shared_visitor(database, insert):
    lead = {"enquiry_datetime": "2026-02-23 11:15:00", "visitor_id": "showroom", "session_id": "s1"}
    insert("sessions", session_id="s1", visitor_id="showroom", started_at=DAY)
    insert("leads", {"lead_id": 1, "contact_email": "zqx@example.com", **lead})
    insert("leads", {"lead_id": 2, "contact_email": "ann@example.com", **lead})

    receipt = erase(database, email="zqx@example.com")

    assert receipt == {**dict.fromkeys(GONE, 0), "sessions": 1, "leads": 1, "links": 2}
    assert database.rows("select lead_id, contact_email, visitor_id, session_id from leads") == [
        {"lead_id": 2, "contact_email": "ann@example.com", "visitor_id": None, "session_id": None}
    ]
    assert database.verify() == []


def test_leads_without_address_are_separate_people(database, insert):
    for number, address in enumerate((None, None, "", " ")):
        insert("leads", lead_id=number, enquiry_datetime="2026-02-23 11:15:00", contact_email=address, visitor_id="")

    receipt = erase(database, lead=0)

    assert receipt == {**dict.fromkeys(GONE, 0), "leads": 1}


def test_erase_keeps_the_entry_and_exit_pages_of_others(database, insert, get):
    insert("sessions", session_id="s1", visitor_id="zqx", started_at=DAY, entry_page="/in", exit_page="/zqx")
    insert("sessions", session_id="s2", visitor_id="ann", started_at=DAY, entry_page="/in", exit_page="/out")

    erase(database, visitor="zqx")

    assert database.tuples("select page from pages order by page") == [("/in",), ("/out",)]
    assert get("/analytics/pages/entry") == [{"page": "/in", "sessions": 1}]
    assert get("/analytics/pages/exit") == [{"page": "/out", "sessions": 1}]
    assert database.verify() == []


def test_erase_handles_very_many_sessions(database, insert):
    insert("sessions", *({"session_id": f"s{n}", "visitor_id": "v", "started_at": DAY + n} for n in range(501)))
    insert("events", *({"session_id": f"s{n}", "event_type": "click", "occurred_at": DAY} for n in range(501)))

    receipt = erase(database, visitor="v")

    assert receipt == {**dict.fromkeys(GONE, 0), "sessions": 501, "events": 501}
    assert database.verify() == []


@pytest.mark.any_engine
@pytest.mark.parametrize("keys", [{}, {"visitor": ""}, {"email": ""}, {"visitor": "v", "lead": 1}], ids=str)
def test_erase_needs_exactly_one_identifier(database, keys):
    with pytest.raises(ErasureError, match="one of a visitor, an e-mail address and a lead"):
        erase(database, **keys)


@pytest.mark.any_engine
def test_has_rows_of_a_person(database, people):
    def exists(**key):
        return has_rows(database, find(database, **key))

    assert [exists(visitor="zqx-phone"), exists(lead=3), exists(email="ann@example.com")] == [True] * 3
    assert [exists(visitor="nobody"), exists(lead=99), exists(email="nobody@example.com")] == [False] * 3


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        isolated_cwd(monkeypatch, tmp_path)

    def test_erase_prints_row_counts(self, database, people):
        output = run("erase", "--email", "zqx@example.com", "--yes")

        assert output == (
            "sessions: 3 erased\nevents: 7 erased\nlead_submissions: 2 erased\nlead_status_changes: 1 erased\n"
            "leads: 2 erased\nvisitor_days: 0 erased\nfingerprint_days: 0 erased\n"
            "session_pages: 0 erased\nlinks: 0 removed from rows of other people\n"
        )
        assert b"zqx" not in bytes_of(database.path).lower()

    def test_erase_asks_for_confirmation(self, database, people):
        before = everything(database)

        output = run("erase", "--visitor", "zqx-desk", input="n\n", status=1)

        assert output.startswith(
            "leads: 2, visitors: 2, sessions: 4. Erase them and all their events and submissions? [y/N]: n"
        )
        assert everything(database) == before

    def test_erase_yes_skips_the_question(self, database, people):
        run("erase", "--lead", 3, input="y\n")

        with open_database("analytics.db").closing() as opened:
            assert [lead["lead_id"] for lead in opened.rows("select lead_id from leads")] == [1, 2]

    def test_erase_of_an_unknown_person_is_an_error(self, database, people):
        before = everything(database)

        output = run("erase", "--email", "nobody@example.com", status=1)

        assert (
            output.splitlines()[-1]
            == "Error: no rows of this person were found; only the remains of deleted rows were removed"
        )
        assert "[y/N]" not in output
        assert "0 erased" not in output
        assert everything(database) == before

    def test_erase_asks_about_a_purged_visitor(self, database, insert):
        insert("sessions", session_id="s", visitor_id="ann", started_at=DAY)
        purge(database, date(2026, 3, 1), keep_totals=True)

        output = run("erase", "--visitor", "ann", input="n\n", status=1)

        assert output.startswith("leads: 0, visitors: 1, sessions: 0. Erase them ")

    @pytest.mark.parametrize("keys", [[], ["--lead", 1, "--email", "zqx@example.com"], ["--email", ""]], ids=str)
    def test_erase_without_identifier_changes_nothing(self, database, people, keys):
        output = run("erase", "--yes", *keys, status=1)

        assert output == "Error: pass exactly one of --visitor, --email and --lead, with a value\n"
        assert len(everything(database)["leads"]) == 3

    def test_lead_id_beyond_64_bits_is_an_error(self, database, people):
        output = run("erase", "--yes", "--lead", 2**63, status=2)

        assert "Invalid value for '--lead'" in output

    @pytest.mark.parametrize("option", ["--visitor", "--email"])
    def test_argument_that_is_not_utf_8_is_an_error(self, database, people, option):
        output = run("erase", "--yes", option, "\udcff", status=1)

        assert output == "Error: '\\udcff' is not UTF-8\n"

    def test_argument_beyond_ascii_in_an_ascii_locale_is_an_error(self, database, people):
        ended = run_process(
            "erase", "--yes", "--email", "é@example.com", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="POSIX"
        )

        assert ended.stderr == (
            "Error: '\\udcc3\\udca9@example.com' is not in the encoding of the locale; set LC_ALL=C.UTF-8\n"
        )
