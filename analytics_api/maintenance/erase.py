"""Erase a person: delete all rows of the person, and remove the data of these rows from the database files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..database import IN_LIST, Database, Reader, Transaction, ignore_progress, in_list_batches
from ..errors import DatabaseError, ErasureError

SLICE = 1_000_000  # maximum number of events that a statement reads

SELECT_CONTACTS = """
select lead_id, contact_email, visitor_id, session_id
from leads
union all
select lead_id, contact_email, visitor_id, session_id
from lead_submissions
"""

SELECT_VISITORS = f"""
select distinct visitor_id
from sessions
where session_id in ({IN_LIST})
"""

SELECT_SESSIONS = f"""
select session_id
from sessions
where visitor_id in ({IN_LIST})
"""

SELECT_FINGERPRINTS = f"""
select distinct fingerprint
from sessions
where session_id in ({IN_LIST}) and fingerprint <> ''
"""

# The table `events` has no index of session ids. Therefore all events are read, in slices, so that each statement takes
# little time. This statement returns the last event_id of the next slice.
SELECT_SLICE_END = """
select max(event_id) as last
from (
  select event_id
  from events
  where event_id > :after
  order by event_id
  limit :rows) as slice
"""

DELETE_EVENTS = f"""
delete from events
where event_id > :after and event_id <= :last and session_id in ({IN_LIST})
"""

# On PostgreSQL, a trigger counts the submissions of a lead. A transaction that inserts a submission locks this counter,
# then the lead. Therefore submissions are deleted before their lead: the reverse order could cause a deadlock.
DELETE_LEADS = {
    "lead_submissions": f"""
delete from lead_submissions
where lead_id in ({IN_LIST})
""",
    "lead_status_changes": f"""
delete from lead_status_changes
where lead_id in ({IN_LIST})
""",
    "leads": f"""
delete from leads
where lead_id in ({IN_LIST})
""",
}

HAS_LEADS = f"""
select 1
where exists (
  select 1
  from leads
  where lead_id in ({IN_LIST}))
or exists (
  select 1
  from lead_submissions
  where lead_id in ({IN_LIST}))
or exists (
  select 1
  from lead_status_changes
  where lead_id in ({IN_LIST}))
"""

HAS_VISITORS = f"""
select 1
where exists (
  select 1
  from visitor_days
  where visitor_id in ({IN_LIST}))
"""

DELETE_SESSIONS = f"""
delete from sessions
where session_id in ({IN_LIST})
"""

# Remove a person from the archive of purged rows. Triggers update the counters.
CLEAR_ARCHIVE = {
    "visitor_days": f"""
update visitor_days set
  sessions = sessions - archived,
  archived = 0
where visitor_id in ({IN_LIST}) and archived <> 0
""",
    "fingerprint_days": f"""
update fingerprint_days set
  sessions = sessions - archived,
  archived = 0
where fingerprint in ({IN_LIST}) and archived <> 0
""",
    "session_pages": f"""
update session_pages set
  views = views - archived,
  archived = 0
where session_id in ({IN_LIST}) and archived <> 0
""",
}

# Remove purged sessions of the person from the attributions of other people's leads. Triggers attribute these leads
# again.
CLEAR_ATTRIBUTIONS = f"""
update lead_attributions set archived = 0
where archived <> 0
  and (visitor_id in ({IN_LIST}) or first_visitor_id in ({IN_LIST}) or last_visitor_id in ({IN_LIST}))
"""

DELETE_EMPTY = {
    "visitor_days": f"""
delete from visitor_days
where visitor_id in ({IN_LIST}) and sessions = 0
""",
    "fingerprint_days": f"""
delete from fingerprint_days
where fingerprint in ({IN_LIST}) and sessions = 0
""",
    "session_pages": f"""
delete from session_pages
where session_id in ({IN_LIST}) and views = 0
""",
}

# Delete the collector's rows of the sessions. They are not counted in the result of `erase`. The next event of the
# visitor begins a new session.
DELETE_COLLECTED = (
    f"""
delete from collector_events
where session_id in ({IN_LIST})
""",
    f"""
delete from collector_sessions
where session_id in ({IN_LIST})
""",
)

# Delete all rows that limit the number of leads per hour. These rows do not say who sent a lead, so the rows of one
# person cannot be selected. Each row is needed only for an hour.
DELETE_SENDERS = """
delete from collector_leads
"""

# Remove references to the person's visitors and sessions from rows of other people.
CLEAR_VISITORS = (
    f"""
update leads
set visitor_id = null
where visitor_id in ({IN_LIST})
""",
    f"""
update lead_submissions
set visitor_id = null
where visitor_id in ({IN_LIST})
""",
)
CLEAR_SESSIONS = (
    f"""
update leads
set session_id = null
where session_id in ({IN_LIST})
""",
    f"""
update lead_submissions
set session_id = null
where session_id in ({IN_LIST})
""",
)


@dataclass
class Person:
    """The ids of the rows of one person."""

    leads: set[int] = field(default_factory=set)
    visitors: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)


def find(db: Database, *, visitor: str | None = None, email: str | None = None, lead: int | None = None) -> Person:
    """Find all rows of a person. Exactly one of the arguments must be set.

    The following belong to the same person:

    - the lead, or all leads of the visitor, or all leads with the e-mail address;
    - all leads with the same e-mail address as one of these leads (case and surrounding spaces are ignored);
    - the visitors and sessions in these leads and their submissions;
    - the visitors of these sessions;
    - all sessions of these visitors, and the fingerprints of these sessions.

    Except for the leads in the first item, a lead with another e-mail address belongs to another person, even if it has
    the same visitor.

    :raises ErasureError: not exactly one argument is set, or it is empty.
    """
    _require_one(visitor, email, lead)
    return db.read(lambda at: _find_person(at, visitor, email, lead))


def has_rows(db: Database, person: Person) -> bool:
    """Return whether the database has rows of the person. The ids that were passed to `find` may have no rows."""
    checks = [(HAS_LEADS, ids) for ids in in_list_batches(person.leads)]
    checks += [(HAS_VISITORS, ids) for ids in in_list_batches(person.visitors)]
    return bool(person.sessions) or any(db.rows(sql, **ids) for sql, ids in checks)


def erase(
    db: Database,
    *,
    visitor: str | None = None,
    email: str | None = None,
    lead: int | None = None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> dict[str, int]:
    """Delete all rows of the person that `find` returns, and return the number of rows by table.

    The rows are deleted in one transaction, which also updates the counters and the search index. References to the
    person's visitors and sessions in leads and submissions of other people are set to null. The number of these
    references is returned as `links`.

    The person's visitors, with their days and countries, are removed from the archive of purged rows. The fingerprints
    and pages of those sessions of the person that still exist are removed from it, too. The fingerprints of purged
    sessions are unknown, so they remain in the archive.

    After the commit, the data of deleted rows is removed from the database files. This happens even if no row was
    found, so that an interrupted erasure can be completed by running it again.

    The erasure does not include recordings in the object storage, logs, backups and other copies, or personal data
    that a tracker has written to rows of other people.

    :param on_progress: called with the name of each step.
    :raises ErasureError: not exactly one of `visitor`, `email` and `lead` is set, or it is empty.
    :raises DatabaseError: the rows were not deleted, or, as the message says, they remain in the files.
    """
    _require_one(visitor, email, lead)

    def work(at: Transaction) -> dict[str, int]:
        on_progress("the rows")
        return _delete(at, _find_person(at, visitor, email, lead))

    row_counts = db.write(work)
    on_progress("the files")
    try:
        db.scrub()
    except DatabaseError as error:
        raise DatabaseError(
            f"{error}; the rows are deleted, but the files still contain their bytes: "
            "remove the cause, and repeat the erasure"
        ) from error
    return row_counts


def _require_one(*keys: object) -> None:
    if sum(key is not None for key in keys) != 1 or "" in keys:
        raise ErasureError("pass exactly one of a visitor, an e-mail address and a lead")
    for key in keys:
        if isinstance(key, str):
            key.encode()  # raises UnicodeEncodeError for text that no row can have


def _find_person(at: Reader, visitor: str | None, email: str | None, lead: int | None) -> Person:
    person = Person()
    if visitor is not None:
        person.visitors.add(visitor)
    if lead is not None:
        person.leads.add(lead)
    addresses = {_fold_address(email)} - {""}
    known = None
    # A lead that is found may add an address, and an address may add leads. Repeat this until nothing new is found.
    while known != (len(person.leads), len(addresses)):
        known = len(person.leads), len(addresses)
        for lead_id, address, visitor_id, _ in _contacts(at):
            address = _fold_address(address)
            if lead_id in person.leads or address in addresses or (visitor is not None and visitor_id == visitor):
                person.leads.add(lead_id)
                if address:
                    addresses.add(address)
    for lead_id, _, visitor_id, session_id in _contacts(at):
        if lead_id in person.leads:
            person.visitors.add(visitor_id or "")
            person.sessions.add(session_id or "")
    person.sessions.discard("")
    for ids in in_list_batches(person.sessions):
        person.visitors.update(row["visitor_id"] for row in at.rows(SELECT_VISITORS, **ids))
    person.visitors.discard("")  # sessions with an empty visitor id may belong to other people
    for ids in in_list_batches(person.visitors):
        person.sessions.update(row["session_id"] for row in at.rows(SELECT_SESSIONS, **ids))
    for ids in in_list_batches(person.sessions):
        person.fingerprints.update(row["fingerprint"] for row in at.rows(SELECT_FINGERPRINTS, **ids))
    return person


def _contacts(at: Reader) -> Iterator[tuple[int, str | None, str | None, str | None]]:
    for rows in at.batches(SELECT_CONTACTS):
        yield from rows


def _fold_address(address: str | None) -> str:
    return (address or "").strip().casefold()


def _delete(at: Transaction, person: Person) -> dict[str, int]:
    def execute(sql: str, ids: Iterable[object]) -> int:
        return sum(at.execute(sql, **batch) for batch in in_list_batches(ids))

    row_counts = {"sessions": execute(DELETE_SESSIONS, person.sessions), "events": 0}
    after = -(2**63)
    while person.sessions and (last := at.rows(SELECT_SLICE_END, after=after, rows=SLICE)[0]["last"]) is not None:
        for batch in in_list_batches(person.sessions):
            row_counts["events"] += at.execute(DELETE_EVENTS, after=after, last=last, **batch)
        after = last
    for sql in DELETE_COLLECTED:
        execute(sql, person.sessions)
    at.execute(DELETE_SENDERS)
    for table, sql in DELETE_LEADS.items():
        row_counts[table] = execute(sql, person.leads)
    for table, ids in zip(CLEAR_ARCHIVE, (person.visitors, person.fingerprints, person.sessions), strict=True):
        row_counts[table] = execute(CLEAR_ARCHIVE[table], ids)
        execute(DELETE_EMPTY[table], ids)
    execute(CLEAR_ATTRIBUTIONS, person.visitors)
    row_counts["links"] = sum(execute(sql, person.visitors) for sql in CLEAR_VISITORS)
    row_counts["links"] += sum(execute(sql, person.sessions) for sql in CLEAR_SESSIONS)
    return row_counts
