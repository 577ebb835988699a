"""The rollups under writers that know schema.sql and nothing else of ours.

Any sequence of statements, on tables whose keys collide all the time: after each one every rollup is what the base
tables say, told twice, by the schema's own plain_* views and by `expected` below, which knows DESIGN and no SQL. A
twin database without the triggers runs the same statements: what a writer sees of its tables must not differ.

ROLLUP_EXAMPLES=20000 pytest tests/test_rollups.py looks longer.
"""

import os
import sqlite3
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from importlib.resources import files

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("ROLLUP_EXAMPLES", "50"))
SCHEMA = files("analytics_api").joinpath("schema.sql").read_text(encoding="utf-8")

SECOND = 1000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
LAST = 253_402_300_799_999  # the end of year 9999

INSTANTS = (0, MINUTE - 1, MINUTE, DAY - 1, DAY, DAY + MINUTE, LAST)
TEXTS = (None, "", "x", "Ünder")
STATUSES = ("new", "contacted", "qualified", "proposal", "won", "lost")

# What each column of a table is given: few values, so that they meet. The first column is the key.
VALUES = {
    "sessions": {
        "session_id": ("a", "b", "c", "", "5", 5),
        "visitor_id": ("v", "w", ""),
        "fingerprint": (None, "", "f"),
        "started_at": INSTANTS,
        "ended_at": (None, 0, DAY),
        "duration": (None, -5, 0, 7, 10**12),
        "engagement_score": (None, -1, 0, 19, 20, 39, 40, 59, 60, 79, 80, 100, 101),
        "event_count": (0, 3),
        "country": (None, "", "XX", "IN"),
        "referrer_domain": (None, "", "(direct)", "t.co"),
        "vpn_suspected": (0, 1, 2, -1),
    },
    "events": {
        "event_id": (1, 2, 3, -1, 0, "1", 2.0, None),
        "session_id": ("a", "b", ""),
        "event_type": ("page_view", "page_view", "page_view", "scroll", "PAGE_VIEW"),
        "page_url": ("/a", "/b", "", None),
        "occurred_at": INSTANTS,
        "data": (None, "{}"),
    },
    "leads": {
        "lead_id": (1, 2, 3, -1, "1", 2.0, None),
        "enquiry_datetime": ("2026-02-24 15:00:00", ""),
        "contact_name": (*TEXTS, "ANNA", "Straße \U00010400"),
        "contact_email": TEXTS,
        "contact_phone": (None, "", "+91 98", 'o\'b "100%_"'),
        "project_name": TEXTS,
        "visitor_id": (None, "v", "w"),
        "status": STATUSES,
    },
    "lead_submissions": {
        "submission_id": (1, 2, 3, -1, "1", 2.0, None),
        "lead_id": (1, 2, 3, -1),
        "submitted_at": ("2026-02-24 15:00:00", "2026-02-24 15:00:01", "", "2025"),
        "source": (None, "x"),
        "is_primary_lead": (0, 0, 0, 1, 2, -1),
    },
}
KEYS = {table: next(iter(columns)) for table, columns in VALUES.items()}
REFUSED = {
    "sessions": {
        "session_id": None,
        "started_at": -1,
        "visitor_id": None,
        "vpn_suspected": None,
        "duration": 2**63 - 1,
    },
    "events": {"occurred_at": LAST + 1, "session_id": None},
    "leads": {"status": "bogus", "enquiry_datetime": None},
    "lead_submissions": {"lead_id": None, "is_primary_lead": None},
}
# What triggers keep and nobody else has any business to write.
MEDDLED = {
    "leads": {
        "follow_ups_count": (0, 7),
        "last_follow_up_at": (None, "2030"),
        "search_text": ("", "an\x1f"),
        "search_code": (None, "AAB"),
    }
}
EXPRESSIONS = {
    "sessions": ("session_id = session_id || 'x'", "session_id = 'a'", "started_at = started_at + 1"),
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

SEARCHED = ("project_name", "contact_name", "contact_email", "contact_phone", "visitor_id")

# Which tables are written together: those that a rollup has in common.
TOGETHER = {
    "sessions": ("sessions",),
    "events": ("events",),
    "visits": ("sessions", "events"),
    "leads": ("leads",),
    "follow-ups": ("leads", "lead_submissions", "lead_submissions"),
}
# What is there to begin with.
PRESENT = """
insert into sessions (session_id, visitor_id, fingerprint, started_at, duration, country) values
  ('a', 'v', 'f', 0, 7, 'IN'), ('b', 'v', 'f', 86400000, null, 'IN'), ('c', 'w', null, 86399999, 5, null);
insert into events (event_id, session_id, event_type, page_url, occurred_at) values
  (-1, 'a', 'page_view', '/a', 0), (1, 'a', 'page_view', '/a', 59999), (2, 'b', 'page_view', '/b', 60000);
insert into leads (lead_id, enquiry_datetime, contact_name, status) values
  (-1, '2026', 'ANNA', 'new'), (1, '2026', 'Ünder', 'won'), (2, '2025', null, 'new');
insert into lead_submissions (submission_id, lead_id, submitted_at, is_primary_lead) values
  (-1, 1, '2026', 0), (1, 1, '2025', 0), (2, 2, '2026', 1);
"""
# A session that is past: it counts, whatever becomes of the others.
PAST = {
    "session_id": "past",
    "visitor_id": "w",
    "fingerprint": "f",
    "started_at": DAY,
    "ended_at": DAY,
    "duration": 7,
    "engagement_score": 20,
    "event_count": 0,
    "country": "IN",
    "referrer_domain": "t.co",
    "vpn_suspected": 1,
}
KEPT = """
insert into past_days values ('1970-01-02', 1, 7, 1, 20, 1, 1);
insert into past_countries values ('IN', 1);
insert into past_sources values ('t.co', 1);
insert into past_engagement values ('20-39', 1);
insert into past_day_visitors values ('w', '1970-01-02');
insert into past_country_visitors values ('w', 'IN');
insert into past_fingerprints values ('f');
"""


# statements


class Draw:
    """Choices out of a string of bytes: hypothesis draws and shrinks such a string as one."""

    def __init__(self, drawn):
        self.drawn = iter(drawn)

    def choice(self, options):
        return options[next(self.drawn, 0) % len(options)]

    def sample(self, options):
        """One to three of the options, each once."""
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
    """`insert … select` from the table itself, its keys moved or kept."""
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
    column = draw.choice(list(VALUES[table]))
    return draw.choice(
        (
            (f" where {key} = ?", [draw.choice(VALUES[table][key])]),
            (f" where {key} = ?", [draw.choice(VALUES[table][key])]),
            (f" where {column} is ?", [draw.choice(VALUES[table][column])]),
            ("", []),
        )
    )


def update(draw, table):
    settable = VALUES[table] | draw.choice(({}, MEDDLED.get(table, {})))
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


KINDS = (insert, insert, insert, copying, update, update, update, update, delete, delete, control, control)


def statement(drawn, tables):
    draw = Draw(drawn)
    return draw.choice(KINDS)(draw, draw.choice(tables))


# databases


def reversed_triggers(connection):
    """SQLite promises no order among the triggers of a statement; it fires the youngest first."""
    triggers = connection.execute(
        "select name, sql from sqlite_schema where type = 'trigger' order by rowid"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"drop trigger {name}")
    for _, sql in reversed(triggers):
        connection.execute(sql)


def spelled_out(connection):
    """With room for one project that is not."""
    connection.execute("drop view searched_projects_room")
    connection.execute("create view searched_projects_room as select 1 as projects")


def without_triggers(connection):
    for (name,) in connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
        connection.execute(f"drop trigger {name}")


def template(change):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    connection.executescript(PRESENT)
    connection.executescript(KEPT)
    change(connection)
    return connection


@pytest.fixture(scope="module")
def templates():
    made = {
        "as written": template(lambda connection: None),
        "reversed": template(reversed_triggers),
        "most projects spelled out": template(spelled_out),
        "none": template(without_triggers),
    }
    yield made
    for connection in made.values():
        connection.close()


def copy(of):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    of.backup(connection)
    return connection


class Writer:
    """A database, its twin without triggers, and the transaction that both are in."""

    def __init__(self, database, twin):
        self.database = database
        self.twin = twin
        self.savepoints = 0

    def run(self, sql, values):
        """Run the statement on both; the same error, rows and ids must come of it."""
        if values is None:
            self.control(sql)
            return
        mine = self.outcome(self.database, sql, values)
        if isinstance(mine, str) and mine.endswith("is taken"):
            return  # said in the schema: a rename onto a taken key is refused, whatever the policy
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


# what must hold


def rows(connection, sql):
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, found)) for found in cursor]


def day(instant):
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=instant)).strftime("%Y-%m-%d").zfill(10)


def bucket(session):
    score = session["engagement_score"]
    if session["ended_at"] is None or score is None:
        return None
    return ("0-19", "20-39", "40-59", "60-79", "80-100")[min(max(score // 20, 0), 4)]


def measures(sessions):
    durations = [session["duration"] for session in sessions if session["duration"] is not None]
    scores = [session["engagement_score"] for session in sessions if session["engagement_score"] is not None]
    return sum(durations), len(durations), sum(scores), len(scores)


def grouped(items, key):
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    groups.pop(None, None)
    return groups


def distinct(items, column):
    return len({item[column] for item in items} - {None})


def expected(sessions, events, leads, submissions, searched=SEARCHED):
    """Every number that a read gives, as DESIGN tells it."""
    days = grouped(sessions, lambda session: day(session["started_at"]))
    countries = grouped(sessions, lambda session: session["country"] or "XX")
    views = [event for event in events if event["event_type"] == "page_view" and event["page_url"]]
    pages = grouped(views, lambda event: event["page_url"])
    happened = Counter(event["occurred_at"] // MINUTE for event in events)
    opened = Counter(session["started_at"] // MINUTE for session in sessions if session["ended_at"] is None)
    follow_ups = grouped(
        [submission for submission in submissions if submission["is_primary_lead"] == 0],
        lambda submission: submission["lead_id"],
    )
    return {
        "rollup_totals": {
            (
                1,
                len(sessions),
                len(events),
                distinct(sessions, "visitor_id"),
                distinct(sessions, "fingerprint"),
                *measures(sessions),
                sum(session["vpn_suspected"] != 0 for session in sessions),
            )
        },
        "rollup_days": {(name, len(of), distinct(of, "visitor_id"), *measures(of)) for name, of in days.items()},
        "rollup_countries": {(name, len(of), distinct(of, "visitor_id")) for name, of in countries.items()},
        "rollup_sources": set(Counter(session["referrer_domain"] or "(direct)" for session in sessions).items()),
        "rollup_engagement": set(Counter(filter(None, map(bucket, sessions))).items()),
        "rollup_pages": {(page, len(of), distinct(of, "session_id")) for page, of in pages.items()},
        "rollup_minutes": {(minute, happened[minute], opened[minute]) for minute in happened | opened},
        "rollup_stages": set(Counter(lead["status"] for lead in leads).items()),
        "leads": {
            (
                lead["lead_id"],
                len(follow_ups.get(lead["lead_id"], ())),
                max((one["submitted_at"] for one in follow_ups.get(lead["lead_id"], ())), default=None),
                "".join((lead[name] or "") + "\x1f" for name in searched).casefold(),
                None if lead["contact_name"] is None else lead["contact_name"].casefold(),
            )
            for lead in leads
        },
    }


READS = {
    "rollup_pages": "page, views, unique_sessions",
    "leads": "lead_id, follow_ups_count, last_follow_up_at, search_text, name_folded",
}


def kept(connection):
    return {
        rollup: set(map(tuple, connection.execute(f"select {READS.get(rollup, '*')} from {rollup}")))
        for rollup in expected([], [], [], [])
    }


def base(connection):
    sessions, *others = [
        rows(connection, f"select {', '.join(VALUES[table])} from {table} order by {KEYS[table]}") for table in VALUES
    ]
    return [[*sessions, PAST], *others]


def plain(connection):
    """What each rollup is to be, as the schema itself tells it, beside what it is."""
    views = connection.execute(r"select name from sqlite_schema where name like 'plain\_%' escape '\'").fetchall()
    for (view,) in views:
        rollup = "leads" if view == "plain_leads" else view.replace("plain_", "rollup_")
        columns = ", ".join(column["name"] for column in rows(connection, f"pragma table_info({view})"))
        yield [sorted(map(repr, rows(connection, f"select {columns} from {name}"))) for name in (rollup, view)]


def indexed(connection):
    """Which leads the search index finds a needle in, beside those whose text has it."""
    connection.execute("insert into lead_search (lead_search, rank) values ('integrity-check', 1)")
    texts = connection.execute("select lead_id, search_text from leads").fetchall()
    for needle in ("ünder", "ann", "\U00010428\x1f\x1f", "100%_", "98\x1f"):
        codes = connection.execute("select code from searched_projects where instr(project, ?)", [needle])
        phrases = ['"' + text.replace('"', '""') + '"' for text in (needle, *(code for (code,) in codes))]
        found = connection.execute("select rowid from lead_search(?)", [" OR ".join(phrases)])
        yield {lead for (lead,) in found}, {lead for lead, text in texts if needle in text}


# claims


@pytest.mark.parametrize("together", TOGETHER)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    order=st.sampled_from(["as written", "reversed", "most projects spelled out"]),
    drawn=st.lists(st.binary(min_size=60, max_size=60), min_size=1, max_size=16),
    searching=st.booleans(),
)
def test_rollups_are_exact_after_any_writes(templates, together, order, drawn, searching):
    database, twin = copy(templates[order]), copy(templates["none"])
    writer = Writer(database, twin)
    statements = [statement(bytes_, TOGETHER[together]) for bytes_ in drawn]
    note("\n".join(f"{sql} {values or ''}" for sql, values in statements))
    try:
        for sql, values in statements:
            writer.run(sql, values)

            assert kept(database) == expected(*base(database))
            if searching:
                assert all(found == there for found, there in indexed(database))

        if database.in_transaction:
            database.execute("commit")
        assert base(database) == base(twin)
        assert all(held == asked for held, asked in plain(database))
        assert all(found == there for found, there in indexed(database))
    finally:
        database.close()
        twin.close()


@pytest.fixture
def present(templates):
    """A database with a few rows, as a writer has opened it."""
    connection = copy(templates["as written"])
    yield connection
    connection.close()


# For each table: a row as it was and as it comes back, and where the key goes in between.
BACK = {
    "sessions": (
        "sessions (session_id, visitor_id, started_at) values ('b', 'w', 0)",
        "session_id = 'b'",
        "session_id = 'elsewhere'",
    ),
    "events": (
        "events (event_id, session_id, event_type, page_url, occurred_at) values (1, 'b', 'page_view', '/b', 60000)",
        "event_id = 1",
        "event_id = 99",
    ),
    "leads": (
        "leads (lead_id, enquiry_datetime, contact_name) values (1, '2026', 'Someone')",
        "lead_id = 1",
        "lead_id = 99",
    ),
    "lead_submissions": (
        "lead_submissions (submission_id, lead_id, submitted_at) values (1, 2, '2026')",
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
def test_replaced_row_is_subtracted_once(present, table, tried, gone):
    row, here, elsewhere = BACK[table]
    words = {"table": table, "row": row, "here": here, "elsewhere": elsewhere, "key": KEYS[table]}
    with suppress(sqlite3.IntegrityError):
        present.execute(tried.format(**words))
    present.execute(gone.format(**words))

    present.execute(f"insert into {row}")

    assert kept(present) == expected(*base(present))
    assert all(held == asked for held, asked in plain(present))
    assert all(found == there for found, there in indexed(present))


@pytest.mark.parametrize("table", [table for table in BACK if table != "sessions"])
def test_event_id_minus_one_is_counted(present, table):
    row = BACK[table][0].replace("values (1,", "values (null,")

    present.execute(f"insert or replace into {row}")

    assert kept(present) == expected(*base(present))
    assert all(held == asked for held, asked in plain(present))


@pytest.mark.parametrize("table", BACK)
@pytest.mark.parametrize("policy", POLICIES)
def test_rename_to_a_taken_key_changes_nothing(present, table, policy):
    before = base(present)
    taken = {"sessions": "'a'"}.get(table, "2")

    with pytest.raises(sqlite3.IntegrityError, match=f"{KEYS[table]} is taken"):
        present.execute(f"update {policy} {table} set {KEYS[table]} = {taken} where {BACK[table][1]}")

    assert base(present) == before
    assert kept(present) == expected(*base(present))


def test_sums_stay_integers(present):
    longest = 253_402_300_799_999
    rows = [(str(number), number % 2 * 2 * longest - longest, 2**31 - 1) for number in range(999)]

    present.executemany(
        "insert into sessions (session_id, duration, engagement_score, visitor_id, started_at) "
        "values (?, ?, ?, 'v', 0)",
        rows,
    )

    assert kept(present) == expected(*base(present))


def test_insert_returns_the_id_of_the_lead(present):
    present.execute("begin")

    cursor = present.execute("insert into leads (enquiry_datetime, contact_name) values ('2026', 'Zoë Ångström')")
    present.execute("commit")

    assert cursor.lastrowid == present.execute("select max(lead_id) from leads").fetchone()[0]
    assert present.execute("select last_insert_rowid()").fetchone()[0] == cursor.lastrowid
