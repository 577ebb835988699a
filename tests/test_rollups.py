"""The rollups under writers that know schema.sql and nothing else of ours.

Any sequence of statements, on tables whose keys collide all the time: after each one every rollup is what the base
tables say, told twice, by the schema's own plain_* views and by `expected` below, which knows DESIGN and no SQL. A
twin database without the triggers runs the same statements: what a writer sees of its tables must not differ.

ROLLUP_EXAMPLES=20000 pytest tests/test_rollups.py looks longer.
"""

import os
import sqlite3
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("ROLLUP_EXAMPLES", "300"))
SCHEMA = files("analytics_api").joinpath("schema.sql").read_text(encoding="utf-8")

SECOND = 1000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
LAST = 253_402_300_799_999  # the end of year 9999

INSTANTS = (0, MINUTE - 1, MINUTE, DAY - 1, DAY, DAY + MINUTE, 1_771_945_200_123, LAST)
TEXTS = (None, "", "x", "y", "Ünder")
PHONES = (None, "", "+91 98", 'o\'b "100%_"')
STAGES = ("new", "contacted", "qualified", "proposal", "won", "lost")

# What each column of a table may be given: few values, so that they meet; `!` marks those that must be refused.
VALUES = {
    "sessions": {
        "session_id": ("a", "b", "c", "", 5, "5"),
        "visitor_id": ("v", "w", ""),
        "fingerprint": TEXTS[:3],
        "started_at": (*INSTANTS, -1),
        "ended_at": (None, 0, DAY),
        "duration": (None, -5, 0, 7, 10**12),
        "engagement_score": (None, -1, 0, 19, 20, 39, 40, 59, 60, 79, 80, 100, 101),
        "event_count": (0, 3),
        "entry_page": TEXTS[:3],
        "country": (None, "", "XX", "IN"),
        "referrer_domain": (None, "", "(direct)", "t.co"),
        "vpn_suspected": (0, 1, 2, -1, None),
    },
    "events": {
        "event_id": (None, -1, 0, 1, 2, 3, "1", 2.0),
        "session_id": ("a", "b", ""),
        "event_type": ("page_view", "page_view", "scroll", "PAGE_VIEW"),
        "page_url": (None, "", "/a", "/b"),
        "occurred_at": (*INSTANTS, -1),
        "data": (None, "{}"),
    },
    "leads": {
        "lead_id": (None, -1, 1, 2, 3, "1", 2.0),
        "enquiry_datetime": ("2026-02-24 15:00:00",),
        "contact_name": (*TEXTS, "ANNA", "Straße \U00010400"),
        "contact_email": TEXTS,
        "contact_phone": PHONES,
        "project_name": TEXTS,
        "project_location": (None, "Pune"),
        "visitor_id": (None, "v", "w"),
        "status": (*STAGES, "bogus", None),
    },
    "lead_submissions": {
        "submission_id": (None, -1, 1, 2, 3, "1", 2.0),
        "lead_id": (-1, 1, 2, 3),
        "submitted_at": ("2026-02-24 15:00:00", "2026-02-24 15:00:01", "", "2025"),
        "source": (None, "x"),
        "is_primary_lead": (0, 0, 1, 2, -1, None),
    },
}
KEYS = {table: next(iter(columns)) for table, columns in VALUES.items()}
KEPT = {"follow_ups_count": (0, 7), "last_follow_up_at": (None, "2030"), "search_text": ("", "junk", "an\x1f")}
EXPRESSIONS = {
    "sessions": ("session_id = session_id || 'x'", "started_at = started_at + 1", "duration = -duration"),
    "events": ("event_id = event_id + 1", "event_id = -event_id", "session_id = page_url", "page_url = session_id"),
    "leads": ("lead_id = lead_id + 1", "lead_id = -lead_id", "contact_name = contact_email"),
    "lead_submissions": ("submission_id = submission_id + 1", "lead_id = -lead_id", "lead_id = submission_id"),
}
POLICIES = ("", "", "or replace", "or ignore", "or fail", "or rollback")


# statements


def row(table):
    return st.tuples(*(st.sampled_from(values) for values in VALUES[table].values()))


@st.composite
def inserts(draw, table):
    columns = list(VALUES[table])
    rows = draw(st.lists(row(table), min_size=1, max_size=3))
    conflict = draw(st.sampled_from(("", "", "", "do nothing", "update", "update where", "rename")))
    policy = draw(st.sampled_from(POLICIES))
    verb = "replace" if policy == "or replace" and draw(st.booleans()) else f"insert {policy}"
    sql = f"{verb} into {table} ({', '.join(columns)}) values {', '.join(['(' + ', '.join('?' * len(columns)) + ')'] * len(rows))}"
    key = KEYS[table]
    if conflict == "do nothing":
        sql += " on conflict do nothing"
    elif conflict == "rename":
        sql += f" on conflict ({key}) do update set {draw(st.sampled_from(EXPRESSIONS[table]))}"
    elif conflict:
        changed = draw(st.lists(st.sampled_from(columns), min_size=1, max_size=4, unique=True))
        sql += f" on conflict ({key}) do update set {', '.join(f'{name} = excluded.{name}' for name in changed)}"
        if conflict == "update where":
            sql += f" where {table}.{columns[1]} <> excluded.{columns[1]}"
    return sql, [value for values in rows for value in values]


@st.composite
def copies(draw, table):
    """`insert … select` from the table itself, its keys moved or kept."""
    key, *others = VALUES[table]
    moved = {"sessions": "session_id || 'x'"}.get(table, f"{key} + 1")
    source = draw(st.sampled_from((key, moved)))
    columns = ", ".join(others)
    policy = draw(st.sampled_from(POLICIES))
    return f"insert {policy} into {table} ({key}, {columns}) select {source}, {columns} from {table} order by 1", []


@st.composite
def wheres(draw, table):
    column = draw(st.sampled_from(list(VALUES[table])))
    value = draw(st.sampled_from(VALUES[table][column]))
    return draw(
        st.sampled_from(
            (
                ("", []),
                (f" where {KEYS[table]} = ?", [draw(st.sampled_from(VALUES[table][KEYS[table]]))]),
                (f" where {column} is ?", [value]),
                (f" where {column} is not ?", [value]),
            )
        )
    )


@st.composite
def updates(draw, table):
    policy = draw(st.sampled_from(POLICIES))
    where, found = draw(wheres(table))
    if draw(st.integers(0, 3)) == 0:
        return f"update {policy} {table} set {draw(st.sampled_from(EXPRESSIONS[table]))}{where}", found
    settable = {**VALUES[table], **(KEPT if table == "leads" else {})}
    columns = draw(st.lists(st.sampled_from(list(settable)), min_size=1, max_size=4, unique=True))
    values = [draw(st.sampled_from(settable[column])) for column in columns]
    return f"update {policy} {table} set {', '.join(f'{column} = ?' for column in columns)}{where}", values + found


@st.composite
def deletes(draw, table):
    where, found = draw(wheres(table))
    return f"delete from {table}{where}", found


def writes(table):
    return st.one_of(inserts(table), inserts(table), copies(table), updates(table), updates(table), deletes(table))


# Leads and their submissions meet each other; sessions and events share minutes and totals.
WRITES = {
    "visits": st.one_of(writes("sessions"), writes("sessions"), writes("events")),
    "leads": st.one_of(writes("leads"), writes("lead_submissions")),
}
CONTROLS = ("begin", "commit", "rollback", "savepoint", "release", "rollback to", "recursive on", "recursive off")


def steps(of):
    control = st.sampled_from(CONTROLS).map(lambda word: (word, None))
    return st.lists(st.one_of(WRITES[of], WRITES[of], WRITES[of], control), min_size=1, max_size=12)


# databases


def reversed_triggers(connection):
    """SQLite promises no order among the triggers of a statement: it fires the youngest first."""
    triggers = connection.execute(
        "select name, sql from sqlite_schema where type = 'trigger' order by rowid"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"drop trigger {name}")
    for _, sql in reversed(triggers):
        connection.execute(sql)


def without_triggers(connection):
    for (name,) in connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
        connection.execute(f"drop trigger {name}")


def template(change):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    change(connection)
    return connection


@pytest.fixture(scope="module")
def templates():
    made = {
        "as written": template(lambda connection: None),
        "reversed": template(reversed_triggers),
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


def expected(sessions, events, leads, submissions):
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
                searched(lead),
                None if lead["contact_name"] is None else lead["contact_name"].casefold(),
            )
            for lead in leads
        },
    }


def searched(lead):
    names = ("contact_name", "contact_email", "contact_phone", "project_name", "visitor_id")
    return "\x1f".join(lead[name] or "" for name in names).casefold()


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
    return [
        rows(connection, f"select {', '.join(VALUES[table])} from {table} order by {KEYS[table]}") for table in VALUES
    ]


def check(connection):
    assert kept(connection) == expected(*base(connection))
    for (view,) in connection.execute(
        "select name from sqlite_schema where name like 'plain\\_%' escape '\\'"
    ).fetchall():
        plain = rows(connection, f"select * from {view}")
        rollup = "leads" if view == "plain_leads" else view.replace("plain_", "rollup_")
        columns = ", ".join(column["name"] for column in rows(connection, f"pragma table_info({view})"))
        held = rows(connection, f"select {columns} from {rollup}")
        assert sorted(map(repr, held)) == sorted(map(repr, plain)), rollup


def check_search(connection):
    connection.execute("insert into lead_search (lead_search, rank) values ('integrity-check', 1)")
    texts = connection.execute("select lead_id, search_text from leads").fetchall()
    for needle in ("ünder", "ann", "\U00010428", "100%_", "98\x1f"):
        found = connection.execute(
            "select rowid from lead_search(?)", ['"' + needle + '"'] if len(needle) > 2 else ['"xxxx"']
        )
        assert {lead for (lead,) in found} == {lead for lead, text in texts if len(needle) > 2 and needle in text}


# claims

WORK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def play(templates, order, written, look_within):
    database, twin = copy(templates[order]), copy(templates["none"])
    writer = Writer(database, twin)
    try:
        for sql, values in written:
            writer.run(sql, values)
            assert base(database) == base(twin)
            check(database)
            if look_within:
                check_search(database)
        if database.in_transaction:
            database.execute("commit")
        check(database)
        check_search(database)
    finally:
        database.close()
        twin.close()


@pytest.mark.parametrize("order", ["as written", "reversed"])
@WORK
@given(written=steps("visits"))
def test_rollups_of_visits_hold_after_any_writes(templates, order, written):
    play(templates, order, written, look_within=False)


@pytest.mark.parametrize("order", ["as written", "reversed"])
@WORK
@given(written=steps("leads"), look_within=st.booleans())
def test_rollups_and_search_of_leads_hold_after_any_writes(templates, order, written, look_within):
    play(templates, order, written, look_within)
