"""Generate random writes of sessions and events in random time zones. Apply them to a database and to lists of rows."""

from datetime import datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from analytics_api.database import SQLite
from analytics_api.maintenance.erase import erase
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import compute_offsets
from analytics_api.values.calendar import Offset
from helpers import postgres, sqlite
from helpers.plain_statistics import date_of

DAY_MS = 86_400_000

# Time zones, each with the time of a difficult offset change.
ZONES = {
    "UTC": "2026-02-24T12:00+00:00",
    "Asia/Kolkata": "2026-02-24T12:00+00:00",
    "Europe/Berlin": "2025-10-26T01:00+00:00",
    "Australia/Lord_Howe": "2026-04-04T15:00+00:00",
    "America/Sao_Paulo": "2018-11-04T03:00+00:00",
    "America/St_Johns": "2010-11-07T02:31+00:00",
    "Antarctica/Casey": "2010-03-04T15:00+00:00",
    "Pacific/Apia": "2011-12-30T10:00+00:00",
    "Pacific/Kwajalein": "1993-08-21T12:00+00:00",
}

LAST_OFFSET = 2_208_988_800_000  # 2040-01-01, after all rows


@cache
def offsets_of(zone):
    """Return the offsets of a zone that rows can have. All offsets until 9999 would be 16,000 rows in each example."""
    return [offset for offset in compute_offsets(zone) if offset.begins_at < LAST_OFFSET]


# The times in ZONES, in milliseconds since the epoch.
MIDDLE = {zone: round(datetime.fromisoformat(text).timestamp() * 1000) for zone, text in ZONES.items()}

# Milliseconds from MIDDLE to the timestamp of a row. Most timestamps are at most three days before or after the offset
# change. The first strategy has few values, so that some timestamps are equal.
MOMENTS = st.one_of(
    st.sampled_from([0, 1, -1, 3_600_000, -3_600_000, DAY_MS, -DAY_MS]),
    st.integers(-3 * DAY_MS, 3 * DAY_MS),
    st.integers(-40 * DAY_MS, 40 * DAY_MS),
)
PAGES = st.sampled_from([None, "", "/a", "/a?b", "/a#c", "/b", "?", "/b?x#y"])

SESSION = st.fixed_dictionaries(
    {
        "session_id": st.sampled_from([f"s{number}" for number in range(8)]),
        "visitor_id": st.sampled_from(["ann", "bob", "eve", ""]),
        "fingerprint": st.sampled_from([None, "f1", "f2", ""]),
        "moment": MOMENTS,
        "ended_at": st.sampled_from([None, 1_700_000_000_000]),
        "duration": st.sampled_from([None, 0, 1_499, 60_000]),
        "engagement_score": st.sampled_from([None, -5, 0, 19, 20, 80, 120]),
        "country": st.sampled_from([None, "", "DE", "IN"]),
        "referrer_domain": st.sampled_from([None, "", "a.example", "b.example", "ann@a.example"]),
        "entry_page": PAGES,
        "exit_page": PAGES,
        "vpn_suspected": st.sampled_from([0, 1]),
    }
)
EVENT = st.fixed_dictionaries(
    {
        "event_id": st.integers(1, 12),
        "session_id": st.sampled_from([f"s{number}" for number in range(8)]),
        "event_type": st.sampled_from(["page_view", "page_view", "click"]),
        "page_url": PAGES,
        "moment": MOMENTS,
    }
)
WRITE = st.one_of(
    st.tuples(st.just("sessions"), st.sampled_from(["update", "ignore", "delete"]), SESSION),
    st.tuples(st.just("events"), st.sampled_from(["update", "ignore", "delete"]), EVENT),
    st.tuples(st.just("purge"), st.sampled_from(["archive", "delete"]), st.integers(-45, 45)),
)
ERASURE = st.tuples(st.just("erase"), st.just("visitor"), st.sampled_from(["ann", "bob"]))
KEYS = {"sessions": "session_id", "events": "event_id"}
TIMES = {"sessions": "started_at", "events": "occurred_at"}


def statement(table, action, columns):
    key = KEYS[table]
    if action == "delete":
        return f"delete from {table} where {key} = :{key}"
    insert = f"insert into {table} ({', '.join(columns)}) values ({', '.join(f':{name}' for name in columns)})"
    if action == "ignore":
        return f"{insert} on conflict do nothing"
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name != key)
    return f"{insert} on conflict ({key}) do update set {changes}"


def write(database, writes, zone):
    """Apply the writes to the database and to dictionaries. Return the expected rows and `raw_since`.

    The expected rows include purged rows whose counts were archived. These have `is_archived`. `raw_since` is the
    latest day that was passed to a purge that archives, or None.
    """
    rows = {"sessions": {}, "events": {}}
    archived = {"sessions": [], "events": []}
    raw_since = None
    for table, action, values in writes:
        if table == "erase":
            erase(database, visitor=values)
            continue
        if table == "purge":
            before = date_of(MIDDLE[zone], ZoneInfo(zone)) + timedelta(days=values)
            purge(database, before, keep_totals=action == "archive")
            old = remove_old(rows, before, zone)
            if action == "archive":
                raw_since = max(raw_since or before, before)
                for name in archived:
                    archived[name] += [{**row, "is_archived": True} for row in old[name]]
            continue
        row = {name: value for name, value in values.items() if name != "moment"}
        row[TIMES[table]] = MIDDLE[zone] + values["moment"]
        write_one(database, table, action, row)
        key = row[KEYS[table]]
        if action == "delete":
            rows[table].pop(key, None)
        elif action != "ignore" or key not in rows[table]:
            rows[table][key] = row
    return {table: [*archived[table], *rows[table].values()] for table in rows}, raw_since


def remove_old(rows, before, zone):
    """Remove the rows before a day from the dictionaries, and return them."""
    old = {}
    for table, column in TIMES.items():
        keys = [key for key, row in rows[table].items() if date_of(row[column], ZoneInfo(zone)) < before]
        old[table] = [rows[table].pop(key) for key in keys]
    return old


def write_one(database, table, action, row):
    parameters = {KEYS[table]: row[KEYS[table]]} if action == "delete" else row
    database.write(lambda at: at.execute(statement(table, action, list(row)), **parameters))


def empty(database, zone, page_query):
    """Delete all rows, and set the site's time zone and page_query."""
    offsets = offsets_of(zone)
    delete_all = sqlite.delete_all if isinstance(database, SQLite) else postgres.delete_all

    def work(at):
        delete_all(at)
        at.execute(
            "update site set time_zone = :zone, page_query = :page_query, raw_since = null",
            zone=zone,
            page_query=page_query,
        )
        at.execute("delete from site_offsets")
        at.insert("site_offsets", Offset._fields, offsets)

    database.write(work)


def labels(zone):
    """Return a function for each interval. It takes a session, and returns the sort key and the label of its row."""

    def week(session):
        monday = session["date"] - timedelta(days=session["date"].weekday())
        return monday, monday.isoformat()

    def month(session):
        first = session["date"].replace(day=1)
        return first, first.isoformat()

    def hour(session):
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=session["started_at"])
        local = moment.astimezone(zone)
        begin = moment - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        while begin.astimezone(zone).utcoffset() != local.utcoffset():  # the offset changed within the hour
            begin += timedelta(minutes=1)
        return begin, begin.astimezone(zone).isoformat(timespec="minutes")

    return {
        "day": lambda session: (session["date"], session["date"].isoformat()),
        "week": week,
        "month": month,
        "hour": hour,
    }
