import gzip
import math
import os
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_api.errors import IngestError
from analytics_api.imports.sql_dump import is_housekeeping, loader, open_scratch
from analytics_api.imports.sql_dump.loader import ROWS_PER_STATEMENT

# The format of `wrangler d1 export`: no transaction, one row per INSERT, and CREATE TABLE between the rows.
EXPORT = """PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);
INSERT INTO "d1_migrations" ("id","name") VALUES(1,'0001_init.sql');
CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE events (event_id INTEGER PRIMARY KEY AUTOINCREMENT, session_id REFERENCES sessions, data TEXT);
INSERT INTO "events" ("event_id","session_id","data") VALUES(1,'s1','{"x": -1.5}');
INSERT INTO "events" ("event_id","session_id","data") VALUES(2,'s1',NULL);
CREATE TABLE sessions (session_id TEXT PRIMARY KEY, country TEXT, at DATETIME DEFAULT CURRENT_TIMESTAMP);
INSERT INTO "sessions" ("session_id","country","at")
    VALUES('s1','O''Neill; "ü" -- /* 😀','2026-11-23 04:25:59');
DELETE FROM sqlite_sequence;
INSERT INTO "sqlite_sequence" ("name","seq") VALUES('events',2);
CREATE INDEX events_session ON events(session_id);
CREATE VIEW latest AS SELECT max(event_id) FROM events;
"""
EXPORTED = {
    "events": [(1, "s1", '{"x": -1.5}'), (2, "s1", None)],
    "sessions": [("s1", 'O\'Neill; "ü" -- /* 😀', "2026-11-23 04:25:59")],
}

# The statement before the INSERT statements, as the sqlite3 shell's `.dump` writes it.
TABLE = "CREATE TABLE t (a, b);\n"


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(content, name="export.sql"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def load(write):
    """Return a function that imports a file and returns its rows by table."""
    return lambda content, name="export.sql": contents(write(content, name))


@pytest.fixture
def refusal(write):
    """Return a function that imports a file and returns the error message without the folder."""

    def refusal(content):
        path = write(content)
        with pytest.raises(IngestError) as refused, open_scratch(path):
            pass
        said = str(refused.value)
        assert "\n" not in said
        assert said.startswith(str(path))
        return said.replace(str(path), "FILE")

    return refusal


@pytest.fixture
def database(tmp_path):
    """Return a connection to a new SQLite file."""
    with closing(sqlite3.connect(tmp_path / "local.sqlite", isolation_level=None)) as database:
        database.execute("pragma synchronous = off")
        database.execute("create table t (a, b)")
        database.execute("insert into t values (1, 'one')")
        yield database


@pytest.fixture
def small_chunks(monkeypatch):
    """Make the loader read files in small chunks, and return the size of a chunk in bytes."""
    monkeypatch.setattr(loader, "CHUNK_SIZE", 10_000)
    return loader.CHUNK_SIZE


@pytest.fixture
def scratch_folder(tmp_path, monkeypatch):
    """Return the folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("SQLITE_TMPDIR", str(folder))
    return folder


def contents(path):
    with open_scratch(path) as scratch:
        return tables(scratch)


def tables(connection):
    names = connection.execute("select name from sqlite_master where type = 'table' order by name").fetchall()
    return {
        name: connection.execute(f'select * from "{name.replace(chr(34), chr(34) * 2)}"').fetchall()
        for (name,) in names
        if not is_housekeeping(name)
    }


def packed(text):
    return gzip.compress(text.encode(), mtime=0)


def test_export_is_read_with_its_tables_and_rows(load):
    assert load(EXPORT) == EXPORTED


def test_gzip_is_detected_by_its_bytes(load):
    assert load(packed(EXPORT), "export.txt") == EXPORTED
    assert load(EXPORT, "export.sql.gz") == EXPORTED


def test_gzip_may_have_several_members(load):
    assert load(packed(EXPORT[:700]) + packed(EXPORT[700:])) == EXPORTED


def test_rows_without_column_names_are_read(load):
    assert load(TABLE + "INSERT INTO t VALUES(1,'x');\nINSERT INTO \"t\" VALUES(2,x'00ff');\n") == {
        "t": [(1, "x"), (2, b"\x00\xff")]
    }


def test_shell_dump_is_read(load):
    dump = f"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n{TABLE}INSERT INTO t VALUES(1,'x');\nCOMMIT;\n"

    assert load(dump) == {"t": [(1, "x")]}


def test_virtual_tables_of_a_shell_dump_are_skipped(load):
    dump = """PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE leads (lead_id INTEGER PRIMARY KEY, contact_name TEXT);
INSERT INTO leads VALUES(1,'Ann');
PRAGMA writable_schema=ON;
INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','f','f',0,'CREATE VIRTUAL TABLE f USING x(a)');
CREATE TABLE IF NOT EXISTS 'f_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO f_config VALUES('version',4);
PRAGMA writable_schema=OFF;
COMMIT;
"""

    assert load(dump) == {"f_config": [("version", 4)], "leads": [(1, "Ann")]}


def test_line_ends_may_be_inserted_by_functions(load):
    text = r"replace(replace('one\r\ntwo''s\n','\r',char(13)),'\n',char(10))"

    assert load(f"{TABLE}INSERT INTO t VALUES(1,{text});\n") == {"t": [(1, "one\r\ntwo's\n")]}


def test_line_ends_in_a_text_are_read(load):
    assert load(TABLE + "INSERT INTO t VALUES(1,'one\r\n; two\n');\n") == {"t": [(1, "one\r\n; two\n")]}


def test_unistr_works_on_every_sqlite(load):
    text = r"unistr('one\u000atwo \\ \00fc \+01F600 \U0001F600')"

    assert load(f"{TABLE}INSERT INTO t VALUES(NULL,{text});\n") == {"t": [(None, "one\ntwo \\ ü 😀 😀")]}


def test_invalid_unistr_escape_is_rejected(refusal):
    assert refusal(TABLE + r"INSERT INTO t VALUES(1,unistr('\q'));").startswith("FILE, line 2: SQLite rejects")


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("'a\0b'", "a\0b"),
        ("'\0'", "\0"),
        ("'\0''\0\0''''é;'", "\0'\0\0'';".replace(";", "é;")),
        (r"replace(replace('a\r\n''\0','\r',char(13)),'\n',char(10))".replace(r"\0", "\0"), "a\r\n'\0"),
        ("'plain', 'a\0b'", None),
    ],
)
def test_nul_bytes_in_a_text_are_preserved(load, literal, text):
    row = (1, text) if text is not None else ("plain", "a\0b")

    loaded = load(f"{TABLE}INSERT INTO t VALUES({literal if text is None else '1,' + literal});\n")

    assert loaded == {"t": [row]}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES(1,x'00\0ff');",
        "INSERT INTO t VALUES(1,X'\0');",
        'INSERT INTO "t\0" VALUES(1,2);',
        "INSERT INTO t VALUES(1,\0 2);",
        "CREATE TABLE u (a DEFAULT [\0]);",
        "INSERT INTO t VALUES(1,2 /* \0 */);",
    ],
)
def test_nul_bytes_elsewhere_are_rejected(refusal, statement):
    said = refusal(f"{TABLE}\n{statement}\n")

    assert said == "FILE, line 3: this statement contains a NUL byte outside a string literal; export it again"


@pytest.mark.parametrize("rows_before", [0, ROWS_PER_STATEMENT + 1])
def test_infinite_numbers_of_wrangler_are_read(load, rows_before):
    finite = "INSERT INTO \"t\" VALUES(1,'Infinity');\n"

    loaded = load(
        f"{TABLE}{finite * rows_before}"
        "INSERT INTO \"t\" VALUES(Infinity,replace('it''s\\n,Infinity','\\n',char(10)));\n"
        'INSERT INTO "t" VALUES(-Infinity,1e+300);\n'
    )

    assert loaded["t"][rows_before:] == [(math.inf, "it's\n,Infinity"), (-math.inf, 1e300)]


def test_platform_tables_are_skipped(load):
    dump = """CREATE TABLE sqlite_sequence(name,seq);
        CREATE TABLE sqlite_stat1(tbl,idx,stat);
        CREATE TABLE "d1_migrations" (id);
        INSERT INTO sqlite_stat1 VALUES('t',NULL,'1');
        INSERT INTO "_cf_METADATA" ("key","value") VALUES(1,2);
        INSERT INTO main.[_cf_ALARM] VALUES(1);
        DELETE FROM sqlite_sequence;
        DELETE FROM "sqlite_sequence" WHERE name = 't';
        INSERT INTO sqlite_sequence VALUES('t',9);
        ANALYZE sqlite_schema;
        CREATE TABLE t (a, b);"""

    assert load(dump) == {"t": []}


@pytest.mark.parametrize(
    ("quoted", "name"),
    [
        ('"semi;colon"', "semi;colon"),
        ('"dou""ble"', 'dou"ble'),
        ("[brack';et]", "brack';et"),
        ("`back``tick`", "back`tick"),
        ("'it''s'", "it's"),
        ('"line\nend"', "line\nend"),
        ('"-- no comment"', "-- no comment"),
        ('"/* none either"', "/* none either"),
        ('"VALUES("', "VALUES("),
        ("größe$1", "größe$1"),
        ('" "', " "),
        ('""', ""),
    ],
)
def test_quoted_and_odd_names_are_read(load, quoted, name):
    dump = f"CREATE TABLE {quoted} ({quoted} TEXT);\n" + f"INSERT INTO {quoted} ({quoted}) VALUES('x');\n" * 3

    assert load(dump) == {name: [("x",)] * 3}


@pytest.mark.parametrize(
    "between",
    ["", " ", "\n\n", "-- VALUES ('; /*\n", "/* it's; -- */", "/***/", ";;", "\r\n", "\t/**/ --\n--\n"],
)
def test_comments_and_blanks_are_skipped(load, between):
    dump = f"{between}CREATE{between or ' '}TABLE t (a, b);{between}INSERT INTO t VALUES(1,2);{between}"
    dump = dump.replace("CREATE;;TABLE", "CREATE TABLE")

    assert load(dump) == {"t": [(1, 2)]}


def test_byte_order_mark_and_crlf_are_accepted(load):
    assert load("\ufeff" + EXPORT.replace("\n", "\r\n")) == EXPORTED


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16_of_powershell_is_read(load, encoding, pack):
    assert load(pack(EXPORT.encode(encoding))) == EXPORTED


def test_last_statement_needs_no_line_end(load):
    assert load(TABLE + "INSERT INTO t VALUES(1,2); -- the end") == {"t": [(1, 2)]}


def test_row_may_be_megabytes_wide(load):
    wide = "wide 'and' \"odd\"; -- 😀\n" * 50_000

    literal = "'" + wide.replace("'", "''") + "'"
    loaded = load(f"{TABLE}INSERT INTO t VALUES(1,{literal});\nINSERT INTO t VALUES(2,'');\n")

    assert loaded == {"t": [(1, wide), (2, "")]}


def test_value_of_three_megabytes_is_read(write):
    path = write(f"{TABLE}INSERT INTO t VALUES(1,'{'x' * 3_000_000}');\nINSERT INTO t VALUES(2,'');\n")

    with open_scratch(path) as scratch:
        lengths = scratch.execute("select a, length(b) from t").fetchall()

    assert lengths == [(1, 3_000_000), (2, 0)]


@pytest.mark.parametrize("value", ["printf('%.*c',60000000,'x')", "instr('a','b')", "'a' like 'b'", "zeroblob(9)"])
def test_functions_that_exports_lack_are_rejected(refusal, value):
    assert "not authorized" in refusal(f"{TABLE}INSERT INTO t VALUES(1,{value});\n") or "no place" in refusal(
        f"{TABLE}INSERT INTO t VALUES(1,{value});\n"
    )


def test_overlong_statement_is_rejected_without_reading_on(refusal, small_chunks, monkeypatch):
    monkeypatch.setattr(loader, "MAX_STATEMENT_LENGTH", 100_000)
    with_bomb = packed(f"{TABLE}INSERT INTO t VALUES(1,'{'x' * 300_000}")

    assert refusal(with_bomb) == "FILE, line 2: this statement is longer than 100,000 characters; export it again"


@pytest.mark.parametrize("shift", range(18))
def test_chunks_may_end_anywhere(load, shift, small_chunks):
    """Two chunks end within the short rows, whose text repeats 12 bytes. `shift` moves the ends over all of them."""
    short = [(number, "ü😀'';--\n" * (number % 5)) for number in range(100)]
    rows = [(-1, "x" * (small_chunks - 3_000)), *short, (-1, "x" * (small_chunks - 6_000)), *short]

    dump = TABLE + " " * shift + "".join(f"INSERT INTO t VALUES({a},'{b}'); -- ü\n" for a, b in rows)

    assert load(dump) == {"t": [(a, b.replace("''", "'")) for a, b in rows]}


def test_multi_row_values_are_read(load):
    assert load(TABLE + "INSERT INTO t VALUES (1, 'select'), (2, 'SELECT 1') /* select */;\n") == {
        "t": [(1, "select"), (2, "SELECT 1")]
    }


def test_constraints_of_the_user_do_not_stop_the_import(load):
    dump = """CREATE TABLE t (a CHECK (a > 0), b REFERENCES no(x) CHECK (b > 0), c DEFAULT (random()));
        CREATE UNIQUE INDEX once ON t(a);
        INSERT INTO t VALUES(-1,'x','c');
        INSERT INTO t VALUES(-1,'x','c');"""

    assert load(dump) == {"t": [(-1, "x", "c")] * 2}


def test_views_triggers_and_indexes_are_not_run(write):
    path = write(
        TABLE
        + """CREATE TRIGGER copy AFTER INSERT ON t WHEN new.a > 0 BEGIN
            INSERT INTO t VALUES (-new.a, CASE WHEN new.b IS NULL THEN 'none' ELSE 'some' END);
            -- END;
            DELETE FROM t; ATTACH 'x' AS y;
        END;
        CREATE TEMP TRIGGER "END;" AFTER DELETE ON t BEGIN SELECT load_extension('x'); END /* ; */ ;
        CREATE VIEW loop AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n;
        CREATE UNIQUE INDEX once ON t (a, load_extension('x'));
        INSERT INTO t VALUES(1,2);"""
    )

    with open_scratch(path) as scratch:
        objects = scratch.execute("select type, name from sqlite_master").fetchall()
        rows = scratch.execute("select * from t").fetchall()

    assert objects == [("table", "t")]
    assert rows == [(1, 2)]


literals = st.one_of(
    st.none().map(lambda _: "NULL"),
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1e999", "-1e999", "'007'", "'1e3'", "' 12 '", "'-0'", "0.0", "-0.0", "1.0", "x'3132'"]),
    st.binary(max_size=5).map(lambda data: f"X'{data.hex()}'"),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(
        lambda text: "'" + text.replace("'", "''") + "'"
    ),
    st.text("a'\n\r\\nr;-*/(),").map(
        lambda text: "replace(replace('" + text.replace("'", "''") + r"','\r',char(13)),'\n',char(10))"
    ),
)


@given(rows=st.lists(st.tuples(*[literals] * 5), max_size=20), named=st.booleans())
def test_every_row_equals_that_of_sqlite(tmp_path_factory, rows, named):
    columns = '(a,"b",[c],`d`,e) ' if named else ""
    dump = "CREATE TABLE t (a INTEGER, b TEXT, c REAL, d NUMERIC, e BLOB);\n" + "".join(
        f"INSERT INTO t {columns}VALUES({','.join(row)});\n" for row in rows
    )
    path = tmp_path_factory.mktemp("rows") / "export.sql"
    path.write_bytes(dump.encode())

    loaded = contents(path)

    with closing(sqlite3.connect(":memory:")) as plain:
        plain.executescript(dump)
        assert repr(loaded) == repr(tables(plain))


@given(
    rows=st.lists(
        st.tuples(st.integers(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))).filter(
            lambda row: -(2**63) <= row[0] < 2**63
        )
    )
)
def test_dump_of_python_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("dump") / "export.sql"
    with closing(sqlite3.connect(":memory:")) as source:
        source.execute('create table "t""t" (a integer, b text)')
        source.execute('create trigger g after delete on "t""t" begin select 1; select \';\'; end')
        source.executemany('insert into "t""t" values (?, ?)', rows)
        source.commit()
        path.write_text("\n".join(source.iterdump()), encoding="utf-8", newline="")

    assert contents(path) == {'t"t': rows}


def test_truncated_export_is_rejected_or_whole(write):
    for end in range(1, len(EXPORT)):
        text = EXPORT[:end]
        path = write(text)

        try:
            loaded = contents(path)
        except IngestError:
            assert not text.endswith(";\n") or "CREATE TABLE events" not in text
        else:
            assert text.rstrip().endswith(";")
            assert all(rows == EXPORTED[name][: len(rows)] for name, rows in loaded.items())


@pytest.mark.parametrize("end", [1, 2, 9, 10, 30, 200, -9, -8, -5, -1])
def test_truncated_gzip_is_rejected(refusal, end):
    said = refusal(packed(EXPORT)[:end])

    assert said.startswith("FILE")


def test_gzip_truncated_near_its_end_is_called_truncated(refusal):
    assert refusal(packed(EXPORT)[:-9]).startswith("FILE: the gzip data is damaged or truncated (")


def test_gzip_with_wrong_checksum_is_rejected(refusal):
    data = bytearray(packed(EXPORT))
    data[-8] ^= 1

    assert refusal(bytes(data)).startswith("FILE: the gzip data is damaged or truncated (CRC")


def test_gzip_with_trailing_data_is_rejected(refusal):
    assert refusal(packed(EXPORT) + b"more").startswith("FILE: the gzip data is damaged or truncated (")


@pytest.mark.parametrize(
    "cut",
    [
        "INSERT INTO t VALUES(1,'x",
        "INSERT INTO t VALUES(1,2)",
        "INSERT INTO t VALUES(1,2) --;",
        "INSERT",
        "/* no end ;",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1;",
        'CREATE TABLE "x;',
    ],
)
def test_truncated_statement_names_its_first_line(refusal, cut):
    said = refusal(f"{TABLE}\n{cut}\n")

    assert said == "FILE, line 3: the file ends in the middle of this statement; export it again"


def test_transaction_without_commit_is_called_truncated(refusal):
    said = refusal(f"\nBEGIN TRANSACTION;\n{TABLE}INSERT INTO t VALUES(1,2);\n")

    assert said == "FILE, line 5: the file has a BEGIN without COMMIT; export it again"


@pytest.mark.parametrize(
    "content",
    [
        "Lorem ipsum; dolor sit amet\n" * 99,
        "session_id,country\ns1,DE\n",
        '{"visitors": [1, 2, 3]}',
        "<!doctype html><title>Sign in</title>",
        "-- nothing; but comments\n",
        " \n\n",
        ";",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\x03\x04\x14\0\0\0\x08\0",
        bytes(5000),
        gzip.compress(packed(EXPORT), mtime=0),
        b"",
        gzip.compress(b"", mtime=0),
    ],
)
def test_unknown_content_names_the_formats(refusal, content):
    assert refusal(content).endswith("; pass the SQL of `wrangler d1 export` or an SQLite database")


def test_empty_file_is_called_empty(refusal):
    assert refusal(b"").startswith("FILE: is empty; ")


def test_folder_is_rejected(tmp_path):
    with pytest.raises(IngestError, match=r": cannot be read: Is a directory$"), open_scratch(tmp_path):
        pass


def test_missing_file_is_rejected(tmp_path):
    with (
        pytest.raises(IngestError, match=r"none\.sql: cannot be read: No such file or directory$"),
        open_scratch(tmp_path / "none.sql"),
    ):
        pass


@pytest.mark.parametrize("rows_before", [0, 3, 1_000])
def test_invalid_utf8_is_rejected_with_its_line(refusal, rows_before, small_chunks):
    rows = b"INSERT INTO t VALUES(1,'\xc3\xbc');\n" * rows_before

    said = refusal(TABLE.encode() + rows + b"INSERT INTO t VALUES(1,'two\nlines" + b" " * small_chunks + b"\xff');\n")

    assert said.startswith(f"FILE, line {rows_before + 3}: this line contains a byte that is not UTF-8; ")


@pytest.mark.parametrize("rows_before", [0, 1, ROWS_PER_STATEMENT - 1, ROWS_PER_STATEMENT, 1_000])
@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("INSERT INTO t VALUES(1,2);", "UNIQUE constraint failed: t.a"),
        ("INSERT INTO t VALUES(-1,2,3);", "table t has 2 columns but 3 values were supplied"),
        ("INSERT INTO t VALUES(-1,,2);", 'near ",": syntax error'),
        ("INSERT INTO t VALUES(NULL,replace('a'));", "wrong number of arguments to function replace()"),
    ],
)
def test_failing_row_is_named_by_its_line(refusal, rows_before, row, why, small_chunks):
    before = "INSERT INTO t VALUES(1,'two\nlines');\n" + "".join(
        f"INSERT INTO t VALUES({number},NULL);\n" for number in range(2, rows_before + 2)
    )
    after = "".join(f"INSERT INTO t VALUES({-number},NULL);\n" for number in range(2, 9))

    said = refusal(f"CREATE TABLE t (a INTEGER PRIMARY KEY, b);\n{before}{row}\n{after}")

    assert said == f"FILE, line {rows_before + 4}: SQLite rejects this statement ({why}); export it again"


@pytest.mark.parametrize("before", ["", TABLE])
def test_export_without_schema_is_rejected_with_advice(refusal, before):
    said = refusal(f'PRAGMA defer_foreign_keys=TRUE;\n{before}INSERT INTO "u" VALUES(1,2);\n')

    line = 3 if before else 2
    assert said == (
        f"FILE, line {line}: SQLite rejects this statement (no such table: u); "
        "export the schema, too, without --no-schema"
    )


@pytest.mark.parametrize(
    "rows",
    [
        "INSERT INTO t VALUES(1,replace('a','b','c');\nINSERT INTO t VALUES(2));\n",
        "INSERT INTO t VALUES(1,'a'--);\nINSERT INTO t VALUES(2,'b');\n",
        "INSERT INTO t VALUES(1,'a'/*);\nINSERT INTO t VALUES(2,*/'b');\n" * 2,
        "INSERT INTO t VALUES(1);\nINSERT INTO t VALUES(2);\n",
    ],
)
def test_broken_rows_are_not_joined(refusal, rows):
    assert refusal(TABLE + rows).startswith("FILE, line 2: ")


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH 'other.db' AS other;",
        "/* ; */ ATTACH -- ;\n'other.db' AS other;",
        "INSERT INTO t VALUES(1,2);ATTACH 'other.db' AS other;",
        "COMMIT; VACUUM INTO 'other.db';",
        "DETACH main;",
        "PRAGMA writable_schema;",
        "PRAGMA writable_schema=RESET;",
        "PRAGMA foreign_keys;",
        "PRAGMA foreign_keys=ON, writable_schema=ON;",
        "PRAGMA/**/temp_store_directory='x';",
        "PRAGMA main.defer_foreign_keys=TRUE;",
        "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) SELECT 'table','f','f',0,'CREATE';",
        "INSERT INTO sqlite_master VALUES('table','f','f',0,'CREATE VIRTUAL TABLE f USING fts5(a)');",
        'REPLACE INTO main . "SQLITE_MASTER" VALUES(1,2,3,4,5);',
        "INSERT OR IGNORE INTO [sqlite_temp_schema] VALUES(1,2,3,4,5);",
        "DELETE FROM sqlite_master;",
        "DELETE FROM t;",
        "UPDATE t SET a = 1;",
        "UPDATE sqlite_master SET sql = '';",
        "DROP TABLE t;",
        "ALTER TABLE t RENAME TO u;",
        "REINDEX;",
        "VACUUM;",
        "VACUUM INTO 'other.db';",
        "SAVEPOINT s;",
        "ROLLBACK;",
        "EXPLAIN INSERT INTO t VALUES(1,2);",
        "SELECT 1;",
        "VALUES (1);",
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT i, i FROM n;",
        "INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT i, i FROM n;",
        "INSERT INTO t SELECT * FROM t;",
        "INSERT INTO t VALUES(1,(SELECT 1));",
        "INSERT INTO t VALUES(1,(/**/SELECT/**/1)),(2,'select');",
        "CREATE TABLE u (a UNIQUE); INSERT INTO u VALUES(1) ON CONFLICT DO UPDATE SET a = 2;",
        "CREATE TABLE u AS SELECT 1;",
        "CREATE TEMP TABLE u (a);",
        "CREATE TABLE temp.u (a);",
        "CREATE VIRTUAL TABLE f USING fts5(a);",
        "INSERT INTO t VALUES(1,load_extension('x'));",
        "INSERT INTO t VALUES(1,readfile('x'));",
        "INSERT INTO t VALUES(1,writefile('other.db','x'));",
        "INSERT INTO t VALUES(1,randomblob(9));",
        "CREATE TABLE u (a CHECK (1), b AS (2)); DROP TABLE t;",
        "CREATE/* ; */TRIGGERS x;",
        "CREATE " + "/*" + "*/ /*" * 5000 + "*/ TABULE u(a);",
    ],
)
def test_unneeded_statement_is_rejected_with_its_line(refusal, tmp_path, monkeypatch, statement):
    monkeypatch.chdir(tmp_path)

    said = refusal(f"{TABLE}INSERT INTO t VALUES(0,0);\n{statement}\n")

    assert said.startswith(("FILE, line 3: ", "FILE, line 4: "))
    assert said.endswith("; export it again")
    assert os.listdir(tmp_path) == ["export.sql"]


def test_rejected_statement_is_shown_on_one_line(refusal):
    said = refusal(TABLE + "DROP\n\tTABLE\x1b[2Jt" + "x" * 100 + ";")

    shown = "'DROP TABLE\\x1b[2Jt" + "x" * 45 + "'"
    assert said == f"FILE, line 2: {shown} is not allowed in an export; export it again"


def test_unknown_function_is_named(refusal):
    said = refusal(TABLE + "INSERT INTO t VALUES(1,randomblob(9));")

    assert "not authorized to use function: randomblob" in said


def test_column_default_cannot_load_an_extension(refusal):
    assert "line 2" in refusal("CREATE TABLE t (a, b DEFAULT (load_extension('x')));\nINSERT INTO t (a) VALUES(1);\n")


@pytest.mark.parametrize(
    "value",
    ["trim('bbb', 'aab')", "printf('%d', 1)", "json_patch('{}', '{}')", "hex(zeroblob(9))", "unhex('zz', 'yz')"],
)
def test_column_default_cannot_call_a_slow_function(refusal, value):
    assert "line 2" in refusal(f"CREATE TABLE t (a, b DEFAULT ({value}));\nINSERT INTO t (a) VALUES(1);\n")


def test_column_default_can_be_the_time(load):
    [(_, time)] = load("CREATE TABLE t (a, b DEFAULT CURRENT_TIMESTAMP);\nINSERT INTO t (a) VALUES(1);\n")["t"]

    assert time.startswith("20")


def test_statement_is_interrupted_after_a_few_rows(refusal, monkeypatch):
    monkeypatch.setattr("analytics_api.imports.sql_dump.scratch.STATEMENT_SECONDS", 0)

    said = refusal(TABLE + "INSERT INTO t VALUES" + ",".join(["(1,2)"] * 250) + ";\n")

    assert said == "FILE, line 2: SQLite rejects this statement (a statement took more than 0 s); export it again"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python can't bound a value there")
def test_value_that_multiplies_its_length_is_rejected(refusal):
    value = "replace(" * 10 + "'a'" + ",'a','aaaaaaaaaa')" * 10

    assert "SQLite rejects this statement" in refusal(f"{TABLE}INSERT INTO t VALUES(1,{value});\n")


def test_deeply_nested_calls_are_rejected(refusal):
    value = "replace(" * 20_000 + "'a'" + ",'a','b')" * 20_000

    assert refusal(f"{TABLE}INSERT INTO t VALUES(1,{value});\n").startswith("FILE, line 2: ")


@pytest.mark.parametrize(
    "statement",
    [
        "insert into t values (3, 3)",
        "update t set a = 2",
        "delete from t",
        "drop table t",
        "create table u (a)",
        "create temp table u (a)",
        "attach ':memory:' as other",
        "vacuum into 'other.db'",
        "pragma query_only = off",
        "pragma writable_schema = on",
        "pragma trusted_schema = on",
        "select load_extension('x')",
        "with recursive n(i) as (values(1) union all select i + 1 from n) select * from n",
    ],
)
def test_connection_is_read_only(write, database, tmp_path, monkeypatch, statement):
    monkeypatch.chdir(tmp_path)

    for path in (write(TABLE + "INSERT INTO t VALUES(1,'one');"), tmp_path / "local.sqlite"):
        with open_scratch(path) as scratch:
            with pytest.raises(sqlite3.DatabaseError):
                scratch.execute(statement).fetchall()
            assert scratch.execute("select a, upper(b), count(*) from t").fetchall() == [(1, "ONE", 1)]
            assert [column[1] for column in scratch.execute("pragma table_xinfo(t)")] == ["a", "b"]
    assert sorted(os.listdir(tmp_path)) == ["export.sql", "local.sqlite"]


def test_sqlite_file_is_read_and_unchanged(database, tmp_path):
    before = (tmp_path / "local.sqlite").read_bytes()

    loaded = contents(tmp_path / "local.sqlite")

    assert loaded == {"t": [(1, "one")]}
    assert (tmp_path / "local.sqlite").read_bytes() == before
    assert os.listdir(tmp_path) == ["local.sqlite"]


def test_sqlite_file_is_detected_by_its_bytes(database, tmp_path):
    path = shutil.copy(tmp_path / "local.sqlite", tmp_path / "a b?mode=rwc#%41.sql")

    assert contents(path) == {"t": [(1, "one")]}


def test_gzipped_sqlite_file_is_read(database, tmp_path, write):
    path = write(gzip.compress((tmp_path / "local.sqlite").read_bytes()))

    assert contents(path) == {"t": [(1, "one")]}


@pytest.mark.parametrize("open_elsewhere", [True, False])
def test_rows_in_the_wal_are_read(database, tmp_path, open_elsewhere):
    database.execute("pragma journal_mode = wal")
    database.execute("insert into t values (2, 'two')")
    folder = tmp_path
    if not open_elsewhere:  # the files are as after a crash, or as in a copy of a database in use
        folder = tmp_path / "copied"
        folder.mkdir()
        for name in ("local.sqlite", "local.sqlite-wal"):
            shutil.copy(tmp_path / name, folder)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".sqlite-shm"}

    loaded = contents(folder / "local.sqlite")

    assert loaded == {"t": [(1, "one"), (2, "two")]}
    assert {path: path.read_bytes() for path in before} == before
    assert open_elsewhere or {*folder.iterdir()} == {*before}


def test_rows_in_the_wal_of_a_linked_file_are_read(database, tmp_path):
    database.execute("pragma journal_mode = wal")
    database.execute("insert into t values (2, 'two')")
    (tmp_path / "link.sqlite").symlink_to("local.sqlite")

    loaded = contents(tmp_path / "link.sqlite")

    assert loaded == {"t": [(1, "one"), (2, "two")]}


def test_reading_a_wal_mode_file_creates_no_wal(database, tmp_path):
    database.execute("pragma journal_mode = wal")
    database.close()

    loaded = contents(tmp_path / "local.sqlite")

    assert loaded == {"t": [(1, "one")]}
    assert os.listdir(tmp_path) == ["local.sqlite"]


def test_file_of_a_crashed_writer_is_rejected_and_unchanged(database, tmp_path):
    folder = tmp_path / "copied"
    folder.mkdir()
    database.execute("pragma cache_size = 1")
    database.execute("begin")
    database.executemany("insert into t values (?, ?)", [(number, "x" * 500) for number in range(500)])
    for name in ("local.sqlite", "local.sqlite-journal"):
        shutil.copy(tmp_path / name, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}

    with (
        pytest.raises(IngestError, match=r"local\.sqlite: SQLite cannot read the file \("),
        open_scratch(folder / "local.sqlite"),
    ):
        pass

    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("harm", ["header", "cut", "page", "magic only"])
def test_damaged_sqlite_file_is_rejected(database, tmp_path, refusal, pack, harm):
    database.executemany("insert into t values (?, ?)", [(number, "x" * 500) for number in range(500)])
    data = bytearray((tmp_path / "local.sqlite").read_bytes())
    if harm == "header":
        data[16:100] = b"\xff" * 84
    elif harm == "cut":
        del data[len(data) // 2 :]
    elif harm == "page":
        data[8192:12288] = b"\xff" * 4096
    else:
        del data[16:]

    assert refusal(pack(bytes(data))).startswith("FILE: SQLite cannot read the file (")


def test_nulls_in_not_null_columns_are_not_damage(database, tmp_path):
    database.execute("pragma writable_schema = on")
    database.execute("update sqlite_master set sql = 'create table t (a, b, c not null, check (a > 5))'")

    assert contents(tmp_path / "local.sqlite") == {"t": [(1, "one", None)]}


def test_sqlite_file_without_tables_is_rejected(refusal, tmp_path):
    with closing(sqlite3.connect(tmp_path / "none.sqlite")) as empty:
        empty.execute("pragma user_version = 1")

    said = refusal((tmp_path / "none.sqlite").read_bytes())

    assert said == "FILE: has no table; pass the SQL of `wrangler d1 export` or an SQLite database"


def test_generated_json_columns_are_read(database, tmp_path):
    database.execute("create table page (data check (json_valid(data)), url as (data ->> '$.url'))")
    database.execute("""insert into page values ('{"url": "/a"}')""")

    assert contents(tmp_path / "local.sqlite")["page"] == [('{"url": "/a"}', "/a")]


def test_generated_columns_of_sqlite_files_are_not_evaluated(database, tmp_path):
    database.execute(
        "create table page (url, u not null as (url like '%x'), v as (url glob 'x') unique, w as (printf('%d', url)))"
    )
    database.execute("insert into page values ('/a')")

    with open_scratch(tmp_path / "local.sqlite") as scratch:
        rows = scratch.execute("select url from page").fetchall()

    assert rows == [("/a",)]


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE t (a INT, u AS (a LIKE '%x') VIRTUAL, b);",
        "CREATE TABLE t (a INT, [as (] GENERATED ALWAYS AS (printf('%d, )', (a))) STORED, b DEFAULT (1));",
        "CREATE TABLE t (a INT, u TEXT NOT NULL AS (later(a)) UNIQUE, b CHECK (later(b) > ')' -- )\n));",
        "CREATE TABLE t (a INT CHECK(a GLOB ('*x')) DEFAULT 5 CHECK (later(a)), b, CONSTRAINT c CHECK (later(a)));",
        "CREATE TABLE t (a ALIAS(1) CHECK (later(a)), b PRECHECK(1), u€ AS (later(a)), CHECK (later(a) > ','));",
        "CREATE TABLE t (a INT /* as ( */ NOT NULL, 'u' /*,*/ ANY AS/**/(later(a)), \"b\" TEXT) STRICT;",
        "CREATE TABLE \"t\" (a INT DEFAULT (CAST('as (' AS INT)), `check (` INT AS (later(1)), b, UNIQUE (a, b));",
    ],
    ids=["like", "printf", "unique", "check", "words", "strict", "cast"],
)
def test_expressions_of_tables_are_not_evaluated(write, table):
    path = write(table + "\nINSERT INTO \"t\" VALUES(1,'x');\nINSERT INTO \"t\" VALUES(2,'x');\n")

    with open_scratch(path) as scratch:
        rows = scratch.execute("select a, b from t").fetchall()

    assert rows == [(1, "x"), (2, "x")]


def test_views_and_triggers_of_sqlite_files_are_not_run(database, tmp_path):
    database.execute("create view v as with recursive n as (select 1 union all select 2 from n) select * from n")
    database.execute("create view w as select a from t")
    database.execute("create trigger g after insert on t begin delete from t; end")

    with open_scratch(tmp_path / "local.sqlite") as scratch:
        for view in ("v", "w"):
            with pytest.raises(sqlite3.DatabaseError):
                scratch.execute(f"select * from {view}").fetchall()
        rows = scratch.execute("select * from t").fetchall()

    assert rows == [(1, "one")]


@pytest.mark.parametrize("kind", ["export", "gzipped export", "database", "gzipped database"])
def test_progress_adds_up_to_the_file_size(database, tmp_path, write, kind):
    database.execute("begin")
    database.executemany("insert into t values (?, ?)", [(number, os.urandom(200)) for number in range(2_000)])
    database.execute("commit")
    data = (tmp_path / "local.sqlite").read_bytes()
    if "export" in kind:
        data = "\n".join(database.iterdump()).encode()
    path = write(gzip.compress(data) if "gzipped" in kind else data)
    calls = []

    with open_scratch(path, on_read=calls.append):
        pass

    assert sum(calls) == path.stat().st_size
    assert len([count for count in calls if count]) > 1


@pytest.mark.parametrize("content", [EXPORT, packed(EXPORT), EXPORT + "DROP TABLE t;", packed(EXPORT)[:-1]])
def test_temporary_folder_is_empty_afterwards(write, scratch_folder, content):
    path = write(content)

    try:
        with open_scratch(path) as scratch:
            connection = scratch
    except IngestError:
        connection = None

    assert os.listdir(scratch_folder) == []
    if connection:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("select 1")


@pytest.mark.parametrize("harm", [0, 1])
def test_unpacked_database_is_deleted(database, tmp_path, write, scratch_folder, harm):
    data = (tmp_path / "local.sqlite").read_bytes()
    path = write(gzip.compress(data[: len(data) - 4096 * harm]))

    try:
        with open_scratch(path):
            assert len(os.listdir(scratch_folder)) == 1
    except IngestError:
        assert harm

    assert os.listdir(scratch_folder) == []


def test_error_of_the_reader_is_raised_and_the_file_deleted(write, scratch_folder):
    path = write(EXPORT)

    with pytest.raises(KeyError), open_scratch(path) as scratch:
        raise KeyError(scratch.execute("select 1").fetchone())

    assert os.listdir(scratch_folder) == []


def test_error_of_the_callback_is_raised(write):
    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_scratch(write(EXPORT), on_read=interrupt):
        pass


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sqlite_sequence", True), ("_CF_KV", True), ("d1_migrations", True), ("leads", False), ("cf_x", False)],
)
def test_housekeeping_tables_are_recognized(name, expected):
    assert is_housekeeping(name) is expected


def test_interrupt_during_authorization_is_not_a_rejection(tmp_path):
    (tmp_path / "export.sql").write_text(EXPORT)
    actions = []

    def judge(*action):
        actions.append(action)
        if len(actions) == 1:
            raise KeyboardInterrupt
        return sqlite3.SQLITE_OK

    with open_scratch(tmp_path / "export.sql") as database:
        database.set_authorizer(judge)

        with pytest.raises(KeyboardInterrupt):
            database.execute("select typeof(data) from events")

        assert database.execute("select count(*) from events").fetchall() == [(2,)]
