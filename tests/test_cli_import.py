import gzip
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from helpers.access_logs import GOOGLEBOT, line
from helpers.cli import COMMAND, demo_file, isolated_cwd, query, read_tables, run, run_process
from helpers.sqlite import empty_file

from analytics_api import open_database
from analytics_api.imports import write

# The format of `wrangler d1 export`: no transaction, one row per INSERT, and CREATE TABLE between the rows.
EXPORT = """PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);
INSERT INTO "d1_migrations" ("id","name") VALUES(1,'0001_init.sql');
CREATE TABLE sessions (session_id TEXT PRIMARY KEY, visitor_id TEXT NOT NULL, started_at INTEGER NOT NULL,
  ended_at INTEGER, duration INTEGER, engagement_score REAL, event_count INTEGER, country TEXT, referrer_domain TEXT,
  vpn_suspected BOOLEAN, user_agent TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
INSERT INTO "sessions" VALUES('s1','ann',1771945200000,1771945380000,180000,74.6,4,'IN',NULL,NULL,'Mozilla','x');
INSERT INTO "sessions" VALUES('s2','ann',1771948800000,NULL,NULL,NULL,NULL,NULL,'google.com',1,NULL,'x');
CREATE TABLE events (event_id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT REFERENCES sessions, event_type TEXT,
  page_url TEXT, occurred_at INTEGER, data TEXT);
INSERT INTO "events" VALUES(1,'s1','page_view','https://example.com/',1771945200000,'{"a":1}');
INSERT INTO "events" VALUES(2,'s1','page_view','https://example.com/',1771945260000,NULL);
INSERT INTO "events" VALUES(3,'not-there','click','https://example.com/',1771945261000,NULL);
CREATE TABLE leads (lead_id INTEGER PRIMARY KEY, enquiry_datetime TEXT, contact_name TEXT, contact_phone TEXT,
  visitor_id TEXT, status TEXT, notes TEXT);
INSERT INTO "leads" VALUES(42,'2026-02-23 11:15:00','Zoë O''Brien','9876543210','ann','CONTACTED',
  replace('two\\nlines','\\n',char(10)));
CREATE TABLE lead_submissions (submission_id INTEGER PRIMARY KEY, lead_id INTEGER, submitted_at TEXT,
  is_primary_lead INTEGER, payload_json TEXT);
INSERT INTO "lead_submissions" VALUES(501,42,'2026-02-23 11:15:00',1,'{"FIRSTNAME":"Zoë"}');
INSERT INTO "lead_submissions" VALUES(502,42,'2026-02-24 09:30:00',0,NULL);
CREATE TABLE settings (name TEXT);
DELETE FROM sqlite_sequence;
INSERT INTO "sqlite_sequence" ("name","seq") VALUES('events',3);
CREATE INDEX by_visitor ON sessions (visitor_id);
"""
WRITTEN = """sessions: 2 of 2 rows written
events: 3 of 3 rows written
leads: 1 of 1 rows written
lead_submissions: 2 of 2 rows written
"""
UNPLACED = """sessions: ignored the columns user_agent, created_at
leads: ignored the columns notes
ignored the tables settings
events by type: page_view 2, click 1
"""
MISSING = (
    "warning: the events name sessions that are not in the database (1); "
    "only sessions count as visits, so import them, too\n"
)
EXISTING = """sessions: 0 of 2 rows written, 2 existing or repeated
events: 0 of 3 rows written, 3 existing or repeated
leads: 0 of 1 rows written, 1 existing or repeated
lead_submissions: 0 of 2 rows written, 2 existing or repeated
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    isolated_cwd(monkeypatch, tmp_path)
    shutil.copy(empty_file(), tmp_path)
    return tmp_path


@pytest.fixture
def export():
    Path("export.sql").write_text(EXPORT, encoding="utf-8")
    return "export.sql"


def as_it_is(path):
    return path


def gzipped(path):
    Path("export.sql.gz").write_bytes(gzip.compress(Path(path).read_bytes()))
    return "export.sql.gz"


def as_sqlite(path):
    with closing(sqlite3.connect("theirs.sqlite")) as connection:
        connection.executescript(Path(path).read_text(encoding="utf-8"))
    return "theirs.sqlite"


def as_wal(path):
    """Set WAL mode, as wrangler does for a local D1 database."""
    query(as_sqlite(path), "pragma journal_mode = wal")
    return "theirs.sqlite"


@pytest.mark.parametrize("kind", [as_it_is, gzipped, as_sqlite, as_wal])
def test_import_copies_an_export(kind, export, folder):
    output = run("import", kind(export))

    assert output == WRITTEN + UNPLACED + MISSING
    columns = "session_id, visitor_id, engagement_score, event_count, country, vpn_suspected"
    assert query("analytics.db", f"select {columns} from sessions order by session_id") == [
        ("s1", "ann", 75, 4, "IN", 0),
        ("s2", "ann", None, 0, None, 1),
    ]
    assert query("analytics.db", "select lead_id, contact_name, status, follow_ups_count from leads") == [
        (42, "Zoë O'Brien", "contacted", 1)
    ]
    assert query("analytics.db", "select sessions, visitors, vpn_suspected from day_counts where day = -1") == [
        (2, 1, 1)
    ]
    assert run("verify") == "all counters are correct\n"


@pytest.mark.parametrize("kind", [as_it_is, gzipped, as_sqlite])
def test_import_again_changes_nothing(kind, export):
    file = kind(export)
    run("import", file)
    before = read_tables("analytics.db")

    output = run("import", file)

    assert output == EXISTING + UNPLACED + MISSING
    assert read_tables("analytics.db") == before
    assert run("verify") == "all counters are correct\n"


def test_import_overwrites_changed_rows_only_with_update(export):
    run("import", export)
    query("analytics.db", "update leads set status = 'won', contact_email = 'zoe@example.com'")
    query("analytics.db", "update sessions set country = 'FR' where session_id = 's1'")

    def changed():
        return [
            *query("analytics.db", "select status, contact_email from leads"),
            *query("analytics.db", "select country from sessions where session_id = 's1'"),
        ]

    run("import", export)
    before = changed()
    output = run("import", "--update", export)
    updated = changed()

    assert before == [("won", "zoe@example.com"), ("FR",)]
    assert output == WRITTEN + UNPLACED + MISSING
    assert updated == [("contacted", "zoe@example.com"), ("IN",)]
    assert run("verify") == "all counters are correct\n"


def test_import_reports_a_created_database(folder, export):
    errors = [run_process("import", "-d", "new.db", export, cwd=folder).stderr for _ in range(2)]

    assert errors == [f"{folder}/new.db: created, empty\n", ""]


def test_import_of_a_missing_file_creates_no_database(folder):
    output = run("import", "-d", "new.db", "missing.csv", status=1)

    assert output == "Error: missing.csv: cannot be read: No such file or directory\n"
    assert not (folder / "new.db").exists()


def test_import_of_access_logs_needs_a_locale_of_unicode(folder):
    (folder / "access.log").write_text(f"{line('10:00:00', '/')}\n{line('10:00:00', '/', agent=GOOGLEBOT)}\n")
    posix = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}

    failed = run_process("import", "access.log", cwd=folder, **posix)
    run_process("import", "access.log", cwd=folder, LC_ALL="C.UTF-8")

    assert failed.returncode == 1
    assert failed.stderr.endswith("Error: the locale cannot decode the list of crawlers; set LC_ALL=C.UTF-8\n")
    assert query(folder / "analytics.db", "select event_type, count(*) from events group by 1") == [
        ("bot_page_view", 1),
        ("page_view", 1),
    ]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--site", "example.com", "a URL such as https://example.com"),
        ("--site", "https:///about", "a URL such as https://example.com"),
        ("--site", "https://example.com/shop", "a URL such as https://example.com, without a path"),
        ("--asset-extensions", ".css .js", "a list such as css,js,png"),
        ("--asset-extensions", "css;js", "a list such as css,js,png"),
        ("--asset-extensions", "*.css", "a list such as css,js,png"),
        ("--asset-extensions", "", "a list such as css,js,png"),
        ("--host", "https://example.com", "a host name such as example.com"),
        ("--timeout", "inf", "a number of minutes"),
        ("--timeout", "nan", "a number of minutes"),
    ],
)
def test_import_rejects_a_site_whose_pages_would_be_wrong(option, value, expected, export, folder):
    output = run("import", "-d", "new.db", option, value, export, status=2)

    assert f"{value!r} is not {expected}" in output
    assert not (folder / "new.db").exists()


@pytest.mark.parametrize(
    ("site", "page"),
    [
        ("HTTPS://Example.COM:443/", "https://example.com/About"),
        ("http://example.com:80", "http://example.com/About"),
        ("https://example.com:8443", "https://example.com:8443/About"),
        ("http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080/About"),
    ],
    ids=["https", "http", "port", "ipv6"],
)
def test_import_normalizes_the_site(site, page, folder):
    (folder / "access.log").write_text(f"{line('10:00:00', '/About')}\n")

    run("import", "--site", site, "access.log")

    assert query(folder / "analytics.db", "select page_url from events") == [(page,)]


def test_import_permits_dots_and_blanks_in_asset_extensions(folder):
    (folder / "access.log").write_text(f"{line('10:00:00', '/a.css')}\n{line('10:00:00', '/a.map.js')}\n")

    run("import", "--asset-extensions", ".css, map.js", "access.log")

    assert query(folder / "analytics.db", "select distinct event_type from events") == [("asset",)]


@pytest.mark.parametrize(
    ("option", "values", "name"),
    [
        ("--map-value", ["country:UK=GB", "country:UK=FR"], "country:UK"),
        ("--map-value", ["country:UK=GB", "Country: uk=FR"], "country:uk"),
        ("--map", ["when=started_at", "when=ended_at"], "when"),
        ("--map", ["Lead ID=lead_id", "lead-id="], "lead-id"),
    ],
    ids=["value", "value-case", "column", "column-case"],
)
def test_import_rejects_two_targets_of_one_name(option, values, name, export):
    output = run("import", option, values[0], option, values[1], export, status=2)

    assert f"{name!r} is mapped to both {values[0].partition('=')[2]!r} and {values[1].partition('=')[2]!r}" in output


def test_import_permits_an_option_twice(folder):
    (folder / "s.csv").write_text("session_id,visitor_id,started_at,country\ns1,ann,2026-02-24,UK\n")

    run("import", *["--map-value", "country:UK=GB"] * 2, "s.csv")

    assert query(folder / "analytics.db", "select country from sessions") == [("GB",)]


def test_import_reads_a_pipe(export):
    output = run("import", "-", input=Path(export).read_bytes())

    assert output == WRITTEN + UNPLACED + MISSING


@pytest.mark.parametrize("others", [(), ("export.sql",)], ids=["alone", "with another file"])
def test_import_reads_a_pipe_with_a_path_once(export, folder, others):
    piped = ("/bin/sh", "-c", 'cat export.sql | "$@"', "sh", COMMAND)

    output = run_process("import", "/dev/stdin", *others, program=piped, cwd=folder).stdout

    assert output.removeprefix("/dev/stdin:\n").startswith(WRITTEN)


def test_import_of_own_database_includes_the_history(folder):
    shutil.copy(demo_file(50), "theirs.db")
    query("theirs.db", "update leads set status = 'won' where lead_id = 1")  # a trigger records it
    [(moves,)] = query("theirs.db", "select count(*) from lead_status_changes")

    output = run("import", "theirs.db")

    assert output.splitlines()[0] == "sessions: 50 of 50 rows written"
    assert f"lead_status_changes: {moves} of {moves} rows written" in output.splitlines()
    theirs, ours = read_tables("theirs.db"), read_tables("analytics.db")
    for table in ("sessions", "events", "leads", "lead_submissions", "lead_status_changes", "day_counts"):
        assert ours[table] == theirs[table]
    assert run("verify") == "all counters are correct\n"


def test_import_of_own_database_omits_the_keys():
    shutil.copy("analytics.db", "theirs.db")
    key = run("keys", "add", "wall", "-d", "theirs.db", "--scope", "stats")

    output = run("import", "theirs.db")

    assert key.startswith("ana_")
    assert "api_keys" not in output
    assert query("analytics.db", "select * from api_keys") == []


# Several files, and invalid files.


def test_import_takes_several_files_in_order(export):
    Path("more.sql").write_text(
        "CREATE TABLE sessions (session_id, visitor_id, started_at);\n"
        "INSERT INTO sessions VALUES('s3','bob',1771945200000);\n"
    )

    output = run("import", export, "more.sql")

    assert output == "export.sql:\n" + WRITTEN + UNPLACED + "more.sql:\nsessions: 1 of 1 rows written\n" + MISSING
    assert query("analytics.db", "select sessions from day_counts where day = -1") == [(3,)]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("missing.sql", "missing.sql: cannot be read: No such file or directory"),
        ("cut.sql", "cut.sql, line 2: the file ends in the middle of this statement; export it again"),
        ("cut.sql.gz", "cut.sql.gz: the gzip data is damaged or truncated"),
        ("other.sql", "other.sql: the file has none of the tables sessions, events, leads,"),
        ("notes.txt", "notes.txt: its format is unknown"),
        ("evil.sql", "evil.sql, line 3: "),
    ],
)
def test_import_of_broken_file_keeps_the_files_before(broken, message, export, folder):
    row = (
        "CREATE TABLE sessions (session_id, visitor_id, started_at);\n"
        "INSERT INTO sessions VALUES('s3','bob',1771945200000)"
    )
    Path("cut.sql").write_text(row)
    Path("cut.sql.gz").write_bytes(gzip.compress(f"{row};\n".encode() * 1)[:-9])
    Path("other.sql").write_text("CREATE TABLE wares (name);\n")
    Path("notes.txt").write_text("Dear diary\ntoday I stored some notes under the wrong name.\n")
    Path("evil.sql").write_text(f"{row};\nATTACH '{folder}/analytics.db' AS ours;\n")

    output = run("import", export, broken, "export.sql", status=1)

    assert output.startswith("export.sql:\n" + WRITTEN + UNPLACED + MISSING + f"Error: {message}")
    assert output.endswith(" (not imported: export.sql)\n")
    assert output.count("\n") == 11
    assert query("analytics.db", "select sessions from day_counts where day = -1") == [(2,)]


def test_import_of_truncated_file_changes_nothing(folder):
    shutil.copy(demo_file(50), folder)
    before = read_tables("analytics.db")
    rows = "".join(f"INSERT INTO sessions VALUES('s{n}','v{n}',1771945200000);\n" for n in range(200))
    Path("half.sql").write_text(
        f"CREATE TABLE sessions (session_id, visitor_id, started_at);\n{rows}INSERT INTO sessions VALUES('s200',"
    )

    output = run("import", "--into-demo", "half.sql", status=1)

    assert output == "Error: half.sql, line 202: the file ends in the middle of this statement; export it again\n"
    assert read_tables("analytics.db") == before
    assert run("verify") == "all counters are correct\n"


@pytest.mark.parametrize("few", [0, 200], ids=["bulk", "triggers"])
def test_import_of_invalid_text_midway_changes_nothing(folder, few, monkeypatch):
    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", few)
    monkeypatch.setattr(write, "BULK_SHARE", 0)
    shutil.copy(demo_file(50), folder)
    before = read_tables("analytics.db")
    query("theirs.sqlite", "create table sessions (session_id, visitor_id, started_at)")
    with closing(sqlite3.connect("theirs.sqlite")) as connection, connection:
        connection.executemany("insert into sessions values (?, 'v', 1771945200000)", [(f"s{n}",) for n in range(100)])
        connection.execute("insert into sessions values (cast(x'ff41' as text), 'v', 1771945200000)")

    output = run("import", "--into-demo", "theirs.sqlite", status=1)

    assert output.startswith("Error: theirs.sqlite: ")
    assert "UTF-8" in output
    assert output.count("\n") == 1
    assert read_tables("analytics.db") == before


def test_import_reports_and_writes_rejects():
    Path("mixed.sql").write_text(
        "CREATE TABLE leads (lead_id, enquiry_datetime, status);\n"
        "INSERT INTO leads VALUES(1,'2026-02-23 11:15:00','won');\n"
        "INSERT INTO leads VALUES(2,'2026-02-23 11:15:00','archived');\n"
    )

    output = run("import", "mixed.sql")
    (reject,) = Path("rejects.tsv").read_text().splitlines()

    assert output.splitlines()[0] == "leads: 1 of 2 rows written, 1 rejected"
    assert output.splitlines()[1].startswith("rejected: leads lead_id 2: ")
    assert output.splitlines()[2] == "1 invalid rows, see rejects.tsv"
    assert reject.startswith("mixed.sql:2\tleads: ")
    assert json.loads(reject.split("\t")[2])["status"] == "archived"
    assert query("analytics.db", "select lead_id from leads") == [(1,)]


def test_import_strict_is_all_or_nothing():
    Path("mixed.sql").write_text(
        "CREATE TABLE leads (lead_id, enquiry_datetime, status);\n"
        "INSERT INTO leads VALUES(1,'2026-02-23 11:15:00','won');\n"
        "INSERT INTO leads VALUES(2,'2026-02-23 11:15:00','archived');\n"
    )

    output = run("import", "--strict", "mixed.sql", status=1)

    assert output.startswith("Error: mixed.sql: leads lead_id 2: ")
    assert output.endswith("; nothing was written\n")
    assert query("analytics.db", "select * from leads") == []


# Different commands that give the same database.


def settled(path):
    """Return the rows of all tables, with names of pages and projects instead of their ids, which may differ."""
    tables = read_tables(path)
    codes = {code: project for _, project, code in tables.pop("project_codes")}
    tables["leads"] = [tuple(codes.get(value, value) for value in lead) for lead in tables["leads"]]
    pages = {page_id: page for page_id, page, *_ in tables["pages"]}
    tables["pages"] = sorted(row[1:] for row in tables["pages"] if any(row[2:]))  # triggers may leave rows of zeros
    for table, columns in PAGE_COLUMNS.items():
        tables[table] = sorted(
            tuple(pages[value] if column in columns else value for column, value in enumerate(row))
            for row in tables[table]
        )
    tables["key_counts"] = sorted(
        (dimension, day, pages[int(key)] if dimension in (4, 5) else key, *counts)
        for dimension, day, key, *counts in tables["key_counts"]
    )
    for table, keys in KEY_COLUMNS.items():  # triggers may leave rows whose counts are 0
        tables[table] = [row for row in tables[table] if any(row[keys:])]
    return tables


PAGE_COLUMNS = {"session_facts": (12, 13), "session_pages": (2,), "page_counts": (1,), "page_returns": (1,)}
KEY_COLUMNS = {
    "day_counts": 1,
    "key_counts": 3,
    "session_returns": 4,
    "event_counts": 1,
    "facet_counts": 2,
    "minute_counts": 1,
    "page_counts": 2,
    "page_returns": 3,
}


@pytest.mark.parametrize("options", [[], ["--update"]])
@pytest.mark.parametrize("same", [True, False], ids=["rows that are there", "rows that are not"])
def test_triggers_and_bulk_import_make_the_same_database(same, options, monkeypatch):
    shutil.copy(demo_file(50), "one.db")
    shutil.copy(demo_file(50), "other.db")
    run("demo", "-d", "more.db", "--sessions", 80, *([] if same else ["--seed", 5]))

    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", 10**9)
    by_triggers = run("import", "--into-demo", "-d", "one.db", "more.db", *options)
    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", 0)
    monkeypatch.setattr(write, "BULK_SHARE", 0)
    in_bulk = run("import", "--into-demo", "-d", "other.db", "more.db", *options)

    assert by_triggers == in_bulk
    assert settled("one.db") == settled("other.db")
    assert run("verify", "-d", "one.db") == run("verify", "-d", "other.db") == "all counters are correct\n"


def test_bulk_import_leaves_the_schema(export, monkeypatch):
    monkeypatch.setattr(write, "MAX_TRIGGERED_ROWS", 0)
    schema = "select type, name, tbl_name, sql from sqlite_schema order by type, name"
    query("analytics.db", "create index of_ours on events (session_id, occurred_at)")
    before = query("analytics.db", schema)

    run("import", export)

    assert query("analytics.db", schema) == before
    assert query("analytics.db", "pragma integrity_check") == [("ok",)]


def test_imported_leads_are_searchable(export):
    run("import", export)

    with open_database("analytics.db").closing() as database:
        rows = database.read(lambda at: at.rows("select rowid from lead_search(:q)", q=at.index_query("zoe o'b")))

    assert rows == [{"rowid": 42}]
