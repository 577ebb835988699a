"""The sessions that leads are attributed to, after random statements, against a plain calculation."""

import os
from datetime import date, datetime, timezone
from types import SimpleNamespace

import pytest
from helpers.client import instant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.maintenance.erase import erase
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings

EXAMPLES = int(os.environ.get("ATTRIBUTION_EXAMPLES", "40"))
START = instant("2026-02-20 00:00:00")
HOUR = 3_600_000
KEYS = {"sessions": "session_id", "leads": "lead_id"}

hours = st.integers(0, 71)
session_ids = st.sampled_from(["s1", "s2", "s3", "s4", "s5"])
visitors = st.sampled_from(["ann", "bob", ""])
sessions = st.fixed_dictionaries(
    {
        "session_id": session_ids,
        "visitor_id": visitors,
        "started_at": hours.map(lambda hour: START + hour * HOUR),
        "country": st.sampled_from([None, "IN", "DE"]),
        "referrer_domain": st.sampled_from([None, "", "me@t.co", "x.y"]),
        "entry_page": st.sampled_from([None, "", "/a", "/b?utm_campaign=c#d", "/b?e&utm_campaign=f"]),
    }
)
leads = st.fixed_dictionaries(
    {
        "lead_id": st.integers(1, 3),
        "enquiry_datetime": st.one_of(
            st.just(""), hours.map(lambda hour: datetime.fromtimestamp(START / 1000 + hour * 3600, timezone.utc))
        ).map(lambda moment: moment and moment.strftime("%Y-%m-%d %H:%M:%S")),
        "visitor_id": st.sampled_from([None, "", "ann", "bob"]),
        "session_id": st.sampled_from([None, "", "s1", "s2", "s3", "gone"]),
        "status": st.sampled_from(["new", "won", "lost"]),
    }
)
statements = st.lists(
    st.one_of(
        st.tuples(st.just("session"), sessions),
        st.tuples(st.just("session"), sessions),
        st.tuples(st.just("lead"), leads),
        st.tuples(st.just("replace"), st.one_of(sessions, leads)),
        st.tuples(st.just("delete session"), session_ids),
        st.tuples(st.just("delete lead"), st.integers(1, 3)),
        st.tuples(st.just("rename"), st.tuples(session_ids, session_ids)),
        st.tuples(st.just("purge"), st.integers(20, 22)),
        st.tuples(st.just("erase"), st.sampled_from(["ann", "bob"])),
        st.tuples(st.just("page_query"), st.sampled_from(["keep", "drop"])),
        st.tuples(st.just("rebuild"), st.none()),
    ),
    max_size=14,
)


def attribute(lead, live, before, page_query):
    """Return the first and the last session of a lead as tuples, each with whether it was purged.

    :param before: what this function returned before the last statement, if the lead existed.
    """

    def described(session):
        page = session["entry_page"] or ""
        campaign = {"/b?utm_campaign=c#d": "c", "/b?e&utm_campaign=f": "f"}.get(page, "(none)")
        return SimpleNamespace(
            key=(session["started_at"], session["session_id"]),
            visitor=session["visitor_id"],
            values=(
                session["session_id"],
                session["visitor_id"],
                session["started_at"],
                session["country"] or "XX",
                {"me@t.co": "t.co", "x.y": "x.y"}.get(session["referrer_domain"], "(direct)"),
                page.partition("?")[0] if page_query == "drop" else page,
                campaign,
            ),
            purged=False,
        )

    live = {name: described(session) for name, session in live.items()}
    first = before and before.first if before and before.first and before.first.purged else None
    last = before and before.last if before and before.last and before.last.purged else None
    named = live.get(lead["session_id"])
    is_named = last is not None and last.values[0] == lead["session_id"]
    visitor = lead["visitor_id"] or (named.visitor if named else None) or (before.visitor if is_named else None) or None
    text = lead["enquiry_datetime"]
    until = datetime.fromisoformat(text + "+00:00").timestamp() * 1000 + 1000 if text else 0

    def own(*candidates):
        return [one for one in candidates if one and visitor and one.visitor == visitor and one.key[0] < until]

    latest = named or (last if is_named else None)
    latest = latest or max(own(*live.values(), last), key=lambda one: one.key, default=None)
    earliest = min(own(*live.values(), first), key=lambda one: one.key, default=None) or latest
    return SimpleNamespace(visitor=visitor, first=earliest, last=latest)


class Model:
    """The rows that the statements leave, and the sessions of each lead."""

    def __init__(self):
        self.sessions, self.leads, self.attributed, self.page_query = {}, {}, {}, "keep"

    def purge(self, before):
        gone = {name for name, row in self.sessions.items() if row["started_at"] < before}
        for one in self.attributed.values():
            for end in ("first", "last"):
                session = getattr(one, end)
                if session and session.values[0] in gone:
                    setattr(one, end, SimpleNamespace(**{**vars(session), "purged": True}))
        self.sessions = {name: row for name, row in self.sessions.items() if name not in gone}

    def forget(self, visitor):
        """Remove the purged sessions of a visitor, and of leads whose visitor this is."""
        for one in self.attributed.values():
            ends = [end for end in (one.first, one.last) if end and end.purged]
            if ends and visitor in (one.visitor, *(end and end.visitor for end in (one.first, one.last))):
                for end in ends:
                    end.purged = False

    def settle(self):
        self.attributed = {
            key: attribute(lead, self.sessions, self.attributed.get(key), self.page_query)
            for key, lead in self.leads.items()
        }

    def rows(self):
        return [
            (
                key,
                self.leads[key]["status"],
                one.visitor,
                *(one.first.values if one.first else (None,) * 7),
                *(one.last.values if one.last else (None,) * 7),
                bool(one.first and one.first.purged) + 2 * bool(one.last and one.last.purged),
            )
            for key, one in sorted(self.attributed.items())
        ]


ROWS = """
select lead_id, status, visitor_id, first_session_id, first_visitor_id, first_started_at, first_country, first_source,
  first_entry_page, first_campaign, last_session_id, last_visitor_id, last_started_at, last_country, last_source,
  last_entry_page, last_campaign, archived
from lead_attributions
order by lead_id
"""


def upsert(database, table, row):
    key = KEYS[table]
    sets = ", ".join(f"{name} = excluded.{name}" for name in row if name != key)
    sql = (
        f"insert into {table} ({', '.join(row)}) values ({', '.join(':' + name for name in row)}) "
        f"on conflict ({key}) do update set {sets}"
    )
    database.write(lambda at: at.execute(sql, **row))


def run(database, model, kind, value):
    """Run a statement on the database and on the model."""
    table = "sessions" if kind == "session" or (kind == "replace" and "started_at" in value) else "leads"
    if kind in ("session", "lead", "replace"):
        if kind == "replace" and "sqlite" in database.url:
            sql = f"insert or replace into {table} ({', '.join(value)}) values ({', '.join(':' + n for n in value)})"
            database.write(lambda at: at.execute(sql, **value))
        else:
            upsert(database, table, value)
        getattr(model, table)[value[KEYS[table]]] = value
    elif kind.startswith("delete"):
        table, key = ("sessions", "session_id") if kind == "delete session" else ("leads", "lead_id")
        database.write(lambda at: at.execute(f"delete from {table} where {key} = :key", key=value))
        getattr(model, table).pop(value, None)
        if table == "leads":
            model.attributed.pop(value, None)
    elif kind == "rename" and value[0] in model.sessions and value[1] not in model.sessions:
        database.write(
            lambda at: at.execute(
                "update sessions set session_id = :new where session_id = :old", old=value[0], new=value[1]
            )
        )
        model.sessions[value[1]] = {**model.sessions.pop(value[0]), "session_id": value[1]}
    elif kind == "purge":
        purge(database, date(2026, 2, value), keep_totals=True)
        model.purge(START + (value - 20) * 24 * HOUR)
    elif kind == "page_query":
        change_settings(database, page_query=value)
        model.page_query = value
    elif kind == "rebuild":
        database.rebuild()
    elif kind == "erase":
        erase(database, visitor=value)
        left = {row["lead_id"]: dict(row) for row in database.rows("select * from leads")}
        model.leads = {key: {name: left[key][name] for name in model.leads[key]} for key in left}
        model.attributed = {key: one for key, one in model.attributed.items() if key in left}
        remaining = {row["session_id"] for row in database.rows("select session_id from sessions")}
        assert all(row["visitor_id"] != value for name, row in model.sessions.items() if name in remaining)
        erased = {row["visitor_id"] for name, row in model.sessions.items() if name not in remaining}
        model.sessions = {name: row for name, row in model.sessions.items() if name in remaining}
        for visitor in {value, *erased}:
            model.forget(visitor)
    model.settle()


@pytest.mark.slow
def test_attributions_equal_a_plain_calculation(database):
    @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
    @given(statements)
    def check(drawn):
        for table in ("leads", "sessions"):
            database.write(lambda at, table=table: at.execute(f"delete from {table}"))
        for table in ("archived_session_counts", "visitor_days"):
            database.write(lambda at, table=table: at.execute(f"delete from {table}"))
        change_settings(database, page_query="keep")
        database.write(lambda at: at.execute("update site set raw_since = null"))
        model = Model()
        for kind, value in drawn:
            run(database, model, kind, value)
            assert database.tuples(ROWS) == model.rows(), (kind, value)
        assert [one for one in database.verify() if one.counter == "lead_attributions"] == []

    check()
