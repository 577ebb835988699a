"""Apply statements to sessions, leads and their moves in a database and in Python, and attribute the leads."""

from datetime import datetime, timedelta
from types import SimpleNamespace

from analytics_api.maintenance.erase import erase
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings
from helpers.plain_statistics import KEYS_OF, date_of

KEYS = {"sessions": "session_id", "leads": "lead_id", "events": "event_id"}

LAST_MOVE = """
update lead_status_changes
set changed_at = :changed_at
where change_id = (
  select max(change_id)
  from lead_status_changes)
"""


def enquired_at(lead):
    """Return the instant of the enquiry in milliseconds, or None if the lead has no date."""
    text = lead["enquiry_datetime"]
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1)) // timedelta(milliseconds=1) if text else None


def attribute(lead, live, before, page_query):
    """Return the visitor of a lead, and its first and last session. `purged` is true in a session that was purged.

    :param live: the sessions in the database, by id.
    :param before: the result of this function before the most recent statement, or None if the lead did not exist.
    """

    def described(session):
        return SimpleNamespace(
            key=(session["started_at"], session["session_id"]),
            visitor=session["visitor_id"],
            values=(
                session["session_id"],
                session["visitor_id"],
                session["started_at"],
                *(KEYS_OF[name](session, page_query) for name in ("country", "source", "entry_page", "campaign")),
            ),
            purged=False,
        )

    live = {name: described(session) for name, session in live.items()}
    first = before and before.first if before and before.first and before.first.purged else None
    last = before and before.last if before and before.last and before.last.purged else None
    named = live.get(lead["session_id"])
    is_named = named is None and last is not None and last.values[0] == lead["session_id"]
    visitor = lead["visitor_id"] or (named.visitor if named else None) or (before.visitor if is_named else None) or None
    moment = enquired_at(lead)

    def own(*candidates):
        return [
            one
            for one in candidates
            if one and visitor and one.visitor == visitor and moment is not None and one.key[0] < moment + 1000
        ]

    latest = named or (last if is_named else None)
    latest = latest or max(own(*live.values(), last), key=lambda one: one.key, default=None)
    earliest = min(own(*live.values(), first), key=lambda one: one.key, default=None) or latest
    return SimpleNamespace(visitor=visitor, first=earliest, last=latest)


class Model:
    """The rows after the statements, and the first and last session of each lead.

    :param clock: the time zone of the days in purges.
    """

    def __init__(self, clock, page_query="keep"):
        self.sessions, self.leads, self.events, self.attributed, self.moves = {}, {}, {}, {}, []
        self.clock, self.page_query, self.archived, self.raw_since = clock, page_query, [], None

    def run(self, database, kind, value):
        """Run a statement on the database and on these rows."""
        getattr(self, f"_{kind}")(database, value)
        self._settle()

    def _session(self, database, row):
        upsert(database, "sessions", row)
        self.sessions[row["session_id"]] = row

    def _event(self, database, row):
        upsert(database, "events", row)
        self.events[row["event_id"]] = row

    def _lead(self, database, row):
        """Write a lead. If this changes its status, `moved_at` is the time of the move."""
        self._write_lead(database, row, upsert)

    def _replace(self, database, row):
        write = replace if "sqlite" in database.url else upsert
        if "lead_id" in row:
            self._write_lead(database, row, write)
        else:
            write(database, "sessions", row)
            self.sessions[row["session_id"]] = row

    def _write_lead(self, database, row, write):
        row = dict(row)
        moved_at = row.pop("moved_at", None)
        write(database, "leads", row)
        before = self.leads.get(row["lead_id"])
        self.leads[row["lead_id"]] = row
        if before and before["status"] != row["status"]:
            if moved_at is not None:
                database.write(lambda at: at.execute(LAST_MOVE, changed_at=moved_at))
            self.moves.append((row["lead_id"], before["status"], row["status"], moved_at))

    def _move(self, database, row):
        """Insert a row of the history, as an import does."""
        columns = ("lead_id", "old_status", "new_status", "changed_at")
        database.write(lambda at: at.insert("lead_status_changes", (*columns, "changed_by"), [(*row, "import")]))
        self.moves.append(row)

    def _delete_session(self, database, key):
        database.write(lambda at: at.execute("delete from sessions where session_id = :key", key=key))
        self.sessions.pop(key, None)

    def _delete_lead(self, database, key):
        database.write(lambda at: at.execute("delete from leads where lead_id = :key", key=key))
        self.leads.pop(key, None)
        self.attributed.pop(key, None)

    def _rename(self, database, value):
        old, new = value
        if old in self.sessions and new not in self.sessions:
            sql = "update sessions set session_id = :new where session_id = :old"
            database.write(lambda at: at.execute(sql, old=old, new=new))
            self.sessions[new] = {**self.sessions.pop(old), "session_id": new}

    def _page_query(self, database, value):
        change_settings(database, page_query=value)
        self.page_query = value

    def _rebuild(self, database, _):
        database.rebuild()

    def _purge(self, database, day):
        purge(database, day, keep_totals=True)
        gone = self._remove_old(day)
        self.archived += gone.values()
        self.raw_since = max(self.raw_since or day, day)
        for one in self.attributed.values():
            for end in ("first", "last"):
                session = getattr(one, end)
                if session and session.values[0] in gone:
                    setattr(one, end, SimpleNamespace(**{**vars(session), "purged": True}))

    def _purge_all(self, database, day):
        purge(database, day)
        self._remove_old(day)

    def _remove_old(self, day):
        """Remove the rows before a day from the model. Return the removed sessions by id."""
        for key, row in list(self.events.items()):
            if date_of(row["occurred_at"], self.clock) < day:
                del self.events[key]
        old = [key for key, row in self.sessions.items() if date_of(row["started_at"], self.clock) < day]
        return {key: self.sessions.pop(key) for key in old}

    def _erase(self, database, visitor):
        """Erase a person, and remove the rows that the database removed. test_erase.py checks which rows those are."""
        erase(database, visitor=visitor)
        left = {row["lead_id"]: dict(row) for row in database.rows("select * from leads")}
        gone = self.leads.keys() - left.keys()
        self.moves = [move for move in self.moves if move[0] not in gone]
        self.leads = {key: {name: left[key][name] for name in self.leads[key]} for key in left}
        self.attributed = {key: one for key, one in self.attributed.items() if key in left}
        remaining = {row["session_id"] for row in database.rows("select session_id from sessions")}
        erased = {visitor, *(row["visitor_id"] for key, row in self.sessions.items() if key not in remaining)}
        self.sessions = {key: row for key, row in self.sessions.items() if key in remaining}
        assert all(row["visitor_id"] != visitor for row in self.sessions.values())
        events = {row["event_id"] for row in database.rows("select event_id from events")}
        self.events = {key: row for key, row in self.events.items() if key in events}
        for each in erased:
            self._forget(each)

    def _forget(self, visitor):
        """Remove the purged sessions of a visitor and of the visitor's leads.

        `attribute` uses a session that is not in the database only if its `purged` is true.
        """
        for one in self.attributed.values():
            ends = [end for end in (one.first, one.last) if end and end.purged]
            if ends and visitor in (one.visitor, *(end and end.visitor for end in (one.first, one.last))):
                for end in ends:
                    end.purged = False

    def _settle(self):
        self.attributed = {
            key: attribute(lead, self.sessions, self.attributed.get(key), self.page_query)
            for key, lead in self.leads.items()
        }


def upsert(database, table, row):
    key = KEYS[table]
    sets = ", ".join(f"{name} = excluded.{name}" for name in row if name != key)
    sql = f"{insert_into('insert', table, row)} on conflict ({key}) do update set {sets}"
    database.write(lambda at: at.execute(sql, **row))


def replace(database, table, row):
    database.write(lambda at: at.execute(insert_into("insert or replace", table, row), **row))


def insert_into(verb, table, row):
    return f"{verb} into {table} ({', '.join(row)}) values ({', '.join(f':{name}' for name in row)})"
