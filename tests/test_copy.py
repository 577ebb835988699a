"""`analytics-api copy` copies a database from SQLite to each engine, and from each engine to SQLite."""

import shutil
import subprocess
import sys
from datetime import date

import pytest
from helpers.cli import query, read_tables, run
from helpers.client import KEY, APIClient

from analytics_api import create_app, open_database
from analytics_api.database import BASE_TABLES, PRIMARY_KEYS, SITE_TABLES
from analytics_api.errors import DatabaseError
from analytics_api.maintenance import demo
from analytics_api.maintenance.copy import copy
from analytics_api.maintenance.purge import purge

NOW = 1_771_945_200_123
LONG = "https://shop.example/?" + "q=ä&" * 20_000
MOST = 2**63 - 1

ODD = {
    "sessions": [
        {"session_id": "", "visitor_id": "", "fingerprint": "", "started_at": 10**11, "country": "",
         "referrer_domain": ""},
        {"session_id": "👩🏽‍💻", "visitor_id": "\u001f", "fingerprint": None, "started_at": 253_402_300_799_999,
         "ended_at": MOST, "duration": -253_402_300_799_999, "engagement_score": 2**31 - 1, "event_count": -MOST - 1,
         "country": "🇳🇵", "referrer": "\t\\N\r\n\\.", "referrer_domain": "\\N", "vpn_suspected": MOST},
        {"session_id": "e\u0301", "visitor_id": "é", "started_at": 10**11 + 1, "duration": 253_402_300_799_999,
         "engagement_score": -(2**31), "ended_at": -MOST - 1, "entry_page": LONG, "exit_page": "\ufffd\u2028\u202e"},
    ],
    "events": [
        {"event_id": -5, "session_id": "👩🏽‍💻", "event_type": "page_view", "page_url": LONG, "occurred_at": 10**11},
        {"event_id": 3, "session_id": "e\u0301", "event_type": "", "page_url": "", "occurred_at": 10**11 + 1,
         "data": '{"a":1}'},
        {"event_id": 2**53 + 1, "session_id": "nobody's", "event_type": "page_view", "page_url": LONG + "x",
         "occurred_at": 253_402_300_799_999, "data": "\x01\x7f\\x41"},
    ],
    "leads": [
        {"lead_id": 7, "enquiry_datetime": "2026-02-24 09:00:00", "contact_name": "İstanbul ẞ", "contact_email": "",
         "visitor_id": "\u001f", "engagement_score": -MOST - 1, "suspicion_score": MOST, "status": "won"},
        {"lead_id": 90_000, "enquiry_datetime": "", "contact_name": "a\u001fb", "form_submit_count": 0},
    ],
    "lead_submissions": [
        {"submission_id": 11, "lead_id": 7, "submitted_at": "2026-02-24 09:00:00", "is_primary_lead": 1},
        {"submission_id": 12, "lead_id": 7, "submitted_at": "2026-02-25 09:00:00", "payload_json": '{"é": "\\u0000"}'},
        {"submission_id": 40, "lead_id": 8, "submitted_at": "", "contact_ip": "::1"},
    ],
    "lead_status_changes": [
        {"change_id": 2, "lead_id": 7, "old_status": "new", "new_status": "won", "changed_at": -1, "changed_by": "é"},
    ],
    "site": [{"site_id": 1, "time_zone": "Asia/Kathmandu", "page_query": "keep", "raw_since": 20_000}],
    "site_offsets": [
        {"begins_at": 0, "day_offset": 19_800_000, "utc_offset": 19_800_000},
        {"begins_at": 504_901_800_000, "day_offset": 20_700_000, "utc_offset": 20_700_000},
    ],
    "visitor_days": [
        {"visitor_id": "", "day": 2_000, "country_code": "XX", "sessions": 2, "archived": 2},
        {"visitor_id": "\u001f", "day": 2_000, "country_code": "🇳🇵", "sessions": 1, "archived": 1},
    ],
    "fingerprint_days": [
        {"fingerprint": "", "day": 2_000, "sessions": 1, "archived": 1},
        {"fingerprint": "🖐", "day": 2_000, "sessions": 2, "archived": 2},
    ],
    "session_pages": [
        {"session_id": "👩🏽‍💻", "page_id": 7, "day": 2_000, "views": 3, "archived": 3},
        {"session_id": "gone", "page_id": 2**53 + 1, "day": 2_000, "views": 1, "archived": 1},
    ],
    "lead_attributions": [
        {"lead_id": 7, "status": "won", "enquired_at": 1_771_923_600_000, "visitor_id": "\u001f",
         "first_session_id": "gone", "first_visitor_id": "\u001f", "first_started_at": 10**11, "first_country": "XX",
         "first_source": "é", "first_entry_page": LONG, "first_campaign": "(none)",
         "last_session_id": "gone", "last_visitor_id": "\u001f", "last_started_at": 10**11, "last_country": "XX",
         "last_source": "é", "last_entry_page": LONG, "last_campaign": "(none)", "archived": 3},
    ],
    "archived_session_counts": [
        {"dimension": 0, "day": 2_000, "key": "", "sessions": 3, "duration_sum": -5, "duration_count": 1,
         "score_sum": 2**40, "score_count": 2, "vpn_suspected": 1},
        {"dimension": 1, "day": 2_000, "key": "XX", "sessions": 2},
        {"dimension": 2, "day": 2_000, "key": "\\N", "sessions": 2},
        {"dimension": 4, "day": 2_000, "key": LONG, "sessions": 2},
    ],
    "archived_event_counts": [{"day": 2_000, "events": 4}],
    "archived_page_counts": [{"page_id": 2**53 + 1, "day": 0, "views": 2, "sessions": 1}],
    "secrets": [{"name": "salt", "value": "🧂"}],
    "api_keys": [
        {"name": "wall", "prefix": "ana_x", "digest": "00", "scopes": "stats", "created_at": 1, "last_used_on": None},
    ],
    "storage_snapshots": [{"source": "s3", "total_objects": None, "estimated_sessions": MOST, "taken_at": 0}],
    "storage_ratios": [{"source": "s3", "objects_per_session": 0.1 + 0.2, "measured_at": 5}],
    "collector_machines": [{"day": -1, "reason": "", "hits": MOST}, {"day": 0, "reason": "\t", "hits": 0}],
    "pages": [{"page_id": 7, "page": LONG}, {"page_id": 2**53 + 1, "page": "🧂"}],
}  # fmt: skip


def insert(at, rows):
    for table, values in rows.items():
        if table in SITE_TABLES:
            at.execute(f"delete from {table}")
        for row in values:
            at.insert(table, list(row), [list(row.values())])


def write(database, rows):
    database.write(lambda at: insert(at, rows))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with the files of the fixtures `odd` and `visits`."""
    folder = tmp_path_factory.mktemp("copied")
    with open_database(folder / "odd.db").closing() as database:
        database.bulk(lambda at: insert(at, ODD))
    with open_database(folder / "visits.db").closing() as database:
        for table, rows in demo.batches(demo.Plan(NOW, sessions=120)):
            database.bulk(lambda at, table=table, rows=rows: at.insert(table, demo.COLUMNS[table], rows))
    return folder


@pytest.fixture
def odd(files, tmp_path):
    """Yield a database with values that a copy is most likely to change."""
    with open_database(shutil.copy(files / "odd.db", tmp_path)).closing() as database:
        yield database


@pytest.fixture
def visits(files, tmp_path):
    """Yield a database with enough rows for several batches."""
    with open_database(shutil.copy(files / "visits.db", tmp_path)).closing() as database:
        yield database


def counted(database):
    return [database.rows(f"select count(*) as rows from {table}")[0]["rows"] for table in PRIMARY_KEYS]


def test_copy_there_and_back_is_the_same(odd, database, tmp_path):
    with open_database(tmp_path / "back.db").closing() as back:
        there = copy(odd, database)

        again = copy(database, back)

        assert again == there == {table: len(rows) for table, rows in ODD.items()}
        assert read_tables(back.path) == read_tables(odd.path)
        assert database.verify() == []


def test_copy_continues_ids_above_the_highest(odd, database):
    copy(odd, database)

    write(
        database,
        {
            "events": [{"session_id": "s", "event_type": "click", "occurred_at": 10**11}],
            "leads": [{"enquiry_datetime": "2026-02-26 09:00:00"}],
            "lead_submissions": [{"lead_id": 1, "submitted_at": "2026-02-26 09:00:00"}],
        },
    )

    highest = [
        database.rows(f"select max({PRIMARY_KEYS[table]}) as id from {table}")[0]["id"]
        for table in list(BASE_TABLES)[1:4]
    ]
    assert highest == [2**53 + 2, 90_001, 41]
    assert database.verify() == []


def test_new_page_gets_no_id_of_an_archived_page(database, tmp_path):
    views = [
        {"session_id": "s", "event_type": "page_view", "page_url": page, "occurred_at": instant}
        for page, instant in [("/purged", NOW - 86_400_000), ("/kept", NOW)]
    ]
    with open_database(tmp_path / "purged.db").closing() as source:
        write(source, {"events": views})
        purge(source, date(2026, 2, 24), keep_totals=True)

        copy(source, database)

    assert database.rows("select page, views from all_time_pages order by page") == [
        {"page": "/kept", "views": 1},
        {"page": "/purged", "views": 1},
    ]


@pytest.mark.any_engine
@pytest.mark.parametrize("table", [table for table in ODD if table not in SITE_TABLES])
def test_copy_rejects_a_target_with_rows(odd, database, table):
    write(database, {table: ODD[table][:1]})
    before = counted(database)

    with pytest.raises(DatabaseError, match=f"the table {table} is not empty; use an empty database"):
        copy(odd, database)

    assert counted(database) == before


def test_copy_is_a_snapshot_of_its_source(visits, database, tmp_path):
    """With either engine, the copy contains the state of the source when the copy began."""
    copy(visits, database)
    before = counted(database)

    def written(rows):
        late = f"late {len(met)}"
        met.append(late)
        write(
            database,
            {
                "sessions": [{"session_id": late, "visitor_id": "v", "started_at": 10**11}],
                "events": [{"session_id": late, "event_type": "x", "occurred_at": 10**11}],
                "leads": [{"enquiry_datetime": "2026-02-26 09:00:00"}],
            },
        )

    met = []
    with open_database(tmp_path / "back.db").closing() as back:
        copy(database, back, on_write=written)

        assert len(met) > 3
        assert counted(back) == before
        assert counted(database) != before


def test_copy_target_is_empty_until_the_commit(visits, database):
    with open_database(database.url).closing() as served:
        client = APIClient(create_app(served, api_keys=[KEY]))
        answers = []

        copy(visits, database, on_progress=lambda counter: answers.append(client.get("/analytics/overview").json))

        assert {answer["total_sessions"] for answer in answers[:5]} == {0}
        assert client.get("/analytics/overview").json["total_sessions"] == 120


KILLED = """
import os, sys
from analytics_api import open_database
from analytics_api.maintenance.copy import copy
copy(open_database(sys.argv[1]), open_database(sys.argv[2]), on_progress=lambda counter: os.kill(os.getpid(), 9))
"""


@pytest.mark.slow
def test_killed_copy_leaves_the_target_empty(visits, database):
    before = counted(database)
    ran = subprocess.run([sys.executable, "-c", KILLED, visits.url, database.url], timeout=60)
    left = counted(database)

    copy(visits, database)

    assert ran.returncode == -9
    assert left == before
    assert counted(database) == counted(visits)


def test_copy_counts_invalid_utf8(odd, database, caplog):
    query(odd.path, "update sessions set referrer = cast(x'61ff62' as text) where session_id = ''")
    query(odd.path, "update events set data = cast(x'fffe' as text) where event_id > 0")

    copy(odd, database)

    assert database.rows("select referrer from sessions where session_id = ''") == [{"referrer": "a\ufffdb"}]
    assert caplog.messages == [
        "sessions: strings with invalid UTF-8, replaced by U+FFFD: 1",
        "events: strings with invalid UTF-8, replaced by U+FFFD: 2",
    ]


def test_pages_that_become_equal_are_copied(odd, database):
    query(odd.path, "update sessions set entry_page = cast(x'2fff' as text) where session_id = ''")
    query(odd.path, "update sessions set exit_page = cast(x'2ffe' as text) where session_id = ''")
    query(odd.path, "update sessions set exit_page = cast(x'2f00' as text) where session_id = ''")
    query(odd.path, "update sessions set exit_page = cast(x'2ffe' as text) where session_id = ''")

    copy(odd, database)

    assert database.rows("select entry_page, exit_page from sessions where session_id = ''") == [
        {"entry_page": "/\ufffd", "exit_page": "/\ufffd"}
    ]


def test_copy_command_prints_row_counts(odd, database):
    output = run("copy", odd.url, database.url)

    assert output.splitlines() == [
        *(f"{table}: {len(rows)} rows" for table, rows in ODD.items()),
        f"{database.url} has the same rows as {odd.url}, and all counters are correct",
    ]


@pytest.mark.any_engine
def test_copy_of_missing_database_is_an_error(tmp_path):
    output = run("copy", tmp_path / "nowhere.db", tmp_path / "new.db", status=1)

    assert output.count("\n") == 1
    assert "this database does not exist" in output
    assert not (tmp_path / "new.db").exists()


@pytest.mark.any_engine
def test_copy_of_damaged_source_names_it(visits, tmp_path):
    visits.close()
    with open(visits.path, "r+b") as file:
        file.seek(visits.path.stat().st_size // 2)
        file.write(b"\xff" * 200_000)

    output = run("copy", visits.path, tmp_path / "new.db", status=1)

    assert output == (f"{tmp_path}/new.db: created, empty\nError: {visits.path}: database disk image is malformed\n")
