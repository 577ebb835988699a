"""Erase a person: delete all of their rows, and overwrite what remains of these in the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..database import IN_LIST, Database, Reader, Transaction, ignore_progress, in_list_batches
from ..errors import ErasureError

SLICE = 1_000_000  # events gone over in one statement

CONTACTS = """
select lead_id, contact_email, visitor_id, session_id
from leads
union all
select lead_id, contact_email, visitor_id, session_id
from lead_submissions
"""

VISITORS = f"""
select distinct visitor_id
from sessions
where session_id in ({IN_LIST})
"""

SESSIONS = f"""
select session_id
from sessions
where visitor_id in ({IN_LIST})
"""

FINGERPRINTS = f"""
select distinct fingerprint
from sessions
where session_id in ({IN_LIST}) and fingerprint <> ''
"""

# No index has the events by session, so all of them are gone over, in statements that each end soon.
NEXT = """
select max(event_id) as last
from (
  select event_id
  from events
  where event_id > :after
  order by event_id
  limit :rows) as those
"""

EVENTS_OF_SESSIONS = f"""
delete from events
where event_id > :after and event_id <= :last and session_id in ({IN_LIST})
"""

# Submissions before their lead, so that nothing is kept for a lead that is gone.
OF_LEADS = {
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

OF_SESSIONS = f"""
delete from sessions
where session_id in ({IN_LIST})
"""

# The visits that a purge archived; triggers subtract them from the counters.
ARCHIVED = {
    "visitor_days": f"""
update visitor_days set
  sessions = sessions - archived,
  archived = 0
where visitor_id in ({IN_LIST}) and archived > 0
""",
    "fingerprint_days": f"""
update fingerprint_days set
  sessions = sessions - archived,
  archived = 0
where fingerprint in ({IN_LIST}) and archived > 0
""",
    "session_pages": f"""
update session_pages set
  views = views - archived,
  archived = 0
where session_id in ({IN_LIST}) and archived > 0
""",
}

# In what stays, of other people.
NAMED_VISITORS = (
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
NAMED_SESSIONS = (
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
    """What is one person's, by its ids."""

    leads: set[int] = field(default_factory=set)
    visitors: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)


def find(db: Database, *, visitor: str | None = None, email: str | None = None, lead: int | None = None) -> Person:
    """Who is meant by one of these three, of which exactly one is given.

    An address is the same whatever its case and the spaces around it. A lead is one person's, with all that was
    submitted for it; leads that share an address are one person's too, and of a visitor that was asked for, every lead
    that names it. Then the visitors that these leads and submissions name, and those of the sessions that they name;
    and all sessions of these visitors, with their fingerprints. A lead of another address stays another person's,
    though it names the same visitor.
    """
    _one(visitor, email, lead)
    return db.read(lambda at: _person(at, visitor, email, lead))


def erase(
    db: Database,
    *,
    visitor: str | None = None,
    email: str | None = None,
    lead: int | None = None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> dict[str, int]:
    """Delete all rows of the person that `find` selects, and return how many of each table.

    All rows go in one transaction; the counters and the search index change with them. `links` counts the visitors and
    sessions of that person to which other people's leads and submissions referred; these references are removed. Then
    the deleted rows are overwritten in the database's files, also if no row was found, so that an interrupted erasure
    is completed by running it again. `on_progress` is called with the name of each step.

    What a purge kept of them goes too: the days and countries of these visitors, and the fingerprints of the sessions
    that are still there. The fingerprints of purged sessions are not known any more.

    Recordings in object storage, logs, backups and what was copied elsewhere are out of reach, and so is what a
    tracker wrote of the person into other people's rows.
    """
    _one(visitor, email, lead)

    def work(at: Transaction) -> dict[str, int]:
        on_progress("the rows")
        return _erased(at, _person(at, visitor, email, lead))

    receipt = db.write(work)
    on_progress("the files")
    db.scrub()
    return receipt


def _one(*keys: object) -> None:
    if sum(key is not None for key in keys) != 1 or "" in keys:
        raise ErasureError("one of a visitor, an e-mail address and a lead says who is to be erased")


def _person(at: Reader, visitor: str | None, email: str | None, lead: int | None) -> Person:
    person = Person()
    if visitor is not None:
        person.visitors.add(visitor)
    if lead is not None:
        person.leads.add(lead)
    addresses = {_folded(email)} - {""}
    known = None
    while known != (len(person.leads), len(addresses)):  # a lead has an address, and that another lead
        known = len(person.leads), len(addresses)
        for lead_id, address, visitor_id, _ in _contacts(at):
            address = _folded(address)
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
        person.visitors.update(row["visitor_id"] for row in at.rows(VISITORS, **ids))
    person.visitors.discard("")  # nobody's
    for ids in in_list_batches(person.visitors):
        person.sessions.update(row["session_id"] for row in at.rows(SESSIONS, **ids))
    for ids in in_list_batches(person.sessions):
        person.fingerprints.update(row["fingerprint"] for row in at.rows(FINGERPRINTS, **ids))
    return person


def _contacts(at: Reader) -> Iterator[tuple[int, str | None, str | None, str | None]]:
    for rows in at.batches(CONTACTS):
        yield from rows


def _folded(address: str | None) -> str:
    return (address or "").strip().casefold()


def _erased(at: Transaction, person: Person) -> dict[str, int]:
    def each(sql: str, ids: Iterable[object]) -> int:
        return sum(at.execute(sql, **some) for some in in_list_batches(ids))

    receipt = {"sessions": each(OF_SESSIONS, person.sessions), "events": 0}
    after = -(2**63)
    while person.sessions and (last := at.rows(NEXT, after=after, rows=SLICE)[0]["last"]) is not None:
        for some in in_list_batches(person.sessions):
            receipt["events"] += at.execute(EVENTS_OF_SESSIONS, after=after, last=last, **some)
        after = last
    for table, sql in OF_LEADS.items():
        receipt[table] = each(sql, person.leads)
    for table, ids in zip(ARCHIVED, (person.visitors, person.fingerprints, person.sessions), strict=True):
        receipt[table] = each(ARCHIVED[table], ids)
    receipt["links"] = sum(each(sql, person.visitors) for sql in NAMED_VISITORS)
    receipt["links"] += sum(each(sql, person.sessions) for sql in NAMED_SESSIONS)
    return receipt
