"""The counters are correct after random SQL statements of any program.

Random sequences of statements are run on tables whose keys often collide. After each statement, every counter is
compared with helpers.expected_counters, which computes the counts in Python, and after the last statement also with its
expected_* view. A second database without triggers runs the same statements, to check that triggers do not change the
rows, ids and errors.

COUNTER_EXAMPLES=20000 pytest tests/test_counters_exact.py runs more examples.
"""

import os
import sqlite3
from contextlib import suppress
from importlib.resources import files

import pytest
from helpers.counters import counts_something
from helpers.expected_counters import (
    COUNTER_QUERIES,
    DATES,
    FIRST,
    KEYS,
    LAST,
    MOVED,
    START,
    UTC,
    VALUES,
    expected_counters,
    to_datetime,
)
from hypothesis import given, note, settings
from hypothesis import strategies as st

from analytics_api.database.expected import expected_views
from analytics_api.database.folding import case_folds
from analytics_api.maintenance.purge import SESSION_KEYS

EXAMPLES = int(os.environ.get("COUNTER_EXAMPLES", "15"))
EXPECTED_VIEWS = """
select name
from (select name from sqlite_schema union all select name from sqlite_temp_schema)
where name like 'expected\\_%' escape '\\'
"""
SCHEMA = files("analytics_api").joinpath("schema.sql").read_text(encoding="utf-8")

REFUSED = {
    "sessions": {
        "session_id": None,
        "started_at": FIRST - 1,
        "visitor_id": None,
        "vpn_suspected": None,
        "duration": 2**63 - 1,
    },
    "events": {"occurred_at": LAST + 1, "session_id": None},
    "leads": {"status": "bogus", "enquiry_datetime": "soon"},
    "lead_submissions": {"lead_id": None, "is_primary_lead": None, "submitted_at": "2026-02-30"},
}
# Derived columns, which a writer may also try to write.
DERIVED_VALUES = {
    "leads": {
        "follow_ups_count": (0, 7),
        "last_follow_up_at": (None, "2030"),
        "search_text": ("", "an\x1f"),
        "project_code": (None, "AAB"),
        "has_visits": (0, 1, 7),
    }
}
EXPRESSIONS = {
    "sessions": (
        "session_id = session_id || 'x'",
        "session_id = 'a'",
        "started_at = started_at + 1",
        "ended_at = started_at, duration = 5, engagement_score = 50, exit_page = '/b'",
    ),
    "events": (
        "event_id = event_id + 1",
        "event_id = 1",
        "event_id = -event_id",
        "session_id = page_url",
        "page_url = session_id",
    ),
    "leads": (
        "lead_id = lead_id + 1",
        "lead_id = 1",
        "lead_id = -lead_id",
        "contact_name = contact_email",
        "status = status",
    ),
    "lead_submissions": ("submission_id = submission_id + 1", "submission_id = 1", "lead_id = -lead_id"),
}
POLICIES = ("", "", "or replace", "or replace", "or ignore", "or fail", "or rollback")
CONTROLS = ("begin", "commit", "rollback", "savepoint", "release", "rollback to", "recursive on", "recursive off")

# Groups of tables whose rows are counted in the same counters. The statements of an example write one group.
TOGETHER = {
    "sessions": ("sessions",),
    "events": ("events",),
    "visits": ("sessions", "events"),
    "leads": ("leads",),
    "follow-ups": ("leads", "lead_submissions", "lead_submissions"),
}
# The initial rows.
PRESENT = f"""
insert into sessions (session_id, visitor_id, fingerprint, started_at, ended_at, duration, engagement_score, country,
    referrer_domain, exit_page, vpn_suspected)
  values
    ('a', 'v', 'f', {START}, null, 7, null, 'IN', null, '/a?x', 0),
    ('b', 'v', 'f', {START + 86400000}, null, null, null, 'IN', null, null, 0),
    ('c', 'w', null, {START + 86399999}, null, 5, null, null, null, null, 0),
    ('past', 'w', 'f', {START + 86400000}, 5, 7, 20, 'IN', 't.co', '/b', 1);
insert into events (event_id, session_id, event_type, page_url, occurred_at) values
  (-1, 'a', 'page_view', '/a', {START}),
  (1, 'a', 'page_view', '/a', {START + 59999}),
  (2, 'b', 'page_view', '/b', {START + 60000}),
  (50, 'a', 'page_view', '/a', {START + 86400000});
insert into leads (lead_id, enquiry_datetime, contact_name, status) values
  (-1, '2026-02-24', 'ANNA', 'new'), (1, '2026-02-24', 'Ünder', 'won'), (2, '2025-02-24', null, 'new');
insert into lead_submissions (submission_id, lead_id, submitted_at, is_primary_lead) values
  (-1, 1, '2026-02-24', 0), (1, 1, '2025-02-24', 0), (2, 2, '2026-02-24', 1);
"""
# The statements with which `purge --keep-totals` archives a session and an event.
ARCHIVE_SESSION = f"""
insert into counting_paused values (1);
insert into archived_session_counts
select dimension, day, key, 1, coalesce(duration, 0), duration is not null, coalesce(engagement_score, 0),
  engagement_score is not null, vpn_suspected <> 0
from ({SESSION_KEYS}) as session_keys
where session_id = :key
on conflict do update set
  sessions = sessions + 1,
  duration_sum = duration_sum + excluded.duration_sum,
  duration_count = duration_count + excluded.duration_count,
  score_sum = score_sum + excluded.score_sum,
  score_count = score_count + excluded.score_count,
  vpn_suspected = vpn_suspected + excluded.vpn_suspected;
update visitor_days
set archived = archived + 1
where (visitor_id, day, country_code) = (
  select visitor_id, day, country_code
  from counted_sessions
  where session_id = :key);
update fingerprint_days
set archived = archived + 1
where (fingerprint, day) = (
  select fingerprint, day
  from counted_sessions
  where session_id = :key);
delete from sessions
where session_id = :key;
delete from counting_paused;
"""
ARCHIVE_EVENT = """
insert into counting_paused values (1);
insert into archived_event_counts
select day, 1
from counted_events
where event_id = :key
on conflict do update set events = events + 1;
update session_pages
set archived = archived + 1
where (session_id, page_id, day) = (
  select session_id, page_id, day
  from counted_events
  join pages using (page)
  where event_id = :key);
delete from events
where event_id = :key;
delete from counting_paused;
"""
# The statements with which `erase` removes a visitor, a fingerprint and a session from the archive.
ERASE = """
update visitor_days
set sessions = sessions - archived, archived = 0
where visitor_id = 'w' and archived > 0;
update fingerprint_days
set sessions = sessions - archived, archived = 0
where fingerprint = 'f' and archived > 0;
update session_pages
set views = views - archived, archived = 0
where session_id = 'a' and archived > 0;
"""


# Random statements.


class Draw:
    """Random choices from a string of bytes. Hypothesis generates and shrinks the string as one value."""

    def __init__(self, drawn):
        self.drawn = iter(drawn)

    def choice(self, options):
        return options[next(self.drawn, 0) % len(options)]

    def sample(self, options):
        """Return one to three different options."""
        return list(dict.fromkeys(self.choice(options) for _ in range(self.choice((1, 1, 1, 2, 3)))))


def row(draw, table):
    values = {column: draw.choice(options) for column, options in VALUES[table].items()}
    if draw.choice(range(12)) == 11:
        spoilt = draw.choice(list(REFUSED[table]))
        values[spoilt] = REFUSED[table][spoilt]
    return list(values.values())


def insert(draw, table):
    key, *others = columns = list(VALUES[table])
    rows = [row(draw, table) for _ in range(draw.choice((1, 1, 2, 3)))]
    verb = draw.choice([*(f"insert {policy}" for policy in POLICIES), "replace"])
    one = f"({', '.join('?' * len(columns))})"
    sql = f"{verb} into {table} ({', '.join(columns)}) values {', '.join([one] * len(rows))}"
    changed = draw.choice(
        (
            ", ".join(f"{column} = excluded.{column}" for column in others),
            ", ".join(f"{column} = excluded.{column}" for column in draw.sample(columns)),
            draw.choice(EXPRESSIONS[table]),
        )
    )
    sql += draw.choice(
        (
            "",
            "",
            "",
            " on conflict do nothing",
            f" on conflict ({key}) do update set {changed}",
            f" on conflict ({key}) do update set {changed} where {table}.{others[0]} <> excluded.{others[0]}",
        )
    )
    return sql, [value for values in rows for value in values]


def copying(draw, table):
    """Return an `insert … select` from the table itself, with the same or with shifted keys."""
    key, *others = VALUES[table]
    moved = "session_id || 'x'" if table == "sessions" else f"{key} + 1"
    columns = ", ".join(others)
    verb = draw.choice([f"insert {policy}" for policy in POLICIES])
    return (
        f"{verb} into {table} ({key}, {columns}) select {draw.choice((key, moved))}, {columns} from {table} order by 1",
        [],
    )


def where(draw, table):
    key = KEYS[table]
    column = draw.choice([column for column in VALUES[table] if column not in DATES])
    return draw.choice(
        (
            (f" where {key} = ?", [draw.choice(VALUES[table][key])]),
            (f" where {key} = ?", [draw.choice(VALUES[table][key])]),
            (f" where {column} is ?", [draw.choice(VALUES[table][column])]),
            ("", []),
        )
    )


def update(draw, table):
    settable = VALUES[table] | draw.choice(({}, DERIVED_VALUES.get(table, {})))
    columns = draw.sample(list(settable))
    values = [draw.choice(settable[column]) for column in columns]
    changes, values = draw.choice(
        (
            (", ".join(f"{column} = ?" for column in columns), values),
            (", ".join(f"{column} = ?" for column in columns), values),
            (draw.choice(EXPRESSIONS[table]), []),
        )
    )
    condition, sought = where(draw, table)
    return f"update {draw.choice(POLICIES)} {table} set {changes}{condition}", values + sought


def delete(draw, table):
    condition, sought = where(draw, table)
    return f"delete from {table}{condition}", sought


def control(draw, table):
    return draw.choice(CONTROLS), None


def archive(draw, table):
    return f"archive {table}", None


KINDS = (insert, insert, insert, copying, update, update, update, update, delete, delete, control, control, archive)


def statement(drawn, tables):
    draw = Draw(drawn)
    return draw.choice(KINDS)(draw, draw.choice(tables))


# The databases in which the random statements run.


def reverse_triggers(connection):
    """Create the triggers in reverse order. SQLite does not guarantee the order in which triggers run."""
    triggers = connection.execute(
        "select name, sql from sqlite_schema where type = 'trigger' order by rowid"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"drop trigger {name}")
    for _, sql in reversed(triggers):
        connection.execute(sql)


def allow_one_code(connection):
    connection.execute("drop view project_code_limit")
    connection.execute("create view project_code_limit as select 1 as projects")


def drop_triggers(connection):
    for (name,) in connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
        connection.execute(f"drop trigger {name}")


def run_script(connection, script, key=None):
    for sql in script.split(";\n"):
        connection.execute(sql, {"key": key})


class Template:
    """A database with the initial rows, two of them archived."""

    def __init__(self, change=lambda connection: None, site=UTC):
        self.site = site
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript(SCHEMA)
        self.connection.executemany("insert into case_folds values (?, ?)", case_folds())
        change(self.connection)
        self.connection.execute("update site set page_query = ?", [site.page_query])
        self.connection.execute("delete from site_offsets")
        self.connection.executemany(
            "insert into site_offsets (begins_at, day_offset, utc_offset) values (?1, ?2, ?2)", site.offsets
        )
        self.connection.executescript(PRESENT)
        self.archived = {
            "sessions": rows(self.connection, "select * from sessions where session_id = 'past'"),
            "events": rows(self.connection, "select * from events where event_id = 50"),
        }
        run_script(self.connection, ARCHIVE_SESSION, "past")
        run_script(self.connection, ARCHIVE_EVENT, 50)

    def copy(self):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.backup(connection)
        return connection


@pytest.fixture(scope="module")
def templates():
    rows_made = {
        "as written": Template(),
        "reversed": Template(reverse_triggers),
        "another zone": Template(site=MOVED),
        "one code": Template(allow_one_code),
        "none": Template(drop_triggers),
    }
    yield rows_made
    for template in rows_made.values():
        template.connection.close()


class Writer:
    """A database, a second one without triggers, and the transaction state of both."""

    def __init__(self, template, twin):
        self.database = template.copy()
        self.site = template.site
        self.archived = {table: list(of) for table, of in template.archived.items()}
        self.twin = twin.copy()
        self.savepoints = 0

    def run(self, sql, values):
        """Run the statement on both databases, and check that the error, or the row count and the id, are the same."""
        if values is None:
            self.control(sql)
            return
        mine = self.outcome(self.database, sql, values)
        if isinstance(mine, str) and mine.endswith("is taken"):
            return  # an update to an existing key fails with any conflict clause, as schema.sql says
        twins = self.outcome(self.twin, sql, values)
        assert mine == twins
        if not self.database.in_transaction:
            self.savepoints = 0

    def outcome(self, connection, sql, values):
        try:
            cursor = connection.execute(sql, values)
        except sqlite3.IntegrityError as error:
            return str(error)
        inserted = sql.startswith(("insert", "replace")) and " on conflict " not in sql and cursor.rowcount
        return cursor.rowcount, cursor.lastrowid if inserted else None

    def control(self, word):
        inside = self.database.in_transaction
        if word.startswith("archive"):
            self.archive(word.split()[1])
            return
        if word.startswith("recursive"):
            self.database.execute(f"pragma recursive_triggers = {word.split()[1]}")
            return
        if word == "begin":
            statement = "" if inside else "begin"
        elif word in ("commit", "rollback"):
            statement = word if inside else ""
            self.savepoints = 0
        elif word == "savepoint":
            self.savepoints += 1
            statement = f"savepoint s{self.savepoints}"
        else:
            statement = f"{word} s{self.savepoints}" if self.savepoints else ""
            self.savepoints -= bool(self.savepoints) and word == "release"
        if statement:
            self.database.execute(statement)
            self.twin.execute(statement)

    def archive(self, table):
        """Archive the first row of sessions or events, but not in a transaction: `archived` cannot be rolled back."""
        if table not in self.archived or self.database.in_transaction:
            return
        key = KEYS[table]
        first_row = rows(self.database, f"select * from {table} order by {key} limit 1")
        for row in first_row:
            run_script(self.database, {"sessions": ARCHIVE_SESSION, "events": ARCHIVE_EVENT}[table], row[key])
            self.twin.execute(f"delete from {table} where {key} = ?", [row[key]])
        self.archived[table] += first_row

    def check(self):
        assert stored(self.database) == expected(self.database, self.archived, self.site)

    def close(self):
        self.database.close()
        self.twin.close()


# Invariants


def rows(connection, sql):
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values)) for values in cursor]


def base(connection):
    return {
        table: rows(connection, f"select {', '.join(columns)} from {table} order by {KEYS[table]}")
        for table, columns in VALUES.items()
    }


def normalised(tables):
    return {
        table: [
            {column: to_datetime(value) if column in DATES else value for column, value in row.items()} for row in of
        ]
        for table, of in tables.items()
    }


def expected(connection, archived, site=UTC):
    return expected_counters(base(connection), archived, site)


def stored(connection):
    empty = {table: [] for table in VALUES}
    return {
        counter: {
            tuple(row.values())
            for row in rows(connection, COUNTER_QUERIES.get(counter, f"select * from {counter}"))
            if counts_something(row)
        }
        for counter in expected_counters(empty, {"sessions": [], "events": []}, UTC)
    }


def pairs(connection):
    """Yield the sorted rows of each counter and of its view."""
    for sql in expected_views().values():
        connection.execute(sql.replace("create view", "create temporary view if not exists"))
    for (view,) in connection.execute(EXPECTED_VIEWS).fetchall():
        counter = "leads" if view == "expected_lead_visits" else view.removeprefix("expected_")
        columns = [column["name"] for column in rows(connection, f"pragma table_info({view})")]
        yield [
            sorted(
                repr(row)
                for row in rows(connection, f"select {', '.join(columns)} from {name}")
                if counts_something(row)
            )
            for name in (counter, view)
        ]


def found_leads(connection):
    """Yield, for each search term, the leads that the index finds and the leads whose text contains the term."""
    connection.execute("insert into lead_search (lead_search, rank) values ('integrity-check', 1)")
    texts = connection.execute("select lead_id, search_text from leads").fetchall()
    for needle in ("ünder", "ann", "\U00010428\x1f\x1f", "100%_", "98\x1f"):
        codes = connection.execute("select code from project_codes where instr(project, ?)", [needle])
        phrases = ['"' + text.replace('"', '""') + '"' for text in (needle, *(code for (code,) in codes))]
        matches = connection.execute("select rowid from lead_search(?)", [" OR ".join(phrases)])
        yield {lead for (lead,) in matches}, {lead for lead, text in texts if needle in text}


# The tests.


@pytest.mark.parametrize("together", TOGETHER)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    template=st.sampled_from(["as written", "reversed", "another zone", "one code"]),
    drawn=st.lists(st.binary(min_size=60, max_size=60), min_size=1, max_size=16),
    searching=st.booleans(),
)
def test_counters_are_exact_after_any_writes(templates, together, template, drawn, searching):
    writer = Writer(templates[template], templates["none"])
    statements = [statement(bytes_, TOGETHER[together]) for bytes_ in drawn]
    note("\n".join(f"{sql} {values or ''}" for sql, values in statements))
    try:
        for sql, values in statements:
            writer.run(sql, values)

            writer.check()
            if searching:
                assert all(matches == there for matches, there in found_leads(writer.database))

        if writer.database.in_transaction:
            writer.database.execute("commit")
        assert normalised(base(writer.database)) == normalised(base(writer.twin))
        assert all(stored == view for stored, view in pairs(writer.database))
        assert all(matches == there for matches, there in found_leads(writer.database))
        run_script(writer.database, ERASE)
        assert all(stored == view for stored, view in pairs(writer.database))
    finally:
        writer.close()


@pytest.fixture
def present(templates):
    """Return a connection to a database with a few rows."""
    connection = templates["as written"].copy()
    yield connection
    connection.close()


@pytest.fixture
def archived(templates):
    return templates["as written"].archived


# For each table: a row that the tests insert, remove and insert again, the condition that finds it, and the assignment
# that gives it another key.
BACK = {
    "sessions": (
        f"sessions (session_id, visitor_id, started_at) values ('b', 'w', {START})",
        "session_id = 'b'",
        "session_id = 'elsewhere'",
    ),
    "events": (
        "events (event_id, session_id, event_type, page_url, occurred_at) "
        f"values (1, 'b', 'page_view', '/b', {START + 60000})",
        "event_id = 1",
        "event_id = 99",
    ),
    "leads": (
        "leads (lead_id, enquiry_datetime, contact_name) values (1, '2026-02-24', 'Someone')",
        "lead_id = 1",
        "lead_id = 99",
    ),
    "lead_submissions": (
        "lead_submissions (submission_id, lead_id, submitted_at) values (1, 2, '2026-02-24')",
        "submission_id = 1",
        "submission_id = 99",
    ),
}


@pytest.mark.parametrize("gone", ["delete from {table} where {here}", "update {table} set {elsewhere} where {here}"])
@pytest.mark.parametrize(
    "tried",
    [
        "insert or ignore into {row}",
        "insert into {row} on conflict do nothing",
        "insert into {row} on conflict ({key}) do update set {key} = {key}",
        "insert into {row}",
        "insert or fail into {row}",
        "insert or replace into {row}",
    ],
)
@pytest.mark.parametrize("table", BACK)
def test_restored_row_counts_once(present, archived, table, tried, gone):
    row, here, elsewhere = BACK[table]
    words = {"table": table, "row": row, "here": here, "elsewhere": elsewhere, "key": KEYS[table]}
    with suppress(sqlite3.IntegrityError):
        present.execute(tried.format(**words))
    present.execute(gone.format(**words))

    present.execute(f"insert into {row}")

    assert stored(present) == expected(present, archived)
    assert all(stored == view for stored, view in pairs(present))
    assert all(matches == there for matches, there in found_leads(present))


@pytest.mark.parametrize("table", [table for table in BACK if table != "sessions"])
def test_row_numbered_minus_one_is_not_replaced(present, archived, table):
    row = BACK[table][0].replace("values (1,", "values (null,")

    present.execute(f"insert or replace into {row}")

    assert stored(present) == expected(present, archived)
    assert all(stored == view for stored, view in pairs(present))


@pytest.mark.parametrize("table", BACK)
@pytest.mark.parametrize("policy", POLICIES)
def test_update_to_an_existing_key_is_rejected(present, archived, table, policy):
    before = base(present)
    taken = {"sessions": "'a'"}.get(table, "2")

    with pytest.raises(sqlite3.IntegrityError, match=f"{KEYS[table]} is taken"):
        present.execute(f"update {policy} {table} set {KEYS[table]} = {taken} where {BACK[table][1]}")

    assert base(present) == before
    assert stored(present) == expected(present, archived)


def test_sums_stay_integers_for_extreme_durations(present, archived):
    longest = 253_402_300_799_999
    rows = [(str(number), number % 2 * 2 * longest - longest, 2**31 - 1, START) for number in range(999)]

    present.executemany(
        "insert into sessions (session_id, duration, engagement_score, visitor_id, started_at) "
        "values (?, ?, ?, 'v', ?)",
        rows,
    )

    assert stored(present) == expected(present, archived)


def test_insert_of_a_lead_returns_its_id(present):
    present.execute("begin")

    cursor = present.execute("insert into leads (enquiry_datetime, contact_name) values ('2026-01-01', 'Zoë Ångström')")
    present.execute("commit")

    assert cursor.lastrowid == present.execute("select max(lead_id) from leads").fetchone()[0]
    assert present.execute("select last_insert_rowid()").fetchone()[0] == cursor.lastrowid


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2026-02-22T10:00:00.123Z", "2026-02-22 10:00:00"),
        ("2026-02-22T10:00:00+05:30", "2026-02-22 04:30:00"),
        ("2026-02-22 10:00", "2026-02-22 10:00:00"),
        ("2026-02-22", "2026-02-22 00:00:00"),
        ("", ""),
    ],
)
def test_lead_dates_are_normalized(present, text, stored):
    present.execute("insert into leads (lead_id, enquiry_datetime) values (9, ?)", [text])
    present.execute("insert into lead_submissions (lead_id, submitted_at) values (9, ?)", [text])
    present.execute("update leads set enquiry_datetime = ? where lead_id = 1", [text])
    present.execute("update lead_submissions set submitted_at = ? where submission_id = 1", [text])

    dates = present.execute("select enquiry_datetime, last_follow_up_at from leads where lead_id = 9").fetchone()
    assert dates == (stored, stored)
    assert present.execute("select enquiry_datetime from leads where lead_id = 1").fetchone() == (stored,)
    submitted = present.execute("select submitted_at from lead_submissions where submission_id = 1").fetchone()
    assert submitted == (stored,)


@pytest.mark.parametrize("text", ["now", "soon", "2026", "2026-02-30", "2026-02-22 25:00", "2461094.5", "22/02/2026"])
def test_text_that_is_not_a_date_is_rejected(present, text):
    before = base(present)

    for sql in (
        "insert into leads (enquiry_datetime) values (?)",
        "update leads set enquiry_datetime = ?",
        "insert into lead_submissions (lead_id, submitted_at) values (1, ?)",
    ):
        with pytest.raises(sqlite3.IntegrityError, match=r"CHECK constraint failed: \w+_is_a_date"):
            present.execute(sql, [text])

    assert base(present) == before


@pytest.mark.parametrize("seconds", [START // 1000, 0, -1])
def test_instants_in_seconds_are_rejected(present, seconds):
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed: started_at"):
        present.execute("insert into sessions (session_id, visitor_id, started_at) values ('new', 'v', ?)", [seconds])
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed: occurred_at"):
        present.execute(
            "insert into events (session_id, event_type, occurred_at) values ('new', 'click', ?)", [seconds]
        )
