"""The counters on PostgreSQL are correct after random SQL statements of any program."""

import os
from contextlib import contextmanager, suppress

import psycopg
from helpers.expected_counters import KEYS, MOVED, UTC, VALUES, expected_counters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.database.base import COUNT_COLUMNS
from analytics_api.maintenance.purge import SESSION_KEYS

EXAMPLES = int(os.environ.get("POSTGRESQL_EXAMPLES", "12"))

INTEGERS = {
    "started_at", "ended_at", "duration", "engagement_score", "event_count", "vpn_suspected", "event_id", "occurred_at",
    "lead_id", "submission_id", "is_primary_lead", "follow_ups_count",
}  # fmt: skip

SEARCHED = ("contact_name", "contact_email", "contact_phone", "project_name", "visitor_id")
EXPRESSIONS = {
    "sessions": ("session_id = session_id || 'x'", "started_at = started_at + 1"),
    "events": ("event_id = event_id + 1", "event_id = -event_id", "session_id = page_url", "page_url = session_id"),
    "leads": ("lead_id = lead_id + 1", "lead_id = -lead_id", "contact_name = contact_email"),
    "lead_submissions": ("submission_id = submission_id + 1", "lead_id = -lead_id", "lead_id = submission_id"),
}
# Derived columns, which a writer may also try to write.
DERIVED_VALUES = {
    "leads": {"follow_ups_count": (0, 7), "last_follow_up_at": (None, "2030"), "search_text": ("", "an\x1f")}
}

# The statements with which `purge --keep-totals` archives sessions and events.
ARCHIVE_SESSIONS = """
select set_config('analytics.paused', 'on', true);
update archived_session_counts as archive set
  sessions = archive.sessions + old.sessions,
  duration_sum = archive.duration_sum + old.duration_sum,
  duration_count = archive.duration_count + old.duration_count,
  score_sum = archive.score_sum + old.score_sum,
  score_count = archive.score_count + old.score_count,
  vpn_suspected = archive.vpn_suspected + old.vpn_suspected
from OLD as old
where (archive.dimension, archive.day, archive.key) = (old.dimension, old.day, old.key);
insert into archived_session_counts
select * from OLD as old
on conflict do nothing;
update visitor_days set archived = archived + old.sessions
from (
  select visitor_id, day, country_code, count(*) as sessions
  from counted_sessions
  where WHERE
  group by visitor_id, day, country_code) as old
where (visitor_days.visitor_id, visitor_days.day, visitor_days.country_code)
  = (old.visitor_id, old.day, old.country_code);
update fingerprint_days set archived = archived + old.sessions
from (
  select fingerprint, day, count(*) as sessions
  from counted_sessions
  where WHERE
  group by fingerprint, day) as old
where (fingerprint_days.fingerprint, fingerprint_days.day) = (old.fingerprint, old.day);
delete from sessions
where WHERE;
select set_config('analytics.paused', '', true);
""".replace(
    "OLD",
    f"""(
  select dimension, day, key, count(*) as sessions, coalesce(sum(duration), 0) as duration_sum,
    count(duration) as duration_count, coalesce(sum(engagement_score), 0) as score_sum,
    count(engagement_score) as score_count, count(nullif(vpn_suspected, 0)) as vpn_suspected
  from ({SESSION_KEYS}) as session_keys
  where WHERE
  group by dimension, day, key)""",
)
ARCHIVE_EVENTS = """
select set_config('analytics.paused', 'on', true);
insert into archived_event_counts as archive (day, events)
select day, count(*)
from counted_events
where WHERE
group by day
on conflict (day) do update set events = archive.events + excluded.events;
update session_pages set archived = archived + old.views
from (
  select session_id, page_id, day, count(*) as views
  from counted_events
  join pages using (page)
  where WHERE
  group by session_id, page_id, day) as old
where (session_pages.session_id, session_pages.page_id, session_pages.day) = (old.session_id, old.page_id, old.day);
delete from events
where WHERE;
select set_config('analytics.paused', '', true);
"""
ARCHIVES = {"sessions": ARCHIVE_SESSIONS, "events": ARCHIVE_EVENTS}

# The statements with which `erase` changes the archive.
ERASES = {
    "sessions": """
update visitor_days set sessions = sessions - archived, archived = 0
where visitor_id = 'w' and archived > 0;
update fingerprint_days set sessions = sessions - archived, archived = 0
where fingerprint = 'f' and archived > 0;
""",
    "events": """
update session_pages set views = views - archived, archived = 0
where session_id = 'a' and archived > 0;
""",
}

COUNTER_QUERIES = {
    "key_counts": "select dimension, day, case when dimension in (4, 5) then page else key end as key, "
    "sum(c.sessions)::bigint, sum(visitors)::bigint "
    "from key_counts as c left join pages on dimension in (4, 5) and page_id::text = key "
    "group by 1, 2, 3 having sum(c.sessions) <> 0 or sum(visitors) <> 0",
    "pages": "select page, views, sessions from all_time_pages",
    "page_counts": "select day, page, sum(c.views), sum(c.sessions) from page_counts as c join pages using (page_id) "
    "group by day, page",
    "page_returns": "select day, page, previous_day, sum(r.sessions) from page_returns as r join pages using (page_id) "
    "group by day, page, previous_day",
    "leads": "select lead_id, enquiry_datetime, follow_ups_count, last_follow_up_at, search_text, name_folded "
    "from leads",
    "lead_submissions": "select submission_id, submitted_at from lead_submissions",
}


def read(connection, counter):
    """Add up the shards of each key of a counter, and return the rows in which a count is not 0."""
    if counter in COUNTER_QUERIES:
        rows = connection.execute(COUNTER_QUERIES[counter]).fetchall()
        return {tuple(row) for row in rows if counter in ("key_counts", "leads", "lead_submissions") or row[-1]}
    described = connection.execute(f"select * from {counter} limit 0").description
    names = [column.name for column in described if column.name != "shard"]
    keys = ", ".join(name for name in names if name not in COUNT_COLUMNS)
    counts = [name for name in names if name in COUNT_COLUMNS]
    sums = ", ".join(f"sum({name})::bigint" for name in counts)
    rows = connection.execute(f"select {keys}, {sums} from {counter} group by {keys}").fetchall()
    return {tuple(row) for row in rows if any(row[len(names) - len(counts) :])}


def literal(column, value):
    """Return the value as an SQL literal, or `default` for a generated key."""
    if value is None:
        return "default" if column in KEYS.values() else "null"
    if column in INTEGERS:
        return str(int(value))
    return "'" + str(value).replace("'", "''") + "'"


def value_of(draw, table, column, values=None):
    return literal(column, draw(st.sampled_from(values or VALUES[table][column])))


@st.composite
def inserts(draw, table):
    columns = list(VALUES[table])
    rows = draw(st.lists(st.just(None), min_size=1, max_size=5))
    values = ", ".join(f"({', '.join(value_of(draw, table, column) for column in columns)})" for _ in rows)
    sql = f"insert into {table} ({', '.join(columns)}) values {values}"
    conflict = draw(st.sampled_from(("", "nothing", "update", "rename")))
    if conflict == "nothing":
        return f"{sql} on conflict do nothing"
    if conflict == "rename":
        named = draw(st.sampled_from(EXPRESSIONS[table])).replace(" = ", f" = {table}.", 1)
        return f"{sql} on conflict ({KEYS[table]}) do update set {named}" if "-" not in named else sql
    if conflict == "update":
        changed = draw(st.lists(st.sampled_from(columns[1:]), min_size=1, max_size=4, unique=True))
        setting = ", ".join(f"{column} = excluded.{column}" for column in changed)
        return f"{sql} on conflict ({KEYS[table]}) do update set {setting}"
    return sql


@st.composite
def copies(draw, table):
    key, *others = VALUES[table]
    moved = "session_id || 'x'" if table == "sessions" else f"{key} + {draw(st.integers(1, 3))}"
    columns = ", ".join(others)
    return f"insert into {table} ({key}, {columns}) select {moved}, {columns} from {table} on conflict do nothing"


@st.composite
def wheres(draw, table):
    if draw(st.integers(0, 3)) == 0:
        return ""
    column = draw(st.sampled_from(list(VALUES[table])))
    value = value_of(draw, table, column)
    value = "null" if value == "default" else value
    return f" where {column} is {draw(st.sampled_from(('', 'not ')))}distinct from {value}"


@st.composite
def updates(draw, table):
    where = draw(wheres(table))
    if draw(st.integers(0, 3)) == 0:
        return f"update {table} set {draw(st.sampled_from(EXPRESSIONS[table]))}{where}"
    settable = {**VALUES[table], **DERIVED_VALUES.get(table, {})}
    columns = draw(st.lists(st.sampled_from(list(settable)[1:]), min_size=1, max_size=4, unique=True))
    setting = ", ".join(f"{column} = {value_of(draw, table, column, settable[column])}" for column in columns)
    return f"update {table} set {setting}{where}"


@st.composite
def deletes(draw, table):
    return f"delete from {table}{draw(wheres(table))}"


@st.composite
def archives(draw, table):
    key = KEYS[table]
    chosen = f"{key} in (select {key} from {table}{draw(wheres(table))})"
    return ARCHIVES[table].replace("WHERE", chosen)


def writes(*tables):
    archived = [table for table in tables if table in ARCHIVES]
    return st.one_of(
        *(kind(table) for table in tables for kind in (inserts, inserts, copies, updates, updates, deletes)),
        *(archives(table) for table in archived),
        *(st.just(ERASES[table]) for table in archived),
        st.sampled_from(tables).map(lambda table: f"truncate {table}"),
        st.sampled_from(("savepoint", "rollback to")),
    )


@contextmanager
def connected(database, **options):
    connection = psycopg.connect(database.url, **options)
    with connection:
        yield connection
        connection.rollback()


def base(connection):
    return {
        table: [
            dict(zip(columns, row))
            for row in connection.execute(f"select {', '.join(columns)} from {table} order by 1").fetchall()
        ]
        for table, columns in VALUES.items()
    }


def check(connection, site, archived):
    """Compare every counter with a count in Python. After an erasure, `archived` is None, and nothing is compared."""
    if archived is not None:
        for counter, rows in expected_counters(base(connection), archived, site, SEARCHED).items():
            assert read(connection, counter) == rows, counter


def check_views(connection):
    for (view,) in connection.execute("select relname from pg_class where relname ~ '^expected_'").fetchall():
        check_view(connection, view.removeprefix("expected_"), view)


def check_view(connection, counter, view):
    columns = [column.name for column in connection.execute(f"select * from {view} limit 0").description]
    keys = ", ".join(column for column in columns if column not in COUNT_COLUMNS)
    counts = [column for column in columns if column in COUNT_COLUMNS]
    source = "all_time_pages" if counter == "pages" else counter
    if counts:
        sums = ", ".join(f"sum({column})::bigint as {column}" for column in counts)
        source = f"(select {keys}, {sums} from {source} group by {keys}) as summed"
    where = " or ".join(f"{column} <> 0" for column in counts) or "true"  # `verify` ignores rows of zeros, too
    stored = connection.execute(f"select {', '.join(columns)} from {source} where {where}").fetchall()
    expected = connection.execute(f"select {', '.join(columns)} from {view} where {where}").fetchall()
    assert sorted(map(repr, stored)) == sorted(map(repr, expected)), counter


def play(database, statements, site):
    """Run each statement in a savepoint and check the counters after it, then roll back the transaction."""
    archived = {"sessions": [], "events": []}
    states = []
    with connected(database) as connection:
        move(connection, site)
        for sql in statements:
            if sql == "savepoint":
                states.append(archived and {table: list(rows) for table, rows in archived.items()})
                connection.execute(f"savepoint s{len(states)}")
            elif sql == "rollback to":
                if states:
                    connection.execute(f"rollback to s{len(states)}")
                    archived = states[-1] and {table: list(rows) for table, rows in states[-1].items()}
            elif sql in ERASES.values():
                connection.execute(sql)
                archived = None  # after an erasure, the expected archive is unknown
            else:
                before = base(connection)
                refused = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.CardinalityViolation)
                with suppress(*refused), connection.transaction():
                    connection.execute(sql)
                for table in ARCHIVES if archived and "analytics.paused" in sql else ():
                    left = base(connection)[table]
                    archived[table] += [row for row in before[table] if row not in left]
            check(connection, site, archived)
            if archived is None:
                check_views(connection)
        check_views(connection)


def move(connection, site):
    connection.execute("update site set page_query = %s", [site.page_query])
    connection.execute("delete from site_offsets")
    for begins_at, offset in site.offsets:
        connection.execute("insert into site_offsets values (%s, %s, %s)", [begins_at, offset, offset])


ANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@ANY
@given(
    statements=st.lists(writes("sessions", "events"), min_size=1, max_size=10),
    site=st.sampled_from((UTC, MOVED)),
)
def test_counters_of_visits_are_exact_after_any_writes(database, statements, site):
    play(database, statements, site)


@ANY
@given(statements=st.lists(writes("leads", "lead_submissions"), min_size=1, max_size=10))
def test_counters_of_leads_are_exact_after_any_writes(database, statements):
    play(database, statements, UTC)
